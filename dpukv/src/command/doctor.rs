//! `dpukv doctor`: says what this machine has and lacks, and what to do about it.

mod devices;
mod machine;
mod servers;

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::bench::print_line;
use crate::cli::Shared;
use crate::exit::{Exit, Failure};

/// What `doctor` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Write the findings to a file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Directory of DOCA's libraries, as dma.library names it
    #[arg(long, value_name = "DIRECTORY")]
    doca: Option<PathBuf>,
}

/// How good a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    /// As it should be.
    Good,
    /// It works, and could work better.
    Limited,
    /// The embedded default does not need it; something else does.
    Absent,
    /// Servers do not run without it.
    Broken,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Finding {
    what: &'static str,
    verdict: Verdict,
    found: String,
    /// What to do about it; empty when there is nothing to do.
    advice: String,
}

#[derive(Debug, Serialize)]
struct Findings {
    findings: Vec<Finding>,
}

/// Runs the command. The exit code is 1 when something is broken.
///
/// # Errors
/// Its [`Failure`].
pub(crate) fn run(args: &Args, shared: &Shared) -> Result<Exit, Failure> {
    let root = Path::new("/");
    let mut findings = machine::findings();
    findings.extend(devices::findings(root, args.doca.as_deref()));
    findings.extend(servers::findings(shared));
    for Finding { what, verdict, found, advice } in &findings {
        let mark = match verdict {
            Verdict::Good => "good   ",
            Verdict::Limited => "limited",
            Verdict::Absent => "absent ",
            Verdict::Broken => "BROKEN ",
        };
        print_line(&format!("{mark}  {what:<15} {found}"));
        if !advice.is_empty() {
            print_line(&format!("{:>26}-> {advice}", ""));
        }
    }
    let broken = findings.iter().any(|finding| finding.verdict == Verdict::Broken);
    if let Some(path) = &args.json {
        let text = serde_json::to_string_pretty(&Findings { findings }).unwrap_or_default();
        fs::write(path, text + "\n").map_err(|source| Failure::File { path: path.clone(), source })?;
    }
    Ok(if broken { Exit::No } else { Exit::Done })
}

fn finding(what: &'static str, verdict: Verdict, found: impl Into<String>, advice: impl Into<String>) -> Finding {
    Finding { what, verdict, found: found.into(), advice: advice.into() }
}
