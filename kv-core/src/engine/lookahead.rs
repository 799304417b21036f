//! The prefetch pipeline: decode and hash some requests ahead of the one that is executed.
//!
//! A look-up is a chain of dependent cache misses: the key's home, perhaps its other bucket, perhaps the item in the log.
//! Requests of one burst do not depend on each other, so while one is executed the lines of the next ones are already on
//! their way:
//!
//! ```text
//!   source ─▶ decode, hash, prefetch ─▶ … 16 requests … ─▶ other bucket ─▶ … 8 … ─▶ item in the log ─▶ … 8 … ─▶ execute
//! ```
//!
//! MICA2 gains all there is to gain with 32 requests in flight and 85 % with 8 (measured on its own store). Keys are
//! hashed eight at a time, side by side in vector registers where there are some.

use heapless::Vec;
use qp_wire::{Opcode, RawRequest, ResultCode};

use super::stage::{Profile, Stage};
use crate::hash::{KEY_LANES, Key, KeyHash, KeyLanes, PartitionId};
use crate::partition::Store;

/// Requests between the first stage and the execution.
const DEPTH: usize = 32;

/// Places for requests in the pipeline; a power of two, since it is divided by.
const CAPACITY: usize = 64;
const _: () = assert!(CAPACITY.is_power_of_two() && CAPACITY >= DEPTH + KEY_LANES);

/// Requests between the second or the third stage and the execution.
const OTHER_DISTANCE: usize = 16;
const ITEM_DISTANCE: usize = 8;

/// An operation byte that no protocol knows: what a request becomes that must not be executed.
pub(super) const REFUSED_OPERATION: u8 = 0x7f;

/// A request as it came in, with what its frame says about it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Incoming<'a> {
    pub(super) raw: RawRequest<'a>,
    /// The hash that a MICA2 client has put beside the key.
    pub(super) claimed_hash: Option<KeyHash>,
    /// Whether its source is an administrator.
    pub(super) may_reset: bool,
}

/// A request that is ready to be executed. It is decoded only then: a decoded one takes several shapes, and to move it
/// costs more than to decode it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Prepared<'a> {
    pub(super) raw: RawRequest<'a>,
    /// What to answer instead of executing it.
    pub(super) refusal: Option<ResultCode>,
    pub(super) key: Key<'a>,
    pub(super) partition: PartitionId,
    pub(super) hash_mismatch: bool,
}

/// The pipeline over one burst.
pub(super) struct Lookahead<'a, I> {
    /// Gone with its last request: to ask again costs as much as a request.
    source: Option<I>,
    prepared: [Option<Prepared<'a>>; CAPACITY],
    /// Free-running: where the next request goes in and comes out.
    next_in: usize,
    next_out: usize,
}

impl<'a, I: Iterator<Item = Incoming<'a>>> Lookahead<'a, I> {
    /// A pipeline over `source` that has not [begun](Self::begin). It is several kilobytes long, and made where it stays.
    #[inline]
    pub(super) const fn new(source: I) -> Self {
        Self { source: Some(source), prepared: [None; CAPACITY], next_in: 0, next_out: 0 }
    }

    /// Begins with the first requests.
    pub(super) fn begin(&mut self, store: &Store<'_>, profile: &mut impl Profile) {
        while self.next_in < DEPTH && self.take_in(store, profile) {}
        profile.enter(Stage::Process);
        for distance in 0..OTHER_DISTANCE {
            self.prefetch_other(distance, store);
        }
        for distance in 0..ITEM_DISTANCE {
            self.prefetch_item(distance, store);
        }
    }

    /// The next request, or `None` behind the last one.
    #[inline]
    pub(super) fn next(&mut self, store: &Store<'_>, profile: &mut impl Profile) -> Option<&Prepared<'a>> {
        let index = self.next_out % CAPACITY;
        if self.next_out == self.next_in {
            return None;
        }
        self.next_out = self.next_out.wrapping_add(1);
        if self.waiting() < DEPTH {
            self.take_in(store, profile);
        }
        profile.enter(Stage::Process);
        self.prefetch_other(OTHER_DISTANCE - 1, store);
        self.prefetch_item(ITEM_DISTANCE - 1, store);
        // It stays where it is: others come to its place only after a lap.
        self.prepared.get(index)?.as_ref()
    }

    /// Leaves out the next requests, whose frame cannot be answered.
    pub(super) fn skip(&mut self, count: usize, store: &Store<'_>, profile: &mut impl Profile) {
        for _ in 0..count {
            self.next(store, profile);
        }
    }

    /// Takes in as many requests as are hashed together, or what is left of them; whether there was one.
    #[inline]
    fn take_in(&mut self, store: &Store<'_>, profile: &mut impl Profile) -> bool {
        let Some(source) = &mut self.source else { return false };
        profile.enter(Stage::Parse);
        let mut incoming: Vec<Incoming<'a>, KEY_LANES> = Vec::new();
        incoming.extend(source.by_ref().take(KEY_LANES));
        if incoming.len() < KEY_LANES {
            self.source = None;
        }
        if incoming.is_empty() {
            return false;
        }
        profile.enter(Stage::Hash);
        let names: [&[u8]; KEY_LANES] =
            core::array::from_fn(|lane| incoming.get(lane).map_or(&[][..], |incoming| incoming.raw.key));
        let lanes = KeyLanes::new(store.secret(), &names);
        for (incoming, key) in incoming.iter().zip(lanes.keys()) {
            if let Some(slot) = self.prepared.get_mut(self.next_in % CAPACITY) {
                let prepared = slot.insert(prepare(incoming, key, store));
                store.prefetch(prepared.partition, &mut prepared.key);
            }
            self.next_in = self.next_in.wrapping_add(1);
        }
        true
    }

    #[inline]
    fn prefetch_other(&mut self, distance: usize, store: &Store<'_>) {
        if distance < self.waiting()
            && let Some(Some(prepared)) = self.prepared.get_mut(self.next_out.wrapping_add(distance) % CAPACITY)
        {
            store.prefetch_other(prepared.partition, &mut prepared.key);
        }
    }

    #[inline]
    fn prefetch_item(&self, distance: usize, store: &Store<'_>) {
        if distance < self.waiting()
            && let Some(Some(prepared)) = self.prepared.get(self.next_out.wrapping_add(distance) % CAPACITY)
        {
            store.prefetch_item(prepared.partition, &prepared.key);
        }
    }

    /// Requests that are in the pipeline.
    #[inline]
    fn waiting(&self) -> usize {
        self.next_in.wrapping_sub(self.next_out)
    }
}

#[inline]
fn prepare<'a>(incoming: &Incoming<'a>, key: Key<'a>, store: &Store<'_>) -> Prepared<'a> {
    let bytes = key.bytes();
    // The hash is computed here whatever the client says: it decides who may touch the key, if there is a choice.
    let is_asked_for = incoming.claimed_hash.is_some() || store.partition_count() > 1;
    let hash = is_asked_for.then(|| KeyHash::of(bytes));
    let hash_mismatch = !bytes.is_empty() && incoming.claimed_hash.is_some() && incoming.claimed_hash != hash;
    let refusal = if hash_mismatch {
        Some(ResultCode::Error)
    } else {
        let is_reset = incoming.raw.operation == Opcode::Reset.to_wire();
        (is_reset && !incoming.may_reset).then_some(ResultCode::NotSupported)
    };
    let partition = hash.map_or(PartitionId(0), |hash| store.partition_of(hash));
    Prepared { raw: incoming.raw, refusal, key, partition, hash_mismatch }
}
