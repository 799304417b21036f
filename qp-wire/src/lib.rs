//! Bytes to values and back.
//!
//! Everything that crosses a wire or the PCIe window is decoded here, once, into values that cannot be wrong, and
//! encoded here. The crate knows three formats and what they share:
//!
//! * [`net`]: the Ethernet, IPv4 and UDP headers around a datagram, for ports that give whole frames;
//! * [`mica`]: MICA2's client protocol, one 24-byte header a request, byte-exact;
//! * [`native`]: our own client protocol, a 16-byte header around a [`batch`] body;
//! * [`qp`]: the slots of a queue pair, a 16-byte header around runs of the very same [`batch`] bodies.
//!
//! `docs/wire-format.md` is normative. Its rules have ids (W-C-n for client packets, W-B-n for batch bodies, W-Q-n for
//! queue pairs); a check and its test both name the id.
//!
//! Decoders accept any bytes and never panic. They borrow from their input and copy nothing.

#![no_std]
#![forbid(unsafe_code)]

pub mod batch;
pub mod drop_reason;
pub mod limits;
pub mod mica;
pub mod native;
pub mod net;
pub mod operation;
pub mod protocol;
pub mod qp;
pub mod result_code;
mod short_copy;

pub use drop_reason::DropReason;
pub use operation::{Opcode, Operation, RawRequest, Request, TtlMs};
pub use result_code::ResultCode;
