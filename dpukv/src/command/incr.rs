//! `dpukv incr`: adds to a counter.

use client::Client;
use serde_json::json;

use crate::bytes::{self, Notation};
use crate::cli::Shared;
use crate::exit::{Exit, Failure};
use crate::item::{self, Output};

/// What `incr` takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The key; its value has 8 bytes, as set --u64 stores it
    key: String,

    /// What to add; below 0 to subtract. Counters wrap at 2^64
    #[arg(default_value = "1", allow_hyphen_values = true, value_parser = delta)]
    by: u64,

    /// Store this number if there is no such key, instead of adding
    #[arg(long, value_name = "NUMBER")]
    create: Option<u64>,

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
    let value = increment(&mut item::connect(shared)?, &key, args.by, args.create)?;
    let Some(value) = value else {
        let object = json!({ "key": args.key, "found": false });
        return args.output.end(false, &object, || Failure::NotFound { key: args.key.clone() });
    };
    if args.output.json {
        item::print_json(&json!({ "key": args.key, "found": true, "value": value }))?;
    } else {
        item::print(format!("{value}\n").as_bytes())?;
    }
    Ok(Exit::Done)
}

/// The counter's new value, if there is one.
fn increment(client: &mut Client, key: &[u8], by: u64, create: Option<u64>) -> Result<Option<u64>, Failure> {
    let value = client.increment(key, by)?;
    let (None, Some(first)) = (value, create) else { return Ok(value) };
    if client.add(key, &first.to_le_bytes())? {
        return Ok(Some(first));
    }
    // Somebody has created it in between.
    Ok(client.increment(key, by)?)
}

/// A number to add, or, below 0, what has the same effect modulo 2^64.
fn delta(text: &str) -> Result<u64, String> {
    let number: i128 = text.parse().map_err(|_| "no whole number".to_owned())?;
    let magnitude = u64::try_from(number.unsigned_abs()).map_err(|_| "beyond 2^64".to_owned())?;
    Ok(if number < 0 { magnitude.wrapping_neg() } else { magnitude })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_below_0_subtracts() {
        assert_eq!(delta("5"), Ok(5));
        assert_eq!(delta("0"), Ok(0));
        assert_eq!(delta("18446744073709551615"), Ok(u64::MAX));
        assert_eq!(delta("-1"), Ok(u64::MAX));
        assert_eq!(delta("-18446744073709551615"), Ok(1));
    }

    #[test]
    fn what_is_no_number_of_64_bits_is_refused() {
        for text in ["", "x", "1.5", "18446744073709551616", "-18446744073709551616", "1e3"] {
            assert!(delta(text).is_err(), "{text}");
        }
    }
}
