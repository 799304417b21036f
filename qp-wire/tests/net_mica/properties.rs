//! Properties over cuts, damages, arbitrary bytes and arbitrary requests.

use std::net::Ipv4Addr;

use proptest::prelude::*;

use qp_wire::mica::{MicaRequest, RequestFrame, RequestWriter, ResponseFrame, ResponseHead, ResponseWriter};
use qp_wire::net::{Checksums, Datagram, FRAME_LEN_MAX, HEADERS_LEN, MacAddr, Remote, reply_headers, request_headers};
use qp_wire::{DropReason, RawRequest, ResultCode};

use crate::checks::{
    check_every_request_can_be_answered, check_frame, check_request_payload, check_requests_survive,
    check_response_payload,
};
use crate::frames::{
    CLIENT, SERVER, checksum, entry, frame, get, mixed_requests, mixed_responses, payload, set, with_ipv4_checksum,
    with_udp_checksum,
};
use crate::reference::Entry;

#[test]
fn w_c_6_every_cut_of_a_good_frame_is_short() {
    for good in [frame(&mixed_requests()), with_ipv4_checksum(with_udp_checksum(frame(&mixed_requests())))] {
        assert!(Datagram::decode(&good).is_ok());
        for len in 0..good.len() {
            assert_eq!(Datagram::decode(&good[..len]).map(|_| ()), Err(DropReason::Short), "{len} bytes");
            check_frame(&good[..len]);
        }
    }
}

#[test]
fn w_c_23_every_cut_of_a_good_payload_is_refused() {
    for good in [mixed_requests(), mixed_responses()] {
        check_request_payload(&good);
        check_response_payload(&good);
        for len in 0..good.len() {
            let reason = if len < 30 { DropReason::Short } else { DropReason::Malformed };
            let cut = &good[..len];
            let verdict = match good[0] {
                0x78 => RequestFrame::decode(cut).map(|_| ()),
                _ => ResponseFrame::decode(cut).map(|_| ()),
            };
            assert_eq!(verdict, Err(reason), "{len} bytes");
        }
    }
}

#[test]
fn w_c_7_filling_up_to_60_bytes_is_no_part_of_the_payload() {
    for payload_len in 0..=18 {
        let mut bytes = frame(&vec![0xab; payload_len]);
        bytes.resize(60, 0xcd);
        let datagram = Datagram::decode(&bytes).expect("a filled frame");
        assert_eq!(datagram.payload(), vec![0xab; payload_len]);
        assert_eq!(datagram.payload_range(), 42..42 + payload_len);
    }
}

#[test]
fn w_c_1_a_frame_may_be_as_long_as_a_jumbo_packet_and_as_short_as_its_headers() {
    for payload_len in [0, 8972] {
        let bytes = frame(&vec![0xab; payload_len]);
        assert_eq!(Datagram::decode(&bytes).map(|datagram| datagram.payload().len()), Ok(payload_len));
        check_frame(&bytes);
    }
}

#[test]
fn a_datagram_says_who_sent_it_to_whom() {
    let bytes = frame(b"payload");
    let datagram = Datagram::decode(&bytes).expect("a good frame");
    assert_eq!(datagram.source(), CLIENT);
    assert_eq!(datagram.destination_mac(), SERVER.mac);
    assert_eq!(datagram.destination_ipv4(), SERVER.ipv4);
    assert_eq!(datagram.destination_port(), SERVER.port);
}

#[test]
fn w_c_16_a_reply_changes_sides_and_keeps_nothing_else_of_the_request() {
    let mut bytes = with_ipv4_checksum(with_udp_checksum(frame(b"0123456789")));
    // Type of service, identification, don't fragment, time to live.
    bytes[15] = 0xff;
    bytes[18..23].copy_from_slice(&[0xab, 0xcd, 0x40, 0, 3]);
    assert_eq!(reply_headers(&mut bytes, 3, Checksums::Zero), Some(45));
    let expected: [&[u8]; 11] = [
        &CLIENT.mac.0,
        &SERVER.mac.0,
        &[0x08, 0x00, 0x45, 0, 0, 31, 0, 0, 0, 0, 64, 17, 0, 0],
        &SERVER.ipv4.octets(),
        &CLIENT.ipv4.octets(),
        &[0x12, 0x34],
        &[0x56, 0x78],
        &[0, 11],
        &[0, 0],
        b"012",
        b"3456789",
    ];
    assert_eq!(bytes, expected.concat());
}

