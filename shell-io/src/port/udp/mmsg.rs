//! Many datagrams in one system call: recvmmsg(2) and sendmmsg(2).
//!
//! Crossing into the kernel costs more than what the kernel then does for one small datagram, so a burst crosses once.
//! Each function builds the kernel's array of messages anew from borrowed buffers: no pointer outlives a call.

#![expect(unsafe_code, reason = "no safe crate offers recvmmsg")]

use std::io::{self, IoSlice, IoSliceMut};
use std::mem;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::ptr;

use kv_core::port::BURST_COUNT_MAX;

use super::address::{ADDRESS_LEN_MAX, RawAddress};

/// What the kernel tells of each received datagram beside its bytes.
#[derive(Debug, Default)]
pub(super) struct Heads {
    /// Lengths in bytes. A datagram longer than its buffer has the buffer's length.
    pub(super) lens: [usize; BURST_COUNT_MAX],
    /// Senders.
    pub(super) sources: [RawAddress; BURST_COUNT_MAX],
}

type Messages = [libc::mmsghdr; BURST_COUNT_MAX];

/// Receives one datagram into each buffer, as long as there are any, and at most [`BURST_COUNT_MAX`].
///
/// Returns how many came; that many entries of `heads` are new. The socket must not block.
///
/// # Errors
/// `WouldBlock` when there was none. Anything else is an error that was waiting at the socket, and no longer is.
pub(super) fn receive<'a>(
    socket: &UdpSocket,
    bufs: impl Iterator<Item = &'a mut [u8]>,
    heads: &mut Heads,
) -> io::Result<usize> {
    let mut slices: heapless::Vec<IoSliceMut<'a>, BURST_COUNT_MAX> =
        bufs.take(BURST_COUNT_MAX).map(IoSliceMut::new).collect();
    let mut messages = empty_messages();
    for ((message, slice), source) in messages.iter_mut().zip(&mut slices).zip(&mut heads.sources) {
        message.msg_hdr.msg_name = ptr::from_mut(source).cast();
        message.msg_hdr.msg_namelen = ADDRESS_LEN_MAX as libc::socklen_t;
        message.msg_hdr.msg_iov = ptr::from_mut(slice).cast();
        message.msg_hdr.msg_iovlen = 1;
    }
    // SAFETY: `messages` has at least `slices.len()` elements, all initialised. Each of the first `slices.len()` points
    // to one address of `ADDRESS_LEN_MAX` bytes and to one `IoSliceMut`, which has the layout of an `iovec` by its
    // documentation; these borrow `heads`, `slices` and the buffers exclusively until after the call. Any bytes that
    // the kernel writes are valid in them. A null timeout is allowed.
    let received = unsafe {
        libc::recvmmsg(socket.as_raw_fd(), messages.as_mut_ptr(), slices.len() as libc::c_uint, 0, ptr::null_mut())
    };
    let received = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
    for (len, message) in heads.lens.iter_mut().zip(&messages).take(received) {
        *len = message.msg_len as usize;
    }
    Ok(received)
}

/// Sends datagrams, each to its address, from the front, at most [`BURST_COUNT_MAX`]. Returns how many went out.
///
/// # Errors
/// What kept the first one from going out, or an error that was waiting at the socket, and no longer is.
pub(super) fn send<'a>(
    socket: &UdpSocket,
    datagrams: impl Iterator<Item = (&'a [u8], &'a RawAddress)>,
) -> io::Result<usize> {
    let mut slices: heapless::Vec<IoSlice<'_>, BURST_COUNT_MAX> = heapless::Vec::new();
    let mut messages = empty_messages();
    for (message, (payload, destination)) in messages.iter_mut().zip(datagrams) {
        message.msg_hdr.msg_name = ptr::from_ref(destination).cast_mut().cast();
        message.msg_hdr.msg_namelen = destination.encoded_len() as libc::socklen_t;
        message.msg_hdr.msg_iovlen = 1;
        if slices.push(IoSlice::new(payload)).is_err() {
            break;
        }
    }
    for (message, slice) in messages.iter_mut().zip(&slices) {
        message.msg_hdr.msg_iov = ptr::from_ref(slice).cast_mut().cast();
    }
    // SAFETY: `messages` has at least `slices.len()` elements, all initialised. Each of the first `slices.len()` points
    // to an address of at least `encoded_len` bytes and to one `IoSlice`, which has the layout of an `iovec` by its
    // documentation; these and the payloads stay borrowed until after the call. The kernel writes to `msg_len` only, so
    // that pointers made from shared references are never written through.
    let sent = unsafe { libc::sendmmsg(socket.as_raw_fd(), messages.as_mut_ptr(), slices.len() as libc::c_uint, 0) };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

fn empty_messages() -> Messages {
    // SAFETY: a message is made of integers and raw pointers, for which zero is a valid value. A literal would not do:
    // some C libraries have padding fields that cannot be named.
    unsafe { mem::zeroed() }
}
