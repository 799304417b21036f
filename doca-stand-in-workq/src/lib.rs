//! A library with the symbols of DOCA's generation 1, for tests. What it does is in `doca-stand-in`.

#![allow(unsafe_code, reason = "the functions of a C library")]

use std::ffi::{c_int, c_void};

use doca_stand_in::exports::{can_copy, device_index, new_list, ok_unless};
use doca_stand_in::{Ended, Inventory, Map, Refused, World, exports, give, give_result, with_world};
use doca_sys::{
    ACCESS_LOCAL_READ_WRITE, ACCESS_PCI_READ_WRITE, Buf, BufInventory, Ctx, Data, Dev, DevInfo, Dma, Event,
    FreeCallback, JOB_MEMCPY, Job, MemcpyJob, Mmap, PciBdf, RawError, Workq, WorkqFunctions,
};

exports! { WorkqFunctions:
    fn doca_devinfo_list_create(list: *mut *mut *mut DevInfo, count: *mut u32) -> RawError {
        let (new, new_count) = with_world(new_list);
        let _ = give!(count, new_count);
        give!(list, new)
    }

    fn doca_devinfo_list_destroy(list: *mut *mut DevInfo) -> RawError {
        with_world(|world| drop(world.lists.remove(list)));
        RawError::SUCCESS
    }

    fn doca_devinfo_get_pci_addr(devinfo: *const DevInfo, address: *mut PciBdf) -> RawError {
        // 03:00.0 and so on.
        give!(address, PciBdf { raw: 3 << 8 | device_index(devinfo) as u16 })
    }

    fn doca_dma_create(dma: *mut *mut Dma) -> RawError {
        with_world(|world| if world.refuses() { RawError::NO_MEMORY } else { give!(dma, world.new_context()) })
    }

    fn doca_dma_job_get_supported(devinfo: *mut DevInfo, kind: c_int) -> RawError {
        ok_unless(!can_copy(device_index(devinfo)) || kind != JOB_MEMCPY, RawError::NOT_SUPPORTED)
    }

    fn doca_dma_get_max_buf_size(_devinfo: *const DevInfo, len: *mut u64) -> RawError {
        with_world(|world| give!(len, world.faults.len_max))
    }

    fn doca_ctx_dev_add(ctx: *mut Ctx, _dev: *mut Dev) -> RawError {
        with_world(|world| world.contexts.get(ctx).device_count += 1);
        RawError::SUCCESS
    }

    fn doca_ctx_dev_rm(ctx: *mut Ctx, _dev: *mut Dev) -> RawError {
        with_world(|world| world.contexts.get(ctx).device_count -= 1);
        RawError::SUCCESS
    }

    fn doca_ctx_workq_add(ctx: *mut Ctx, workq: *mut Workq) -> RawError {
        with_world(|world| {
            let (depth, of_context) = world.workqs.get(workq);
            *of_context = Some(ctx.addr());
            let depth = *depth as usize;
            let context = world.contexts.get(ctx);
            (context.queue, context.depth) = (Some(workq.addr()), depth);
            ok_unless(context.state != doca_sys::CTX_RUNNING, RawError::BAD_STATE)
        })
    }

    fn doca_ctx_workq_rm(ctx: *mut Ctx, workq: *mut Workq) -> RawError {
        with_world(|world| {
            let context = world.contexts.get(ctx);
            if context.in_flight() > 0 {
                return RawError::IN_USE;
            }
            context.queue = None;
            world.workqs.get(workq).1 = None;
            RawError::SUCCESS
        })
    }

    fn doca_workq_create(depth: u32, workq: *mut *mut Workq) -> RawError {
        with_world(|world| {
            let is_too_deep = depth == 0 || depth > world.faults.task_max;
            let World { workqs, next, .. } = world;
            if is_too_deep { RawError::INVALID_VALUE } else { give!(workq, workqs.insert(next, (depth, None))) }
        })
    }

    fn doca_workq_destroy(workq: *mut Workq) -> RawError {
        with_world(|world| {
            let is_used = world.workqs.get(workq).1.is_some();
            if !is_used {
                world.workqs.remove(workq);
                world.drop_event(workq.addr());
            }
            ok_unless(is_used, RawError::IN_USE)
        })
    }

    fn doca_workq_set_event_driven_enable(workq: *mut Workq, is_enabled: u8) -> RawError {
        with_world(|world| {
            if world.workqs.get(workq).1.is_some() {
                return RawError::BAD_STATE;
            }
            world.drop_event(workq.addr());
            let enabled = if is_enabled == 0 { Ok(()) } else { world.add_event(workq.addr()) };
            enabled.err().unwrap_or(RawError::SUCCESS)
        })
    }

    fn doca_workq_get_event_handle(workq: *mut Workq, handle: *mut c_int) -> RawError {
        with_world(|world| {
            if !world.events.contains(workq.addr()) {
                return RawError::BAD_STATE;
            }
            give!(handle, world.events.get(workq).handle())
        })
    }

    fn doca_workq_event_handle_arm(workq: *mut Workq) -> RawError {
        with_world(|world| {
            let contexts: Vec<_> = world.workqs.get(workq).1.into_iter().collect();
            world.arm(workq.addr(), &contexts)
        })
    }

    fn doca_workq_event_handle_clear(workq: *mut Workq, _handle: c_int) -> RawError {
        with_world(|world| world.clear(workq.addr()))
    }

    fn doca_workq_submit(workq: *mut Workq, job: *const Job) -> RawError {
        // SAFETY: the caller vouches for a job of this kind, the only one that there is.
        let job = unsafe { job.cast::<MemcpyJob>().read() };
        // SAFETY: any word is a number.
        let token = unsafe { job.base.user_data.u64 };
        with_world(|world| {
            if world.workqs.get(workq).1 != Some(job.base.ctx.addr()) || job.base.kind != JOB_MEMCPY {
                return RawError::NOT_FOUND;
            }
            match world.submit(job.base.ctx, job.src.addr(), job.dst.addr(), token) {
                Ok(()) => RawError::SUCCESS,
                Err(Refused::Full) => RawError::NO_MEMORY,
                Err(Refused::BadState) => RawError::BAD_STATE,
                Err(Refused::Invalid) => RawError::INVALID_VALUE,
            }
        })
    }

    fn doca_workq_progress_retrieve(workq: *mut Workq, event: *mut Event, _flags: c_int) -> RawError {
        let ended = with_world(|world| {
            let context = world.workqs.get(workq).1?;
            world.progress(std::ptr::without_provenance(context))
        });
        let Some(Ended { token, status }) = ended else { return RawError::AGAIN };
        let (user_data, result) = (Data { u64: token }, Data { u64: status.0.into() });
        let given = give!(event, Event { kind: JOB_MEMCPY, user_data, result });
        if status == RawError::SUCCESS { given } else { RawError::IO_FAILED }
    }

    fn doca_mmap_create(_user_data: *const Data, mmap: *mut *mut Mmap) -> RawError {
        // Access is not restricted in this generation.
        let access = ACCESS_LOCAL_READ_WRITE | ACCESS_PCI_READ_WRITE;
        with_world(|world| {
            let World { maps, next, .. } = world;
            give!(mmap, maps.insert(next, Map::with_access(access)))
        })
    }

    fn doca_mmap_set_max_num_chunks(mmap: *mut Mmap, count: u32) -> RawError {
        with_world(|world| {
            let map = world.maps.get(mmap);
            map.is_chunked = true;
            ok_unless(map.is_started || count == 0, RawError::BAD_STATE)
        })
    }

    fn doca_mmap_dev_add(mmap: *mut Mmap, _dev: *mut Dev) -> RawError {
        with_world(|world| {
            let map = world.maps.get(mmap);
            map.device_count += 1;
            ok_unless(!map.is_started, RawError::BAD_STATE)
        })
    }

    fn doca_mmap_populate(
        mmap: *mut Mmap, addr: *mut c_void, len: usize, page_len: usize, _free: Option<FreeCallback>,
        _opaque: *mut c_void,
    ) -> RawError {
        with_world(|world| {
            let map = world.maps.get(mmap);
            let is_page = page_len.is_power_of_two() && page_len >= 4096;
            if !is_page || !addr.addr().is_multiple_of(page_len) || len == 0 || !map.is_started || map.len != 0 {
                return RawError::INVALID_VALUE;
            }
            (map.base, map.len) = (addr.expose_provenance(), len);
            RawError::SUCCESS
        })
    }

    fn doca_mmap_export(mmap: *mut Mmap, _dev: *const Dev, desc: *mut *mut c_void, desc_len: *mut usize) -> RawError {
        let exported = with_world(|world| {
            let (address, len) = world.export(mmap)?;
            // SAFETY: the caller of this function frees it with `free`.
            let copy = unsafe { libc::malloc(len) };
            let bytes: *const c_void = std::ptr::with_exposed_provenance(address);
            // SAFETY: both have this length; a descriptor is far too short for `malloc` to fail.
            unsafe { copy.copy_from_nonoverlapping(bytes, len) };
            Ok((copy, len))
        });
        let _ = give_result!(desc_len, exported.map(|(_, len)| len));
        give_result!(desc, exported.map(|(copy, _)| copy))
    }

    fn doca_buf_inventory_create(
        _user_data: *const Data, count: usize, _extensions: u32, inventory: *mut *mut BufInventory,
    ) -> RawError {
        with_world(|world| {
            let World { inventories, next, .. } = world;
            give!(inventory, inventories.insert(next, Inventory { capacity: count, count: 0, is_started: false }))
        })
    }

    fn doca_buf_inventory_buf_by_addr(
        inventory: *mut BufInventory, mmap: *mut Mmap, addr: *mut c_void, len: usize, buf: *mut *mut Buf,
    ) -> RawError {
        let (range, data) = ((addr.addr(), len), (addr.addr(), 0));
        with_world(|world| give_result!(buf, world.take_buffer(inventory.addr(), mmap.addr(), range, data)))
    }

    fn doca_buf_refcount_rm(buf: *mut Buf, left: *mut u16) -> RawError {
        with_world(|world| world.drop_buffer(buf));
        if left.is_null() { RawError::SUCCESS } else { give!(left, 0) }
    }
}
