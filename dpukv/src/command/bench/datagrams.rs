//! `dpukv bench datagrams`: datagrams to an echo and back through the sockets that servers and clients of ours use, and
//! nothing else. No store over the kernel's network stack can be faster than this with frames of the same length.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use datagram::{Inbox, OUTBOX_DATAGRAM_COUNT_MAX, Outbox, RawAddress};
use hdrhistogram::Histogram;
use kv_core::engine::Waiting;
use kv_core::port::{Burst, DropCounts, Frame, PacketPort};
use qp_wire::limits::DATAGRAM_LEN_MAX;
use serde::Serialize;
use shell_io::idle::{IdlePolicy, Packets, Sleeper};
use shell_io::port::{UdpConfig, UdpPort};

use super::repeated::Repeated;
use super::{above_zero, at_least_one, print_line};
use crate::exit::{Exit, Failure};
use crate::measure::{Report, Spread};

/// Bytes of the time at the beginning of each datagram.
const STAMP_LEN: usize = 8;

/// After so long without an answer, what is outstanding counts as lost. A scheduler's slice is shorter.
const PATIENCE: Duration = Duration::from_millis(50);

/// How long an echo that sleeps does so at most, as a server with `idle.power = "balanced"`.
const SLEEP: Duration = Duration::from_millis(IdlePolicy::BALANCED.sleep_ms);

/// What `bench datagrams` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Send back what comes to an address, until stopped
    #[arg(long, value_name = "IP:PORT", conflicts_with = "to")]
    serve: Option<SocketAddr>,

    /// Measure the echo at an address
    #[arg(long, value_name = "IP:PORT", required_unless_present = "serve")]
    to: Option<SocketAddr>,

    /// Sleep until something comes, as an idle server does
    #[arg(long, requires = "serve")]
    sleep: bool,

    /// Seconds to rest whenever everything is back
    #[arg(long, value_name = "SECONDS", requires = "to")]
    pause: Option<f64>,

    /// Bytes of each datagram
    #[arg(long, value_name = "BYTES", default_value_t = 32)]
    len: usize,

    /// Datagrams outstanding
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    window: usize,

    #[command(flatten)]
    repeated: Repeated,
}

/// All repetitions, in millions of datagrams a second that came back.
#[derive(Debug, Serialize)]
struct DatagramsRun {
    len: usize,
    window: usize,
    #[serde(flatten)]
    spread: Spread,
    p50_us: f64,
    p99_us: f64,
    lost: u64,
}

/// Runs the command.
///
/// # Errors
/// Its [`Failure`].
pub(crate) fn run(args: &Args) -> Result<Exit, Failure> {
    args.repeated.check()?;
    if let Some(pause) = args.pause {
        above_zero("pause", pause, 86_400.0)?;
    }
    at_least_one("window", args.window, 4096)?;
    if !(STAMP_LEN..=DATAGRAM_LEN_MAX).contains(&args.len) {
        return Err(Failure::Usage(format!("--len {}: expected {STAMP_LEN} to {DATAGRAM_LEN_MAX}", args.len)));
    }
    match (args.serve, args.to) {
        (Some(address), _) => serve(address, args.sleep),
        (None, Some(address)) => measure(args, address),
        // clap sees to it that one of them is there.
        (None, None) => Ok(Exit::Done),
    }
}

fn serve(bind: SocketAddr, is_sleeping: bool) -> Result<Exit, Failure> {
    let config = UdpConfig { bind, buffers: 512, reply_len_max: DATAGRAM_LEN_MAX };
    let mut port = UdpPort::open(config).map_err(|error| Failure::Usage(error.to_string()))?;
    let sleeper = Sleeper::for_packets(Packets::from_socket(&port).map_err(stopped)?);
    print_line("ready");
    let (mut arrived, mut leaving, mut drops) = (Burst::new(), Burst::new(), DropCounts::default());
    loop {
        port.receive(&mut arrived, &mut drops);
        if arrived.is_empty() && is_sleeping {
            sleeper.sleep(Waiting::Packets, SLEEP, || false);
        } else if arrived.is_empty() {
            arch::spin_hint();
        }
        while let Some(mut frame) = arrived.pop() {
            frame.set_reply(frame.payload().len());
            // A burst has room for a burst, and what the kernel did not take is lost.
            drop(leaving.push(frame));
        }
        port.transmit(&mut leaving, &mut drops);
    }
}

