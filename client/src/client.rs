//! One request at a time.

use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::time::Duration;

use qp_wire::{Operation, ResultCode, TtlMs, native};

use crate::answer::{Answer, Outcome};
use crate::config::Config;
use crate::error::{ConnectError, RequestError, SubmitError};
use crate::pipeline::Pipeline;
use crate::session::ServerInfo;

/// A client that asks and waits for the answer.
///
/// It sends again what the network loses; [`Resend`](crate::Resend) says what that means for each operation. When a
/// server dies and comes back, requests go on without a new connection.
///
/// # Examples
/// ```no_run
/// use client::Client;
///
/// let mut client = Client::connect(&["127.0.0.1:7600".parse()?])?;
/// client.set(b"name", b"value")?;
/// assert_eq!(client.get(b"name")?.as_deref(), Some(&b"value"[..]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Client {
    pipeline: Pipeline,
}

/// What a compare-and-set came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompareAndSet {
    /// The value was the expected one and has been replaced.
    Stored,
    /// There is another value.
    Mismatch,
    /// There is no value.
    NotFound,
}

/// How long an item stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remaining {
    /// For ever.
    Never,
    /// For this time, to the millisecond.
    Expires(Duration),
}

impl Client {
    /// A client of these servers. Every client must name the same servers in the same order.
    ///
    /// # Errors
    /// Every [`ConnectError`].
    pub fn connect(servers: &[SocketAddr]) -> Result<Self, ConnectError> {
        Self::with_config(&Config::new(servers))
    }

    /// A client with other limits and times than usual.
    ///
    /// # Errors
    /// Every [`ConnectError`].
    pub fn with_config(config: &Config) -> Result<Self, ConnectError> {
        Ok(Self { pipeline: Pipeline::connect(config)? })
    }

