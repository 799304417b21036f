//! What a server says of itself.

mod batches;

use batches::hex;
use proptest::prelude::*;
use qp_wire::native::{
    ENDPOINT_COUNT_MAX, Endpoint, IDENTITY_LEN_MAX, IDENTITY_RESPONSE_LEN_MAX, Identity, IdentityError,
    PARTITION_COUNT_MAX,
};

const GOLDEN: &str = "0807060504030201 0d0c0b0a 02 03 c005 0004 ff 02 0300 0000  00 01 00 \
                      00 00 2f2c 0a000001  01 00 302c 00000000";

fn golden_endpoints() -> [Endpoint; 2] {
    [Endpoint::new(0, [10, 0, 0, 1], 11_311), Endpoint::new(1, [0; 4], 11_312)]
}

fn golden(endpoints: &[Endpoint]) -> Identity<'_> {
    Identity {
        server_id: 0x0102_0304_0506_0708,
        epoch: 0x0a0b_0c0d,
        design: 2,
        concurrent_read: true,
        complete: true,
        frame_len_max: 1472,
        value_len_max: 1024,
        key_len_max: 255,
        owners: &[0, 1, 0],
        endpoints,
    }
}

fn encode(identity: &Identity<'_>) -> Result<Vec<u8>, IdentityError> {
    let mut bytes = vec![0xee; IDENTITY_LEN_MAX];
    let len = identity.encode(&mut bytes)?;
    assert_eq!(len, identity.encoded_len());
    bytes.truncate(len);
    Ok(bytes)
}

/// W-C-57
#[test]
fn an_identity_has_its_golden_bytes() {
    let endpoints = golden_endpoints();
    assert_eq!(encode(&golden(&endpoints)), Ok(hex(GOLDEN)));
    let bytes = hex(GOLDEN);
    let identity = Identity::decode(&bytes).expect("a golden identity");
    assert_eq!(identity, golden(&endpoints));
    let told: Vec<_> = identity.endpoints.iter().map(|each| (each.label(), each.ipv4(), each.udp_port())).collect();
    assert_eq!(told, [(0, Some([10, 0, 0, 1]), 11_311), (1, None, 11_312)]);
}

/// W-C-57: the counts say the length.
#[test]
fn every_other_length_is_refused() {
    let mut bytes = hex(GOLDEN);
    let needed = bytes.len();
    for got in 0..needed {
        let error = Identity::decode(&bytes[..got]).expect_err("a cut");
        assert!(matches!(error, IdentityError::Len { got: told, .. } if told == got), "{error:?}");
    }
    bytes.push(0);
    assert_eq!(Identity::decode(&bytes), Err(IdentityError::Len { needed, got: needed + 1 }));
    let endpoints = golden_endpoints();
    let mut short = vec![0xee; needed - 1];
    assert_eq!(golden(&endpoints).encode(&mut short), Err(IdentityError::Len { needed, got: needed - 1 }));
    assert!(short.iter().all(|&byte| byte == 0xee));
}

/// What is wrong with the golden identity once `byte` is at `at`.
fn error_with(at: usize, byte: u8) -> Option<IdentityError> {
    let mut bytes = hex(GOLDEN);
    bytes[at] = byte;
    Identity::decode(&bytes).err()
}

/// W-C-57
#[test]
fn what_is_reserved_has_to_be_zero() {
    for bit in 2..8 {
        assert_eq!(error_with(13, 3 | 1 << bit), Some(IdentityError::Reserved), "flag {bit}");
    }
    for at in [22, 23, 28, 36] {
        assert_eq!(error_with(at, 1), Some(IdentityError::Reserved), "byte {at}");
    }
}

