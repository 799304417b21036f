//! DOCA's objects, which are only ever pointed to.

use std::fmt;
use std::marker::{PhantomData, PhantomPinned};

macro_rules! objects {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        $(#[$doc])*
        #[repr(C)]
        pub struct $name {
            _nothing: [u8; 0],
            /// Neither thread-safe nor movable, as far as anybody outside can tell.
            _marker: PhantomData<(*mut u8, PhantomPinned)>,
        }

        impl fmt::Debug for $name {
            fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        }
    )*};
}

objects! {
    /// `struct doca_dev`: an open device.
    Dev,
    /// `struct doca_devinfo`: a device that could be opened.
    DevInfo,
    /// `struct doca_dma`: a DMA context.
    Dma,
    /// `struct doca_ctx`: the same as what all libraries' contexts are.
    Ctx,
    /// `struct doca_mmap`: memory that devices reach.
    Mmap,
    /// `struct doca_buf`: a part of such memory, for one job.
    Buf,
    /// `struct doca_buf_inventory`: where buffers come from.
    BufInventory,
    /// `struct doca_workq`: a work queue, generation 1.
    Workq,
    /// `struct doca_pe`: a progress engine, generation 2.
    Pe,
    /// `struct doca_task`: a job of any library, generation 2.
    Task,
    /// `struct doca_dma_task_memcpy`: a copy, generation 2.
    TaskMemcpy,
}
