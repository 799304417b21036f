//! One connection of the control channel, from its first message to its end, without a socket and without a clock.
//!
//! ```text
//! host                                   DPU
//!  |--- hello: agreement, last epoch, windows --->|   compares, chooses epoch = max(last epochs) + 1
//!  |<-- welcome: agreement, epoch, windows -------|
//!  attaches                                       |
//!  |--- attached: epoch ------------------------->|   attaches
//!  |<-- heartbeats, both ways ------------------->|
//! ```
//!
//! Windows are zeroed before they are described, nobody is attached to them then, and the host attaches first, so the
//! first request of an epoch finds its reader. A copy of an older epoch that comes late fails the check of its slot.

use kv_core::design::Side;

use super::agreement::Mismatch;
use super::message::{Epoch, FarewellReason, Introduction, Message, MessageError, Refusal};

/// How often to give a sign of life, and how long to wait for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Milliseconds between two signs of life.
    pub heartbeat_ms: u64,
    /// Milliseconds of silence after which the other side counts as dead.
    pub dead_after_ms: u64,
}

/// What the owner of a session does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing.
    Wait,
    /// Sends this.
    Send(Message),
    /// Attaches its queue pairs to the peer's windows in this epoch, then sends `then`, if anything.
    Attach {
        /// The new epoch.
        epoch: Epoch,
        /// What the other side said of itself.
        peer: Box<Introduction>,
        /// What to send afterwards.
        then: Option<Message>,
    },
}

/// Why a session is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionEnd {
    /// The sides differ.
    #[error("{0}")]
    Mismatch(Mismatch),
    /// The other side sent something that is no message.
    #[error("{0}")]
    Message(#[from] MessageError),
    /// The DPU has another host.
    #[error("the DPU is attached to another host")]
    Busy,
    /// The other side was silent for too long.
    #[error("the other side was silent for {silence_ms} ms")]
    Silent {
        /// For how long.
        silence_ms: u64,
    },
    /// A message that does not belong here.
    #[error("the other side sent a message of kind {kind} out of turn")]
    OutOfTurn {
        /// The kind.
        kind: u8,
    },
    /// The number of windows is not the plan's.
    #[error("the other side has {got} queue pairs, and {needed} are needed")]
    WindowCount {
        /// Our number.
        needed: usize,
        /// Its number.
        got: usize,
    },
    /// An epoch that is not newer than the last one, or has no successor.
    #[error("the other side is in epoch {got}, and the last one here was {last}")]
    Epoch {
        /// Our last epoch.
        last: Epoch,
        /// Its epoch.
        got: Epoch,
    },
    /// The other side said farewell.
    #[error("{}", farewell_text(*.0))]
    Farewell(FarewellReason),
}

const fn farewell_text(reason: FarewellReason) -> &'static str {
    match reason {
        FarewellReason::Leaving => "the other side stops",
        FarewellReason::Broken => "a queue pair broke on the other side",
        FarewellReason::Unreachable => "the other side cannot reach our memory",
    }
}

impl SessionEnd {
    /// What the other side should hear before the connection closes.
    pub const fn last_word(&self) -> Option<Message> {
        match self {
            Self::Mismatch(mismatch) => Some(Message::Refusal(Refusal::Mismatch(*mismatch))),
            _ => None,
        }
    }

    /// Whether trying again cannot help until somebody changes one of the sides.
    pub const fn is_mismatch(&self) -> bool {
        let other_format =
            matches!(self, Self::Message(MessageError::Version { .. } | MessageError::Endianness { .. }));
        other_format || matches!(self, Self::Mismatch(_))
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// The host has said hello.
    AwaitingWelcome,
    /// The DPU waits for a hello.
    AwaitingHello,
    /// The DPU has offered this epoch to this host.
    AwaitingAttached { epoch: Epoch, peer: Box<Introduction> },
    /// Both sides are attached, as far as this one knows.
    Attached { epoch: Epoch },
}

/// One side of one connection.
#[derive(Debug)]
pub struct Session {
    own: Introduction,
    timing: Timing,
    state: State,
    heard_ms: u64,
    spoken_ms: u64,
}

impl Session {
    /// A session at its beginning, and what to send first. `own` has the last epoch that this process has seen;
    /// `now_ms` is milliseconds of a clock that never goes back.
    pub fn open(side: Side, own: Introduction, timing: Timing, now_ms: u64) -> (Self, Option<Message>) {
        let (state, first) = match side {
            Side::Host => (State::AwaitingWelcome, Some(Message::Hello(own.clone()))),
            Side::Dpu => (State::AwaitingHello, None),
        };
        (Self { own, timing, state, heard_ms: now_ms, spoken_ms: now_ms }, first)
    }

