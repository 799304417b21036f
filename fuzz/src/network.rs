//! Whole frames, as a wire gives them.

use std::net::Ipv4Addr;

use qp_wire::DropReason;
use qp_wire::net::{
    Checksums, Datagram, FRAME_LEN_MAX, HEADERS_LEN, Local, MacAddr, PADDED_FRAME_LEN, reply_headers, request_headers,
};

/// Any bytes as a frame: what is accepted lies in the frame, and can be answered with a frame that goes back and that is
/// accepted there.
///
/// Returns 1 for an accepted frame.
pub fn check_network_frame(data: &[u8]) -> usize {
    let Ok(datagram) = Datagram::decode(data) else { return 0 };
    let range = datagram.payload_range();
    assert_eq!(data.get(range.clone()), Some(datagram.payload()), "the payload is elsewhere");
    assert!(range.end == data.len() || data.len() <= PADDED_FRAME_LEN, "bytes behind a datagram were overlooked");
    assert!(data.len() <= FRAME_LEN_MAX);

    let local =
        Local { mac: datagram.destination_mac(), ipv4: datagram.destination_ipv4(), port: datagram.destination_port() };
    let source = datagram.source();
    let is_ours = source.mac == local.mac || source.ipv4 == local.ipv4 || source.ipv4.is_loopback();
    assert_eq!(local.accepts(&datagram), if is_ours { Err(DropReason::Source) } else { Ok(()) });
    let elsewhere = Local { port: local.port ^ 1, ..local };
    assert_eq!(elsewhere.accepts(&datagram), Err(DropReason::Destination));

    for checksums in [Checksums::Zero, Checksums::Computed] {
        check_answer(data, &datagram, &local, checksums);
    }
    1
}

/// Turns the headers round and compares the answer with the question.
fn check_answer(data: &[u8], datagram: &Datagram<'_>, local: &Local, checksums: Checksums) {
    let mut answer = data.to_vec();
    let too_long = data.len() - HEADERS_LEN + 1;
    assert_eq!(reply_headers(&mut answer, too_long, checksums), None);
    assert_eq!(answer, data, "a frame that cannot be answered has changed");

    let payload_len = datagram.payload().len();
    let len = reply_headers(&mut answer, payload_len, checksums).expect("as much room as the question had");
    assert_eq!(len, HEADERS_LEN + payload_len);
    assert_eq!(answer[HEADERS_LEN..], data[HEADERS_LEN..], "a payload has changed");
    let mut anew = answer.clone();
    anew[..HEADERS_LEN].fill(0xa5);
    assert_eq!(request_headers(&mut anew, local, &datagram.source(), payload_len, checksums), Some(len));
    assert_eq!(anew, answer, "something of the sender's choice went back to it");

    let decoded = Datagram::decode(&answer[..len]);
    if !can_be_answered(local) {
        assert_eq!(decoded.map(|_| ()), Err(DropReason::Source));
        return;
    }
    let decoded = decoded.expect("an answer is a valid frame");
    let there = (decoded.destination_mac(), decoded.destination_ipv4(), decoded.destination_port());
    let back = (decoded.source().mac, decoded.source().ipv4, decoded.source().port);
    assert_eq!(there, (datagram.source().mac, datagram.source().ipv4, datagram.source().port));
    assert_eq!(back, (local.mac, local.ipv4, local.port));
    assert_eq!(decoded.payload(), datagram.payload());
    assert_eq!(decoded.checksums(), checksums);
}

/// Whether an endpoint could send frames that others take (W-C-11, W-C-12).
fn can_be_answered(local: &Local) -> bool {
    let Local { mac: MacAddr(mac), ipv4, .. } = *local;
    mac[0] & 1 == 0
        && mac != [0; 6]
        && !ipv4.is_multicast()
        && ![Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST].contains(&ipv4)
}
