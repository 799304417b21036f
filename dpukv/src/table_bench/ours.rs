//! The table of `kv-core`, driven as the engines drive it: hash and fetch ahead, then execute.

use hdrhistogram::Histogram;
use kv_core::hash::{KEY_LANES, Key, KeyLanes, Secret};
use kv_core::table::{
    AddOutcome, DeleteOutcome, GetOutcome, Millis, Mode, ReadOutcome, SetOutcome, Table, TableConfig, TableReader,
};
use qp_wire::limits::{KEY_LEN_MAX, VALUE_LEN_MAX};
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use shell_io::memory::{HugePages, TableMemory};

use super::{Mix, Operation, Stream, Worker, cpu_seconds};
use crate::measure::Progress;
use crate::workload::{KeySampler, KeySpace, ValueShape};

/// Groups of [`KEY_LANES`] keys in the ring, and how many of them each stage is ahead of the executed one.
const GROUPS: usize = 8;
const AHEAD: usize = 5;
const OTHER_AHEAD: usize = 3;
const ITEM_AHEAD: usize = 2;

const NOW: Millis = Millis(0);

/// What a table is loaded with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OursConfig {
    pub(crate) keys: KeySpace,
    pub(crate) values: ValueShape,
    pub(crate) concurrent_read: bool,
    pub(crate) memory_len: usize,
    pub(crate) huge_pages: HugePages,
    /// Operations after which the pipeline runs empty, as the engines' does with a burst.
    pub(crate) burst: usize,
}

/// Bytes of memory for so many items: what the layout needs when nine of ten pairs, or 80 % of the cells, are in use.
pub(crate) fn bytes_for(count: u64, item_len: usize) -> usize {
    let per_item = if item_len <= 16 { 24.0 } else { ((item_len + 4).next_multiple_of(8)) as f64 / 0.93 + 13.5 };
    (count as f64 * per_item) as usize + (2 << 20)
}

/// Memory for a table and what it holds, before there is a [`Worker`].
#[derive(Debug)]
pub(crate) struct Ours {
    config: OursConfig,
    secret: Secret,
    memory: TableMemory,
}

impl Ours {
    /// # Errors
    /// The kernel's, when there is not so much memory.
    pub(crate) fn allocate(config: OursConfig) -> Result<Self, shell_io::memory::AllocateError> {
        let memory = TableMemory::allocate(config.memory_len, config.huge_pages)?;
        Ok(Self { config, secret: Secret { k0: rand::random(), k1: rand::random() }, memory })
    }

    /// What places its keys.
    pub(crate) fn secret(&self) -> Secret {
        self.secret
    }

    pub(crate) fn memory(&self) -> &TableMemory {
        &self.memory
    }

    /// Stores all keys and reads them back. Returns the table and the share of the keys that it kept.
    ///
    /// # Errors
    /// The table's, when the memory is too small for any.
    pub(crate) fn load(&self, progress: &Progress) -> Result<(Table<'_>, f64), kv_core::table::TableError> {
        let OursConfig { keys, values, concurrent_read, .. } = self.config;
        let config = TableConfig {
            mode: Mode::Store,
            concurrent_read,
            secret: self.secret,
            item_len_hint: keys.len() + values.len(),
        };
        let mut table = Table::format(self.memory.words(), &config)?;
        let (mut name, mut value) = ([0; KEY_LEN_MAX], [0; VALUE_LEN_MAX]);
        let mut stored = 0;
        for index in 0..keys.count() {
            let key = Key::new(&self.secret, keys.encode(index, &mut name));
            let is_stored = table.set(&key, values.encode(index, 0, &mut value), None, NOW) == SetOutcome::Stored;
            stored += u64::from(is_stored);
            if index % 65_536 == 0 {
                progress.store(index, std::sync::atomic::Ordering::Relaxed);
            }
        }
        let mut kept = 0;
        for index in 0..keys.count() {
            let key = Key::new(&self.secret, keys.encode(index, &mut name));
            kept += u64::from(
                matches!(table.get(&key, NOW, &mut value), GetOutcome::Found { len, .. } if len == values.len()),
            );
        }
        debug_assert_eq!(stored, kept, "what was acknowledged can be read");
        Ok((table, kept as f64 / keys.count() as f64))
    }

