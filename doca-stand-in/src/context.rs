//! A DMA context: what it has in flight, and how that ends.

use doca_sys::{
    ACCESS_LOCAL_READ_WRITE, ACCESS_PCI_READ_ONLY, ACCESS_PCI_READ_WRITE, CTX_IDLE, CTX_RUNNING, CTX_STOPPING, Data,
    MemcpyCallback, RawError, StateCallback,
};

use crate::faults::Random;
use crate::map::Buffer;
use crate::transfer::{Place, Transfer};
use crate::world::World;

/// `doca_dma` and `doca_ctx`, which are one.
#[derive(Debug)]
pub struct Context {
    /// `CTX_…`.
    pub state: u32,
    /// Its work queue or progress engine.
    pub queue: Option<usize>,
    /// Devices added, generation 1.
    pub device_count: usize,
    /// Most copies in flight.
    pub depth: usize,
    /// Tasks that exist, generation 2.
    pub task_count: usize,
    /// The word that callbacks get.
    pub data: Data,
    /// Told of copies that ended well.
    pub done: Option<MemcpyCallback>,
    /// Told of the others.
    pub failed: Option<MemcpyCallback>,
    /// Told of states.
    pub changed: Option<StateCallback>,
    flights: Vec<Flight>,
    random: Random,
}

// SAFETY: the words and functions are the caller's, who has the context on one thread, and are handed back to it there.
unsafe impl Send for Context {}

/// A copy that has ended, in a caller's terms.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// As submitted.
    pub token: u64,
    /// How.
    pub status: RawError,
}

/// Why a copy is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// As many as there can be are in flight.
    Full,
    /// The context does not run.
    BadState,
    /// Destination too short, or not reset.
    Invalid,
}

#[derive(Debug)]
struct Flight {
    token: u64,
    src: usize,
    dst: usize,
    len: usize,
    transfer: Option<Transfer>,
    status: RawError,
    is_lost: bool,
}

impl Context {
    pub(crate) fn new(random: Random) -> Self {
        Self {
            state: CTX_IDLE,
            queue: None,
            device_count: 0,
            depth: 0,
            task_count: 0,
            data: Data { u64: 0 },
            done: None,
            failed: None,
            changed: None,
            flights: Vec::new(),
            random,
        }
    }

    /// How many copies it has.
    pub fn in_flight(&self) -> usize {
        self.flights.len()
    }

    /// Takes no more copies; those that it has fail.
    pub fn stop(&mut self) {
        self.state = if self.flights.is_empty() { CTX_IDLE } else { CTX_STOPPING };
        for flight in &mut self.flights {
            flight.is_lost = false;
            if flight.status == RawError::SUCCESS {
                flight.status = RawError::IO_FAILED;
            }
        }
    }
}

impl World {
    /// Begins the copy of `src`'s data to the end of `dst`'s.
    ///
    /// # Errors
    /// Why it is not taken.
    pub fn submit(&mut self, context: *const doca_sys::Ctx, src: usize, dst: usize, token: u64) -> Result<(), Refused> {
        let faults = self.faults;
        let ctx = self.contexts.get(context);
        if ctx.state != CTX_RUNNING {
            return Err(Refused::BadState);
        }
        if ctx.flights.len() >= ctx.depth || ctx.random.happens(faults.full) {
            return Err(Refused::Full);
        }
        let mut random = ctx.random.clone();
        let (from, to) = (*self.buffers.get(handle(src)), *self.buffers.get(handle(dst)));
        // Data is appended. A destination that was not reset after its last copy has no room where the caller thinks.
        if from.is_in_flight || to.is_in_flight || to.data_len != 0 || from.data_len > to.head + to.len - to.data {
            return Err(Refused::Invalid);
        }
        let len = from.data_len;
        let (status, is_fatal) = if len as u64 > faults.len_max || random.happens(faults.death) {
            // Seen on hardware: a copy that is too long is taken, and takes everything with it.
            (RawError::IO_FAILED, true)
        } else if !self.may_copy(&from, &to) || random.happens(faults.fail) {
            (RawError::IO_FAILED, false)
        } else {
            (RawError::SUCCESS, false)
        };
        let start = |world: &mut Self, random: &mut Random| {
            let (from, to) = (world.place_of(&from), world.place_of(&to));
            Transfer::start(from, to, len, &faults, random)
        };
        let is_cut = status != RawError::SUCCESS && random.below(2) == 0;
        let transfer = (status == RawError::SUCCESS || (is_cut && !is_fatal && self.may_copy(&from, &to)))
            .then(|| start(self, &mut random));
        let is_lost = status == RawError::SUCCESS && random.happens(faults.lose);
        for buffer in [src, dst] {
            self.buffers.get(handle(buffer)).is_in_flight = true;
        }
        let ctx = self.contexts.get(context);
        ctx.random = random;
        ctx.flights.push(Flight { token, src, dst, len, transfer, status, is_lost });
        if is_fatal {
            ctx.stop();
        }
        Ok(())
    }

