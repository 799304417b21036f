//! What clients saw, and whether one store could have shown it to them.
//!
//! Each key's history must be linearizable: there is an order of the operations that respects real time and in which
//! each answer is what a store with a single copy would have given. Keys are independent of each other, so each is
//! searched alone, with the algorithm of Wing and Gong and the memory of visited states that Lowe added ("Testing for
//! linearizability", CCPE 2017).
//!
//! # What is checked under which faults
//!
//! UDP may deliver a request twice, and a client that hears nothing sends it again, so one operation may be executed
//! more than once, and late. The checker knows how many copies of a request were let into the network
//! ([`Record::copies`]) and allows exactly as many executions:
//!
//! * An operation that was answered has one execution between call and answer, with that answer. Each further copy is
//!   a *ghost*: it takes effect at any time after the call, or never.
//! * An operation that was never answered consists of ghosts only.
//! * An operation of which no copy got into the network did not happen.
//!
//! So without loss, duplication and retries this is linearizability in full, and a copy of a batch that the queue pair
//! executes twice, or after its time, is always an error: only the network makes ghosts. The memory of a crashed
//! process is gone, which is an operation too: [`Action::Wipe`].
//!
//! INCREMENT is at-least-once in the same sense. [`check_counter`] bounds what a reader of a counter may see.

use std::collections::{BTreeMap, HashSet};

use arch::Tick;

use crate::value::ValueId;

/// What was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// GET.
    Get,
    /// TEST.
    Test,
    /// SET to this value.
    Set(ValueId),
    /// ADD of this value.
    Add(ValueId),
    /// DELETE.
    Delete,
    /// COMPARE_AND_SET.
    CompareAndSet {
        /// What must be there.
        expected: ValueId,
        /// What takes its place.
        new: ValueId,
    },
    /// INCREMENT by one; for counters only.
    Increment,
    /// The process with the key's table died.
    Wipe,
}

/// What was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was done; for TEST, the key is there.
    Done,
    /// GET found this value.
    Found(ValueId),
    /// A counter's value, from GET or INCREMENT.
    Count(u64),
    /// There is no such key.
    NotFound,
    /// ADD found the key.
    Exists,
    /// COMPARE_AND_SET found another value.
    Mismatch,
}

/// One operation on one key, as its client saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Which key, by its number in the run.
    pub key: usize,
    /// What was asked.
    pub action: Action,
    /// When it was first sent.
    pub called: Tick,
    /// When it was answered, and what; `None` if it never was.
    pub answered: Option<(Tick, Outcome)>,
    /// How many copies of the request the network took and did not lose at once.
    pub copies: u32,
}

/// A history that no store could have produced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HistoryError {
    /// No order explains the key's operations, which follow.
    NotLinearizable(Vec<Record>),
    /// The search was given up after this many states: the run has too many overlapping operations on one key.
    TooLong(usize),
    /// A counter's reader saw a value outside of what increments allow.
    Counter {
        /// What the reader did.
        record: Record,
        /// The lowest and the highest value that it could see.
        allowed: (u64, u64),
    },
}

/// States after which a search is given up. Searches of a usual run end within a few thousand.
const STATE_COUNT_MAX: usize = 1_000_000;

/// Checks every key of a history.
///
/// # Errors
/// The first key's [`HistoryError`].
pub fn check(records: &[Record]) -> Result<(), HistoryError> {
    check_each(records, false)
}

/// Checks every key of a history of a cache, which may forget any key at any time, but not remember it again.
///
/// # Errors
/// The first key's [`HistoryError`].
pub fn check_forgetful(records: &[Record]) -> Result<(), HistoryError> {
    check_each(records, true)
}

fn check_each(records: &[Record], forgets: bool) -> Result<(), HistoryError> {
    let mut keys: BTreeMap<usize, Vec<Record>> = BTreeMap::new();
    for record in records {
        keys.entry(record.key).or_default().push(*record);
    }
    keys.into_values().try_for_each(|mut records| {
        records.sort_by_key(|record| record.called);
        if Search::new(&records, forgets).run()? { Ok(()) } else { Err(HistoryError::NotLinearizable(records)) }
    })
}

