//! A ring whose memory anybody may write.
//!
//! The script plays the peer, its copy engine and an attacker: it writes whole slots, halves of slots, slots of other
//! rings and laps, and single words anywhere, between the receiver's looks. What the receiver says at each look is compared with
//! what a naive reading of the same bytes says, so it takes a slot if and only if one was sealed for its queue pair,
//! direction, epoch, place and sequence number.

use arch::Tick;
use kv_core::ring::{CreditError, Received, RingGeometry, RingIdentity, SealedSlot, SlotReceiver, SlotSender, clear};
use kv_core::sync::{AtomicU64, Ordering};
use qp_wire::qp::SLOT_HEADER_LEN;

use crate::script::Script;
use crate::slots::{Content, Place, content, sealed};

/// A script for the two ends of a ring and the memory between them.
///
/// Returns how many slots were taken out.
pub fn check_ring_hostile(data: &[u8]) -> usize {
    let mut script = Script::new(data);
    let shape = script.u8();
    let ring = RingGeometry::new(1 << (shape & 3), 1024 + 64 * u32::from(shape >> 2 & 3)).expect("valid sizes");
    let mut check =
        Check::new(ring, RingIdentity { queue_pair: u32::from(script.u8()) << 24 | 1, epoch: script.u32() });
    while !script.is_over() {
        check.step(&mut script);
    }
    check.slots_taken
}

struct Check {
    ring: RingGeometry,
    identity: RingIdentity,
    sender: SlotSender,
    receiver: SlotReceiver,
    words: Vec<AtomicU64>,
    private: Vec<u8>,
    now: Tick,
    /// What the two ends should know.
    sent: u32,
    credited: u32,
    taken: u32,
    torn_since: Option<Tick>,
    slots_taken: usize,
}

impl Check {
    fn new(ring: RingGeometry, identity: RingIdentity) -> Self {
        Self {
            ring,
            identity,
            sender: SlotSender::new(ring, identity),
            receiver: SlotReceiver::new(ring, identity),
            words: (0..ring.byte_len() / 8).map(|_| AtomicU64::new(0)).collect(),
            private: vec![0xa5; ring.slot_len()],
            now: Tick(0),
            sent: 0,
            credited: 0,
            taken: 0,
            torn_since: None,
            slots_taken: 0,
        }
    }

    fn step(&mut self, script: &mut Script<'_>) {
        match script.u8() % 10 {
            0 => {
                let at = usize::from(script.u16()) % self.words.len();
                self.words[at].store(script.u64(), Ordering::Relaxed);
            }
            1 => self.send(script),
            2 => self.forge(script),
            3 | 4 => self.receive(),
            5 => self.credit(self.receiver.taken()),
            6 => self.credit(script.u32()),
            7 => self.look_wrongly(script.u8()),
            8 => clear(&self.words),
            _ => self.begin_epoch(script.u8() & 1 == 1),
        }
        self.now = self.now.after(1);
        assert_eq!((self.sender.sent(), self.sender.in_flight()), (self.sent, self.sent.wrapping_sub(self.credited)));
        assert_eq!(self.sender.room() + self.sender.in_flight(), self.ring.slot_count());
        assert_eq!((self.receiver.taken(), self.receiver.torn_since()), (self.taken, self.torn_since));
        assert_eq!(self.receiver.next_offset(), self.ring.offset(self.taken.wrapping_add(1)));
    }

    /// The honest sender's next slot, of which the memory may get a part only.
    fn send(&mut self, script: &mut Script<'_>) {
        let (len, arrives) = (usize::from(script.u16()), script.u16());
        let payload = script.bytes(len % (self.ring.slot_len() + 2));
        let mut slot = [&[0; SLOT_HEADER_LEN], payload].concat();
        let len = slot.len();
        slot.resize(len.next_multiple_of(64), 0);
        let fits = self.sender.room() > 0 && len.next_multiple_of(64) <= self.ring.slot_len();
        let credit = script.u32();
        let sealed = self.sender.seal(&mut slot, len, credit);
        assert_eq!(sealed.is_some(), fits);
        let Some(SealedSlot { offset, copy_len }) = sealed else { return };
        self.sent = self.sent.wrapping_add(1);
        assert_eq!((offset, copy_len), (self.ring.offset(self.sent), len.next_multiple_of(64)));
        let runs = payload.to_vec();
        assert_eq!(content(&slot, self.place(self.sent)), Content::Whole { credit, runs });
        self.write(offset, &slot[..copy_len], arrives);
    }

