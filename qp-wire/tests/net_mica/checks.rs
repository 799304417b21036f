//! Properties that hold for any bytes, as plain functions of bytes, which is what a fuzz target needs.

use qp_wire::batch::Response;
use qp_wire::mica::{
    BATCH_HEADER_LEN, MicaRequest, MicaResponse, Replier, Reply, RequestFrame, RequestWriter, ResponseFrame,
    ResponseWriter,
};
use qp_wire::net::{Checksums, Datagram, reply_headers};
use qp_wire::{DropReason, ResultCode};

use crate::frames::{SERVER, entry, payload};
use crate::reference;

/// A frame has the reference's verdict and payload, and one that is accepted can be answered.
pub(crate) fn check_frame(frame: &[u8]) {
    let decoded = Datagram::decode(frame);
    assert_eq!(decoded.as_ref().map(Datagram::payload).map_err(|&reason| reason), reference::payload(frame));
    let Ok(datagram) = decoded else { return };
    assert_eq!(frame.get(datagram.payload_range()), Some(datagram.payload()));
    assert_eq!(SERVER.accepts(&datagram), reference::accepts(frame));
    check_request_payload(datagram.payload());

    if SERVER.accepts(&datagram).is_ok() {
        for checksums in [Checksums::Zero, Checksums::Computed] {
            let mut answer = frame.to_vec();
            let len = reply_headers(&mut answer, datagram.payload().len(), checksums).expect("room");
            let answer = Datagram::decode(&answer[..len]).expect("an answer is a valid frame");
            assert_eq!(answer.source().mac, SERVER.mac);
            assert_eq!(answer.destination_mac(), datagram.source().mac);
            assert_eq!(answer.payload(), datagram.payload());
        }
    }
}

/// A payload has the reference's verdict as a request, and the same requests; encoded again, they are as before.
pub(crate) fn check_request_payload(bytes: &[u8]) {
    let expected = reference::entries(bytes, 0x78);
    let frame = match (RequestFrame::decode(bytes), &expected) {
        (Ok(frame), Ok(_)) => frame,
        (decoded, _) => return assert_eq!(decoded.map(|_| ()), expected.map(|_| ())),
    };
    let expected = expected.expect("compared above");
    assert_eq!(frame.count(), expected.len());
    assert_eq!(frame.requests().len(), expected.len());
    let mut behind_the_first = frame.requests();
    behind_the_first.next();
    assert_eq!(behind_the_first.len(), expected.len() - 1);
    for (request, entry) in frame.requests().zip(&expected) {
        let MicaRequest { raw, key_hash, opaque } = request;
        let (operation, result) = (raw.operation, entry.1);
        assert_eq!((operation, result, key_hash, opaque, raw.key.to_vec(), raw.value.to_vec()), *entry);
        assert_eq!(request.decode().err(), reference::refusal(entry));
    }
    assert!(frame.heads().eq(frame.requests().map(|request| request.head())));
    let lens_min = frame.heads().map(|head| head.len_min());
    assert_eq!(frame.response_len_min(), BATCH_HEADER_LEN + lens_min.sum::<usize>());
    for (value_len_max, spare) in [(1, 0), (9, 0), (9, 64), (200, 0), (200, 4096)] {
        check_a_reply_is_the_response(bytes, value_len_max, bytes.len() + spare);
    }
    check_a_reply_is_the_response(bytes, 9, frame.response_len_min());
    check_requests_survive(&frame.requests().collect::<Vec<_>>());
    check_every_request_can_be_answered(bytes, bytes.len());
}

