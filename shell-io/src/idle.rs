//! How a core waits without burning its CPU.
//!
//! Work that comes within microseconds is found by looking again. Work that does not come for a while is waited for:
//! first the CPU is offered to others, then the core sleeps until it is called. [`Idle`] counts the time since the last
//! work and says which; [`Sleeper`] knows what to wait on.
//!
//! ```text
//! worked |-- spin --|-- yield --|-- sleep --|-- sleep -----|-- sleep, again and again, until there is work
//!        0       spin_us    + yield_us   1 ms, then twice as long each time, up to sleep_ms
//! ```
//!
//! What brings work ends a sleep. An order does not, so sleeps are short at first: orders come when a side starts, and when
//! the sides have just been parted.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use arch::{Tick, TickRate};
use kv_core::engine::Waiting;
use rustix::event::{PollFd, PollFlags, poll};

use crate::dma::Wake;
use crate::memory::Region;
use crate::port::dpdk::QueueInterrupt;

/// Longest sleep of a core on one of its sources while another may bring work too, which cannot wake it then. Copies
/// in flight come back far sooner than this, or not at all; a network takes packets again far sooner than this.
pub const ONE_SOURCE_WAIT_MAX: Duration = Duration::from_millis(1);

/// A core that nobody calls sleeps for this part of the time, at most.
const POLLS_PER_SLEEP: u32 = 10;

/// The first sleep after work.
const SLEEP_FIRST: Duration = Duration::from_millis(1);

/// Microseconds from one look to the next of a core that never sleeps and has found nothing for a while, where the CPU can rest
/// in between: many looks at memory would fit in, but few requests come through a network in less than ten times that.
const REST_US: u64 = 1;

/// When to stop spinning and when to sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdlePolicy {
    /// Microseconds since the last work for which a core keeps looking.
    pub spin_us: u64,
    /// Microseconds after that for which it offers its CPU to others between looks.
    pub yield_us: u64,
    /// Longest sleep in milliseconds. 0: never sleep nor yield, keep looking.
    pub sleep_ms: u64,
    /// Longest sleep in microseconds of a core that nobody calls, as one whose packets come through a device without
    /// interrupts. It is what a request waits for after a pause, and each look costs some microseconds of CPU time.
    pub polled_us: u64,
}

impl IdlePolicy {
    /// What serves most. To look costs others nothing while they are offered the CPU, and a load of 10000 requests a second and
    /// core comes without a sleep, which would cost some tens of microseconds of latency. To offer it for longer would cost
    /// little beyond that and no less under a lighter load.
    pub const BALANCED: Self = Self { spin_us: 5, yield_us: 100, sleep_ms: 100, polled_us: 100 };

    /// The policy for a core whose orders wait no longer than `wait_ms`, at least 1.
    #[must_use]
    pub fn with_orders_in(self, wait_ms: u64) -> Self {
        Self { sleep_ms: self.sleep_ms.min(wait_ms.max(1)), ..self }
    }
}

/// What a core did instead of working.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// It waited some cycles.
    Spun,
    /// It offered its CPU to others.
    Yielded,
    /// It slept, or was about to.
    Slept,
}

/// The time since a core's last work, and what follows from it.
#[derive(Clone, Copy, Debug)]
pub struct Idle {
    spin_ticks: u64,
    rest_ticks: u64,
    /// Ticks since the last work after which the core sleeps; `u64::MAX` is never.
    sleep_after_ticks: u64,
    sleep_max: Duration,
    /// The next sleep.
    sleep: Duration,
    since: Option<Tick>,
}

