//! What a C library's functions are made of, and those that both generations have.

use std::ffi::{CStr, c_char, c_void};

use doca_sys::{
    Buf, BufInventory, CTX_IDLE, CTX_RUNNING, Ctx, Data, Dev, DevInfo, Dma, Mmap, RawError, SharedFunctions,
};

use crate::world::{World, fault_text, with_world};

/// Exports functions under their names, and proves that they are all of a table's, with its signatures.
#[macro_export]
macro_rules! exports {
    ($table:ident: $(fn $name:ident($($arg:ident: $type:ty),* $(,)?) $(-> $result:ty)? $body:block)*) => {
        $(
            /// A function of DOCA's.
            ///
            /// # Safety
            /// As its documentation has it: pointers are what their types say.
            #[unsafe(no_mangle)]
            pub unsafe extern "C" fn $name($($arg: $type),*) $(-> $result)? $body
        )*

        const _: $table = $table { $($name),* };
    };
}

/// Writes what a function gives out by a pointer.
#[macro_export]
macro_rules! give {
    ($out:expr, $value:expr) => {{
        let (out, value) = ($out, $value);
        if out.is_null() {
            doca_sys::RawError::INVALID_VALUE
        } else {
            // SAFETY: the caller of a C function vouches for what it gives to be written to.
            unsafe { out.write(value) };
            doca_sys::RawError::SUCCESS
        }
    }};
}

/// Writes what there is, or returns why there is none.
#[macro_export]
macro_rules! give_result {
    ($out:expr, $result:expr) => {
        match $result {
            Ok(value) => $crate::give!($out, value),
            Err(error) => error,
        }
    };
}

/// The PCI addresses of the devices: one that can everything, one that can nothing, one that only gives access to memory,
/// and one that only copies.
pub const DEVICES: [&CStr; 4] = [c"0000:03:00.0", c"0000:03:00.1", c"0000:03:00.2", c"0000:03:00.3"];

/// Whether a device copies, and reaches memory of the other side for that.
pub fn can_copy(index: usize) -> bool {
    matches!(index, 0 | 3)
}

/// Whether a device lets the other side's reach memory.
pub fn can_export(index: usize) -> bool {
    matches!(index, 0 | 2)
}

/// The index of a device in a list.
pub fn device_index(devinfo: *const DevInfo) -> usize {
    devinfo.addr() - 1
}

/// A list of all devices.
pub fn new_list(world: &mut World) -> (*mut *mut DevInfo, u32) {
    let list: Box<[usize]> = (1..=DEVICES.len()).collect();
    let address = list.as_ptr().expose_provenance();
    world.lists.insert_at(address, list);
    (std::ptr::with_exposed_provenance_mut(address), DEVICES.len() as u32)
}

/// What a function answers that cannot fail, or is refused.
pub fn ok_unless(is_wrong: bool, error: RawError) -> RawError {
    if is_wrong { error } else { RawError::SUCCESS }
}

