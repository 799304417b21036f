//! What a profile came to, as people and as programs read it.

use std::fs;
use std::io;
use std::path::Path;

use kv_core::engine::Stage;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::callgrind::Count;
use super::timing::Timing;
use super::{Crossing, Plan, Role, Run, Wire};
use crate::workload::Workload;

/// What the paper's authors measured of `cpu-only` on the host, in percent of its CPU time: of each workload receive,
/// parse, respond, get/set and others, beside a BlueField-2 and beside a BlueField-3.
const PAPER: [(Workload, [[f64; 5]; 2]); 3] = [
    (Workload::A, [[18.2, 17.1, 27.5, 19.5, 17.7], [25.4, 20.7, 23.2, 13.4, 17.2]]),
    (Workload::B, [[16.4, 21.9, 28.9, 15.9, 16.6], [23.7, 20.6, 25.3, 10.2, 20.1]]),
    (Workload::C, [[14.4, 23.9, 29.8, 13.1, 18.5], [17.2, 23.4, 28.1, 9.5, 21.7]]),
];

/// All runs, and what they come to beside each other.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    requests_per_frame: usize,
    keys: u64,
    distribution: String,
    runs: Vec<Row>,
    ratios: Vec<Ratio>,
    crossings: Vec<Crossing>,
}

/// One run.
#[derive(Debug, Serialize)]
struct Row {
    #[serde(serialize_with = "role_name")]
    role: Role,
    design: &'static str,
    #[serde(serialize_with = "wire_name")]
    wire: Wire,
    #[serde(serialize_with = "workload_name")]
    workload: Workload,
    #[serde(serialize_with = "by_name")]
    stages: [StageCost; Stage::ALL.len()],
    #[serde(skip)]
    timing: Timing,
    #[serde(skip)]
    count: Option<Count>,
    #[serde(skip)]
    has_cycles: bool,
}

/// What a stage takes of a request. What could not be measured is `None`.
#[derive(Clone, Copy, Debug, Serialize)]
struct StageCost {
    cycles_per_op: Option<f64>,
    instructions_per_op: Option<f64>,
    /// Of the cycles; of the instructions where there are none.
    share: f64,
}

/// Two figures of one report beside each other.
#[derive(Clone, Debug, Serialize)]
struct Ratio {
    name: &'static str,
    workload: &'static str,
    ratio: f64,
    goal: f64,
    is_reached: bool,
}

fn role_name<S: Serializer>(role: &Role, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(role.name())
}

fn wire_name<S: Serializer>(wire: &Wire, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(wire.name())
}

fn workload_name<S: Serializer>(workload: &Workload, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(workload.name())
}

fn by_name<S: Serializer>(stages: &[StageCost; Stage::ALL.len()], to: S) -> Result<S::Ok, S::Error> {
    let mut map = to.serialize_map(Some(stages.len()))?;
    for (stage, cost) in Stage::ALL.iter().zip(stages) {
        map.serialize_entry(stage.name(), cost)?;
    }
    map.end()
}

impl Report {
    /// The report on all runs of a plan, in its order. `has_cycles` says whether the counter is as fast as a CPU.
    pub(crate) fn new(
        plan: &Plan,
        timings: &[Timing],
        counts: Option<&[Count]>,
        crossings: Vec<Crossing>,
        has_cycles: bool,
    ) -> Self {
        let row = |(index, (run, timing)): (usize, (Run, &Timing))| {
            Row::new(run, *timing, counts.and_then(|counts| counts.get(index)).copied(), has_cycles)
        };
        let runs: Vec<Row> = plan.runs().zip(timings).enumerate().map(row).collect();
        let ratios = plan.workloads.iter().flat_map(|&workload| ratios(&runs, workload)).collect();
        let (requests_per_frame, keys) = (plan.requests_per_frame, plan.keys.count());
        Self { requests_per_frame, keys, distribution: plan.distribution.name(), runs, ratios, crossings }
    }