#[test]
fn w_c_17_both_lengths_are_exact_for_every_payload() {
    let mut bytes = frame(&[0; 8972]);
    for payload_len in 0..=8972 {
        assert_eq!(reply_headers(&mut bytes, payload_len, Checksums::Zero), Some(42 + payload_len));
        assert_eq!(bytes[16..18], (28 + payload_len as u16).to_be_bytes());
        assert_eq!(bytes[38..40], (8 + payload_len as u16).to_be_bytes());
    }
}

#[test]
fn w_c_18_a_computed_checksum_is_what_kernels_compute() {
    let mut bytes = frame(b"payload");
    assert_eq!(reply_headers(&mut bytes, 7, Checksums::Computed), Some(49));
    assert_eq!(checksum(&bytes[14..34]), 0);
    assert_ne!(bytes[24..26], [0, 0]);
    assert_eq!(bytes[40..42], [0, 0]);
    let filled_in = bytes.clone();
    assert_eq!(with_ipv4_checksum(bytes), filled_in);
}

#[test]
fn w_c_18_a_datagram_says_whether_its_sender_computes_checksums() {
    let plain = frame(b"payload");
    assert_eq!(Datagram::decode(&plain).map(|datagram| datagram.checksums()), Ok(Checksums::Zero));
    let summed = with_ipv4_checksum(plain);
    assert_eq!(Datagram::decode(&summed).map(|datagram| datagram.checksums()), Ok(Checksums::Computed));
}

#[test]
fn headers_are_written_whole_or_not_at_all() {
    let remote = Remote { mac: SERVER.mac, ..CLIENT };
    let untouched = vec![0xee; FRAME_LEN_MAX + 1];
    for (frame_len, payload_len) in [(0, 0), (41, 0), (42, 1), (1000, 959), (FRAME_LEN_MAX + 1, 8973), (50, usize::MAX)]
    {
        let mut bytes = untouched.clone();
        assert_eq!(reply_headers(&mut bytes[..frame_len], payload_len, Checksums::Zero), None);
        assert_eq!(request_headers(&mut bytes[..frame_len], &SERVER, &remote, payload_len, Checksums::Computed), None);
        assert_eq!(bytes, untouched);
    }
    assert_eq!(reply_headers(&mut untouched.clone(), 8972, Checksums::Zero), Some(FRAME_LEN_MAX));
}

#[test]
fn what_is_full_stays_as_it_was() {
    let request =
        MicaRequest { raw: RawRequest { operation: 5, key: b"12345678", value: b"" }, key_hash: 1, opaque: 2 };
    assert!(RequestWriter::new(&mut [0; 29]).is_none());
    let mut room = [0xee; 6 + 32 + 31];
    let mut writer = RequestWriter::new(&mut room).expect("room");
    writer.push(&request).expect("room");
    writer.push(&request).expect_err("one byte is missing");
    assert_eq!((writer.count(), writer.finish()), (1, 38));
    assert_eq!(room[38..], [0xee; 31]);

    let long_key = RawRequest { operation: 5, key: &[0; 256], value: b"" };
    let mut room = [0xee; 400];
    let mut writer = RequestWriter::new(&mut room).expect("room");
    writer.push(&MicaRequest { raw: long_key, ..request }).expect_err("a key has 255 bytes at most");
    assert_eq!((writer.count(), writer.finish()), (0, 6));
    assert_eq!(room[6..], [0xee; 394]);

    let head = request.head();
    assert!(ResponseWriter::new(&mut [0; 29], 30).is_none());
    let mut room = [0xee; 6 + 24 + 8 + 24];
    let mut writer = ResponseWriter::new(&mut room, 6 + 24 + 24).expect("room");
    assert_eq!(writer.value_buf(head).len(), 8);
    writer.push(head, ResultCode::Success, Some(b"9 letters")).expect_err("a value of 8 bytes at most");
    writer.push_in_place(head, ResultCode::Success, 9).expect_err("a value of 8 bytes at most");
    writer.push(head, ResultCode::Success, Some(b"8letters")).expect("room");
    assert!(writer.value_buf(head).is_empty());
    writer.push(head, ResultCode::NotProcessed, None).expect("the room that was kept");
    writer.push(head, ResultCode::NotProcessed, None).expect_err("not announced");
    assert!(writer.value_buf(head).is_empty());
    assert_eq!((writer.count(), writer.finish()), (2, 62));
}

