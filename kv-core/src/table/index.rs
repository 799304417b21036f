//! From keys to items: buckets of one cache line, two for each key.
//!
//! A key belongs to one bucket, its *home*, and may lie in one *other* (cuckoo hashing: Pagh and Rodler, ESA 2001; with
//! buckets of several items: Dietzfelbinger and Weidling, ICALP 2005). Each bucket keeps a filter of the items that
//! belong to it and lie elsewhere, so that most look-ups, of keys that are there and of keys that are not, end with the
//! first cache line. `bucket` has the picture of one.
//!
//! From either bucket of a key its tag leads to the other one, so that an item can be moved without reading its key
//! from the log: the two positions add up to a number that the tag chooses, modulo the number of buckets.
//!
//! [`Index`] looks up, for the owner and for readers; [`IndexOwner`] changes.

use core::hint::select_unpredictable;

use super::Mode;
use super::bucket::{
    CELL_COUNT, CELLS_WORD, Need, OVERFLOW_WORD, Overflow, Pointer, State, Tag, cell, overflow_of, pair_of,
    pair_of_words, pointers_of, state_of,
};
use super::item::{Item, ItemHeader, Shape};
use super::layout::Layout;
use super::words::{LINE_WORDS, Words};
use crate::hash::{Key, Placement, Secret};
use crate::sync::{AtomicU64, Ordering, fence};

/// The most words of an item that are fetched ahead; the hardware notices that what follows is read in order.
const FETCHED_WORDS_MAX: usize = 32 * LINE_WORDS;

/// The index for who looks up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Index<'m> {
    pub(super) words: Words<'m>,
    /// The buckets in it.
    buckets: &'m [[AtomicU64; LINE_WORDS]],
    pub(super) layout: Layout,
    pub(super) secret: Secret,
}

/// Where an item was found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    /// The bucket that the key belongs to.
    pub(super) home: usize,
    /// The bucket that leads to the item.
    pub(super) bucket: usize,
    /// The first cell of the item, or the cell of its pointer.
    pub(super) cell: usize,
    pub(super) item: Item,
}

impl Found {
    pub(super) const fn is_displaced(&self) -> bool {
        self.bucket != self.home
    }
}

/// The state in a line.
#[inline]
fn load_state([state, ..]: &[AtomicU64; LINE_WORDS]) -> State {
    State(state.load(Ordering::Relaxed))
}

/// An item that lies in a bucket.
#[inline]
const fn inline_at(home: usize, bucket: usize, pair: usize, shape: Shape) -> Found {
    Found { home, bucket, cell: 2 * pair, item: Item { at: bucket + CELLS_WORD + 2 * pair, shape } }
}

impl<'m> Index<'m> {
    pub(super) fn new(words: Words<'m>, layout: Layout, secret: Secret) -> Self {
        let first = Layout::bucket_at(0) / LINE_WORDS;
        let buckets = words.lines().get(first..first + layout.bucket_count()).unwrap_or_default();
        Self { words, buckets, layout, secret }
    }

    /// The bucket that a key belongs to.
    #[inline]
    pub(super) fn home(&self, placement: Placement) -> usize {
        self.layout.bucket_of(placement.to_bits() as u32)
    }

    /// The other bucket of a key whose one bucket is this.
    #[inline]
    pub(super) fn other(&self, bucket: usize, tag: Tag) -> usize {
        self.layout.other(bucket, tag.to_bits())
    }

    /// Both buckets of a key, its home first.
    #[inline]
    pub(super) fn buckets(&self, placement: Placement) -> [usize; 2] {
        let home = self.home(placement);
        [home, self.other(home, Tag::of(placement))]
    }

    /// The bucket that was fetched for a key, and the key as one word, if it is one.
    #[inline(always)]
    pub(super) fn word_at_aim(&self, key: &Key<'_>) -> Option<(&'m [AtomicU64; LINE_WORDS], u64)> {
        let line = self.buckets.get(key.aim())?;
        Some((line, u64::from_le_bytes(key.bytes().try_into().ok()?)))
    }

    /// The bucket that was fetched for a key, and the first cell of the key's item there, if both key and value are one
    /// word: all that the usual GET or SET needs, and short enough to be part of each.
    #[inline(always)]
    pub(super) fn find_words_at_aim(&self, key: &Key<'_>) -> Option<(&'m [AtomicU64; LINE_WORDS], usize)> {
        let (line, word) = self.word_at_aim(key)?;
        Some((line, 2 * pair_of_words(line, load_state(line), word)?))
    }

