//! `[hot_keys]`: values with which the DPU's cores answer GETs by themselves.

use kv_core::design::Plan;
use kv_core::engine::HotSet;
use serde::{Deserialize, Serialize};

use super::byte_size::ByteSize;
use super::error::{Finding, require};

/// `[hot_keys]`: values with which the DPU's cores answer GETs by themselves. The host's side does not look at it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HotKeysSection {
    /// Memory of each DPU core's cache; none: everything goes to the host.
    pub memory_per_core: ByteSize,
}

impl Default for HotKeysSection {
    fn default() -> Self {
        Self { memory_per_core: ByteSize::from_bytes(0) }
    }
}

/// Bytes of the smallest cache, which holds four values.
const SET_LEN: ByteSize = ByteSize::from_bytes(size_of::<HotSet>() as u64);

/// Most memory of a core's cache: a larger one does not lie in a CPU's caches by far.
const MEMORY_MAX: ByteSize = ByteSize::from_mib(1024);

impl HotKeysSection {
    /// How many sets fit the memory.
    pub fn set_count(&self) -> usize {
        (self.memory_per_core.bytes() / SET_LEN.bytes()) as usize
    }

    pub(super) fn check(&self, plan: &Plan) -> Result<(), Finding> {
        if self.memory_per_core.bytes() == 0 {
            return Ok(());
        }
        let name = plan.design().name();
        let only = format!(
            "0B, since plan.design is \"{name}\": in \"lat\" only, one DPU core sees all that can change a key"
        );
        require(plan.has_one_way_in(), "hot_keys.memory_per_core", only)?;
        let is_within = (SET_LEN..=MEMORY_MAX).contains(&self.memory_per_core);
        require(is_within, "hot_keys.memory_per_core", format!("0B (off), or {SET_LEN} (four values) to {MEMORY_MAX}"))
    }
}