    /// The worker that owns a table.
    pub(crate) fn owner<'m>(&self, table: Table<'m>) -> Owner<'m> {
        let OursConfig { values, burst, .. } = self.config;
        Owner { secret: self.secret, burst, table, value: vec![0x5a; values.len()], into: [0; VALUE_LEN_MAX] }
    }

    /// Times single stores, each by the CPU time of this thread, which no other program can stretch: SETs of keys that are
    /// there, or with [`Operation::Churn`] a DELETE and an ADD. Returns nanoseconds, the clock's own cost included.
    ///
    /// # Errors
    /// A sentence, when a store is refused.
    pub(crate) fn time_stores(&self, table: &mut Table<'_>, mix: &Mix, count: u64) -> Result<Histogram<u64>, String> {
        let mut histogram = Histogram::new(3).map_err(|error| error.to_string())?;
        let (mut name, mut value) = ([0; KEY_LEN_MAX], [0; VALUE_LEN_MAX]);
        let mut random = Xoshiro256PlusPlus::seed_from_u64(count);
        let sampler = KeySampler::new(self.config.keys, mix.distribution);
        for sequence in 0..count {
            let index = sampler.sample(&mut random);
            let key = Key::new(&self.secret, self.config.keys.encode(index, &mut name));
            let value = self.config.values.encode(index, sequence as u32, &mut value);
            let begin = cpu_seconds();
            if mix.operation == Operation::Churn {
                table.delete(&key, NOW);
            }
            let outcome = table.set(&key, value, None, NOW);
            let elapsed = cpu_seconds() - begin;
            if outcome != SetOutcome::Stored {
                return Err(format!("store {sequence} of {count} was refused: {:?}", table.stats()));
            }
            histogram.saturating_record((elapsed * 1e9) as u64);
        }
        Ok(histogram)
    }

    /// A worker that only reads beside the owner; SETs become GETs.
    pub(crate) fn reader<'m>(&self, reader: TableReader<'m>) -> Reader<'m> {
        Reader { secret: self.secret, burst: self.config.burst, reader, into: [0; VALUE_LEN_MAX] }
    }

    /// Mean lines that a look-up of a stream's keys reads.
    pub(crate) fn lines_touched(&self, table: &Table<'_>, stream: &Stream) -> f64 {
        let sample = stream.count().min(100_000);
        let lines = (0..sample).map(|at| table.lines_touched(&Key::new(&self.secret, stream.name(at))));
        lines.sum::<usize>() as f64 / sample as f64
    }
}

/// A table's owner.
pub(crate) struct Owner<'m> {
    secret: Secret,
    burst: usize,
    table: Table<'m>,
    value: Vec<u8>,
    into: [u8; VALUE_LEN_MAX],
}

/// A reader on another core.
pub(crate) struct Reader<'m> {
    secret: Secret,
    burst: usize,
    reader: TableReader<'m>,
    into: [u8; VALUE_LEN_MAX],
}

