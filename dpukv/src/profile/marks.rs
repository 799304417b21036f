//! Instructions, counted by valgrind's `callgrind` in a process of its own: this command again, which calls [`mark`] where
//! a stage begins. Callgrind writes down at each call how many instructions were executed since the one before it; the
//! process says what they were for.
//!
//! Counts do not depend on what else a machine does, nor on the data set as long as it is as full, so that a small one
//! serves. Valgrind knows no AVX-512: it is told of a CPU with AVX2, and what the program chooses there is counted.

use std::hint::black_box;

use kv_core::engine::{Profile, Stage};
use serde::{Deserialize, Serialize};

use super::rig::{Meter, Profiled, Turned, Unmeasured};
use super::sampler::STRETCH_ROUNDS;

/// Rounds before those that count.
const WARM_ROUNDS: usize = 4;

/// Requests that are counted as a whole, at least.
const WHOLE_REQUESTS: u64 = 32_768;

/// Requests that are counted by stage, at least: each takes several marks, and a mark a millisecond.
const STAGED_REQUESTS: u64 = 512;

/// Marks in a row, to find what they take themselves.
const CALIBRATION_MARKS: usize = 32;

/// What was executed between two marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Section {
    /// Nothing that is asked for.
    Nothing,
    /// The marks themselves.
    Mark,
    /// All requests of a run, without a profile.
    Whole,
    /// A stage, by its index.
    Stage(usize),
}

/// What one run did between marks.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Sections {
    /// In the order of the marks that ended them.
    pub(super) sections: Vec<Section>,
    /// Requests of [`Section::Whole`].
    pub(super) whole_requests: u64,
    /// Requests of all [`Section::Stage`].
    pub(super) staged_requests: u64,
}

/// What a role did between marks, the same role with samples, and the table alone if it was asked for.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Marked {
    pub(super) role: Sections,
    pub(super) sampled: Option<Sections>,
    pub(super) table: Option<Sections>,
}

/// Where callgrind writes down its count.
#[inline(never)]
fn mark() {
    black_box(());
}

/// Callgrind counts within this function only.
#[inline(never)]
fn counted(turn: &mut dyn FnMut()) {
    turn();
    black_box(());
}

/// The names of [`mark`] and [`counted`], as callgrind sees them.
pub(super) const MARK: &str = "*profile::marks::mark*";
pub(super) const COUNTED: &str = "*profile::marks::counted*";

/// Marks each stage.
#[derive(Debug)]
pub(super) struct Marker {
    stage: Stage,
    /// The stages that marks have ended. It does not grow beyond what it was made with: that would be counted.
    ended: Vec<Stage>,
}

impl Marker {
    pub(super) fn new() -> Self {
        Self { stage: Stage::Others, ended: Vec::with_capacity(1 << 20) }
    }

    fn take(&mut self) -> impl Iterator<Item = Section> + '_ {
        self.ended.drain(..).map(|stage| Section::Stage(stage as usize))
    }
}

impl Profile for Marker {
    #[inline(never)]
    fn enter(&mut self, stage: Stage) {
        self.ended.push(self.stage);
        self.stage = stage;
        mark();
    }
}

impl Turned for Marker {
    fn begin_turn(&mut self) {
        self.enter(Stage::Others);
    }

    fn end_turn(&mut self) {
        self.enter(Stage::Others);
    }
}

struct Counted;

impl Meter for Counted {
    fn measure(&mut self, turn: &mut dyn FnMut()) {
        counted(turn);
    }
}

/// Runs rounds, for their count as a whole: of samples there are as many as in a stretch.
pub(super) fn count_whole(into: &mut Sections, mut round: impl FnMut(&mut dyn Meter) -> u64) {
    for _ in 0..WARM_ROUNDS {
        round(&mut Unmeasured);
    }
    mark();
    into.sections.push(Section::Nothing);
    let mut rounds = 0;
    while into.whole_requests < WHOLE_REQUESTS || rounds % STRETCH_ROUNDS != 0 {
        into.whole_requests += round(&mut Counted);
        rounds += 1;
    }
    mark();
    into.sections.push(Section::Whole);
}

/// Runs a role with marks, for the shares of its stages.
pub(super) fn count_stages(rig: &mut dyn Profiled<Marker>, into: &mut Sections) {
    for _ in 0..WARM_ROUNDS {
        rig.round(&mut Unmeasured);
    }
    into.sections.extend(rig.profile().take().map(|_| Section::Nothing));
    while into.staged_requests < STAGED_REQUESTS {
        into.staged_requests += rig.round(&mut Counted);
    }
    into.sections.extend(rig.profile().take());
}

/// Marks in a row.
pub(super) fn count_marks() -> Marked {
    let mut marker = Marker::new();
    counted(&mut || (0..CALIBRATION_MARKS).for_each(|_| marker.enter(Stage::Others)));
    let mut sections = vec![Section::Mark; CALIBRATION_MARKS];
    // It also has what led there.
    sections[0] = Section::Nothing;
    Marked { role: Sections { sections, ..Sections::default() }, ..Marked::default() }
}