fn measure(args: &Args, to: SocketAddr) -> Result<Exit, Failure> {
    let mut client = Client::open(to, args.len).map_err(stopped)?;
    let (length, pause) =
        (Duration::from_secs_f64(args.repeated.seconds), Duration::from_secs_f64(args.pause.unwrap_or_default()));
    let mops = (0..args.repeated.repeat)
        .map(|_| client.closed_loop(args.window, length, pause).map_err(stopped))
        .collect::<Result<Vec<_>, _>>()?;
    let us = |quantile| client.latency_ns.value_at_quantile(quantile) as f64 / 1e3;
    let run = DatagramsRun {
        len: args.len,
        window: args.window,
        spread: Spread::of(&mops),
        p50_us: us(0.5),
        p99_us: us(0.99),
        lost: client.lost,
    };
    print_line(&format!(
        "{} bytes  window {}  {:.3} Mops ({:.3} to {:.3})  p50 {:.1} us  p99 {:.1} us  lost {}",
        run.len,
        run.window,
        run.spread.mops_median,
        run.spread.mops_min,
        run.spread.mops_max,
        run.p50_us,
        run.p99_us,
        run.lost
    ));
    args.repeated.write(&Report { runs: vec![run] })?;
    Ok(Exit::Done)
}

struct Client {
    socket: UdpSocket,
    to: RawAddress,
    inbox: Inbox,
    outbox: Outbox,
    leaving: Vec<Box<[u8]>>,
    started: Instant,
    latency_ns: Histogram<u64>,
    lost: u64,
}

impl Client {
    fn open(to: SocketAddr, len: usize) -> std::io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.set_nonblocking(true)?;
        Inbox::accept_trains(&socket);
        Ok(Self {
            socket,
            to: to.into(),
            inbox: Inbox::new(),
            outbox: Outbox::new(),
            leaving: vec![vec![0; len].into_boxed_slice(); OUTBOX_DATAGRAM_COUNT_MAX],
            started: Instant::now(),
            latency_ns: Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("constant bounds are valid"),
            lost: 0,
        })
    }

    fn now_ns(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// As many datagrams as may be outstanding, with a pause whenever all are back, until the time is over. Returns how many
    /// millions a second came back.
    fn closed_loop(&mut self, window: usize, length: Duration, pause: Duration) -> std::io::Result<f64> {
        let begin = Instant::now();
        let (mut outstanding, mut answered, mut silent_since) = (0, 0u64, begin);
        loop {
            let is_over = begin.elapsed() >= length;
            if outstanding == 0 && is_over {
                return Ok(answered as f64 / begin.elapsed().as_secs_f64() / 1e6);
            }
            if outstanding == 0 && !pause.is_zero() {
                thread::sleep(pause);
                silent_since = Instant::now();
            }
            if !is_over && outstanding < window {
                outstanding += self.send(window - outstanding)?;
            }
            let received = self.receive().min(outstanding);
            outstanding -= received;
            answered += received as u64;
            if received > 0 {
                silent_since = Instant::now();
            } else if silent_since.elapsed() > PATIENCE {
                self.lost += outstanding as u64;
                (outstanding, silent_since) = (0, Instant::now());
            } else {
                arch::spin_hint();
            }
        }
    }

    /// Sends up to `count` datagrams with the time of now. Returns how many left.
    fn send(&mut self, count: usize) -> std::io::Result<usize> {
        let stamp = self.now_ns().to_le_bytes();
        let leaving = self.leaving.iter_mut().take(count);
        leaving.for_each(|datagram| datagram[..STAMP_LEN].copy_from_slice(&stamp));
        let datagrams = self.leaving.iter().take(count).map(|datagram| (datagram.as_ref(), &self.to));
        match self.outbox.send(&self.socket, datagrams) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(0),
            sent => sent,
        }
    }

    /// Receives what is there. Returns how many datagrams there were.
    fn receive(&mut self) -> usize {
        // An error is that nothing is there, or will be seen by the next call to send.
        let _ = self.inbox.receive(&self.socket);
        let (now, mut count) = (self.now_ns(), 0);
        while let Some((_, datagram)) = self.inbox.next() {
            if let Some(stamp) = datagram.first_chunk::<STAMP_LEN>() {
                let latency = now.saturating_sub(u64::from_le_bytes(*stamp));
                self.latency_ns.saturating_record(latency.max(1));
                count += 1;
            }
        }
        count
    }
}

fn stopped(source: std::io::Error) -> Failure {
    Failure::Stream { doing: "talk to the echo", source }
}
