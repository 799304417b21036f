//! One device: its set-up, its addresses, its link and what it counts.

use std::ffi::{CStr, CString, c_int};
use std::io;
use std::mem::MaybeUninit;
use std::ptr;

use dpdk_sys::{dpukv_eth_info, dpukv_eth_setup, dpukv_link};
use kv_core::port::BURST_COUNT_MAX;
use qp_wire::limits::DATAGRAM_LEN_MAX;
use qp_wire::net::{ETHERNET_LEN, HEADERS_LEN, MacAddr};
use tracing::{debug, info};

use super::DpdkConfig;
use super::eal::{self, Eal};
use super::error::{DpdkOpenError, cause};
use super::inbox::Inbox;
use super::interrupt;
use super::pool::{DESCRIPTOR_COUNT, FramePool, NO_VIEWS};
use super::steering::{Rules, Steering};

/// The MTU that every device takes and has unless told otherwise.
const MTU_USUAL: u16 = 1500;

/// What frames have beyond an IPv4 packet.
const _: () = assert!(DATAGRAM_LEN_MAX + HEADERS_LEN - ETHERNET_LEN <= u16::MAX as usize);

/// A device with its queues. It is stopped and closed when the last core's port is gone.
#[derive(Debug)]
pub(super) struct Device {
    name: String,
    driver: String,
    port: u16,
    queue_count: u16,
    first_udp_port: u16,
    mac: MacAddr,
    steering: Steering,
    /// Whether frames can wake the core that they are for.
    wakes_cores: bool,
    /// Given up before the device is closed.
    rules: Option<Rules>,
    /// What others found for a core, for each core; empty where nobody hands over.
    inboxes: Vec<Inbox>,
    /// What cores without a queue send, for each queue; empty where each core has one.
    outboxes: Vec<Inbox>,
}

/// What one core gets of a device.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    /// The core, from 0.
    pub(super) core: u16,
    /// Its queue, in both directions; `None` where the device has fewer of them than there are cores.
    pub(super) queue: Option<u16>,
    /// The queue by which its frames leave.
    pub(super) way_out: u16,
    pub(super) pool: FramePool,
    /// Whether its queue writes IPv4 header checksums.
    pub(super) can_offload: bool,
}

/// The state of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkState {
    /// Whether frames can pass.
    pub is_up: bool,
    /// Mb/s; 0 when it is not known.
    pub speed_mbps: u32,
}

/// What a device counts by itself, frames since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeviceCounts {
    /// Came in.
    pub received: u64,
    /// Went out.
    pub transmitted: u64,
    /// Lost, because no core took them in time.
    pub missed: u64,
    /// Damaged ones that came.
    pub receive_errors: u64,
    /// Lost, because there was no free frame.
    pub without_buffer: u64,
    /// Given to the device and not sent.
    pub transmit_errors: u64,
}

impl Device {
    /// Opens a device for as many cores as the configuration says.
    pub(super) fn open(_: Eal, config: &DpdkConfig) -> Result<(Self, Vec<Part>), DpdkOpenError> {
        let port = find(&config.device)?;
        let info = info_of(port, config)?;
        let queue_count = [info.rx_queue_max, info.tx_queue_max, config.queue_count_max]
            .into_iter()
            .fold(config.core_count, u16::min)
            .max(1);
        let mut setup = setup_of(&info, config, queue_count)?;
        let mut parts = Vec::new();
        for core in 0..config.core_count {
            let pool = FramePool::new(config, info.node)?;
            let queue = (core < queue_count).then_some(core);
            let can_offload = queue.is_some() && setup.tx_offloads & dpdk_sys::DPUKV_TX_OFFLOAD_IPV4_CKSUM != 0;
            parts.push(Part { core, queue, way_out: core % queue_count, pool, can_offload });
        }
        let refused = |(step, cause)| DpdkOpenError::Refused { device: config.device.clone(), step, cause };
        let mut started = start(port, &setup, &parts, info.node);
        if started.is_err() && setup.rx_interrupts {
            setup.rx_interrupts = false;
            started = start(port, &setup, &parts, info.node);
        }
        started.map_err(refused)?;
        let mut device = Self {
            name: config.device.clone(),
            driver: text_of(&info),
            port,
            queue_count,
            first_udp_port: config.first_udp_port,
            mac: mac_of(port).map_err(|cause| refused(("tell its address", cause)))?,
            steering: Steering::Single,
            wakes_cores: false,
            rules: None,
            inboxes: Vec::new(),
            outboxes: Vec::new(),
        };
        device.steer(config, &info)?;
        if config.interrupts {
            device.find_interrupts(setup.rx_interrupts);
        }
        Ok((device, parts))
    }

