//! Packets through DPDK: a queue of a network card, or of what DPDK takes for one, without the kernel.
//!
//! [`open`] starts DPDK, which is possible once in a process, opens one device by its name and gives one [`DpdkPort`] for
//! each core. A frame is DPDK's own buffer, an mbuf: it comes in with a request and goes out with the response, and
//! whoever drops it gives it back to its pool.
//!
//! Each core has a UDP port of its own, so frames have to find their core. A device that takes rules sends them to the
//! core's queue itself. Of any other one, each core takes what comes to its queue, and hands what is for another core to
//! that core's inbox ([`Steering`] says which way it is).
//!
//! | file | what |
//! |---|---|
//! | `eal` | start of DPDK, threads known to it |
//! | `device` | one device: set-up, addresses, link, what it counts |
//! | `pool` | memory for frames |
//! | `frame` | one frame |
//! | `steering` | rules, and what is done without |
//! | `inbox` | frames on their way from one core to another |
//! | `queue` | the port of one core |

#![allow(unsafe_code, reason = "DPDK is a C library; each file says what it has to hold for its calls")]

mod device;
mod eal;
mod error;
mod frame;
mod inbox;
mod pool;
mod queue;
mod steering;

use std::sync::Arc;

use qp_wire::net::MacAddr;

use self::device::Device;
use self::eal::Eal;

pub use device::{DeviceCounts, LinkState};
pub use eal::{ThreadRegistration, register_thread};
pub use error::DpdkOpenError;
pub use frame::DpdkFrame;
pub use queue::DpdkPort;
pub use steering::Steering;

/// Whether this program can open DPDK's devices.
pub const IS_BUILT: bool = true;

/// How to open the ports of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DpdkConfig {
    /// A PCI address, such as `0000:03:00.0`; a virtual device with its arguments, such as `net_tap0,iface=kv0`; or the
    /// name of a device that `eal` brings.
    pub device: String,
    /// Arguments for the start of DPDK; empty: what fits this machine.
    pub eal: Vec<String>,
    /// Ports to open, one for each core.
    pub core_count: u16,
    /// Most queues to use of the device in each direction; cores beyond it send and receive by way of others.
    pub queue_count_max: u16,
    /// The UDP port of core 0; core n has this + n.
    pub first_udp_port: u16,
    /// How many frames each core can hold beside those that wait in the device.
    pub buffers: u32,
    /// Longest UDP payload, in bytes.
    pub payload_len_max: u16,
    /// Whether huge pages may be used.
    pub huge_pages: bool,
}

/// What [`open`] gives.
#[derive(Debug)]
pub struct DpdkDevice {
    /// A port for each core, in their order. Each may move to its core's thread.
    pub ports: Vec<DpdkPort>,
    /// The address of the interface.
    pub mac: MacAddr,
    /// How frames find their core.
    pub steering: Steering,
    /// What the device's driver is called.
    pub driver: String,
    /// Whether there is a link, at this moment.
    pub link: LinkState,
}

/// Opens the ports of a device. Not for two threads at the same time.
///
/// # Errors
/// [`DpdkOpenError`], with the name of the device and what to do.
pub fn open(config: &DpdkConfig) -> Result<DpdkDevice, DpdkOpenError> {
    let eal = Eal::start(config)?;
    let (device, parts) = Device::open(eal, config)?;
    let device = Arc::new(device);
    let ports = parts.into_iter().map(|part| DpdkPort::new(Arc::clone(&device), part)).collect();
    Ok(DpdkDevice {
        ports,
        mac: device.mac(),
        steering: device.steering(),
        driver: device.driver().to_owned(),
        link: device.link(),
    })
}
