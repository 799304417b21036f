//! A request of HTTP/1.1, as far as look-ups and registrations need it: a head, and a body of an announced length.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use crate::entry::ENTRY_LEN_MAX;

/// Bytes of the longest head.
pub const HEAD_LEN_MAX: usize = 8 << 10;

/// Bytes of the longest body: the longest entry with each byte escaped, and what stands beside it in a form.
pub const BODY_LEN_MAX: usize = 3 * ENTRY_LEN_MAX + 1024;

/// Most lines in a head.
const HEADER_COUNT_MAX: usize = 64;

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// What to do with the path, such as `GET`.
    pub method: &'a str,
    /// The path, without escapes.
    pub path: Cow<'a, str>,
    /// What stands behind the question mark, as it was sent.
    pub query: &'a str,
    /// The body.
    pub body: &'a [u8],
    /// Whether the sender may ask again over the same connection.
    pub keep_alive: bool,
}

/// What bytes are so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed<'a> {
    /// The beginning of a request. With `wants_continue`, the sender waits for a word before it sends the body.
    Partial {
        /// Whether it waits.
        wants_continue: bool,
    },
    /// A request, and its length.
    Whole(Request<'a>, usize),
}

/// Why bytes are no request that is answered. The connection is of no further use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// It is not HTTP.
    #[error("this is no request of HTTP/1.1")]
    Form,
    /// The head is too long.
    #[error("a head of more than {HEAD_LEN_MAX} bytes or {HEADER_COUNT_MAX} lines")]
    HeadLen,
    /// The body is too long.
    #[error("a body of more than {BODY_LEN_MAX} bytes")]
    BodyLen,
    /// The body's length is none, or there are two.
    #[error("Content-Length: expected one number of bytes")]
    ContentLength,
    /// The body comes in a way that does not say how long it is.
    #[error("Transfer-Encoding: expected none, and a Content-Length")]
    TransferEncoding,
    /// The path has escapes that are no text.
    #[error("the path: expected UTF-8")]
    Path,
    /// The sender expects something else than being told to go on.
    #[error("Expect: expected 100-continue")]
    Expect,
}

impl RequestError {
    /// The status of the answer.
    pub const fn status(self) -> u16 {
        match self {
            Self::Form | Self::ContentLength | Self::Path => 400,
            Self::HeadLen => 431,
            Self::BodyLen => 413,
            Self::TransferEncoding => 411,
            Self::Expect => 417,
        }
    }
}

/// What the head says of the rest.
#[derive(Debug)]
struct Framing {
    body_len: Option<usize>,
    expects_continue: bool,
    keep_alive: bool,
}

/// Looks at the bytes of a connection, from where the last request ended.
///
/// # Errors
/// These bytes are the beginning of no request that is answered.
pub fn parse(bytes: &[u8]) -> Result<Parsed<'_>, RequestError> {
    let mut headers = [httparse::EMPTY_HEADER; HEADER_COUNT_MAX];
    let mut head = httparse::Request::new(&mut headers);
    let head_len = match head.parse(bytes) {
        Ok(httparse::Status::Complete(len)) if len <= HEAD_LEN_MAX => len,
        Ok(httparse::Status::Partial) if bytes.len() < HEAD_LEN_MAX => {
            return Ok(Parsed::Partial { wants_continue: false });
        }
        Ok(_) | Err(httparse::Error::TooManyHeaders) => return Err(RequestError::HeadLen),
        Err(_) => return Err(RequestError::Form),
    };
    let (Some(method), Some(target), Some(minor)) = (head.method, head.path, head.version) else {
        return Err(RequestError::Form);
    };
    let framing = framing(head.headers, minor)?;
    let body_len = framing.body_len.unwrap_or(0);
    let Some(body) = bytes[head_len..].get(..body_len) else {
        let is_first = bytes.len() == head_len;
        return Ok(Parsed::Partial { wants_continue: framing.expects_continue && is_first });
    };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let path = percent_decode_str(path).decode_utf8().map_err(|_| RequestError::Path)?;
    let request = Request { method, path, query, body, keep_alive: framing.keep_alive };
    Ok(Parsed::Whole(request, head_len + body_len))
}

