//! Who acts when.
//!
//! Each core and each client is an [`Actor`] that gets turns. Between two turns of an actor some virtual time passes:
//! a random, short one after a turn that did work, and a growing one after idle turns, as in the shells' loops. So
//! actors interleave differently in each seed, and equally in each run of one seed.

use arch::Tick;

use crate::physics::Physics;
use crate::seed::Random;
use crate::trace::Event;

/// What a turn did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// There was something to do.
    Worked,
    /// There was nothing to do.
    Idle,
}

/// Something that acts when it is its turn.
pub trait Actor {
    /// One bounded round of work.
    fn turn(&mut self, now: Tick) -> Progress;
}

/// The place of an actor in its [`World`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ActorId(usize);

/// A turn that worked takes this long in nanoseconds, at least and at most.
const TURN_NS: (u64, u64) = (200, 2_000);

/// After an idle turn an actor waits this long at first, and twice as long after each further one.
const IDLE_NS_MIN: u64 = 200;

/// The longest wait between two turns: idle actors must not slow the simulation down, nor react late.
const IDLE_NS_MAX: u64 = 12_800;

/// Actors in virtual time.
#[derive(Debug)]
pub struct World<A> {
    physics: Physics,
    random: Random,
    actors: Vec<Slot<A>>,
}

#[derive(Debug)]
struct Slot<A> {
    actor: A,
    next_turn: Tick,
    idle_ns: u64,
}

impl<A: Actor> World<A> {
    /// A world without actors.
    pub fn new(physics: &Physics) -> Self {
        Self { physics: physics.clone(), random: physics.stream("world", 0), actors: Vec::new() }
    }

    /// Its laws.
    pub fn physics(&self) -> &Physics {
        &self.physics
    }

    /// Adds an actor, whose first turn comes soon.
    pub fn add(&mut self, actor: A) -> ActorId {
        let next_turn = self.physics.now().after(self.random.within(0..=IDLE_NS_MIN));
        self.actors.push(Slot { actor, next_turn, idle_ns: IDLE_NS_MIN });
        ActorId(self.actors.len() - 1)
    }

    /// An actor, to look at.
    pub fn actor(&self, id: ActorId) -> &A {
        &self.actors[id.0].actor
    }

    /// An actor, to change.
    pub fn actor_mut(&mut self, id: ActorId) -> &mut A {
        &mut self.actors[id.0].actor
    }

    /// Every actor, in the order in which they were added.
    pub fn actors(&self) -> impl Iterator<Item = &A> {
        self.actors.iter().map(|slot| &slot.actor)
    }

    /// Lets an actor take no turn before `until`.
    pub fn pause(&mut self, id: ActorId, until: Tick) {
        let slot = &mut self.actors[id.0];
        slot.next_turn = slot.next_turn.max(until);
    }

    /// When the next turn is, if there is any actor.
    pub fn next_turn(&self) -> Option<Tick> {
        self.actors.iter().map(|slot| slot.next_turn).min()
    }

    /// Lets time pass until the next turn, and takes it. Of actors with the same time, the one added first goes first.
    pub fn step(&mut self) {
        let Some((index, slot)) = self.actors.iter_mut().enumerate().min_by_key(|(_, slot)| slot.next_turn) else {
            return;
        };
        let at = slot.next_turn;
        self.physics.advance(at);
        match slot.actor.turn(at) {
            Progress::Worked => {
                slot.idle_ns = IDLE_NS_MIN;
                slot.next_turn = at.after(self.random.within(TURN_NS.0..=TURN_NS.1));
                self.physics.trace().add(at, Event::Worked, [index as u64, 0], &[]);
            }
            Progress::Idle => {
                slot.next_turn = at.after(self.random.within(slot.idle_ns / 2..=slot.idle_ns));
                slot.idle_ns = (2 * slot.idle_ns).min(IDLE_NS_MAX);
            }
        }
    }

    /// Runs until `deadline`.
    pub fn run_until(&mut self, deadline: Tick) {
        self.run_while(deadline, |_| true);
        self.physics.advance(deadline);
    }

    /// Runs as long as `goes_on` says, or until `deadline`. Returns whether `goes_on` said no before that.
    pub fn run_while(&mut self, deadline: Tick, mut goes_on: impl FnMut(&Self) -> bool) -> bool {
        while goes_on(self) {
            if self.next_turn().is_none_or(|next| next > deadline) {
                return false;
            }
            self.step();
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::FaultPlan;

    struct Counter {
        turns: Vec<Tick>,
        works: bool,
    }

    impl Actor for Counter {
        fn turn(&mut self, now: Tick) -> Progress {
            self.turns.push(now);
            if self.works { Progress::Worked } else { Progress::Idle }
        }
    }

    fn world(seed: u64, works: &[bool]) -> World<Counter> {
        let mut world = World::new(&Physics::new(seed, FaultPlan::NONE));
        for works in works {
            world.add(Counter { turns: Vec::new(), works: *works });
        }
        world
    }

    #[test]
    fn time_passes_up_to_the_deadline_and_no_turn_is_later() {
        let mut world = world(1, &[true, false]);
        world.run_until(Tick(1_000_000));
        assert_eq!(world.physics().now(), Tick(1_000_000));
        assert!(world.actors().all(|actor| actor.turns.last().is_some_and(|last| *last <= Tick(1_000_000))));
        assert!(world.actors().all(|actor| actor.turns.is_sorted()));
    }

    #[test]
    fn idle_actors_take_fewer_turns() {
        let mut world = world(1, &[true, false]);
        world.run_until(Tick(10_000_000));
        let counts: Vec<_> = world.actors().map(|actor| actor.turns.len()).collect();
        assert!(counts[1] * 4 < counts[0], "{counts:?}");
        assert!(counts[1] as u64 >= 10_000_000 / IDLE_NS_MAX, "{counts:?}");
    }

    #[test]
    fn a_paused_actor_stands_still() {
        let mut world = world(1, &[true, true]);
        world.pause(ActorId(0), Tick(50_000));
        world.run_until(Tick(100_000));
        assert!(world.actor(ActorId(0)).turns[0] >= Tick(50_000));
        assert!(world.actor(ActorId(1)).turns[0] < Tick(50_000));
    }

    #[test]
    fn run_while_says_whether_the_condition_ended_it() {
        let mut world = world(1, &[true]);
        assert!(world.run_while(Tick(1_000_000), |world| world.actor(ActorId(0)).turns.len() < 5));
        assert!(!world.run_while(Tick(1_000_000), |_| true));
    }

    #[test]
    fn a_seed_always_gives_the_same_run() {
        let run = |seed| {
            let mut world = world(seed, &[true, true, false]);
            world.run_until(Tick(300_000));
            let turns: Vec<_> = world.actors().map(|actor| actor.turns.clone()).collect();
            (world.physics().trace().hash(), turns)
        };
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
    }
}
