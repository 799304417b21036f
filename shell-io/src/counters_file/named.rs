//! Counts whose names are not ours: those that a network device's driver keeps.
//!
//! ```text
//! word   0 .. 7                          8
//!        name, filled up with NUL bytes  value
//! ```
//!
//! A place is empty as long as its first word is 0.

use std::sync::atomic::{AtomicU64, Ordering};

/// How many there can be; what a driver counts beyond is left out. Drivers of network cards have some hundred.
pub(super) const PLACE_COUNT: usize = 512;

/// Words of a name: as long as DPDK's are (`RTE_ETH_XSTATS_NAME_SIZE`).
const NAME_WORDS: usize = 8;

/// Words of a name and its value.
pub(super) const PLACE_WORDS: usize = NAME_WORDS + 1;

/// Shows others these counts, in their order.
pub(super) fn publish(words: &[AtomicU64], counts: &[(String, u64)]) {
    for (place, (name, value)) in words.chunks_exact(PLACE_WORDS).zip(counts) {
        place[NAME_WORDS].store(*value, Ordering::Relaxed);
        // The first word last, so that who finds it finds the others. Names change hardly ever.
        for (word, value) in place.iter().zip(name_words(name)).rev() {
            if word.load(Ordering::Relaxed) != value {
                word.store(value, Ordering::Release);
            }
        }
    }
}

/// What is there to be read.
pub(super) fn read(words: &[u64]) -> Vec<(String, u64)> {
    let counts = words.chunks_exact(PLACE_WORDS).take_while(|place| place[0] != 0);
    counts.map(|place| (name_of(&place[..NAME_WORDS]), place[NAME_WORDS])).collect()
}

/// A name in words, cut where it is longer.
fn name_words(name: &str) -> [u64; NAME_WORDS] {
    let mut bytes = name.bytes();
    std::array::from_fn(|_| u64::from_ne_bytes(std::array::from_fn(|_| bytes.next().unwrap_or(0))))
}

fn name_of(words: &[u64]) -> String {
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).take_while(|byte| *byte != 0).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_published_is_read_and_the_rest_is_empty() {
        let words: Vec<AtomicU64> = (0..4 * PLACE_WORDS).map(|_| AtomicU64::new(0)).collect();
        let long = "x".repeat(100);
        let counts = [("rx_good_packets".to_owned(), 7), ("eight888".to_owned(), u64::MAX), (long.clone(), 1)];
        let read_all = || read(&words.iter().map(|word| word.load(Ordering::Relaxed)).collect::<Vec<_>>());
        assert_eq!(read_all(), []);
        publish(&words, &counts);
        assert_eq!(read_all(), [counts[0].clone(), counts[1].clone(), (long[..64].to_owned(), 1)]);
        publish(&words, &[("rx".to_owned(), 9)]);
        assert_eq!(read_all()[0], ("rx".to_owned(), 9));
        publish(&words, &[counts.to_vec(), counts.to_vec()].concat());
        assert_eq!(read_all().len(), 4, "what has no place is left out");
    }
}