#[test]
fn w_c_22_a_payload_has_at_most_255_entries() {
    let noop = MicaRequest::probe(0);
    let mut room = vec![0; 8000];
    let mut writer = RequestWriter::new(&mut room).expect("room");
    for _ in 0..255 {
        writer.push(&noop).expect("room");
    }
    writer.push(&noop).expect_err("the count has 8 bits");
    let len = writer.finish();
    assert_eq!(RequestFrame::decode(&room[..len]).map(|frame| frame.count()), Ok(255));

    let mut writer = ResponseWriter::new(&mut room, 6).expect("room");
    for _ in 0..255 {
        writer.push(noop.head(), ResultCode::Success, None).expect("room");
    }
    writer.push(noop.head(), ResultCode::Success, None).expect_err("the count has 8 bits");
    let len = writer.finish();
    assert_eq!(ResponseFrame::decode(&room[..len]).map(|frame| frame.count()), Ok(255));
}

#[test]
fn w_c_20_no_payload_grows_longer_than_a_jumbo_packet_carries() {
    let mut room = vec![0; 20_000];
    let raw = RawRequest { operation: 4, key: b"12345678", value: &[7; 8000] };
    let request = MicaRequest { raw, key_hash: 1, opaque: 2 };
    let mut writer = RequestWriter::new(&mut room).expect("room");
    writer.push(&request).expect("room");
    writer.push(&request).expect_err("no room in a datagram");
    assert_eq!(writer.finish(), 8038);

    let mut writer = ResponseWriter::new(&mut room, 30).expect("room");
    assert_eq!(writer.value_buf(request.head()).len(), (8972 - 30) / 8 * 8);
    assert!(ResponseWriter::new(&mut room, 8973).is_none());
    assert!(ResponseWriter::new(&mut room, 8972).is_some());
}

#[test]
fn w_c_33_a_response_says_only_what_mica2_knows() {
    for result in ResultCode::ALL {
        let head = ResponseHead { key_hash: 1, opaque: 2, operation: 5, value_len_min: 0 };
        let mut room = [0xee; 30];
        let mut writer = ResponseWriter::new(&mut room, 30).expect("room");
        writer.push(head, result, None).expect("room");
        assert_eq!(writer.finish(), 30);
        assert_eq!(room[7], if result.to_wire() > 9 { 1 } else { result.to_wire() });
    }
}

#[test]
fn w_c_34_a_value_never_takes_the_room_of_the_responses_behind_it() {
    // Only the first request has bytes to spare, and until a response takes them the next one can have them.
    let bytes = payload(0x78, &[get(b"12345678"), get(b""), get(b"")]);
    let frame = RequestFrame::decode(&bytes).expect("a good payload");
    let mut room = vec![0; bytes.len()];
    let mut writer = ResponseWriter::new(&mut room, frame.response_len_min()).expect("room");
    let lens = frame.requests().map(|request| {
        let len = writer.value_buf(request.head()).len();
        writer.push(request.head(), ResultCode::NotFound, None).expect("room");
        len
    });
    assert_eq!(lens.collect::<Vec<_>>(), [8, 8, 8]);
    assert_eq!(writer.finish(), 6 + 3 * 24);
}

