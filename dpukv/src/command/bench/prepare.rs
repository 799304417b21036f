//! `dpukv bench prepare`: writes frames to a file, which a side with `port.kind = "replay"` serves again and again.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use client::frames::FrameWriter;
use pcap_file::pcap::{PcapPacket, PcapWriter};
use qp_wire::Opcode;
use qp_wire::limits::KEY_LEN_MAX;
use qp_wire::net::{Local, MacAddr, Remote};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use super::frames::{WireName, parse_remote};
use super::{at_least_one, print_line, share};
use crate::exit::{Exit, Failure};
use crate::workload::{Distribution, KeySampler, KeySpace};

/// Bytes of keys; the values are as long.
const KEY_LEN: usize = 8;

/// Where the frames seem to come from.
const CLIENT_MAC: [u8; 6] = [2, 0, 0, 0, 1, 1];

/// What `bench prepare` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The capture file to write
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Endpoint that the frames are for; its address is network.address of the side that replays them
    #[arg(long, value_name = "MAC/IP/PORT", value_parser = parse_remote, default_value = "02:00:00:00:00:01/10.0.0.1/0")]
    endpoint: Remote,

    /// Address that they come from
    #[arg(long, value_name = "IP", default_value = "10.0.1.1")]
    address: Ipv4Addr,

    /// How requests are written
    #[arg(long, value_enum, default_value_t = WireName::Native)]
    wire: WireName,

    /// Requests in one frame, if they fit
    #[arg(long, value_name = "COUNT", default_value_t = 32)]
    requests_per_frame: u16,

    /// Keys of 8 bytes, with values of 8; first there is a SET of each
    #[arg(long, value_name = "COUNT", default_value_t = 1_000_000)]
    keys: u64,

    /// Requests behind these
    #[arg(long, value_name = "COUNT", default_value_t = 1 << 20)]
    requests: u64,

    /// Share of GET among them, 0 to 1; the rest is SET
    #[arg(long, value_name = "SHARE", default_value_t = 0.95)]
    gets: f64,

    /// Popularity of their keys: uniform, zipf (0.99) or zipf:THETA
    #[arg(long, value_parser = Distribution::parse, default_value = "uniform")]
    distribution: Distribution,

    /// What all random choices follow from
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Runs the command. It prints how many frames fill the store: `port.once` of the side that replays them.
///
/// # Errors
/// Its [`Failure`].
pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    at_least_one("requests-per-frame", args.requests_per_frame.into(), args.wire.requests_per_frame_max())?;
    at_least_one("requests", args.requests as usize, 1 << 32)?;
    share("gets", args.gets)?;
    let keys = KeySpace::new(args.keys, KEY_LEN).map_err(Failure::Usage)?;
    let (once, count) = args.write(keys).map_err(|source| Failure::File { path: args.file.clone(), source })?;
    print_line(&format!("once = {once}   # of {count} frames"));
    Ok(Exit::Done)
}

impl Args {
    /// Writes the file, and returns how many of its frames fill the store and how many it has.
    fn write(&self, keys: KeySpace) -> io::Result<(u64, u64)> {
        let local = Local { mac: MacAddr(CLIENT_MAC), ipv4: self.address, port: 0 };
        let frames = FrameWriter::new(self.wire.wire(), self.requests_per_frame, local, self.endpoint);
        let mut capture = Capture { frames, file: new_capture(&self.file)?, count: 0 };
        for index in 0..keys.count() {
            capture.add(Opcode::Set, keys, index)?;
        }
        let once = capture.finish()?;
        let sampler = KeySampler::new(keys, self.distribution);
        let mut random = Xoshiro256PlusPlus::seed_from_u64(self.seed);
        for _ in 0..self.requests {
            let opcode = if random.random_bool(self.gets) { Opcode::Get } else { Opcode::Set };
            capture.add(opcode, keys, sampler.sample(&mut random))?;
        }
        let count = capture.finish()?;
        capture.file.into_writer().flush()?;
        Ok((once, count))
    }
}

fn new_capture(path: &Path) -> io::Result<PcapWriter<BufWriter<File>>> {
    PcapWriter::new(BufWriter::new(File::create(path)?)).map_err(io::Error::other)
}

/// A file that is being written.
struct Capture {
    frames: FrameWriter,
    file: PcapWriter<BufWriter<File>>,
    /// Frames that are in it.
    count: u64,
}

impl Capture {
    fn add(&mut self, opcode: Opcode, keys: KeySpace, index: u64) -> io::Result<()> {
        let mut name = [0; KEY_LEN_MAX];
        let value = if opcode == Opcode::Set { &index.to_le_bytes()[..] } else { &[] };
        let frame = self.frames.push(opcode, keys.encode(index, &mut name), value);
        frame
            .map_err(|_| io::Error::other("a request does not fit a frame"))?
            .map_or(Ok(()), |frame| self.write(&frame))
    }

    /// Completes the last frame, and says how many there are.
    fn finish(&mut self) -> io::Result<u64> {
        if let Some(frame) = self.frames.finish() {
            self.write(&frame)?;
        }
        Ok(self.count)
    }

    fn write(&mut self, frame: &[u8]) -> io::Result<()> {
        self.count += 1;
        let packet = PcapPacket::new(Duration::ZERO, frame.len() as u32, frame);
        self.file.write_packet(&packet).map(drop).map_err(io::Error::other)
    }
}
