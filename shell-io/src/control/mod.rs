//! How the two sides meet: a TCP connection on which they agree, exchange windows, and tell each other that they live.
//!
//! The DPU listens, the host connects and tries for ever. Each connection that gets as far as attaching is a new
//! *epoch* of all queue pairs; when it ends, for whatever reason, both sides detach and begin again.
//!
//! * [`agreement`]: what must be equal on both sides;
//! * [`message`]: the bytes;
//! * [`session`]: who says what when, without a socket;
//! * [`link`]: the thread that moves the bytes and runs sessions one after the other.

pub mod agreement;
mod connection;
pub mod link;
pub mod message;
pub mod session;

pub use agreement::{Agreement, Field, Mismatch};
pub use link::{Link, MismatchError, QueuePairEnds, Way};
pub use message::{EndpointAddress, Epoch, FarewellReason, Introduction, Message, MessageError, WindowDescriptor};
pub use session::{Session, SessionEnd, Step, Timing};
