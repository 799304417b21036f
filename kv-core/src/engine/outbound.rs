//! Answered frames on their way to the wire.

use qp_wire::DropReason;

use super::stage::{Profile, Stage};
use crate::counters::{Counter, Counters};
use crate::port::{Burst, PacketPort};

/// Queues an answered frame for the wire. When the wire does not take any, the frame is dropped: the client asks again.
#[inline]
pub(super) fn hand_over<P: PacketPort>(
    frame: P::Frame,
    answered: &mut Burst<P::Frame>,
    port: &mut P,
    counters: &mut Counters,
    profile: &mut impl Profile,
) {
    if answered.room() == 0 {
        transmit(answered, port, counters, profile);
    }
    if answered.push(frame).is_err() {
        counters.drops.count(DropReason::Transmit);
    }
}

/// Offers answered frames to the wire.
pub(super) fn transmit<P: PacketPort>(
    answered: &mut Burst<P::Frame>,
    port: &mut P,
    counters: &mut Counters,
    profile: &mut impl Profile,
) {
    if answered.is_empty() {
        return;
    }
    profile.enter(Stage::Transmit);
    let waiting = answered.count();
    let drops_before = counters.drops.total();
    port.transmit(answered, &mut counters.drops);
    let gone = (waiting - answered.count()) as u64;
    let dropped = counters.drops.total().wrapping_sub(drops_before);
    counters.add(Counter::FramesTransmitted, gone.saturating_sub(dropped));
}