exports! { SharedFunctions:
    fn doca_dev_open(devinfo: *mut DevInfo, dev: *mut *mut Dev) -> RawError {
        with_world(|world| {
            let World { devices, next, .. } = world;
            give!(dev, devices.insert(next, device_index(devinfo)))
        })
    }

    fn doca_dev_close(dev: *mut Dev) -> RawError {
        with_world(|world| {
            let is_used = world.maps.count() + world.contexts.count() > 0 && world.devices.count() == 1;
            if !is_used {
                world.devices.remove(dev);
            }
            ok_unless(is_used, RawError::IN_USE)
        })
    }

    fn doca_dma_destroy(dma: *mut Dma) -> RawError {
        with_world(|world| {
            let context = world.contexts.get(dma);
            let is_used = context.state != CTX_IDLE || context.in_flight() + context.task_count > 0;
            if !is_used {
                world.contexts.remove(dma);
            }
            ok_unless(is_used, RawError::IN_USE)
        })
    }

    fn doca_dma_as_ctx(dma: *mut Dma) -> *mut Ctx {
        dma.cast()
    }

    fn doca_ctx_start(ctx: *mut Ctx) -> RawError {
        with_world(|world| {
            if world.refuses() {
                return RawError::DRIVER;
            }
            let context = world.contexts.get(ctx);
            let is_wrong = context.state != CTX_IDLE;
            context.state = CTX_RUNNING;
            ok_unless(is_wrong, RawError::BAD_STATE)
        })
    }

    fn doca_ctx_stop(ctx: *mut Ctx) -> RawError {
        with_world(|world| {
            let context = world.contexts.get(ctx);
            if context.state == CTX_IDLE {
                return RawError::BAD_STATE;
            }
            context.stop();
            ok_unless(context.state != CTX_IDLE, RawError::IN_PROGRESS)
        })
    }

    fn doca_mmap_start(mmap: *mut Mmap) -> RawError {
        with_world(|world| {
            let map = world.maps.get(mmap);
            map.is_started = true;
            ok_unless(!map.is_chunked && (map.device_count == 0 || map.len == 0), RawError::BAD_STATE)
        })
    }

    fn doca_mmap_stop(mmap: *mut Mmap) -> RawError {
        with_world(|world| {
            let map = world.maps.get(mmap);
            if map.buffer_count > 0 {
                return RawError::IN_USE;
            }
            (map.is_started, map.exported) = (false, None);
            RawError::SUCCESS
        })
    }

    fn doca_mmap_destroy(mmap: *mut Mmap) -> RawError {
        with_world(|world| {
            let is_used = world.maps.get(mmap).buffer_count > 0;
            if !is_used {
                world.maps.remove(mmap);
            }
            ok_unless(is_used, RawError::IN_USE)
        })
    }

    fn doca_mmap_create_from_export(
        _user_data: *const Data, desc: *const c_void, desc_len: usize, dev: *mut Dev, mmap: *mut *mut Mmap,
    ) -> RawError {
        if !with_world(|world| can_copy(*world.devices.get(dev))) {
            return RawError::NOT_SUPPORTED;
        }
        if desc.is_null() {
            return RawError::INVALID_VALUE;
        }
        // SAFETY: the caller vouches for the descriptor.
        let bytes = unsafe { std::slice::from_raw_parts(desc.cast(), desc_len) };
        with_world(|world| give_result!(mmap, world.import(bytes)))
    }

    fn doca_buf_inventory_start(inventory: *mut BufInventory) -> RawError {
        with_world(|world| world.inventories.get(inventory).is_started = true);
        RawError::SUCCESS
    }

    fn doca_buf_inventory_stop(inventory: *mut BufInventory) -> RawError {
        with_world(|world| {
            let inventory = world.inventories.get(inventory);
            inventory.is_started = inventory.count > 0;
            ok_unless(inventory.is_started, RawError::IN_USE)
        })
    }

    fn doca_buf_inventory_destroy(inventory: *mut BufInventory) -> RawError {
        with_world(|world| {
            let is_used = world.inventories.get(inventory).count > 0;
            if !is_used {
                world.inventories.remove(inventory);
            }
            ok_unless(is_used, RawError::IN_USE)
        })
    }

    fn doca_buf_set_data(buf: *mut Buf, data: *mut c_void, data_len: usize) -> RawError {
        with_world(|world| {
            let buffer = world.buffers.get(buf);
            if buffer.is_in_flight {
                crate::handle::give_up("a buffer was changed while a copy had it");
            }
            ok_unless(!buffer.set_data(data.addr(), data_len), RawError::INVALID_VALUE)
        })
    }

    fn doca_buf_reset_data_len(buf: *mut Buf) -> RawError {
        with_world(|world| world.buffers.get(buf).data_len = 0);
        RawError::SUCCESS
    }
}

/// Not of DOCA's: sets what goes wrong from now on.
///
/// # Safety
/// `text` is a C string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn doca_stand_in_faults(text: *const c_char) {
    // SAFETY: the caller vouches for it.
    let text = unsafe { CStr::from_ptr(text) };
    fault_text(&text.to_string_lossy());
}

/// Not of DOCA's: how often an event was asked for.
#[unsafe(no_mangle)]
pub extern "C" fn doca_stand_in_armed_count() -> usize {
    with_world(|world| world.armed_count)
}

/// Not of DOCA's: how many objects are alive.
#[unsafe(no_mangle)]
pub extern "C" fn doca_stand_in_live_count() -> usize {
    with_world(|world| world.live_count())
}
