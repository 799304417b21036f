//! Datagrams from clients: told apart, validated, and the ones that need no store answered on the spot.

use core::net::IpAddr;

use heapless::Vec;
use qp_wire::batch::{RequestBatch, RequestIter, ResponseColumns, ResponseWriter, response_len_min};
use qp_wire::native::{self, FrameHeader, FrameKind, IDENTITY_LEN_MAX, NativeError, RequestBody};
use qp_wire::protocol::{Protocol, protocol_of};
use qp_wire::{DropReason, RawRequest, ResultCode, mica};

use super::lookahead::{Prepared, REFUSED_OPERATION};
use super::policy::Policy;
use crate::hash::KeyHash;
use crate::port::Frame;

/// What clients are told of the server: the encoded body of an identity response. Empty until it is known.
pub type IdentityBytes = Vec<u8, IDENTITY_LEN_MAX>;

/// A valid datagram that asks for the store.
#[derive(Clone, Copy, Debug)]
pub(super) enum Inbound<'a> {
    Native { header: FrameHeader, batch: RequestBatch<'a> },
    Mica(mica::RequestFrame<'a>),
}

/// What becomes of a datagram.
#[derive(Clone, Copy, Debug)]
pub(super) enum Decoded<'a> {
    /// The store is asked.
    Requests(Inbound<'a>),
    /// The server is asked who it is.
    Identity(FrameHeader),
    /// The sender is told which version is spoken here.
    WrongVersion,
    /// It gets no answer.
    Dropped(DropReason),
}

impl<'a> Decoded<'a> {
    #[inline]
    pub(super) fn of(payload: &'a [u8]) -> Self {
        match protocol_of(payload) {
            Err(reason) => Self::Dropped(reason),
            Ok(Protocol::Mica) => match mica::RequestFrame::decode(payload) {
                Ok(frame) => Self::Requests(Inbound::Mica(frame)),
                Err(reason) => Self::Dropped(reason),
            },
            Ok(Protocol::Native) => match native::RequestFrame::decode(payload) {
                Ok(frame) => match frame.body {
                    RequestBody::Batch(batch) => Self::Requests(Inbound::Native { header: frame.header, batch }),
                    RequestBody::Identity => Self::Identity(frame.header),
                },
                Err(NativeError::Version { .. }) => Self::WrongVersion,
                Err(error) => Self::Dropped(error.drop_reason()),
            },
        }
    }
}

impl<'a> Inbound<'a> {
    /// The longest answer that its source may get, as a payload. MICA2's clients take no jumbo frame that they have not
    /// sent.
    pub(super) fn reply_len_max(&self, policy: &Policy, source: IpAddr, request_len: usize, room: usize) -> usize {
        let room = match self {
            Self::Native { .. } => room,
            Self::Mica(_) => room.min(mica::PAYLOAD_LEN_MAX.max(request_len)),
        };
        policy.reply_len(source, request_len, room)
    }

    /// Whether an answer of that length has a place for each request's result.
    pub(super) fn suffices(&self, reply_len_max: usize) -> bool {
        match self {
            Self::Native { batch, .. } => reply_len_max >= native::HEADER_LEN + response_len_min(batch.count()),
            Self::Mica(frame) => reply_len_max >= frame.response_len_min(),
        }
    }

    /// The frame's requests, in their order.
    pub(super) fn requests(self, may_reset: bool) -> Requests<'a> {
        let of_frame = match self {
            Self::Native { batch, .. } => OfFrame::Native(batch.iter()),
            Self::Mica(frame) => OfFrame::Mica(frame.requests()),
        };
        Requests { of_frame, may_reset }
    }
}

/// A request as it came in, with what its frame says about it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Incoming<'a> {
    pub(super) raw: RawRequest<'a>,
    /// The hash that a MICA2 client has put beside the key.
    pub(super) claimed_hash: Option<KeyHash>,
    /// Whether its source is an administrator.
    pub(super) may_reset: bool,
}

/// The requests of one frame or run.
pub(super) struct Requests<'a> {
    of_frame: OfFrame<'a>,
    may_reset: bool,
}

enum OfFrame<'a> {
    Native(RequestIter<'a>),
    Mica(mica::Requests<'a>),
}

impl<'a> Requests<'a> {
    /// The requests of a native batch.
    #[inline]
    pub(super) fn of_batch(batch: RequestBatch<'a>, may_reset: bool) -> Self {
        Self { of_frame: OfFrame::Native(batch.iter()), may_reset }
    }

    /// Whether each comes with a hash that its client has put beside its key.
    pub(super) const fn claim_hashes(&self) -> bool {
        matches!(self.of_frame, OfFrame::Mica(_))
    }

    /// Moves requests into places until these are full or none is left; how many it were.
    #[inline]
    pub(super) fn take_into(&mut self, places: &mut [Option<Prepared<'a>>]) -> usize {
        let may_reset = self.may_reset;
        match &mut self.of_frame {
            OfFrame::Native(requests) => requests.take_into(places, |raw| Some(Prepared::new(raw, None, may_reset))),
            OfFrame::Mica(requests) => {
                let mut count = 0;
                for (place, request) in places.iter_mut().zip(requests) {
                    let claimed_hash = Some(KeyHash(request.key_hash));
                    *place = Some(Prepared::new(as_native(&request), claimed_hash, may_reset));
                    count += 1;
                }
                count
            }
        }
    }
}

impl<'a> Iterator for Requests<'a> {
    type Item = Incoming<'a>;

    #[inline]
    fn next(&mut self) -> Option<Incoming<'a>> {
        let (raw, claimed_hash) = match &mut self.of_frame {
            OfFrame::Native(requests) => (requests.next()?, None),
            OfFrame::Mica(requests) => {
                let request = requests.next()?;
                (as_native(&request), Some(KeyHash(request.key_hash)))
            }
        };
        Some(Incoming { raw, claimed_hash, may_reset: self.may_reset })
    }
}

/// The request without what MICA2's wire lets pass and ours does not: operations beyond MICA2's become one that nobody
/// knows. A value that its operation ignores may stay: nobody looks at it.
#[inline]
fn as_native<'a>(request: &mica::MicaRequest<'a>) -> RawRequest<'a> {
    if is_mica(request.raw.operation) { request.raw } else { refused(request.raw) }
}