impl Idle {
    /// Begins as after work.
    pub fn new(policy: IdlePolicy, rate: TickRate) -> Self {
        let spin_ticks = rate.ticks_in_us(policy.spin_us);
        let sleep_after_ticks = match policy.sleep_ms {
            0 => u64::MAX,
            _ => spin_ticks.saturating_add(rate.ticks_in_us(policy.yield_us)),
        };
        let sleep_max = Duration::from_millis(policy.sleep_ms);
        let (rest_ticks, sleep) = (rate.ticks_in_us(REST_US), SLEEP_FIRST.min(sleep_max));
        Self { spin_ticks, rest_ticks, sleep_after_ticks, sleep_max, sleep, since: None }
    }

    /// Call it after a turn that found work.
    #[inline]
    pub fn worked(&mut self) {
        self.since = None;
        self.sleep = SLEEP_FIRST.min(self.sleep_max);
    }

    /// Pauses after a turn that found none. `sleep` is called when it is time to sleep, with the longest time to do so;
    /// it is [`Sleeper::sleep`], with one more turn of the engine as the last look.
    ///
    /// A core that wakes up and finds nothing goes to sleep again at once.
    #[inline]
    pub fn idle(&mut self, now: Tick, sleep: impl FnOnce(Duration) -> Wake) -> Pause {
        let idle_ticks = now.since(*self.since.get_or_insert(now));
        if idle_ticks < self.spin_ticks {
            arch::spin_hint();
            Pause::Spun
        } else if self.sleep_after_ticks == u64::MAX {
            arch::pause_until(now.after(self.rest_ticks));
            Pause::Spun
        } else if idle_ticks < self.sleep_after_ticks {
            thread::yield_now();
            Pause::Yielded
        } else {
            match sleep(self.sleep) {
                Wake::Work => self.worked(),
                Wake::TimedOut => self.sleep = (2 * self.sleep).min(self.sleep_max),
                Wake::Called => {}
            }
            Pause::Slept
        }
    }
}

/// What tells a core that packets have come.
#[derive(Debug)]
pub struct Packets(PacketSource);

#[derive(Debug)]
enum PacketSource {
    Socket(OwnedFd),
    Queue(QueueInterrupt),
}

impl Packets {
    /// From a socket, which tells as long as they are there.
    ///
    /// # Errors
    /// The process has no file numbers left.
    pub fn from_socket(socket: &impl AsFd) -> io::Result<Self> {
        Ok(Self(PacketSource::Socket(socket.as_fd().try_clone_to_owned()?)))
    }

    /// From a device's queue, which calls once, and only when asked to.
    pub fn from_queue(interrupt: QueueInterrupt) -> Self {
        Self(PacketSource::Queue(interrupt))
    }

    /// Sleeps until there are some. Where nobody can be asked to call, that is no longer than `polled`.
    fn wait(&self, timeout: Duration, polled: Duration, has_work: impl FnOnce() -> bool) -> Wake {
        match &self.0 {
            PacketSource::Socket(socket) => wait_for(socket.as_fd(), PollFlags::IN, timeout),
            PacketSource::Queue(interrupt) if interrupt.enable() => {
                let wake = if has_work() { Wake::Work } else { wait_for(interrupt.as_fd(), PollFlags::IN, timeout) };
                interrupt.disable();
                wake
            }
            PacketSource::Queue(_) => sleep_for(polled.min(timeout)),
        }
    }

    /// Sleeps until the wire takes packets again. A device does not say when it does.
    fn wait_for_wire(&self, timeout: Duration, polled: Duration) -> Wake {
        match &self.0 {
            PacketSource::Socket(socket) => wait_for(socket.as_fd(), PollFlags::OUT, timeout),
            PacketSource::Queue(_) => sleep_for(polled.min(timeout)),
        }
    }
}

/// What a core waits on when it sleeps: what tells of packets, the doorbell of its region, or the one of both that will bring
/// work first.
#[derive(Debug)]
pub struct Sleeper {
    sources: Sources,
    /// The longest sleep where nobody calls.
    polled_max: Duration,
}

