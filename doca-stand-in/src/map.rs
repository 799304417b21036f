//! Memory that the device reaches, and parts of it.

use std::sync::Arc;

use crate::memory::Foreign;

/// `doca_mmap`.
#[derive(Clone, Debug, Default)]
pub struct Map {
    /// Where its owner has the memory.
    pub base: usize,
    /// Bytes.
    pub len: usize,
    /// Access flags of generation 2; generation 1 has none, and everything is allowed.
    pub access: u32,
    /// How many devices reach it.
    pub device_count: usize,
    /// Whether it is started.
    pub is_started: bool,
    /// Whether it gets its memory after it was started, as in generation 1.
    pub is_chunked: bool,
    /// The descriptor that was given out.
    pub exported: Option<Box<[u8]>>,
    /// Buffers in it.
    pub buffer_count: usize,
    pub(crate) foreign: Option<Arc<Foreign>>,
}

impl Map {
    /// A map of nothing yet.
    pub fn with_access(access: u32) -> Self {
        Self { access, ..Self::default() }
    }

    /// Whether it is memory of another process.
    pub fn is_imported(&self) -> bool {
        self.foreign.is_some()
    }
}

/// `doca_buf_inventory`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Inventory {
    /// Most buffers.
    pub capacity: usize,
    /// Buffers that are out.
    pub count: usize,
    /// Whether it is started.
    pub is_started: bool,
}

/// `doca_buf`.
#[derive(Clone, Copy, Debug)]
pub struct Buffer {
    /// Its map.
    pub map: usize,
    /// Its inventory.
    pub inventory: usize,
    /// Where it begins, as the map's owner has it.
    pub head: usize,
    /// Its length in bytes.
    pub len: usize,
    /// Where its data begins.
    pub data: usize,
    /// Length of its data in bytes: a destination grows by what is copied to it.
    pub data_len: usize,
    /// Whether a copy has it.
    pub is_in_flight: bool,
}

impl Buffer {
    /// Sets the data. `false` if it is not inside the buffer.
    pub fn set_data(&mut self, data: usize, data_len: usize) -> bool {
        let end = data.checked_add(data_len);
        let is_inside = data >= self.head && end.is_some_and(|end| end <= self.head + self.len);
        if is_inside {
            (self.data, self.data_len) = (data, data_len);
        }
        is_inside
    }
}
