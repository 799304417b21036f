//! A connection to a store, with batches under way.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use super::Tally;
use super::protocol::{Event, Protocol};

/// Bytes that are received at once.
const READ_LEN: usize = 64 << 10;

/// How long a store may be silent.
const PATIENCE: Duration = Duration::from_secs(20);

/// A request as it was drawn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Draw {
    pub(super) is_get: bool,
    pub(super) index: u32,
}

/// The key of an index, and its value too: 8 bytes that both protocols take for one word.
pub(super) fn word_of(index: u32) -> [u8; 8] {
    const DIGITS: [u8; 16] = *b"0123456789abcdef";
    std::array::from_fn(|digit| DIGITS[(index >> (28 - 4 * digit) & 15) as usize])
}

/// One connection. Answers come in the order of the batches.
#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    protocol: Protocol,
    leaving: Vec<u8>,
    arrived: Box<[u8]>,
    /// Bytes of `arrived` that are there and not taken.
    filled: usize,
    batches: VecDeque<Batch>,
    /// Keys that were asked for and not answered yet, over all batches.
    wanted: VecDeque<u32>,
}

/// What is left of a batch.
#[derive(Clone, Copy, Debug)]
struct Batch {
    asked: Instant,
    count: u64,
    gets: usize,
    /// Whether the answer to its GETs has not ended.
    is_reading: bool,
    /// Answers to its SETs that are still to come.
    writes: usize,
}

impl Connection {
    pub(super) fn open(address: SocketAddr, protocol: Protocol) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self {
            stream,
            protocol,
            leaving: Vec::new(),
            arrived: vec![0; READ_LEN].into_boxed_slice(),
            filled: 0,
            batches: VecDeque::new(),
            wanted: VecDeque::new(),
        })
    }

    /// Batches that have not ended.
    pub(super) fn outstanding(&self) -> usize {
        self.batches.len()
    }

    /// Writes a batch, to be sent: its GETs as one command, its SETs as the protocol can.
    pub(super) fn ask(&mut self, draws: &[Draw]) {
        let gets = draws.iter().filter(|draw| draw.is_get).map(|draw| draw.index);
        let sets = draws.iter().filter(|draw| !draw.is_get).map(|draw| draw.index);
        let before = self.wanted.len();
        self.wanted.extend(gets.clone());
        let get_count = self.wanted.len() - before;
        self.protocol.write_gets(get_count, gets, &mut self.leaving);
        let writes = self.protocol.write_sets(draws.len() - get_count, sets, &mut self.leaving);
        self.batches.push_back(Batch {
            asked: Instant::now(),
            count: draws.len() as u64,
            gets: get_count,
            is_reading: get_count > 0,
            writes,
        });
    }

    /// Sends what was written.
    pub(super) fn send(&mut self) -> io::Result<()> {
        if !self.leaving.is_empty() {
            self.stream.write_all(&self.leaving)?;
            self.leaving.clear();
        }
        Ok(())
    }

    /// Waits for bytes, and takes the answers that they complete.
    pub(super) fn receive(&mut self, tally: &mut Tally) -> io::Result<()> {
        let received = self.stream.read(&mut self.arrived[self.filled..])?;
        if received == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut arrived = std::mem::take(&mut self.arrived);
        let filled = self.filled + received;
        let mut rest = &arrived[..filled];
        while let Some((event, behind)) = self.protocol.next_event(rest) {
            self.take(event, tally);
            rest = behind;
        }
        // What is left is less than a piece of an answer.
        self.filled = rest.len();
        arrived.copy_within(filled - self.filled..filled, 0);
        self.arrived = arrived;
        Ok(())
    }

    fn take(&mut self, event: Event<'_>, tally: &mut Tally) {
        let Some(batch) = self.batches.front_mut() else {
            tally.errors += 1;
            return;
        };
        match event {
            Event::Begin => {}
            Event::Value(value) if batch.gets > 0 => {
                batch.gets -= 1;
                let wanted = self.wanted.pop_front().map(word_of);
                tally.errors += u64::from(wanted.is_none_or(|wanted| wanted != *value));
                batch.is_reading = batch.gets > 0 || self.protocol.ends_values();
            }
            Event::Missing if batch.gets > 0 => {
                batch.gets -= 1;
                self.wanted.pop_front();
                tally.misses += 1;
                batch.is_reading = batch.gets > 0;
            }
            Event::EndOfValues => {
                // Keys that are missing are left out of the answer.
                tally.misses += batch.gets as u64;
                self.wanted.drain(..batch.gets.min(self.wanted.len()));
                (batch.gets, batch.is_reading) = (0, false);
            }
            Event::Stored if batch.writes > 0 => batch.writes -= 1,
            Event::Refused if batch.writes > 0 => {
                batch.writes -= 1;
                tally.errors += 1;
            }
            Event::Value(_) | Event::Missing | Event::Stored | Event::Refused => tally.errors += 1,
        }
        if !batch.is_reading && batch.writes == 0 {
            let ns = u64::try_from(batch.asked.elapsed().as_nanos()).unwrap_or(u64::MAX);
            tally.latency_ns.saturating_record_n(ns.max(1), batch.count);
            tally.answered += batch.count;
            self.batches.pop_front();
        }
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
