//! `dpukv exists`: whether a key is there.

use serde_json::json;

use crate::bytes::{self, Notation};
use crate::cli::Shared;
use crate::exit::{Exit, Failure};
use crate::item::{self, Output};

/// What `exists` takes.
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
    let exists = item::connect(shared)?.exists(&key)?;
    let object = json!({ "key": args.key, "exists": exists });
    args.output.end(exists, &object, || Failure::NotFound { key: args.key.clone() })
}
