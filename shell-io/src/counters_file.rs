//! Counters in memory that others read while the cores count.
//!
//! The memory is a sealed file without a name: cores write to it without a system call, nobody can take its pages away,
//! and it is gone with its process, so that nobody ever reads the counters of the dead. Others open it below `/proc`, or
//! through a link, and read it as a file. A reader that has it open may read the last state of a process that has ended.
//!
//! ```text
//! word    0      1        2     3           4           5      6        7          8    9
//!         magic  version  side  core_count  word_count  names  tick_hz  server_id  pid  epoch
//! word    16 + i * stride     the counters of core i, `word_count` of them
//! behind the last core's      what a network device counts, by names of its driver's
//! ```
//!
//! All words are in the byte order of the machine. `word_count` is [`COUNTER_WORDS`], `names` is a checksum of their
//! names, so that a reader of another release refuses rather than mixes them up; `stride` is `word_count` rounded up to
//! a cache line, since each core writes to lines of its own.
//!
//! Each word is whole; words of one reading may be a turn of the core's loop apart.

mod named;

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{FileExt, symlink};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

use arch::crc32c;
use kv_core::counters::{COUNTER_WORDS, Counter, Counters};
use kv_core::design::{CORE_COUNT_MAX, Side};
use qp_wire::DropReason;
use rustix::fs::{FallocateFlags, MemfdFlags, SealFlags, fallocate, fcntl_add_seals, memfd_create};
use rustix::io::Errno;

use crate::memory::{Mapping, PAGE_LEN};

const MAGIC: u64 = u64::from_ne_bytes(*b"DPUKVCNT");

/// Version of the layout.
const VERSION: u64 = 2;

const WORD_LEN: usize = size_of::<u64>();

/// Words before the first core's, two cache lines.
const HEAD_WORDS: usize = 16;

/// Words from one core's to the next one's.
const STRIDE_WORDS: usize = COUNTER_WORDS.next_multiple_of(8);

/// Words of what a device counts.
const NAMED_WORDS: usize = named::PLACE_COUNT * named::PLACE_WORDS;

/// Words of the head, in their order.
#[derive(Clone, Copy, Debug)]
#[repr(usize)]
enum HeadWord {
    Magic,
    Version,
    Side,
    CoreCount,
    WordCount,
    Names,
    TickHz,
    ServerId,
    Pid,
    Epoch,
}

/// Whose counters they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CountersHead {
    /// The side.
    pub side: Side,
    /// How many of its cores count, 0 to [`CORE_COUNT_MAX`].
    pub core_count: u8,
    /// How many ticks of [`Counter::BusyTicks`] a second has.
    pub tick_hz: u64,
    /// The number that the process was born with.
    pub server_id: u64,
    /// The process.
    pub pid: u32,
}

/// The counters could not be made readable for others.
#[derive(Debug, thiserror::Error)]
pub enum CountersCreateError {
    /// There is no memory for them.
    #[error("cannot make memory for the counters: {0}; raise the memory limit of this process")]
    Memory(#[source] io::Error),
    /// There is no place for the link.
    #[error("cannot link the counters at {}: {cause}; choose another counters.file", path.display())]
    Link {
        /// Where the link was to be.
        path: PathBuf,
        /// What the operating system says.
        cause: io::Error,
    },
}

/// The counters of this process. Dropping it removes the link.
#[derive(Debug)]
pub struct CountersFile {
    mapping: Mapping,
    core_count: u8,
    file: OwnedFd,
    link: Option<PathBuf>,
}

impl CountersFile {
    /// Makes counters that are all 0, and a link to them if a path is given. An older link at that path is replaced;
    /// anything else there is left alone.
    ///
    /// # Errors
    /// [`CountersCreateError`].
    pub fn create(head: &CountersHead, link: Option<&Path>) -> Result<Self, CountersCreateError> {
        let (file, mapping) = memory(head).map_err(|errno| CountersCreateError::Memory(errno.into()))?;
        let mut created = Self { mapping, core_count: head.core_count, file, link: None };
        for (word, value) in [
            (HeadWord::Version, VERSION),
            (HeadWord::Side, side_word(head.side)),
            (HeadWord::CoreCount, head.core_count.into()),
            (HeadWord::WordCount, COUNTER_WORDS as u64),
            (HeadWord::Names, names_checksum().into()),
            (HeadWord::TickHz, head.tick_hz),
            (HeadWord::ServerId, head.server_id),
            (HeadWord::Pid, head.pid.into()),
            // Last, so that who finds the magic number finds the rest; readers come later anyway.
            (HeadWord::Magic, MAGIC),
        ] {
            created.mapping.words()[word as usize].store(value, Ordering::Release);
        }
        if let Some(path) = link {
            let failed = |cause| CountersCreateError::Link { path: path.to_owned(), cause };
            remove_link(path).map_err(failed)?;
            symlink(created.path(), path).map_err(failed)?;
            created.link = Some(path.to_owned());
        }
        Ok(created)
    }

