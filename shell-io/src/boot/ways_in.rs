//! By what packets come to each core of a side.

use std::net::SocketAddr;

use kv_core::design::{CoreId, Plan, Side};
use qp_wire::net::Local;

use super::cores::WayIn;
use super::error::RunError;
use crate::config::{Config, ControlSection, NetworkSection, PortKind};
use crate::port::Replay;
use crate::port::dpdk::{self, DeviceWatch, DpdkConfig, DpdkDevice};

/// By what packets come to a side.
#[derive(Debug)]
pub(super) struct WaysIn {
    /// The way in of each core, `None` for cores without a port.
    pub(super) of_cores: Vec<Option<WayIn>>,
    /// The device that they lead to, if it is one.
    pub(super) device: Option<DeviceWatch>,
}

/// The ways in of all cores. A device is opened here, sockets by their cores.
pub(super) fn open<C: ControlSection>(config: &Config<C>, plan: &Plan) -> Result<WaysIn, RunError> {
    let cores = (0..plan.core_count(C::SIDE)).map(CoreId);
    let has_port = |core: &CoreId| plan.has_port(C::SIDE, *core);
    let port_count = cores.clone().filter(has_port).count();
    if config.port.kind == PortKind::Udp || port_count == 0 {
        let socket = |core| WayIn::Socket(bind_address(&config.network, plan, C::SIDE, core));
        let of_cores = cores.map(|core| has_port(&core).then(|| socket(core))).collect();
        return Ok(WaysIn { of_cores, device: None });
    }
    let (shares, device) = match config.port.kind {
        PortKind::Replay => (read_frames(config, port_count as u16)?, None),
        PortKind::Udp | PortKind::Dpdk => {
            let (shares, watch) = open_device(config, port_count as u16)?;
            (shares, Some(watch))
        }
    };
    let mut shares = shares.into_iter();
    let of_cores = cores.map(|core| has_port(&core).then(|| shares.next()).flatten()).collect();
    Ok(WaysIn { of_cores, device })
}

/// Endpoints of both sides are numbered together, so that both can be on one machine.
fn bind_address(network: &NetworkSection, plan: &Plan, side: Side, core: CoreId) -> SocketAddr {
    let endpoint = plan.endpoints().find(|endpoint| (endpoint.side, endpoint.core) == (side, core));
    let port = match (network.base_port.get(), endpoint) {
        (0, _) | (_, None) => 0,
        (base, Some(endpoint)) => base + u16::from(endpoint.label.0),
    };
    SocketAddr::from((network.address, port))
}

/// The ports of the configured device. Each device has its own numbers, as MICA2 has it.
fn open_device<C>(config: &Config<C>, core_count: u16) -> Result<(Vec<WayIn>, DeviceWatch), RunError> {
    let Config { port, network, table, idle, .. } = config;
    let DpdkDevice { ports, mac, watch, .. } = dpdk::open(&DpdkConfig {
        device: port.device.clone(),
        eal: port.eal.clone(),
        core_count,
        queue_count_max: core_count,
        first_udp_port: port.udp_port.get(),
        buffers: network.buffers.get(),
        payload_len_max: network.frame_len_max.get(),
        huge_pages: table.huge_pages,
        // A core that never sleeps need not be woken.
        interrupts: idle.policy().sleep_ms > 0,
    })?;
    let local = |number| Local { mac, ipv4: network.address, port: port.udp_port.get() + number };
    Ok((ports.into_iter().zip(0..).map(|(port, number)| WayIn::Device(port, local(number))).collect(), watch))
}

/// The frames of a file, each core's own, for endpoints numbered as a device's are.
fn read_frames<C>(config: &Config<C>, core_count: u16) -> Result<Vec<WayIn>, RunError> {
    let (port, udp_port) = (&config.port, config.port.udp_port.get());
    let Replay { of_cores, mac } = Replay::read(&port.frames, port.once.get().into(), core_count, udp_port)?;
    let local = |number| Local { mac, ipv4: config.network.address, port: udp_port + number };
    Ok(of_cores.into_iter().zip(0..).map(|(frames, number)| WayIn::Replay(frames, local(number))).collect())
}