    /// What the servers said about themselves, in their order.
    pub fn servers(&self) -> impl Iterator<Item = &ServerInfo> + '_ {
        self.pipeline.servers()
    }

    /// The value of `key`, if there is one.
    ///
    /// # Errors
    /// A [`RequestError`].
    pub fn get(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>, RequestError> {
        let ended = self.request(key, Operation::Get)?;
        match ended.result {
            ResultCode::Success => ended.value.ok_or(unexpected(ended.result)).map(Some),
            ResultCode::NotFound => Ok(None),
            result => Err(unexpected(result)),
        }
    }

    /// Stores `value` under `key`, whatever was there.
    ///
    /// # Errors
    /// A [`RequestError`].
    pub fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), RequestError> {
        self.store(key, Operation::Set { value, ttl: None })
    }

    /// Stores `value` under `key` for a time, at least a millisecond.
    ///
    /// # Errors
    /// A [`RequestError`].
    pub fn set_with_ttl(&mut self, key: &[u8], value: &[u8], ttl: Duration) -> Result<(), RequestError> {
        self.store(key, Operation::Set { value, ttl: Some(ttl_ms(ttl)) })
    }

    /// Stores `value` under `key` if there is none yet. Returns whether it did.
    ///
    /// # Errors
    /// A [`RequestError`]; [`RequestError::Unknown`] when there is a value, and it may be this one.
    pub fn add(&mut self, key: &[u8], value: &[u8]) -> Result<bool, RequestError> {
        self.yes_or_no(key, Operation::Add { value, ttl: None }, ResultCode::Exists)
    }

    /// As [`add`](Self::add), for a time.
    ///
    /// # Errors
    /// As for [`add`](Self::add).
    pub fn add_with_ttl(&mut self, key: &[u8], value: &[u8], ttl: Duration) -> Result<bool, RequestError> {
        self.yes_or_no(key, Operation::Add { value, ttl: Some(ttl_ms(ttl)) }, ResultCode::Exists)
    }

    /// Removes `key`. Returns whether it was there. After a lost answer the request is sent again, and then finds
    /// what the first one has left: nothing.
    ///
    /// # Errors
    /// A [`RequestError`].
    pub fn delete(&mut self, key: &[u8]) -> Result<bool, RequestError> {
        self.yes_or_no(key, Operation::Delete, ResultCode::NotFound)
    }

    /// Whether `key` is there.
    ///
    /// # Errors
    /// A [`RequestError`].
    pub fn exists(&mut self, key: &[u8]) -> Result<bool, RequestError> {
        self.yes_or_no(key, Operation::Test, ResultCode::NotFound)
    }

    /// Adds `delta` to the 8-byte little-endian value of `key`, wrapping. Returns the new value, or `None` when there is
    /// no such key.
    ///
    /// # Errors
    /// A [`RequestError`]; [`RequestError::Unknown`] when the answer was lost, since the request is not sent again
    /// unless [`Resend::All`](crate::Resend::All) allows it.
    pub fn increment(&mut self, key: &[u8], delta: u64) -> Result<Option<u64>, RequestError> {
        let ended = self.request(key, Operation::Increment { delta })?;
        ended.number()
    }

    /// Replaces the value of `key` by `new` if it is `expected`.
    ///
    /// # Errors
    /// A [`RequestError`]; [`RequestError::Unknown`] when the value is another one, and this request may be why.
    pub fn compare_and_set(&mut self, key: &[u8], expected: &[u8], new: &[u8]) -> Result<CompareAndSet, RequestError> {
        let ended = self.request(key, Operation::CompareAndSet { expected, new, ttl: None })?;
        match ended.result {
            ResultCode::Success => Ok(CompareAndSet::Stored),
            ResultCode::Mismatch => Ok(CompareAndSet::Mismatch),
            ResultCode::NotFound => Ok(CompareAndSet::NotFound),
            result => Err(unexpected(result)),
        }
    }

    /// Puts `suffix` behind the value of `key`. Returns whether there was one.
    ///
    /// # Errors
    /// As for [`increment`](Self::increment).
    pub fn append(&mut self, key: &[u8], suffix: &[u8]) -> Result<bool, RequestError> {
        self.yes_or_no(key, Operation::Append { suffix }, ResultCode::NotFound)
    }

    /// Gives `key` a new time to live, or none. Returns whether it was there.
    ///
    /// # Errors
    /// A [`RequestError`].
    pub fn touch(&mut self, key: &[u8], ttl: Option<Duration>) -> Result<bool, RequestError> {
        self.yes_or_no(key, Operation::Touch { ttl: ttl.map(ttl_ms) }, ResultCode::NotFound)
    }

    /// How long `key` stays; `None` when it is not there.
    ///
    /// # Errors
    /// A [`RequestError`].
    pub fn ttl(&mut self, key: &[u8]) -> Result<Option<Remaining>, RequestError> {
        let ended = self.request(key, Operation::Ttl)?;
        Ok(ended.number()?.map(|ms| match ms {
            u64::MAX => Remaining::Never,
            ms => Remaining::Expires(Duration::from_millis(ms)),
        }))
    }

    /// The values of many keys, in their order, with as few frames as possible.
    ///
    /// # Errors
    /// The first [`RequestError`].
    pub fn get_many<K: AsRef<[u8]>>(&mut self, keys: &[K]) -> Result<Vec<Option<Vec<u8>>>, RequestError> {
        let mut values = vec![None; keys.len()];
        self.many(
            keys.len(),
            |pipeline, index| pipeline.submit(keys[index].as_ref(), Operation::Get, index as u64),
            |index, result, value| match (result, value) {
                (ResultCode::Success, Some(value)) => {
                    values[index] = Some(value.to_vec());
                    Ok(())
                }
                (ResultCode::NotFound, _) => Ok(()),
                (result, _) => Err(unexpected(result)),
            },
        )?;
        Ok(values)
    }

    /// Stores many items, with as few frames as possible and in no order: of equal keys, any may be the last.
    ///
    /// # Errors
    /// The first [`RequestError`]. All other items have been tried then.
    pub fn set_many<K: AsRef<[u8]>, V: AsRef<[u8]>>(&mut self, items: &[(K, V)]) -> Result<(), RequestError> {
        self.many(
            items.len(),
            |pipeline, index| {
                let (key, value) = &items[index];
                pipeline.submit(key.as_ref(), Operation::Set { value: value.as_ref(), ttl: None }, index as u64)
            },
            |_, result, _| if result == ResultCode::Success { Ok(()) } else { Err(unexpected(result)) },
        )
    }

    fn store(&mut self, key: &[u8], operation: Operation<'_>) -> Result<(), RequestError> {
        match self.request(key, operation)?.result {
            ResultCode::Success => Ok(()),
            result => Err(unexpected(result)),
        }
    }

    fn yes_or_no(&mut self, key: &[u8], operation: Operation<'_>, no: ResultCode) -> Result<bool, RequestError> {
        match self.request(key, operation)?.result {
            ResultCode::Success => Ok(true),
            result if result == no => Ok(false),
            result => Err(unexpected(result)),
        }
    }

    /// Sends one request and waits for its end.
    fn request(&mut self, key: &[u8], operation: Operation<'_>) -> Result<Ended, RequestError> {
        self.pipeline.submit(key, operation, 0)?;
        let mut ended = None;
        while ended.is_none() {
            self.pipeline.poll(POLL_WAIT, &mut |answer| ended = Some(self_contained(&answer)));
        }
        ended.unwrap_or(Err(RequestError::TimedOut { waited: Duration::ZERO })).map_err(|error| self.explained(error))
    }

    /// Sends many requests and waits for all of them.
    fn many(
        &mut self,
        count: usize,
        mut submit: impl FnMut(&mut Pipeline, usize) -> Result<(), SubmitError>,
        mut on_end: impl FnMut(usize, ResultCode, Option<&[u8]>) -> Result<(), RequestError>,
    ) -> Result<(), RequestError> {
        let mut first_error = Ok(());
        let mut on_answer = |answer: Answer<'_>| {
            let end = settled(&answer).and_then(|result| on_end(answer.tag as usize, result, answer.value));
            if first_error.is_ok() {
                first_error = end;
            }
        };
        let mut refused = Ok(());
        let mut index = 0;
        while index < count || self.pipeline.outstanding() > 0 {
            while index < count && self.pipeline.window_room() > 0 {
                if let Err(error) = submit(&mut self.pipeline, index) {
                    refused = refused.and(Err(error.into()));
                }
                index += 1;
            }
            if self.pipeline.outstanding() > 0 {
                self.pipeline.poll(POLL_WAIT, &mut on_answer);
            }
        }
        refused.and(first_error).map_err(|error| self.explained(error))
    }

    /// Says why there was no answer, if that is known.
    fn explained(&self, error: RequestError) -> RequestError {
        match (error, self.pipeline.foreign_server()) {
            (RequestError::TimedOut { .. } | RequestError::Unknown { .. }, Some((index, theirs))) => {
                let server = self.pipeline.config().servers[index];
                RequestError::Version { server, theirs, ours: native::VERSION }
            }
            (error, _) => error,
        }
    }
}

