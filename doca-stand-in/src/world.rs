//! Everything that is alive, behind one lock.

use std::sync::{LazyLock, Mutex, PoisonError};

use doca_sys::RawError;

use crate::context::{Context, handle};
use crate::descriptor::{self, Descriptor, Wrong};
use crate::event::Event;
use crate::faults::{Faults, Random};
use crate::handle::Handles;
use crate::map::{Buffer, Inventory, Map};
use crate::memory::{Backing, Foreign};
use crate::transfer::Transfer;

/// Faults of the process from its beginning, as [`Faults::parse`] reads them.
const FAULTS_VARIABLE: &str = "DOCA_STAND_IN_FAULTS";

/// All objects.
#[derive(Debug)]
pub struct World {
    /// What goes wrong.
    pub faults: Faults,
    /// The last number that was given out.
    pub next: usize,
    /// Open devices: the index in the list.
    pub devices: Handles<usize>,
    /// Lists of devices.
    pub lists: Handles<Box<[usize]>>,
    /// Maps.
    pub maps: Handles<Map>,
    /// Inventories.
    pub inventories: Handles<Inventory>,
    /// Buffers.
    pub buffers: Handles<Buffer>,
    /// Contexts.
    pub contexts: Handles<Context>,
    /// Work queues, with their depth and their context.
    pub workqs: Handles<(u32, Option<usize>)>,
    /// Progress engines, with their contexts.
    pub pes: Handles<Vec<usize>>,
    /// Tasks.
    pub tasks: Handles<Task>,
    /// Events, by the work queue or the progress engine that they are of.
    pub events: Handles<Event>,
    /// How often an event was asked for.
    pub armed_count: usize,
    pub(crate) wire: Vec<Transfer>,
    pub(crate) random: Random,
}

/// `doca_dma_task_memcpy`.
#[derive(Clone, Copy, Debug)]
pub struct Task {
    /// Its context.
    pub context: usize,
    /// Its source.
    pub src: usize,
    /// Its destination.
    pub dst: usize,
    /// The caller's word.
    pub data: u64,
    /// Whether it is in flight.
    pub is_in_flight: bool,
}

static WORLD: LazyLock<Mutex<World>> = LazyLock::new(|| Mutex::new(World::new()));