fn framing(headers: &[httparse::Header<'_>], minor: u8) -> Result<Framing, RequestError> {
    // Version 1.0 closes unless asked not to, 1.1 the other way round.
    let mut framing = Framing { body_len: None, expects_continue: false, keep_alive: minor > 0 };
    for header in headers {
        let is = |name: &str| header.name.eq_ignore_ascii_case(name);
        let value = header.value.trim_ascii();
        if is("content-length") {
            let len = content_length(value)?;
            if framing.body_len.replace(len).is_some_and(|before| before != len) {
                return Err(RequestError::ContentLength);
            }
        } else if is("transfer-encoding") {
            return Err(RequestError::TransferEncoding);
        } else if is("expect") {
            if !value.eq_ignore_ascii_case(b"100-continue") {
                return Err(RequestError::Expect);
            }
            framing.expects_continue = true;
        } else if is("connection") {
            let says = |word: &[u8]| value.split(|byte| *byte == b',').any(|part| same_word(part, word));
            framing.keep_alive = !says(b"close") && (framing.keep_alive || says(b"keep-alive"));
        }
    }
    Ok(framing)
}

fn same_word(part: &[u8], word: &[u8]) -> bool {
    part.trim_ascii().eq_ignore_ascii_case(word)
}

/// Digits only: a sign would be read by `parse`.
fn content_length(value: &[u8]) -> Result<usize, RequestError> {
    let digits = str::from_utf8(value).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let len: u64 = digits.and_then(|digits| digits.parse().ok()).ok_or(RequestError::ContentLength)?;
    match usize::try_from(len) {
        Ok(len) if len <= BODY_LEN_MAX => Ok(len),
        _ => Err(RequestError::BodyLen),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUT: &[u8] = b"PUT /v2/keys/mica/servers/a%2Db?x=1 HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nttl=2";

    #[test]
    fn a_request_is_whole_with_its_last_byte_and_not_before() {
        for len in 0..PUT.len() {
            assert_eq!(parse(&PUT[..len]), Ok(Parsed::Partial { wants_continue: false }), "{len} bytes");
        }
        let more = [PUT, b"GET"].concat();
        let Ok(Parsed::Whole(request, len)) = parse(&more) else { panic!("no request") };
        assert_eq!((request.method, &*request.path, request.query), ("PUT", "/v2/keys/mica/servers/a-b", "x=1"));
        assert_eq!((request.body, request.keep_alive, len), (&b"ttl=2"[..], true, PUT.len()));
    }

    #[test]
    fn a_sender_that_waits_for_a_word_is_seen_to_wait() {
        let head = b"PUT / HTTP/1.1\r\nExpect: 100-Continue\r\nContent-Length: 3\r\n\r\n";
        assert_eq!(parse(head), Ok(Parsed::Partial { wants_continue: true }));
        let begun = [head, &b"ab"[..]].concat();
        assert_eq!(parse(&begun), Ok(Parsed::Partial { wants_continue: false }), "it does not wait any more");
    }

    #[test]
    fn a_connection_stays_as_the_version_and_the_sender_have_it() {
        let cases = [
            ("HTTP/1.1\r\n\r\n", true),
            ("HTTP/1.0\r\n\r\n", false),
            ("HTTP/1.1\r\nConnection: close\r\n\r\n", false),
            ("HTTP/1.1\r\nConnection: TE, Close\r\n\r\n", false),
            ("HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", true),
        ];
        for (end, expected) in cases {
            match parse(format!("GET / {end}").as_bytes()) {
                Ok(Parsed::Whole(request, _)) => assert_eq!(request.keep_alive, expected, "{end}"),
                other => panic!("{end}: {other:?}"),
            }
        }
    }

    #[test]
    fn what_is_no_request_is_refused_with_its_status() {
        let long_line = format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(HEAD_LEN_MAX));
        let many_lines = format!("GET / HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(65));
        let cases = [
            ("hello\r\n\r\n", 400),
            ("GET / HTTP/2.0\r\n\r\n", 400),
            ("GET /%ff HTTP/1.1\r\n\r\n", 400),
            ("PUT / HTTP/1.1\r\nContent-Length: +1\r\n\r\n", 400),
            ("PUT / HTTP/1.1\r\nContent-Length:\r\n\r\n", 400),
            ("PUT / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
            ("PUT / HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n", 400),
            ("PUT / HTTP/1.1\r\nContent-Length: 50177\r\n\r\n", 413),
            ("PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 411),
            ("PUT / HTTP/1.1\r\nExpect: tea\r\n\r\n", 417),
            (&long_line, 431),
            (&many_lines, 431),
        ];
        for (text, status) in cases {
            let error = parse(text.as_bytes()).expect_err(text);
            assert_eq!(error.status(), status, "{text}: {error}");
        }
    }
}
