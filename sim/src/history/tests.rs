use super::*;

const A: ValueId = ValueId(1);
const B: ValueId = ValueId(2);
const C: ValueId = ValueId(3);

fn answered(action: Action, called: u64, ended: u64, outcome: Outcome) -> Record {
    Record { key: 0, action, called: Tick(called), answered: Some((Tick(ended), outcome)), copies: 1 }
}

fn unanswered(action: Action, called: u64) -> Record {
    Record { key: 0, action, called: Tick(called), answered: None, copies: 1 }
}

fn set(value: ValueId, called: u64, ended: u64) -> Record {
    answered(Action::Set(value), called, ended, Outcome::Done)
}

fn get(value: ValueId, called: u64, ended: u64) -> Record {
    answered(Action::Get, called, ended, Outcome::Found(value))
}

fn miss(called: u64, ended: u64) -> Record {
    answered(Action::Get, called, ended, Outcome::NotFound)
}

fn is_linearizable(records: &[Record]) -> bool {
    match check(records) {
        Ok(()) => true,
        Err(HistoryError::NotLinearizable(_)) => false,
        Err(error) => panic!("{error:?}"),
    }
}

#[test]
fn what_was_stored_is_read_until_something_else_is() {
    assert!(is_linearizable(&[miss(0, 1), set(A, 2, 3), get(A, 4, 5), set(B, 6, 7), get(B, 8, 9)]));
    assert!(!is_linearizable(&[set(A, 2, 3), miss(4, 5)]));
    assert!(!is_linearizable(&[set(A, 2, 3), set(B, 4, 5), get(A, 6, 7)]));
    assert!(!is_linearizable(&[get(A, 0, 1), set(A, 2, 3)]));
}

#[test]
fn a_cache_may_forget_and_not_remember() {
    let is_right = |records: &[Record]| check_forgetful(records).is_ok();
    assert!(is_right(&[set(A, 0, 1), get(A, 2, 3), miss(4, 5), set(B, 6, 7), get(B, 8, 9), miss(10, 11)]));
    assert!(!is_right(&[set(A, 0, 1), miss(2, 3), get(A, 4, 5)]));
    assert!(!is_right(&[set(A, 0, 1), set(B, 2, 3), get(A, 4, 5)]));
    assert!(is_right(&[set(A, 0, 1), miss(2, 5), get(A, 4, 5)]));
    let add = answered(Action::Add(B), 2, 3, Outcome::Done);
    assert!(is_right(&[set(A, 0, 1), add, get(B, 4, 5)]));
    assert!(!is_right(&[set(A, 0, 1), add, get(A, 4, 5)]));
}

#[test]
fn operations_at_the_same_time_may_have_any_order_but_only_one() {
    assert!(is_linearizable(&[set(A, 0, 9), get(A, 1, 2), miss(1, 2), set(B, 3, 9), get(B, 4, 5)]));
    assert!(is_linearizable(&[set(A, 0, 9), set(B, 0, 9), get(A, 10, 11)]));
    assert!(is_linearizable(&[set(A, 0, 9), set(B, 0, 9), get(B, 10, 11)]));
    assert!(!is_linearizable(&[set(A, 0, 9), set(B, 0, 9), get(A, 10, 11), get(B, 12, 13)]));
    assert!(!is_linearizable(&[set(A, 0, 9), get(A, 1, 2), miss(3, 4)]));
}

#[test]
fn conditions_are_part_of_the_answer() {
    let add = |value, outcome, at| answered(Action::Add(value), at, at + 1, outcome);
    let delete = |outcome, at| answered(Action::Delete, at, at + 1, outcome);
    let swap = |outcome, at| answered(Action::CompareAndSet { expected: A, new: B }, at, at + 1, outcome);
    assert!(is_linearizable(&[add(A, Outcome::Done, 0), add(B, Outcome::Exists, 2), get(A, 4, 5)]));
    assert!(!is_linearizable(&[add(A, Outcome::Done, 0), add(B, Outcome::Done, 2)]));
    assert!(is_linearizable(&[delete(Outcome::NotFound, 0), set(A, 2, 3), delete(Outcome::Done, 4), miss(6, 7)]));
    assert!(!is_linearizable(&[set(A, 0, 1), delete(Outcome::Done, 2), delete(Outcome::Done, 4)]));
    assert!(is_linearizable(&[swap(Outcome::NotFound, 0), set(A, 2, 3), swap(Outcome::Done, 4), get(B, 6, 7)]));
    assert!(is_linearizable(&[set(C, 0, 1), swap(Outcome::Mismatch, 2), get(C, 4, 5)]));
    assert!(!is_linearizable(&[set(A, 0, 1), swap(Outcome::Mismatch, 2)]));
    assert!(!is_linearizable(&[set(A, 0, 1), answered(Action::Test, 2, 3, Outcome::NotFound)]));
}

