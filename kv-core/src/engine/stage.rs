//! What a core spends its time on, stage by stage.
//!
//! An engine says which stage begins, in one line where it begins; what that is good for is the business of who has given
//! it a [`Profile`]. In servers that is [`Unprofiled`], of which nothing is left in the program. `dpukv profile` gives one
//! that reads the counter.
//!
//! Engines work on bursts, but look-ups of several requests are under way at once, so that stages of one burst alternate.

/// A part of the work on a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(usize)]
pub enum Stage {
    /// Frames come from the port, their network headers are checked.
    Receive,
    /// Payloads, or what came out of a slot, become requests.
    Parse,
    /// Keys are hashed, and their buckets asked for.
    Hash,
    /// Requests or answers go into a slot, are sealed and handed to the copy engine.
    Post,
    /// Copies that ended are taken back, slots are looked for, taken out and checked.
    Wait,
    /// The table is asked.
    Process,
    /// Answers are written, and put into their frames.
    Respond,
    /// Frames go to the port, their network headers turned round.
    Transmit,
    /// All the rest of a turn.
    Others,
}

impl Stage {
    /// Every stage, in the order of a request's way.
    pub const ALL: [Self; 9] = [
        Self::Receive,
        Self::Parse,
        Self::Hash,
        Self::Post,
        Self::Wait,
        Self::Process,
        Self::Respond,
        Self::Transmit,
        Self::Others,
    ];

    /// The name under which it is shown.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Receive => "receive",
            Self::Parse => "parse",
            Self::Hash => "hash",
            Self::Post => "post",
            Self::Wait => "wait",
            Self::Process => "process",
            Self::Respond => "respond",
            Self::Transmit => "transmit",
            Self::Others => "others",
        }
    }
}

/// Who is told which stage an engine is in.
pub trait Profile {
    /// What is done from here on belongs to `stage`, until another one is entered.
    fn enter(&mut self, stage: Stage);
}

/// Nobody is told.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unprofiled;

impl Profile for Unprofiled {
    #[inline(always)]
    fn enter(&mut self, _: Stage) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_stand_at_their_index() {
        for (index, stage) in Stage::ALL.into_iter().enumerate() {
            assert_eq!(stage as usize, index);
        }
    }
}