/// Checks a counter, which starts at 0 and is only read and incremented by one.
///
/// A reader sees at least the increments that were answered before it asked, unless a wipe may lie between, and at
/// most all copies of increments that were sent before it was answered.
///
/// # Errors
/// [`HistoryError::Counter`] for the first reader that saw anything else.
pub fn check_counter(records: &[Record]) -> Result<(), HistoryError> {
    let increments = || records.iter().filter(|record| record.action == Action::Increment);
    let wiped = records.iter().any(|record| record.action == Action::Wipe);
    for record in records {
        let Some((answered, Outcome::Count(count))) = record.answered else { continue };
        let is_own = u64::from(record.action == Action::Increment);
        let is_before = |other: &&Record| {
            other.answered.is_some_and(|(at, outcome)| at < record.called && matches!(outcome, Outcome::Count(_)))
        };
        let surely = increments().filter(is_before).count();
        let least = if wiped { is_own } else { surely as u64 + is_own };
        let most = increments().filter(|other| other.called <= answered).map(|other| u64::from(other.copies)).sum();
        if !(least..=most).contains(&count) {
            return Err(HistoryError::Counter { record: *record, allowed: (least, most) });
        }
    }
    Ok(())
}

/// What the key must hold for an answer to be right.
#[derive(Clone, Copy, Debug)]
enum Need {
    Anything,
    Value(ValueId),
    Absent,
    Present,
    PresentBut(ValueId),
}

impl Need {
    fn is_met(self, value: Option<ValueId>) -> bool {
        match self {
            Self::Anything => true,
            Self::Value(needed) => value == Some(needed),
            Self::Absent => value.is_none(),
            Self::Present => value.is_some(),
            Self::PresentBut(other) => value.is_some_and(|value| value != other),
        }
    }
}

/// What an answer needs, and what the key holds afterwards if that changes.
fn meaning(action: Action, outcome: Outcome) -> (Need, Option<Option<ValueId>>) {
    match (action, outcome) {
        (Action::Set(new), _) => (Need::Anything, Some(Some(new))),
        (Action::Wipe, _) => (Need::Anything, Some(None)),
        (Action::Add(new), Outcome::Done) => (Need::Absent, Some(Some(new))),
        (Action::Delete, Outcome::Done) => (Need::Present, Some(None)),
        (Action::CompareAndSet { expected, new }, Outcome::Done) => (Need::Value(expected), Some(Some(new))),
        (Action::CompareAndSet { expected, .. }, Outcome::Mismatch) => (Need::PresentBut(expected), None),
        (_, Outcome::Found(value)) => (Need::Value(value), None),
        (_, Outcome::NotFound) => (Need::Absent, None),
        (_, Outcome::Done | Outcome::Exists | Outcome::Mismatch | Outcome::Count(_)) => (Need::Present, None),
    }
}

/// Executions of a write that may or may not have happened.
#[derive(Clone, Copy, Debug)]
struct Ghosts {
    action: Action,
    called: Tick,
    count: u32,
}

/// How far a search has come: which operations have had their turn, what the key holds, which ghosts were used.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    done: Vec<bool>,
    value: Option<ValueId>,
    used: Vec<u32>,
    deletes_used: usize,
}

struct Search<'h> {
    answered: Vec<&'h Record>,
    /// Writers of values, each of which has one.
    ghosts: BTreeMap<ValueId, (usize, Ghosts)>,
    /// When each ghost of a DELETE was called, in order.
    deletes: Vec<Tick>,
    /// Whether the key may go by itself.
    forgets: bool,
}

impl<'h> Search<'h> {
    /// The search over the records of one key, sorted by their calls.
    fn new(records: &'h [Record], forgets: bool) -> Self {
        let mut search = Self { answered: Vec::new(), ghosts: BTreeMap::new(), deletes: Vec::new(), forgets };
        for record in records {
            let is_answered = record.answered.is_some();
            let count = record.copies.saturating_sub(u32::from(is_answered));
            let (action, called) = (record.action, record.called);
            if is_answered {
                search.answered.push(record);
            }
            match action {
                _ if count == 0 => {}
                Action::Set(new) | Action::Add(new) | Action::CompareAndSet { new, .. } => {
                    let index = search.ghosts.len();
                    search.ghosts.insert(new, (index, Ghosts { action, called, count }));
                }
                Action::Delete => search.deletes.extend((0..count).map(|_| called)),
                _ => {}
            }
        }
        search
    }

