//! `dpukv add`: stores a value if the key has none.

use serde_json::json;

use super::set::Args;
use crate::cli::Shared;
use crate::exit::{Exit, Failure};
use crate::item;

/// Runs the command.
///
/// # Errors
/// Its [`Failure`].
pub(crate) fn run(args: &Args, shared: &Shared) -> Result<Exit, Failure> {
    let (key, value) = args.item()?;
    let mut client = item::connect(shared)?;
    let stored = match args.ttl {
        Some(ttl) => client.add_with_ttl(&key, &value, ttl)?,
        None => client.add(&key, &value)?,
    };
    let object = json!({ "key": args.key, "stored": stored });
    args.output.end(stored, &object, || Failure::Exists { key: args.key.clone() })
}
