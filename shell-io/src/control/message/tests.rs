use proptest::prelude::*;

use super::*;

fn introduction() -> Introduction {
    Introduction {
        software: "dpu-kv 0.1.0".to_owned(),
        agreement: Agreement::from_values(std::array::from_fn(|index| index as u64 * 1000)),
        server_id: 0x1122_3344_5566_7788,
        epoch: 41,
        endpoints: vec![
            EndpointAddress {
                core: CoreId(0),
                label: OwnerLabel(2),
                mac: MacAddr([0; 6]),
                address: Ipv4Addr::LOCALHOST,
                port: 7602,
            },
            EndpointAddress {
                core: CoreId(1),
                label: OwnerLabel(3),
                mac: MacAddr([2, 0, 0, 0, 0, 1]),
                address: Ipv4Addr::new(10, 0, 0, 9),
                port: 0,
            },
        ],
        windows: vec![
            WindowDescriptor { queue_pair: QueuePairId(0), region: b"memory".to_vec(), offset: 64, len: 4096 },
            WindowDescriptor { queue_pair: QueuePairId(1), region: vec![7; REGION_LEN_MAX], offset: 4160, len: 64 },
        ],
    }
}

fn messages() -> Vec<Message> {
    let mismatch = Mismatch { field: Field::Depth, own: 4, peer: 8 };
    vec![
        Message::Hello(introduction()),
        Message::Hello(Introduction { epoch: 0, endpoints: vec![], windows: vec![], ..introduction() }),
        Message::Welcome(introduction()),
        Message::Attached(42),
        Message::Heartbeat(0),
        Message::Heartbeat(u32::MAX),
        Message::Refusal(Refusal::Busy),
        Message::Refusal(Refusal::Mismatch(mismatch)),
        Message::Farewell(FarewellReason::Leaving),
        Message::Farewell(FarewellReason::Broken),
        Message::Farewell(FarewellReason::Unreachable),
    ]
}

fn encoded(message: &Message) -> Vec<u8> {
    let mut bytes = Vec::new();
    message.encode(&mut bytes);
    bytes
}

/// Gives changed bytes their right length and checksum again, so that what is behind those checks is reached.
fn resealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let body_len = (bytes.len() - HEADER_LEN) as u32;
    bytes[16..20].copy_from_slice(&body_len.to_le_bytes());
    let sum = crc32c(crc32c(0, &bytes[..20]), &bytes[HEADER_LEN..]);
    bytes[20..24].copy_from_slice(&sum.to_le_bytes());
    bytes
}

#[test]
fn every_message_is_read_as_it_was_written() {
    for message in messages() {
        let mut bytes = encoded(&message);
        let len = bytes.len();
        bytes.extend_from_slice(&encoded(&Message::Heartbeat(9)));
        assert_eq!(Message::decode(&bytes), Ok(Some((message, len))));
        assert_eq!(Message::decode(&bytes[len..]), Ok(Some((Message::Heartbeat(9), HEADER_LEN + 4))));
    }
}

#[test]
fn the_bytes_of_a_heartbeat_are_these() {
    let mut expected = b"DKVC\x04\x00\x04\x00\x08\x07\x06\x05\x04\x03\x02\x01\x04\x00\x00\x00".to_vec();
    let sum = crc32c(crc32c(0, &expected), &[5, 0, 0, 0]);
    expected.extend_from_slice(&sum.to_le_bytes());
    expected.extend_from_slice(&[5, 0, 0, 0]);
    assert_eq!(encoded(&Message::Heartbeat(5)), expected);
}

#[test]
fn every_cut_of_a_message_asks_for_more() {
    for message in messages() {
        let bytes = encoded(&message);
        for len in 0..bytes.len() {
            assert_eq!(Message::decode(&bytes[..len]), Ok(None), "{message:?} cut to {len}");
        }
    }
}

#[test]
fn a_body_cut_or_extended_under_a_right_checksum_is_malformed() {
    for message in messages() {
        let bytes = encoded(&message);
        let malformed = Err(MessageError::Malformed { kind: message.kind() });
        for len in HEADER_LEN..bytes.len() {
            assert_eq!(Message::decode(&resealed(bytes[..len].to_vec())), malformed, "{message:?} cut to {len}");
        }
        let longer = [bytes.as_slice(), &[0]].concat();
        assert_eq!(Message::decode(&resealed(longer)), malformed);
    }
}

