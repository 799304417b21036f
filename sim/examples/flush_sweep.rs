//! Compares the adaptive flush with fixed ones in virtual time, over designs and loads.
//!
//! `cargo run --release -p sim --example flush_sweep [FILE]` prints a table, and writes the same as JSON to the file.

use std::fmt::Write as _;
use std::process::ExitCode;

use sim::load::Outcome;
use sim::load::sweep::{FIXED_NS, Point, SHAPES};

/// Loads in percent of what the cores can do.
const PERCENTS: [u64; 12] = [2, 6, 12, 25, 40, 50, 60, 75, 85, 90, 95, 120];

/// Frames that each core answers before and while anything is measured.
const FRAME_COUNTS: (usize, usize) = (4_000, 8_000);

fn main() -> ExitCode {
    let mut points = Vec::new();
    for shape in SHAPES {
        println!("\n{} with {} DPU and {} host cores", shape.design, shape.dpu_cores, shape.host_cores);
        println!("  load   Mops (of the best)   p50 us (of the best)   batch   p50 us of fixed waits, {FIXED_NS:?} ns");
        for percent in PERCENTS {
            let point = Point::measure(shape, percent, FRAME_COUNTS);
            print_point(&point);
            points.push(point);
        }
    }
    let worst = |ratio: fn(&Point) -> f64, of: fn(f64, f64) -> f64, calm_only: bool| {
        points.iter().filter(|point| point.is_calm() || !calm_only).map(ratio).reduce(of).unwrap_or(1.0)
    };
    println!(
        "\nworst share of the best fixed wait's: throughput {:.3} at any load, p50 {:.3} up to nine tenths of the capacity",
        worst(Point::mops_ratio, f64::min, false),
        worst(Point::p50_ratio, f64::max, true)
    );
    match std::env::args_os().nth(1) {
        Some(path) if std::fs::write(&path, json(&points)).is_err() => {
            eprintln!("{}: cannot be written", path.display());
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}

fn print_point(point: &Point) {
    let Outcome { mops, p50_us, requests_per_batch, .. } = point.adaptive;
    let fixed: String = point.fixed.iter().map(|outcome| format!(" {:6.1}", outcome.p50_us)).collect();
    println!(
        "{:4} %   {mops:6.2} ({:.3})      {p50_us:6.1} ({:.2})        {requests_per_batch:5.1}  {fixed}",
        point.percent,
        point.mops_ratio(),
        point.p50_ratio()
    );
}

fn json(points: &[Point]) -> String {
    let mut out = String::from("{\"runs\":[");
    let mut separator = "";
    for point in points {
        let names = FIXED_NS.iter().map(|ns| format!("fixed_{ns}_ns")).chain([String::from("adaptive")]);
        for (name, outcome) in names.zip(point.fixed.iter().chain([&point.adaptive])) {
            let shape = point.shape;
            let _ = write!(
                out,
                "{separator}\n{{\"design\":\"{}\",\"dpu_cores\":{},\"host_cores\":{},\"load_percent\":{},\"flush\":\"{name}\",\
                 \"mops\":{:.4},\"p50_us\":{:.3},\"p99_us\":{:.3},\"requests_per_batch\":{:.2},\"lost\":{:.4}}}",
                shape.design,
                shape.dpu_cores,
                shape.host_cores,
                point.percent,
                outcome.mops,
                outcome.p50_us,
                outcome.p99_us,
                outcome.requests_per_batch,
                outcome.lost
            );
            separator = ",";
        }
    }
    out.push_str("\n]}\n");
    out
}
