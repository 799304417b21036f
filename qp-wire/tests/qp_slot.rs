//! The header of a slot and everything that has to be refused by it.

mod batches;

use batches::hex;
use proptest::prelude::*;
use qp_wire::qp::{SLOT_HEADER_LEN, SlotError, SlotHeader, SlotStamp, open, seal};

const STAMP: SlotStamp = SlotStamp { queue_pair: 3, epoch: 0x0102_0304, index: 5, sequence: 70_001, credit: 69_998 };

/// A slot with these runs, as long as it has to be.
fn sealed(runs: &[u8], stamp: &SlotStamp) -> Vec<u8> {
    let mut slot = vec![0xee; SLOT_HEADER_LEN];
    slot.extend(runs);
    let len = slot.len();
    seal(&mut slot, len, stamp).expect("room for a header");
    slot
}

fn open_as<'a>(slot: &'a [u8], stamp: &SlotStamp) -> Result<&'a [u8], SlotError> {
    let open = open(slot, stamp.queue_pair, stamp.epoch, stamp.index, stamp.sequence)?;
    assert_eq!(open.credit, stamp.credit);
    Ok(open.runs())
}

/// CRC32C bit by bit, from its definition (polynomial 0x1EDC6F41, reflected).
fn crc32c(bytes: impl IntoIterator<Item = u8>) -> u32 {
    !bytes.into_iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| if crc & 1 != 0 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 })
    })
}

/// W-Q-1 to W-Q-5: one run, a GET of key "k" whose response may have 64 bytes.
#[test]
fn a_slot_has_its_golden_bytes() {
    let runs = hex("0900 4000  0100 07 05 01 00 0000 6b");
    let slot = sealed(&runs, &STAMP);
    assert_eq!(slot, hex("5f8b4123 1d000000 71110100 6e110100  0900 4000  0100 07 05 01 00 0000 6b"));
    assert_eq!(open_as(&slot, &STAMP), Ok(&runs[..]));
}

/// W-Q-1: queue pair, epoch and index as if they stood before the bytes.
#[test]
fn the_checksum_covers_what_is_not_written() {
    assert_eq!(crc32c(*b"123456789"), 0xe306_9283, "the check value of RFC 3720");
    let slot = sealed(b"any bytes", &STAMP);
    let seed = [STAMP.queue_pair, STAMP.epoch, STAMP.index].into_iter().flat_map(u32::to_le_bytes);
    let expected = crc32c(seed.chain(slot[4..].iter().copied()));
    assert_eq!(slot[..4], expected.to_le_bytes());
}

/// W-Q-1, W-Q-3
#[test]
fn a_slot_for_another_place_or_time_is_refused() {
    let slot = sealed(b"runs", &STAMP);
    for other in [1, 2, 0x8000_0000, u32::MAX] {
        let changed = |number: u32| number ^ other;
        let queue_pair = SlotStamp { queue_pair: changed(STAMP.queue_pair), ..STAMP };
        assert_eq!(open_as(&slot, &queue_pair), Err(SlotError::Checksum));
        let epoch = SlotStamp { epoch: changed(STAMP.epoch), ..STAMP };
        assert_eq!(open_as(&slot, &epoch), Err(SlotError::Checksum));
        let index = SlotStamp { index: changed(STAMP.index), ..STAMP };
        assert_eq!(open_as(&slot, &index), Err(SlotError::Checksum));
        let expected = changed(STAMP.sequence);
        let sequence = SlotStamp { sequence: expected, ..STAMP };
        assert_eq!(open_as(&slot, &sequence), Err(SlotError::Sequence { expected, got: STAMP.sequence }));
    }
}

/// W-Q-3: the sequence wraps, and 0 is a number like any other then.
#[test]
fn every_sequence_can_be_sealed_and_opened() {
    for sequence in [1, 2, u32::MAX - 1, u32::MAX, 0] {
        let stamp = SlotStamp { sequence, credit: sequence.wrapping_sub(2), ..STAMP };
        assert_eq!(open_as(&sealed(b"runs", &stamp), &stamp), Ok(&b"runs"[..]));
    }
}

/// W-Q-2
#[test]
fn a_length_outside_the_slot_is_refused() {
    let mut slot = sealed(b"runs", &STAMP);
    let len_max = slot.len();
    for len in [0, 1, 15, 21, 0x0001_0000, u32::MAX] {
        slot[4..8].copy_from_slice(&len.to_le_bytes());
        assert_eq!(open_as(&slot, &STAMP), Err(SlotError::Len { len: len as usize, len_max }));
    }
    for len in 0..SLOT_HEADER_LEN {
        assert!(matches!(open_as(&slot[..len], &STAMP), Err(SlotError::Len { len_max, .. }) if len_max == len));
    }
}

