//! Frames prepared before anything is measured.

use std::net::Ipv4Addr;
use std::rc::Rc;

use clap::ValueEnum;
use client::frames::FrameWriter;
use kv_core::port::BURST_COUNT_MAX;
use qp_wire::limits::{KEY_LEN_MAX, VALUE_LEN_MAX};
use qp_wire::net::{HEADERS_LEN, Local, MacAddr, Remote};
use qp_wire::{Opcode, batch, mica, native};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::workload::{Distribution, KeySampler, KeySpace, ValueShape};

/// The server that frames are for.
pub(super) const SERVER: Local =
    Local { mac: MacAddr([2, 0, 0, 0, 0, 1]), ipv4: Ipv4Addr::new(10, 0, 0, 1), port: 7600 };

/// The client that they come from.
pub(super) const CLIENT: Local =
    Local { mac: MacAddr([2, 0, 0, 0, 0, 2]), ipv4: Ipv4Addr::new(10, 0, 0, 2), port: 4000 };

/// Different bursts, which come again in the same order. Together with their keys they are more than inner caches hold.
pub(super) const BURST_COUNT: usize = 128;

/// Longest payload of a frame and of its answer: what Ethernet carries.
pub(super) const PAYLOAD_LEN_MAX: usize = 1472;

/// Longest frame, with the headers of its way.
pub(super) const FRAME_LEN_MAX: usize = HEADERS_LEN + PAYLOAD_LEN_MAX;

/// How requests and responses are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Wire {
    /// As MICA2 does
    Mica2,
    /// In the native protocol's frames
    Native,
}

impl Wire {
    const fn as_client(self) -> client::frames::Wire {
        match self {
            Self::Mica2 => client::frames::Wire::Mica,
            Self::Native => client::frames::Wire::Native,
        }
    }

    /// The name in tables and in JSON.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Mica2 => "mica2",
            Self::Native => "native",
        }
    }
}

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) wire: Wire,
    pub(crate) requests_per_frame: usize,
    pub(crate) keys: KeySpace,
    pub(crate) values: ValueShape,
    pub(crate) distribution: Distribution,
    /// Share of GET; the rest is SET.
    pub(crate) gets: f64,
    /// Different bursts of frames.
    pub(crate) bursts: usize,
    pub(crate) seed: u64,
}

/// Whole frames, which are sent again and again.
#[derive(Clone, Debug)]
pub(super) struct Frames {
    frames: Rc<[Box<[u8]>]>,
    next: usize,
}

impl Frames {
    /// Some bursts of frames.
    ///
    /// # Errors
    /// A sentence, when so many requests do not fit a frame.
    pub(super) fn prepare(load: &Load) -> Result<Self, String> {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(load.seed);
        let sampler = KeySampler::new(load.keys, load.distribution);
        let to = Remote { mac: SERVER.mac, ipv4: SERVER.ipv4, port: SERVER.port };
        let count = load.requests_per_frame;
        let mut writer = FrameWriter::new(load.wire.as_client(), count as u16, CLIENT, to);
        let (mut name, mut value) = ([0; KEY_LEN_MAX], [0; VALUE_LEN_MAX]);
        let mut frames = Vec::with_capacity(load.bursts * BURST_COUNT_MAX);
        for request in 0..load.bursts * BURST_COUNT_MAX * count {
            let index = sampler.sample(&mut random);
            let key = load.keys.encode(index, &mut name);
            let done = if random.random::<f64>() < load.gets {
                writer.push(Opcode::Get, key, &[])
            } else {
                writer.push(Opcode::Set, key, load.values.encode(index, 1, &mut value))
            };
            let frame = done.ok().filter(|done| done.is_some() == ((request + 1) % count == 0));
            let frame = frame.filter(|frame| frame.as_ref().is_none_or(|frame| frame.len() <= FRAME_LEN_MAX));
            frames.extend(frame.ok_or_else(|| load.complaint())?.map(Vec::into_boxed_slice));
        }
        Ok(Self { frames: frames.into(), next: 0 })
    }

    /// The next frame.
    pub(super) fn next(&mut self) -> &[u8] {
        let index = self.next;
        self.next = (index + 1) % self.frames.len();
        &self.frames[index]
    }
}

impl Load {
    /// That so many requests do not fit a frame, and how many do.
    fn complaint(&self) -> String {
        let (key_len, value_len) = (self.keys.len(), self.values.len());
        let max = match self.wire {
            Wire::Mica2 => {
                let entry_len = mica::ENTRY_HEADER_LEN + key_len.next_multiple_of(8) + value_len.next_multiple_of(8);
                (PAYLOAD_LEN_MAX - mica::BATCH_HEADER_LEN) / entry_len
            }
            Wire::Native => {
                let columns_len = size_of::<u8>() + size_of::<u8>() + size_of::<u16>();
                (PAYLOAD_LEN_MAX - native::HEADER_LEN - batch::HEADER_LEN) / (columns_len + key_len + value_len)
            }
        };
        let (count, wire) = (self.requests_per_frame, self.wire.name());
        format!("--requests-per-frame {count}: expected 1 to {max} on the wire {wire}")
    }
}
