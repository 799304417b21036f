//! Everything that is counted.
//!
//! Each core owns one [`Counters`] and adds to it in its loop; a shell copies it to memory that others read. Counters
//! only grow; gauges, at the end of the list, say how much there is now.

use qp_wire::DropReason;

use crate::port::DropCounts;

macro_rules! counters {
    ($($(#[$doc:meta])* $variant:ident = $name:literal),* $(,)?) => {
        /// What is counted.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(usize)]
        pub enum Counter { $($(#[$doc])* $variant),* }

        impl Counter {
            /// Every counter, in the order of its index.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The name under which it is shown.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }
        }
    };
}

counters! {
    /// Frames with requests that came in.
    FramesReceived = "frames_received",
    /// Frames with responses that went out.
    FramesTransmitted = "frames_transmitted",
    /// Requests that were executed or refused one by one.
    Requests = "requests",
    /// GET, TEST and TTL that found their key.
    Hits = "hits",
    /// GET, TEST and TTL that did not.
    Misses = "misses",
    /// Requests that changed the store.
    Writes = "writes",
    /// Requests answered `InsufficientSpace`.
    InsufficientSpace = "insufficient_space",
    /// Requests answered `Rejected`.
    Rejected = "rejected",
    /// Requests answered `NotProcessed` because their answer had no room.
    NotProcessed = "not_processed",
    /// Requests answered with any other error.
    Errors = "errors",
    /// MICA2 requests whose key hash was not their key's.
    HashMismatches = "hash_mismatches",
    /// GETs that the DPU answered from its cache of hot keys; they are in `requests` there, and nowhere on the host.
    HotHits = "hot_hits",
    /// Values that the cache of hot keys took from the host's answers, anew or again.
    HotFills = "hot_fills",
    /// Values that the cache of hot keys gave up because their keys were written, or gone at the host.
    HotRemovals = "hot_removals",
    /// Batches sent into the queue pair.
    BatchesSent = "batches_sent",
    /// Batches received from the queue pair.
    BatchesReceived = "batches_received",
    /// Bytes of all batches sent, headers included, before rounding.
    BatchBytesSent = "batch_bytes_sent",
    /// Copies handed to the DMA engine.
    Copies = "dma_copies",
    /// Bytes of those copies, after rounding.
    CopyBytes = "dma_bytes",
    /// Copies that the DMA engine reported as failed.
    CopiesFailed = "dma_copies_failed",
    /// Tasks that a DMA device was given for those copies; several for a copy that is longer than the device's limit.
    DeviceCopies = "dma_device_copies",
    /// Times that a DMA device's queue was full and a copy had to wait.
    CopyQueueFull = "dma_queue_full",
    /// Times that a DMA device's context died with all that it had in flight.
    CopyContextsLost = "dma_contexts_lost",
    /// Looks at a slot that had the right sequence number and a wrong checksum.
    SlotsTorn = "slots_torn",
    /// Slots whose checksum held and whose content did not.
    SlotsMalformed = "slots_malformed",
    /// Times that a queue pair was given up and begun anew.
    QueuePairResets = "queue_pair_resets",
    /// Rounds of the core's loop.
    Turns = "turns",
    /// Rounds that found work.
    WorkingTurns = "working_turns",
    /// Ticks spent in rounds that found work.
    BusyTicks = "busy_ticks",
    /// Rounds so long that the core must have been taken away; their ticks are in no other counter.
    InterruptedTurns = "interrupted_turns",
    /// Times that the core went to sleep.
    Sleeps = "sleeps",
    /// Items that cache mode gave up to make room.
    Evicted = "evicted",
    /// Items whose time to live ended.
    Expired = "expired",
    /// ARP requests answered by a port of whole frames.
    ArpReplies = "arp_replies",
    /// Echo requests answered by a port of whole frames.
    EchoReplies = "echo_replies",
    /// Frames that came in pieces and were copied into one.
    FramesGathered = "frames_gathered",
    /// Frames that came to a core and were for another one.
    FramesHandedOver = "frames_handed_over",
    /// Frames that came in, as the network device counts them; this and what follows of it at core 0 only.
    DeviceReceived = "device_received",
    /// Frames that went out, as the network device counts them.
    DeviceTransmitted = "device_transmitted",
    /// Frames that the network device lost because no core took them in time.
    DeviceMissed = "device_missed",
    /// Damaged frames that came to the network device.
    DeviceReceiveErrors = "device_receive_errors",
    /// Frames that the network device lost because there was no buffer.
    DeviceWithoutBuffer = "device_without_buffer",
    /// Frames that the network device did not get onto the wire.
    DeviceTransmitErrors = "device_transmit_errors",
    /// Gauge: megabits a second of the network device's link; 0 when it is down, 1 when it does not say.
    LinkMbps = "link_mbps",
    /// Gauge: rules by which the network device sends frames to cores.
    SteeringRules = "steering_rules",
    /// Gauge: items in the core's partitions.
    Items = "items",
    /// Gauge: bytes that those items take.
    LiveBytes = "live_bytes",
    /// Gauge: bytes that items may take.
    CapacityBytes = "capacity_bytes",
    /// Gauge: nanoseconds of CPU time that the core's thread has used, as the operating system says.
    ThreadCpuNs = "thread_cpu_ns",
    /// Gauge: the epoch of the core's queue pairs; 0 when they are down.
    Epoch = "epoch",
}

impl Counter {
    /// Whether it says how much there is now.
    pub const fn is_gauge(self) -> bool {
        self as usize >= Self::LinkMbps as usize
    }
}

/// Number of words that a core's counters take, drops included.
pub const COUNTER_WORDS: usize = Counter::ALL.len() + DropReason::ALL.len();

/// The counters of one core.
#[derive(Clone, Debug)]
pub struct Counters {
    values: [u64; Counter::ALL.len()],
    /// Dropped frames by reason.
    pub drops: DropCounts,
}

impl Default for Counters {
    fn default() -> Self {
        Self { values: [0; Counter::ALL.len()], drops: DropCounts::default() }
    }
}

impl Counters {
    /// Adds to a counter.
    #[inline]
    pub fn add(&mut self, counter: Counter, amount: u64) {
        if let Some(value) = self.values.get_mut(counter as usize) {
            *value = value.wrapping_add(amount);
        }
    }

    /// Sets a gauge.
    #[inline]
    pub fn set(&mut self, counter: Counter, amount: u64) {
        if let Some(value) = self.values.get_mut(counter as usize) {
            *value = amount;
        }
    }

    /// The present value.
    pub fn get(&self, counter: Counter) -> u64 {
        self.values.get(counter as usize).copied().unwrap_or_default()
    }

    /// All values in the order of [`Counter::ALL`], then drops in the order of [`DropReason::ALL`]:
    /// [`COUNTER_WORDS`] in all.
    pub fn words(&self) -> impl Iterator<Item = u64> + '_ {
        self.values.iter().copied().chain(DropReason::ALL.into_iter().map(|reason| self.drops.get(reason)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_come_in_the_order_of_the_names() {
        let mut counters = Counters::default();
        counters.add(Counter::Hits, 3);
        counters.add(Counter::Hits, 4);
        counters.set(Counter::Epoch, 9);
        counters.drops.count(DropReason::Transmit);
        assert_eq!(counters.words().count(), COUNTER_WORDS);
        assert_eq!(counters.words().nth(Counter::Hits as usize), Some(7));
        assert_eq!(counters.words().nth(Counter::Epoch as usize), Some(9));
        assert_eq!(counters.words().nth(Counter::ALL.len() + DropReason::Transmit as usize), Some(1));
        assert_eq!(counters.get(Counter::Hits), 7);
    }
}
