//! What is asked of DPDK, in programs that are built with it and in those that are not.

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
    /// Whether frames are to wake cores that sleep, if the device's driver can do that.
    pub interrupts: bool,
}
