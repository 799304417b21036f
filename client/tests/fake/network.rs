//! A network in memory, in virtual time: it loses, doubles and delays datagrams by seed.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use client::session::{Destination, ServerId, Session};
use client::{Answer, Config, Moment, Operation, Outcome, SubmitError};

use super::{Server, Spec};

/// How the network treats datagrams. Probabilities are in percent.
#[derive(Clone, Copy, Debug)]
pub struct Faults {
    pub loss: u64,
    pub doubling: u64,
    /// Datagrams that take up to 20 ms longer than others.
    pub delay: u64,
}

impl Faults {
    pub const NONE: Self = Self { loss: 0, doubling: 0, delay: 0 };
}

/// The end of a request, without what it borrowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    pub tag: u64,
    pub outcome: Outcome,
    pub value: Option<Vec<u8>>,
    pub latency: Duration,
    pub attempts: u32,
}

impl End {
    pub fn of(answer: &Answer<'_>) -> Self {
        let Answer { tag, outcome, value, latency, attempts } = *answer;
        Self { tag, outcome, value: value.map(<[u8]>::to_vec), latency, attempts }
    }
}

/// A datagram on its way.
#[derive(Clone, Debug)]
struct Datagram {
    to: Place,
    from: SocketAddr,
    payload: Vec<u8>,
    /// Through which of the client's sockets.
    through: Destination,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    Client,
    Server(SocketAddr),
}

/// A client and its servers.
#[derive(Debug)]
pub struct World {
    pub session: Session,
    pub servers: Vec<Server>,
    /// A dead server takes no datagrams.
    pub is_dead: Vec<bool>,
    pub faults: Faults,
    pub now: Moment,
    pub ends: Vec<End>,
    /// Every answer to requests that was delivered, with its source.
    pub answers: Vec<(SocketAddr, Vec<u8>)>,
    air: BTreeMap<(Moment, u64), Datagram>,
    sent: u64,
    random: u64,
}

/// The address of the server with this number.
pub fn address(server: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, server as u8], 7600))
}

/// A server at [`address`] with endpoints at these ports.
pub fn server(ports: &[u16]) -> Server {
    Server::new(Spec::new(ports))
}

/// The default choices for so many servers.
pub fn config(server_count: usize) -> Config {
    let servers: Vec<SocketAddr> = (0..server_count).map(address).collect();
    Config::new(&servers)
}

impl World {
    /// A client that has asked nobody yet.
    pub fn new(config: &Config, servers: Vec<Server>, seed: u64) -> Self {
        let session = Session::new(config, seed.wrapping_mul(0x2545_f491_4f6c_dd1d)).expect("a valid config");
        let is_dead = vec![false; servers.len()];
        Self {
            session,
            servers,
            is_dead,
            faults: Faults::NONE,
            now: Moment::from_nanos(1),
            ends: Vec::new(),
            answers: Vec::new(),
            air: BTreeMap::new(),
            sent: 0,
            random: seed | 1,
        }
    }

    /// A client that knows its servers.
    pub fn connected(config: &Config, servers: Vec<Server>) -> Self {
        let mut world = Self::new(config, servers, 7);
        world.run_for(Duration::from_millis(10));
        assert!(world.session.servers().count() == world.servers.len(), "the servers answer");
        world
    }

    pub fn submit(&mut self, key: &[u8], operation: Operation<'_>, tag: u64) -> Result<(), SubmitError> {
        self.session.submit(self.now, key, operation, tag)
    }

    /// Submits one request, and runs until it has ended.
    pub fn ask(&mut self, key: &[u8], operation: Operation<'_>) -> End {
        self.submit(key, operation, u64::MAX).expect("room in the window");
        self.finish();
        self.ends.pop().expect("every request ends")
    }

    /// Runs until every request has ended.
    pub fn finish(&mut self) {
        self.session.flush(self.now);
        let limit = self.now.after(Duration::from_secs(60));
        let mut steps = 0;
        while self.session.outstanding() > 0 {
            steps += 1;
            assert!(self.now < limit && steps < 1_000_000, "{} requests never end", self.session.outstanding());
            self.step(limit);
        }
    }

    /// Runs for a time.
    pub fn run_for(&mut self, duration: Duration) {
        self.session.flush(self.now);
        let end = self.now.after(duration);
        while self.now < end {
            self.step(end);
        }
    }

    /// Delivers a datagram to the client as if it came from an endpoint.
    pub fn deliver(&mut self, source: SocketAddr, payload: &[u8]) {
        let ends = &mut self.ends;
        self.session.receive(self.now, source, payload, &mut |answer| ends.push(End::of(&answer)));
    }

    /// Delivers a datagram to the client as if it came from a server that was asked who it is.
    pub fn deliver_identity(&mut self, id: ServerId, payload: &[u8]) {
        let ends = &mut self.ends;
        self.session.receive_identity(self.now, id, payload, &mut |answer| ends.push(End::of(&answer)));
    }

    /// Lets one thing happen, not later than `limit`.
    pub fn step(&mut self, limit: Moment) {
        self.send_departures();
        let arrival = self.air.keys().next().map_or(Moment::NEVER, |&(moment, _)| moment);
        let next = arrival.min(self.session.next_turn()).min(limit);
        self.now = self.now.max(next);
        if arrival <= self.now
            && let Some((_, datagram)) = self.air.pop_first()
        {
            self.arrive(datagram);
        }
        let ends = &mut self.ends;
        self.session.turn(self.now, &mut |answer| ends.push(End::of(&answer)));
    }

    fn send_departures(&mut self) {
        while let Some(departure) = self.session.departure(self.now) {
            let datagram = Datagram {
                to: Place::Server(departure.address),
                from: "192.0.2.1:1".parse().expect("an address"),
                payload: departure.payload.to_vec(),
                through: departure.destination,
            };
            self.session.departed(self.now);
            self.carry(&datagram);
        }
    }

    fn arrive(&mut self, datagram: Datagram) {
        match (datagram.to, datagram.through) {
            (Place::Client, Destination::Server(id)) => self.deliver_identity(id, &datagram.payload),
            (Place::Client, Destination::Endpoint) => {
                self.deliver(datagram.from, &datagram.payload);
                self.answers.push((datagram.from, datagram.payload));
            }
            (Place::Server(to), through) => {
                let found =
                    (0..self.servers.len()).find(|&index| address(index).ip() == to.ip() && !self.is_dead[index]);
                let Some(server) = found.map(|index| &mut self.servers[index]) else { return };
                let listens = to.port() == 7600 || server.spec.endpoints.iter().any(|e| e.udp_port() == to.port());
                if let Some(payload) = server.answer(to.port(), &datagram.payload).filter(|_| listens) {
                    self.carry(&Datagram { to: Place::Client, from: to, payload, through });
                }
            }
        }
    }

    /// Takes a datagram on its way, or does not.
    fn carry(&mut self, datagram: &Datagram) {
        let copies = if self.percent() < self.faults.doubling { 2 } else { 1 };
        for _ in 0..copies {
            if self.percent() < self.faults.loss {
                continue;
            }
            let mut nanos = 20_000 + self.next_random() % 10_000;
            if self.percent() < self.faults.delay {
                nanos += self.next_random() % 20_000_000;
            }
            self.sent += 1;
            self.air.insert((self.now.after(Duration::from_nanos(nanos)), self.sent), datagram.clone());
        }
    }

    fn percent(&mut self) -> u64 {
        self.next_random() % 100
    }

    /// xorshift64* (Vigna 2016).
    fn next_random(&mut self) -> u64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }
}
