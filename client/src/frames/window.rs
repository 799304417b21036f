//! Requests that are outstanding, and the cookies by which their answers find them.
//!
//! A cookie names a place and how often that place was used before, so that what comes late is told from what is awaited.
//! On MICA2's wire each request has a cookie of its own. A native frame has that of its first request, behind which the
//! others of the frame are chained: they are answered, or given up, together.

use arch::Tick;

/// Calls of [`Window::give_up`] that look at all places, but each at 32 at least: all of MICA2's window in 32 calls.
const AGED_CALLS: usize = 512;
const AGED_COUNT_MIN: usize = 32;

/// The end of a chain.
const NOBODY: u16 = u16::MAX;

/// A place and its epoch, as MICA2's opaque has them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cookie(pub(super) u32);

impl Cookie {
    fn place(self) -> usize {
        (self.0 >> 16) as usize
    }

    fn epoch(self) -> u16 {
        self.0 as u16
    }
}

/// One request that may be outstanding.
#[derive(Clone, Copy, Debug)]
struct Slot {
    tag: u64,
    sent: Tick,
    epoch: u16,
    /// The next one of its frame.
    next: u16,
    /// Whether an answer that bears its cookie is awaited.
    is_awaited: bool,
}

/// All places.
#[derive(Debug)]
pub(super) struct Window {
    slots: Box<[Slot]>,
    free: Vec<u16>,
    next_aged: usize,
    timeout_ticks: u64,
}

impl Window {
    /// As many free places as that, fewer than 65536.
    pub(super) fn new(count: u16, timeout_ticks: u64) -> Self {
        let slot = Slot { tag: 0, sent: Tick(0), epoch: 0, next: NOBODY, is_awaited: false };
        let slots = vec![slot; count.into()].into_boxed_slice();
        Self { slots, free: (0..count).rev().collect(), next_aged: 0, timeout_ticks }
    }

    /// How many places are free.
    pub(super) fn room(&self) -> usize {
        self.free.len()
    }

    /// How many are not.
    pub(super) fn outstanding(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// The cookie that [`take`](Self::take) gives next.
    pub(super) fn next_cookie(&self) -> Option<Cookie> {
        let place = *self.free.last()?;
        Some(Cookie(u32::from(place) << 16 | u32::from(self.slots[usize::from(place)].epoch)))
    }

    /// Takes the place of [`next_cookie`](Self::next_cookie) for a request, chained behind another one if there is one.
    pub(super) fn take(&mut self, tag: u64, now: Tick, behind: Option<Cookie>) {
        let Some(place) = self.free.pop() else { return };
        let slot = &mut self.slots[usize::from(place)];
        (slot.tag, slot.sent, slot.next) = (tag, now, NOBODY);
        if let Some(last) = behind {
            self.slots[last.place()].next = place;
        }
    }

    /// From now on the request at the head of a chain may be answered, and may be too old.
    pub(super) fn await_answer(&mut self, head: Cookie) {
        self.slots[head.place()].is_awaited = true;
    }

    /// Ends all requests of the chain that this cookie names, if it is awaited: each is told, by its tag and the ticks that
    /// it took, in the order in which they were chained. Returns how many they were.
    #[inline]
    pub(super) fn end(&mut self, cookie: Cookie, now: Tick, mut tell: impl FnMut(u64, u64)) -> usize {
        let mut place = cookie.place();
        match self.slots.get(place) {
            Some(slot) if slot.is_awaited && slot.epoch == cookie.epoch() => {}
            _ => return 0,
        }
        let mut count = 0;
        while let Some(slot) = self.slots.get_mut(place) {
            slot.is_awaited = false;
            // What comes for this request later is for nobody.
            slot.epoch = slot.epoch.wrapping_add(1);
            self.free.push(place as u16);
            count += 1;
            tell(slot.tag, now.since(slot.sent));
            place = slot.next.into();
        }
        count
    }

    /// Ends chains that are too old, as [`end`](Self::end) does. Looks at some places only, at others each time.
    pub(super) fn give_up(&mut self, now: Tick, mut tell: impl FnMut(u64, u64)) -> usize {
        let mut told = 0;
        for _ in 0..self.slots.len().div_ceil(AGED_CALLS).max(AGED_COUNT_MIN) {
            let place = self.next_aged;
            self.next_aged = if place + 1 < self.slots.len() { place + 1 } else { 0 };
            let Some(slot) = self.slots.get(place) else { break };
            if slot.is_awaited && now.since(slot.sent) >= self.timeout_ticks {
                let cookie = Cookie((place as u32) << 16 | u32::from(slot.epoch));
                told += self.end(cookie, now, &mut tell);
            }
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(window: &mut Window, cookie: Cookie) -> Vec<u64> {
        let mut tags = Vec::new();
        window.end(cookie, Tick(9), |tag, _| tags.push(tag));
        tags
    }

    #[test]
    fn a_chain_ends_as_a_whole_and_once() {
        let mut window = Window::new(4, 100);
        let head = window.next_cookie().expect("room");
        let mut last = None;
        for tag in 0..3 {
            let cookie = window.next_cookie();
            window.take(tag, Tick(0), last);
            last = cookie;
        }
        assert!(tags(&mut window, head).is_empty(), "nobody awaits it yet");
        window.await_answer(head);
        assert_eq!((window.room(), window.outstanding()), (1, 3));
        assert!(tags(&mut window, Cookie(head.0 ^ 1)).is_empty(), "another epoch");
        assert!(tags(&mut window, Cookie(0xffff_0000)).is_empty(), "no such place");
        assert_eq!(tags(&mut window, head), [0, 1, 2]);
        assert!(tags(&mut window, head).is_empty());
        assert_eq!(window.room(), 4);
    }

    #[test]
    fn what_is_not_sent_does_not_grow_old() {
        let mut window = Window::new(2, 100);
        let head = window.next_cookie().expect("room");
        window.take(7, Tick(0), None);
        let mut told = Vec::new();
        for now in [99, 100] {
            for _ in 0..32 {
                window.give_up(Tick(now), |tag, ticks| told.push((now, tag, ticks)));
            }
        }
        assert!(told.is_empty());
        window.await_answer(head);
        for now in [99, 100] {
            for _ in 0..32 {
                window.give_up(Tick(now), |tag, ticks| told.push((now, tag, ticks)));
            }
        }
        assert_eq!(told, [(100, 7, 100)]);
    }
}
