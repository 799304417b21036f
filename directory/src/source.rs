//! Which directory, in one word that users type.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::PREFIX_DEFAULT;

/// A directory's kind and place.
///
/// # Examples
/// ```
/// use directory::Source;
///
/// let source: Source = "http://10.0.0.1:2379".parse()?;
/// assert_eq!(source.to_string(), "http://10.0.0.1:2379/mica");
/// # Ok::<(), directory::SourceError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// `http://HOST:PORT/PREFIX`: etcd's v2 API, of an etcd or of a server with an embedded directory.
    V2 {
        /// `http://HOST:PORT`.
        url: String,
        /// The prefix, such as `/mica`.
        prefix: String,
    },
    /// `etcd://HOST:PORT/PREFIX`: etcd's v3 API.
    V3 {
        /// `http://HOST:PORT`.
        url: String,
        /// The prefix, such as `/mica`.
        prefix: String,
    },
    /// `file:PATH`: a list that people write.
    File {
        /// The file.
        path: PathBuf,
    },
}

/// A text is no [`Source`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?}: expected http://HOST:PORT (an embedded directory, or an etcd by its v2 API), etcd://HOST:PORT (an etcd by \
     its v3 API), either with a prefix such as /mica behind it, or file:PATH"
)]
pub struct SourceError {
    text: String,
}

impl FromStr for Source {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, SourceError> {
        let wrong = || SourceError { text: text.to_owned() };
        if let Some(path) = text.strip_prefix("file:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return if path.is_empty() { Err(wrong()) } else { Ok(Self::File { path: path.into() }) };
        }
        let (scheme, rest) = text.split_once("://").ok_or_else(wrong)?;
        let (place, prefix) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        if !is_place(place) {
            return Err(wrong());
        }
        let prefix = match prefix.trim_end_matches('/') {
            "" => PREFIX_DEFAULT,
            prefix if is_prefix(prefix) => prefix,
            _ => return Err(wrong()),
        };
        let (url, prefix) = (format!("http://{place}"), prefix.to_owned());
        match scheme {
            "http" => Ok(Self::V2 { url, prefix }),
            "etcd" => Ok(Self::V3 { url, prefix }),
            _ => Err(wrong()),
        }
    }
}

/// `HOST:PORT`, with brackets around an IPv6 address.
fn is_place(place: &str) -> bool {
    let Some((host, port)) = place.rsplit_once(':') else { return false };
    let is_name = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'));
    let is_host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(ipv6) => ipv6.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && is_name(host),
    };
    let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
    is_host && is_number && port.parse::<u16>().is_ok_and(|port| port != 0)
}

/// Nothing that would have to be escaped.
fn is_prefix(prefix: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-' | b'_' | b'.');
    prefix.bytes().all(is_plain) && !prefix.contains("//")
}

impl fmt::Display for Source {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V2 { url, prefix } => write!(out, "{url}{prefix}"),
            Self::V3 { url, prefix } => write!(out, "etcd{}{prefix}", url.trim_start_matches("http")),
            Self::File { path } => write!(out, "file:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_shown_as_it_is_read() {
        for text in
            ["http://10.0.0.1:2379/mica", "etcd://[::1]:2379/a/b", "etcd://my-etcd.local:1/kv", "file:/a/b.json"]
        {
            assert_eq!(text.parse::<Source>().map(|source| source.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn what_is_usual_may_be_left_out() {
        let v2 = Source::V2 { url: "http://h:1".to_owned(), prefix: "/mica".to_owned() };
        assert_eq!("http://h:1".parse(), Ok(v2.clone()));
        assert_eq!("http://h:1/".parse(), Ok(v2));
        assert_eq!("file:///a".parse(), Ok(Source::File { path: "/a".into() }));
        assert_eq!("file:a".parse(), Ok(Source::File { path: "a".into() }));
    }

    #[test]
    fn what_is_no_source_is_refused_with_the_forms_that_are() {
        for text in [
            "",
            "h:1",
            "https://h:1",
            "http://h",
            "http://:1",
            "http://h:0",
            "http://h:+1",
            "http://h:65536",
            "file:",
            "http://[::1:1",
            "http://h:1/a b",
            "http://h:1/a?b",
            "http://h:1//a",
            "http://u@h:1",
            "etcd3://h:1",
        ] {
            let shown = text.parse::<Source>().expect_err(text).to_string();
            assert!(shown.starts_with(&format!("{text:?}: expected http://HOST:PORT")), "{shown}");
            assert!(!shown.contains('\n') && shown.ends_with("or file:PATH"), "{shown}");
        }
    }
}
