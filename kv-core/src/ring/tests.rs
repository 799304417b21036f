use std::vec;
use std::vec::Vec;

use arch::Tick;
use qp_wire::qp::SLOT_HEADER_LEN;

use super::*;

const RING: RingGeometry = match RingGeometry::new(4, 1024) {
    Ok(ring) => ring,
    Err(_) => panic!("valid sizes"),
};
const IDENTITY: RingIdentity = RingIdentity { queue_pair: 3, epoch: 7 };

struct Pair {
    sender: SlotSender,
    receiver: SlotReceiver,
    words: Vec<AtomicU64>,
    private: Vec<u8>,
}

impl Pair {
    fn new() -> Self {
        Self {
            sender: SlotSender::new(RING, IDENTITY),
            receiver: SlotReceiver::new(RING, IDENTITY),
            words: (0..RING.byte_len() / 8).map(|_| AtomicU64::new(0)).collect(),
            private: vec![0; RING.slot_len()],
        }
    }

    fn sealed(&mut self, payload: &[u8]) -> Option<(SealedSlot, Vec<u8>)> {
        let mut slot = vec![0; RING.slot_len()];
        slot[SLOT_HEADER_LEN..][..payload.len()].copy_from_slice(payload);
        let sealed = self.sender.seal(&mut slot, SLOT_HEADER_LEN + payload.len(), 0)?;
        slot.truncate(sealed.copy_len);
        Some((sealed, slot))
    }

    fn write(&self, at: &SealedSlot, slot: &[u8]) {
        for (index, bytes) in slot.as_chunks::<8>().0.iter().enumerate() {
            self.words[at.offset / 8 + index].store(u64::from_le_bytes(*bytes), Ordering::Relaxed);
        }
    }

    fn receive(&mut self) -> Option<Vec<u8>> {
        match self.receiver.receive(&self.words, &mut self.private, Tick(0)) {
            Received::Slot(slot) => Some(slot.runs().to_vec()),
            _ => None,
        }
    }
}

#[test]
fn slots_arrive_in_order_round_and_round() {
    let mut pair = Pair::new();
    for round in 0_u32..13 {
        let payload = round.to_le_bytes();
        let (at, slot) = pair.sealed(&payload).expect("the receiver keeps up");
        assert_eq!(pair.receive(), None);
        pair.write(&at, &slot);
        assert_eq!(pair.receive().as_deref(), Some(&payload[..]));
        assert_eq!(pair.receive(), None);
        pair.sender.credit(pair.receiver.taken()).expect("an honest credit");
    }
}

#[test]
fn a_full_ring_seals_nothing_until_credit_comes() {
    let mut pair = Pair::new();
    for _ in 0..RING.slot_count() {
        assert!(pair.sealed(b"x").is_some());
    }
    assert_eq!(pair.sender.room(), 0);
    assert!(pair.sealed(b"x").is_none());
    pair.sender.credit(1).expect("one of four was taken");
    assert!(pair.sealed(b"x").is_some());
    assert!(pair.sealed(b"x").is_none());
}

#[test]
fn a_credit_beyond_what_was_sent_or_behind_what_was_credited_is_an_error() {
    let mut pair = Pair::new();
    for _ in 0..3 {
        pair.sealed(b"x").expect("there is room");
    }
    assert_eq!(pair.sender.credit(4), Err(CreditError { sent: 3, taken: 4 }));
    assert_eq!(pair.sender.credit(2), Ok(()));
    assert_eq!(pair.sender.credit(1), Err(CreditError { sent: 3, taken: 1 }));
    assert_eq!(pair.sender.credit(u32::MAX), Err(CreditError { sent: 3, taken: u32::MAX }));
    assert_eq!(pair.sender.in_flight(), 1);
}

#[test]
fn a_slot_with_any_word_missing_is_torn_and_whole_once_it_is_there() {
    let payload: Vec<u8> = (0..100).collect();
    for missing in 0.. {
        let mut pair = Pair::new();
        let (at, mut slot) = pair.sealed(&payload).expect("there is room");
        let whole = slot.clone();
        let Some(word) = slot.as_chunks_mut::<8>().0.get_mut(missing) else { break };
        // The pad behind the payload is outside the checksum, and zero anyway.
        if *word == [0; 8] {
            continue;
        }
        *word = [0; 8];
        pair.write(&at, &slot);
        assert_eq!(pair.receive(), None, "word {missing}");
        pair.write(&at, &whole);
        assert_eq!(pair.receive(), Some(payload.clone()));
        assert_eq!(pair.receiver.torn_since(), None);
    }
}

#[test]
fn a_slot_of_another_ring_or_epoch_is_never_taken() {
    for other in [
        RingIdentity { queue_pair: 4, ..IDENTITY },
        RingIdentity { epoch: 8, ..IDENTITY },
        RingIdentity { queue_pair: IDENTITY.queue_pair | 1 << 31, ..IDENTITY },
    ] {
        let mut pair = Pair::new();
        pair.sender = SlotSender::new(RING, other);
        let (at, slot) = pair.sealed(b"alien").expect("there is room");
        pair.write(&at, &slot);
        assert_eq!(pair.receive(), None);
        assert_eq!(pair.receiver.torn_since(), Some(Tick(0)));
        assert_eq!(pair.receiver.taken(), 0);
    }
}

#[test]
fn an_older_lap_is_an_empty_slot() {
    let mut pair = Pair::new();
    let mut first = None;
    for round in 0..RING.slot_count() {
        let (at, slot) = pair.sealed(&[round as u8]).expect("there is room");
        pair.write(&at, &slot);
        first.get_or_insert((at, slot));
        assert!(pair.receive().is_some());
        pair.sender.credit(pair.receiver.taken()).expect("an honest credit");
    }
    // A copy of the first lap that comes again, late, where the fifth slot is expected.
    let (at, slot) = first.expect("four slots were sent");
    pair.write(&at, &slot);
    assert_eq!(pair.receive(), None);
    assert_eq!(pair.receiver.torn_since(), None);
}

#[test]
fn a_hostile_length_never_leaves_the_slot() {
    let mut pair = Pair::new();
    let (at, mut slot) = pair.sealed(b"payload").expect("there is room");
    for len in [0, 1, 15, 1025, u32::MAX] {
        slot[4..8].copy_from_slice(&len.to_le_bytes());
        pair.write(&at, &slot);
        assert_eq!(pair.receive(), None, "length {len}");
    }
}

#[test]
fn a_slot_that_does_not_fit_is_not_sealed() {
    let mut sender = SlotSender::new(RING, IDENTITY);
    let mut slot = vec![0; 4096];
    assert_eq!(sender.seal(&mut slot, RING.slot_len() + 1, 0), None);
    assert_eq!(sender.seal(&mut slot[..512], 513, 0), None);
    assert_eq!(sender.seal(&mut slot, usize::MAX, 0), None);
    assert_eq!(sender.sent(), 0);
    assert!(sender.seal(&mut slot, RING.slot_len(), 0).is_some());
}

#[test]
fn sequence_numbers_survive_their_wrap() {
    let mut pair = Pair::new();
    pair.sender.sent = u32::MAX - 2;
    pair.sender.taken = u32::MAX - 2;
    pair.receiver.taken = u32::MAX - 2;
    for round in 0_u8..6 {
        let (at, slot) = pair.sealed(&[round]).expect("the receiver keeps up");
        pair.write(&at, &slot);
        assert_eq!(pair.receive(), Some(vec![round]));
        pair.sender.credit(pair.receiver.taken()).expect("an honest credit");
    }
}
