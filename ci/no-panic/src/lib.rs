//! Every decoder of `qp-wire` behind an exported function, in a library that links only when none of them can panic.
//!
//! The panic handler calls a symbol that nobody defines. The optimiser drops the handler when nothing reaches it; when
//! something does, the linker names the symbol. So a decoder in here has no index, slice or arithmetic that the optimiser
//! could not prove right, whatever the input is. All that a decoder gives is read to its end, because what nobody reads
//! is not compiled, and goes into a `black_box`, because what nobody uses is not compiled either.
//!
//! Decoders are named by module, type and function, so that `ci/no-panic.sh` finds those that are missing here.

#![no_std]

use core::hint::black_box;
use core::net::Ipv4Addr;
use core::slice;

use qp_wire::net::{Local, MacAddr};
use qp_wire::{batch, mica, native, net, operation, protocol, qp};

unsafe extern "C" {
    /// Defined nowhere.
    fn a_decoder_can_panic() -> !;
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // SAFETY: it never runs: a library in which this is reachable does not link.
    unsafe { a_decoder_can_panic() }
}

/// Exports functions of any bytes.
macro_rules! decoders {
    ($(fn $name:ident($bytes:ident) $body:block)*) => { $(
        /// # Safety
        /// `bytes` points to `len` bytes that nobody writes during the call.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(bytes: *const u8, len: usize) {
            // SAFETY: it is what the caller promises.
            let $bytes = unsafe { slice::from_raw_parts(bytes, len) };
            $body
        }
    )* };
}

#[cfg(feature = "planted-panic")]
decoders! {
    fn planted(bytes) {
        black_box(bytes[len_from(bytes)]);
    }
}

/// An index that nothing bounds.
#[cfg(feature = "planted-panic")]
fn len_from(bytes: &[u8]) -> usize {
    bytes.first().map_or(0, |&len| usize::from(len))
}

decoders! {
    fn checksum(bytes) {
        black_box(arch::crc32c(0, bytes));
    }

    fn protocol(bytes) {
        let _ = black_box(protocol::protocol_of(bytes));
    }

    fn datagram(bytes) {
        let Ok(datagram) = black_box(net::Datagram::decode(bytes)) else { return };
        let local = black_box(Local { mac: MacAddr([2; 6]), ipv4: Ipv4Addr::LOCALHOST, port: 0 });
        let _ = black_box(local.accepts(&datagram));
        black_box((datagram.checksums(), datagram.source(), datagram.payload(), datagram.payload_range()));
    }

    fn question(bytes) {
        let _ = black_box((net::ArpRequest::decode(bytes), net::EchoRequest::decode(bytes)));
        let local = black_box(Local { mac: MacAddr([2; 6]), ipv4: Ipv4Addr::LOCALHOST, port: 0 });
        let Ok(question) = black_box(net::Question::decode(bytes, &local)) else { return };
        black_box(question.answer(&local, &mut black_box([0; 64])));
        let _ = black_box(net::Datagram::decode_verified(bytes));
    }

    fn operation(bytes) {
        let Some((&[operation, key_len], rest)) = bytes.split_first_chunk() else { return };
        let Some((key, value)) = rest.split_at_checked(usize::from(key_len)) else { return };
        let _ = black_box(operation::RawRequest::decode(operation::RawRequest { operation, key, value }));
    }

    fn mica_request(bytes) {
        let Ok(frame) = black_box(mica::RequestFrame::decode(bytes)) else { return };
        black_box((frame.count(), frame.response_len_min()));
        for request in frame.requests() {
            let _ = black_box(mica::MicaRequest::decode(&request));
            black_box(request.head());
        }
    }

    fn mica_response(bytes) {
        let Ok(frame) = black_box(mica::ResponseFrame::decode(bytes)) else { return };
        frame.responses().for_each(|response| { black_box(response); });
    }

    fn request_batch(bytes) {
        let _ = black_box(batch::RequestBatch::decode_prefix(bytes));
        let Ok(batch) = black_box(batch::RequestBatch::decode(bytes)) else { return };
        read_requests(batch);
    }

    fn response_batch(bytes) {
        let _ = black_box(batch::ResponseBatch::decode_prefix(bytes));
        let Ok(batch) = black_box(batch::ResponseBatch::decode(bytes)) else { return };
        read_responses(batch);
    }

    fn native_request(bytes) {
        let mut answer = [0; native::HEADER_LEN];
        black_box(native::version_answer(bytes, &mut answer));
        let Ok(frame) = black_box(native::RequestFrame::decode(bytes)) else { return };
        if let native::RequestBody::Batch(batch) = frame.body {
            read_requests(batch);
        }
    }

    fn native_response(bytes) {
        let Ok(frame) = black_box(native::ResponseFrame::decode(bytes)) else { return };
        if let native::ResponseBody::Batch(batch) = frame.body {
            read_responses(batch);
        }
    }

    fn identity(bytes) {
        let Ok(identity) = black_box(native::Identity::decode(bytes)) else { return };
        for endpoint in identity.endpoints {
            black_box((endpoint.label(), endpoint.ipv4(), endpoint.udp_port()));
        }
    }

    fn slot(bytes) {
        let Some((head, slot)) = bytes.split_first_chunk::<16>() else { return };
        let [queue_pair, epoch, index, sequence] = words(*head);
        if let Ok(slot) = black_box(qp::open(slot, queue_pair, epoch, index, sequence)) {
            black_box(slot.runs());
        }
    }

    fn request_runs(bytes) {
        let Ok(runs) = black_box(qp::request_runs(bytes)) else { return };
        for run in runs.iter() {
            read_requests(run.batch);
        }
    }

    fn response_runs(bytes) {
        let Ok(runs) = black_box(qp::response_runs(bytes)) else { return };
        for run in runs.iter() {
            read_responses(run.batch);
        }
    }
}

fn read_requests(batch: batch::RequestBatch<'_>) {
    for request in batch {
        let _ = black_box(operation::RawRequest::decode(request));
    }
}

fn read_responses(batch: batch::ResponseBatch<'_>) {
    for response in batch {
        black_box(response);
    }
}

/// Four numbers that the input chooses.
fn words(bytes: [u8; 16]) -> [u32; 4] {
    let all = u128::from_le_bytes(bytes);
    [0, 32, 64, 96].map(|shift| (all >> shift) as u32)
}