    /// Finds out whether frames can wake their cores. A frame that is handed over calls nobody.
    fn find_interrupts(&mut self, are_set_up: bool) {
        let why_not = match (self.steering.hands_over(), are_set_up) {
            (true, _) => Some("cores hand over"),
            (false, true) if interrupt::has_interrupts(self.port, self.queue_count) => None,
            (false, _) => Some("the driver has no receive interrupts"),
        };
        self.wakes_cores = why_not.is_none();
        match why_not {
            None => info!(device = self.name, "the device wakes cores that sleep"),
            Some(why) => info!(device = self.name, "cores that would sleep look at short intervals: {why}"),
        }
    }

    /// Sees to it that frames find their core.
    fn steer(&mut self, config: &DpdkConfig, info: &dpukv_eth_info) -> Result<(), DpdkOpenError> {
        let (count, queue_count) = (config.core_count, self.queue_count);
        if count > 1 {
            let has_queues = queue_count == count;
            self.rules = if has_queues { Rules::create(self.port, self.first_udp_port, count) } else { None };
            let hashes = info.rss_kinds & dpdk_sys::DPUKV_RSS_UDP != 0 && queue_count > 1;
            self.steering = match (&self.rules, hashes) {
                (Some(_), _) => Steering::Rules,
                (None, true) => Steering::Hash,
                (None, false) => Steering::HandOver,
            };
        }
        if self.steering.hands_over() {
            self.inboxes = (0..count).map(|_| Inbox::new(info.node)).collect::<Result<_, _>>()?;
        }
        if queue_count < count {
            self.outboxes = (0..queue_count).map(|_| Inbox::new(info.node)).collect::<Result<_, _>>()?;
        }
        info!(device = self.name, driver = self.driver, queues = queue_count, cores = count, "{}", self.steering);
        Ok(())
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn mac(&self) -> MacAddr {
        self.mac
    }

    pub(super) fn steering(&self) -> Steering {
        self.steering
    }

    pub(super) fn wakes_cores(&self) -> bool {
        self.wakes_cores
    }

    pub(super) fn driver(&self) -> &str {
        &self.driver
    }

    /// How many rules steer frames.
    pub(super) fn rule_count(&self) -> usize {
        self.rules.as_ref().map_or(0, Rules::count)
    }

    /// Where frames for a UDP port are to be put, if it is a core's and cores hand over.
    pub(super) fn inbox_of(&self, udp_port: u16) -> Option<(u16, &Inbox)> {
        let core = udp_port.wrapping_sub(self.first_udp_port);
        self.inboxes.get(usize::from(core)).map(|inbox| (core, inbox))
    }

    /// The inbox of a core, if there are any.
    pub(super) fn inbox(&self, core: u16) -> Option<&Inbox> {
        self.inboxes.get(usize::from(core))
    }

    /// Where cores without a queue put what is to leave by this one, if there are any.
    pub(super) fn outbox(&self, queue: u16) -> Option<&Inbox> {
        self.outboxes.get(usize::from(queue))
    }

    /// The link at this moment.
    pub(super) fn link(&self) -> LinkState {
        let mut link = dpukv_link { speed_mbps: 0, is_up: false, is_full_duplex: false };
        // SAFETY: the port is open, and the structure is ours for the call.
        let result = unsafe { dpdk_sys::dpukv_eth_link(self.port, &raw mut link) };
        let is_known = result == 0 && link.speed_mbps != u32::MAX;
        LinkState { is_up: result == 0 && link.is_up, speed_mbps: if is_known { link.speed_mbps } else { 0 } }
    }

    /// What it has counted so far; nothing where it does not count.
    pub(super) fn counts(&self) -> DeviceCounts {
        let mut stats = MaybeUninit::zeroed();
        // SAFETY: the port is open, and the structure is ours for the call.
        if unsafe { dpdk_sys::rte_eth_stats_get(self.port, stats.as_mut_ptr()) } != 0 {
            return DeviceCounts::default();
        }
        // SAFETY: it is made of integers, zero at first.
        let stats = unsafe { stats.assume_init() };
        DeviceCounts {
            received: stats.ipackets,
            transmitted: stats.opackets,
            missed: stats.imissed,
            receive_errors: stats.ierrors,
            without_buffer: stats.rx_nombuf,
            transmit_errors: stats.oerrors,
        }
    }

    /// All that the driver counts, by the driver's names.
    pub(super) fn extended_counts(&self) -> Vec<(String, u64)> {
        // SAFETY: no room is claimed; the function says how much it would take.
        let count = unsafe { dpdk_sys::rte_eth_xstats_get_names(self.port, ptr::null_mut(), 0) };
        let count = usize::try_from(count).unwrap_or(0);
        let mut names = vec![dpdk_sys::rte_eth_xstat_name { name: [0; 64] }; count];
        let mut values = vec![dpdk_sys::rte_eth_xstat { id: 0, value: 0 }; count];
        // SAFETY: there is room for `count` names.
        let named = unsafe { dpdk_sys::rte_eth_xstats_get_names(self.port, names.as_mut_ptr(), count as u32) };
        // SAFETY: there is room for `count` values.
        let valued = unsafe { dpdk_sys::rte_eth_xstats_get(self.port, values.as_mut_ptr(), count as u32) };
        if usize::try_from(named) != Ok(count) || usize::try_from(valued) != Ok(count) {
            return Vec::new();
        }
        let name_of = |id: u64| {
            let name = names.get(usize::try_from(id).ok()?)?;
            Some(text(&name.name))
        };
        values.iter().filter_map(|value| Some((name_of(value.id)?, value.value))).collect()
    }
}

impl Device {
    /// Gives back what waits in a queue: not every driver does so when it is closed. A device that never ends bringing
    /// frames is left with those that come after as many as its queue can hold.
    fn empty_queue(&self, queue: u16) {
        let (mut mbufs, mut views) = ([ptr::null_mut(); BURST_COUNT_MAX], NO_VIEWS);
        for _ in 0..2 * usize::from(DESCRIPTOR_COUNT) / BURST_COUNT_MAX {
            let room = BURST_COUNT_MAX as u16;
            // SAFETY: the port is started, no core has the queue any more, and the arrays have as much room.
            let count =
                unsafe { dpdk_sys::dpukv_eth_receive(self.port, queue, mbufs.as_mut_ptr(), views.as_mut_ptr(), room) };
            for mbuf in mbufs.iter().take(count.into()) {
                // SAFETY: the device has given the mbuf away, and it is not used again.
                unsafe { dpdk_sys::dpukv_mbuf_free(*mbuf) };
            }
            if count == 0 {
                return;
            }
        }
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        for (name, count) in self.extended_counts().iter().filter(|(_, count)| *count > 0) {
            debug!(device = self.name, "{name} = {count}");
        }
        // Rules are the device's.
        drop(self.rules.take());
        (0..self.queue_count).for_each(|queue| self.empty_queue(queue));
        // SAFETY: the port is started, and no core has a queue of it any more.
        let stopped = unsafe { dpdk_sys::rte_eth_dev_stop(self.port) };
        if stopped == 0 {
            // SAFETY: the port is stopped, and nothing uses its number after this.
            unsafe { dpdk_sys::rte_eth_dev_close(self.port) };
        }
    }
}

/// A result of DPDK as one of Rust.
fn checked(result: c_int) -> Result<(), io::Error> {
    if result < 0 { Err(cause(result)) } else { Ok(()) }
}

fn find(device: &str) -> Result<u16, DpdkOpenError> {
    let no_device = || DpdkOpenError::NoDevice { device: device.to_owned() };
    let name = CString::new(eal::port_name(device)).map_err(|_| no_device())?;
    let mut port = 0;
    // SAFETY: the name ends with NUL, and the number is ours for the call.
    let result = unsafe { dpdk_sys::rte_eth_dev_get_port_by_name(name.as_ptr(), &raw mut port) };
    if result == 0 { Ok(port) } else { Err(no_device()) }
}

fn info_of(port: u16, config: &DpdkConfig) -> Result<dpukv_eth_info, DpdkOpenError> {
    let mut info = MaybeUninit::zeroed();
    // SAFETY: the port is there, and the structure is ours for the call.
    let result = checked(unsafe { dpukv_eth_info(port, info.as_mut_ptr()) });
    let refused = |cause| DpdkOpenError::Refused { device: config.device.clone(), step: "tell what it offers", cause };
    result.map_err(refused)?;
    // SAFETY: it is made of integers, zero at first.
    Ok(unsafe { info.assume_init() })
}

/// Everything that is of use and that the device offers.
fn setup_of(info: &dpukv_eth_info, config: &DpdkConfig, queues: u16) -> Result<dpukv_eth_setup, DpdkOpenError> {
    let needed = config.payload_len_max + (HEADERS_LEN - ETHERNET_LEN) as u16;
    if u32::from(needed) > info.mtu_max && info.mtu_max > 0 {
        return Err(DpdkOpenError::Mtu { device: config.device.clone(), max: info.mtu_max, needed });
    }
    let checksums = dpdk_sys::DPUKV_RX_OFFLOAD_IPV4_CKSUM | dpdk_sys::DPUKV_RX_OFFLOAD_UDP_CKSUM;
    let is_jumbo = needed > MTU_USUAL;
    let scatter = if is_jumbo { dpdk_sys::DPUKV_RX_OFFLOAD_SCATTER } else { 0 };
    Ok(dpukv_eth_setup {
        rx_offloads: info.rx_offloads & (checksums | scatter),
        tx_offloads: info.tx_offloads & dpdk_sys::DPUKV_TX_OFFLOAD_IPV4_CKSUM,
        rss_kinds: if queues > 1 { info.rss_kinds & dpdk_sys::DPUKV_RSS_UDP } else { 0 },
        rx_queue_count: queues,
        tx_queue_count: queues,
        mtu: if is_jumbo { needed } else { 0 },
        rx_interrupts: config.interrupts,
    })
}

/// Sets a device up, with its queues, and starts it; or which step it refuses.
fn start(port: u16, setup: &dpukv_eth_setup, parts: &[Part], node: c_int) -> Result<(), (&'static str, io::Error)> {
    let refused = |step| move |cause| (step, cause);
    // SAFETY: the port is there and not started, and the structure is ours for the call.
    checked(unsafe { dpdk_sys::dpukv_eth_configure(port, setup) }).map_err(refused("be set up with these queues"))?;
    set_up_queues(port, setup.rx_queue_count, parts, node).map_err(refused("set up a queue"))?;
    // SAFETY: the port has its queues and is not started yet.
    checked(unsafe { dpdk_sys::rte_eth_dev_start(port) }).map_err(refused("start"))
}

fn set_up_queues(port: u16, queue_count: u16, parts: &[Part], node: c_int) -> Result<(), io::Error> {
    let (mut rx_count, mut tx_count) = (DESCRIPTOR_COUNT, DESCRIPTOR_COUNT);
    // SAFETY: the port is configured, and both numbers are ours for the call.
    checked(unsafe { dpdk_sys::rte_eth_dev_adjust_nb_rx_tx_desc(port, &raw mut rx_count, &raw mut tx_count) })?;
    // DPDK's name for any node is -1, here as everywhere.
    let node = node as u32;
    for (queue, part) in (0..queue_count).zip(parts) {
        let pool = part.pool.as_ptr();
        // SAFETY: the port is configured with this queue, and the pool lives as long as the process.
        checked(unsafe { dpdk_sys::rte_eth_rx_queue_setup(port, queue, rx_count, node, ptr::null(), pool) })?;
        // SAFETY: the port is configured with this queue.
        checked(unsafe { dpdk_sys::rte_eth_tx_queue_setup(port, queue, tx_count, node, ptr::null()) })?;
    }
    Ok(())
}

fn mac_of(port: u16) -> Result<MacAddr, io::Error> {
    let mut address = dpdk_sys::rte_ether_addr { addr_bytes: [0; 6] };
    // SAFETY: the port is there, and the structure is ours for the call.
    checked(unsafe { dpdk_sys::rte_eth_macaddr_get(port, &raw mut address) })?;
    Ok(MacAddr(address.addr_bytes))
}

fn text_of(info: &dpukv_eth_info) -> String {
    text(&info.driver)
}

/// A text that ends with NUL inside its array.
fn text(chars: &[std::ffi::c_char]) -> String {
    let bytes: Vec<u8> = chars.iter().map(|char| char.to_ne_bytes()[0]).collect();
    CStr::from_bytes_until_nul(&bytes).map(|text| text.to_string_lossy().into_owned()).unwrap_or_default()
}
