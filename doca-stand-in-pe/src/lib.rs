//! A library with the symbols of DOCA's generation 2, for tests. What it does is in `doca-stand-in`.

#![allow(unsafe_code, reason = "the functions of a C library")]

use std::ffi::{CStr, c_char, c_int, c_void};

use doca_stand_in::exports::{DEVICES, can_copy, can_export, device_index, new_list, ok_unless};
use doca_stand_in::{Context, Ended, Inventory, Map, Refused, World, exports, give, give_result, with_world};
use doca_sys::{
    Buf, BufInventory, CTX_IDLE, CTX_RUNNING, CTX_STOPPING, Ctx, Data, Dev, DevInfo, Dma, MemcpyCallback, Mmap, Pe,
    PeFunctions, RawError, StateCallback, Task, TaskMemcpy,
};

/// A callback and what it is called with.
enum Call {
    Ended(MemcpyCallback, *mut TaskMemcpy, Data, Data),
    Changed(StateCallback, Data, *mut Ctx, u32, u32),
}

impl Call {
    fn make(self) {
        match self {
            // SAFETY: the caller gave the function to be called like this, on the thread that asks for progress.
            Self::Ended(callback, task, task_data, ctx_data) => unsafe { callback(task, task_data, ctx_data) },
            // SAFETY: as above.
            Self::Changed(callback, data, ctx, before, after) => unsafe { callback(data, ctx, before, after) },
        }
    }
}

/// What has come of one call for progress.
fn progressed(world: &mut World, pe: *const Pe) -> Vec<Call> {
    let mut calls = Vec::new();
    for number in world.pes.get(pe).clone() {
        let ctx: *mut Ctx = std::ptr::without_provenance_mut(number);
        if let Some(Ended { token, status }) = world.progress(ctx) {
            let handle: *mut TaskMemcpy = std::ptr::without_provenance_mut(token as usize);
            let task = world.tasks.get(handle);
            task.is_in_flight = false;
            let data = Data { u64: task.data };
            let context = world.contexts.get(ctx);
            let callback = if status == RawError::SUCCESS { context.done } else { context.failed };
            calls.extend(callback.map(|callback| Call::Ended(callback, handle, data, context.data)));
        }
        let context = world.contexts.get(ctx);
        if context.state == CTX_STOPPING && context.in_flight() == 0 {
            calls.extend(change(context, ctx, CTX_IDLE));
        }
    }
    calls
}

fn change(context: &mut Context, ctx: *mut Ctx, after: u32) -> Option<Call> {
    let before = std::mem::replace(&mut context.state, after);
    context.changed.map(|callback| Call::Changed(callback, context.data, ctx, before, after))
}

/// What it says of its release.
const VERSION: &CStr = c"2.9.9999-stand-in";

/// `doca_version_runtime`, which is experimental and not among those that are needed.
#[unsafe(no_mangle)]
pub extern "C" fn doca_version_runtime() -> *const c_char {
    VERSION.as_ptr()
}

