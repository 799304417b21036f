//! One request against the store.

use qp_wire::{Opcode, Operation, Request, ResultCode, TtlMs};

use super::lookahead::Prepared;
use super::stage::{Profile, Stage};
use crate::counters::{Counter, Counters};
use crate::hash::Key;
use crate::partition::{Partition, Store};
use crate::table::{
    AddOutcome, AppendOutcome, CompareAndSetOutcome, DeleteOutcome, GetOutcome, IncrementOutcome, Millis, ReadOutcome,
    SetOutcome, Table, TableReader, TouchOutcome, TtlOutcome,
};

/// Bytes of a value that is one word.
const WORD_LEN: usize = size_of::<u64>();

/// Where the answers of one frame or batch go, in the order of its requests.
pub(super) trait Answer {
    /// Where the next answer's value goes, as much as it may have.
    fn value_buf(&mut self) -> &mut [u8];

    /// The next answer, with the first `value_len` bytes of [`value_buf`](Self::value_buf) if it has a value.
    fn push(&mut self, result: ResultCode, value_len: Option<usize>);

    /// The next answer, with a value of one word. `false`, and nothing done, when there is no room for that.
    fn push_word(&mut self, word: [u8; WORD_LEN]) -> bool;

    /// Is told that the next answer is the value of an item with a time to live.
    #[inline]
    fn note_expiry(&mut self) {}
}

/// What a request came to.
type Outcome = (ResultCode, Option<usize>);

/// Executes one request, with the stage entered, and answers it.
#[inline(always)]
pub(super) fn execute(
    prepared: &Prepared<'_>,
    store: &mut Store<'_>,
    now: Millis,
    answer: &mut impl Answer,
    counters: &mut Counters,
    profile: &mut impl Profile,
) {
    counters.add(Counter::Requests, 1);
    if let Some(Partition::Owned(table)) = store.partition_mut(prepared.partition)
        && let Some(counter) = execute_words(prepared, table, answer, profile)
    {
        return counters.add(counter, 1);
    }
    execute_any(prepared, store, now, answer, counters, profile);
}

/// Executes and answers a GET or SET of words, if it can be done where the key was fetched from; what it is counted as.
/// Most requests are such, and need neither operands nor a place for a value of any length: to decode them and to tell all
/// operations apart takes as long as the table does.
#[inline(always)]
fn execute_words(
    prepared: &Prepared<'_>,
    table: &mut Table<'_>,
    answer: &mut impl Answer,
    profile: &mut impl Profile,
) -> Option<Counter> {
    const GET: u8 = Opcode::Get.to_wire();
    const SET: u8 = Opcode::Set.to_wire();
    match prepared.operation {
        GET => {
            let word = table.get_word(&prepared.key)?;
            profile.enter(Stage::Respond);
            answer.push_word(word).then_some(Counter::Hits)
        }
        SET => {
            let is_stored = table.set_word(&prepared.key, prepared.value.try_into().ok()?);
            is_stored.then(|| {
                profile.enter(Stage::Respond);
                answer.push(ResultCode::Success, None);
                Counter::Writes
            })
        }
        _ => None,
    }
}

#[inline(never)]
fn execute_any(
    prepared: &Prepared<'_>,
    store: &mut Store<'_>,
    now: Millis,
    answer: &mut impl Answer,
    counters: &mut Counters,
    profile: &mut impl Profile,
) {
    counters.add(Counter::HashMismatches, u64::from(prepared.hash_mismatch));
    let request = if prepared.hash_mismatch { Err(ResultCode::Error) } else { prepared.raw().decode() };
    let (result, value_len) = match &request {
        Err(result) => (*result, None),
        Ok(Request { operation: Operation::Reset, .. }) => {
            store.reset();
            (ResultCode::Success, None)
        }
        Ok(request) => match store.partition_mut(prepared.partition) {
            Some(Partition::Owned(table)) => write(table, &prepared.key, &request.operation, now, answer),
            Some(Partition::Read(reader)) => read(reader, &prepared.key, &request.operation, now, answer),
            Some(Partition::Elsewhere) | None => (ResultCode::Rejected, None),
        },
    };
    count(result, request.is_ok_and(|request| request.operation.opcode().is_read()), counters);
    profile.enter(Stage::Respond);
    answer.push(result, value_len);
}

fn count(result: ResultCode, is_read: bool, counters: &mut Counters) {
    let counter = match result {
        ResultCode::Success if is_read => Counter::Hits,
        ResultCode::NotFound if is_read => Counter::Misses,
        ResultCode::Success => Counter::Writes,
        // The store did as asked: the key was there, was not, or had another value.
        ResultCode::NotFound | ResultCode::Exists | ResultCode::Mismatch => return,
        ResultCode::InsufficientSpace => Counter::InsufficientSpace,
        ResultCode::Rejected => Counter::Rejected,
        ResultCode::NotProcessed => Counter::NotProcessed,
        _ => Counter::Errors,
    };
    counters.add(counter, 1);
}

