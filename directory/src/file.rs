//! A directory that is a file: `{"NAME": ENTRY, ...}`, each entry as MICA2 has it.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::entry::Entry;
use crate::error::DirectoryError;
use crate::registrations::SERVER_COUNT_MAX;
use crate::{Servers, entry};

/// The file. It is read anew each time, so that a changed one is adopted.
#[derive(Debug)]
pub(crate) struct EntryFile {
    path: PathBuf,
}

impl EntryFile {
    pub(crate) fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    pub(crate) fn servers(&self) -> Result<Servers, DirectoryError> {
        let read = |cause| DirectoryError::Read { path: self.shown(), cause };
        let form = |cause| DirectoryError::File { path: self.shown(), cause };
        let len = fs::metadata(&self.path).map_err(read)?.len();
        let most = (SERVER_COUNT_MAX * entry::ENTRY_LEN_MAX) as u64;
        if len > most {
            return Err(form(format!("{len} bytes, where {most} are the most")));
        }
        let text = fs::read_to_string(&self.path).map_err(read)?;
        let entries: Map<String, Value> = serde_json::from_str(&text).map_err(|error| form(error.to_string()))?;
        let parse = |(name, value): (String, Value)| match Entry::parse(&value.to_string()) {
            Ok(entry) => Ok((name, entry)),
            Err(cause) => Err(DirectoryError::Entry { name: format!("{name} in {}", self.shown()), cause }),
        };
        entries.into_iter().map(parse).collect()
    }

    pub(crate) fn takes_nothing(&self) -> DirectoryError {
        DirectoryError::ReadOnly { path: self.shown() }
    }

    fn shown(&self) -> String {
        self.path.display().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRY: &str = r#"{"concurrent_read":false,"concurrent_write":false,"partitions":[[0,0]],"endpoints":[[0,0,"00:00:00:00:00:00","127.0.0.1",7600]]}"#;

    fn servers(text: &str) -> Result<Servers, String> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("servers.json");
        fs::write(&path, text).expect("a file");
        EntryFile::new(&path).servers().map_err(|error| error.to_string())
    }

    #[test]
    fn servers_are_sorted_by_their_names() {
        let found = servers(&format!("{{\"b\": {ENTRY}, \"a\": {ENTRY}}}")).expect("servers");
        assert_eq!(found.keys().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(found["a"].to_json(), ENTRY);
        assert_eq!(servers("{}"), Ok(Servers::new()));
    }

    #[test]
    fn what_is_wrong_names_the_file_and_the_server() {
        for (text, expected) in [
            ("[]", "servers.json: invalid type"),
            ("{\"a\": 1}", "server a in "),
            ("{\"a\": {}}", "missing field"),
            ("", "expected a JSON object with an entry for each name"),
        ] {
            let shown = servers(text).expect_err(text);
            assert!(shown.contains(expected) && !shown.contains('\n'), "{shown}");
        }
        let missing = EntryFile::new(Path::new("/nonexistent/servers.json"));
        assert!(missing.servers().is_err_and(|error| error.to_string().contains("servers.json: cannot be read: ")));
        assert!(missing.takes_nothing().to_string().contains("takes no registrations"));
    }
}
