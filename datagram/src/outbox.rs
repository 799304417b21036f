//! Datagrams that go out.

#![expect(unsafe_code, reason = "no safe crate offers sendmmsg with trains")]

use std::io::{self, IoSlice};
use std::iter::repeat_n;
use std::mem;
use std::os::fd::{AsFd, AsRawFd};
use std::ptr;

use crate::address::RawAddress;
use crate::control::{CONTROL_LEN, Control};

/// Datagrams that one call sends at most.
pub const OUTBOX_DATAGRAM_COUNT_MAX: usize = 32;

/// Bytes of a train at most: what a message of UDP has room for, less the headers that the kernel adds.
const TRAIN_LEN_MAX: usize = 65_000;

type Slices<'a> = heapless::Vec<IoSlice<'a>, OUTBOX_DATAGRAM_COUNT_MAX>;
type Trains<'a> = heapless::Vec<Train<'a>, OUTBOX_DATAGRAM_COUNT_MAX>;

/// Sends through one socket, in trains until the kernel refuses one.
#[derive(Debug)]
pub struct Outbox {
    makes_trains: bool,
}

/// Datagrams to one peer that follow each other. All have one length; only the last may be shorter.
#[derive(Clone, Copy, Debug)]
struct Train<'a> {
    destination: &'a RawAddress,
    count: usize,
    len: usize,
    segment_len: usize,
    is_complete: bool,
}

impl<'a> Train<'a> {
    fn new(payload: &[u8], destination: &'a RawAddress) -> Self {
        let segment_len = payload.len();
        Self { destination, count: 1, len: segment_len, segment_len, is_complete: segment_len == 0 }
    }

    /// Takes one more datagram, if it may follow.
    fn takes(&mut self, payload: &[u8], destination: &RawAddress) -> bool {
        let len = payload.len();
        let follows = !self.is_complete
            && (1..=self.segment_len).contains(&len)
            && self.len + len <= TRAIN_LEN_MAX
            && self.destination == destination;
        if follows {
            self.count += 1;
            self.len += len;
            self.is_complete = len < self.segment_len;
        }
        follows
    }
}

impl Default for Outbox {
    fn default() -> Self {
        Self::new()
    }
}

impl Outbox {
    /// For a socket of which nothing is known yet.
    pub const fn new() -> Self {
        Self { makes_trains: true }
    }

    /// Sends datagrams, each to its address, from the front, at most [`OUTBOX_DATAGRAM_COUNT_MAX`]. Returns how many went
    /// out.
    ///
    /// # Errors
    /// What kept the first one from going out, or an error that was waiting at the socket, and no longer is.
    pub fn send<'a>(
        &mut self,
        socket: impl AsFd,
        datagrams: impl Iterator<Item = (&'a [u8], &'a RawAddress)>,
    ) -> io::Result<usize> {
        let (mut slices, mut trains) = (Slices::new(), Trains::new());
        for (payload, destination) in datagrams.take(OUTBOX_DATAGRAM_COUNT_MAX) {
            let is_taken =
                self.makes_trains && trains.last_mut().is_some_and(|train| train.takes(payload, destination));
            if !is_taken {
                // Both have room for as many as are taken.
                let _ = trains.push(Train::new(payload, destination));
            }
            let _ = slices.push(IoSlice::new(payload));
        }
        let sent = send_trains(&socket, &slices, &trains);
        match sent {
            Err(error) if trains.first().is_some_and(|train| train.count > 1) && is_about_trains(&error) => {
                self.makes_trains = false;
                let destinations = trains.iter().flat_map(|train| repeat_n(train.destination, train.count));
                let alone: Trains<'_> = slices
                    .iter()
                    .zip(destinations)
                    .map(|(slice, destination)| Train::new(slice, destination))
                    .collect();
                send_trains(&socket, &slices, &alone)
            }
            sent => sent,
        }
    }
}

/// Whether the kernel may take the same datagrams one by one: it knows no trains, or the path is too narrow for theirs.
fn is_about_trains(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EIO | libc::EOPNOTSUPP | libc::EMSGSIZE))
}

/// Returns how many datagrams went out.
fn send_trains(socket: &impl AsFd, slices: &[IoSlice<'_>], trains: &[Train<'_>]) -> io::Result<usize> {
    let mut controls = [Control::EMPTY; OUTBOX_DATAGRAM_COUNT_MAX];
    // SAFETY: a message is made of integers and raw pointers, for which zero is a valid value. A literal would not do: some
    // C libraries have padding fields that cannot be named.
    let mut heads: [libc::mmsghdr; OUTBOX_DATAGRAM_COUNT_MAX] = unsafe { mem::zeroed() };
    let mut rest = slices;
    for ((head, control), train) in heads.iter_mut().zip(&mut controls).zip(trains) {
        let (own, others) = rest.split_at(train.count);
        rest = others;
        head.msg_hdr.msg_name = ptr::from_ref(train.destination).cast_mut().cast();
        head.msg_hdr.msg_namelen = train.destination.encoded_len() as libc::socklen_t;
        head.msg_hdr.msg_iov = own.as_ptr().cast_mut().cast();
        head.msg_hdr.msg_iovlen = own.len();
        if train.count > 1 {
            // At most a UDP message's length.
            *control = Control::segments(train.segment_len as u16);
            head.msg_hdr.msg_control = ptr::from_mut(control).cast();
            head.msg_hdr.msg_controllen = CONTROL_LEN;
        }
    }
    // SAFETY: `heads` has at least `trains.len()` elements, all initialised. Each of the first `trains.len()` points to an
    // address of at least `encoded_len` bytes, to as many `IoSlice`s as it says, which have the layout of an `iovec` by
    // their documentation, and perhaps to one control message of `CONTROL_LEN` bytes; these and the payloads stay borrowed
    // until after the call. The kernel writes to `msg_len` only, so that pointers made from shared references are never
    // written through.
    let sent =
        unsafe { libc::sendmmsg(socket.as_fd().as_raw_fd(), heads.as_mut_ptr(), trains.len() as libc::c_uint, 0) };
    let sent = usize::try_from(sent).map_err(|_| io::Error::last_os_error())?;
    Ok(trains.iter().take(sent).map(|train| train.count).sum())
}
