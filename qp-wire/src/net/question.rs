//! What others on the network ask of the interface itself.
//!
//! A kernel would answer these by itself. Behind a port of whole frames there is no kernel, and without an answer to ARP
//! no client finds the server.

use zerocopy::FromBytes;

use super::ethernet::{self, EthernetHeader};
use super::{ArpRequest, EchoRequest, Local};
use crate::DropReason;

/// A frame that asks for the interface and not for the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// Who has this address?
    Arp(ArpRequest),
    /// Is anybody there?
    Echo(EchoRequest),
}

impl Question {
    /// Looks at a frame that [`Datagram::decode`](super::Datagram::decode) has refused as
    /// [`NotUdp`](DropReason::NotUdp), for the interface of `local`; its UDP port is not looked at.
    ///
    /// # Errors
    /// [`DropReason::NotUdp`] for a frame that is no such question; those of [`ArpRequest::decode`] and
    /// [`EchoRequest::decode`]; [`DropReason::Destination`] and [`DropReason::Source`] for a question that is not for us
    /// or comes from ourselves (rules W-C-13, W-C-14 and W-C-41).
    pub fn decode(frame: &[u8], local: &Local) -> Result<Self, DropReason> {
        let (ethernet, _) = EthernetHeader::ref_from_prefix(frame).map_err(|_| DropReason::Short)?;
        match ethernet.ether_type() {
            ethernet::ARP => {
                let request = ArpRequest::decode(frame)?;
                request.check_for(local).map(|()| Self::Arp(request))
            }
            ethernet::IPV4 => {
                let request = EchoRequest::decode(frame)?;
                request.check_for(local).map(|()| Self::Echo(request))
            }
            _ => Err(DropReason::NotUdp),
        }
    }

    /// Makes the frame that was decoded its answer, in place, and returns the answer's length, which is never more than
    /// the question's (rule W-C-45).
    ///
    /// `None`, and nothing written, if `frame` is shorter than the question was.
    pub fn answer(&self, local: &Local, frame: &mut [u8]) -> Option<usize> {
        match self {
            Self::Arp(request) => request.write_reply(local, frame),
            Self::Echo(request) => request.write_reply(local, frame),
        }
    }
}
