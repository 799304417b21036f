//! One connection without its socket: bytes of requests in, bytes of answers out.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::form;
use super::request::{self, BODY_LEN_MAX, HEAD_LEN_MAX, Parsed, Request, RequestError};
use crate::registrations::{Answer, Registrations};

/// Where etcd's v2 API has its keys.
const KEYS: &str = "/v2/keys";

/// Most bytes that one connection keeps of requests: one whole one.
pub const INBOX_LEN_MAX: usize = HEAD_LEN_MAX + BODY_LEN_MAX;

/// What was said on one connection and is not yet settled.
#[derive(Debug, Default)]
pub struct Conversation {
    inbox: Vec<u8>,
    outbox: Vec<u8>,
    /// How much of the outbox has been sent.
    sent_len: usize,
    /// Whether the sender of the present request was told to go on.
    has_continued: bool,
    /// Whether it ends when everything is sent.
    is_over: bool,
}

impl Conversation {
    /// How many more bytes it takes. While an answer waits to be sent, no further request is read.
    pub fn room(&self) -> usize {
        let is_open = !self.is_over && self.outbox.is_empty();
        if is_open { INBOX_LEN_MAX.saturating_sub(self.inbox.len()) } else { 0 }
    }

    /// What has arrived, no more than there is [`room`](Self::room) for.
    pub fn hear(&mut self, bytes: &[u8]) {
        self.inbox.extend_from_slice(bytes);
    }

    /// Answers the next request, if it is whole and the last answer has been sent.
    pub fn answer(&mut self, now: Instant, registrations: &mut Registrations) {
        if self.is_over || !self.outbox.is_empty() {
            return;
        }
        match request::parse(&self.inbox) {
            Ok(Parsed::Partial { wants_continue }) => {
                if wants_continue && !self.has_continued {
                    self.has_continued = true;
                    self.outbox.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
                }
            }
            Ok(Parsed::Whole(request, len)) => {
                self.is_over = !request.keep_alive;
                let answer = answer_to(&request, now, registrations);
                self.outbox = encode(&answer, request.keep_alive);
                self.inbox.drain(..len);
                self.has_continued = false;
            }
            Err(error) => self.refuse(error),
        }
    }

    /// What is to be sent.
    pub fn outbox(&self) -> &[u8] {
        &self.outbox[self.sent_len..]
    }

    /// So many bytes of it have been sent.
    pub fn sent(&mut self, len: usize) {
        self.sent_len = (self.sent_len + len).min(self.outbox.len());
        if self.sent_len == self.outbox.len() {
            self.outbox.clear();
            self.sent_len = 0;
        }
    }

    /// Whether nothing will be said any more.
    pub fn is_over(&self) -> bool {
        self.is_over && self.outbox.is_empty()
    }

    fn refuse(&mut self, error: RequestError) {
        self.is_over = true;
        let body = json!({"message": error.to_string()});
        self.outbox = encode(&Answer { status: error.status(), body }, false);
    }
}

fn answer_to(request: &Request<'_>, now: Instant, registrations: &mut Registrations) -> Answer {
    let Some(path) = request.path.strip_prefix(KEYS).filter(|path| path.is_empty() || path.starts_with('/')) else {
        return Answer { status: 404, body: json!({"message": format!("{}: expected {KEYS}/..", request.path)}) };
    };
    let (Some(mut pairs), Some(query)) = (form::parse(request.body), form::parse(request.query.as_bytes())) else {
        return failure(210, "Invalid POST form", "expected name=value pairs with & between them");
    };
    pairs.extend(query);
    // To ignore a condition would be to do what nobody has asked for.
    let condition = pairs.iter().find(|(name, _)| CONDITIONS.contains(&name.as_str()));
    if let Some((name, _)) = condition {
        return failure(209, "Invalid field", &format!("{name}: this directory does not know conditions"));
    }
    let find = |name: &str| pairs.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str());
    match request.method {
        "GET" => registrations.get(now, path),
        "PUT" => match find("ttl").filter(|ttl| !ttl.is_empty()).map(str::parse::<u32>) {
            Some(Err(_)) => {
                failure(202, "The given TTL in POST form is not a number", "ttl: expected a number of seconds")
            }
            ttl => {
                let ttl = ttl.and_then(Result::ok).map(|ttl| Duration::from_secs(ttl.into()));
                registrations.put(now, path, find("value").unwrap_or_default(), ttl)
            }
        },
        "DELETE" => registrations.delete(now, path),
        other => Answer { status: 405, body: json!({"message": format!("{other}: expected GET, PUT or DELETE")}) },
    }
}

/// What etcd lets a request depend on, or changes the meaning of it.
const CONDITIONS: [&str; 6] = ["prevValue", "prevIndex", "prevExist", "wait", "dir", "refresh"];

fn failure(code: u16, message: &str, cause: &str) -> Answer {
    Answer { status: 400, body: json!({"errorCode": code, "message": message, "cause": cause, "index": 0}) }
}

