//! How many bytes a request takes across PCIe, measured on real slots.
//!
//! `cargo test -p qp-wire --test savings -- --nocapture` prints the table. The paper's numbers are the entry sizes and the
//! frame sizes of DPU-KV (HPDC 2025); MICA2's frames are those that its programs send, with 8-byte keys and values.

use qp_wire::batch::{RequestWriter, ResponseColumns, ResponseWriter};
use qp_wire::native;
use qp_wire::qp::{
    RUN_HEADER_LEN, SLOT_HEADER_LEN, SlotStamp, open, put_run_header, request_runs, response_runs, seal,
};
use qp_wire::{Operation, Request, ResultCode};

/// Requests in a slot.
const COUNT: usize = 32;

/// Ethernet, IPv4 and UDP headers of a client's frame, in bytes.
const NETWORK_LEN: usize = 14 + 20 + 8;

const STAMP: SlotStamp = SlotStamp { queue_pair: 0, epoch: 1, index: 0, sequence: 1, credit: 0 };

/// The slot with this one body.
fn slot(body: &[u8], response_len_max: usize) -> Vec<u8> {
    let mut slot = vec![0; SLOT_HEADER_LEN + RUN_HEADER_LEN];
    put_run_header(&mut slot[SLOT_HEADER_LEN..], body.len(), response_len_max).expect("room");
    slot.extend(body);
    let len = slot.len();
    seal(&mut slot, len, &STAMP).expect("room");
    slot
}

/// The key and the value of request number `index`.
fn operands(index: usize) -> ([u8; 8], [u8; 8]) {
    ((index as u64).to_le_bytes(), (index as u64 * 3).to_le_bytes())
}

/// The body of a batch in which `is_get` says which requests are GETs; the others are SETs.
fn request_body(is_get: &[bool]) -> Vec<u8> {
    let mut writer = RequestWriter::new();
    for (index, &is_get) in is_get.iter().enumerate() {
        let (key, value) = operands(index);
        let operation = if is_get { Operation::Get } else { Operation::Set { value: &value, ttl: None } };
        writer.push_request(&Request { key: &key, operation }).expect("room");
    }
    let mut body = vec![0; writer.encoded_len()];
    writer.encode(&mut body).expect("as long as announced");
    body
}

/// The responses to [`request_body`] when every GET hits.
fn response_body(is_get: &[bool]) -> Vec<u8> {
    let mut body = vec![0; 9000];
    let mut columns = ResponseColumns::new();
    let mut writer = ResponseWriter::new(&mut body, &mut columns, is_get.len()).expect("room");
    for (index, &is_get) in is_get.iter().enumerate() {
        if is_get {
            let (_, value) = operands(index);
            writer.value_buf()[..value.len()].copy_from_slice(&value);
            writer.push_value(ResultCode::Success, value.len());
        } else {
            writer.push(ResultCode::Success);
        }
    }
    let len = writer.finish();
    body.truncate(len);
    body
}

/// Lengths of what carries a batch, in bytes.
struct Lens {
    slot: usize,
    /// What the engine copies: whole cache lines.
    copy: usize,
    /// The client's frame on the native wire.
    frame: usize,
}

impl Lens {
    fn of(slot: &[u8], body: &[u8]) -> Self {
        Self {
            slot: slot.len(),
            copy: slot.len().next_multiple_of(64),
            frame: NETWORK_LEN + native::HEADER_LEN + body.len(),
        }
    }
}

