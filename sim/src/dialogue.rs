//! One frame at a time: a server to which a test says something and listens.

use std::net::SocketAddr;

use kv_core::design::Side;

use crate::fault::FaultPlan;
use crate::link::Network;
use crate::medium::ServerPort;
use crate::node::Node;
use crate::physics::Physics;
use crate::server::{Memory, Server, ServerConfig};
use crate::world::World;

/// Long enough for whatever a server does about one frame, in nanoseconds.
const ANSWER_NS: u64 = 1_000_000;

/// Long enough for queue pairs to come up, in nanoseconds.
const JOIN_NS: u64 = 5_000_000;

/// A server without faults, and somebody at `address` who talks to it.
#[derive(Debug)]
pub struct Dialogue<'m, P: ServerPort> {
    physics: Physics,
    network: Network,
    world: World<Node<'m, P>>,
    server: Server<'m, P>,
    address: SocketAddr,
}

impl<'m, P: ServerPort> Dialogue<'m, P> {
    /// Starts a server.
    pub fn new(config: ServerConfig, memory: &'m Memory, address: SocketAddr) -> Self {
        let physics = Physics::new(0, FaultPlan::NONE);
        let network = Network::new(&physics);
        network.open(address);
        let mut world = World::new(&physics);
        let mut server = Server::new(&network, config, memory, &mut world);
        server.start(Side::Host, &mut world);
        server.start(Side::Dpu, &mut world);
        let mut dialogue = Self { physics, network, world, server, address };
        dialogue.pass(JOIN_NS);
        dialogue
    }

    /// The server.
    pub fn server(&self) -> &Server<'m, P> {
        &self.server
    }

    /// Sends a packet and returns everything that comes back.
    pub fn ask(&mut self, to: SocketAddr, packet: &[u8]) -> Vec<Vec<u8>> {
        self.network.send(self.address, to, packet);
        self.pass(ANSWER_NS);
        std::iter::from_fn(|| self.network.receive(self.address)).map(|answer| answer.bytes).collect()
    }

    fn pass(&mut self, ns: u64) {
        const STEP_NS: u64 = 50_000;
        for _ in 0..ns / STEP_NS {
            self.world.run_until(self.physics.now().after(STEP_NS));
            self.server.supervise(&mut self.world);
        }
    }
}
