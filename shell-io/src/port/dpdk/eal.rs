//! The start of DPDK, which happens once in a process, and threads that are known to it.

use std::ffi::{CString, c_int};
use std::fs;
use std::marker::PhantomData;
use std::sync::{Mutex, PoisonError};

use rustix::thread::{sched_getaffinity, sched_setaffinity};

use super::DpdkConfig;
use super::error::{DpdkOpenError, cause};
use super::pool;
use crate::lcore::usable_cpus;

/// DPDK has started.
#[derive(Clone, Copy, Debug)]
pub(super) struct Eal(());

/// What it was started with.
static STARTED: Mutex<Option<String>> = Mutex::new(None);

impl Eal {
    /// Starts DPDK, or finds it started for the same purpose.
    pub(super) fn start(config: &DpdkConfig) -> Result<Self, DpdkOpenError> {
        let arguments = arguments(config);
        let asked = arguments.join(" ");
        let mut started = STARTED.lock().unwrap_or_else(PoisonError::into_inner);
        match started.as_ref() {
            Some(started) if *started == asked => return Ok(Self(())),
            Some(started) => return Err(DpdkOpenError::Started { started: started.clone(), asked }),
            None => {}
        }
        // A second try cannot succeed either.
        *started = Some(asked.clone());
        let result = init(arguments)?;
        if result < 0 {
            return Err(DpdkOpenError::Start { arguments: asked, cause: cause(errno()) });
        }
        Ok(Self(()))
    }
}

/// What DPDK says of the last failure on this thread.
pub(super) fn errno() -> c_int {
    // SAFETY: the function reads a variable of this thread.
    unsafe { dpdk_sys::dpukv_errno() }
}

fn init(arguments: Vec<String>) -> Result<c_int, DpdkOpenError> {
    let arguments: Vec<CString> = arguments
        .into_iter()
        .map(|argument| CString::new(argument.clone()).map_err(|_| DpdkOpenError::Argument { argument }))
        .collect::<Result<_, _>>()?;
    // DPDK may change the texts and keeps pointers to them as long as it runs.
    let mut pointers: Vec<_> = arguments.into_iter().map(CString::into_raw).collect();
    let count = c_int::try_from(pointers.len()).unwrap_or(c_int::MAX);
    // DPDK binds the thread that starts it to one CPU, and threads that it starts later would be too.
    let affinity = sched_getaffinity(None);
    // SAFETY: there are `count` pointers to texts that end with NUL, may be changed and are never freed; the lock held by
    // the caller has seen to it that nobody has called this before.
    let result = unsafe { dpdk_sys::rte_eal_init(count, pointers.as_mut_ptr()) };
    if let Ok(affinity) = affinity {
        // Without it the cores share a CPU, unless they are pinned. That is slow and works.
        let _ = sched_setaffinity(None, &affinity);
    }
    Ok(result)
}

/// All arguments, the program's name first.
fn arguments(config: &DpdkConfig) -> Vec<String> {
    let mut arguments = vec!["dpukv".to_owned()];
    if config.eal.is_empty() {
        arguments.extend(usual_arguments(config));
    } else {
        arguments.extend(config.eal.iter().cloned());
    }
    let name = config.device.split(',').next().unwrap_or_default();
    let is_there = config.eal.iter().any(|argument| argument.contains(name));
    if is_pci_address(name) {
        arguments.extend(["-a".to_owned(), config.device.clone()]);
    } else {
        if !config.eal.iter().any(|argument| argument == "-a" || argument.starts_with("--allow")) {
            arguments.push("--no-pci".to_owned());
        }
        if !is_there {
            arguments.push(format!("--vdev={}", config.device));
        }
    }
    arguments
}

/// No files that other processes could mistake for theirs, one thread, errors only, and memory of the best kind that
/// there is.
fn usual_arguments(config: &DpdkConfig) -> Vec<String> {
    let cpu = usable_cpus().first().copied().unwrap_or(0);
    let mut arguments = vec![format!("--lcores=0@{cpu}"), "--no-telemetry".to_owned(), "--log-level=error".to_owned()];
    let mib = pool::mib_of(config);
    if config.huge_pages && free_huge_mib() >= mib {
        arguments.push("--in-memory".to_owned());
    } else {
        arguments.extend(["--no-huge".to_owned(), "--no-shconf".to_owned(), "-m".to_owned(), mib.to_string()]);
    }
    arguments
}