#[test]
fn every_flipped_bit_is_noticed() {
    for message in messages() {
        let bytes = encoded(&message);
        for bit in 0..bytes.len().min(400) * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            let decoded = Message::decode(&changed);
            // A longer length makes it wait for bytes that never come; the silence ends that.
            assert!(matches!(decoded, Err(_) | Ok(None)), "bit {bit} of {message:?}");
        }
    }
}

#[test]
fn another_version_and_another_byte_order_are_named() {
    let mut bytes = encoded(&Message::Heartbeat(1));
    bytes[4] = 9;
    assert_eq!(Message::decode(&bytes), Err(MessageError::Version { got: 9 }));
    let mut bytes = encoded(&Message::Heartbeat(1));
    bytes[8..16].reverse();
    assert_eq!(Message::decode(&bytes), Err(MessageError::Endianness { got: 0x0807_0605_0403_0201 }));
}

#[test]
fn a_length_beyond_the_bound_is_refused_before_the_body_is_waited_for() {
    let mut bytes = encoded(&Message::Heartbeat(1));
    bytes[16..20].copy_from_slice(&(BODY_LEN_MAX as u32 + 1).to_le_bytes());
    bytes.truncate(HEADER_LEN);
    assert_eq!(Message::decode(&bytes), Err(MessageError::Long { got: BODY_LEN_MAX as u32 + 1 }));
}

#[test]
fn the_longest_introduction_fits_the_bound() {
    let window = |index| WindowDescriptor {
        queue_pair: QueuePairId(index),
        region: vec![1; REGION_LEN_MAX],
        offset: 0,
        len: u64::MAX,
    };
    let longest = Introduction {
        software: "v".repeat(SOFTWARE_LEN_MAX),
        endpoints: vec![introduction().endpoints[0]; CORE_COUNT_MAX],
        windows: (0..CORE_COUNT_MAX as u8).map(window).collect(),
        ..introduction()
    };
    let bytes = encoded(&Message::Welcome(longest.clone()));
    assert!(bytes.len() <= HEADER_LEN + BODY_LEN_MAX);
    assert_eq!(Message::decode(&bytes), Ok(Some((Message::Welcome(longest), bytes.len()))));
}

#[test]
fn what_no_side_would_say_is_malformed() {
    let wrong_windows = |change: fn(&mut WindowDescriptor)| {
        let mut wrong = introduction();
        change(&mut wrong.windows[1]);
        Message::Hello(wrong)
    };
    let mut no_port = introduction();
    no_port.endpoints[0].port = 0;
    let mut no_core = introduction();
    no_core.endpoints[0].core = CoreId(CORE_COUNT_MAX as u8);
    let wrong = [
        Message::Hello(no_port),
        Message::Hello(no_core),
        Message::Hello(Introduction { software: "a\nb".to_owned(), ..introduction() }),
        Message::Welcome(Introduction { epoch: 0, ..introduction() }),
        Message::Attached(0),
        wrong_windows(|window| window.queue_pair = QueuePairId(0)),
        wrong_windows(|window| window.queue_pair = QueuePairId(2)),
        wrong_windows(|window| window.len = u64::MAX),
    ];
    for message in wrong {
        let decoded = Message::decode(&encoded(&message));
        assert_eq!(decoded, Err(MessageError::Malformed { kind: message.kind() }), "{message:?}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Message::decode(&bytes);
    }

    #[test]
    fn what_is_accepted_is_written_with_the_same_bytes(kind in 0u8..9, body in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut bytes = encoded(&Message::Heartbeat(0));
        bytes.truncate(HEADER_LEN);
        bytes[6] = kind;
        bytes.extend_from_slice(&body);
        let bytes = resealed(bytes);
        if let Ok(Some((message, len))) = Message::decode(&bytes) {
            prop_assert_eq!(&encoded(&message), &bytes[..len]);
        }
    }

    #[test]
    fn a_changed_introduction_is_refused_or_written_with_the_same_bytes(at in 0usize..288, to in any::<u8>()) {
        let mut bytes = encoded(&Message::Hello(introduction()));
        bytes[HEADER_LEN + at] = to;
        let bytes = resealed(bytes);
        if let Ok(Some((message, len))) = Message::decode(&bytes) {
            prop_assert_eq!(&encoded(&message), &bytes[..len]);
        }
    }
}
