//! What can be wrong with a configuration file: one line that names file, key, value and the expected form.

use std::fmt;
use std::io;

/// Why a configuration is refused. Its display is one line for the user.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{file}: cannot be read: {source}")]
    Read {
        /// The file.
        file: String,
        /// The operating system's reason.
        source: io::Error,
    },
    /// The file is not TOML.
    #[error("{file}:{line}: `{text}`: {message}")]
    Syntax {
        /// The file.
        file: String,
        /// The line, counted from 1.
        line: usize,
        /// What stands in that line.
        text: String,
        /// What the parser says of it.
        message: String,
    },
    /// There is no such key.
    #[error("{file}: {key} = {value}: unknown key{}", suggestion_text(suggestion.as_deref()))]
    UnknownKey {
        /// The file.
        file: String,
        /// The key with its section.
        key: String,
        /// The value that it was given.
        value: String,
        /// A known key with a similar name.
        suggestion: Option<String>,
    },
    /// The key is known and its value is not usable.
    #[error("{file}: {key} = {value}: expected {expected}")]
    Invalid {
        /// The file.
        file: String,
        /// The key with its section.
        key: String,
        /// The value that it was given, or has by default.
        value: String,
        /// What would be usable.
        expected: String,
    },
}

impl ConfigError {
    /// The key that has to be changed, with its section; `None` when the file as a whole is unusable.
    pub fn key(&self) -> Option<&str> {
        match self {
            Self::Read { .. } | Self::Syntax { .. } => None,
            Self::UnknownKey { key, .. } | Self::Invalid { key, .. } => Some(key),
        }
    }
}

fn suggestion_text(suggestion: Option<&str>) -> String {
    suggestion.map_or_else(String::new, |key| format!(", did you mean {key}?"))
}

/// A value that is well formed by itself and does not go with the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The key with its section.
    pub key: &'static str,
    /// What would be usable.
    pub expected: String,
}

impl Finding {
    /// A finding about this key.
    pub fn new(key: &'static str, expected: impl fmt::Display) -> Self {
        Self { key, expected: expected.to_string() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: expected {}", self.key, self.expected)
    }
}

impl std::error::Error for Finding {}

/// `Ok` when `holds`.
pub(super) fn require(holds: bool, key: &'static str, expected: impl fmt::Display) -> Result<(), Finding> {
    if holds { Ok(()) } else { Err(Finding::new(key, expected)) }
}
