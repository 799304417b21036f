//! What a process draws at its start, so that no two lives of it are mistaken for each other.

use std::fmt;
use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use kv_core::hash::Secret;
use rustix::rand::{GetRandomFlags, getrandom};

use crate::control::Epoch;

/// The numbers that a process is born with.
#[derive(Clone, Copy)]
pub(super) struct Birth {
    /// Tells this life from every other one.
    pub(super) server_id: u64,
    /// Places keys; no client may learn it.
    pub(super) secret: Secret,
    /// The epoch to count from.
    pub(super) epoch: Epoch,
}

impl Birth {
    pub(super) fn draw() -> io::Result<Self> {
        let mut bytes = [[0; 8]; 3];
        // The kernel gives up to 256 bytes at once, or nothing.
        getrandom(bytes.as_flattened_mut(), GetRandomFlags::empty())?;
        let [server_id, k0, k1] = bytes.map(u64::from_ne_bytes);
        Ok(Self { server_id, secret: Secret { k0, k1 }, epoch: epoch_at(SystemTime::now()) })
    }
}

impl fmt::Debug for Birth {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Birth").field("server_id", &self.server_id).finish_non_exhaustive()
    }
}

/// Counts steps of 64 ms, so that a new process begins behind the epochs of its earlier lives even if both
/// sides were started anew and neither remembers. It begins again after four years, and then lies behind what a
/// survivor remembers, whose epoch counts; the upper half of the numbers is left for counting on.
fn epoch_at(time: SystemTime) -> Epoch {
    let elapsed = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    (elapsed.as_millis() / 64 % (1 << 31)) as Epoch
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn two_births_have_nothing_in_common() {
        let (first, second) = (Birth::draw().expect("a birth"), Birth::draw().expect("a birth"));
        assert!(first.server_id != second.server_id && first.secret != second.secret);
        assert!(!format!("{first:?}").contains(&first.secret.k0.to_string()));
    }

    #[test]
    fn a_later_birth_has_a_later_epoch_and_room_to_count() {
        let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        assert!(epoch_at(now) < epoch_at(now + Duration::from_secs(1)));
        for years in 0..20 {
            assert!(epoch_at(now + years * Duration::from_secs(31_557_600)) < 1 << 31);
        }
        assert_eq!(epoch_at(UNIX_EPOCH - Duration::from_secs(1)), 0);
    }
}
