//! Values that the DPU answers GETs with by itself, in `lat`: a small cache of what is asked for most.
//!
//! It is right because every request that can change a key passes through the core that caches it, and is seen here before
//! the host can execute it; `docs/hot-keys.md` has the rules, which [`HotRule`] numbers, and why they suffice.
//!
//! ```text
//!  received ─▶ see ─▶ all of it is here: answered, and gone
//!               │
//!               └───▶ batched, with a Watch ─▶ … ─▶ its answers came: learn ─▶ answered
//! ```

#[cfg(any(test, feature = "broken-rules"))]
mod broken_rules;
#[cfg(not(any(test, feature = "broken-rules")))]
mod rules;
mod set;
#[cfg(test)]
mod tests;

use core::num::NonZeroU64;

use heapless::Vec;
use qp_wire::batch::Response;
use qp_wire::qp::ResponseRun;
use qp_wire::{Opcode, ResultCode};

#[cfg(any(test, feature = "broken-rules"))]
pub use self::broken_rules::HotRules;
#[cfg(not(any(test, feature = "broken-rules")))]
pub use self::rules::HotRules;
use self::set::Found;
pub use self::set::HotSet;
use crate::counters::{Counter, Counters};
use crate::engine::inbound::{Decoded, Inbound, Incoming};
use crate::hash::KeyHash;

/// Frames of at most this many requests are answered here, and fill the cache. Of longer ones hardly any has no miss.
const FRAME_COUNT_MAX: usize = 8;

/// A rule that keeps cached values true, as `docs/hot-keys.md` numbers them. Rule 3 is the place of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HotRule {
    /// Rule 1: a request that may change a key removes its value.
    WritesRemove,
    /// Rule 1: and does so when it is sent, not when it is answered.
    WritesRemoveFirst,
    /// Rule 2: a value is only kept if no request that was sent after its GET may have changed it.
    OlderThanWritesIsNotKept,
    /// Rule 4: nothing outlives its epoch.
    EpochsEndEmpty,
    /// Rule 5: what may expire is not kept.
    WhatExpiresIsNotKept,
    /// Rule 6: a key that the host does not find is not here either.
    WhatIsGoneIsRemoved,
}

/// The cache of one core. Without memory it is off.
pub struct HotKeys<'m> {
    sets: &'m mut [HotSet],
    /// The number of the last request that was seen. Requests are batched in the order of their numbers.
    number: u64,
    /// What was kept up to this request is forgotten.
    emptied: u64,
    rules: HotRules,
}

impl core::fmt::Debug for HotKeys<'_> {
    fn fmt(&self, out: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        out.debug_struct("HotKeys")
            .field("sets", &self.sets.len())
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

impl Default for HotKeys<'_> {
    fn default() -> Self {
        Self::new(&mut [])
    }
}

/// What a received frame turns out to be.
#[derive(Debug)]
pub(super) enum Seen {
    /// All that it asks for is here.
    Here(Hits),
    /// The host has to be asked.
    Asked(Watch),
}

/// Where the values of a frame's GETs are, in the order of its requests.
pub(super) type Hits = Vec<Hit, FRAME_COUNT_MAX>;

/// Where a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hit {
    set: u32,
    way: u8,
}

/// What goes with a frame until its answers come: the number of its first request if one of them may fill the cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Watch(Option<NonZeroU64>);

/// What a run of answers says beside them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct News {
    may_expire: bool,
    has_misses: bool,
}

/// What a request means for the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    /// Its key's value is asked for.
    Get,
    /// Its key may change.
    Write,
    /// Every key may.
    Reset,
    /// None does.
    None,
}

/// What became of a request here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Met {
    /// It can be answered here.
    Here(Hit),
    /// The host has to be asked, and the cache wants to hear the answer.
    Wanted,
    /// The host has to be asked.
    Passed,
}

#[expect(single_use_lifetimes, reason = "what is elided in `impl Trait` needs a name as yet")]
impl<'m> HotKeys<'m> {
    /// A cache in this memory, which [`HotSet::EMPTY`] fills.
    pub fn new(sets: &'m mut [HotSet]) -> Self {
        Self::with_rules(sets, HotRules::ALL)
    }

