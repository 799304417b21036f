//! Whoever acts in a world with servers: clients, and cores with their roles.

use arch::Tick;
use kv_core::counters::Counters;
use kv_core::design::QueuePairId;
use kv_core::engine::{Communicate, Engine, Fault, Process, Serve};

use crate::client::Client;
use crate::dma::SimDma;
use crate::medium::ServerPort;
use crate::window::SimWindow;
use crate::world::{Actor, Progress};

/// A core with its role.
#[derive(Debug)]
pub enum Core<'m, P: ServerPort> {
    /// Its process is dead.
    Down,
    /// See [`Serve`].
    Serve(Box<Serve<'m, P>>),
    /// See [`Communicate`].
    Communicate(Box<Communicate<'m, P, SimDma, SimWindow>>),
    /// See [`Process`].
    Process(Box<Process<'m, SimDma, SimWindow>>),
}

/// Whoever acts in a world with servers.
#[derive(Debug)]
pub enum Node<'m, P: ServerPort> {
    /// A client.
    Client(Box<Client>),
    /// A core of a server.
    Core(Core<'m, P>),
}

impl<P: ServerPort> Core<'_, P> {
    /// Its counters, if its process lives.
    pub fn counters(&mut self) -> Option<&Counters> {
        match self {
            Self::Down => None,
            Self::Serve(engine) => Some(engine.counters()),
            Self::Communicate(engine) => Some(engine.counters()),
            Self::Process(engine) => Some(engine.counters()),
        }
    }

    /// How many frames its port has lent out and not got back; 0 without a port.
    pub fn frames_out(&self) -> usize {
        match self {
            Self::Serve(engine) => engine.port().frames_out(),
            Self::Communicate(engine) => engine.port().frames_out(),
            Self::Down | Self::Process(_) => 0,
        }
    }

    /// Why it gave a queue pair up, if it did.
    pub fn fault(&self) -> Option<(QueuePairId, Fault)> {
        match self {
            Self::Communicate(engine) => engine.fault(),
            Self::Process(engine) => engine.fault(),
            Self::Down | Self::Serve(_) => None,
        }
    }
}

impl<P: ServerPort> Actor for Node<'_, P> {
    fn turn(&mut self, now: Tick) -> Progress {
        let turn = match self {
            Self::Client(client) => return client.turn(now),
            Self::Core(Core::Down) => return Progress::Idle,
            Self::Core(Core::Serve(engine)) => engine.turn(now),
            Self::Core(Core::Communicate(engine)) => engine.turn(now),
            Self::Core(Core::Process(engine)) => engine.turn(now),
        };
        if turn.work > 0 { Progress::Worked } else { Progress::Idle }
    }
}
