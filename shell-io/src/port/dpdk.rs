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
//! | `interrupt` | what wakes a core that sleeps |

#![allow(unsafe_code, reason = "DPDK is a C library; each file says what it has to hold for its calls")]

mod device;
mod eal;
mod error;
mod frame;
mod inbox;
mod interrupt;
mod pool;
mod queue;
mod steering;

use std::sync::{Arc, Weak};

use qp_wire::net::MacAddr;

use self::device::Device;
use self::eal::Eal;

pub use super::dpdk_config::DpdkConfig;
pub use device::{DeviceCounts, LinkState};
pub use eal::{ThreadRegistration, register_thread};
pub use error::DpdkOpenError;
pub use frame::DpdkFrame;
pub use interrupt::QueueInterrupt;
pub use queue::DpdkPort;
pub use steering::Steering;

/// Whether this program can open DPDK's devices.
pub const IS_BUILT: bool = true;

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
    /// By what the device can be asked while cores use it.
    pub watch: DeviceWatch,
}

/// A device seen from a thread that is no core's. It does not keep the device open.
#[derive(Clone, Debug)]
pub struct DeviceWatch(Weak<Device>);

impl DeviceWatch {
    /// All that the driver counts, by the driver's names; `None` when the device is closed. Slow.
    pub fn extended_counts(&self) -> Option<Vec<(String, u64)>> {
        self.0.upgrade().map(|device| device.extended_counts())
    }
}

/// Opens the ports of a device. Not for two threads at the same time.
///
/// # Errors
/// [`DpdkOpenError`], with the name of the device and what to do.
pub fn open(config: &DpdkConfig) -> Result<DpdkDevice, DpdkOpenError> {
    let eal = Eal::start(config)?;
    let (device, parts) = Device::open(eal, config)?;
    let device = Arc::new(device);
    let watch = DeviceWatch(Arc::downgrade(&device));
    let ports = parts.into_iter().map(|part| DpdkPort::new(Arc::clone(&device), part)).collect();
    Ok(DpdkDevice {
        ports,
        mac: device.mac(),
        steering: device.steering(),
        driver: device.driver().to_owned(),
        link: device.link(),
        watch,
    })
}