    /// The same with these rules; only tests have others than [`HotRules::ALL`].
    pub fn with_rules(sets: &'m mut [HotSet], rules: HotRules) -> Self {
        Self { sets, number: 0, emptied: 0, rules }
    }

    /// Whether it has no memory.
    #[inline]
    pub(super) fn is_off(&self) -> bool {
        self.sets.is_empty()
    }

    /// Forgets everything, since an epoch ends.
    pub(super) fn end_epoch(&mut self) {
        if self.rules.keep(HotRule::EpochsEndEmpty) {
            self.number = self.number.wrapping_add(1);
            self.emptied = self.number;
        }
    }

    /// Looks at the frame that is to be batched next, when everything that came before it was.
    pub(super) fn see(&mut self, inbound: &Inbound<'_>, may_reset: bool, counters: &mut Counters) -> Seen {
        let incoming = |raw| Incoming { raw, claimed_hash: None, may_reset };
        match inbound {
            // The way of most frames, without telling the protocols apart for each request.
            Inbound::Native { batch, .. } => self.see_all(batch.count(), batch.iter().map(incoming), counters),
            Inbound::Mica(frame) => self.see_all(frame.count(), inbound.requests(may_reset), counters),
        }
    }

    #[inline]
    fn see_all<'a>(
        &mut self,
        count: usize,
        requests: impl Iterator<Item = Incoming<'a>>,
        counters: &mut Counters,
    ) -> Seen {
        let is_short = count <= FRAME_COUNT_MAX;
        let first = NonZeroU64::new(self.number.wrapping_add(1));
        let (mut hits, mut is_here, mut is_wanted) = (Hits::new(), true, false);
        for incoming in requests {
            self.number = self.number.wrapping_add(1);
            match self.meet(&incoming, is_short, counters) {
                Met::Here(hit) => is_here &= hits.push(hit).is_ok(),
                Met::Wanted => (is_here, is_wanted) = (false, true),
                Met::Passed => is_here = false,
            }
        }
        if is_here {
            return Seen::Here(hits);
        }
        // What is here and goes to the host all the same, because its neighbours are not, is refreshed.
        Seen::Asked(Watch(first.filter(|_| is_wanted || !hits.is_empty())))
    }

    /// Does what a request asks for as far as the cache is concerned. Its number is the present one.
    #[inline]
    fn meet(&mut self, incoming: &Incoming<'_>, is_short: bool, counters: &mut Counters) -> Met {
        match effect(incoming.raw.operation) {
            Effect::Get if is_short => return self.ask(incoming),
            Effect::Write if !self.rules.keep(HotRule::WritesRemove) => {}
            Effect::Write if !self.rules.keep(HotRule::WritesRemoveFirst) => return Met::Wanted,
            Effect::Write => self.write(incoming, self.number, counters),
            Effect::Reset if incoming.may_reset => self.emptied = self.number,
            Effect::Get | Effect::Reset | Effect::None => {}
        }
        Met::Passed
    }

    fn ask(&mut self, incoming: &Incoming<'_>) -> Met {
        let hash = hash_of(incoming);
        let index = self.index_of(hash);
        let Some(set) = self.set_of(hash) else { return Met::Passed };
        match set.ask(hash, incoming.raw.key) {
            // A key that is here has the hash that it came with, so only a hit needs to look whether a client's is right.
            Found::Here { .. }
                if incoming.claimed_hash.is_some_and(|claimed| claimed != KeyHash::of(incoming.raw.key)) =>
            {
                Met::Passed
            }
            Found::Here { way } => Met::Here(Hit { set: index as u32, way: way as u8 }),
            Found::Wanted => Met::Wanted,
            Found::Unknown => Met::Passed,
        }
    }

    fn write(&mut self, incoming: &Incoming<'_>, number: u64, counters: &mut Counters) {
        let hash = hash_of(incoming);
        let is_removed = self.set_of(hash).is_some_and(|set| set.write(hash, incoming.raw.key, number));
        counters.add(Counter::HotRemovals, is_removed.into());
    }

    /// The answers to a frame all of which is here.
    pub(super) fn answers(&self, hits: &Hits) -> impl Iterator<Item = Response<'_>> + Clone {
        hits.iter().map(|hit| {
            let set = self.sets.get(hit.set as usize);
            Response { result: ResultCode::Success, value: set.map(|set| set.value(hit.way.into())) }
        })
    }

    /// What a run of answers says beside them; nothing while the cache is off.
    #[inline]
    pub(super) fn news(&self, run: &ResponseRun<'_>) -> News {
        if self.is_off() {
            return News::default();
        }
        News { may_expire: run.may_expire, has_misses: run.batch.has(ResultCode::NotFound) }
    }

    /// Whether there is something to learn from the answers to a frame.
    #[inline]
    pub(super) fn listens(&self, watch: Watch, news: News) -> bool {
        !self.is_off() && (watch.0.is_some() || news.has_misses)
    }

    /// Learns from the answers to the frame with this payload, before they take its place.
    #[inline(never)]
    pub(super) fn learn<'r>(
        &mut self,
        payload: &[u8],
        watch: Watch,
        news: News,
        responses: impl Iterator<Item = Response<'r>>,
        counters: &mut Counters,
    ) {
        let Decoded::Requests(inbound) = Decoded::of(payload) else { return };
        let is_kept = !news.may_expire || !self.rules.keep(HotRule::WhatExpiresIsNotKept);
        let mut number = watch.0.map(NonZeroU64::get).filter(|_| is_kept);
        for (incoming, response) in inbound.requests(false).zip(responses) {
            self.hear(&incoming, &response, number, counters);
            number = number.map(|number| number.wrapping_add(1));
        }
    }

    /// Learns from one answer. `number` is that of its request, if its value may be kept.
    fn hear(&mut self, incoming: &Incoming<'_>, response: &Response<'_>, number: Option<u64>, counters: &mut Counters) {
        let rules = self.rules;
        let hash = hash_of(incoming);
        let key = incoming.raw.key;
        match (effect(incoming.raw.operation), response.value, number) {
            (Effect::Get, Some(value), Some(number)) => {
                let is_filled = self.set_of(hash).is_some_and(|set| {
                    let is_young = set.is_unwritten_since(number) || !rules.keep(HotRule::OlderThanWritesIsNotKept);
                    is_young && set.fill(hash, key, value)
                });
                counters.add(Counter::HotFills, is_filled.into());
            }
            (Effect::Write, _, Some(number)) if !rules.keep(HotRule::WritesRemoveFirst) => {
                self.write(incoming, number, counters);
            }
            _ if response.result == ResultCode::NotFound && rules.keep(HotRule::WhatIsGoneIsRemoved) => {
                let is_removed = self.set_of(hash).is_some_and(|set| set.remove(hash, key));
                counters.add(Counter::HotRemovals, is_removed.into());
            }
            _ => {}
        }
    }

    /// The index of the set of a key with this hash.
    #[inline]
    fn index_of(&self, hash: KeyHash) -> usize {
        let share = u128::from(hash.0 as u32) * self.sets.len() as u128;
        (share >> u32::BITS) as usize
    }

    /// The set of a key with this hash, without what was to be forgotten. `None` while the cache is off.
    #[inline]
    fn set_of(&mut self, hash: KeyHash) -> Option<&mut HotSet> {
        let index = self.index_of(hash);
        let set = self.sets.get_mut(index)?;
        set.empty_before(self.emptied);
        Some(set)
    }
}

/// The hash that chooses a key's set. A client's may be wrong, but then its request is refused, whatever it does here.
#[inline]
fn hash_of(incoming: &Incoming<'_>) -> KeyHash {
    incoming.claimed_hash.unwrap_or_else(|| KeyHash::of(incoming.raw.key))
}

/// What is not understood counts as a write.
#[inline]
fn effect(operation: u8) -> Effect {
    match Opcode::from_wire(operation) {
        Some(Opcode::Get) => Effect::Get,
        Some(Opcode::Reset) => Effect::Reset,
        Some(Opcode::NoopRead | Opcode::NoopWrite | Opcode::Test | Opcode::Ttl) => Effect::None,
        _ => Effect::Write,
    }
}
