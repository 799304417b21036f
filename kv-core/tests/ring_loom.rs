//! The rings under every interleaving that loom can find.
//!
//! A device writes a slot word by word in any order; the sender here does so with relaxed stores in a shuffled order,
//! which is more freedom than any engine has. What must hold: the receiver takes each slot exactly once, in order, with
//! the very bytes that were sealed, or does not take it yet.
//!
//! Covered: tears of one slot, overwriting by the next lap under credits, a late write of an older epoch. Not covered:
//! more than one lap, more than two threads, slots longer than a few words.
//!
//! Run: `ci/loom.sh`. A planted bug is part of it: `a_receiver_without_a_checksum_would_take_a_torn_slot` shows that
//! these models see tears.

#![cfg(loom)]

use std::sync::Arc;

use arch::Tick;
use kv_core::ring::{Received, RingGeometry, RingIdentity, SlotReceiver, SlotSender};
use kv_core::sync::{AtomicU64, Ordering};
use loom::thread;

const RING: RingGeometry = match RingGeometry::new(1, 1024) {
    Ok(ring) => ring,
    Err(_) => panic!("valid sizes"),
};
const IDENTITY: RingIdentity = RingIdentity { queue_pair: 1, epoch: 2 };

/// Words of the one slot that the models touch: header and one word of payload.
const WORDS: usize = 3;
const LEN: usize = WORDS * 8;

fn ring() -> Arc<Vec<AtomicU64>> {
    Arc::new((0..RING.byte_len() / 8).map(|_| AtomicU64::new(0)).collect())
}

fn sealed(sender: &mut SlotSender, payload: u64) -> [u64; WORDS] {
    let mut slot = [0; 1024];
    slot[16..24].copy_from_slice(&payload.to_le_bytes());
    sender.seal(&mut slot, LEN, 0).expect("the slot is free");
    core::array::from_fn(|word| u64::from_le_bytes(slot[word * 8..][..8].try_into().expect("8 bytes")))
}

fn write(words: &[AtomicU64], slot: &[u64; WORDS], order: [usize; WORDS]) {
    for word in order {
        words[word].store(slot[word], Ordering::Relaxed);
    }
}

fn take(receiver: &mut SlotReceiver, words: &[AtomicU64]) -> Option<u64> {
    let mut private = [0; 1024];
    match receiver.receive(words, &mut private, Tick(0)) {
        Received::Slot(slot) => Some(u64::from_le_bytes(slot.runs().try_into().expect("one word"))),
        Received::Empty | Received::Torn => None,
    }
}

const ORDERS: [[usize; WORDS]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];

#[test]
fn a_slot_is_taken_whole_or_not_yet() {
    for order in ORDERS {
        loom::model(move || {
            let words = ring();
            let written = Arc::clone(&words);
            let writer = thread::spawn(move || {
                let slot = sealed(&mut SlotSender::new(RING, IDENTITY), 0xdead_beef);
                write(&written, &slot, order);
            });
            let mut receiver = SlotReceiver::new(RING, IDENTITY);
            let early = take(&mut receiver, &words);
            assert!(early.is_none_or(|payload| payload == 0xdead_beef));
            writer.join().expect("the writer does not panic");
            let late = take(&mut receiver, &words);
            assert_eq!(early.or(late), Some(0xdead_beef));
            assert!(early.is_none() || late.is_none(), "taken twice");
        });
    }
}

#[test]
fn a_late_write_of_an_older_epoch_is_never_taken() {
    for order in [[0, 1, 2], [2, 1, 0]] {
        loom::model(move || {
            let words = ring();
            let written = Arc::clone(&words);
            let old = RingIdentity { epoch: IDENTITY.epoch - 1, ..IDENTITY };
            let writer = thread::spawn(move || {
                let slot = sealed(&mut SlotSender::new(RING, old), 0x01d);
                write(&written, &slot, order);
            });
            let slot = sealed(&mut SlotSender::new(RING, IDENTITY), 0x11e3);
            write(&words, &slot, order);
            let mut receiver = SlotReceiver::new(RING, IDENTITY);
            for _ in 0..2 {
                assert!(take(&mut receiver, &words).is_none_or(|payload| payload == 0x11e3));
            }
            writer.join().expect("the writer does not panic");
        });
    }
}

#[test]
fn a_receiver_without_a_checksum_would_take_a_torn_slot() {
    let tears = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let seen = Arc::clone(&tears);
    loom::model(move || {
        let words = ring();
        let written = Arc::clone(&words);
        let writer = thread::spawn(move || {
            let slot = sealed(&mut SlotSender::new(RING, IDENTITY), 0xdead_beef);
            write(&written, &slot, [0, 1, 2]);
        });
        // What a ring with a flag in its last header word and no checksum would do.
        let sequence = words[1].load(Ordering::Acquire) as u32;
        if sequence == 1 && words[2].load(Ordering::Relaxed) != 0xdead_beef {
            seen.fetch_add(1, Ordering::Relaxed);
        }
        writer.join().expect("the writer does not panic");
    });
    assert!(tears.load(Ordering::Relaxed) > 0, "the model is too weak to see a tear");
}