/// Whether MICA2's wire knows an operation byte.
#[inline]
fn is_mica(operation: u8) -> bool {
    operation <= qp_wire::Opcode::Increment.to_wire()
}

/// What stands in a queue pair for a request that must not be executed.
pub(super) fn refused(raw: RawRequest<'_>) -> RawRequest<'_> {
    RawRequest { operation: REFUSED_OPERATION, value: &[], ..raw }
}

/// What MICA2's client is told: it knows one result for whatever is wrong with a request, and another for RESET.
pub(super) fn mica_result(operation: u8, result: ResultCode) -> ResultCode {
    match result {
        ResultCode::NotSupported if operation != qp_wire::Opcode::Reset.to_wire() => ResultCode::Error,
        result => result,
    }
}

/// Whether a datagram asks for the store: the longest answer that it may get.
///
/// # Errors
/// What to do with a datagram that does not, or whose source may not get as many bytes as the shortest answer takes.
#[inline]
pub(super) fn screen<'a, F: Frame>(frame: &'a F, reply_room: usize, policy: &Policy) -> Result<Screened<'a>, HereOnly> {
    let payload = frame.payload();
    match Decoded::of(payload) {
        Decoded::Requests(inbound) => {
            let reply_len_max = inbound.reply_len_max(policy, frame.source().ip(), payload.len(), reply_room);
            match inbound {
                _ if inbound.suffices(reply_len_max) => Ok(Screened { inbound, reply_len_max }),
                Inbound::Native { header, batch } => Err(HereOnly::NotProcessed(header, batch.count())),
                Inbound::Mica(_) => Err(HereOnly::Dropped(DropReason::Long)),
            }
        }
        Decoded::Identity(header) => Err(HereOnly::Identity(header)),
        Decoded::WrongVersion => Err(HereOnly::WrongVersion),
        Decoded::Dropped(reason) => Err(HereOnly::Dropped(reason)),
    }
}

/// A datagram that asks for the store and may be answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Screened<'a> {
    pub(super) inbound: Inbound<'a>,
    /// The longest answer, in bytes.
    pub(super) reply_len_max: usize,
}

/// Answers a datagram that needs no store, in its own frame.
///
/// # Errors
/// Why there is no answer.
pub(super) fn answer_here<F: Frame>(
    frame: &mut F,
    decoded: HereOnly,
    identity: &IdentityBytes,
    policy: &Policy,
) -> Result<(), DropReason> {
    let request_len = frame.payload().len();
    let source = frame.source().ip();
    let room = frame.reply_buf().len();
    let len = match decoded {
        HereOnly::Dropped(reason) => return Err(reason),
        HereOnly::Identity(header) => {
            let len = native::HEADER_LEN + identity.len();
            if identity.is_empty() {
                return Err(DropReason::PeerDown);
            }
            if len > policy.reply_len(source, request_len, room) {
                return Err(DropReason::Source);
            }
            write_reply(frame.reply_buf(), FrameKind::IdentityResponse, header, identity)
        }
        HereOnly::WrongVersion => {
            let mut answer = [0; native::HEADER_LEN];
            let len = native::version_answer(frame.payload(), &mut answer).ok_or(DropReason::Version)?;
            frame.reply_buf().get_mut(..len).map(|reply| {
                reply.copy_from_slice(answer.get(..len).unwrap_or_default());
                len
            })
        }
        HereOnly::NotProcessed(header, count) => {
            let mut body = [0; REFUSAL_ROOM];
            let len = refuse_all(&mut body, count);
            write_reply(frame.reply_buf(), FrameKind::BatchResponse, header, body.get(..len).unwrap_or_default())
        }
    };
    frame.set_reply(len.ok_or(DropReason::Short)?);
    Ok(())
}

/// What [`answer_here`] answers.
#[derive(Clone, Copy, Debug)]
pub(super) enum HereOnly {
    Identity(FrameHeader),
    WrongVersion,
    /// The source may not get as many bytes as the answers could take. It gets 24, and may pad its request.
    NotProcessed(FrameHeader, usize),
    /// It gets no answer.
    Dropped(DropReason),
}

const REFUSAL_ROOM: usize = native::HEADER_LEN + 3 * qp_wire::limits::REQUEST_COUNT_MAX;

/// Writes `NotProcessed` for each of `count` requests and returns the length, which folds to a bare header.
fn refuse_all(into: &mut [u8], count: usize) -> usize {
    let mut columns = ResponseColumns::new();
    let Some(mut writer) = ResponseWriter::new(into, &mut columns, count) else { return 0 };
    for _ in 0..count {
        writer.push(ResultCode::NotProcessed);
    }
    writer.finish()
}

/// Writes a native response around a finished body and returns its length; `None` when it does not fit.
pub(super) fn write_reply(into: &mut [u8], kind: FrameKind, header: FrameHeader, body: &[u8]) -> Option<usize> {
    let len = native::HEADER_LEN + body.len();
    into.get_mut(native::HEADER_LEN..len)?.copy_from_slice(body);
    native::encode_header(into, kind, 0, header)?;
    Some(len)
}