    /// Goes on with a context's copies, and takes out one that has ended, any of them.
    pub fn progress(&mut self, context: *const doca_sys::Ctx) -> Option<Ended> {
        self.advance_wire();
        let faults = self.faults;
        let ctx = self.contexts.get(context);
        let is_stopping = ctx.state == CTX_STOPPING;
        let mut random = ctx.random.clone();
        let is_ended = |flight: &Flight, random: &mut Random| {
            let mut is_early = |transfer: &Transfer| transfer.is_to_peer() && random.happens(faults.early);
            let is_there = flight.transfer.as_ref().is_none_or(|transfer| transfer.is_done() || is_early(transfer));
            !flight.is_lost && (is_stopping || flight.status != RawError::SUCCESS || is_there)
        };
        let mut ended = Vec::new();
        for (index, flight) in ctx.flights.iter_mut().enumerate() {
            if let Some(transfer) = flight.transfer.as_mut().filter(|transfer| !transfer.is_done()) {
                transfer.advance(&mut random);
            }
            if is_ended(flight, &mut random) {
                ended.push(index);
            }
        }
        // Without faults, the first one first.
        let is_in_order = faults.tear == 0 && faults.late == 0;
        let chosen = if is_in_order { 0 } else { random.below(ended.len() as u64) as usize };
        let flight = ended.get(chosen).map(|index| ctx.flights.remove(*index));
        ctx.random = random;
        let flight = flight?;
        self.end(context, &flight);
        Some(Ended { token: flight.token, status: flight.status })
    }

    fn end(&mut self, context: *const doca_sys::Ctx, flight: &Flight) {
        let faults = self.faults;
        for buffer in [flight.src, flight.dst] {
            self.buffers.get(handle(buffer)).is_in_flight = false;
        }
        if flight.status == RawError::SUCCESS {
            self.buffers.get(handle(flight.dst)).data_len += flight.len;
        }
        let random = &mut self.contexts.get(context).random;
        let Some(mut transfer) = flight.transfer.clone().filter(Transfer::is_to_peer) else { return };
        let is_repeated = random.happens(faults.repeat);
        if transfer.is_done() && !is_repeated {
            return;
        }
        transfer.detach();
        let again = is_repeated.then(|| transfer.again(random));
        self.wire.extend(again.into_iter().chain((!transfer.is_done()).then_some(transfer)));
    }

    /// Late bytes become visible whoever asks for progress.
    fn advance_wire(&mut self) {
        if self.wire.is_empty() {
            return;
        }
        let index = self.random.below(self.wire.len() as u64) as usize;
        self.wire[index].advance(&mut self.random);
        if self.wire[index].is_done() {
            self.wire.swap_remove(index);
        }
    }

    /// Whether both maps allow it and their processes live.
    fn may_copy(&mut self, from: &Buffer, to: &Buffer) -> bool {
        let (readable, writable) = (ACCESS_PCI_READ_ONLY | ACCESS_PCI_READ_WRITE, ACCESS_PCI_READ_WRITE);
        let mut is_reachable = |map: usize| {
            let map = self.maps.get(handle(map));
            map.is_started && map.foreign.as_ref().is_none_or(|foreign| foreign.is_alive())
        };
        if !is_reachable(from.map) || !is_reachable(to.map) {
            return false;
        }
        let (source, target) = (self.maps.get(handle(from.map)).clone(), self.maps.get(handle(to.map)));
        let is_read = !source.is_imported() || source.access & readable != 0;
        is_read && target.access & if target.is_imported() { writable } else { ACCESS_LOCAL_READ_WRITE } != 0
    }

    fn place_of(&mut self, buffer: &Buffer) -> Place {
        let map = self.maps.get(handle(buffer.map));
        let address = map.foreign.as_ref().map_or(buffer.data, |foreign| foreign.base + (buffer.data - map.base));
        Place { address, foreign: map.foreign.clone() }
    }
}

/// A handle from its number.
pub(crate) fn handle(number: usize) -> *const doca_sys::Buf {
    std::ptr::without_provenance(number)
}