#[derive(Debug)]
enum Sources {
    Packets(Packets),
    Copies(Arc<Region>),
    Both(Packets, Arc<Region>),
    /// Packets, and copies that call nobody.
    PacketsBesideCopies(Packets),
    /// Packets that call nobody, and copies if there are any.
    Polled(Option<Arc<Region>>),
}

impl Sleeper {
    fn on(sources: Sources) -> Self {
        Self { sources, polled_max: Duration::from_micros(IdlePolicy::BALANCED.polled_us) }
    }

    /// The same, for a core of this policy.
    #[must_use]
    pub fn for_policy(self, policy: IdlePolicy) -> Self {
        Self { polled_max: Duration::from_micros(policy.polled_us), ..self }
    }

    /// For a core that serves clients alone.
    pub fn for_packets(packets: Packets) -> Self {
        Self::on(Sources::Packets(packets))
    }

    /// For a core that lives on what the peer copies into `own`, which is this core's region.
    pub fn for_copies(own: Arc<Region>) -> Self {
        Self::on(Sources::Copies(own))
    }

    /// For a core between clients and peer.
    pub fn for_both(packets: Packets, own: Arc<Region>) -> Self {
        Self::on(Sources::Both(packets, own))
    }

    /// For a core between clients and a peer whose copies call nobody, as a device's do not.
    pub fn for_packets_beside_copies(packets: Packets) -> Self {
        Self::on(Sources::PacketsBesideCopies(packets))
    }

    /// For a core whose packets call nobody; with a region, for one between such clients and the peer.
    pub fn polled(own: Option<Arc<Region>>) -> Self {
        Self::on(Sources::Polled(own))
    }

    /// Sleeps until there is what the core waits for, or until the time is over. `waiting` is what its last turn said.
    ///
    /// A core with both sources waits on one of them: with copies under way on the doorbell, otherwise for packets.
    /// Where the other source may bring work too, it sleeps for [`ONE_SOURCE_WAIT_MAX`] at most. `has_work` is one more
    /// look for work; it is taken after doorbell or device were told of the sleep, so that what arrives just now is not
    /// missed. A socket needs no such look.
    pub fn sleep(&self, waiting: Waiting, timeout: Duration, has_work: impl FnOnce() -> bool) -> Wake {
        let short = timeout.min(ONE_SOURCE_WAIT_MAX);
        let polled = self.polled_wait(timeout);
        match (&self.sources, waiting) {
            (Sources::Packets(packets), Waiting::Wire) => packets.wait_for_wire(timeout, polled),
            (Sources::Both(packets, _), Waiting::Wire) => packets.wait_for_wire(short, polled),
            (Sources::PacketsBesideCopies(packets), Waiting::Wire) => packets.wait_for_wire(polled, polled),
            (Sources::Packets(packets), _)
            | (Sources::Both(packets, _) | Sources::PacketsBesideCopies(packets), Waiting::Packets) => {
                packets.wait(timeout, polled, has_work)
            }
            (Sources::PacketsBesideCopies(packets), Waiting::Copies) => packets.wait(polled, polled, has_work),
            (Sources::Copies(own), _) => own.doorbell().wait(timeout, has_work),
            (Sources::Polled(Some(own)), Waiting::Copies) => own.doorbell().wait(polled, has_work),
            (Sources::Polled(_), _) => sleep_for(polled),
            (Sources::Both(_, own), Waiting::Copies) => own.doorbell().wait(short, has_work),
        }
    }

    /// How long to sleep between two looks where a core that is called would sleep for `timeout`.
    fn polled_wait(&self, timeout: Duration) -> Duration {
        (timeout / POLLS_PER_SLEEP).min(self.polled_max)
    }
}

fn sleep_for(time: Duration) -> Wake {
    thread::sleep(time);
    Wake::TimedOut
}

