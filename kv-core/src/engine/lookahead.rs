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
//! MICA2 gains all there is to gain with 32 requests in flight and 85 % with 8 (measured on its own store). Requests are
//! decoded, hashed and fetched in groups of eight, whose keys lie side by side in vector registers where there are some; each
//! is written once, into the place where it stays until it is executed.

use qp_wire::{Opcode, RawRequest};

use super::inbound::Requests;
use super::stage::{Profile, Stage};
use crate::hash::{KEY_LANES, Key, KeyHash, KeyLanes, PartitionId};
use crate::partition::Store;
use crate::table::Index;

/// Requests between the first stage and the execution.
const DEPTH: usize = 32;
const _: () = assert!(DEPTH.is_multiple_of(KEY_LANES));

/// Places for requests in the pipeline; a power of two, since it is divided by.
const CAPACITY: usize = 64;
const _: () = assert!(CAPACITY.is_power_of_two() && CAPACITY >= DEPTH + KEY_LANES);

/// Requests between the second or the third stage and the execution, at least.
const OTHER_DISTANCE: usize = 16;
const ITEM_DISTANCE: usize = 8;
const _: () = assert!(OTHER_DISTANCE.is_multiple_of(KEY_LANES) && ITEM_DISTANCE.is_multiple_of(KEY_LANES));

/// An operation byte that no protocol knows: what a request becomes that must not be executed.
pub(super) const REFUSED_OPERATION: u8 = 0x7f;

/// A request in the pipeline. It is decoded only when it is executed: a decoded one takes several shapes, and to move it
/// costs more than to decode it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Prepared<'a> {
    pub(super) key: Key<'a>,
    pub(super) value: &'a [u8],
    /// The hash that a MICA2 client has put beside the key.
    claimed_hash: Option<KeyHash>,
    pub(super) partition: PartitionId,
    /// [`REFUSED_OPERATION`] for a request that must not be executed.
    pub(super) operation: u8,
    /// Whether the claimed hash is another key's.
    pub(super) hash_mismatch: bool,
}

impl<'a> Prepared<'a> {
    /// A request as it came in, before anybody knows its place.
    ///
    /// `may_reset` says whether its source is an administrator.
    #[inline(always)]
    pub(super) fn new(raw: RawRequest<'a>, claimed_hash: Option<KeyHash>, may_reset: bool) -> Self {
        let is_refused = raw.operation == Opcode::Reset.to_wire() && !may_reset;
        Self {
            key: Key::unplaced(raw.key),
            value: raw.value,
            claimed_hash,
            partition: PartitionId(0),
            operation: if is_refused { REFUSED_OPERATION } else { raw.operation },
            hash_mismatch: false,
        }
    }

    /// The request as a format carries it.
    pub(super) const fn raw(&self) -> RawRequest<'a> {
        RawRequest { operation: self.operation, key: self.key.bytes(), value: self.value }
    }

    /// Finds out which partition has its key, and whether the client knows its hash.
    #[inline]
    fn assign(&mut self, partition_count: u16) {
        // The hash is computed here whatever the client says: it decides who may touch the key, if there is a choice.
        let hash = KeyHash::of(self.key.bytes());
        if self.claimed_hash.is_some_and(|claimed| claimed != hash) && !self.key.bytes().is_empty() {
            self.hash_mismatch = true;
            self.operation = REFUSED_OPERATION;
        }
        self.partition = hash.partition(partition_count);
    }
}

/// Places for the requests that go through the first stage together.
type Group<'a> = [Option<Prepared<'a>>; KEY_LANES];

/// The pipeline over one burst, whose frames' or runs' requests come from `I`.
pub(super) struct Lookahead<'a, I> {
    source: I,
    /// What is left of the present frame or run; `None` behind the last one.
    requests: Option<Requests<'a>>,
    prepared: [Option<Prepared<'a>>; CAPACITY],
    /// How many requests have come in and gone out.
    in_count: usize,
    out_count: usize,
    /// Whether there may have been anything for the third stage to fetch when the burst began. What this burst puts into a log
    /// is in the cache.
    fetches_items: bool,
}