    /// Writes it as JSON.
    ///
    /// # Errors
    /// The file system's.
    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        fs::write(path, text)
    }

    /// The report as people read it, line by line.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.runs.iter().flat_map(Row::lines).collect();
        lines.extend(self.paper_lines());
        lines.extend(self.ratios.iter().map(Ratio::line));
        for crossing in &self.crossings {
            lines.push(crossing.line());
        }
        lines
    }

    /// The paper's table, with ours of its wire beside it.
    fn paper_lines(&self) -> Vec<String> {
        let ours = self.runs.iter().filter(|row| row.role == Role::Serve && row.wire == Wire::Mica2);
        let mut lines = Vec::new();
        for row in ours {
            let paper = PAPER.iter().find(|(workload, _)| *workload == row.workload);
            let Some((_, [bf2, bf3])) = paper else { continue };
            if lines.is_empty() {
                lines.push(
                    "% of cpu-only on MICA2's wire: ours, then the paper's beside a BlueField-2 and a BlueField-3"
                        .to_owned(),
                );
                lines.push(
                    "     receive             parse               respond, transmit   hash, get/set       others"
                        .to_owned(),
                );
            }
            let split = row.as_paper();
            let columns: String = split
                .iter()
                .zip(bf2.iter().zip(bf3))
                .map(|(ours, (bf2, bf3))| format!(" {:<19}", format!("{ours:4.1}  {bf2:4.1} {bf3:4.1}")))
                .collect();
            lines.push(format!("  {} {columns}", row.workload.name()));
        }
        lines
    }
}

impl Row {
    fn new(run: Run, timing: Timing, count: Option<Count>, has_cycles: bool) -> Self {
        let Run { role, wire, workload } = run;
        let stages = std::array::from_fn(|stage| StageCost {
            cycles_per_op: has_cycles.then(|| timing.ticks_per_op * timing.shares[stage]),
            instructions_per_op: count.map(|count| count.instructions_per_op * count.shares[stage]),
            share: match count {
                Some(count) if !has_cycles => count.shares[stage],
                _ => timing.shares[stage],
            },
        });
        Self { role, design: role.design(), wire, workload, stages, timing, count, has_cycles }
    }

    fn lines(&self) -> Vec<String> {
        let count = self.count;
        let instructions = count.map_or("-".to_owned(), |count| format!("{:.1}", count.instructions_per_op));
        let sampling = count.map_or(String::new(), |count| {
            format!(" of the cycles, {:.1} % of the instructions", count.cost_of_sampling * 100.0)
        });
        let cycles = if self.has_cycles { format!("{:.1}", self.timing.ticks_per_op) } else { "-".to_owned() };
        let mut lines = vec![format!(
            "{} {}, {}, {}: {cycles} cycles, {instructions} instructions a request; sampling costs {:.1} %{sampling}",
            self.design,
            self.role.name(),
            self.wire.name(),
            self.workload.name(),
            self.timing.cost_of_sampling * 100.0,
        )];
        lines.push(format!("  {:<9} {:>8} {:>6} {:>13} {:>6}", "", "cycles", "%", "instructions", "%"));
        let figure = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.1}"));
        for (stage, cost) in Stage::ALL.into_iter().zip(&self.stages) {
            let of_count = count.map(|count| count.shares[stage as usize]);
            if cost.share + of_count.unwrap_or(0.0) == 0.0 {
                continue;
            }
            lines.push(format!(
                "  {:<9} {:>8} {:>6} {:>13} {:>6}",
                stage.name(),
                figure(cost.cycles_per_op),
                figure(self.has_cycles.then_some(cost.share * 100.0)),
                figure(cost.instructions_per_op),
                figure(of_count.map(|share| share * 100.0)),
            ));
        }
        lines
    }

    /// The shares of the paper's stages, in percent. Its get/set hashes; its respond sends.
    fn as_paper(&self) -> [f64; 5] {
        let of = |stages: &[Stage]| stages.iter().map(|&stage| self.stages[stage as usize].share * 100.0).sum();
        [
            of(&[Stage::Receive]),
            of(&[Stage::Parse]),
            of(&[Stage::Respond, Stage::Transmit]),
            of(&[Stage::Hash, Stage::Process]),
            of(&[Stage::Post, Stage::Wait, Stage::Others]),
        ]
    }

    /// Instructions for communication: all but those of the stages that are left out.
    fn instructions_but(&self, left_out: &[Stage]) -> Option<f64> {
        let count = self.count?;
        let left_out: f64 = left_out.iter().map(|&stage| count.shares[stage as usize]).sum();
        Some(count.instructions_per_op * (1.0 - left_out))
    }
}