#[test]
fn w_c_35_an_increment_keeps_its_room_and_a_bare_one_none() {
    let counter = entry(8, 0, 1, 2, b"counter", &[1; 8]);
    let bare = entry(8, 0, 1, 2, b"", b"");
    let bytes = payload(0x78, &[bare.clone(), bare, set(b"12345678", b""), counter]);
    let frame = RequestFrame::decode(&bytes).expect("a good payload");
    assert_eq!(frame.response_len_min(), 6 + 4 * 24 + 8);
    let lens: Vec<_> = frame.requests().map(|request| request.head().len_min()).collect();
    assert_eq!(lens, [24, 24, 24, 32]);
    check_every_request_can_be_answered(&bytes, bytes.len());
    check_every_request_can_be_answered(&bytes, frame.response_len_min());
    check_every_request_can_be_answered(&bytes, frame.response_len_min() - 1);
}

/// Requests as a client may send them, most of them small, operations known and not.
fn requests() -> impl Strategy<Value = Vec<Entry>> {
    let operation = prop_oneof![9 => 0u8..=8, 1 => any::<u8>()];
    let key = prop_oneof![8 => prop::collection::vec(any::<u8>(), 0..20), 1 => prop::collection::vec(any::<u8>(), 255)];
    let value = prop_oneof![
        4 => prop::collection::vec(any::<u8>(), 0..20),
        3 => prop::collection::vec(any::<u8>(), 8),
        1 => prop::collection::vec(any::<u8>(), 0..300),
    ];
    prop::collection::vec((operation, Just(0), any::<u64>(), any::<u32>(), key, value), 1..14)
}

/// The payload that carries them.
fn payload_of(requests: &[Entry]) -> Vec<u8> {
    let entries: Vec<_> = requests
        .iter()
        .map(|(operation, result, key_hash, opaque, key, value)| {
            entry(*operation, *result, *key_hash, *opaque, key, value)
        })
        .collect();
    payload(0x78, &entries)
}

/// A damage to a frame: some bytes become others, or its length does.
#[derive(Clone, Debug)]
enum Damage {
    Byte(prop::sample::Index, u8),
    /// One of the first bytes, in which all the headers are.
    HeaderByte(usize, u8),
    Cut(prop::sample::Index),
    Append(Vec<u8>),
    /// The lengths of the headers are made right again, so that the payload is looked at.
    FixLengths,
}

fn damages() -> impl Strategy<Value = Vec<Damage>> {
    let damage = prop_oneof![
        3 => (any::<prop::sample::Index>(), any::<u8>()).prop_map(|(at, byte)| Damage::Byte(at, byte)),
        2 => (0usize..80, any::<u8>()).prop_map(|(at, byte)| Damage::HeaderByte(at, byte)),
        1 => any::<prop::sample::Index>().prop_map(Damage::Cut),
        1 => prop::collection::vec(any::<u8>(), 1..40).prop_map(Damage::Append),
        4 => Just(Damage::FixLengths),
    ];
    prop::collection::vec(damage, 0..4)
}

