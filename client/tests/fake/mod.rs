//! A server in memory: it answers frames of the native protocol from a map, and tells whatever identity a test wants.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it, and it has no other users")]

pub mod network;
pub mod udp;

use std::collections::HashMap;

use kv_core::hash::KeyHash;
use qp_wire::batch::{RequestBatch, ResponseColumns, ResponseWriter, response_len_min};
use qp_wire::native::{
    Endpoint, FrameHeader, FrameKind, HEADER_LEN, Identity, NativeError, RequestBody, RequestFrame, encode_header,
    version_answer,
};
use qp_wire::{Operation, ResultCode};

/// What a server says about itself.
#[derive(Clone, Debug)]
pub struct Spec {
    pub server_id: u64,
    pub epoch: u32,
    pub concurrent_read: bool,
    pub complete: bool,
    pub frame_len_max: u16,
    pub value_len_max: u16,
    pub key_len_max: u8,
    pub owners: Vec<u8>,
    pub endpoints: Vec<Endpoint>,
}

impl Spec {
    /// A server with an endpoint at each port, all partitions of which belong to them in turn.
    pub fn new(ports: &[u16]) -> Self {
        Self {
            server_id: 1,
            epoch: 1,
            concurrent_read: false,
            complete: true,
            frame_len_max: 1472,
            value_len_max: 1400,
            key_len_max: 255,
            owners: (0..16).map(|partition| (partition % ports.len()) as u8).collect(),
            endpoints: (0..).zip(ports).map(|(label, &port)| Endpoint::new(label, [0; 4], port)).collect(),
        }
    }

    fn identity(&self) -> Identity<'_> {
        Identity {
            server_id: self.server_id,
            epoch: self.epoch,
            design: 0,
            concurrent_read: self.concurrent_read,
            complete: self.complete,
            frame_len_max: self.frame_len_max,
            value_len_max: self.value_len_max,
            key_len_max: self.key_len_max,
            owners: &self.owners,
            endpoints: &self.endpoints,
        }
    }
}

/// A server.
#[derive(Debug)]
pub struct Server {
    pub spec: Spec,
    /// Values, and for how many milliseconds they were stored.
    pub items: HashMap<Vec<u8>, (Vec<u8>, u64)>,
    /// Requests that were executed, by the port at which they came.
    pub executed: HashMap<u16, u64>,
    /// Frames with requests that came.
    pub frames: u64,
    /// Requests in the largest of them.
    pub requests_per_frame_max: usize,
    /// The longest of them, in bytes.
    pub request_len_max: usize,
    /// Answers are no longer than their requests.
    pub answers_are_limited: bool,
    /// Answers every request so.
    pub refuses_with: Option<ResultCode>,
    /// Says who it is and answers nothing else.
    pub is_mute: bool,
    /// Speaks another version, this one.
    pub version: Option<u8>,
}

impl Server {
    pub fn new(spec: Spec) -> Self {
        Self {
            spec,
            items: HashMap::new(),
            executed: HashMap::new(),
            frames: 0,
            requests_per_frame_max: 0,
            request_len_max: 0,
            answers_are_limited: false,
            refuses_with: None,
            is_mute: false,
            version: None,
        }
    }

    /// The answer to a datagram that came at `port`, if it deserves one.
    pub fn answer(&mut self, port: u16, request: &[u8]) -> Option<Vec<u8>> {
        if let Some(version) = self.version {
            return foreign_answer(request, version);
        }
        let frame = match RequestFrame::decode(request) {
            Ok(frame) => frame,
            Err(NativeError::Version { .. }) => {
                let mut answer = vec![0; HEADER_LEN];
                return version_answer(request, &mut answer).map(|_| answer);
            }
            Err(_) => return None,
        };
        if matches!(frame.body, RequestBody::Batch(_)) {
            self.request_len_max = self.request_len_max.max(request.len());
        }
        let frame_len_max = usize::from(self.spec.frame_len_max);
        let mut answer = vec![0; frame_len_max.max(1472)];
        let (kind, len) = match frame.body {
            RequestBody::Identity => {
                (FrameKind::IdentityResponse, self.spec.identity().encode(&mut answer[HEADER_LEN..]).ok()?)
            }
            RequestBody::Batch(_) if self.is_mute => return None,
            RequestBody::Batch(batch) => {
                let limit = if self.answers_are_limited { request.len().min(frame_len_max) } else { frame_len_max };
                (FrameKind::BatchResponse, self.execute(port, &batch, &mut answer[HEADER_LEN..limit])?)
            }
        };
        encode_header(&mut answer, kind, 0, frame.header)?;
        answer.truncate(HEADER_LEN + len);
        (!self.answers_are_limited || answer.len() <= request.len()).then_some(answer)
    }

