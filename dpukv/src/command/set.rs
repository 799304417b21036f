//! `dpukv set`: stores a value.

use std::time::Duration;

use serde_json::json;

use crate::bytes::{self, Counter, Notation};
use crate::cli::Shared;
use crate::duration;
use crate::exit::{Exit, Failure};
use crate::item::{self, Output};

/// What `set` takes, and `add` as well.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The key
    pub(super) key: String,

    /// The value; - reads it from standard input
    #[arg(allow_hyphen_values = true)]
    pub(super) value: String,

    /// Forget the item after this time, such as 500ms or 10s
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    pub(super) ttl: Option<Duration>,

    #[command(flatten)]
    pub(super) notation: Notation,

    #[command(flatten)]
    pub(super) counter: Counter,

    #[command(flatten)]
    pub(super) output: Output,
}

/// Runs the command.
///
/// # Errors
/// Its [`Failure`].
pub(crate) fn run(args: &Args, shared: &Shared) -> Result<Exit, Failure> {
    let (key, value) = args.item()?;
    let mut client = item::connect(shared)?;
    match args.ttl {
        Some(ttl) => client.set_with_ttl(&key, &value, ttl)?,
        None => client.set(&key, &value)?,
    }
    if args.output.json {
        item::print_json(&json!({ "key": args.key, "stored": true }))?;
    }
    Ok(Exit::Done)
}

impl Args {
    /// Key and value.
    pub(super) fn item(&self) -> Result<(Vec<u8>, Vec<u8>), Failure> {
        Ok((bytes::key(&self.key, self.notation)?, bytes::value(&self.value, self.notation, self.counter)?))
    }
}
