//! Datagrams that have arrived.

#![expect(unsafe_code, reason = "no safe crate offers recvmmsg with the lengths of trains")]

use std::io::{self, IoSliceMut};
use std::mem;
use std::os::fd::{AsFd, AsRawFd};
use std::ptr;

use crate::address::{ADDRESS_LEN_MAX, RawAddress};
use crate::control::{CONTROL_LEN, Control};

/// Messages, each a datagram or a train of them, that one system call receives at most.
pub const INBOX_MESSAGE_COUNT: usize = 32;

/// Longest message of UDP, in bytes.
const MESSAGE_LEN_MAX: usize = 64 << 10;

/// Bytes from one buffer to the next. Not a power of two, so that the beginnings of all of them, which are all that short
/// messages use, fit the first-level cache side by side.
const BUFFER_STRIDE: usize = MESSAGE_LEN_MAX + 17 * 64;

/// Memory for what one system call receives, from which datagrams are taken one by one. It is allocated once; what no
/// message has reached takes no memory.
#[derive(Debug)]
pub struct Inbox {
    memory: Box<[u8]>,
    messages: Box<[Message; INBOX_MESSAGE_COUNT]>,
    /// How many messages there are, and the next datagram: its message and its beginning in that.
    count: usize,
    index: usize,
    offset: usize,
}

/// What the kernel tells of a message beside its bytes.
#[derive(Clone, Copy, Debug, Default)]
struct Message {
    source: RawAddress,
    len: usize,
    /// Length of its datagrams, of which the last may be shorter; at least 1.
    segment_len: usize,
}

impl Default for Inbox {
    fn default() -> Self {
        Self::new()
    }
}

impl Inbox {
    /// An empty one.
    pub fn new() -> Self {
        Self {
            memory: vec![0; INBOX_MESSAGE_COUNT * BUFFER_STRIDE].into_boxed_slice(),
            messages: Box::default(),
            count: 0,
            index: 0,
            offset: 0,
        }
    }

    /// Lets the kernel put datagrams of one sender together for this socket. `false` when it cannot: then each comes
    /// alone.
    pub fn accept_trains(socket: impl AsFd) -> bool {
        set_option(socket, libc::SOL_UDP, libc::UDP_GRO, 1).is_ok()
    }

    /// Lets each look at an empty socket poll the queue of the network card that its datagrams come through, which the kernel
    /// would otherwise do when the card interrupts (`SO_BUSY_POLL`, socket(7)). A socket that does not block polls once; one
    /// that does, for so many microseconds. 0 is off.
    ///
    /// # Errors
    /// `PermissionDenied` for more than `net.core.busy_read` without `CAP_NET_ADMIN`.
    pub fn poll_device(socket: impl AsFd, us: u16) -> io::Result<()> {
        set_option(socket, libc::SOL_SOCKET, libc::SO_BUSY_POLL, us.into())
    }

    /// Whether every datagram was taken.
    pub fn is_empty(&self) -> bool {
        self.index == self.count
    }

    /// The next datagram and its sender.
    #[expect(clippy::should_implement_trait, reason = "what it returns borrows the inbox")]
    #[inline]
    pub fn next(&mut self) -> Option<(&RawAddress, &[u8])> {
        if self.is_empty() {
            return None;
        }
        let (index, begin) = (self.index, self.offset);
        let message = &self.messages[index];
        let end = message.len.min(begin + message.segment_len);
        if end == message.len {
            (self.index, self.offset) = (index + 1, 0);
        } else {
            self.offset = end;
        }
        let from = index * BUFFER_STRIDE;
        Some((&message.source, &self.memory[from + begin..from + end]))
    }

    /// Receives what is there with one system call, and forgets what was not taken. Returns how many messages there were,
    /// up to [`INBOX_MESSAGE_COUNT`]: fewer mean that nothing is left. The socket must not block.
    ///
    /// # Errors
    /// `WouldBlock` when there was none. Anything else is an error that was waiting at the socket, and no longer is.
    pub fn receive(&mut self, socket: impl AsFd) -> io::Result<usize> {
        (self.count, self.index, self.offset) = (0, 0, 0);
        let mut controls = [Control::EMPTY; INBOX_MESSAGE_COUNT];
        let buffers = self.memory.chunks_exact_mut(BUFFER_STRIDE).map(|buffer| &mut buffer[..MESSAGE_LEN_MAX]);
        let mut slices: heapless::Vec<IoSliceMut<'_>, INBOX_MESSAGE_COUNT> = buffers.map(IoSliceMut::new).collect();
        // SAFETY: a message is made of integers and raw pointers, for which zero is a valid value.
        let mut heads: [libc::mmsghdr; INBOX_MESSAGE_COUNT] = unsafe { mem::zeroed() };
        for (((head, slice), control), message) in
            heads.iter_mut().zip(&mut slices).zip(&mut controls).zip(self.messages.iter_mut())
        {
            head.msg_hdr.msg_name = ptr::from_mut(&mut message.source).cast();
            head.msg_hdr.msg_namelen = ADDRESS_LEN_MAX as libc::socklen_t;
            head.msg_hdr.msg_iov = ptr::from_mut(slice).cast();
            head.msg_hdr.msg_iovlen = 1;
            head.msg_hdr.msg_control = ptr::from_mut(control).cast();
            head.msg_hdr.msg_controllen = CONTROL_LEN;
        }
        // SAFETY: `heads` has `slices.len()` initialised elements. Each points to one address of `ADDRESS_LEN_MAX` bytes, to
        // one control message of `CONTROL_LEN` bytes and to one `IoSliceMut`, which has the layout of an `iovec` by its
        // documentation; all these are borrowed exclusively until after the call. Any bytes that the kernel writes are
        // valid in them. A null timeout is allowed.
        let received = unsafe {
            libc::recvmmsg(
                socket.as_fd().as_raw_fd(),
                heads.as_mut_ptr(),
                slices.len() as libc::c_uint,
                0,
                ptr::null_mut(),
            )
        };
        self.count = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
        for ((message, head), control) in self.messages.iter_mut().zip(&heads).zip(&controls).take(self.count) {
            message.len = head.msg_len as usize;
            message.segment_len = control.segment_len().unwrap_or(message.len).max(1);
        }
        Ok(self.count)
    }
}

fn set_option(socket: impl AsFd, level: libc::c_int, name: libc::c_int, value: libc::c_int) -> io::Result<()> {
    // SAFETY: the value is an `int`, as both options in this file want it, and outlives the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            level,
            name,
            ptr::from_ref(&value).cast(),
            size_of_val(&value) as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