/// Requests that are encoded are decoded as they were, and their pads and reserved bytes are zero (W-C-26).
pub(crate) fn check_requests_survive(requests: &[MicaRequest<'_>]) {
    let by_hand: Vec<_> = requests
        .iter()
        .map(|request| {
            entry(request.raw.operation, 0, request.key_hash, request.opaque, request.raw.key, request.raw.value)
        })
        .collect();
    let by_hand = payload(0x78, &by_hand);

    let mut room = vec![0xee; by_hand.len()];
    let mut writer = RequestWriter::new(&mut room).expect("room");
    for request in requests {
        writer.push(request).expect("room");
    }
    let first = requests.first().expect("at least one");
    assert!(writer.push(first).is_err(), "the room was exact");
    assert_eq!(writer.count(), requests.len());
    assert_eq!(writer.finish(), by_hand.len());
    assert_eq!(room, by_hand);
    let frame = RequestFrame::decode(&room).expect("an encoded payload");
    assert!(frame.requests().eq(requests.iter().copied()));
}

/// Whatever its values, each request of a frame gets a response in `room_len` bytes, if these suffice at all, and an
/// increment gets its value (W-C-34 and W-C-35). Every second response is written in place.
pub(crate) fn check_every_request_can_be_answered(bytes: &[u8], room_len: usize) {
    let Ok(frame) = RequestFrame::decode(bytes) else { return };
    assert!(frame.response_len_min() <= bytes.len(), "a response needs no more than its request");
    let mut room = vec![0xee; room_len];
    let Some(mut writer) = ResponseWriter::new(&mut room, frame.response_len_min()) else {
        return assert!(room_len < frame.response_len_min());
    };
    let mut by_hand = Vec::new();
    for (index, request) in frame.requests().enumerate() {
        let (head, wanted_len) = (request.head(), (request.key_hash % 200) as usize);
        let wanted = vec![index as u8; if head.value_len_min > 0 { 8 } else { wanted_len }];
        let place = writer.value_buf(head);
        let fits = place.len() >= wanted.len();
        assert!(fits || head.value_len_min == 0, "an increment always gets its value");
        let pushed = if index % 2 == 0 {
            place.iter_mut().zip(&wanted).for_each(|(to, from)| *to = *from);
            writer.push_in_place(head, ResultCode::Success, wanted.len())
        } else {
            writer.push(head, ResultCode::Success, Some(&wanted))
        };
        assert_eq!(pushed.is_ok(), fits);
        let (result, value) =
            if fits { (ResultCode::Success, &wanted[..]) } else { (ResultCode::NotProcessed, &[][..]) };
        if !fits {
            writer.push(head, result, None).expect("a response without a value always fits");
        }
        by_hand.push(entry(head.operation, result.to_wire(), head.key_hash, head.opaque, b"", value));
    }
    assert_eq!(writer.count(), frame.count());
    let len = writer.finish();
    assert_eq!(room[..len], payload(0x79, &by_hand), "W-C-32: the same number, the same order, echoed");
    check_response_payload(&room[..len]);
}

/// What is built over a request is what a [`ResponseWriter`] builds elsewhere, in as many bytes, and so is what is built apart
/// where the request has not all the room.
pub(crate) fn check_a_reply_is_the_response(bytes: &[u8], value_len_max: u64, room_len: usize) {
    let Ok(frame) = RequestFrame::decode(bytes) else { return };
    let mut room = vec![0xee; room_len];
    let mut writer = ResponseWriter::new(&mut room, frame.response_len_min()).expect("room for the least response");
    let value = [0x5a; 200];
    let (mut responses, mut not_processed) = (Vec::new(), 0);
    for request in frame.requests() {
        let head = request.head();
        let value_len = if head.value_len_min > 0 { 8 } else { (request.key_hash % value_len_max) as usize };
        let result = ResultCode::ALL[(request.key_hash >> 8) as usize % ResultCode::ALL.len()];
        let response = Response { result, value: (request.key_hash & (1 << 20) == 0).then_some(&value[..value_len]) };
        if writer.push(head, told(head.operation, result), response.value).is_err() {
            not_processed += 1;
            writer.push(head, ResultCode::NotProcessed, None).expect("a response without a value always fits");
        }
        responses.push(response);
    }
    let len = writer.finish();
    let expected = (Some(Reply { len, not_processed }), &room[..len]);

    let mut replier = Replier::new();
    let behind = [Response { result: ResultCode::Rejected, value: None }];
    let mut place = vec![0xee; room_len];
    let mut left = responses.iter().chain(&behind).copied();
    replier.keep(bytes);
    let reply = replier.reply_apart(&mut place, &mut left, told);
    assert_eq!((reply, &place[..len]), expected, "W-C-32 and W-C-34, apart");
    assert!(left.eq(behind), "the responses to other frames are theirs");
    if bytes.len() <= room_len {
        place[..bytes.len()].copy_from_slice(bytes);
        let mut left = responses.iter().chain(&behind).copied();
        let reply = replier.reply(&mut place, &mut left, told);
        assert_eq!((reply, &place[..len]), expected, "W-C-32 and W-C-34, in place");
        assert!(left.eq(behind), "the responses to other frames are theirs");
        place[..bytes.len()].copy_from_slice(bytes);
        let mut too_few = responses.iter().skip(1).copied();
        assert_eq!(replier.reply(&mut place, &mut too_few, told), None, "a request without a response");
    }
}

/// What a server tells instead of a result, of which success stays what it is.
fn told(operation: u8, result: ResultCode) -> ResultCode {
    match result {
        ResultCode::Success => ResultCode::Success,
        ResultCode::NotSupported if operation & 1 == 0 => ResultCode::Error,
        other => other,
    }
}

/// A payload has the reference's verdict as a response, and the same responses.
pub(crate) fn check_response_payload(bytes: &[u8]) {
    let expected = match reference::entries(bytes, 0x79) {
        Ok(entries) if entries.iter().all(reference::is_response) => Ok(entries),
        Ok(_) => Err(DropReason::Malformed),
        Err(reason) => Err(reason),
    };
    let frame = match (ResponseFrame::decode(bytes), &expected) {
        (Ok(frame), Ok(_)) => frame,
        (decoded, _) => return assert_eq!(decoded.map(|_| ()), expected.map(|_| ())),
    };
    let expected = expected.expect("compared above");
    assert_eq!(frame.count(), expected.len());
    assert_eq!(frame.responses().len(), expected.len());
    for (response, entry) in frame.responses().zip(expected) {
        let MicaResponse { operation, result, key_hash, opaque, value } = response;
        assert_eq!((operation, result.to_wire(), key_hash, opaque, Vec::new(), value.to_vec()), entry);
    }
}