exports! { PeFunctions:
    fn doca_devinfo_create_list(list: *mut *mut *mut DevInfo, count: *mut u32) -> RawError {
        let (new, new_count) = with_world(new_list);
        let _ = give!(count, new_count);
        give!(list, new)
    }

    fn doca_devinfo_destroy_list(list: *mut *mut DevInfo) -> RawError {
        with_world(|world| drop(world.lists.remove(list)));
        RawError::SUCCESS
    }

    fn doca_devinfo_get_pci_addr_str(devinfo: *const DevInfo, address: *mut c_char) -> RawError {
        let name = DEVICES[device_index(devinfo)].to_bytes_with_nul();
        // SAFETY: the caller gives room for 13 characters, which is what a name has.
        unsafe { std::ptr::copy_nonoverlapping(name.as_ptr().cast(), address, name.len()) };
        RawError::SUCCESS
    }

    fn doca_dma_create(dev: *mut Dev, dma: *mut *mut Dma) -> RawError {
        with_world(|world| {
            if !can_copy(*world.devices.get(dev)) {
                return RawError::NOT_SUPPORTED;
            }
            if world.refuses() { RawError::NO_MEMORY } else { give!(dma, world.new_context()) }
        })
    }

    fn doca_dma_cap_task_memcpy_is_supported(devinfo: *const DevInfo) -> RawError {
        ok_unless(!can_copy(device_index(devinfo)), RawError::NOT_SUPPORTED)
    }

    fn doca_dma_cap_task_memcpy_get_max_buf_size(_devinfo: *const DevInfo, len: *mut u64) -> RawError {
        with_world(|world| give!(len, world.faults.len_max))
    }

    fn doca_dma_cap_get_max_num_tasks(_dma: *mut Dma, count: *mut u32) -> RawError {
        with_world(|world| give!(count, world.faults.task_max))
    }

    fn doca_dma_task_memcpy_set_conf(
        dma: *mut Dma, done: MemcpyCallback, failed: MemcpyCallback, count: u32,
    ) -> RawError {
        with_world(|world| {
            let task_max = world.faults.task_max;
            let context = world.contexts.get(dma);
            (context.done, context.failed, context.depth) = (Some(done), Some(failed), count as usize);
            ok_unless(count > task_max || context.state != CTX_IDLE, RawError::INVALID_VALUE)
        })
    }

    fn doca_dma_task_memcpy_alloc_init(
        dma: *mut Dma, src: *const Buf, dst: *mut Buf, user_data: Data, task: *mut *mut TaskMemcpy,
    ) -> RawError {
        with_world(|world| {
            let context = world.contexts.get(dma);
            if context.state != CTX_RUNNING {
                return RawError::BAD_STATE;
            }
            if context.task_count == context.depth {
                return RawError::NO_MEMORY;
            }
            context.task_count += 1;
            // SAFETY: any word is a number.
            let data = unsafe { user_data.u64 };
            let (context, src, dst) = (dma.addr(), src.addr(), dst.addr());
            let new = doca_stand_in::Task { context, src, dst, data, is_in_flight: false };
            let World { tasks, next, .. } = world;
            give!(task, tasks.insert(next, new))
        })
    }

    fn doca_dma_task_memcpy_as_task(task: *mut TaskMemcpy) -> *mut Task {
        task.cast()
    }

    fn doca_dma_task_memcpy_set_src(task: *mut TaskMemcpy, src: *const Buf) {
        with_world(|world| world.tasks.get(task).src = src.addr());
    }

    fn doca_dma_task_memcpy_set_dst(task: *mut TaskMemcpy, dst: *mut Buf) {
        with_world(|world| world.tasks.get(task).dst = dst.addr());
    }

    fn doca_pe_create(pe: *mut *mut Pe) -> RawError {
        with_world(|world| {
            let World { pes, next, .. } = world;
            give!(pe, pes.insert(next, Vec::new()))
        })
    }

    fn doca_pe_destroy(pe: *mut Pe) -> RawError {
        with_world(|world| {
            let contexts = world.pes.get(pe).clone();
            let is_alive = contexts.iter().any(|number| world.contexts.contains(*number));
            if !is_alive {
                world.pes.remove(pe);
                world.drop_event(pe.addr());
            }
            ok_unless(is_alive, RawError::IN_USE)
        })
    }

    fn doca_pe_progress(pe: *mut Pe) -> u8 {
        let calls = with_world(|world| progressed(world, pe));
        let has_progressed = !calls.is_empty();
        calls.into_iter().for_each(Call::make);
        has_progressed.into()
    }

    fn doca_pe_get_notification_handle(pe: *const Pe, handle: *mut c_int) -> RawError {
        with_world(|world| {
            let added = world.add_event(pe.addr());
            give_result!(handle, added.map(|()| world.events.get(pe).handle()))
        })
    }

    fn doca_pe_request_notification(pe: *mut Pe) -> RawError {
        with_world(|world| {
            let contexts = world.pes.get(pe).clone();
            world.arm(pe.addr(), &contexts)
        })
    }

    fn doca_pe_clear_notification(pe: *mut Pe, _handle: c_int) -> RawError {
        with_world(|world| world.clear(pe.addr()))
    }

    fn doca_pe_connect_ctx(pe: *mut Pe, ctx: *mut Ctx) -> RawError {
        with_world(|world| {
            world.pes.get(pe).push(ctx.addr());
            world.contexts.get(ctx).queue = Some(pe.addr());
        });
        RawError::SUCCESS
    }

    fn doca_task_submit(task: *mut Task) -> RawError {
        let (result, call) = with_world(|world| {
            let doca_stand_in::Task { context, src, dst, is_in_flight, .. } = *world.tasks.get(task);
            if is_in_flight {
                return (RawError::BAD_STATE, None);
            }
            let ctx: *mut Ctx = std::ptr::without_provenance_mut(context);
            let was_running = world.contexts.get(ctx).state == CTX_RUNNING;
            let submitted = world.submit(ctx, src, dst, task.addr() as u64);
            world.tasks.get(task).is_in_flight = submitted.is_ok();
            let context = world.contexts.get(ctx);
            let has_died = was_running && context.state == CTX_STOPPING;
            let changed = context.changed.filter(|_| has_died);
            let call = changed.map(|changed| Call::Changed(changed, context.data, ctx, CTX_RUNNING, CTX_STOPPING));
            (submitted.err().map_or(RawError::SUCCESS, refusal), call)
        });
        if let Some(call) = call {
            call.make();
        }
        result
    }

    fn doca_task_free(task: *mut Task) {
        with_world(|world| {
            let task = world.tasks.remove(task);
            if task.is_in_flight {
                eprintln!("doca-stand-in: a task was freed while it was in flight");
                std::process::abort();
            }
            let context: *mut Ctx = std::ptr::without_provenance_mut(task.context);
            world.contexts.get(context).task_count -= 1;
        });
    }

    fn doca_ctx_set_user_data(ctx: *mut Ctx, user_data: Data) -> RawError {
        with_world(|world| world.contexts.get(ctx).data = user_data);
        RawError::SUCCESS
    }

    fn doca_ctx_set_state_changed_cb(ctx: *mut Ctx, changed: StateCallback) -> RawError {
        with_world(|world| world.contexts.get(ctx).changed = Some(changed));
        RawError::SUCCESS
    }

    fn doca_ctx_get_state(ctx: *const Ctx, state: *mut u32) -> RawError {
        with_world(|world| give!(state, world.contexts.get(ctx).state))
    }

    fn doca_mmap_create(mmap: *mut *mut Mmap) -> RawError {
        with_world(|world| {
            let World { maps, next, .. } = world;
            give!(mmap, maps.insert(next, Map::default()))
        })
    }

    fn doca_mmap_add_dev(mmap: *mut Mmap, _dev: *mut Dev) -> RawError {
        with_world(|world| world.maps.get(mmap).device_count += 1);
        RawError::SUCCESS
    }

    fn doca_mmap_set_memrange(mmap: *mut Mmap, addr: *mut c_void, len: usize) -> RawError {
        with_world(|world| {
            let map = world.maps.get(mmap);
            let is_wrong = map.is_started || map.len != 0 || len == 0;
            (map.base, map.len) = (addr.expose_provenance(), len);
            ok_unless(is_wrong, RawError::INVALID_VALUE)
        })
    }

    fn doca_mmap_set_permissions(mmap: *mut Mmap, access: u32) -> RawError {
        with_world(|world| world.maps.get(mmap).access = access);
        RawError::SUCCESS
    }

    fn doca_mmap_export_pci(
        mmap: *mut Mmap, dev: *const Dev, desc: *mut *const c_void, desc_len: *mut usize,
    ) -> RawError {
        if !with_world(|world| can_export(*world.devices.get(dev))) {
            return RawError::NOT_SUPPORTED;
        }
        let exported = with_world(|world| world.export(mmap));
        let _ = give_result!(desc_len, exported.map(|(_, len)| len));
        give_result!(desc, exported.map(|(address, _)| std::ptr::with_exposed_provenance(address)))
    }

    fn doca_mmap_cap_is_export_pci_supported(devinfo: *const DevInfo, supported: *mut u8) -> RawError {
        give!(supported, u8::from(can_export(device_index(devinfo))))
    }

    fn doca_mmap_cap_is_create_from_export_pci_supported(devinfo: *const DevInfo, supported: *mut u8) -> RawError {
        give!(supported, u8::from(can_copy(device_index(devinfo))))
    }

    fn doca_buf_inventory_create(count: usize, inventory: *mut *mut BufInventory) -> RawError {
        with_world(|world| {
            let World { inventories, next, .. } = world;
            give!(inventory, inventories.insert(next, Inventory { capacity: count, count: 0, is_started: false }))
        })
    }

    fn doca_buf_inventory_buf_get_by_args(
        inventory: *mut BufInventory, mmap: *mut Mmap, addr: *mut c_void, len: usize, data: *mut c_void,
        data_len: usize, buf: *mut *mut Buf,
    ) -> RawError {
        let (range, data) = ((addr.addr(), len), (data.addr(), data_len));
        with_world(|world| give_result!(buf, world.take_buffer(inventory.addr(), mmap.addr(), range, data)))
    }

    fn doca_buf_dec_refcount(buf: *mut Buf, left: *mut u16) -> RawError {
        with_world(|world| world.drop_buffer(buf));
        if left.is_null() { RawError::SUCCESS } else { give!(left, 0) }
    }
}

fn refusal(refused: Refused) -> RawError {
    match refused {
        Refused::Full => RawError::AGAIN,
        Refused::BadState => RawError::BAD_STATE,
        Refused::Invalid => RawError::INVALID_VALUE,
    }
}
