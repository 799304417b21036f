//! Runs this program once more, under callgrind, and reads what it wrote.
//!
//! A file of callgrind's has a part for each mark, which begins with `part:` and has the instructions of that part behind
//! `summary:`. What each part was, the program says on its standard output.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use thiserror::Error;

use super::marks::{COUNTED, MARK, Marked, Section, Sections};
use super::sampler::PerStage;
use super::timing::shares_of;

/// Why instructions were not counted.
#[derive(Debug, Error)]
pub(crate) enum CallgrindError {
    /// There is no valgrind.
    #[error("valgrind is not installed: apt-get install valgrind")]
    Missing,
    /// It does not start, or its file cannot be read.
    #[error("cannot run valgrind")]
    Io(#[from] io::Error),
    /// It, or the program under it, failed.
    #[error("valgrind failed: {0}")]
    Failed(String),
    /// It counted something else than the program marked.
    #[error("callgrind wrote {parts} parts for {marks} marks")]
    Parts {
        /// Parts in its file.
        parts: usize,
        /// Marks that the program passed.
        marks: usize,
    },
}

/// What a run takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Count {
    /// Instructions a request, without a profile.
    pub(crate) instructions_per_op: f64,
    /// The share of each stage.
    pub(crate) shares: PerStage,
    /// What sampling adds to them, as a share.
    pub(crate) cost_of_sampling: f64,
    /// Instructions an operation of the table alone, if that was counted.
    pub(crate) table_instructions_per_op: Option<f64>,
}

/// Counts all runs of this command line: `flag` makes the program that [`mark_all`](super::mark_all) runs of it.
///
/// # Errors
/// [`CallgrindError`].
pub(crate) fn count_all(flag: &str) -> Result<Vec<Count>, CallgrindError> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("parts");
    let mut arguments: Vec<OsString> = ["--tool=callgrind", "--combine-dumps=yes", "--collect-atstart=no"]
        .into_iter()
        .map(OsString::from)
        .chain([format!("--toggle-collect={COUNTED}"), format!("--dump-before={MARK}")].map(OsString::from))
        .collect();
    let mut out = OsString::from("--callgrind-out-file=");
    out.push(&file);
    arguments.push(out);
    arguments.push(env::current_exe()?.into_os_string());
    arguments.extend(env::args_os().skip(1));
    arguments.push(flag.into());
    let run = Command::new("valgrind").args(arguments).stdin(Stdio::null()).output();
    let run = run.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => CallgrindError::Missing,
        _ => CallgrindError::Io(error),
    })?;
    let failed = |text: &[u8]| {
        CallgrindError::Failed(String::from_utf8_lossy(text).lines().last().unwrap_or_default().to_owned())
    };
    if !run.status.success() {
        return Err(failed(&run.stderr));
    }
    let marked: Vec<Marked> =
        serde_json::from_slice(&run.stdout).map_err(|error| failed(error.to_string().as_bytes()))?;
    join(&read_parts(&file)?, &marked)
}

/// The instructions of each part.
fn read_parts(file: &Path) -> io::Result<Vec<u64>> {
    Ok(parts_in(&fs::read_to_string(file)?))
}

fn parts_in(text: &str) -> Vec<u64> {
    let counts = text.lines().filter_map(|line| line.strip_prefix("summary:"));
    counts.map(|count| count.trim().parse().unwrap_or(0)).collect()
}

/// Gives each part to what was marked. What follows the last mark is nobody's.
fn join(parts: &[u64], marked: &[Marked]) -> Result<Vec<Count>, CallgrindError> {
    let all = || {
        marked.iter().flat_map(|marked| [Some(&marked.role), marked.sampled.as_ref(), marked.table.as_ref()]).flatten()
    };
    let marks: usize = all().map(|sections| sections.sections.len()).sum();
    if parts.len() < marks {
        return Err(CallgrindError::Parts { parts: parts.len(), marks });
    }
    let mut rest = parts;
    let mut take = |sections: &Sections| {
        let (own, behind) = rest.split_at(sections.sections.len());
        rest = behind;
        Summed::of(own, &sections.sections)
    };
    let mut counts = Vec::new();
    let mut mark = 0.0;
    for (index, Marked { role, sampled, table }) in marked.iter().enumerate() {
        let summed = take(role);
        if index == 0 {
            mark = summed.marks / summed.mark_count.max(1.0);
            continue;
        }
        let stages: PerStage = std::array::from_fn(|stage| summed.stages[stage] - mark * summed.stage_counts[stage]);
        let mut per_op = |sections: &Sections| take(sections).whole / sections.whole_requests as f64;
        let instructions_per_op = summed.whole / role.whole_requests as f64;
        counts.push(Count {
            instructions_per_op,
            shares: shares_of(stages),
            cost_of_sampling: sampled.as_ref().map_or(0.0, |sampled| per_op(sampled) / instructions_per_op - 1.0),
            table_instructions_per_op: table.as_ref().map(per_op),
        });
    }
    Ok(counts)
}

/// The sums of sections of each kind.
#[derive(Default)]
struct Summed {
    whole: f64,
    marks: f64,
    mark_count: f64,
    stages: PerStage,
    stage_counts: PerStage,
}

impl Summed {
    fn of(parts: &[u64], sections: &[Section]) -> Self {
        let mut summed = Self::default();
        for (&part, section) in parts.iter().zip(sections) {
            let part = part as f64;
            match *section {
                Section::Nothing => {}
                Section::Whole => summed.whole += part,
                Section::Mark => {
                    summed.marks += part;
                    summed.mark_count += 1.0;
                }
                Section::Stage(stage) => {
                    summed.stages[stage] += part;
                    summed.stage_counts[stage] += 1.0;
                }
            }
        }
        summed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_found_by_their_summary() {
        let text = "version: 1\npart: 1\n\nevents: Ir\nfn=(1) a\n0 12\n\nsummary: 12\n\npart: 2\nsummary: 0\n";
        assert_eq!(parts_in(text), [12, 0]);
    }

    #[test]
    fn marks_are_taken_off_each_stage() {
        let calibration = Sections { sections: vec![Section::Nothing, Section::Mark], ..Sections::default() };
        let run = Sections {
            sections: vec![Section::Whole, Section::Stage(0), Section::Stage(1), Section::Stage(1)],
            whole_requests: 10,
            staged_requests: 2,
        };
        let whole =
            |requests| Sections { sections: vec![Section::Whole], whole_requests: requests, staged_requests: 0 };
        let (sampled, table) = (Some(whole(4)), Some(whole(5)));
        let marked = [Marked { role: calibration, ..Marked::default() }, Marked { role: run, sampled, table }];
        let counts = join(&[99, 10, 4000, 20, 25, 25, 1800, 500, 77], &marked).expect("a part for each mark");
        assert_eq!(counts.len(), 1);
        assert_eq!(counts[0].instructions_per_op, 400.0);
        assert_eq!(counts[0].shares[..2], [0.25, 0.75]);
        assert_eq!(counts[0].cost_of_sampling, 0.125);
        assert_eq!(counts[0].table_instructions_per_op, Some(100.0));
        assert!(join(&[1], &marked).is_err());
    }
}