    /// Whether some order explains all answers.
    fn run(&self) -> Result<bool, HistoryError> {
        let first = State {
            done: vec![false; self.answered.len()],
            value: None,
            used: vec![0; self.ghosts.len()],
            deletes_used: 0,
        };
        let mut visited = HashSet::new();
        let mut open = vec![first];
        while let Some(state) = open.pop() {
            if state.done.iter().all(|done| *done) {
                return Ok(true);
            }
            if visited.len() >= STATE_COUNT_MAX {
                return Err(HistoryError::TooLong(visited.len()));
            }
            if !visited.contains(&state) {
                self.push_successors(&state, &mut open);
                visited.insert(state);
            }
        }
        Ok(false)
    }

    /// Every state that one more operation can lead to. What was answered first is tried first: most operations took
    /// effect shortly before their answer, however long their clients had asked for it.
    fn push_successors(&self, state: &State, open: &mut Vec<State>) {
        let waiting = || self.answered.iter().enumerate().filter(|(index, _)| !state.done[*index]);
        // Nothing may come before an operation that ended before it was called.
        let bound = waiting().filter_map(|(_, record)| record.answered).map(|(at, _)| at).min().unwrap_or(Tick(0));
        let mut candidates: Vec<_> = waiting().take_while(|(_, record)| record.called <= bound).collect();
        candidates.sort_by_key(|(_, record)| record.answered.map(|(at, _)| at));
        let pushed = open.len();
        for (index, record) in candidates {
            let Some((_, outcome)) = record.answered else { continue };
            let (need, change) = meaning(record.action, outcome);
            let is_met = need.is_met(state.value);
            let before = if is_met { vec![state.clone()] } else { self.haunted(state, need, bound) };
            let is_harmless = is_met && change.is_none();
            if is_harmless {
                // A right answer that changes nothing may as well be given now: no order is lost by it.
                open.truncate(pushed);
            }
            open.extend(before.into_iter().map(|mut next| {
                next.done[index] = true;
                next.value = change.unwrap_or(next.value);
                next
            }));
            if is_harmless {
                return;
            }
        }
        open[pushed..].reverse();
    }

    /// The states that ghosts can lead to in which an answer's need is met.
    ///
    /// Ghosts are looked at only where they are needed: one that nobody sees before the next write may be left out, and
    /// any other may be moved to right before the first operation that sees it.
    fn haunted(&self, state: &State, need: Need, bound: Tick) -> Vec<State> {
        let values: Vec<Option<ValueId>> = match need {
            Need::Value(value) => vec![Some(value)],
            Need::Absent => vec![None],
            _ => self.ghosts.keys().map(|value| Some(*value)).filter(|value| need.is_met(*value)).collect(),
        };
        values
            .into_iter()
            .filter_map(|value| {
                let mut next = state.clone();
                self.haunt(&mut next, value, bound).then_some(next)
            })
            .collect()
    }

    /// Lets ghosts bring the key to `value`. Returns whether they can.
    fn haunt(&self, state: &mut State, value: Option<ValueId>, bound: Tick) -> bool {
        if state.value == value {
            return true;
        }
        let Some(new) = value else {
            if self.forgets {
                state.value = None;
                return true;
            }
            let can = self.deletes.get(state.deletes_used).is_some_and(|called| *called <= bound);
            state.deletes_used += usize::from(can);
            state.value = None;
            return can;
        };
        let Some((index, ghosts)) = self.ghosts.get(&new) else { return false };
        if state.used[*index] == ghosts.count || ghosts.called > bound {
            return false;
        }
        state.used[*index] += 1;
        let can = match ghosts.action {
            Action::Add(_) => self.haunt(state, None, bound),
            Action::CompareAndSet { expected, .. } => self.haunt(state, Some(expected), bound),
            _ => true,
        };
        state.value = value;
        can
    }
}

#[cfg(test)]
mod tests;
