//! From the text of a file to a checked configuration, and from whatever goes wrong to the key that is to blame.

use toml::{Table, Value};

use super::{Config, ConfigError, ControlSection, Finding};

/// Reads and checks the text of a file.
pub(super) fn parse<C: ControlSection>(file: &str, text: &str) -> Result<Config<C>, ConfigError> {
    let table: Table = text.parse().map_err(|error| syntax_error(file, text, &error))?;
    let defaults = defaults::<C>();
    check_keys(file, &table, &defaults)?;
    let config: Config<C> = serde_path_to_error::deserialize(table.clone()).map_err(|error| {
        let key = key_of(error.path());
        ConfigError::Invalid {
            file: file.to_owned(),
            value: shown(lookup(&table, &key)),
            expected: expectation(error.inner()),
            key,
        }
    })?;
    match config.check() {
        Ok(_) => Ok(config),
        Err(Finding { key, expected }) => {
            let value = shown(lookup(&table, key).or_else(|| lookup(&defaults, key)));
            Err(ConfigError::Invalid { file: file.to_owned(), key: key.to_owned(), value, expected })
        }
    }
}

/// Every section with every key.
fn defaults<C: ControlSection>() -> Table {
    // Sections are plain structs of values that TOML knows; the tests of the defaults would show otherwise.
    Table::try_from(Config::<C>::default()).unwrap_or_default()
}

fn syntax_error(file: &str, text: &str, error: &toml::de::Error) -> ConfigError {
    let offset = error.span().map_or(0, |span| span.start).min(text.len());
    let line = text.bytes().take(offset).filter(|byte| *byte == b'\n').count();
    ConfigError::Syntax {
        file: file.to_owned(),
        line: line + 1,
        text: text.lines().nth(line).unwrap_or_default().trim().to_owned(),
        message: error.message().replace('\n', ", "),
    }
}

/// Refuses sections and keys that the defaults do not have, and values in place of sections.
fn check_keys(file: &str, table: &Table, known: &Table) -> Result<(), ConfigError> {
    for (section, content) in table {
        let unknown = |key: String, value: &Value, suggestion| {
            Err(ConfigError::UnknownKey { file: file.to_owned(), key, value: shown(Some(value)), suggestion })
        };
        let Some(known_section) = known.get(section).and_then(Value::as_table) else {
            return unknown(section.clone(), content, similar_section(section, known));
        };
        let Some(content) = content.as_table() else {
            return Err(ConfigError::Invalid {
                file: file.to_owned(),
                key: section.clone(),
                value: shown(Some(content)),
                expected: format!("a section, [{section}]"),
            });
        };
        for (key, value) in content {
            if !known_section.contains_key(key) {
                return unknown(format!("{section}.{key}"), value, similar_key(section, key, known));
            }
        }
    }
    Ok(())
}

/// The section of that similar name, or the section that has exactly this key.
fn similar_section(name: &str, known: &Table) -> Option<String> {
    most_similar(name, known).map(|section| format!("[{section}]")).or_else(|| key_anywhere(name, known))
}

/// The key of a similar name in the section, or else the one of this very name in another section.
fn similar_key(section: &str, name: &str, known: &Table) -> Option<String> {
    let keys = known.get(section).and_then(Value::as_table)?;
    most_similar(name, keys).map(|key| format!("{section}.{key}")).or_else(|| key_anywhere(name, known))
}

fn key_anywhere(name: &str, known: &Table) -> Option<String> {
    let has_key = |keys: &Value| keys.as_table().is_some_and(|keys| keys.contains_key(name));
    known.iter().find(|(_, keys)| has_key(keys)).map(|(section, _)| format!("{section}.{name}"))
}

fn most_similar<'t>(name: &str, table: &'t Table) -> Option<&'t String> {
    /// The usual bound for suggestions with this measure; below it they are mostly noise.
    const SIMILARITY_MIN: f64 = 0.8;
    table
        .keys()
        .map(|key| (strsim::jaro_winkler(name, key), key))
        .filter(|(similarity, _)| *similarity >= SIMILARITY_MIN)
        .max_by(|(left, _), (right, _)| left.total_cmp(right))
        .map(|(_, key)| key)
}

/// `section.key`, without the position in a list.
fn key_of(path: &serde_path_to_error::Path) -> String {
    let names = path.iter().filter_map(|segment| match segment {
        serde_path_to_error::Segment::Map { key } => Some(key.as_str()),
        _ => None,
    });
    names.collect::<Vec<_>>().join(".")
}

fn lookup<'a>(table: &'a Table, key: &str) -> Option<&'a Value> {
    match key.split_once('.') {
        None => table.get(key),
        Some((section, key)) => table.get(section)?.get(key),
    }
}

fn shown(value: Option<&Value>) -> String {
    value.map_or_else(|| "(none)".to_owned(), |value| value.to_string().replace('\n', " "))
}

/// The part of a deserialiser's message that says what it wants.
fn expectation(error: &toml::de::Error) -> String {
    let message = error.message();
    message.split_once("expected ").map_or(message, |(_, expected)| expected).trim().to_owned()
}
