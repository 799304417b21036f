//! A device, found by its PCI address.

use std::fmt;
use std::path::Path;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use doca_sys::{Dev, DevInfo, Generation};
use kv_core::dma::COPY_ALIGN;
use tracing::{info, warn};

use super::context::CompletionMode;
use super::error::{DocaError, checked};
use super::library::Library;
use super::{pe, workq};

/// What a device can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest single copy, in bytes.
    pub copy_len_max: u64,
    /// Whether it copies at all.
    pub can_copy: bool,
    /// Whether its memory can be exported to the other side.
    pub can_export: bool,
    /// Whether it reaches memory that the other side has exported.
    pub can_import: bool,
}

/// What a device is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Purpose {
    /// Whether engines of this side copy by it.
    pub copies: bool,
    /// Whether the other side's device is to reach memory of this side.
    pub exports: bool,
    /// Whether it is to reach memory of the other side.
    pub imports: bool,
    /// How engines wait for their copies.
    pub completion: CompletionMode,
}

impl Purpose {
    /// Everything, with engines that are polled.
    pub const ALL: Self = Self { copies: true, exports: true, imports: true, completion: CompletionMode::Poll };
}

/// A PCI address, `0000:03:00.0` or `03:00.0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PciAddress {
    pub(super) domain: u16,
    pub(super) bus: u8,
    pub(super) device: u8,
    pub(super) function: u8,
}

impl PciAddress {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (text, function) = text.split_once('.')?;
        let (text, device) = text.rsplit_once(':')?;
        let (domain, bus) = text.split_once(':').unwrap_or(("0", text));
        let (device, function) = (u8::from_str_radix(device, 16).ok()?, u8::from_str_radix(function, 16).ok()?);
        let (domain, bus) = (u16::from_str_radix(domain, 16).ok()?, u8::from_str_radix(bus, 16).ok()?);
        (device < 32 && function < 8).then_some(Self { domain, bus, device, function })
    }
}

impl fmt::Display for PciAddress {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { domain, bus, device, function } = self;
        write!(out, "{domain:04x}:{bus:02x}:{device:02x}.{function}")
    }
}

/// One that was found, before it is opened.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) info: NonNull<DevInfo>,
    pub(super) address: PciAddress,
}

/// The devices in a list of DOCA's whose addresses can be told.
///
/// # Safety
/// `list` has `count` elements, if that is not 0.
pub(super) unsafe fn listed(
    list: *mut *mut DevInfo,
    count: u32,
    address_of: impl Fn(NonNull<DevInfo>) -> Option<PciAddress>,
) -> Vec<Found> {
    if list.is_null() || count == 0 {
        return Vec::new();
    }
    // SAFETY: the caller vouches for the list.
    let infos = unsafe { std::slice::from_raw_parts(list, count as usize) };
    let found = infos.iter().filter_map(|info| NonNull::new(*info));
    found.filter_map(|info| Some(Found { info, address: address_of(info)? })).collect()
}

/// Whether a text is a PCI address.
pub(crate) fn is_pci_address(text: &str) -> bool {
    PciAddress::parse(text).is_some()
}

/// An open device. It is closed with its last user: every map and context holds it.
#[derive(Debug)]
pub struct Device {
    library: Arc<Library>,
    dev: NonNull<Dev>,
    limits: Limits,
    purpose: Purpose,
}

// SAFETY: the handle is used for set-up only, under the library's lock.
unsafe impl Send for Device {}
// SAFETY: as above.
unsafe impl Sync for Device {}

impl Device {
    /// Loads DOCA, from `directory` if it is named, and opens the device at a PCI address for everything.
    ///
    /// # Errors
    /// [`DocaError`]: there is no DOCA, no such device, or it cannot copy between the sides.
    pub fn open(directory: Option<&Path>, address: &str) -> Result<Arc<Self>, DocaError> {
        Self::open_for(directory, address, Purpose::ALL)
    }

    /// The same for what is needed of it, so that a device that can no more will do.
    ///
    /// # Errors
    /// As above.
    pub fn open_for(directory: Option<&Path>, address: &str, purpose: Purpose) -> Result<Arc<Self>, DocaError> {
        let library = Library::load(directory)?;
        let device = {
            let _setup = library.setup();
            Self::find_and_open(&library, address, purpose)?
        };
        device.check(address)?;
        let (generation, origin) = (library.api().generation_number(), library.api().origin());
        info!(generation, origin, copy_len_max = device.limits.copy_len_max, "DOCA opens {address}");
        Ok(Arc::new(device))
    }

