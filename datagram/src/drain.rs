//! Sending whatever a queue holds.

use std::io;

/// Sends from the front of a queue until it is empty or the kernel wants no more just now, which `send` tells by 0.
/// `pop` takes so many from the front. Returns how many were given up.
///
/// An error may be one that was waiting at the socket and has nothing to do with the first datagram. Such an error is
/// gone once it was told, so a datagram is given up only when the kernel refuses it a second time.
pub fn drain<Q>(
    queue: &mut Q,
    is_empty: impl Fn(&Q) -> bool,
    mut send: impl FnMut(&Q) -> io::Result<usize>,
    mut pop: impl FnMut(&mut Q, usize),
) -> u64 {
    let mut given_up = 0;
    let mut is_second_try = false;
    while !is_empty(queue) {
        match send(queue) {
            Ok(0) => break,
            Ok(sent) => {
                pop(queue, sent);
                is_second_try = false;
            }
            Err(_) if is_second_try => {
                pop(queue, 1);
                given_up += 1;
                is_second_try = false;
            }
            Err(_) => is_second_try = true,
        }
    }
    given_up
}
