//! Making a place in one of a key's two buckets, by moving what lies there to its own other bucket.
//!
//! The search goes breadth first from both buckets, so that it finds a shortest way and moves as little as possible.
//! It looks at no more than [`BUCKETS_MAX`] buckets, whose lines are fetched when they are queued. Then the moves are
//! done from the far end: each makes the copy visible before the original goes, so that an item can be found at any
//! moment.

use super::bucket::{CELL_COUNT, CELLS_WORD, Need, Tag, state_of};
use super::index::{Index, IndexOwner};

/// Buckets that a search looks at. With a million keys of 8 B / 8 B the first search that finds nothing came when 93.6 % of
/// the pairs were in use; with 200 buckets at 89.9 %, with 1000 at 94.5 %.
pub(super) const BUCKETS_MAX: usize = 500;

/// A free place in one of a key's buckets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) bucket: usize,
    pub(super) cell: usize,
}

/// A bucket that the search has reached.
#[derive(Clone, Copy, Debug)]
struct Step {
    bucket: usize,
    /// The step from whose bucket something would move here; its own index for the two that the search began with.
    from: u16,
    /// What would move: the first cell of an item, or the cell of a pointer.
    cell: u8,
    need: Need,
}

/// Something that could move.
struct Movable {
    cell: usize,
    need: Need,
    tag: Tag,
}

impl IndexOwner<'_> {
    /// A free place in the first of these buckets that has one.
    #[inline]
    pub(super) fn vacancy(&self, buckets: [usize; 2], need: Need) -> Option<Place> {
        let words = self.look.words;
        buckets.into_iter().find_map(|bucket| Some(Place { bucket, cell: state_of(words, bucket).vacancy(need)? }))
    }

    /// Frees a place in one of a key's buckets, neither of which has one, and returns how many items moved.
    pub(super) fn displace(&mut self, [home, other]: [usize; 2], need: Need) -> Option<(Place, u64)> {
        let first = |index, bucket| Step { bucket, from: index, cell: 0, need };
        let mut steps = [first(0, home); BUCKETS_MAX];
        steps[1] = first(1, other);
        let mut count = 2;
        let mut next = 0;
        while next < count {
            let step = *steps.get(next)?;
            for movable in self.look.movables(step.bucket, step.need).into_iter().flatten() {
                let bucket = self.look.other(step.bucket, movable.tag);
                if count == steps.len() || is_on_the_way(&steps, next, bucket) {
                    continue;
                }
                self.look.words.prefetch(bucket);
                if let Some(slot) = steps.get_mut(count) {
                    *slot = Step { bucket, from: next as u16, cell: movable.cell as u8, need: movable.need };
                    count += 1;
                }
            }
            next += 1;
            // The next bucket in the queue, which has been fetched meanwhile.
            if let Some(&step) = steps.get(next).filter(|_| next < count)
                && let Some(cell) = state_of(self.look.words, step.bucket).vacancy(step.need)
            {
                return self.move_along(&steps, next, cell);
            }
        }
        None
    }

    /// Does the moves of a way that ends in a free place, from its end to its begin.
    fn move_along(&mut self, steps: &[Step], last: usize, free: usize) -> Option<(Place, u64)> {
        let mut to = Place { bucket: steps.get(last)?.bucket, cell: free };
        let mut step = *steps.get(last)?;
        let mut moved = 0;
        loop {
            let from = *steps.get(usize::from(step.from))?;
            if from.bucket == step.bucket {
                return Some((to, moved));
            }
            self.move_one(Place { bucket: from.bucket, cell: usize::from(step.cell) }, to)?;
            moved += 1;
            // What has moved leaves a place for what was to come here, though not always its own.
            let cell = state_of(self.look.words, from.bucket).vacancy(from.need)?;
            to = Place { bucket: from.bucket, cell };
            step = from;
        }
    }

    /// Moves an item or a pointer from one of its buckets to the other.
    fn move_one(&mut self, from: Place, to: Place) -> Option<()> {
        let words = self.look.words;
        let (home, tag) = self.look.origin(from.bucket, from.cell)?;
        if home == from.bucket {
            self.note_elsewhere(home, tag);
        }
        match state_of(words, from.bucket).item(from.cell / 2) {
            Some(shape) => {
                let at = from.bucket + CELLS_WORD + from.cell;
                self.put_item(to.bucket, to.cell, shape, [words.load(at), words.load(at + 1)]);
            }
            None => {
                let pointer = self.look.pointer(from.bucket, from.cell);
                self.put_pointer(to.bucket, to.cell, pointer.seen_from_other());
            }
        }
        self.take(from.bucket, from.cell);
        if home == to.bucket {
            self.forget_elsewhere(home);
        }
        Some(())
    }
}

impl Index<'_> {
    /// What could leave a bucket so that there is a place for `need`.
    fn movables(&self, bucket: usize, need: Need) -> [Option<Movable>; CELL_COUNT] {
        let state = state_of(self.words, bucket);
        core::array::from_fn(|cell| {
            let (_, tag) = state.leaves_a_place(cell, need).then(|| self.origin(bucket, cell))??;
            let need = if state.is_pointer(cell) { Need::Cell } else { Need::Pair };
            Some(Movable { cell, need, tag })
        })
    }
}

/// Whether the way to a step leads through a bucket. Through one and the same twice, the moves would be in each other's
/// way.
fn is_on_the_way(steps: &[Step], mut index: usize, bucket: usize) -> bool {
    while let Some(step) = steps.get(index) {
        if step.bucket == bucket {
            return true;
        }
        if usize::from(step.from) == index {
            return false;
        }
        index = usize::from(step.from);
    }
    false
}
