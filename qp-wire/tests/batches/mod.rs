//! Requests and responses for the tests of batches, and an encoder to hold the crate's own against: it folds what it is
//! told to and is as plain as the document.

#![allow(dead_code, reason = "no test needs all of it")]

use proptest::prelude::*;
use qp_wire::batch::{RequestBatch, RequestWriter, ResponseBatch};
use qp_wire::limits::{DATAGRAM_LEN_MAX, REQUEST_COUNT_MAX};
use qp_wire::{Opcode, RawRequest, ResultCode};

/// A request that owns its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OwnedRequest {
    pub(crate) operation: u8,
    pub(crate) key: Vec<u8>,
    pub(crate) value: Vec<u8>,
}

impl OwnedRequest {
    pub(crate) fn new(operation: u8, key: &[u8], value: &[u8]) -> Self {
        Self { operation, key: key.to_vec(), value: value.to_vec() }
    }

    pub(crate) fn raw(&self) -> RawRequest<'_> {
        RawRequest { operation: self.operation, key: &self.key, value: &self.value }
    }

    /// What arrives: the value of an operation that has none stays behind (W-B-4).
    pub(crate) fn carried(&self) -> Self {
        if self.has_value() { self.clone() } else { Self { value: Vec::new(), ..self.clone() } }
    }

    /// W-B-4, as the document puts it.
    pub(crate) fn has_value(&self) -> bool {
        !matches!(self.operation & 0x7f, 0 | 1 | 5 | 6 | 7 | 12)
    }
}

/// A response that owns its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OwnedResponse {
    pub(crate) result: ResultCode,
    pub(crate) value: Option<Vec<u8>>,
}

/// The requests one by one, which are the same as some at a time.
pub(crate) fn read_requests(batch: &RequestBatch<'_>) -> Vec<OwnedRequest> {
    let owned = |request: RawRequest<'_>| OwnedRequest::new(request.operation, request.key, request.value);
    let requests: Vec<_> = batch.iter().map(owned).collect();
    for count in [1, 3, 8, requests.len(), requests.len() + 1] {
        let (mut rest, mut some) = (batch.iter(), Vec::new());
        while rest.len() > 0 {
            let (left, mut places) = (rest.len(), vec![None; count]);
            let taken = rest.take_into(&mut places, |request| Some(owned(request)));
            assert_eq!((taken, left - rest.len()), (count.min(left), count.min(left)));
            assert_eq!(places.iter().flatten().count(), taken);
            some.extend(places.into_iter().flatten());
        }
        assert_eq!(some, requests, "{count} at a time");
    }
    requests
}

pub(crate) fn read_responses(batch: &ResponseBatch<'_>) -> Vec<OwnedResponse> {
    batch
        .iter()
        .map(|response| OwnedResponse { result: response.result, value: response.value.map(<[u8]>::to_vec) })
        .collect()
}

/// The body that the crate writes for these requests.
pub(crate) fn encode_requests(requests: &[OwnedRequest]) -> Vec<u8> {
    let mut writer = RequestWriter::new();
    for request in requests {
        writer.push(&request.raw()).expect("tests stay below the capacity");
    }
    let mut bytes = vec![0xee; writer.encoded_len()];
    assert_eq!(writer.encode(&mut bytes), Some(bytes.len()));
    bytes
}

/// The bytes of a picture: hexadecimal digits with blanks.
pub(crate) fn hex(picture: &str) -> Vec<u8> {
    let digits: String = picture.split_whitespace().collect();
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).expect("a digit")).collect()
}

/// A column: whether it may fold, and its entries as numbers.
fn column<T: PartialEq + Copy>(entries: &[T], fold: bool, default: T) -> (bool, T, &[T]) {
    let uniform = entries.iter().all(|entry| *entry == entries[0]);
    if fold && uniform { (true, entries.first().copied().unwrap_or(default), &[]) } else { (false, default, entries) }
}

/// A request body in which the columns fold that can and that `fold` allows.
pub(crate) fn reference_requests(requests: &[OwnedRequest], fold: [bool; 3]) -> Vec<u8> {
    let operations: Vec<u8> = requests.iter().map(|request| request.operation).collect();
    let key_lens: Vec<u8> = requests.iter().map(|request| request.key.len() as u8).collect();
    let with_value: Vec<_> = requests.iter().filter(|request| request.has_value()).collect();
    let value_lens: Vec<u16> = with_value.iter().map(|request| request.value.len() as u16).collect();

    let (operations_fold, operation, operations) = column(&operations, fold[0], 0);
    let (key_lens_fold, key_len, key_lens) = column(&key_lens, fold[1], 0);
    let (value_lens_fold, value_len, value_lens) = column(&value_lens, fold[2], 0);
    let flags = u8::from(operations_fold) | u8::from(key_lens_fold) << 1 | u8::from(value_lens_fold) << 2;

    let mut bytes = (requests.len() as u16).to_le_bytes().to_vec();
    bytes.extend([flags, operation, key_len, 0]);
    bytes.extend(value_len.to_le_bytes());
    bytes.extend(operations);
    bytes.extend(key_lens);
    bytes.extend(value_lens.iter().flat_map(|len| len.to_le_bytes()));
    bytes.extend(requests.iter().flat_map(|request| &request.key));
    bytes.extend(with_value.iter().flat_map(|request| &request.value));
    bytes
}

