//! Frames from a file, again and again, as fast as they are taken: what a core can do when no network limits it.
//!
//! A capture file is read when the side starts. Its first frames may be meant to come once, to fill a store; the others
//! come in turn for ever. Each is copied into a free buffer, as a network card would; responses are forgotten. When all
//! buffers are taken no frame comes, so none is lost. What fills the store comes again, all of it, until each of its frames
//! was answered: while the other side is away none is.

use std::fmt;
use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use kv_core::port::{Burst, DropCounts, Holds, RawFrame, RawPort};
use pcap_file::pcap::PcapReader;
use pcap_file::{DataLink, PcapError};
use qp_wire::net::{Datagram, HEADERS_LEN, MacAddr};

use crate::pool::{Pool, Pooled};

/// Frames of one core, from a capture file.
#[derive(Debug, Default)]
pub struct ReplayFrames {
    bytes: Vec<u8>,
    /// Where each frame ends.
    ends: Vec<usize>,
    /// How many of them come once.
    once: usize,
}

/// Why frames cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayOpenError {
    /// The file cannot be read.
    #[error("port.frames = \"{}\": {cause}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// It is no capture of Ethernet frames.
    #[error("port.frames = \"{}\": expected a capture file (pcap) of Ethernet frames: {cause}", path.display())]
    Format {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// There is nothing to replay for a core.
    #[error(
        "port.frames = \"{}\": after the {once} frames of port.once it has none with a UDP datagram for port {udp_port}",
        path.display()
    )]
    Nothing {
        /// Which file.
        path: PathBuf,
        /// How many frames come once.
        once: u64,
        /// The core's UDP port.
        udp_port: u16,
    },
}

/// What a capture file has for each core, and the address of the interface that it was made for.
#[derive(Debug)]
pub struct Replay {
    /// The frames of each core.
    pub of_cores: Vec<Arc<ReplayFrames>>,
    /// The destination of the first frame.
    pub mac: MacAddr,
}

impl Replay {
    /// Reads a file. Core n gets the datagrams for UDP port `first_udp_port` + n; the file's first `once` frames come
    /// only once.
    ///
    /// # Errors
    /// [`ReplayOpenError`].
    pub fn read(path: &Path, once: u64, core_count: u16, first_udp_port: u16) -> Result<Self, ReplayOpenError> {
        let failed = |cause| match cause {
            PcapError::IoError(cause) => ReplayOpenError::Read { path: path.to_owned(), cause },
            cause => ReplayOpenError::Format { path: path.to_owned(), cause: cause.to_string() },
        };
        let file = File::open(path).map_err(|cause| failed(PcapError::IoError(cause)))?;
        let mut reader = PcapReader::new(BufReader::with_capacity(1 << 20, file)).map_err(failed)?;
        if reader.header().datalink != DataLink::ETHERNET {
            let cause = format!("its frames are {:?}", reader.header().datalink);
            return Err(ReplayOpenError::Format { path: path.to_owned(), cause });
        }
        let mut of_cores: Vec<ReplayFrames> = (0..core_count).map(|_| ReplayFrames::default()).collect();
        let mut mac = None;
        let mut number = 0;
        while let Some(packet) = reader.next_packet() {
            let packet = packet.map_err(failed)?;
            if let Ok(datagram) = Datagram::decode_verified(&packet.data)
                && let Some(core) = datagram.destination_port().checked_sub(first_udp_port)
                && let Some(frames) = of_cores.get_mut(usize::from(core))
            {
                mac.get_or_insert(datagram.destination_mac());
                frames.bytes.extend_from_slice(&packet.data);
                frames.ends.push(frames.bytes.len());
                frames.once += usize::from(number < once);
            }
            number += 1;
        }
        for (frames, udp_port) in of_cores.iter().zip(first_udp_port..) {
            if frames.once == frames.ends.len() {
                return Err(ReplayOpenError::Nothing { path: path.to_owned(), once, udp_port });
            }
        }
        let of_cores = of_cores.into_iter().map(Arc::new).collect();
        Ok(Self { of_cores, mac: mac.unwrap_or(MacAddr([0; 6])) })
    }
}

impl ReplayFrames {
    fn get(&self, index: usize) -> &[u8] {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start..self.ends[index]]
    }
}

/// The port of one core.
#[derive(Debug)]
pub struct ReplayPort {
    frames: Arc<ReplayFrames>,
    next: usize,
    /// How many of the frames that come once were answered.
    answered: usize,
    buffers: usize,
    pool: Rc<Pool<Box<[u8]>>>,
}

impl ReplayPort {
    /// A port that gives these frames, with so many buffers, each with room for a payload of `payload_len_max` bytes.
    pub fn new(frames: Arc<ReplayFrames>, buffers: usize, payload_len_max: usize) -> Self {
        let len = (HEADERS_LEN + payload_len_max).next_multiple_of(arch::CACHE_LINE_LEN);
        let pool = Pool::new((0..buffers).map(|_| vec![0; len].into_boxed_slice()).collect());
        Self { frames, next: 0, answered: 0, buffers, pool }
    }

    /// Whether what comes once has all come and answers to it are awaited. If some were not given, it begins anew.
    fn awaits_answers(&mut self) -> bool {
        let once = self.frames.once;
        if self.next != once || self.answered == once {
            return false;
        }
        let is_back = self.pool.free_count() == self.buffers;
        if is_back {
            (self.next, self.answered) = (0, 0);
        }
        !is_back
    }
}

impl RawPort for ReplayPort {
    type Frame = ReplayFrame;

    fn alloc(&mut self) -> Option<ReplayFrame> {
        self.pool.take().map(|buffer| ReplayFrame { buffer, len: 0 })
    }

    fn receive(&mut self, into: &mut Burst<ReplayFrame>, _drops: &mut DropCounts) {
        while into.room() > 0
            && !self.awaits_answers()
            && let Some(mut frame) = self.alloc()
        {
            frame.fill(self.frames.get(self.next));
            self.next += 1;
            if self.next == self.frames.ends.len() {
                self.next = self.frames.once;
            }
            // There is room.
            drop(into.push(frame));
        }
    }

    fn transmit<H: Holds<ReplayFrame>>(&mut self, from: &mut Burst<H>, _drops: &mut DropCounts) {
        let answered = from.count();
        from.clear();
        // The others come only when these are done.
        self.answered = self.frames.once.min(self.answered + answered);
    }
}

/// A buffer with a frame. It goes back to its port when it is dropped.
pub struct ReplayFrame {
    buffer: Pooled<Box<[u8]>>,
    len: usize,
}

impl fmt::Debug for ReplayFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplayFrame").field("len", &self.len).finish_non_exhaustive()
    }
}

impl ReplayFrame {
    /// A longer frame is cut, and then its own headers refuse it.
    fn fill(&mut self, frame: &[u8]) {
        self.set_len(frame.len());
        let len = self.len;
        self.buf()[..len].copy_from_slice(&frame[..len]);
    }
}

impl RawFrame for ReplayFrame {
    fn bytes(&self) -> &[u8] {
        &self.buffer.get()[..self.len]
    }

    fn buf(&mut self) -> &mut [u8] {
        self.buffer.get_mut()
    }

    fn set_len(&mut self, len: usize) {
        self.len = len.min(self.buffer.get().len());
    }
}
