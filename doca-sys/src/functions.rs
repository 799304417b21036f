//! The functions, as tables of pointers.

use std::ffi::{CStr, c_char, c_int, c_void};

use super::data::{Data, Event, Job, PciBdf};
use super::error::RawError;
use super::objects::{Buf, BufInventory, Ctx, Dev, DevInfo, Dma, Mmap, Pe, Task, TaskMemcpy, Workq};

/// `doca_dma_task_memcpy_completion_cb_t`: told of a task's end, with the task's word and the context's.
pub type MemcpyCallback = unsafe extern "C" fn(task: *mut TaskMemcpy, task_data: Data, ctx_data: Data);

/// `doca_ctx_state_changed_callback_t`: told of a context's states before and after.
pub type StateCallback = unsafe extern "C" fn(ctx_data: Data, ctx: *mut Ctx, before: u32, after: u32);

/// `doca_mmap_memrange_free_cb_t`: told that a range is no longer used.
pub type FreeCallback = unsafe extern "C" fn(addr: *mut c_void, len: usize, opaque: *mut c_void);

macro_rules! functions {
    (
        $(#[$doc:meta])*
        $table:ident, linked by $linked:ident where $condition:meta {
            $($name:ident($($arg:ident: $type:ty),*) $(-> $result:ty)?;)*
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $table {
            $(
                #[doc = concat!("`", stringify!($name), "`.")]
                pub $name: unsafe extern "C" fn($($arg: $type),*) $(-> $result)?,
            )*
        }

        impl $table {
            /// The table, with what `find` says of each symbol.
            ///
            /// # Safety
            /// What `find` returns is the address of the function of that name, with the signature that it has here,
            /// for as long as the process lives.
            ///
            /// # Errors
            /// What `find` says of the first symbol that it does not know.
            pub(crate) unsafe fn find<E>(
                mut find: impl FnMut(&'static CStr) -> Result<*mut c_void, E>,
            ) -> Result<Self, E> {
                Ok(Self {
                    $($name: {
                        let address = find(symbol(concat!(stringify!($name), "\0")))?;
                        // SAFETY: the caller vouches for what stands at the address; a pointer to a function has the
                        // size of a pointer to data on all systems that have `dlsym`.
                        unsafe {
                            std::mem::transmute::<*mut c_void, unsafe extern "C" fn($($type),*) $(-> $result)?>(address)
                        }
                    },)*
                })
            }

            /// The table of the library that the program is linked with.
            #[cfg(all(feature = "link", $condition))]
            pub(crate) const fn linked() -> Self {
                unsafe extern "C" {
                    $(fn $name($($arg: $type),*) $(-> $result)?;)*
                }
                Self { $($name),* }
            }
        }

        #[cfg(all(feature = "verify-bindgen", doca_headers, $condition))]
        mod $linked {
            use super::*;
            use crate::verify::{headers, same, shape};

            $(const _: () = assert!(
                same(
                    shape(Some(
                        headers::$name as unsafe extern "C" fn($(functions!(@any $arg)),*) $(-> functions!(@any $result))?
                    )),
                    shape::<unsafe extern "C" fn($($type),*) $(-> $result)?>(crate::verify::never()),
                ),
                concat!(stringify!($name), ": another signature than the installed header's"),
            );)*
        }
    };
    (@any $($ignored:tt)*) => { _ };
}

/// The name of a symbol, which ends with NUL.
fn symbol(name: &'static str) -> &'static CStr {
    CStr::from_bytes_with_nul(name.as_bytes()).unwrap_or_default()
}

functions! {
    /// What both generations have, with the same signatures.
    SharedFunctions, linked by verify_shared where any(doca_generation = "1", doca_generation = "2") {
        doca_dev_open(devinfo: *mut DevInfo, dev: *mut *mut Dev) -> RawError;
        doca_dev_close(dev: *mut Dev) -> RawError;
        doca_dma_destroy(dma: *mut Dma) -> RawError;
        doca_dma_as_ctx(dma: *mut Dma) -> *mut Ctx;
        doca_ctx_start(ctx: *mut Ctx) -> RawError;
        doca_ctx_stop(ctx: *mut Ctx) -> RawError;
        doca_mmap_start(mmap: *mut Mmap) -> RawError;
        doca_mmap_stop(mmap: *mut Mmap) -> RawError;
        doca_mmap_destroy(mmap: *mut Mmap) -> RawError;
        doca_mmap_create_from_export(
            user_data: *const Data, desc: *const c_void, desc_len: usize, dev: *mut Dev, mmap: *mut *mut Mmap
        ) -> RawError;
        doca_buf_inventory_start(inventory: *mut BufInventory) -> RawError;
        doca_buf_inventory_stop(inventory: *mut BufInventory) -> RawError;
        doca_buf_inventory_destroy(inventory: *mut BufInventory) -> RawError;
        doca_buf_set_data(buf: *mut Buf, data: *mut c_void, data_len: usize) -> RawError;
        doca_buf_reset_data_len(buf: *mut Buf) -> RawError;
    }
}

functions! {
    /// What only generation 1 has, or has with another signature.
    WorkqFunctions, linked by verify_workq where doca_generation = "1" {
        doca_devinfo_list_create(list: *mut *mut *mut DevInfo, count: *mut u32) -> RawError;
        doca_devinfo_list_destroy(list: *mut *mut DevInfo) -> RawError;
        doca_devinfo_get_pci_addr(devinfo: *const DevInfo, address: *mut PciBdf) -> RawError;
        doca_dma_create(dma: *mut *mut Dma) -> RawError;
        doca_dma_job_get_supported(devinfo: *mut DevInfo, kind: c_int) -> RawError;
        doca_dma_get_max_buf_size(devinfo: *const DevInfo, len: *mut u64) -> RawError;
        doca_ctx_dev_add(ctx: *mut Ctx, dev: *mut Dev) -> RawError;
        doca_ctx_dev_rm(ctx: *mut Ctx, dev: *mut Dev) -> RawError;
        doca_ctx_workq_add(ctx: *mut Ctx, workq: *mut Workq) -> RawError;
        doca_ctx_workq_rm(ctx: *mut Ctx, workq: *mut Workq) -> RawError;
        doca_workq_create(depth: u32, workq: *mut *mut Workq) -> RawError;
        doca_workq_destroy(workq: *mut Workq) -> RawError;
        doca_workq_set_event_driven_enable(workq: *mut Workq, is_enabled: u8) -> RawError;
        doca_workq_get_event_handle(workq: *mut Workq, handle: *mut c_int) -> RawError;
        doca_workq_event_handle_arm(workq: *mut Workq) -> RawError;
        doca_workq_event_handle_clear(workq: *mut Workq, handle: c_int) -> RawError;
        doca_workq_submit(workq: *mut Workq, job: *const Job) -> RawError;
        doca_workq_progress_retrieve(workq: *mut Workq, event: *mut Event, flags: c_int) -> RawError;
        doca_mmap_create(user_data: *const Data, mmap: *mut *mut Mmap) -> RawError;
        doca_mmap_set_max_num_chunks(mmap: *mut Mmap, count: u32) -> RawError;
        doca_mmap_dev_add(mmap: *mut Mmap, dev: *mut Dev) -> RawError;
        doca_mmap_populate(
            mmap: *mut Mmap, addr: *mut c_void, len: usize, page_len: usize, free: Option<FreeCallback>,
            opaque: *mut c_void
        ) -> RawError;
        doca_mmap_export(mmap: *mut Mmap, dev: *const Dev, desc: *mut *mut c_void, desc_len: *mut usize) -> RawError;
        doca_buf_inventory_create(
            user_data: *const Data, count: usize, extensions: u32, inventory: *mut *mut BufInventory
        ) -> RawError;
        doca_buf_inventory_buf_by_addr(
            inventory: *mut BufInventory, mmap: *mut Mmap, addr: *mut c_void, len: usize, buf: *mut *mut Buf
        ) -> RawError;
        doca_buf_refcount_rm(buf: *mut Buf, left: *mut u16) -> RawError;
    }
}

functions! {
    /// What only generation 2 has, or has with another signature.
    PeFunctions, linked by verify_pe where doca_generation = "2" {
        doca_devinfo_create_list(list: *mut *mut *mut DevInfo, count: *mut u32) -> RawError;
        doca_devinfo_destroy_list(list: *mut *mut DevInfo) -> RawError;
        doca_devinfo_get_pci_addr_str(devinfo: *const DevInfo, address: *mut c_char) -> RawError;
        doca_dma_create(dev: *mut Dev, dma: *mut *mut Dma) -> RawError;
        doca_dma_cap_task_memcpy_is_supported(devinfo: *const DevInfo) -> RawError;
        doca_dma_cap_task_memcpy_get_max_buf_size(devinfo: *const DevInfo, len: *mut u64) -> RawError;
        doca_dma_cap_get_max_num_tasks(dma: *mut Dma, count: *mut u32) -> RawError;
        doca_dma_task_memcpy_set_conf(
            dma: *mut Dma, done: MemcpyCallback, failed: MemcpyCallback, count: u32
        ) -> RawError;
        doca_dma_task_memcpy_alloc_init(
            dma: *mut Dma, src: *const Buf, dst: *mut Buf, user_data: Data, task: *mut *mut TaskMemcpy
        ) -> RawError;
        doca_dma_task_memcpy_as_task(task: *mut TaskMemcpy) -> *mut Task;
        doca_dma_task_memcpy_set_src(task: *mut TaskMemcpy, src: *const Buf);
        doca_dma_task_memcpy_set_dst(task: *mut TaskMemcpy, dst: *mut Buf);
        doca_pe_create(pe: *mut *mut Pe) -> RawError;
        doca_pe_destroy(pe: *mut Pe) -> RawError;
        doca_pe_progress(pe: *mut Pe) -> u8;
        doca_pe_connect_ctx(pe: *mut Pe, ctx: *mut Ctx) -> RawError;
        doca_pe_get_notification_handle(pe: *const Pe, handle: *mut c_int) -> RawError;
        doca_pe_request_notification(pe: *mut Pe) -> RawError;
        doca_pe_clear_notification(pe: *mut Pe, handle: c_int) -> RawError;
        doca_task_submit(task: *mut Task) -> RawError;
        doca_task_free(task: *mut Task);
        doca_ctx_set_user_data(ctx: *mut Ctx, user_data: Data) -> RawError;
        doca_ctx_set_state_changed_cb(ctx: *mut Ctx, changed: StateCallback) -> RawError;
        doca_ctx_get_state(ctx: *const Ctx, state: *mut u32) -> RawError;
        doca_mmap_create(mmap: *mut *mut Mmap) -> RawError;
        doca_mmap_add_dev(mmap: *mut Mmap, dev: *mut Dev) -> RawError;
        doca_mmap_set_memrange(mmap: *mut Mmap, addr: *mut c_void, len: usize) -> RawError;
        doca_mmap_set_permissions(mmap: *mut Mmap, access: u32) -> RawError;
        doca_mmap_export_pci(
            mmap: *mut Mmap, dev: *const Dev, desc: *mut *const c_void, desc_len: *mut usize
        ) -> RawError;
        doca_mmap_cap_is_export_pci_supported(devinfo: *const DevInfo, supported: *mut u8) -> RawError;
        doca_mmap_cap_is_create_from_export_pci_supported(devinfo: *const DevInfo, supported: *mut u8) -> RawError;
        doca_buf_inventory_create(count: usize, inventory: *mut *mut BufInventory) -> RawError;
        doca_buf_inventory_buf_get_by_args(
            inventory: *mut BufInventory, mmap: *mut Mmap, addr: *mut c_void, len: usize, data: *mut c_void,
            data_len: usize, buf: *mut *mut Buf
        ) -> RawError;
        doca_buf_dec_refcount(buf: *mut Buf, left: *mut u16) -> RawError;
    }
}
