//! A server in memory behind real sockets of this machine.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use super::network::Faults;
use super::{Server, Spec};

/// What the threads of a server share.
#[derive(Debug)]
struct Shared {
    server: Mutex<Server>,
    faults: Mutex<Faults>,
    is_over: AtomicBool,
}

/// A server with a thread for each of its endpoints. Dropping it closes its sockets.
#[derive(Debug)]
pub struct UdpServer {
    addresses: Vec<SocketAddr>,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl UdpServer {
    /// A server with so many endpoints, at ports that the system chooses.
    pub fn start(endpoint_count: usize) -> Self {
        Self::run(1, HashMap::new(), (0..endpoint_count).map(|_| bind(0)).collect())
    }

    /// A new life of a server: at the same first port, other endpoints, and with the same items.
    pub fn restart(self, endpoint_count: usize) -> Self {
        let first = self.address().port();
        let (server_id, items) = {
            let mut server = self.server();
            (server.spec.server_id, std::mem::take(&mut server.items))
        };
        drop(self);
        let sockets = std::iter::once(bind(first)).chain((1..endpoint_count).map(|_| bind(0))).collect();
        Self::run(server_id + 1, items, sockets)
    }

    fn run(server_id: u64, items: HashMap<Vec<u8>, (Vec<u8>, u64)>, sockets: Vec<UdpSocket>) -> Self {
        let addresses: Vec<SocketAddr> =
            sockets.iter().map(|socket| socket.local_addr().expect("a bound socket")).collect();
        let ports: Vec<u16> = addresses.iter().map(SocketAddr::port).collect();
        let server = Server { items, ..Server::new(Spec { server_id, ..Spec::new(&ports) }) };
        let shared = Arc::new(Shared {
            server: Mutex::new(server),
            faults: Mutex::new(Faults::NONE),
            is_over: AtomicBool::new(false),
        });
        let thread = |socket: UdpSocket| {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || serve(&socket, &shared))
        };
        let threads = sockets.into_iter().map(thread).collect();
        Self { addresses, shared, threads }
    }

    /// Where it can be asked who it is.
    pub fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    /// What it knows and how it behaves.
    pub fn server(&self) -> MutexGuard<'_, Server> {
        self.shared.server.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How the network treats its datagrams; delays are not simulated.
    pub fn set_faults(&self, faults: Faults) {
        *self.shared.faults.lock().unwrap_or_else(PoisonError::into_inner) = faults;
    }

    /// Makes it say something else about itself.
    pub fn change(&self, change: impl FnOnce(&mut Spec)) {
        let spec = &mut self.server().spec;
        change(spec);
        spec.epoch += 1;
    }
}

impl Drop for UdpServer {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Release);
        let waker = bind(0);
        for address in &self.addresses {
            // A thread that is waiting for a datagram gets one.
            let _ = waker.send_to(&[], address);
        }
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn bind(port: u16) -> UdpSocket {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).expect("a free port")
}

fn serve(socket: &UdpSocket, shared: &Shared) {
    let port = socket.local_addr().expect("a bound socket").port();
    let mut buf = vec![0; 9000];
    let mut random = u64::from(port) | 1;
    while !shared.is_over.load(Ordering::Acquire) {
        let Ok((len, source)) = socket.recv_from(&mut buf) else { continue };
        let faults = *shared.faults.lock().unwrap_or_else(PoisonError::into_inner);
        let copies = if percent(&mut random) < faults.doubling { 2 } else { 1 };
        for _ in 0..copies {
            if percent(&mut random) < faults.loss {
                continue;
            }
            let answer = shared.server.lock().unwrap_or_else(PoisonError::into_inner).answer(port, &buf[..len]);
            if let Some(answer) = answer
                && percent(&mut random) >= faults.loss
            {
                let _ = socket.send_to(&answer, source);
            }
        }
    }
}

fn percent(random: &mut u64) -> u64 {
    *random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*random >> 33) % 100
}