/// Sleeps until the descriptor has something to give, or room to take. An error counts as either; of a socket, the next call
/// takes it away.
fn wait_for(source: BorrowedFd<'_>, event: PollFlags, timeout: Duration) -> Wake {
    // A time that the kernel cannot express is longer than anybody waits.
    let timeout = timeout.try_into().ok();
    match poll(&mut [PollFd::from_borrowed_fd(source, event)], timeout.as_ref()) {
        Ok(0) => Wake::TimedOut,
        _ => Wake::Called,
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    /// Longer than any test should take.
    const FOREVER: Duration = Duration::from_secs(60);
    const SHORT: Duration = Duration::from_millis(1);

    fn policy(spin_us: u64, yield_us: u64, sleep_ms: u64) -> IdlePolicy {
        IdlePolicy { spin_us, yield_us, sleep_ms, ..IdlePolicy::BALANCED }
    }

    fn idle(policy: IdlePolicy) -> Idle {
        // One tick is one microsecond.
        Idle::new(policy, TickRate::from_hz(1_000_000).expect("a rate that is not zero"))
    }

    fn pause(idle: &mut Idle, now: u64) -> Pause {
        idle.idle(Tick(now), |_| Wake::TimedOut)
    }

    fn sockets() -> (UdpSocket, UdpSocket) {
        let own = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let peer = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        peer.connect(own.local_addr().expect("an address")).expect("a connection");
        (own, peer)
    }

    fn packets(socket: &UdpSocket) -> Packets {
        Packets::from_socket(socket).expect("a file number")
    }

    fn region() -> Arc<Region> {
        Arc::new(Region::create(64).expect("a region"))
    }

    #[test]
    fn a_core_spins_then_yields_then_sleeps_until_it_works() {
        let mut idle = idle(policy(10, 20, 3));
        for _ in 0..2 {
            for (now, expected) in [
                (1000, Pause::Spun),
                (1009, Pause::Spun),
                (1010, Pause::Yielded),
                (1029, Pause::Yielded),
                (1030, Pause::Slept),
                (9000, Pause::Slept),
            ] {
                assert_eq!(pause(&mut idle, now), expected, "{now}");
            }
            idle.worked();
        }
    }

    #[test]
    fn a_core_sleeps_at_once_if_its_policy_says_so_and_longer_each_time() {
        let mut idle = idle(policy(0, 0, 5));
        let mut slept = Vec::new();
        let mut sleep = |idle: &mut Idle, wake| {
            let pause = idle.idle(Tick(5), |timeout| {
                slept.push(timeout.as_millis());
                wake
            });
            assert_eq!(pause, Pause::Slept);
        };
        for wake in [Wake::TimedOut, Wake::TimedOut, Wake::Called, Wake::TimedOut, Wake::TimedOut, Wake::Work] {
            sleep(&mut idle, wake);
        }
        sleep(&mut idle, Wake::TimedOut);
        idle.worked();
        sleep(&mut idle, Wake::TimedOut);
        assert_eq!(slept, [1, 2, 4, 4, 5, 5, 1, 1]);
    }

    #[test]
    fn orders_bound_a_sleep_and_do_not_put_a_core_to_sleep_that_must_not() {
        let of = |sleep_ms, wait_ms| IdlePolicy { sleep_ms, ..IdlePolicy::BALANCED }.with_orders_in(wait_ms).sleep_ms;
        assert_eq!((of(100, 20), of(10, 20), of(10, 0), of(0, 20)), (20, 10, 1, 0));
    }

    #[test]
    fn work_found_by_the_last_look_begins_the_wait_anew() {
        let mut idle = idle(policy(10, 0, 1));
        pause(&mut idle, 0);
        assert_eq!(idle.idle(Tick(10), |_| Wake::Work), Pause::Slept);
        assert_eq!(pause(&mut idle, 11), Pause::Spun);
        for wake in [Wake::Called, Wake::TimedOut] {
            assert_eq!(idle.idle(Tick(100), |_| wake), Pause::Slept);
            assert_eq!(idle.idle(Tick(101), |_| wake), Pause::Slept);
        }
    }

    #[test]
    fn a_core_that_must_not_sleep_keeps_looking() {
        let mut idle = idle(policy(10, 10, 0));
        pause(&mut idle, 0);
        assert_eq!(idle.idle(Tick(u64::MAX - 1), |_| unreachable!("it must not sleep")), Pause::Spun);
    }

    #[test]
    fn a_clock_that_goes_back_does_not_put_a_core_to_sleep() {
        let mut idle = idle(policy(10, 10, 1));
        pause(&mut idle, 100);
        assert_eq!(pause(&mut idle, 50), Pause::Spun);
    }

    #[test]
    fn a_core_that_nobody_calls_looks_again_soon() {
        let sleeper = |polled_us| Sleeper::polled(None).for_policy(IdlePolicy { polled_us, ..IdlePolicy::BALANCED });
        let [often, seldom] = [100, 10_000].map(sleeper);
        for (sleep_ms, often_us, seldom_us) in [(1, 100, 100), (8, 100, 800), (100, 100, 10_000)] {
            let timeout = Duration::from_millis(sleep_ms);
            assert_eq!(often.polled_wait(timeout), Duration::from_micros(often_us));
            assert_eq!(seldom.polled_wait(timeout), Duration::from_micros(seldom_us));
        }
        assert_eq!(often.sleep(Waiting::Packets, SHORT, || false), Wake::TimedOut);
    }

    #[test]
    fn a_packet_wakes_a_core_that_waits_for_packets() {
        let (own, peer) = sockets();
        for sleeper in [Sleeper::for_packets(packets(&own)), Sleeper::for_both(packets(&own), region())] {
            assert_eq!(sleeper.sleep(Waiting::Packets, SHORT, || false), Wake::TimedOut);
            thread::scope(|scope| {
                scope.spawn(|| peer.send(&[1]).expect("a packet"));
                assert_eq!(sleeper.sleep(Waiting::Packets, FOREVER, || false), Wake::Called);
            });
            own.recv(&mut [0]).expect("the packet");
        }
    }

    #[test]
    fn a_core_that_waits_for_the_wire_wakes_when_it_takes_packets() {
        let (own, _) = sockets();
        for sleeper in [Sleeper::for_packets(packets(&own)), Sleeper::for_both(packets(&own), region())] {
            assert_eq!(sleeper.sleep(Waiting::Wire, FOREVER, || false), Wake::Called);
        }
    }

    #[test]
    fn a_ring_wakes_a_core_that_waits_for_copies() {
        let own = region();
        let sleeper = Sleeper::for_copies(Arc::clone(&own));
        assert_eq!(sleeper.sleep(Waiting::Copies, SHORT, || false), Wake::TimedOut);
        assert_eq!(sleeper.sleep(Waiting::Copies, FOREVER, || true), Wake::Work);
        for waiting in [Waiting::Copies, Waiting::Packets] {
            thread::scope(|scope| {
                scope.spawn(|| {
                    while !own.doorbell().ring() {
                        thread::yield_now();
                    }
                });
                assert_eq!(sleeper.sleep(waiting, FOREVER, || false), Wake::Called);
            });
        }
    }

    #[test]
    fn a_core_with_both_sources_waits_for_copies_no_longer_than_packets_may_wait() {
        let ((own, peer), region) = (sockets(), region());
        let sleeper = Sleeper::for_both(packets(&own), Arc::clone(&region));
        peer.send(&[1]).expect("a packet");
        assert_eq!(sleeper.sleep(Waiting::Copies, FOREVER, || false), Wake::TimedOut);
        assert_eq!(sleeper.sleep(Waiting::Packets, FOREVER, || false), Wake::Called);
        let rung = sleeper.sleep(Waiting::Copies, FOREVER, || {
            region.doorbell().ring();
            false
        });
        assert_eq!(rung, Wake::Called);
    }
}