    /// The item of a key, expired or not, wherever it is. The bucket that was fetched for it comes first: whether that is
    /// the home or the other one cannot be predicted, so that nobody asks as long as the key is found.
    #[inline]
    pub(super) fn find(&self, key: &Key<'_>) -> Option<Found> {
        let home = self.home(key.placement());
        let at_aim = self.buckets.get(key.aim());
        at_aim
            .and_then(|line| self.find_in(line, home, Layout::bucket_at(key.aim()), key))
            .or_else(|| self.find_beside_aim(home, key))
    }

    /// The same in whichever of both buckets was not fetched for the key.
    #[inline(never)]
    fn find_beside_aim(&self, home: usize, key: &Key<'_>) -> Option<Found> {
        let aim = Layout::bucket_at(key.aim());
        let line = self.line(home)?;
        let in_home = if aim == home { None } else { self.find_in(line, home, home, key) };
        in_home.or_else(|| {
            let other = self.displaced_to(line, home, key.placement()).filter(|other| *other != aim)?;
            self.find_in(self.line(other)?, home, other, key)
        })
    }

    #[inline(always)]
    pub(super) fn line(&self, bucket: usize) -> Option<&'m [AtomicU64; LINE_WORDS]> {
        self.buckets.get((bucket - Layout::bucket_at(0)) / LINE_WORDS)
    }

    /// The other bucket, when something that has this key's tag and belongs to this bucket may lie there.
    #[inline]
    pub(super) fn displaced_to(
        &self,
        line: &[AtomicU64; LINE_WORDS],
        home: usize,
        placement: Placement,
    ) -> Option<usize> {
        let tag = Tag::of(placement);
        let [_, overflow, ..] = line;
        Overflow(overflow.load(Ordering::Relaxed)).may_hold(tag).then(|| self.other(home, tag))
    }

    /// The item of a key in one bucket.
    #[inline]
    pub(super) fn find_in(
        &self,
        line: &[AtomicU64; LINE_WORDS],
        home: usize,
        bucket: usize,
        key: &Key<'_>,
    ) -> Option<Found> {
        let state = load_state(line);
        if let Some((pair, shape)) = pair_of(line, state, key) {
            return Some(inline_at(home, bucket, pair, shape));
        }
        if state.has_pointers() { self.find_in_log(line, state, home, bucket, key) } else { None }
    }

    /// The item of a key in the log that one bucket leads to.
    #[inline]
    fn find_in_log(
        &self,
        line: &[AtomicU64; LINE_WORDS],
        state: State,
        home: usize,
        bucket: usize,
        key: &Key<'_>,
    ) -> Option<Found> {
        let mut matches = pointers_of(line, state, Tag::of(key.placement()));
        while matches != 0 {
            let index = matches.trailing_zeros() as usize;
            let at = Pointer(cell(line, index)).at();
            let header = ItemHeader::from_word(self.words.load(at));
            let item = Item::in_log(at, header);
            if item.has_key(header, self.words, key) {
                return Some(Found { home, bucket, cell: index, item });
            }
            matches &= matches - 1;
        }
        None
    }

    /// Fetches the line of the key's home.
    #[inline]
    pub(crate) fn prefetch(&self, key: &mut Key<'_>) {
        let number = self.layout.number_of(key.placement().to_bits() as u32);
        key.set_aim(number);
        self.prefetch_bucket(number);
    }

    /// Looks into the key's home, which should have arrived, for which of its two buckets has the key, and fetches that
    /// one. Which it is cannot be predicted, so that it is chosen without a branch.
    #[inline]
    pub(crate) fn prefetch_other(&self, key: &mut Key<'_>) {
        let home = key.aim();
        let Some(line) = self.buckets.get(home) else { return };
        let tag = Tag::of(key.placement());
        let [_, overflow, ..] = line;
        let is_elsewhere = Overflow(overflow.load(Ordering::Relaxed)).may_hold(tag);
        let other = self.layout.other_number(home, tag.to_bits());
        let aim = select_unpredictable(is_elsewhere, other, home);
        key.set_aim(aim);
        self.prefetch_bucket(aim);
    }

    /// Looks into the bucket that was chosen, which should have arrived, for a way into the log, and fetches the first
    /// item there with the right tag.
    #[inline]
    pub(crate) fn prefetch_item(&self, key: &Key<'_>) {
        let Some(line) = self.buckets.get(key.aim()) else { return };
        let state = load_state(line);
        if state.has_pointers() {
            self.prefetch_log(line, state, Tag::of(key.placement()));
        }
    }

    #[inline]
    fn prefetch_bucket(&self, number: usize) {
        if let Some([state, ..]) = self.buckets.get(number) {
            arch::prefetch_read(state);
        }
    }

    #[inline(never)]
    fn prefetch_log(&self, line: &[AtomicU64; LINE_WORDS], state: State, tag: Tag) {
        let matches = pointers_of(line, state, tag);
        if matches != 0 {
            let at = Pointer(cell(line, matches.trailing_zeros() as usize)).at();
            let end = at + self.layout.item_words_hint.min(FETCHED_WORDS_MAX);
            for at in (at - at % LINE_WORDS..end).step_by(LINE_WORDS) {
                self.words.prefetch(at);
            }
        }
    }

    /// The cell that leads to an item in the log, when one still does.
    pub(super) fn pointer_to(&self, item: Item, placement: Placement) -> Option<Found> {
        let [home, other] = self.buckets(placement);
        [home, other].into_iter().find_map(|bucket| {
            let line = self.line(bucket)?;
            let state = state_of(self.words, bucket);
            let leads = |index: &usize| state.is_pointer(*index) && Pointer(cell(line, *index)).at() == item.at;
            let cell = (0..CELL_COUNT).find(leads)?;
            Some(Found { home, bucket, cell, item })
        })
    }

    /// The pointer in a cell, which must hold one.
    pub(super) fn pointer(&self, bucket: usize, cell: usize) -> Pointer {
        Pointer(self.words.load(bucket + CELLS_WORD + cell))
    }

    /// The home of what lies in a cell, or begins there, and its tag. Of an item in the log the pointer says both.
    pub(super) fn origin(&self, bucket: usize, cell: usize) -> Option<(usize, Tag)> {
        let state = state_of(self.words, bucket);
        if state.is_pointer(cell) {
            let pointer = self.pointer(bucket, cell);
            let home = if pointer.is_displaced() { self.other(bucket, pointer.tag()) } else { bucket };
            return Some((home, pointer.tag()));
        }
        let placement = self.placement_of(self.inline_item(bucket, cell)?);
        Some((self.home(placement), Tag::of(placement)))
    }

    /// What lies in a cell, or begins there.
    pub(super) fn found_at(&self, bucket: usize, cell: usize) -> Option<Found> {
        let (home, _) = self.origin(bucket, cell)?;
        let item = self.inline_item(bucket, cell).or_else(|| {
            let at = self.pointer(bucket, cell).at();
            Some(Item::in_log(at, ItemHeader::from_word(self.words.load(at))))
        })?;
        Some(Found { home, bucket, cell, item })
    }

    /// The item that lies in a bucket and begins with a cell.
    fn inline_item(&self, bucket: usize, cell: usize) -> Option<Item> {
        let shape = state_of(self.words, bucket).item(cell / 2).filter(|_| cell.is_multiple_of(2))?;
        Some(Item { at: bucket + CELLS_WORD + cell, shape })
    }

    /// Whether what lies in a cell, or begins there, was read since it was put there.
    #[inline]
    pub(super) fn was_read(&self, bucket: usize, cell: usize) -> bool {
        overflow_of(self.words, bucket).was_read(cell)
    }

    /// The placement of an item, computed from its key.
    pub(super) fn placement_of(&self, item: Item) -> Placement {
        let mut bytes = [0; qp_wire::limits::KEY_LEN_MAX];
        Placement::of(&self.secret, item.load_key(self.words, &mut bytes))
    }
}

