//! A fixed set of buffers that come back by themselves.
//!
//! Ports and copy engines allocate all their buffers when they are opened. A buffer that is taken out is owned by
//! whoever holds it and returns to its pool when it is dropped, wherever that happens. The pool is a stack: the buffer
//! that came back last goes out first, because its bytes are most likely still in a cache.

use std::cell::RefCell;
use std::fmt;
use std::mem;
use std::rc::Rc;

/// The buffers that nobody holds.
pub(crate) struct Pool<T> {
    free: RefCell<Vec<T>>,
}

impl<T> Pool<T> {
    /// Takes over all the buffers that there will ever be.
    pub(crate) fn new(buffers: Vec<T>) -> Rc<Self> {
        Rc::new(Self { free: RefCell::new(buffers) })
    }

    /// How many buffers are not taken.
    pub(crate) fn free_count(&self) -> usize {
        self.free.borrow().len()
    }
}

impl<T: Default> Pool<T> {
    /// The buffer on top, or `None` when all are taken.
    pub(crate) fn take(self: &Rc<Self>) -> Option<Pooled<T>> {
        let value = self.free.borrow_mut().pop()?;
        Some(Pooled { value, home: Rc::clone(self) })
    }
}

impl<T> fmt::Debug for Pool<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("free_count", &self.free_count()).finish()
    }
}

/// A buffer that was taken out of its pool.
///
/// `T::default()` must cost nothing, as that of a boxed slice does: it is what stays behind at the end.
pub(crate) struct Pooled<T: Default> {
    value: T,
    home: Rc<Pool<T>>,
}

impl<T: Default> Pooled<T> {
    pub(crate) fn get(&self) -> &T {
        &self.value
    }

    pub(crate) fn get_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<T: Default> Drop for Pooled<T> {
    fn drop(&mut self) {
        // The vector has held this buffer before, so it has the room and does not grow.
        self.home.free.borrow_mut().push(mem::take(&mut self.value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(count: u8) -> Rc<Pool<Box<[u8]>>> {
        Pool::new((0..count).map(|id| vec![id].into_boxed_slice()).collect())
    }

    #[test]
    fn a_dropped_buffer_comes_back_and_goes_out_first() {
        let pool = pool(3);
        let (top, next) = (pool.take(), pool.take());
        assert_eq!(pool.free_count(), 1);
        drop(top);
        assert_eq!(pool.free_count(), 2);
        assert_eq!(pool.take().map(|buffer| buffer.get()[0]), Some(2));
        drop(next);
        assert_eq!(pool.take().map(|buffer| buffer.get()[0]), Some(1));
    }

    #[test]
    fn an_empty_pool_gives_nothing() {
        let pool = pool(1);
        let only = pool.take();
        assert!(pool.take().is_none());
        drop(only);
        assert!(pool.take().is_some());
    }

    #[test]
    fn a_buffer_outlives_the_last_handle_of_its_pool() {
        let pool = pool(1);
        let mut buffer = pool.take().expect("the only buffer");
        drop(pool);
        buffer.get_mut()[0] = 9;
        assert_eq!(buffer.get()[0], 9);
    }
}
