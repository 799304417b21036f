//! What the machine reaches: a directory of servers, and servers.

use client::Pipeline;
use directory::{Directory, Source};

use super::{Finding, Verdict, finding};
use crate::cli::Shared;

/// Where an etcd is when nobody says anything else.
const ETCD_DEFAULT: &str = "etcd://127.0.0.1:2379";

/// What there is to say.
pub(super) fn findings(shared: &Shared) -> Vec<Finding> {
    vec![directory(shared.directory.as_ref()), server(shared)]
}

/// A directory that was named has to answer; one that nobody named may.
fn directory(named: Option<&Source>) -> Finding {
    const WHAT: &str = "directory";
    let Some(source) = named.cloned().or_else(|| ETCD_DEFAULT.parse().ok()) else {
        return finding(WHAT, Verdict::Absent, "none", "");
    };
    match Directory::new(&source).servers() {
        Ok(servers) => {
            let names = servers.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            let names = if names.is_empty() { "no server" } else { &names };
            finding(WHAT, Verdict::Good, format!("{source} lists {names}"), "")
        }
        Err(error) if named.is_some() => {
            finding(WHAT, Verdict::Broken, error.to_string(), "clients find no server there")
        }
        Err(_) => finding(
            WHAT,
            Verdict::Absent,
            format!("no etcd at {source}"),
            "only several servers need one; to look at another: dpukv doctor --directory etcd://HOST:2379",
        ),
    }
}

fn server(shared: &Shared) -> Finding {
    let mut config = shared.config();
    config.connect_timeout = config.connect_timeout.min(shared.timeout);
    match Pipeline::connect(&config) {
        Ok(pipeline) => {
            let servers: Vec<_> = pipeline.servers().map(|server| format!("{}", server.address)).collect();
            finding("server", Verdict::Good, format!("{} answers", servers.join(", ")), "")
        }
        Err(error) => {
            finding("server", Verdict::Absent, error.to_string(), "start one: dpukv demo, or dpukv-host and dpukv-dpu")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_was_named_has_to_answer() {
        let nowhere = "http://127.0.0.1:1".parse().expect("a source");
        let found = directory(Some(&nowhere));
        assert_eq!(found.verdict, Verdict::Broken);
        assert!(found.found.contains("http://127.0.0.1:1"), "{}", found.found);
    }

    #[test]
    fn a_file_of_servers_is_a_directory() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(&file, "{}").expect("a list");
        let found = directory(Some(&Source::File { path: file.path().to_owned() }));
        assert_eq!(found.verdict, Verdict::Good);
        assert!(found.found.ends_with("lists no server"), "{}", found.found);
    }
}
