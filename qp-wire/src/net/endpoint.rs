//! The two ends of a conversation. They have the same fields, and different types so that nobody swaps them.

use core::net::Ipv4Addr;

use super::{Datagram, MacAddr};
use crate::DropReason;

/// Our end: what a frame must be addressed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Local {
    /// The interface.
    pub mac: MacAddr,
    /// The interface's address.
    pub ipv4: Ipv4Addr,
    /// The UDP port of this endpoint; 0 is a port like any other on MICA2's wire.
    pub port: u16,
}

/// The other end: where a frame came from and where its answer goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Remote {
    /// The next hop on the way to the peer, or the peer itself.
    pub mac: MacAddr,
    /// The peer.
    pub ipv4: Ipv4Addr,
    /// The peer's UDP port.
    pub port: u16,
}

impl Local {
    /// Whether the datagram is for this endpoint and comes from elsewhere.
    ///
    /// MICA2 tells its endpoints apart by UDP port alone, so several of them on one interface would answer each other's
    /// requests if any of the three parts were not looked at.
    ///
    /// # Errors
    /// [`DropReason::Destination`] if MAC, address or port are not ours (rule W-C-13); [`DropReason::Source`] if the
    /// sender claims to be us or to be a loopback address (rule W-C-14).
    pub fn accepts(&self, datagram: &Datagram<'_>) -> Result<(), DropReason> {
        // Rule W-C-13. Ours are unicast, so this refuses broadcast and multicast too.
        if datagram.destination_mac() != self.mac
            || datagram.destination_ipv4() != self.ipv4
            || datagram.destination_port() != self.port
        {
            return Err(DropReason::Destination);
        }
        // Rule W-C-14. An answer to ourselves would come back as a request.
        let source = datagram.source();
        if source.mac == self.mac || source.ipv4 == self.ipv4 || source.ipv4.is_loopback() {
            return Err(DropReason::Source);
        }
        Ok(())
    }
}