fn damaged(mut frame: Vec<u8>, damages: &[Damage]) -> Vec<u8> {
    for damage in damages {
        match damage {
            Damage::Byte(_, _) | Damage::Cut(_) if frame.is_empty() => {}
            Damage::Byte(at, byte) => {
                let at = at.index(frame.len());
                frame[at] = *byte;
            }
            Damage::HeaderByte(at, byte) => frame.get_mut(*at).into_iter().for_each(|place| *place = *byte),
            Damage::Cut(len) => frame.truncate(len.index(frame.len())),
            Damage::Append(bytes) => frame.extend(bytes),
            Damage::FixLengths if frame.len() >= 42 => {
                let len = frame.len() as u16;
                frame[16..18].copy_from_slice(&(len - 14).to_be_bytes());
                frame[38..40].copy_from_slice(&(len - 34).to_be_bytes());
            }
            Damage::FixLengths => {}
        }
    }
    frame
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn any_bytes_get_the_verdict_of_the_reference(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        check_frame(&bytes);
        check_request_payload(&bytes);
        check_response_payload(&bytes);
    }

    #[test]
    fn any_bytes_behind_good_headers_get_the_verdict_of_the_reference(
        magic in prop_oneof![Just(0x78), Just(0x79)],
        count in 1u8..4,
        bytes in prop::collection::vec(prop_oneof![4 => Just(0), 1 => any::<u8>()], 24..200),
    ) {
        let bytes = [&[magic, count, 0, 0, 0, 0], &bytes[..]].concat();
        check_frame(&frame(&bytes));
        check_request_payload(&bytes);
        check_response_payload(&bytes);
    }

    #[test]
    fn a_damaged_frame_gets_the_verdict_of_the_reference(
        requests in requests(),
        checksums in any::<(bool, bool)>(),
        damages in damages(),
    ) {
        let mut bytes = frame(&payload_of(&requests));
        if checksums.0 { bytes = with_ipv4_checksum(bytes); }
        if checksums.1 { bytes = with_udp_checksum(bytes); }
        prop_assert!(Datagram::decode(&bytes).is_ok());
        check_frame(&damaged(bytes, &damages));
    }

    #[test]
    fn a_damaged_response_gets_the_verdict_of_the_reference(damages in damages()) {
        let bytes = damaged(frame(&mixed_responses()), &damages);
        check_response_payload(bytes.get(HEADERS_LEN..).unwrap_or_default());
    }

    #[test]
    fn requests_survive_their_encoding(requests in requests()) {
        let requests: Vec<_> = requests
            .iter()
            .map(|(operation, _, key_hash, opaque, key, value)| MicaRequest {
                raw: RawRequest { operation: *operation, key, value },
                key_hash: *key_hash,
                opaque: *opaque,
            })
            .collect();
        check_requests_survive(&requests);
    }

    #[test]
    fn every_request_of_any_frame_can_be_answered(requests in requests(), spare_len in 0usize..400) {
        let bytes = payload_of(&requests);
        check_every_request_can_be_answered(&bytes, bytes.len());
        check_every_request_can_be_answered(&bytes, bytes.len() + spare_len);
    }

    #[test]
    fn headers_that_a_client_writes_are_accepted_and_a_reply_comes_back(
        mac in any::<[u8; 6]>(),
        ipv4 in any::<u32>(),
        port in any::<u16>(),
        payload in prop::collection::vec(any::<u8>(), 0..100),
        computed in any::<bool>(),
    ) {
        let client = qp_wire::net::Local { mac: MacAddr(mac), ipv4: Ipv4Addr::from(ipv4), port };
        let server = Remote { mac: SERVER.mac, ipv4: SERVER.ipv4, port: SERVER.port };
        let checksums = if computed { Checksums::Computed } else { Checksums::Zero };
        let mut bytes = vec![0xee; HEADERS_LEN];
        bytes.extend(&payload);
        prop_assert_eq!(request_headers(&mut bytes, &client, &server, payload.len(), checksums), Some(bytes.len()));
        check_frame(&bytes);
        if let Ok(datagram) = Datagram::decode(&bytes) {
            prop_assert_eq!(datagram.payload(), &payload[..]);
            prop_assert_eq!(datagram.source(), Remote { mac: MacAddr(mac), ipv4: Ipv4Addr::from(ipv4), port });
            if SERVER.accepts(&datagram).is_ok() {
                prop_assert_eq!(reply_headers(&mut bytes, payload.len(), checksums), Some(bytes.len()));
                let back = Datagram::decode(&bytes).expect("a reply to a valid frame");
                prop_assert_eq!(client.accepts(&back), Ok(()));
                prop_assert_eq!(back.source(), server);
            }
        }
    }

    #[test]
    fn every_flipped_bit_under_a_checksum_is_noticed(at in 14usize..112, bit in 0u8..8) {
        let good = with_ipv4_checksum(with_udp_checksum(frame(&payload(0x78, &[set(b"a key of 18 bytes.", b"value")]))));
        let mut bytes = good.clone();
        prop_assume!(at < good.len());
        bytes[at] ^= 1 << bit;
        prop_assert!(Datagram::decode(&bytes).is_err());
    }
}