/// W-C-57
#[test]
fn counts_and_lengths_have_bounds() {
    assert_eq!(error_with(18, 0), Some(IdentityError::KeyLen));
    assert_eq!(error_with(19, 0), Some(IdentityError::EndpointCount { count: 0 }));
    assert_eq!(error_with(19, 33), Some(IdentityError::EndpointCount { count: 33 }));
    assert_eq!(error_with(20, 0), Some(IdentityError::PartitionCount { count: 0 }));
    assert_eq!(error_with(21, 1), Some(IdentityError::PartitionCount { count: 259 }));

    let (owners, endpoints) = ([0; PARTITION_COUNT_MAX + 1], [Endpoint::new(0, [0; 4], 1); ENDPOINT_COUNT_MAX + 1]);
    let largest = Identity {
        owners: &owners[..PARTITION_COUNT_MAX],
        endpoints: &endpoints[..ENDPOINT_COUNT_MAX],
        ..golden(&endpoints)
    };
    let bytes = encode(&largest).expect("the largest identity");
    assert_eq!(bytes.len(), IDENTITY_LEN_MAX);
    assert_eq!(IDENTITY_RESPONSE_LEN_MAX, 16 + bytes.len());
    assert_eq!(Identity::decode(&bytes), Ok(largest));
    assert_eq!(
        encode(&Identity { owners: &owners, ..largest }),
        Err(IdentityError::PartitionCount { count: PARTITION_COUNT_MAX + 1 })
    );
    assert_eq!(
        encode(&Identity { endpoints: &endpoints, ..largest }),
        Err(IdentityError::EndpointCount { count: ENDPOINT_COUNT_MAX + 1 })
    );
    assert_eq!(encode(&Identity { owners: &[], ..largest }), Err(IdentityError::PartitionCount { count: 0 }));
    assert_eq!(encode(&Identity { key_len_max: 0, ..largest }), Err(IdentityError::KeyLen));
}

/// W-C-57: a client that believes a complete list would have nowhere to send a request.
#[test]
fn a_complete_list_has_an_endpoint_for_every_owner() {
    assert_eq!(error_with(25, 7), Some(IdentityError::Owner { label: 7 }));
    let endpoints = golden_endpoints();
    let without_second = Identity { endpoints: &endpoints[..1], ..golden(&endpoints) };
    assert_eq!(encode(&without_second), Err(IdentityError::Owner { label: 1 }));
    let waiting = Identity { complete: false, ..without_second };
    let bytes = encode(&waiting).expect("a list that is not complete may lack endpoints");
    assert_eq!(Identity::decode(&bytes), Ok(waiting));
}

proptest! {
    #[test]
    fn any_identity_survives_its_encoding(
        (server_id, epoch, design, concurrent_read) in any::<(u64, u32, u8, bool)>(),
        (frame_len_max, value_len_max, key_len_max) in (any::<u16>(), any::<u16>(), 1..=u8::MAX),
        owners in proptest::collection::vec(0..4u8, 1..=PARTITION_COUNT_MAX),
        endpoints in proptest::collection::vec((0..4u8, any::<[u8; 4]>(), any::<u16>()), 1..=ENDPOINT_COUNT_MAX),
    ) {
        let endpoints: Vec<_> =
            endpoints.into_iter().map(|(label, ipv4, udp_port)| Endpoint::new(label, ipv4, udp_port)).collect();
        let complete = owners.iter().all(|owner| endpoints.iter().any(|endpoint| endpoint.label() == *owner));
        let identity = Identity {
            server_id,
            epoch,
            design,
            concurrent_read,
            complete,
            frame_len_max,
            value_len_max,
            key_len_max,
            owners: &owners,
            endpoints: &endpoints,
        };
        let bytes = encode(&identity).expect("a good identity");
        prop_assert_eq!(Identity::decode(&bytes), Ok(identity));
    }

    /// What is accepted has one encoding only.
    #[test]
    fn any_bytes_are_refused_or_read(
        bytes in proptest::collection::vec(any::<u8>(), 0..64), at in 0..43usize, byte in any::<u8>(),
    ) {
        let mut near = hex(GOLDEN);
        near[at] = byte;
        for bytes in [bytes, near] {
            if let Ok(identity) = Identity::decode(&bytes) {
                prop_assert_eq!(encode(&identity), Ok(bytes.clone()));
            }
        }
    }
}
