//! What goes wrong, how often, and the random numbers that decide.

/// Rates in thousandths, and limits. Written as `seed=7,tear=500,fail=10`; what is left out is 0, or the device's usual
/// limit. `swarm=N` draws a seed's mixture: each kind of fault is there or not, at some rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Faults {
    /// Where the random numbers begin.
    pub seed: u64,
    /// Bytes become visible in parts, in any order.
    pub tear: u32,
    /// They become visible some time later.
    pub late: u32,
    /// The completion of a copy to the peer is told before the bytes are visible there.
    pub early: u32,
    /// Bytes are written a second time, some time later.
    pub repeat: u32,
    /// A copy fails, part of it done.
    pub fail: u32,
    /// The queue says that it is full.
    pub full: u32,
    /// The context dies with all that it has in flight.
    pub death: u32,
    /// A completion is not told before the context stops.
    pub lose: u32,
    /// An export gives a descriptor that is cut short, changed or of another version.
    pub descriptor: u32,
    /// An event that was asked for does not come.
    pub mute: u32,
    /// Something is not to be had while a context is set up.
    pub refuse: u32,
    /// Longest copy of the device, in bytes.
    pub len_max: u64,
    /// Most tasks of a context.
    pub task_max: u32,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            seed: 0,
            tear: 0,
            late: 0,
            early: 0,
            repeat: 0,
            fail: 0,
            full: 0,
            death: 0,
            lose: 0,
            descriptor: 0,
            mute: 0,
            refuse: 0,
            // What a BlueField-3 was seen to have.
            len_max: 2 << 20,
            task_max: 1024,
        }
    }
}

impl Faults {
    /// Reads the text form. What is not understood is left out: a test that misspells a fault sees none of it.
    pub fn parse(text: &str) -> Self {
        let mut faults = Self::default();
        for (key, value) in text.split(',').filter_map(|part| part.trim().split_once('=')) {
            let Ok(value) = value.parse::<u64>() else { continue };
            if key == "swarm" {
                faults = Self { len_max: faults.len_max, task_max: faults.task_max, ..Self::drawn(value) };
            } else {
                faults.set(key, value);
            }
        }
        faults
    }

    fn set(&mut self, key: &str, value: u64) {
        let rate = u32::try_from(value).unwrap_or(u32::MAX);
        match key {
            "seed" => self.seed = value,
            "len_max" => self.len_max = value,
            "task_max" => self.task_max = rate,
            _ => {
                if let Some(place) = self.rate_of(key) {
                    *place = rate;
                }
            }
        }
    }

    fn rate_of(&mut self, key: &str) -> Option<&mut u32> {
        Some(match key {
            "tear" => &mut self.tear,
            "late" => &mut self.late,
            "early" => &mut self.early,
            "repeat" => &mut self.repeat,
            "fail" => &mut self.fail,
            "full" => &mut self.full,
            "death" => &mut self.death,
            "lose" => &mut self.lose,
            "descriptor" => &mut self.descriptor,
            "mute" => &mut self.mute,
            "refuse" => &mut self.refuse,
            _ => return None,
        })
    }

    /// Each kind at its highest rate at most; half of them are absent, so that they also come alone.
    fn drawn(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let highest = [
            ("tear", 1000),
            ("late", 600),
            ("early", 600),
            ("repeat", 100),
            ("fail", 60),
            ("full", 200),
            ("death", 8),
            ("lose", 4),
            ("descriptor", 300),
            ("refuse", 60),
        ];
        let mut faults = Self { seed, ..Self::default() };
        for (key, highest) in highest {
            let (is_there, rate) = (random.below(2) == 1, 1 + random.below(highest));
            if is_there {
                faults.set(key, rate);
            }
        }
        faults
    }
}

/// SplitMix64: enough for choices, and the same everywhere.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^ (bits >> 31)
    }

    /// A number below the bound; 0 if the bound is 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.bits().checked_rem(bound).unwrap_or(0)
    }

    /// Whether something of this rate happens. Draws nothing for what never does.
    pub(crate) fn happens(&mut self, rate: u32) -> bool {
        rate > 0 && self.below(1000) < u64::from(rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_the_rest_is_absent() {
        let faults = Faults::parse("seed=7, tear=500,len_max=4096,nonsense=3,fail=x");
        assert_eq!(faults, Faults { seed: 7, tear: 500, len_max: 4096, ..Faults::default() });
    }

    #[test]
    fn a_swarm_is_the_same_for_a_seed_and_another_for_another() {
        assert_eq!(Faults::parse("swarm=3"), Faults::parse("swarm=3"));
        assert_ne!(Faults::parse("swarm=3"), Faults::parse("swarm=4"));
    }
}