fn write(
    table: &mut Table<'_>,
    key: &Key<'_>,
    operation: &Operation<'_>,
    now: Millis,
    answer: &mut impl Answer,
) -> Outcome {
    match *operation {
        Operation::Reset | Operation::NoopRead | Operation::NoopWrite => (ResultCode::Success, None),
        Operation::Get => {
            let outcome = table.get(key, now, answer.value_buf());
            got(outcome, answer)
        }
        Operation::Test => (found(table.test(key, now)), None),
        Operation::Ttl => remaining(table.ttl(key, now), answer),
        Operation::Set { value, ttl } => (set(table.set(key, value, expiry(ttl, now), now)), None),
        Operation::Add { value, ttl } => (added(table.add(key, value, expiry(ttl, now), now)), None),
        Operation::Delete => (
            match table.delete(key, now) {
                DeleteOutcome::Deleted => ResultCode::Success,
                DeleteOutcome::NotFound => ResultCode::NotFound,
            },
            None,
        ),
        // An increment that was applied and cannot be told would be applied again.
        Operation::Increment { .. } if answer.value_buf().len() < size_of::<u64>() => (ResultCode::NotProcessed, None),
        Operation::Increment { delta } => match table.increment(key, delta, now) {
            IncrementOutcome::Incremented(value) => number(value, answer),
            IncrementOutcome::NotFound => (ResultCode::NotFound, None),
            IncrementOutcome::NotACounter => (ResultCode::Error, None),
        },
        Operation::CompareAndSet { expected, new, ttl } => {
            (compared(table.compare_and_set(key, expected, new, expiry(ttl, now), now)), None)
        }
        Operation::Append { suffix } => (appended(table.append(key, suffix, now)), None),
        Operation::Touch { ttl } => (
            match table.touch(key, expiry(ttl, now), now) {
                TouchOutcome::Touched => ResultCode::Success,
                TouchOutcome::NotFound => ResultCode::NotFound,
                TouchOutcome::InsufficientSpace => ResultCode::InsufficientSpace,
            },
            None,
        ),
    }
}

fn read(
    reader: &TableReader<'_>,
    key: &Key<'_>,
    operation: &Operation<'_>,
    now: Millis,
    answer: &mut impl Answer,
) -> Outcome {
    let outcome = match operation {
        Operation::NoopRead => return (ResultCode::Success, None),
        Operation::Get => reader.get(key, now, answer.value_buf()).map(|outcome| got(outcome, answer)),
        Operation::Test => reader.test(key, now).map(|there| (found(there), None)),
        Operation::Ttl => reader.ttl(key, now).map(|ttl| remaining(ttl, answer)),
        _ => return (ResultCode::Rejected, None),
    };
    match outcome {
        ReadOutcome::Done(outcome) => outcome,
        // The owner kept writing to the same bucket; the client may ask again.
        ReadOutcome::Busy => (ResultCode::NotProcessed, None),
    }
}

fn expiry(ttl: Option<TtlMs>, now: Millis) -> Option<Millis> {
    ttl.map(|ttl| Millis(now.0.saturating_add(ttl.0.get())))
}

fn found(there: bool) -> ResultCode {
    if there { ResultCode::Success } else { ResultCode::NotFound }
}

#[inline]
fn got(outcome: GetOutcome, answer: &mut impl Answer) -> Outcome {
    match outcome {
        GetOutcome::Found { len, may_expire } => {
            if may_expire {
                answer.note_expiry();
            }
            (ResultCode::Success, Some(len))
        }
        GetOutcome::NotFound => (ResultCode::NotFound, None),
        GetOutcome::TooSmall { .. } => (ResultCode::NotProcessed, None),
    }
}

fn set(outcome: SetOutcome) -> ResultCode {
    match outcome {
        SetOutcome::Stored => ResultCode::Success,
        SetOutcome::InsufficientSpace => ResultCode::InsufficientSpace,
        SetOutcome::TooLarge => ResultCode::TooLarge,
    }
}

fn added(outcome: AddOutcome) -> ResultCode {
    match outcome {
        AddOutcome::Stored => ResultCode::Success,
        AddOutcome::Exists => ResultCode::Exists,
        AddOutcome::InsufficientSpace => ResultCode::InsufficientSpace,
        AddOutcome::TooLarge => ResultCode::TooLarge,
    }
}

fn compared(outcome: CompareAndSetOutcome) -> ResultCode {
    match outcome {
        CompareAndSetOutcome::Stored => ResultCode::Success,
        CompareAndSetOutcome::NotFound => ResultCode::NotFound,
        CompareAndSetOutcome::Mismatch => ResultCode::Mismatch,
        CompareAndSetOutcome::InsufficientSpace => ResultCode::InsufficientSpace,
        CompareAndSetOutcome::TooLarge => ResultCode::TooLarge,
    }
}

fn appended(outcome: AppendOutcome) -> ResultCode {
    match outcome {
        AppendOutcome::Appended { .. } => ResultCode::Success,
        AppendOutcome::NotFound => ResultCode::NotFound,
        AppendOutcome::InsufficientSpace => ResultCode::InsufficientSpace,
        AppendOutcome::TooLarge => ResultCode::TooLarge,
    }
}

fn remaining(outcome: TtlOutcome, answer: &mut impl Answer) -> Outcome {
    match outcome {
        TtlOutcome::Expires(left) => number(left.0, answer),
        TtlOutcome::Never => number(u64::MAX, answer),
        TtlOutcome::NotFound => (ResultCode::NotFound, None),
    }
}

fn number(value: u64, answer: &mut impl Answer) -> Outcome {
    match answer.value_buf().first_chunk_mut() {
        Some(bytes) => {
            *bytes = value.to_le_bytes();
            (ResultCode::Success, Some(size_of::<u64>()))
        }
        None => (ResultCode::NotProcessed, None),
    }
}