/// What the runs of a workload come to beside each other.
fn ratios(runs: &[Row], workload: Workload) -> Vec<Ratio> {
    let find = |role, wire| runs.iter().find(|row| (row.role, row.wire, row.workload) == (role, wire, workload));
    let mut ratios = Vec::new();
    let mut add = |name, ratio: Option<f64>, goal: f64, is_reached: fn(f64, f64) -> bool| {
        let workload = workload.name();
        ratios.extend(ratio.map(|ratio| Ratio { name, workload, ratio, goal, is_reached: is_reached(ratio, goal) }));
    };
    let at_least = |ratio, goal| ratio >= goal;
    let at_most = |ratio, goal| ratio <= goal;
    for (wire, name) in [
        (Wire::Mica2, "host of lat, mica2: its rate of the table's alone"),
        (Wire::Native, "host of lat, native: its rate of the table's alone"),
    ] {
        let host = find(Role::Process, wire);
        let rate = host.and_then(|row| row.timing.table_ticks_per_op.map(|alone| alone / row.timing.ticks_per_op));
        add(name, rate, 0.7, at_least);
        let count = host.and_then(|row| row.count);
        let of_table =
            count.and_then(|count| count.table_instructions_per_op.map(|alone| alone / count.instructions_per_op));
        add("the same, by instructions", of_table, 0.7, at_least);
    }
    let cpu_only = find(Role::Serve, Wire::Mica2);
    for (wire, goal, names) in [
        (
            Wire::Native,
            0.4,
            [
                "DPU of lat, native: its instructions of cpu-only's for communication, mica2",
                "the same, with hashing in neither",
            ],
        ),
        (
            Wire::Mica2,
            0.85,
            [
                "DPU of lat, mica2: its instructions of cpu-only's for communication, mica2",
                "the same, with hashing in neither",
            ],
        ),
    ] {
        for (name, left_out) in names.into_iter().zip([&[Stage::Process][..], &[Stage::Process, Stage::Hash]]) {
            let dpu = find(Role::Communicate, wire).and_then(|row| row.instructions_but(left_out));
            let whole = cpu_only.and_then(|row| row.instructions_but(left_out));
            add(name, dpu.zip(whole).map(|(dpu, whole)| dpu / whole), goal, at_most);
        }
    }
    ratios
}

impl Ratio {
    fn line(&self) -> String {
        let Self { name, workload, ratio, goal, is_reached } = self;
        let verdict = if *is_reached { "reached" } else { "missed" };
        format!("{workload}  {name}: {ratio:.2} (goal {goal}, {verdict})")
    }
}

impl Crossing {
    fn line(&self) -> String {
        format!(
            "queue pair, {}, {}, {:.0} requests a batch: {:.2} bytes to the host, {:.2} back; {:.2} by DMA in {:.3} copies",
            self.wire,
            self.operation,
            self.requests_per_batch,
            self.request_bytes_per_op,
            self.response_bytes_per_op,
            self.dma_bytes_per_op,
            self.dma_copies_per_op,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::sampler::PerStage;
    use super::*;

    fn row(role: Role, wire: Wire, instructions_per_op: f64, process: f64) -> Row {
        let mut shares: PerStage = [0.0; Stage::ALL.len()];
        (shares[Stage::Process as usize], shares[Stage::Parse as usize]) = (process, 1.0 - process);
        let timing = Timing { ticks_per_op: 100.0, shares, cost_of_sampling: 0.01, table_ticks_per_op: Some(80.0) };
        let count = Count { instructions_per_op, shares, cost_of_sampling: 0.01, table_instructions_per_op: None };
        Row::new(Run { role, wire, workload: Workload::B }, timing, Some(count), true)
    }

    #[test]
    fn ratios_leave_the_table_out() {
        let runs = [
            row(Role::Serve, Wire::Mica2, 1000.0, 0.5),
            row(Role::Communicate, Wire::Native, 200.0, 0.0),
            row(Role::Process, Wire::Native, 300.0, 1.0),
        ];
        let ratios = ratios(&runs, Workload::B);
        let found: Vec<(f64, bool)> = ratios.iter().map(|ratio| (ratio.ratio, ratio.is_reached)).collect();
        assert_eq!(found, [(0.8, true), (0.4, true), (0.4, true)]);
    }

    #[test]
    fn stages_have_the_names_of_the_interface() {
        let json = serde_json::to_value(row(Role::Serve, Wire::Mica2, 1000.0, 0.25)).expect("no maps with other keys");
        assert_eq!(json["role"], "serve");
        assert_eq!(json["design"], "cpu-only");
        assert_eq!(json["wire"], "mica2");
        assert_eq!(json["workload"], "B");
        let stages = json["stages"].as_object().expect("an object");
        assert_eq!(stages.len(), Stage::ALL.len());
        assert_eq!(stages["process"]["cycles_per_op"], 25.0);
        assert_eq!(stages["process"]["instructions_per_op"], 250.0);
        assert_eq!(stages["process"]["share"], 0.25);
    }
}