    /// Where others open it, for as long as this process lives.
    pub fn path(&self) -> PathBuf {
        self.link.clone().unwrap_or_else(|| self.own_path())
    }

    fn own_path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/fd/{}", process::id(), self.file.as_raw_fd()))
    }

    /// The place of one core's counters.
    ///
    /// # Panics
    /// When there are not as many cores.
    pub fn core(&self, index: u8) -> CoreCounters<'_> {
        let first = HEAD_WORDS + usize::from(index) * STRIDE_WORDS;
        CoreCounters { words: &self.mapping.words()[first..first + COUNTER_WORDS] }
    }

    /// Shows others what a network device counts, by its driver's names. For one thread.
    pub fn publish_device(&self, counts: &[(String, u64)]) {
        let first = first_named_word(self.core_count);
        named::publish(&self.mapping.words()[first..first + NAMED_WORDS], counts);
    }

    /// Says in which epoch this side is attached to the other; 0 when it is not.
    pub fn set_epoch(&self, epoch: u32) {
        self.mapping.words()[HeadWord::Epoch as usize].store(epoch.into(), Ordering::Relaxed);
    }
}

impl Drop for CountersFile {
    fn drop(&mut self) {
        let Some(link) = self.link.take() else { return };
        if fs::read_link(&link).is_ok_and(|target| target == self.own_path()) {
            // A link that stays behind leads nowhere, and the next start replaces it.
            let _ = fs::remove_file(link);
        }
    }
}

/// One core's place among the counters; only that core writes there.
#[derive(Clone, Copy, Debug)]
pub struct CoreCounters<'a> {
    words: &'a [AtomicU64],
}

impl CoreCounters<'_> {
    /// Shows others these counters.
    pub fn publish(&self, counters: &Counters) {
        for (word, value) in self.words.iter().zip(counters.words()) {
            word.store(value, Ordering::Relaxed);
        }
    }
}

fn side_word(side: Side) -> u64 {
    match side {
        Side::Host => 0,
        Side::Dpu => 1,
    }
}

fn names_checksum() -> u32 {
    let names = Counter::ALL.iter().map(|counter| counter.name());
    names.chain(DropReason::ALL.map(DropReason::name)).fold(0, |sum, name| crc32c(crc32c(sum, name.as_bytes()), b"\n"))
}

fn first_named_word(core_count: u8) -> usize {
    HEAD_WORDS + usize::from(core_count) * STRIDE_WORDS
}

fn file_len(core_count: u8) -> usize {
    ((first_named_word(core_count) + NAMED_WORDS) * WORD_LEN).next_multiple_of(PAGE_LEN)
}

fn memory(head: &CountersHead) -> Result<(OwnedFd, Mapping), Errno> {
    let file = memfd_create("dpukv-counters", MemfdFlags::ALLOW_SEALING | MemfdFlags::CLOEXEC)?;
    let len = file_len(head.core_count);
    // Takes the memory now: a page that is missing later would kill the process.
    fallocate(&file, FallocateFlags::empty(), 0, len as u64)?;
    fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
    let mapping = Mapping::shared(&file, len)?;
    Ok((file, mapping))
}