#[test]
fn only_what_has_room_can_be_sealed() {
    let mut slot = [0xee; 32];
    assert_eq!(seal(&mut slot, 15, &STAMP), None);
    assert_eq!(seal(&mut slot, 33, &STAMP), None);
    assert_eq!(slot, [0xee; 32]);
    assert_eq!(seal(&mut slot, 16, &STAMP), Some(()));
    assert_eq!(open_as(&slot, &STAMP), Ok(&[][..]), "what is behind the length does not count");
    assert_eq!(slot[16..], [0xee; 16]);
}

/// Memory that was never written holds no slot, not even after the sequence has wrapped to 0.
#[test]
fn an_empty_slot_is_refused() {
    let stamp = SlotStamp { queue_pair: 0, epoch: 0, index: 0, sequence: 0, credit: 0 };
    assert_eq!(open_as(&[0; 64], &stamp), Err(SlotError::Len { len: 0, len_max: 64 }));
}

/// A reader polls words, each the little-endian number that its bytes are.
#[test]
fn the_header_can_be_read_from_words() {
    let slot = sealed(b"runs", &STAMP);
    let word = |at: usize| u64::from_le_bytes(slot[at..at + 8].try_into().expect("8 bytes"));
    let header = SlotHeader::from_words([word(0), word(8)]);
    let crc = u32::from_le_bytes(slot[..4].try_into().expect("4 bytes"));
    let expected = SlotHeader { crc, len: 20, sequence: STAMP.sequence, credit: STAMP.credit };
    assert_eq!(header, expected);
}

fn any_stamp() -> impl Strategy<Value = SlotStamp> {
    any::<(u32, u32, u32, u32, u32)>().prop_map(|(queue_pair, epoch, index, sequence, credit)| SlotStamp {
        queue_pair,
        epoch,
        index,
        sequence,
        credit,
    })
}

proptest! {
    /// Content and credit (W-Q-4) come out as they went in, whatever follows the length (W-Q-2).
    #[test]
    fn what_was_sealed_opens(
        runs in proptest::collection::vec(any::<u8>(), 0..600), stamp in any_stamp(), slack in 0..64usize,
    ) {
        let mut slot = sealed(&runs, &stamp);
        slot.resize(slot.len() + slack, 0x55);
        prop_assert_eq!(open_as(&slot, &stamp), Ok(&runs[..]));
    }

    /// One bit, wherever it is: in the header, in the runs, in the checksum itself.
    #[test]
    fn every_flipped_bit_is_noticed(runs in proptest::collection::vec(any::<u8>(), 0..60), stamp in any_stamp()) {
        let good = sealed(&runs, &stamp);
        for bit in 0..good.len() * 8 {
            let mut slot = good.clone();
            slot[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(open_as(&slot, &stamp).is_err(), "bit {}", bit);
        }
    }

    #[test]
    fn every_cut_of_a_slot_is_refused(runs in proptest::collection::vec(any::<u8>(), 0..100), stamp in any_stamp()) {
        let slot = sealed(&runs, &stamp);
        for len in 0..slot.len() {
            let is_cut = matches!(open_as(&slot[..len], &stamp), Err(SlotError::Len { .. }));
            prop_assert!(is_cut, "{} bytes", len);
        }
    }

    /// A copy that arrives in lines of 64 bytes, in any order: nothing but the whole of it opens.
    #[test]
    fn a_torn_slot_is_refused(
        old in proptest::collection::vec(any::<u8>(), 300), new in proptest::collection::vec(any::<u8>(), 300),
        stamp in any_stamp(), arrived in any::<[bool; 5]>(),
    ) {
        let older = SlotStamp { sequence: stamp.sequence.wrapping_sub(4), ..stamp };
        let (mut slot, new) = (sealed(&old, &older), sealed(&new, &stamp));
        for (line, _) in arrived.iter().enumerate().filter(|(_, arrived)| **arrived) {
            let line = line * 64..(line * 64 + 64).min(new.len());
            slot[line.clone()].copy_from_slice(&new[line]);
        }
        prop_assert_eq!(open_as(&slot, &stamp).is_ok(), slot == new);
    }

    #[test]
    fn any_bytes_are_refused_or_opened(bytes in proptest::collection::vec(any::<u8>(), 0..64), stamp in any_stamp()) {
        prop_assert!(open(&bytes, stamp.queue_pair, stamp.epoch, stamp.index, stamp.sequence).is_err());
        let mut bytes = bytes;
        if let Some(sequence) = bytes.get_mut(8..12) {
            sequence.copy_from_slice(&stamp.sequence.to_le_bytes());
            let len = bytes.len() as u32;
            bytes[4..8].copy_from_slice(&len.to_le_bytes());
        }
        // One in 2^32 of these has the right checksum.
        prop_assert!(open(&bytes, stamp.queue_pair, stamp.epoch, stamp.index, stamp.sequence).is_err());
    }
}
