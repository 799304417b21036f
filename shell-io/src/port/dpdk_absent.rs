//! What stands in for DPDK's ports in a program that was built without them: nothing can be opened.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use kv_core::port::{Burst, DropCounts, Holds, RawFrame, RawPort};
use qp_wire::net::MacAddr;

pub use super::dpdk_config::DpdkConfig;

/// Whether this program can open DPDK's devices.
pub const IS_BUILT: bool = false;

/// What [`open`] would give.
#[derive(Debug)]
pub struct DpdkDevice {
    /// A port for each core.
    pub ports: Vec<DpdkPort>,
    /// The address of the interface.
    pub mac: MacAddr,
    /// By what the device could be asked.
    pub watch: DeviceWatch,
}

/// A device seen from another thread, of which there is none.
#[derive(Clone, Debug)]
pub enum DeviceWatch {}

impl DeviceWatch {
    /// What the driver would count.
    pub fn extended_counts(&self) -> Option<Vec<(String, u64)>> {
        match *self {}
    }
}

/// Why the ports of a device could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum DpdkOpenError {
    /// This program was built without DPDK.
    #[error("this program was built without DPDK: build it with --features dpdk")]
    NotBuilt,
}

/// Opens nothing.
///
/// # Errors
/// [`DpdkOpenError::NotBuilt`].
pub fn open(_: &DpdkConfig) -> Result<DpdkDevice, DpdkOpenError> {
    Err(DpdkOpenError::NotBuilt)
}

/// A thread that DPDK would know.
#[derive(Debug)]
pub struct ThreadRegistration(());

/// Does nothing.
pub fn register_thread() -> ThreadRegistration {
    ThreadRegistration(())
}

/// A port, of which there is none.
#[derive(Debug)]
pub enum DpdkPort {}

impl DpdkPort {
    /// What would wake the core.
    ///
    /// # Errors
    /// None.
    pub fn interrupt(&self) -> io::Result<Option<QueueInterrupt>> {
        match *self {}
    }
}

/// A receive interrupt, of which there is none.
#[derive(Debug)]
pub enum QueueInterrupt {}

impl QueueInterrupt {
    /// Would turn it on.
    pub fn enable(&self) -> bool {
        match *self {}
    }

    /// Would turn it off.
    pub fn disable(&self) {
        match *self {}
    }
}

impl AsFd for QueueInterrupt {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match *self {}
    }
}

/// A frame, of which there is none.
#[derive(Debug)]
pub enum DpdkFrame {}

impl RawFrame for DpdkFrame {
    fn bytes(&self) -> &[u8] {
        match *self {}
    }

    fn buf(&mut self) -> &mut [u8] {
        match *self {}
    }

    fn set_len(&mut self, _: usize) {
        match *self {}
    }
}

impl RawPort for DpdkPort {
    type Frame = DpdkFrame;

    fn alloc(&mut self) -> Option<DpdkFrame> {
        match *self {}
    }

    fn receive(&mut self, _: &mut Burst<DpdkFrame>, _: &mut DropCounts) {
        match *self {}
    }

    fn transmit<H: Holds<DpdkFrame>>(&mut self, _: &mut Burst<H>, _: &mut DropCounts) {
        match *self {}
    }
}