    /// A slot that is whole, and perhaps not the one for its place.
    fn forge(&mut self, script: &mut Script<'_>) {
        let kind = script.u8();
        let near = self.taken.wrapping_add(u32::from(kind >> 4)).wrapping_sub(4);
        let mut place = self.place(near);
        match kind & 7 {
            0 => place.queue_pair ^= 1,
            1 => place.queue_pair ^= 1 << 31,
            2 => place.epoch = place.epoch.wrapping_sub(1),
            3 => place.index = place.index.wrapping_add(1),
            // It may be the very slot that is waited for, from whoever knows all that seeds the checksum.
            _ => {}
        }
        let len = usize::from(script.u8());
        let slot = sealed(script.bytes(len), place, script.u32());
        let padded = [&slot[..], &vec![0; slot.len().next_multiple_of(8) - slot.len()]].concat();
        self.write(self.ring.offset(near), &padded, script.u16());
    }

    /// Writes words of a slot: all of them for 0, and otherwise those whose bit in `arrives` is 0.
    fn write(&self, offset: usize, slot: &[u8], arrives: u16) {
        for (index, word) in slot.as_chunks().0.iter().enumerate() {
            if arrives >> (index % 16) & 1 == 0 {
                self.words[offset / 8 + index].store(u64::from_le_bytes(*word), Ordering::Relaxed);
            }
        }
    }

    fn receive(&mut self) {
        let next = self.taken.wrapping_add(1);
        let start = self.ring.offset(next) / 8;
        let words = &self.words[start..start + self.ring.slot_len() / 8];
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.load(Ordering::Relaxed).to_le_bytes()).collect();
        let expected = content(&bytes, self.place(next));
        let found = match self.receiver.receive(&self.words, &mut self.private, self.now) {
            Received::Empty => Content::Other,
            Received::Torn => Content::Torn,
            Received::Slot(slot) => Content::Whole { credit: slot.credit, runs: slot.runs().to_vec() },
        };
        assert_eq!(found, expected);
        match found {
            Content::Other => {}
            Content::Torn => _ = self.torn_since.get_or_insert(self.now),
            Content::Whole { .. } => {
                (self.taken, self.torn_since) = (next, None);
                self.slots_taken += 1;
            }
        }
    }

    /// A credit is believed if it is not behind the last one and not ahead of what was sent.
    fn credit(&mut self, taken: u32) {
        let (sent, in_flight) = (self.sent, self.sent.wrapping_sub(self.credited));
        let expected = if sent.wrapping_sub(taken) <= in_flight { Ok(()) } else { Err(CreditError { sent, taken }) };
        assert_eq!(self.sender.credit(taken), expected);
        if expected.is_ok() {
            self.credited = taken;
        }
    }

    /// Looks with too little memory on one side or the other.
    fn look_wrongly(&mut self, by: u8) {
        let mut receiver = self.receiver.clone();
        let words = &self.words[..usize::from(by) * self.words.len() / 256];
        if let Received::Slot(_) = receiver.receive(words, &mut self.private, self.now) {
            assert!((self.receiver.next_offset() + self.ring.slot_len()) / 8 <= words.len());
        }
        let mut receiver = self.receiver.clone();
        let short = &mut self.private[..usize::from(by) & !7];
        let len = short.len();
        if let Received::Slot(slot) = receiver.receive(&self.words, short, self.now) {
            assert!(SLOT_HEADER_LEN + slot.runs().len() <= len);
        }
        assert!(!matches!(
            receiver.open(&self.private[..usize::from(by) % SLOT_HEADER_LEN], self.now),
            Received::Slot(_)
        ));
    }

    /// Both ends begin anew. A careless owner leaves the memory as it was.
    fn begin_epoch(&mut self, careless: bool) {
        let identity = RingIdentity { epoch: self.identity.epoch.wrapping_add(1), ..self.identity };
        let (slots_taken, now) = (self.slots_taken, self.now);
        let words = std::mem::take(&mut self.words);
        *self = Self { slots_taken, now, ..Self::new(self.ring, identity) };
        if careless {
            self.words = words;
        }
    }

    fn place(&self, sequence: u32) -> Place {
        let RingIdentity { queue_pair, epoch } = self.identity;
        Place { queue_pair, epoch, index: self.ring.index(sequence), sequence }
    }
}