    fn find_and_open(library: &Arc<Library>, address: &str, purpose: Purpose) -> Result<Self, DocaError> {
        let wanted = PciAddress::parse(address);
        let opened = with_list(library, |found| {
            let device = found.iter().find(|device| Some(device.address) == wanted);
            let device = device.ok_or_else(|| no_device(address, found))?;
            let limits = limits(library, device.info);
            let mut dev = ptr::null_mut();
            // SAFETY: the list that the device is from is alive, and the pointer is ours for the call.
            let result = unsafe { (library.shared().doca_dev_open)(device.info.as_ptr(), &raw mut dev) };
            checked("open the device", result)?;
            let dev = NonNull::new(dev).ok_or_else(|| no_device(address, found))?;
            Ok((dev, limits))
        })?;
        let (dev, limits) = opened;
        Ok(Self { library: Arc::clone(library), dev, limits, purpose })
    }

    /// Whether it can what it is opened for.
    fn check(&self, address: &str) -> Result<(), DocaError> {
        let Limits { copy_len_max, can_copy, can_export, can_import } = self.limits;
        let Purpose { copies, exports, imports, .. } = self.purpose;
        let needed = [
            (copies, can_copy, "copy memory"),
            (exports, can_export, "export memory over PCIe"),
            (imports, can_import, "reach memory at the other end of PCIe"),
            (copies, copy_len_max >= COPY_ALIGN as u64, "copy 64 bytes at once"),
        ];
        let lacking = needed.into_iter().find(|(is_needed, can, _)| *is_needed && !can);
        lacking.map_or(Ok(()), |(_, _, what)| Err(DocaError::Incapable { address: address.to_owned(), what }))
    }

    /// What it can.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// How its engines wait.
    pub(super) fn completion(&self) -> CompletionMode {
        self.purpose.completion
    }

    /// The generation of the interface, 1 or 2.
    pub fn generation(&self) -> u8 {
        self.library.api().generation_number()
    }

    pub(super) fn library(&self) -> &Arc<Library> {
        &self.library
    }

    pub(super) fn as_ptr(&self) -> *mut Dev {
        self.dev.as_ptr()
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        let _setup = self.library.setup();
        // SAFETY: every map and context of the device holds it, so none is left.
        let result = unsafe { (self.library.shared().doca_dev_close)(self.dev.as_ptr()) };
        if let Err(error) = checked("close the device", result) {
            warn!("{error}; it stays open until the process ends");
        }
    }
}

/// The DOCA that a machine has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// The generation of its interface, 1 or 2.
    pub generation: u8,
    /// The file that it was loaded from.
    pub origin: String,
    /// Its release, if it tells.
    pub version: Option<String>,
    /// The addresses of its devices, and what each can.
    pub devices: Vec<(String, Limits)>,
}

impl Installed {
    /// Loads DOCA, from `directory` if it is named, and looks at its devices.
    ///
    /// # Errors
    /// [`DocaError`]: there is no DOCA, or it lists no devices.
    pub fn look(directory: Option<&Path>) -> Result<Self, DocaError> {
        let library = Library::load(directory)?;
        let _setup = library.setup();
        let devices = with_list(&library, |found| {
            Ok(found.iter().map(|found| (found.address.to_string(), limits(&library, found.info))).collect())
        })?;
        let api = library.api();
        let (origin, version) = (api.origin().to_owned(), api.version().map(str::to_owned));
        Ok(Self { generation: api.generation_number(), origin, version, devices })
    }
}

fn no_device(address: &str, found: &[Found]) -> DocaError {
    let known = found.iter().map(|found| found.address.to_string()).collect::<Vec<_>>().join(", ");
    let known = if known.is_empty() { "none".to_owned() } else { known };
    DocaError::NoDevice { address: address.to_owned(), known }
}

/// Does something with the list of devices, which ends then.
fn with_list<T>(library: &Library, act: impl FnOnce(&[Found]) -> Result<T, DocaError>) -> Result<T, DocaError> {
    match library.generation() {
        Generation::Workq(functions) => workq::with_list(functions, act),
        Generation::Pe(functions) => pe::with_list(functions, act),
    }
}

fn limits(library: &Library, info: NonNull<DevInfo>) -> Limits {
    match library.generation() {
        Generation::Workq(functions) => workq::limits(functions, info),
        Generation::Pe(functions) => pe::limits(functions, info),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_with_and_without_a_domain() {
        let address = PciAddress { domain: 0, bus: 3, device: 0x1f, function: 7 };
        assert_eq!(PciAddress::parse("0000:03:1f.7"), Some(address));
        assert_eq!(PciAddress::parse("03:1f.7"), Some(address));
        for wrong in ["", "03", "03:00", "03:20.0", "03:00.8", "0000:03:00", "x:03:00.0", "eth0"] {
            assert_eq!(PciAddress::parse(wrong), None, "{wrong}");
        }
    }
}
