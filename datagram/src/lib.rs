//! Many datagrams in few system calls, for servers and clients over a kernel's UDP socket.
//!
//! Crossing into the kernel, and each datagram's way through it, cost far more than its bytes. So a burst crosses
//! once (recvmmsg(2), sendmmsg(2)), and datagrams of one length to one peer go as a *train*: the kernel carries them as
//! one as far as it can (`UDP_SEGMENT`, `UDP_GRO`: udp(7), since Linux 4.18 and 5.0), on the loopback interface the whole
//! way. Where a kernel or a path knows no trains, each goes alone.
//!
//! * [`Inbox`]: receives, and takes trains apart.
//! * [`Outbox`]: makes trains, and sends; [`drain`] does it for a queue, whatever the kernel says.
//! * [`RawAddress`]: a peer in the kernel's form.

mod address;
mod control;
mod drain;
mod inbox;
mod outbox;

pub use address::RawAddress;
pub use drain::drain;
pub use inbox::{INBOX_MESSAGE_COUNT, Inbox};
pub use outbox::{OUTBOX_DATAGRAM_COUNT_MAX, Outbox};