/// Does something with all objects. Callbacks are not called inside.
pub fn with_world<T>(act: impl FnOnce(&mut World) -> T) -> T {
    act(&mut WORLD.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Sets what goes wrong from now on.
pub fn fault_text(text: &str) {
    with_world(|world| {
        world.faults = Faults::parse(text);
        world.random = Random::new(world.faults.seed);
    });
}

impl World {
    fn new() -> Self {
        let faults = Faults::parse(&std::env::var(FAULTS_VARIABLE).unwrap_or_default());
        Self {
            faults,
            next: 0,
            devices: Handles::new("device"),
            lists: Handles::new("list of devices"),
            maps: Handles::new("map"),
            inventories: Handles::new("inventory"),
            buffers: Handles::new("buffer"),
            contexts: Handles::new("context"),
            workqs: Handles::new("work queue"),
            pes: Handles::new("progress engine"),
            tasks: Handles::new("task"),
            events: Handles::new("event"),
            armed_count: 0,
            wire: Vec::new(),
            random: Random::new(faults.seed),
        }
    }

    /// How many objects are alive.
    pub fn live_count(&self) -> usize {
        let memory = self.maps.count() + self.inventories.count() + self.buffers.count() + self.lists.count();
        let work = self.contexts.count() + self.workqs.count() + self.pes.count() + self.tasks.count();
        self.devices.count() + memory + work
    }

    /// Whether something that could be had is refused this time.
    pub fn refuses(&mut self) -> bool {
        self.random.happens(self.faults.refuse)
    }

    /// Gives a queue an event, if it has none.
    ///
    /// # Errors
    /// The process has no file numbers left.
    pub fn add_event(&mut self, queue: usize) -> Result<(), RawError> {
        if !self.events.contains(queue) {
            self.events.insert_at(queue, Event::new().ok_or(RawError::OPERATING_SYSTEM)?);
        }
        Ok(())
    }

    /// Lets a queue's event come, if one of its contexts has anything in flight.
    pub fn arm(&mut self, queue: usize, contexts: &[usize]) -> RawError {
        if !self.events.contains(queue) {
            return RawError::BAD_STATE;
        }
        self.armed_count += 1;
        let is_busy = contexts.iter().any(|number| self.contexts.get(handle(*number)).in_flight() > 0);
        if is_busy && !self.random.happens(self.faults.mute) {
            self.events.get(handle(queue)).arm();
        }
        RawError::SUCCESS
    }

    /// Takes a queue's event away.
    pub fn clear(&mut self, queue: usize) -> RawError {
        if !self.events.contains(queue) {
            return RawError::BAD_STATE;
        }
        self.events.get(handle(queue)).clear();
        RawError::SUCCESS
    }

    /// Forgets a queue's event, if it has one.
    pub fn drop_event(&mut self, queue: usize) {
        if self.events.contains(queue) {
            drop(self.events.remove(handle(queue)));
        }
    }

    /// A new context with random numbers of its own.
    pub fn new_context<P>(&mut self) -> *mut P {
        let random = Random::new(self.random.below(u64::MAX));
        self.contexts.insert(&mut self.next, Context::new(random))
    }

    /// The descriptor of a started map; it lives as long as the map is started.
    ///
    /// # Errors
    /// Its memory is not a shared mapping of an open file.
    pub fn export<P>(&mut self, map: *const P) -> Result<(usize, usize), RawError> {
        let mut random = self.random.clone();
        let is_damaged = random.happens(self.faults.descriptor);
        let map = self.maps.get(map);
        if !map.is_started || map.is_imported() {
            return Err(RawError::BAD_STATE);
        }
        let backing = Backing::find(map.base, map.len).ok_or(RawError::NOT_SUPPORTED)?;
        let descriptor = Descriptor {
            pid: std::process::id(),
            fd: backing.fd,
            offset: backing.offset,
            base: map.base as u64,
            len: map.len as u64,
            access: map.access.into(),
        };
        let mut bytes = descriptor.encode().to_vec();
        if is_damaged {
            descriptor::damage(&mut bytes, &mut random);
        }
        self.random = random;
        let bytes = map.exported.insert(bytes.into_boxed_slice());
        Ok((bytes.as_ptr().expose_provenance(), bytes.len()))
    }

    /// Maps another process's memory.
    ///
    /// # Errors
    /// The bytes are no descriptor, or what they describe is gone.
    pub fn import<P>(&mut self, bytes: &[u8]) -> Result<*mut P, RawError> {
        let described = Descriptor::decode(bytes).map_err(|wrong| match wrong {
            Wrong::Malformed => RawError::INVALID_VALUE,
            Wrong::Version => RawError::UNSUPPORTED_VERSION,
        })?;
        let Descriptor { pid, fd, offset, base, len, access } = described;
        let remote = doca_sys::ACCESS_PCI_READ_ONLY | doca_sys::ACCESS_PCI_READ_WRITE;
        if access as u32 & remote == 0 {
            return Err(RawError::NOT_PERMITTED);
        }
        let foreign = Foreign::open(pid, fd, offset, len as usize).ok_or(RawError::NOT_FOUND)?;
        let map = Map {
            base: base as usize,
            len: len as usize,
            access: access as u32,
            is_started: true,
            foreign: Some(foreign.into()),
            ..Map::default()
        };
        Ok(self.maps.insert(&mut self.next, map))
    }

    /// A part of a map.
    ///
    /// # Errors
    /// It is not inside, or there are as many buffers as there can be.
    pub fn take_buffer<P>(
        &mut self,
        inventory: usize,
        map: usize,
        range: (usize, usize),
        data: (usize, usize),
    ) -> Result<*mut P, RawError> {
        let (head, len) = range;
        let in_map = self.maps.get(handle(map));
        let end = head.checked_add(len).ok_or(RawError::INVALID_VALUE)?;
        if !in_map.is_started || head < in_map.base || end > in_map.base + in_map.len {
            return Err(RawError::INVALID_VALUE);
        }
        let from = self.inventories.get(handle(inventory));
        if !from.is_started || from.count == from.capacity {
            return Err(RawError::NO_MEMORY);
        }
        let mut buffer = Buffer { map, inventory, head, len, data: head, data_len: 0, is_in_flight: false };
        if !buffer.set_data(data.0, data.1) {
            return Err(RawError::INVALID_VALUE);
        }
        from.count += 1;
        self.maps.get(handle(map)).buffer_count += 1;
        Ok(self.buffers.insert(&mut self.next, buffer))
    }

    /// Gives a part of a map back.
    pub fn drop_buffer<P>(&mut self, buffer: *const P) {
        if self.buffers.get(buffer).is_in_flight {
            crate::handle::give_up("a buffer was freed while a copy had it");
        }
        let buffer = self.buffers.remove(buffer);
        self.inventories.get(handle(buffer.inventory)).count -= 1;
        self.maps.get(handle(buffer.map)).buffer_count -= 1;
    }
}
