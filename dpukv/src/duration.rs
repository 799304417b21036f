//! Durations as people type them: `500ms`, `10s`, `2m`.

use std::time::Duration;

use thiserror::Error;

/// Why a text is no duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum DurationError {
    /// No number in front, or one that is negative or too large.
    #[error("a duration starts with a number, as in 500ms or 10s")]
    Number,
    /// No known unit behind the number.
    #[error("a duration ends with its unit: us, ms, s, m or h")]
    Unit,
}

/// The duration that `text` says.
///
/// # Errors
/// Every [`DurationError`].
pub(crate) fn parse(text: &str) -> Result<Duration, DurationError> {
    let end = text.find(|c: char| c != '.' && !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let number: f64 = number.parse().map_err(|_| DurationError::Number)?;
    let seconds = match unit {
        "us" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(DurationError::Unit),
    };
    Duration::try_from_secs_f64(number * seconds).map_err(|_| DurationError::Number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_and_its_unit_are_a_duration() {
        assert_eq!(parse("250us"), Ok(Duration::from_micros(250)));
        assert_eq!(parse("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(parse("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(parse("1h"), Ok(Duration::from_secs(3600)));
    }

    #[test]
    fn a_number_without_unit_is_refused() {
        assert_eq!(parse("10"), Err(DurationError::Unit));
        assert_eq!(parse("10 s"), Err(DurationError::Unit));
        assert_eq!(parse("10d"), Err(DurationError::Unit));
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in ["", "s", "-1s", "1.2.3s", "99999999999999999999999h"] {
            assert_eq!(parse(text), Err(DurationError::Number), "{text}");
        }
    }
}