    /// Takes a message of the other side.
    ///
    /// # Errors
    /// The session is over.
    pub fn on_message(&mut self, message: Message, now_ms: u64) -> Result<Step, SessionEnd> {
        self.heard_ms = now_ms;
        let kind = message.kind();
        match (&self.state, message) {
            (_, Message::Farewell(reason)) => Err(SessionEnd::Farewell(reason)),
            (State::AwaitingWelcome, Message::Refusal(Refusal::Busy)) => Err(SessionEnd::Busy),
            (State::AwaitingWelcome | State::AwaitingAttached { .. }, Message::Refusal(Refusal::Mismatch(theirs))) => {
                Err(SessionEnd::Mismatch(theirs.seen_by_peer()))
            }
            (State::AwaitingHello, Message::Hello(peer)) => self.on_hello(peer),
            (State::AwaitingWelcome, Message::Welcome(peer)) => self.on_welcome(peer),
            (State::AwaitingAttached { epoch, .. }, Message::Attached(got)) if *epoch == got => {
                Ok(self.on_attached(got))
            }
            (State::Attached { epoch }, Message::Heartbeat(got)) if *epoch == got => Ok(Step::Wait),
            _ => Err(SessionEnd::OutOfTurn { kind }),
        }
    }

    /// What to send at this moment: a sign of life when it is time for one.
    ///
    /// # Errors
    /// The other side has been silent for too long.
    pub fn on_time(&mut self, now_ms: u64) -> Result<Option<Message>, SessionEnd> {
        let silence_ms = now_ms.saturating_sub(self.heard_ms);
        if silence_ms >= self.timing.dead_after_ms {
            return Err(SessionEnd::Silent { silence_ms });
        }
        let State::Attached { epoch } = self.state else { return Ok(None) };
        if now_ms.saturating_sub(self.spoken_ms) < self.timing.heartbeat_ms {
            return Ok(None);
        }
        self.spoken_ms = now_ms;
        Ok(Some(Message::Heartbeat(epoch)))
    }

    /// The epoch in which this side is attached.
    pub const fn epoch(&self) -> Option<Epoch> {
        match self.state {
            State::Attached { epoch } => Some(epoch),
            _ => None,
        }
    }

    fn on_hello(&mut self, peer: Introduction) -> Result<Step, SessionEnd> {
        self.compare(&peer)?;
        let last = self.own.epoch;
        let epoch = last.max(peer.epoch).checked_add(1).ok_or(SessionEnd::Epoch { last, got: peer.epoch })?;
        let welcome = Introduction { epoch, ..self.own.clone() };
        self.state = State::AwaitingAttached { epoch, peer: Box::new(peer) };
        Ok(Step::Send(Message::Welcome(welcome)))
    }

    fn on_welcome(&mut self, peer: Introduction) -> Result<Step, SessionEnd> {
        self.compare(&peer)?;
        let epoch = peer.epoch;
        if epoch <= self.own.epoch {
            return Err(SessionEnd::Epoch { last: self.own.epoch, got: epoch });
        }
        self.state = State::Attached { epoch };
        Ok(Step::Attach { epoch, peer: Box::new(peer), then: Some(Message::Attached(epoch)) })
    }

    fn on_attached(&mut self, epoch: Epoch) -> Step {
        match std::mem::replace(&mut self.state, State::Attached { epoch }) {
            State::AwaitingAttached { peer, .. } => Step::Attach { epoch, peer, then: None },
            _ => Step::Wait,
        }
    }

    fn compare(&self, peer: &Introduction) -> Result<(), SessionEnd> {
        if let Some(mismatch) = self.own.agreement.mismatch(&peer.agreement) {
            return Err(SessionEnd::Mismatch(mismatch));
        }
        let (needed, got) = (self.own.windows.len(), peer.windows.len());
        if needed == got { Ok(()) } else { Err(SessionEnd::WindowCount { needed, got }) }
    }
}

#[cfg(test)]
mod tests;
