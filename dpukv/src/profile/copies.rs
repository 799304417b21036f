//! A copy engine in memory that copies when it is told to: a DMA engine's work is no core's.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::mem;
use std::rc::Rc;

use kv_core::dma::{Completion, CopyOutcome, Direction, DmaEngine, Job, Window};
use kv_core::sync::{AtomicU64, Ordering};

/// Memory that a copy engine reaches.
#[derive(Clone)]
pub(super) struct SharedWords(Rc<[AtomicU64]>);

impl SharedWords {
    /// Zeroed memory of `len` bytes.
    pub(super) fn new(len: usize) -> Self {
        Self((0..len / size_of::<u64>()).map(|_| AtomicU64::new(0)).collect())
    }
}

impl fmt::Debug for SharedWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SharedWords").field(&self.0.len()).finish()
    }
}

impl Window for SharedWords {
    fn words(&self) -> &[AtomicU64] {
        &self.0
    }
}

/// The engine towards one window; whoever holds a clone shares its jobs.
#[derive(Clone, Debug)]
pub(super) struct Copies {
    towards: SharedWords,
    jobs: Rc<RefCell<Jobs>>,
    free: Rc<RefCell<Vec<Box<[u8]>>>>,
    depth: usize,
}

#[derive(Debug)]
struct Jobs {
    accepted: VecDeque<Job<CopyBuf>>,
    ended: VecDeque<Completion<CopyBuf>>,
}

impl Copies {
    /// An engine with `depth` buffers of `buf_len` bytes, and room for as many jobs.
    pub(super) fn new(towards: &SharedWords, buf_len: usize, depth: usize) -> Self {
        let jobs = Jobs { accepted: VecDeque::with_capacity(depth), ended: VecDeque::with_capacity(depth) };
        let free = (0..depth).map(|_| vec![0; buf_len].into_boxed_slice()).collect();
        Self { towards: towards.clone(), jobs: Rc::new(RefCell::new(jobs)), free: Rc::new(RefCell::new(free)), depth }
    }

    /// Does all copies that were accepted; how many there were.
    pub(super) fn perform(&self) -> usize {
        let Jobs { accepted, ended } = &mut *self.jobs.borrow_mut();
        let count = accepted.len();
        while let Some(job) = accepted.pop_front() {
            let words = &self.towards.0[job.offset / size_of::<u64>()..][..job.len / size_of::<u64>()];
            // Nobody here asks for a pull.
            debug_assert_eq!(job.direction, Direction::Push, "responses are pushed");
            for (word, bytes) in words.iter().zip(job.buf.bytes.as_chunks().0) {
                word.store(u64::from_le_bytes(*bytes), Ordering::Relaxed);
            }
            ended.push_back(Completion { job, outcome: CopyOutcome::Copied });
        }
        count
    }
}

impl DmaEngine for Copies {
    type Buf = CopyBuf;

    fn room(&self) -> usize {
        let jobs = self.jobs.borrow();
        self.depth - jobs.accepted.len() - jobs.ended.len()
    }

    fn alloc(&mut self) -> Option<CopyBuf> {
        let bytes = self.free.borrow_mut().pop()?;
        Some(CopyBuf { bytes, home: Rc::clone(&self.free) })
    }

    fn submit(&mut self, job: Job<CopyBuf>) -> Result<(), Job<CopyBuf>> {
        let is_inside = job.offset + job.len <= self.towards.0.len() * size_of::<u64>();
        if self.room() == 0 || !is_inside || job.len > job.buf.bytes.len() {
            return Err(job);
        }
        self.jobs.borrow_mut().accepted.push_back(job);
        Ok(())
    }

    fn flush(&mut self) {}

    fn poll(&mut self) -> Option<Completion<CopyBuf>> {
        self.jobs.borrow_mut().ended.pop_front()
    }
}

/// A buffer of [`Copies`]. Dropping it gives it back.
#[derive(Debug)]
pub(super) struct CopyBuf {
    bytes: Box<[u8]>,
    home: Rc<RefCell<Vec<Box<[u8]>>>>,
}

impl Drop for CopyBuf {
    fn drop(&mut self) {
        self.home.borrow_mut().push(mem::take(&mut self.bytes));
    }
}

impl AsRef<[u8]> for CopyBuf {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl AsMut<[u8]> for CopyBuf {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}