#[test]
fn an_unanswered_write_happened_once_at_any_time_or_never() {
    assert!(is_linearizable(&[set(A, 0, 1), unanswered(Action::Set(B), 2), get(A, 3, 4), get(B, 5, 6)]));
    assert!(is_linearizable(&[set(A, 0, 1), unanswered(Action::Set(B), 2), get(A, 3, 4)]));
    assert!(!is_linearizable(&[set(A, 0, 1), get(B, 2, 3), unanswered(Action::Set(B), 4)]));
    let seen_twice = [unanswered(Action::Set(B), 0), get(B, 1, 2), set(A, 3, 4), get(B, 5, 6)];
    assert!(!is_linearizable(&seen_twice));
    assert!(is_linearizable(&[set(A, 0, 1), unanswered(Action::Delete, 2), miss(3, 4)]));
    assert!(!is_linearizable(&[set(A, 0, 1), unanswered(Action::Delete, 2), miss(3, 4), set(B, 5, 6), miss(7, 8)]));
}

#[test]
fn a_copy_of_a_request_may_be_executed_again() {
    let twice = Record { copies: 2, ..set(A, 0, 1) };
    assert!(is_linearizable(&[twice, set(B, 2, 3), get(B, 4, 5), get(A, 6, 7)]));
    assert!(!is_linearizable(&[twice, set(B, 2, 3), get(A, 4, 5), set(C, 6, 7), get(A, 8, 9)]));
    let never = Record { copies: 0, ..unanswered(Action::Set(B), 2) };
    assert!(!is_linearizable(&[set(A, 0, 1), never, get(B, 3, 4)]));
}

#[test]
fn ghosts_may_need_other_ghosts() {
    let add = unanswered(Action::Add(B), 2);
    let swap = unanswered(Action::CompareAndSet { expected: B, new: C }, 2);
    let delete = unanswered(Action::Delete, 2);
    assert!(is_linearizable(&[set(A, 0, 1), add, swap, delete, get(C, 3, 4)]));
    assert!(!is_linearizable(&[set(A, 0, 1), add, swap, get(C, 3, 4)]));
    assert!(!is_linearizable(&[set(A, 0, 1), swap, delete, get(C, 3, 4)]));
}

#[test]
fn a_crash_wipes_once() {
    let wipe = answered(Action::Wipe, 2, 3, Outcome::Done);
    assert!(is_linearizable(&[set(A, 0, 1), wipe, miss(4, 5)]));
    assert!(!is_linearizable(&[set(A, 0, 1), wipe, get(A, 4, 5)]));
    assert!(!is_linearizable(&[wipe, set(A, 4, 5), miss(6, 7)]));
}

#[test]
fn keys_do_not_disturb_each_other() {
    let other = Record { key: 1, ..miss(2, 3) };
    assert!(is_linearizable(&[set(A, 0, 1), other, get(A, 4, 5)]));
    let wrong = Record { key: 1, ..get(A, 2, 3) };
    assert!(!is_linearizable(&[set(A, 0, 1), wrong]));
}

#[test]
fn a_counter_counts_what_was_answered_and_no_more_than_was_sent() {
    let increment = |at, count| answered(Action::Increment, at, at + 1, Outcome::Count(count));
    let read = |at, count| answered(Action::Get, at, at + 1, Outcome::Count(count));
    let lost = unanswered(Action::Increment, 4);
    assert_eq!(check_counter(&[increment(0, 1), increment(2, 2), read(6, 2)]), Ok(()));
    assert_eq!(check_counter(&[increment(0, 1), increment(2, 2), lost, read(6, 3)]), Ok(()));
    let too_few = check_counter(&[increment(0, 1), increment(2, 2), read(6, 1)]);
    assert_eq!(too_few, Err(HistoryError::Counter { record: read(6, 1), allowed: (2, 2) }));
    assert!(check_counter(&[increment(0, 1), increment(2, 2), lost, read(6, 4)]).is_err());
    let wipe = answered(Action::Wipe, 4, 5, Outcome::Done);
    assert_eq!(check_counter(&[increment(0, 1), increment(2, 2), wipe, read(6, 0)]), Ok(()));
}

#[test]
fn a_long_history_with_many_retries_is_checked_quickly() {
    // Two writers and two readers that overlap all the time, every third write with ghosts.
    let records: Vec<_> = (0..400)
        .flat_map(|step| {
            let at = step * 10;
            let value = ValueId(step + 1);
            let write = Record { copies: 1 + u32::from(step % 3 == 0), ..set(value, at, at + 15) };
            [write, get(value, at + 5, at + 16)]
        })
        .collect();
    assert!(is_linearizable(&records));
}