/// Removes a link; anything else is an error, and nothing is none.
fn remove_link(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_symlink() => fs::remove_file(path),
        Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Why a file has no counters that this program can read.
#[derive(Debug, thiserror::Error)]
pub enum CountersOpenError {
    /// It cannot be opened or read.
    #[error("cannot read counters from {}: {cause}; has the process ended?", path.display())]
    Io {
        /// The path.
        path: PathBuf,
        /// What the operating system says.
        cause: io::Error,
    },
    /// It is something else.
    #[error("{} has no counters of DPU-KV", path.display())]
    NotCounters {
        /// The path.
        path: PathBuf,
    },
    /// It was written by another release.
    #[error("{} has the counters of another release: use the same one", path.display())]
    OtherRelease {
        /// The path.
        path: PathBuf,
    },
}

/// The counters of another process.
#[derive(Debug)]
pub struct CountersReader {
    file: File,
    path: PathBuf,
    head: CountersHead,
}

/// One reading of all counters.
#[derive(Clone, Debug)]
pub struct CountersSnapshot {
    /// The epoch in which the side is attached; 0 when it is not.
    pub epoch: u32,
    /// The counters of each core.
    pub cores: Vec<Counters>,
    /// What the network device counts, by its driver's names; empty where there is none.
    pub device: Vec<(String, u64)>,
}

impl CountersSnapshot {
    /// The sum over all cores. For a gauge of the whole side, such as [`Counter::Items`], that is what it says.
    pub fn total(&self, counter: Counter) -> u64 {
        self.cores.iter().map(|core| core.get(counter)).sum()
    }
}

impl CountersReader {
    /// Opens the counters at a path.
    ///
    /// # Errors
    /// [`CountersOpenError`].
    pub fn open(path: &Path) -> Result<Self, CountersOpenError> {
        let failed = |cause| CountersOpenError::Io { path: path.to_owned(), cause };
        let file = File::open(path).map_err(failed)?;
        let head = read_head(&file, path)?;
        if file.metadata().map_err(failed)?.len() != file_len(head.core_count) as u64 {
            return Err(CountersOpenError::NotCounters { path: path.to_owned() });
        }
        Ok(Self { file, path: path.to_owned(), head })
    }

    /// Whose counters they are.
    pub fn head(&self) -> &CountersHead {
        &self.head
    }

    /// Reads all of them.
    ///
    /// # Errors
    /// [`CountersOpenError::Io`].
    pub fn read(&self) -> Result<CountersSnapshot, CountersOpenError> {
        let words = read_words(&self.file, file_len(self.head.core_count) / WORD_LEN)
            .map_err(|cause| CountersOpenError::Io { path: self.path.clone(), cause })?;
        let cores = words[HEAD_WORDS..].chunks_exact(STRIDE_WORDS).take(self.head.core_count.into());
        Ok(CountersSnapshot {
            epoch: words[HeadWord::Epoch as usize] as u32,
            cores: cores.map(counters_of).collect(),
            device: named::read(&words[first_named_word(self.head.core_count)..][..NAMED_WORDS]),
        })
    }
}

fn read_head(file: &File, path: &Path) -> Result<CountersHead, CountersOpenError> {
    let not_counters = || CountersOpenError::NotCounters { path: path.to_owned() };
    let words = match read_words(file, HEAD_WORDS) {
        Ok(words) => words,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(not_counters()),
        Err(cause) => return Err(CountersOpenError::Io { path: path.to_owned(), cause }),
    };
    let word = |word: HeadWord| words[word as usize];
    if word(HeadWord::Magic) != MAGIC {
        return Err(not_counters());
    }
    let expected = [VERSION, COUNTER_WORDS as u64, names_checksum().into()];
    if [word(HeadWord::Version), word(HeadWord::WordCount), word(HeadWord::Names)] != expected {
        return Err(CountersOpenError::OtherRelease { path: path.to_owned() });
    }
    Ok(CountersHead {
        side: [Side::Host, Side::Dpu]
            .into_iter()
            .find(|side| side_word(*side) == word(HeadWord::Side))
            .ok_or_else(not_counters)?,
        core_count: u8::try_from(word(HeadWord::CoreCount))
            .ok()
            .filter(|count| usize::from(*count) <= CORE_COUNT_MAX)
            .ok_or_else(not_counters)?,
        tick_hz: word(HeadWord::TickHz),
        server_id: word(HeadWord::ServerId),
        pid: u32::try_from(word(HeadWord::Pid)).map_err(|_| not_counters())?,
    })
}

fn read_words(file: &File, count: usize) -> io::Result<Vec<u64>> {
    let mut bytes = vec![0; count * WORD_LEN];
    file.read_exact_at(&mut bytes, 0)?;
    let words = bytes.as_chunks().0.iter();
    Ok(words.map(|word| u64::from_ne_bytes(*word)).collect())
}

fn counters_of(words: &[u64]) -> Counters {
    let mut counters = Counters::default();
    for (counter, value) in Counter::ALL.iter().zip(words) {
        counters.set(*counter, *value);
    }
    for (reason, value) in DropReason::ALL.into_iter().zip(words.iter().skip(Counter::ALL.len())) {
        counters.drops.add(reason, *value);
    }
    counters
}

#[cfg(test)]
mod tests;
