//! Memory from the operating system, taken once at start.
//!
//! * [`TableMemory`]: zeroed memory for tables, in huge pages where the machine has them.
//! * [`Region`]: memory that a peer process on the same machine maps too; what DMA reaches on a real DPU.
//!
//! Both are handed on as atomic words, which is what `kv-core` works on.

mod descriptor;
mod huge_pages;
mod mapping;
mod region;

pub use descriptor::{DESCRIPTOR_LEN, DescriptorError, RegionDescriptor};
pub use huge_pages::{AllocateError, HugePages, PageKind, TableMemory};
pub(crate) use mapping::{Mapping, PAGE_LEN};
pub use region::{Region, RegionCreateError, RegionOpenError};