/// Request and response of one batch, after a look at whether they say what they should.
fn measure(is_get: &[bool]) -> [Lens; 2] {
    let body = request_body(is_get);
    let requests = slot(&body, 9000);
    let opened = open(&requests, STAMP.queue_pair, STAMP.epoch, STAMP.index, STAMP.sequence).expect("a whole slot");
    let run = request_runs(opened.runs()).expect("good runs").iter().next().expect("one run");
    assert_eq!(run.batch.iter().map(|request| request.operation == 5).collect::<Vec<_>>(), is_get);
    for (index, request) in run.batch.iter().enumerate() {
        let (key, value) = operands(index);
        assert_eq!((request.key, request.value), (&key[..], if is_get[index] { &[] } else { &value[..] }));
    }
    let request_lens = Lens::of(&requests, &body);

    let body = response_body(is_get);
    let responses = slot(&body, 0);
    let opened = open(&responses, STAMP.queue_pair, STAMP.epoch, STAMP.index, STAMP.sequence).expect("a whole slot");
    let run = response_runs(opened.runs()).expect("good runs").iter().next().expect("one run");
    for (index, response) in run.batch.iter().enumerate() {
        let (_, value) = operands(index);
        assert_eq!((response.result, response.value), (ResultCode::Success, is_get[index].then_some(&value[..])));
    }
    [request_lens, Lens::of(&responses, &body)]
}

/// What is compared, in bytes per request.
struct Row {
    name: &'static str,
    slot: f64,
    copy: f64,
    frame: f64,
    /// The paper's queue-pair entry and frame, and MICA2's frame; a frame holds one request.
    others: Option<[usize; 3]>,
}

/// Averages over batches of [`COUNT`] requests.
fn rows(name: [&'static str; 2], others: [Option<[usize; 3]>; 2], requests: &[bool]) -> [Row; 2] {
    let batches: Vec<_> = requests.chunks(COUNT).map(measure).collect();
    [0, 1].map(|direction| {
        let mean = |len: fn(&Lens) -> usize| {
            batches.iter().map(|batch| len(&batch[direction])).sum::<usize>() as f64 / requests.len() as f64
        };
        Row {
            name: name[direction],
            slot: mean(|lens| lens.slot),
            copy: mean(|lens| lens.copy),
            frame: mean(|lens| lens.frame),
            others: others[direction],
        }
    })
}

/// The bounds of the design: 32 requests in a slot, 8-byte keys and values, every header included.
#[test]
fn a_request_takes_no_more_bytes_than_the_design_allows() {
    let gets = rows(["GET request", "GET response"], [Some([32, 88, 80]), Some([16, 96, 80])], &[true; COUNT]);
    let sets = rows(["SET request", "SET response"], [Some([32, 96, 88]), Some([16, 88, 72])], &[false; COUNT]);
    // Workloads of YCSB: every second request of A is an update, every twentieth of B.
    let mix = |period: usize| (0..20 * COUNT).map(|index| index % period != 0).collect::<Vec<_>>();
    let a = rows(["YCSB A request", "YCSB A response"], [None; 2], &mix(2));
    let b = rows(["YCSB B request", "YCSB B response"], [None; 2], &mix(20));

    println!(
        "Bytes per request, 8-byte keys and values; {COUNT} requests a slot and native frame, one in the others' frames."
    );
    let titles = ["slot", "DMA copy", "paper", "native frame", "paper's frame", "MICA2's frame"];
    println!("{:<16}{}", "", titles.map(|title| format!("{title:>15}")).concat());
    for row in [&gets, &sets, &a, &b].into_iter().flatten() {
        let [entry, frame, mica] =
            row.others.map_or(["-", "-", "-"].map(String::from), |lens| lens.map(|len| len.to_string()));
        println!(
            "{:<16}{:>15.3}{:>15.3}{entry:>15}{:>15.3}{frame:>15}{mica:>15}",
            row.name, row.slot, row.copy, row.frame
        );
    }

    let bounds = [(&gets[0], 9.5), (&sets[0], 17.5), (&gets[1], 9.5), (&sets[1], 1.5)];
    for (row, bound) in bounds {
        assert!(row.slot <= bound, "{}: {} bytes, {bound} allowed", row.name, row.slot);
        let [entry, ..] = row.others.expect("the paper has it");
        assert!(row.copy < entry as f64, "{}: {} bytes copied, the paper has {entry}", row.name, row.copy);
    }
}
