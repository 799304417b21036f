//! `dpukv bench echo`: sends back what comes to a device, and does nothing else. What is measured through it, with
//! `bench frames --wire echo`, is what the device and the client cost without a store.

use std::time::{Duration, Instant};

use kv_core::port::{Burst, DropCounts, RawFrame, RawPort};
use qp_wire::net::{Checksums, HEADERS_LEN, reply_headers};
use shell_io::port::dpdk::{self, DpdkConfig, register_thread};

use super::frames::device_of;
use super::{above_zero, print_line};
use crate::exit::{Exit, Failure};

/// Turns between two looks at the clock.
const TURN_COUNT: u32 = 1 << 16;

/// What `bench echo` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Device to answer at: dpdk: and a PCI address, or a virtual device with its arguments
    #[arg(long, value_name = "dpdk:DEVICE")]
    port: String,

    /// Seconds after which it ends
    #[arg(long, value_name = "SECONDS", default_value_t = 3600.0)]
    seconds: f64,

    /// Use ordinary memory
    #[arg(long)]
    no_huge_pages: bool,
}

/// Runs the command.
///
/// # Errors
/// Its [`Failure`].
pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    above_zero("seconds", args.seconds, 86_400.0)?;
    let opened = dpdk::open(&DpdkConfig {
        device: device_of(&args.port)?,
        eal: Vec::new(),
        core_count: 1,
        queue_count_max: 1,
        first_udp_port: 0,
        buffers: 1024,
        payload_len_max: 1472,
        huge_pages: !args.no_huge_pages,
        interrupts: false,
    });
    let opened = opened.map_err(|error| Failure::Usage(error.to_string()))?;
    print_line("ready");
    let _registration = register_thread();
    let (start, length) = (Instant::now(), Duration::from_secs_f64(args.seconds));
    for mut port in opened.ports {
        while start.elapsed() < length {
            (0..TURN_COUNT).for_each(|_| turn(&mut port));
        }
    }
    Ok(Exit::Done)
}

/// Sends one burst back, with its headers turned round.
fn turn(port: &mut impl RawPort) {
    let (mut arrived, mut leaving, mut drops) = (Burst::new(), Burst::new(), DropCounts::default());
    port.receive(&mut arrived, &mut drops);
    while let Some(mut frame) = arrived.pop() {
        let payload_len = frame.bytes().len().checked_sub(HEADERS_LEN);
        let turned = payload_len.and_then(|len| reply_headers(frame.buf(), len, Checksums::Zero));
        if turned.is_some() {
            // A burst has room for a burst.
            drop(leaving.push(frame));
        }
    }
    if !leaving.is_empty() {
        // What the device does not take is lost.
        port.transmit(&mut leaving, &mut drops);
    }
}