fn encode(Answer { status, body }: &Answer, keep_alive: bool) -> Vec<u8> {
    let reason = match status {
        200 => "OK",
        201 => "Created",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        411 => "Length Required",
        413 => "Content Too Large",
        417 => "Expectation Failed",
        431 => "Request Header Fields Too Large",
        _ => "Refused",
    };
    let body = Value::to_string(body);
    let connection = if keep_alive { "keep-alive" } else { "close" };
    let allow = if *status == 405 { "Allow: GET, PUT, DELETE\r\n" } else { "" };
    format!(
        "HTTP/1.1 {status} {reason}\r\n{allow}Content-Type: application/json\r\nContent-Length: {}\r\n\
         Connection: {connection}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRY: &str = r#"{"concurrent_read":false,"concurrent_write":false,"partitions":[[0,0]],"endpoints":[[0,0,"00:00:00:00:00:00","127.0.0.1",7600]]}"#;

    fn said(conversation: &mut Conversation, registrations: &mut Registrations, bytes: &str) -> String {
        conversation.hear(bytes.as_bytes());
        conversation.answer(Instant::now(), registrations);
        let text = String::from_utf8(conversation.outbox().to_vec()).expect("text");
        conversation.sent(text.len());
        text
    }

    fn put(body: &str) -> String {
        format!("PUT /v2/keys/mica/servers/a HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    }

    fn one(request: &str) -> String {
        said(&mut Conversation::default(), &mut Registrations::new("/mica/servers"), request)
    }

    #[test]
    fn a_server_registers_as_mica2_does_and_is_found() {
        for body in [format!("ttl=2;value={ENTRY};"), format!("value={ENTRY}&ttl=2")] {
            let (mut all, mut conversation) = (Registrations::new("/mica/servers"), Conversation::default());
            let created = said(&mut conversation, &mut all, &put(&body));
            assert!(created.starts_with("HTTP/1.1 201 Created\r\n"), "{created}");
            let again = said(&mut conversation, &mut all, &put(&body));
            assert!(again.starts_with("HTTP/1.1 200 OK\r\n") && again.contains("\"ttl\":2"), "{again}");
            let listed = said(&mut conversation, &mut all, "GET /v2/keys/mica/servers/ HTTP/1.1\r\n\r\n");
            let (_, json) = listed.split_once("\r\n\r\n").expect("a body");
            let json: Value = serde_json::from_str(json).expect("JSON");
            assert_eq!(json["node"]["nodes"][0]["key"], "/mica/servers/a");
            assert_eq!(json["node"]["nodes"][0]["value"], ENTRY);
            let gone = said(&mut conversation, &mut all, "DELETE /v2/keys/mica/servers/a HTTP/1.1\r\n\r\n");
            assert!(gone.starts_with("HTTP/1.1 200 OK\r\n") && gone.contains("\"action\":\"delete\""), "{gone}");
        }
    }

    #[test]
    fn a_long_body_is_asked_for_once() {
        let (mut all, mut conversation) = (Registrations::new("/mica/servers"), Conversation::default());
        let body = format!("value={ENTRY}&ttl=2");
        let head = format!(
            "PUT /v2/keys/mica/servers/a HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: {}\r\n",
            body.len()
        );
        assert_eq!(said(&mut conversation, &mut all, &head), "");
        assert_eq!(said(&mut conversation, &mut all, "\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
        assert_eq!(said(&mut conversation, &mut all, &body[..9]), "");
        assert!(said(&mut conversation, &mut all, &body[9..]).starts_with("HTTP/1.1 201 "));
    }

    #[test]
    fn what_is_wrong_gets_the_numbers_of_etcd() {
        let cases = [
            (put(&format!("value={ENTRY}&ttl=soon")), "HTTP/1.1 400 ", "\"errorCode\":202"),
            (put(&format!("value={ENTRY}&ttl=-1")), "HTTP/1.1 400 ", "\"errorCode\":202"),
            (put("value=%&ttl=2"), "HTTP/1.1 400 ", "\"errorCode\":210"),
            (put("value={}&ttl=2"), "HTTP/1.1 400 ", "\"errorCode\":209"),
            (put(&format!("value={ENTRY}&prevExist=true")), "HTTP/1.1 400 ", "prevExist: this directory does not"),
            ("GET /v2/keys/mica/servers/b HTTP/1.1\r\n\r\n".to_owned(), "HTTP/1.1 404 ", "\"errorCode\":100"),
            ("GET /v2/keys/mica/servers/?wait=true HTTP/1.1\r\n\r\n".to_owned(), "HTTP/1.1 400 ", "wait: this"),
            ("DELETE /v2/keys/mica/servers/ HTTP/1.1\r\n\r\n".to_owned(), "HTTP/1.1 403 ", "\"errorCode\":102"),
            ("POST /v2/keys/mica/servers/ HTTP/1.1\r\n\r\n".to_owned(), "HTTP/1.1 405 ", "POST: expected GET, PUT"),
            ("GET /v2/keysmica HTTP/1.1\r\n\r\n".to_owned(), "HTTP/1.1 404 ", "expected /v2/keys/.."),
            ("GET /health HTTP/1.1\r\n\r\n".to_owned(), "HTTP/1.1 404 ", "/health: expected /v2/keys/.."),
        ];
        for (request, status, part) in cases {
            let answer = one(&request);
            assert!(answer.starts_with(status) && answer.contains(part), "{request}\n{answer}\nlacks {part}");
        }
    }

    #[test]
    fn after_nonsense_nothing_is_said_any_more() {
        let (mut all, mut conversation) = (Registrations::new("/mica/servers"), Conversation::default());
        assert!(said(&mut conversation, &mut all, "\0\0\r\n\r\n").starts_with("HTTP/1.1 400 "));
        assert!(conversation.is_over() && conversation.room() == 0);
        assert_eq!(said(&mut conversation, &mut all, "GET /v2/keys HTTP/1.1\r\n\r\n"), "");
    }

    #[test]
    fn requests_behind_each_other_are_answered_one_after_the_other() {
        let (mut all, mut conversation) = (Registrations::new("/mica/servers"), Conversation::default());
        let get = "GET /v2/keys/mica/servers HTTP/1.1\r\n\r\n";
        conversation.hear(format!("{get}{get}").as_bytes());
        for _ in 0..2 {
            assert!(said(&mut conversation, &mut all, "").starts_with("HTTP/1.1 200 OK"));
        }
        assert_eq!(said(&mut conversation, &mut all, ""), "");
    }
}
