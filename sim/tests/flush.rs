//! The adaptive flush beside fixed ones, in virtual time: the same figures on every machine.

use sim::load::sweep::{Point, SHAPES};

/// What adaptation may cost, and what of the median delay where cores have little time left, which these short runs show
/// less exactly.
const SHARE: f64 = 0.05;
const BUSY_SHARE: f64 = 0.1;

/// Up to this load, in percent, cores have time.
const IDLE_PERCENT_MAX: u64 = 50;

const FRAME_COUNTS: (usize, usize) = (1_000, 2_500);

fn check(shape: usize, percents: &[u64]) {
    for percent in percents {
        let point = Point::measure(SHAPES[shape], *percent, FRAME_COUNTS);
        let what = format!("{:?} at {percent} %: {:?}", point.shape, point.adaptive);
        assert!(point.mops_ratio() >= 1.0 - SHARE, "{what}, the best {} Mops", point.best_mops());
        if point.is_calm() {
            let share = if *percent <= IDLE_PERCENT_MAX { SHARE } else { BUSY_SHARE };
            assert!(point.p50_ratio() <= 1.0 + share, "{what}, the best p50 {} us", point.best_p50_us());
        }
    }
}

#[test]
fn one_queue_pair_is_as_fast_as_with_the_best_fixed_wait_of_each_load() {
    check(0, &[2, 6, 12, 25, 40, 50, 75, 90, 120]);
}

#[test]
fn so_are_four_that_share_a_card() {
    check(1, &[6, 25, 50, 90, 120]);
}

#[test]
fn so_are_eight_that_make_it_slow() {
    check(2, &[12, 25, 50, 90, 120]);
}

#[test]
fn so_are_eight_at_one_host_core() {
    check(3, &[12, 50, 75, 90, 120]);
}