impl<'a, I: Iterator<Item = Requests<'a>>> Lookahead<'a, I> {
    /// A pipeline over `source` that has not [begun](Self::begin). It is several kilobytes long, and made where it stays.
    #[inline]
    pub(super) fn new(mut source: I) -> Self {
        let requests = source.next();
        Self { source, requests, prepared: [None; CAPACITY], in_count: 0, out_count: 0, fetches_items: false }
    }

    /// Begins with the first requests.
    pub(super) fn begin(&mut self, store: &Store<'_>, profile: &mut impl Profile) {
        while self.in_count < DEPTH && self.requests.is_some() {
            self.take_in(store, profile);
        }
        profile.enter(Stage::Process);
        self.fetches_items = store.may_use_logs();
        for index in (0..OTHER_DISTANCE.min(self.in_count)).step_by(KEY_LANES) {
            self.prefetch_others(index, store);
        }
        for index in (0..ITEM_DISTANCE.min(self.in_count)).step_by(KEY_LANES) {
            self.prefetch_items(index, store);
        }
    }

    /// The next request, or `None` behind the last one.
    #[inline(always)]
    pub(super) fn next(&mut self, store: &Store<'_>, profile: &mut impl Profile) -> Option<&Prepared<'a>> {
        let index = self.out_count;
        if index == self.in_count {
            return None;
        }
        self.out_count = index + 1;
        if index.is_multiple_of(KEY_LANES) {
            self.advance(index, store, profile);
        }
        profile.enter(Stage::Process);
        self.prepared.get(index % CAPACITY)?.as_ref()
    }

    /// Moves groups on by a stage, before the first request of one is executed.
    #[inline(never)]
    fn advance(&mut self, index: usize, store: &Store<'_>, profile: &mut impl Profile) {
        // Only the last group is not full.
        if self.requests.is_some() {
            self.take_in(store, profile);
        }
        profile.enter(Stage::Process);
        if index + OTHER_DISTANCE < self.in_count {
            self.prefetch_others(index + OTHER_DISTANCE, store);
        }
        if index + ITEM_DISTANCE < self.in_count {
            self.prefetch_items(index + ITEM_DISTANCE, store);
        }
    }

    /// Leaves out the next requests, whose frame cannot be answered.
    pub(super) fn skip(&mut self, count: usize, store: &Store<'_>, profile: &mut impl Profile) {
        for _ in 0..count {
            self.next(store, profile);
        }
    }

    /// Takes in as many requests as are hashed together, or what is left of them.
    #[inline]
    fn take_in(&mut self, store: &Store<'_>, profile: &mut impl Profile) {
        profile.enter(Stage::Parse);
        let Some(group) = group_of(&mut self.prepared, self.in_count) else { return };
        let (mut count, mut have_hashes) = (0, store.partition_count() > 1);
        while let Some(requests) = &mut self.requests {
            have_hashes |= requests.claim_hashes();
            count += requests.take_into(group.get_mut(count..).unwrap_or_default());
            if count == KEY_LANES {
                break;
            }
            self.requests = self.source.next();
        }
        self.in_count += count;
        profile.enter(Stage::Hash);
        // Where there is but one partition, nobody asks for a hash that no client has claimed.
        if have_hashes {
            for prepared in group.iter_mut().take(count).flatten() {
                prepared.assign(store.partition_count());
            }
        }
        place(group, count, store);
    }

    /// The second stage for the group of a request. Of one that is not full, what is left of an older one takes part, too: its
    /// lines are at hand, and another look into them does no harm.
    #[inline]
    fn prefetch_others(&mut self, index: usize, store: &Store<'_>) {
        if let Some(group) = group_of(&mut self.prepared, index) {
            for_each(group, store, Index::prefetch_other);
        }
    }

    /// The third stage.
    #[inline]
    fn prefetch_items(&mut self, index: usize, store: &Store<'_>) {
        if self.fetches_items
            && let Some(group) = group_of(&mut self.prepared, index)
        {
            for_each(group, store, |index, key| index.prefetch_item(key));
        }
    }
}

/// The group of the request at an index.
#[inline]
fn group_of<'p, 'a>(prepared: &'p mut [Option<Prepared<'a>>; CAPACITY], index: usize) -> Option<&'p mut Group<'a>> {
    prepared.as_chunks_mut().0.get_mut(index / KEY_LANES % (CAPACITY / KEY_LANES))
}

/// Hashes the keys of the first requests of a group and fetches their first lines.
#[inline]
fn place(group: &mut Group<'_>, count: usize, store: &Store<'_>) {
    // Behind them there may be old ones.
    let names = group.each_ref().map(|place| place.as_ref().map_or(&[][..], |prepared| prepared.key.bytes()));
    let placements = KeyLanes::new(store.secret(), &names).placements();
    let group = group.get_mut(..count).unwrap_or_default();
    for (place, placement) in group.iter_mut().zip(placements) {
        if let Some(prepared) = place {
            prepared.key.place(placement);
        }
    }
    for_each(group, store, Index::prefetch);
}

/// Does something with each key of a group and the index of its partition, which is looked up but once where there is but one.
#[inline(always)]
fn for_each<'m, 'a>(group: &mut [Option<Prepared<'a>>], store: &Store<'m>, fetch: impl Fn(&Index<'m>, &mut Key<'a>)) {
    let only = store.only_index();
    for prepared in group.iter_mut().flatten() {
        if let Some(index) = only.or_else(|| store.index(prepared.partition)) {
            fetch(index, &mut prepared.key);
        }
    }
}
