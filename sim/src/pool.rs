//! Buffers of one length, lent out and given back.
//!
//! Frames and copy buffers are owned values that return to their pool when they are dropped. The pool counts what is
//! out, so a test can say at a quiet point that nothing has leaked. Content is left as it was: real pools do not clear
//! buffers either, and who relies on zeros should fail here.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

/// A fixed number of buffers. Clones are the same pool.
#[derive(Clone, Debug)]
pub struct Pool {
    shared: Rc<Shared>,
}

struct Shared {
    free: RefCell<Vec<Box<[u8]>>>,
    buf_len: usize,
    count: usize,
}

impl Pool {
    /// `count` buffers of `buf_len` bytes.
    pub fn new(buf_len: usize, count: usize) -> Self {
        let free = RefCell::new(vec![vec![0; buf_len].into_boxed_slice(); count]);
        Self { shared: Rc::new(Shared { free, buf_len, count }) }
    }

    /// A buffer, or `None` when all are out.
    pub fn take(&self) -> Option<Pooled> {
        let bytes = self.shared.free.borrow_mut().pop()?;
        Some(Pooled { bytes, home: Rc::clone(&self.shared) })
    }

    /// How long each buffer is.
    pub fn buf_len(&self) -> usize {
        self.shared.buf_len
    }

    /// How many buffers could be taken now.
    pub fn free_count(&self) -> usize {
        self.shared.free.borrow().len()
    }

    /// How many buffers are out.
    pub fn used_count(&self) -> usize {
        self.shared.count - self.free_count()
    }
}

// Neither shows its bytes: nobody reads thousands of them.

impl fmt::Debug for Shared {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let used = self.count - self.free.borrow().len();
        out.debug_struct("Pool").field("count", &self.count).field("used", &used).finish_non_exhaustive()
    }
}

impl fmt::Debug for Pooled {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Pooled").field("len", &self.bytes.len()).finish_non_exhaustive()
    }
}

/// A buffer that returns to its pool when it is dropped.
pub struct Pooled {
    bytes: Box<[u8]>,
    home: Rc<Shared>,
}

impl AsRef<[u8]> for Pooled {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl AsMut<[u8]> for Pooled {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        self.home.free.borrow_mut().push(std::mem::take(&mut self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_pool_lends_nothing_until_a_buffer_comes_back() {
        let pool = Pool::new(8, 2);
        let first = pool.take();
        let second = pool.take();
        assert!(first.is_some() && second.is_some());
        assert!(pool.take().is_none());
        assert_eq!(pool.used_count(), 2);
        drop(first);
        assert_eq!(pool.used_count(), 1);
        assert_eq!(pool.take().map(|buf| buf.as_ref().len()), Some(8));
    }
}
