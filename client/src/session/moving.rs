//! Requests that go into another frame: refused ones, and ones whose server has moved.

use kv_core::hash::KeyHash;
use qp_wire::batch::RequestBatch;
use qp_wire::native::HEADER_LEN;

use super::Session;
use super::flight::{Launch, Tries};
use super::gather::RoomToShow;
use super::pending::{Pending, Status};
use super::server::ServerId;
use crate::moment::Moment;

/// How requests that move start anew.
#[derive(Clone, Copy, Debug)]
pub(super) struct Again {
    /// What they have gone through.
    pub(super) before: Tries,
    /// When they may be sent next.
    pub(super) not_before: Moment,
}

impl Session {
    /// Moves the requests of a flight that are to be sent [again](Status::Again) into new flights, along the routes of
    /// today, in their order. The flight is freed when none is left in it.
    pub(super) fn move_on(&mut self, now: Moment, index: u16, again: Again) {
        let Some(flight) = self.flights.get(index) else { return };
        let (server_id, batch_end) = (flight.server, HEADER_LEN + flight.batch_len());
        let (bytes, mut requests) = self.flights.open(index);
        let body = bytes.get(HEADER_LEN..batch_end).unwrap_or_default();
        match RequestBatch::decode(body) {
            Ok(batch) => self.gather_again(now, server_id, &batch, &mut requests, again),
            Err(error) => debug_assert!(false, "our own frame: {error}"),
        }
        self.flights.close(index, bytes, requests);
        self.flights.free_if_empty(index);
    }

    fn gather_again(
        &mut self,
        now: Moment,
        server_id: ServerId,
        batch: &RequestBatch<'_>,
        requests: &mut [Pending],
        again: Again,
    ) {
        let mut way = None;
        for (raw, pending) in batch.iter().zip(requests) {
            if pending.status != Status::Again {
                continue;
            }
            let server = &self.servers[usize::from(server_id.0)];
            let room = server.room(self.config.requests_per_frame);
            let route = server.route_of(KeyHash::of(raw.key), pending.opcode.is_read());
            let has_room = self.moving.has_room(&raw, pending.opcode, &room);
            if !has_room || way.is_some_and(|way| way != route) {
                self.launch_moving(now, server_id, way.unwrap_or(route), again);
            }
            way = Some(route);
            let moved = Pending { status: Status::Waiting, ..*pending };
            let pushed = self.moving.push(&raw, moved, &room);
            debug_assert!(pushed, "a request that was in a frame before does not fit one");
            pending.status = Status::Gone;
        }
        if let Some(route) = way {
            self.launch_moving(now, server_id, route, again);
        }
    }

    fn launch_moving(&mut self, now: Moment, server_id: ServerId, route: u8, again: Again) {
        let Some(first) = self.moving.first() else { return };
        let server = &mut self.servers[usize::from(server_id.0)];
        // What was refused may have a value that is longer than expected.
        let room_to_show = server.room_to_show().map(|room| RoomToShow { knows_values: false, ..room });
        let launch = Launch {
            server: server_id,
            expiry: first.expiry(self.config.timeout),
            peer: server.route_mut(route).next_peer(),
            before: again.before,
            not_before: again.not_before,
            answer_len: self.moving.answer_len(room_to_show),
        };
        let index = self.flights.launch(now, &mut self.moving, &launch);
        self.launched(index);
    }
}