/// A response body in which the columns fold that can and that `fold` allows.
pub(crate) fn reference_responses(responses: &[OwnedResponse], fold: [bool; 2]) -> Vec<u8> {
    let results: Vec<u8> = responses
        .iter()
        .map(|response| response.result.to_wire() | if response.value.is_some() { 0x80 } else { 0 })
        .collect();
    let values: Vec<&Vec<u8>> = responses.iter().filter_map(|response| response.value.as_ref()).collect();
    let value_lens: Vec<u16> = values.iter().map(|value| value.len() as u16).collect();

    let (results_fold, result, results) = column(&results, fold[0], 0);
    let (value_lens_fold, value_len, value_lens) = column(&value_lens, fold[1], 0);

    let mut bytes = (responses.len() as u16).to_le_bytes().to_vec();
    bytes.extend([u8::from(results_fold) | u8::from(value_lens_fold) << 1, result]);
    bytes.extend(value_len.to_le_bytes());
    bytes.extend([0, 0]);
    bytes.extend(results);
    bytes.extend(value_lens.iter().flat_map(|len| len.to_le_bytes()));
    bytes.extend(values.into_iter().flatten());
    bytes
}

/// Any operation byte, known ones more often.
fn any_operation() -> impl Strategy<Value = u8> {
    prop_oneof![
        4 => proptest::sample::select(Opcode::ALL.to_vec()).prop_map(Opcode::to_wire),
        1 => any::<u8>(),
    ]
}

fn any_len(short: usize, long: usize) -> impl Strategy<Value = usize> {
    prop_oneof![4 => 0..=short, 1 => 0..=long]
}

fn bytes(len: usize) -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(any::<u8>(), len)
}

prop_compose! {
    fn any_request()(operation in any_operation(), key_len in any_len(20, 255), value_len in any_len(20, 400))(
        key in bytes(key_len), value in bytes(value_len), operation in Just(operation),
    ) -> OwnedRequest {
        OwnedRequest { operation, key, value }
    }
}

/// Requests of which each column may be uniform, short enough for one writer and for one frame.
pub(crate) fn any_requests() -> impl Strategy<Value = Vec<OwnedRequest>> {
    let mixed = proptest::collection::vec(any_request(), 1..=20);
    (mixed, any::<[bool; 3]>()).prop_map(|(mut requests, alike)| {
        let first = requests[0].clone();
        for request in &mut requests {
            if alike[0] {
                request.operation = first.operation;
            }
            if alike[1] {
                request.key.resize(first.key.len(), 7);
            }
            if alike[2] {
                request.value.resize(first.value.len(), 9);
            }
        }
        // All of them together may be more than a datagram takes, with its header and the longest pad of these tests.
        let len = |request: &OwnedRequest| 4 + request.key.len() + request.value.len();
        while requests.iter().map(len).sum::<usize>() > DATAGRAM_LEN_MAX - 200 {
            requests.pop();
        }
        requests
    })
}

/// As many requests as a batch may have, with tiny operands.
pub(crate) fn many_requests() -> impl Strategy<Value = Vec<OwnedRequest>> {
    let request = (any_operation(), bytes(3), bytes(3), 0..=3usize, 0..=3usize).prop_map(
        |(operation, mut key, mut value, key_len, value_len)| {
            key.truncate(key_len);
            value.truncate(value_len);
            OwnedRequest { operation, key, value }
        },
    );
    proptest::collection::vec(request, REQUEST_COUNT_MAX - 2..=REQUEST_COUNT_MAX)
}

fn any_result() -> impl Strategy<Value = ResultCode> {
    prop_oneof![2 => Just(ResultCode::Success), 1 => proptest::sample::select(ResultCode::ALL.to_vec())]
}

/// Responses of which each column may be uniform.
pub(crate) fn any_responses() -> impl Strategy<Value = Vec<OwnedResponse>> {
    let value = any_len(20, 400).prop_flat_map(bytes);
    let response =
        (any_result(), proptest::option::of(value)).prop_map(|(result, value)| OwnedResponse { result, value });
    (proptest::collection::vec(response, 1..=20), any::<[bool; 2]>()).prop_map(|(mut responses, alike)| {
        let first = responses[0].clone();
        for response in &mut responses {
            if alike[0] {
                response.result = first.result;
                response.value = first.value.as_ref().map(|_| response.value.take().unwrap_or_default());
            }
            if let (true, Some(value)) = (alike[1], &mut response.value) {
                value.resize(first.value.as_ref().map_or(8, Vec::len), 9);
            }
        }
        responses
    })
}