    fn execute(&mut self, port: u16, batch: &RequestBatch<'_>, into: &mut [u8]) -> Option<usize> {
        self.frames += 1;
        self.requests_per_frame_max = self.requests_per_frame_max.max(batch.count());
        let mut columns = ResponseColumns::new();
        if into.len() < response_len_min(batch.count()) {
            return refuse_all(into, batch.count());
        }
        let mut writer = ResponseWriter::new(into, &mut columns, batch.count())?;
        for raw in batch.iter() {
            let answer = match (raw.decode(), self.refuses_with) {
                (_, Some(result)) => (result, None),
                (Err(result), _) => (result, None),
                (Ok(request), _) if !self.takes(port, request.key, &request.operation) => (ResultCode::Rejected, None),
                (Ok(request), _) => self.apply(port, request.key, &request.operation, writer.room()),
            };
            match answer {
                (result, Some(value)) => {
                    writer.value_buf()[..value.len()].copy_from_slice(&value);
                    writer.push_value(result, value.len());
                }
                (result, None) => writer.push(result),
            }
        }
        Some(writer.finish())
    }

    /// Whether the endpoint at `port` takes requests for `key`.
    fn takes(&self, port: u16, key: &[u8], operation: &Operation<'_>) -> bool {
        let partition = KeyHash::of(key).partition(self.spec.owners.len() as u16);
        let owner = self.spec.owners[usize::from(partition.0)];
        let is_owner = |endpoint: &Endpoint| endpoint.udp_port() == port && endpoint.label() == owner;
        (self.spec.concurrent_read && operation.opcode().is_read()) || self.spec.endpoints.iter().any(is_owner)
    }

    fn apply(
        &mut self,
        port: u16,
        key: &[u8],
        operation: &Operation<'_>,
        room: usize,
    ) -> (ResultCode, Option<Vec<u8>>) {
        let value = match self.items.get(key) {
            Some((value, _)) if value.len() > room && matches!(operation, Operation::Get) => {
                return (ResultCode::NotProcessed, None);
            }
            Some((value, _)) => Some(value.clone()),
            None => None,
        };
        *self.executed.entry(port).or_default() += 1;
        let ms = |ttl: Option<qp_wire::TtlMs>| ttl.map_or(u64::MAX, |ttl| ttl.0.get());
        match (*operation, value) {
            (Operation::Set { value, ttl }, _) => self.store(key, value.to_vec(), ms(ttl)),
            (Operation::Add { .. }, Some(_)) => (ResultCode::Exists, None),
            (Operation::Add { value, ttl }, None) => self.store(key, value.to_vec(), ms(ttl)),
            (Operation::Reset | Operation::NoopRead | Operation::NoopWrite, _) => (ResultCode::Success, None),
            (_, None) => (ResultCode::NotFound, None),
            (Operation::Get, Some(value)) => (ResultCode::Success, Some(value)),
            (Operation::Test, Some(_)) => (ResultCode::Success, None),
            (Operation::Delete, Some(_)) => {
                self.items.remove(key);
                (ResultCode::Success, None)
            }
            (Operation::Increment { delta }, Some(value)) => match <[u8; 8]>::try_from(value) {
                Ok(bytes) => {
                    let sum = u64::from_le_bytes(bytes).wrapping_add(delta).to_le_bytes().to_vec();
                    let _ = self.store(key, sum.clone(), u64::MAX);
                    (ResultCode::Success, Some(sum))
                }
                Err(_) => (ResultCode::Error, None),
            },
            (Operation::CompareAndSet { expected, .. }, Some(value)) if value != expected => {
                (ResultCode::Mismatch, None)
            }
            (Operation::CompareAndSet { new, ttl, .. }, Some(_)) => self.store(key, new.to_vec(), ms(ttl)),
            (Operation::Append { suffix }, Some(value)) => self.store(key, [&value, suffix].concat(), u64::MAX),
            (Operation::Touch { ttl }, Some(value)) => self.store(key, value, ms(ttl)),
            (Operation::Ttl, Some(_)) => {
                (ResultCode::Success, self.items.get(key).map(|(_, ms)| ms.to_le_bytes().to_vec()))
            }
        }
    }

    fn store(&mut self, key: &[u8], value: Vec<u8>, ms: u64) -> (ResultCode, Option<Vec<u8>>) {
        if value.len() > usize::from(self.spec.value_len_max) {
            return (ResultCode::TooLarge, None);
        }
        self.items.insert(key.to_vec(), (value, ms));
        (ResultCode::Success, None)
    }
}

/// Says of every request that nobody has looked at it.
fn refuse_all(into: &mut [u8], count: usize) -> Option<usize> {
    let (mut body, mut columns) = (vec![0; response_len_min(count)], ResponseColumns::new());
    let mut writer = ResponseWriter::new(&mut body, &mut columns, count)?;
    (0..count).for_each(|_| writer.push(ResultCode::NotProcessed));
    let len = writer.finish();
    into.get_mut(..len)?.copy_from_slice(&body[..len]);
    Some(len)
}

/// What a server of another version answers: its own version, and nothing that we have to understand.
fn foreign_answer(request: &[u8], version: u8) -> Option<Vec<u8>> {
    let frame = RequestFrame::decode(request).ok()?;
    let FrameHeader { batch_id, timestamp } = frame.header;
    let mut answer = vec![0xd6, version, 2, 0];
    answer.extend(batch_id.to_le_bytes());
    answer.extend(timestamp.to_le_bytes());
    Some(answer)
}