/// The index for its owner.
#[derive(Debug)]
pub(super) struct IndexOwner<'m> {
    pub(super) look: Index<'m>,
}

impl<'m> IndexOwner<'m> {
    /// Makes an empty index, whatever the memory held.
    pub(super) fn format(words: Words<'m>, layout: Layout, secret: Secret) -> Self {
        for bucket in layout.buckets() {
            for offset in 0..LINE_WORDS {
                words.store(bucket + offset, 0);
            }
        }
        Self { look: Index::new(words, layout, secret) }
    }

    /// Empties the index while readers read.
    pub(super) fn reset(&mut self) {
        let words = self.look.words;
        for bucket in self.look.layout.buckets() {
            self.change(bucket, state_of(words, bucket).emptied(), &[]);
            words.store(bucket + OVERFLOW_WORD, 0);
        }
    }

    /// Makes an item visible whose two words are these.
    pub(super) fn put_item(&mut self, bucket: usize, cell: usize, shape: Shape, content: [u64; 2]) {
        let [low, high] = content;
        let state = state_of(self.look.words, bucket).with_item(cell / 2, shape);
        self.change(bucket, state, &[(cell, low), (cell + 1, high)]);
        self.unmark(bucket, cell);
    }

    /// Puts an item whose two words are these into the bucket that leads to the item in the log that it replaces: both at
    /// once, since a reader that saw the new one may look into another place next. `false` when there is no pair for it.
    pub(super) fn put_item_for_pointer(&mut self, replaced: &Found, shape: Shape, content: [u64; 2]) -> bool {
        let [low, high] = content;
        let state = state_of(self.look.words, replaced.bucket);
        let Some(cell) = state.vacancy(Need::Pair) else { return false };
        let state = state.without_pointer(replaced.cell).with_item(cell / 2, shape);
        self.change(replaced.bucket, state, &[(cell, low), (cell + 1, high)]);
        self.unmark(replaced.bucket, cell);
        true
    }

