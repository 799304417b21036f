//! `dpukv get`: prints the value of a key.

use std::str;

use serde_json::{Value, json};

use crate::bytes::{self, Counter, Notation};
use crate::cli::Shared;
use crate::exit::{Exit, Failure};
use crate::item::{self, Output};

/// What `get` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The key
    key: String,

    #[command(flatten)]
    notation: Notation,

    #[command(flatten)]
    counter: Counter,

    /// Print the value's bytes and nothing behind them
    #[arg(long, conflicts_with_all = ["hex", "is_u64", "json"])]
    raw: bool,

    #[command(flatten)]
    output: Output,
}

/// Runs the command.
///
/// # Errors
/// Its [`Failure`].
pub(crate) fn run(args: &Args, shared: &Shared) -> Result<Exit, Failure> {
    let key = bytes::key(&args.key, args.notation)?;
    let Some(value) = item::connect(shared)?.get(&key)? else {
        let object = json!({ "key": args.key, "found": false });
        return args.output.end(false, &object, || Failure::NotFound { key: args.key.clone() });
    };
    if args.output.json {
        item::print_json(&args.object(&value)?)?;
    } else if args.raw {
        item::print(&value)?;
    } else {
        item::print(format!("{}\n", args.line(&value)?).as_bytes())?;
    }
    Ok(Exit::Done)
}

impl Args {
    /// The value in one line.
    fn line(&self, value: &[u8]) -> Result<String, Failure> {
        if self.counter.is_u64 {
            return Ok(bytes::number(value)?.to_string());
        }
        if self.notation.hex {
            return Ok(bytes::to_hex(value));
        }
        let text = str::from_utf8(value);
        text.map(str::to_owned).map_err(|_| Failure::Usage("the value is no text; print it with --hex or --raw".into()))
    }

    /// The value in JSON. Text cannot hold every value, so there is a field for those that are none.
    fn object(&self, value: &[u8]) -> Result<Value, Failure> {
        Ok(match str::from_utf8(value) {
            _ if self.counter.is_u64 => json!({ "key": self.key, "found": true, "value": bytes::number(value)? }),
            Ok(text) if !self.notation.hex => json!({ "key": self.key, "found": true, "value": text }),
            _ => json!({ "key": self.key, "found": true, "value_hex": bytes::to_hex(value) }),
        })
    }
}