/// How long a poll waits before it looks around. Requests end by their own time-outs.
const POLL_WAIT: Duration = Duration::from_secs(1);

/// The end of a request, without what it borrowed.
#[derive(Debug)]
struct Ended {
    result: ResultCode,
    value: Option<Vec<u8>>,
}

impl Ended {
    /// The 8-byte value, or `None` when there is no such key.
    fn number(&self) -> Result<Option<u64>, RequestError> {
        match (self.result, self.value.as_deref().map(TryInto::try_into)) {
            (ResultCode::Success, Some(Ok(bytes))) => Ok(Some(u64::from_le_bytes(bytes))),
            (ResultCode::NotFound, _) => Ok(None),
            (result, _) => Err(unexpected(result)),
        }
    }
}

fn self_contained(answer: &Answer<'_>) -> Result<Ended, RequestError> {
    Ok(Ended { result: settled(answer)?, value: answer.value.map(<[u8]>::to_vec) })
}

/// The result of an answer that has one and is not an error for every operation.
fn settled(answer: &Answer<'_>) -> Result<ResultCode, RequestError> {
    let waited = answer.latency;
    match answer.outcome {
        Outcome::TimedOut => Err(RequestError::TimedOut { waited }),
        Outcome::Unknown => Err(RequestError::Unknown { waited }),
        Outcome::Answered(result) => match result {
            ResultCode::InsufficientSpace => Err(RequestError::InsufficientSpace),
            ResultCode::TooLarge => Err(RequestError::TooLargeForServer),
            ResultCode::NotSupported => Err(RequestError::NotSupported),
            ResultCode::Error => Err(RequestError::WrongValue),
            ResultCode::NotProcessed | ResultCode::Rejected => Err(RequestError::Refused { result, waited }),
            result => Ok(result),
        },
    }
}

const fn unexpected(result: ResultCode) -> RequestError {
    RequestError::Unexpected { result }
}

/// A time to live in whole milliseconds, at least one.
fn ttl_ms(ttl: Duration) -> TtlMs {
    let ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
    TtlMs(NonZeroU64::new(ms).unwrap_or(NonZeroU64::MIN))
}