    /// Makes a pointer visible, in a free cell, in place of another pointer or in place of an item.
    pub(super) fn put_pointer(&mut self, bucket: usize, cell: usize, pointer: Pointer) {
        let state = state_of(self.look.words, bucket).with_pointer(cell);
        self.change(bucket, state, &[(cell, pointer.0)]);
        self.unmark(bucket, cell);
    }

    /// Puts a complete item, to which nothing leads, over one in the log that has as many words.
    pub(super) fn replace_in_log(&mut self, found: &Found, complete: usize) {
        let state = state_of(self.look.words, found.bucket);
        self.change_by(found.bucket, state, |words| {
            Layout::replace(words, complete, found.item.at, found.item.shape.words());
        });
        // It stays where it is in the log, among older ones, so that a cache needs to know that it was touched.
        self.mark(found.bucket, found.cell);
    }

    /// Takes the item or pointer out of a place.
    pub(super) fn take(&mut self, bucket: usize, cell: usize) {
        let state = state_of(self.look.words, bucket);
        let state = if state.is_pointer(cell) { state.without_pointer(cell) } else { state.without_item(cell / 2) };
        self.change(bucket, state, &[]);
    }

    /// Notes in a key's home that its item lies, or will lie, elsewhere. Before the item is there.
    pub(super) fn note_elsewhere(&self, home: usize, tag: Tag) {
        let words = self.look.words;
        words.store(home + OVERFLOW_WORD, overflow_of(words, home).with(tag).0);
    }

    /// Notes in a key's home that its item no longer lies elsewhere. When it does not: who reads the note must not find
    /// the item again.
    pub(super) fn forget_elsewhere(&self, home: usize) {
        let words = self.look.words;
        words.publish(home + OVERFLOW_WORD, overflow_of(words, home).without_one().0);
    }

    /// Takes an item out of the index.
    pub(super) fn clear(&mut self, found: &Found) {
        self.take(found.bucket, found.cell);
        if found.is_displaced() {
            self.forget_elsewhere(found.home);
        }
    }

    /// Notes that an item was read, where that decides what is evicted.
    #[inline]
    pub(super) fn mark(&self, bucket: usize, cell: usize) {
        if self.look.layout.mode == Mode::Cache && !self.look.was_read(bucket, cell) {
            self.set_mark(bucket, cell, true);
        }
    }

    /// Forgets that an item was read.
    #[inline]
    pub(super) fn unmark(&self, bucket: usize, cell: usize) {
        if self.look.layout.mode == Mode::Cache {
            self.set_mark(bucket, cell, false);
        }
    }

    #[inline(never)]
    fn set_mark(&self, bucket: usize, cell: usize, was_read: bool) {
        let words = self.look.words;
        words.store(bucket + OVERFLOW_WORD, overflow_of(words, bucket).with_read(cell, was_read).0);
    }

    /// Stores cells of a bucket and then its state.
    #[inline]
    fn change(&mut self, bucket: usize, state: State, cells: &[(usize, u64)]) {
        self.change_by(bucket, state, |words| {
            for &(cell, content) in cells {
                words.store(bucket + CELLS_WORD + cell, content);
            }
        });
    }

    /// Stores what a bucket has or leads to, and then its state; where there are readers, between the two steps of the
    /// version. The module head of `table` has the argument.
    #[inline]
    fn change_by(&mut self, bucket: usize, state: State, change: impl FnOnce(Words<'_>)) {
        let words = self.look.words;
        let before = state_of(words, bucket);
        let with_readers = self.look.layout.concurrent_read;
        if with_readers {
            words.store(bucket, before.next_version().0);
            fence(Ordering::Release);
        }
        change(words);
        let state = if with_readers { state.next_version().next_version() } else { state };
        words.publish(bucket, state.0);
    }
}
