//! `dpukv delete`: removes a key.

use serde_json::json;

use crate::bytes::{self, Notation};
use crate::cli::Shared;
use crate::exit::{Exit, Failure};
use crate::item::{self, Output};

/// What `delete` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The key
    key: String,

    #[command(flatten)]
    notation: Notation,

    #[command(flatten)]
    output: Output,
}

/// Runs the command.
///
/// # Errors
/// Its [`Failure`].
pub(crate) fn run(args: &Args, shared: &Shared) -> Result<Exit, Failure> {
    let key = bytes::key(&args.key, args.notation)?;
    let deleted = item::connect(shared)?.delete(&key)?;
    let object = json!({ "key": args.key, "deleted": deleted });
    args.output.end(deleted, &object, || Failure::NotFound { key: args.key.clone() })
}
