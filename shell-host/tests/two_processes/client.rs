//! The smallest client that there can be: one request in a frame, asked again until there is an answer.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use kv_core::hash::KeyHash;
use qp_wire::batch::RequestWriter;
use qp_wire::native::{self, FrameHeader, FrameKind, IDENTITY_RESPONSE_LEN_MAX, Identity, ResponseBody, ResponseFrame};
use qp_wire::{Opcode, RawRequest, ResultCode};

/// No test waits longer for what must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// How long one request is waited for before it is sent again.
const RETRY: Duration = Duration::from_millis(50);

/// What a server has answered.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) result: ResultCode,
    pub(crate) value: Option<Vec<u8>>,
}

/// What a test wants to know of an identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) server_id: u64,
    pub(crate) epoch: u32,
    pub(crate) complete: bool,
    pub(crate) endpoints: Vec<SocketAddr>,
    pub(crate) owners: Vec<u8>,
}

impl Told {
    /// Where requests for a key go.
    pub(crate) fn endpoint_of(&self, key: &[u8]) -> SocketAddr {
        let partition = KeyHash::of(key).partition(self.owners.len() as u16);
        let owner = self.owners[usize::from(partition.0)];
        self.endpoints[usize::from(owner)]
    }
}

/// A socket and what was sent through it.
pub(crate) struct Client {
    socket: UdpSocket,
    batch_id: u32,
}

impl Client {
    pub(crate) fn new() -> Self {
        let socket = UdpSocket::bind("0.0.0.0:0").expect("a port");
        socket.set_read_timeout(Some(RETRY)).expect("a timeout");
        Self { socket, batch_id: 0 }
    }

    pub(crate) fn set(&mut self, server: SocketAddr, key: &[u8], value: &[u8]) -> ResultCode {
        self.ask(server, Opcode::Set, key, value).result
    }

    pub(crate) fn get(&mut self, server: SocketAddr, key: &[u8]) -> Answer {
        self.ask(server, Opcode::Get, key, &[])
    }

    pub(crate) fn ask(&mut self, server: SocketAddr, opcode: Opcode, key: &[u8], value: &[u8]) -> Answer {
        let raw = RawRequest { operation: opcode.to_wire(), key, value };
        let mut writer = RequestWriter::new();
        writer.push(&raw).expect("an empty writer has room");
        let mut frame = vec![0; native::HEADER_LEN + writer.encoded_len()];
        writer.encode(&mut frame[native::HEADER_LEN..]).expect("room");
        self.exchange(server, FrameKind::BatchRequest, frame, |body| match body {
            ResponseBody::Batch(batch) => {
                let response = batch.iter().next().expect("a response");
                Some(Answer { result: response.result, value: response.value.map(<[u8]>::to_vec) })
            }
            _ => None,
        })
    }

    /// What the server says of itself at this moment.
    pub(crate) fn identity(&mut self, server: SocketAddr) -> Told {
        let header = FrameHeader { batch_id: 0, timestamp: 0 };
        let mut frame = vec![0; IDENTITY_RESPONSE_LEN_MAX];
        let len = native::encode_identity_request(&mut frame, header, IDENTITY_RESPONSE_LEN_MAX);
        frame.truncate(len.expect("room"));
        self.exchange(server, FrameKind::IdentityRequest, frame, |body| match body {
            ResponseBody::Identity(identity) => Some(told(&identity)),
            _ => None,
        })
    }

    /// Asks until the server says that it is complete.
    pub(crate) fn complete_identity(&mut self, server: SocketAddr) -> Told {
        let start = Instant::now();
        loop {
            let told = self.identity(server);
            if told.complete {
                return told;
            }
            assert!(start.elapsed() < PATIENCE, "the server at {server} never becomes complete");
        }
    }

    fn exchange<T>(
        &mut self,
        server: SocketAddr,
        kind: FrameKind,
        mut frame: Vec<u8>,
        read: impl Fn(ResponseBody<'_>) -> Option<T>,
    ) -> T {
        self.batch_id += 1;
        let header = FrameHeader { batch_id: self.batch_id, timestamp: 7 };
        let flags = frame[3];
        native::encode_header(&mut frame, kind, flags, header).expect("room");
        let start = Instant::now();
        let mut buf = vec![0; 10_000];
        loop {
            assert!(start.elapsed() < PATIENCE, "no answer from {server}");
            self.socket.send_to(&frame, server).expect("a packet");
            // The reset of a port that nobody listens at also ends the wait.
            let Ok((len, source)) = self.socket.recv_from(&mut buf) else { continue };
            let response = ResponseFrame::decode(&buf[..len]).expect("a response");
            if source == server
                && response.header == header
                && let Some(answer) = read(response.body)
            {
                return answer;
            }
        }
    }
}

fn told(identity: &Identity<'_>) -> Told {
    Told {
        server_id: identity.server_id,
        epoch: identity.epoch,
        complete: identity.complete,
        endpoints: identity.endpoints.iter().map(address_of).collect(),
        owners: identity.owners.to_vec(),
    }
}

fn address_of(endpoint: &native::Endpoint) -> SocketAddr {
    SocketAddr::from((endpoint.ipv4().expect("an IPv4 address"), endpoint.udp_port()))
}