/// MiB in huge pages that nobody has taken.
fn free_huge_mib() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let number = |name| {
        let line = text.lines().find_map(|line: &str| line.strip_prefix(name));
        line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0)
    };
    number("HugePages_Free:") * number("Hugepagesize:") / 1024
}

/// Whether it is `DDDD:BB:DD.F` or `BB:DD.F`.
fn is_pci_address(name: &str) -> bool {
    let is_hex = |part: &str, len| part.len() == len && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    let Some((bus, function)) = name.rsplit_once('.') else { return false };
    let parts: Vec<_> = bus.split(':').collect();
    let form = match parts.as_slice() {
        [domain, bus, device] => is_hex(domain, 4) && is_hex(bus, 2) && is_hex(device, 2),
        [bus, device] => is_hex(bus, 2) && is_hex(device, 2),
        _ => false,
    };
    form && is_hex(function, 1)
}

/// The name under which DPDK knows a device after its start.
pub(super) fn port_name(device: &str) -> String {
    let name = device.split(',').next().unwrap_or_default();
    let has_domain = name.matches(':').count() != 1;
    if is_pci_address(name) && !has_domain { format!("0000:{name}") } else { name.to_owned() }
}

/// As long as it lives, DPDK knows this thread and keeps free frames for it: to take one and give it back costs 5 ns
/// then, and 18 ns otherwise.
#[derive(Debug)]
pub struct ThreadRegistration {
    is_registered: bool,
    /// It belongs to its thread.
    _not_send: PhantomData<*const ()>,
}

/// Tells DPDK of the calling thread. DPDK knows 128 threads at most; another one works as well, only slower.
pub fn register_thread() -> ThreadRegistration {
    // SAFETY: a thread may say so at any time; before DPDK's start it is refused.
    let is_registered = unsafe { dpdk_sys::rte_thread_register() } == 0;
    ThreadRegistration { is_registered, _not_send: PhantomData }
}

impl Drop for ThreadRegistration {
    fn drop(&mut self) {
        if self.is_registered {
            // SAFETY: this thread has been registered, and is it that says so: the value cannot leave it.
            unsafe { dpdk_sys::rte_thread_unregister() }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(device: &str) -> DpdkConfig {
        DpdkConfig {
            device: device.to_owned(),
            eal: Vec::new(),
            core_count: 1,
            queue_count_max: 1,
            first_udp_port: 0,
            buffers: 64,
            payload_len_max: 1472,
            huge_pages: false,
            interrupts: false,
        }
    }

    #[test]
    fn a_pci_address_is_told_from_the_name_of_a_virtual_device() {
        for name in ["0000:03:00.0", "03:00.1", "00ff:Ab:1f.7"] {
            assert!(is_pci_address(name), "{name}");
        }
        for name in ["net_tap0", "net_memif0,socket=/a.b:0", "3:00.0", "0000:03:00", "", "03:00.10"] {
            assert!(!is_pci_address(name), "{name}");
        }
        assert_eq!(
            ["03:00.1", "0000:03:00.1,a=1", "net_tap0,iface=x"].map(port_name),
            ["0000:03:00.1", "0000:03:00.1", "net_tap0"]
        );
    }

    #[test]
    fn a_device_becomes_an_argument_unless_it_is_one_already() {
        let made = arguments(&config("net_tap0,iface=x"));
        assert!(made.contains(&"--vdev=net_tap0,iface=x".to_owned()) && made.contains(&"--no-pci".to_owned()));
        let given = DpdkConfig { eal: vec!["--vdev=net_ring0".to_owned()], ..config("net_ring0") };
        assert_eq!(arguments(&given), ["dpukv", "--vdev=net_ring0", "--no-pci"]);
        let card = arguments(&config("03:00.0"));
        assert!(card.ends_with(&["-a".to_owned(), "03:00.0".to_owned()]) && !card.contains(&"--no-pci".to_owned()));
    }
}