/// What a pipeline needs of a table or of its reader.
trait Stages {
    fn prefetch(&self, key: &mut Key<'_>);
    fn prefetch_other(&self, key: &mut Key<'_>);
    fn prefetch_item(&self, key: &Key<'_>);
    fn execute(&mut self, key: &Key<'_>, is_set: bool, operation: Operation) -> bool;
}

/// Runs operations through pipelines of so many each.
#[inline]
fn in_bursts(
    stages: &mut impl Stages,
    burst: usize,
    secret: &Secret,
    stream: &Stream,
    from: usize,
    count: usize,
) -> u64 {
    (0..count).step_by(burst).map(|at| pipeline(stages, secret, stream, from + at, burst.min(count - at))).sum()
}

/// Runs operations through the stages, eight at a time.
#[inline]
fn pipeline(stages: &mut impl Stages, secret: &Secret, stream: &Stream, from: usize, count: usize) -> u64 {
    let mut ring = [[Key::new(secret, b""); KEY_LANES]; GROUPS];
    let groups = count / KEY_LANES;
    let operation = stream.operation();
    let (sets, _) = stream.sets()[from..from + count].as_chunks::<KEY_LANES>();
    let mut done = 0;
    for group in 0..groups + AHEAD {
        // Behind the end it fetches the last ones again.
        let names = stream.group(from + group.min(groups - 1) * KEY_LANES);
        let lanes = KeyLanes::new(secret, &names);
        let executed = group.checked_sub(AHEAD).map(|group| &sets[group]);
        for (lane, mut key) in lanes.keys().enumerate() {
            stages.prefetch(&mut key);
            ring[group % GROUPS][lane] = key;
            stages.prefetch_other(&mut ring[group.wrapping_sub(AHEAD - OTHER_AHEAD) % GROUPS][lane]);
            stages.prefetch_item(&ring[group.wrapping_sub(AHEAD - ITEM_AHEAD) % GROUPS][lane]);
            if let Some(sets) = executed {
                done += u64::from(stages.execute(&ring[(group - AHEAD) % GROUPS][lane], sets[lane], operation));
            }
        }
    }
    done
}

impl Stages for Owner<'_> {
    #[inline(always)]
    fn prefetch(&self, key: &mut Key<'_>) {
        self.table.prefetch(key);
    }

    #[inline(always)]
    fn prefetch_other(&self, key: &mut Key<'_>) {
        self.table.prefetch_other(key);
    }

    #[inline(always)]
    fn prefetch_item(&self, key: &Key<'_>) {
        self.table.prefetch_item(key);
    }

    #[inline(always)]
    fn execute(&mut self, key: &Key<'_>, is_set: bool, operation: Operation) -> bool {
        if !is_set {
            let outcome = self.table.get(key, NOW, &mut self.into);
            return matches!(outcome, GetOutcome::Found { .. });
        }
        if operation == Operation::Churn {
            let is_deleted = self.table.delete(key, NOW) == DeleteOutcome::Deleted;
            return is_deleted && self.table.add(key, &self.value, None, NOW) == AddOutcome::Stored;
        }
        self.table.set(key, &self.value, None, NOW) == SetOutcome::Stored
    }
}

impl Stages for Reader<'_> {
    #[inline(always)]
    fn prefetch(&self, key: &mut Key<'_>) {
        self.reader.prefetch(key);
    }

    #[inline(always)]
    fn prefetch_other(&self, key: &mut Key<'_>) {
        self.reader.prefetch_other(key);
    }

    #[inline(always)]
    fn prefetch_item(&self, key: &Key<'_>) {
        self.reader.prefetch_item(key);
    }

    #[inline(always)]
    fn execute(&mut self, key: &Key<'_>, _is_set: bool, _operation: Operation) -> bool {
        let outcome = self.reader.get(key, NOW, &mut self.into);
        matches!(outcome, ReadOutcome::Done(GetOutcome::Found { .. }))
    }
}

impl Worker for Owner<'_> {
    fn run(&mut self, stream: &Stream, from: usize, count: usize) -> u64 {
        let (secret, burst) = (self.secret, self.burst);
        in_bursts(self, burst, &secret, stream, from, count)
    }
}

impl Worker for Reader<'_> {
    fn run(&mut self, stream: &Stream, from: usize, count: usize) -> u64 {
        let (secret, burst) = (self.secret, self.burst);
        in_bursts(self, burst, &secret, stream, from, count)
    }
}
