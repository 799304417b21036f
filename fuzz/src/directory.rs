//! What servers publish, and what anybody says to an embedded directory.

use std::time::Instant;

use directory::embedded::conversation::Conversation;
use directory::embedded::request::HEAD_LEN_MAX;
use directory::entry::ENTRY_LEN_MAX;
use directory::{Entry, Registrations};
use serde_json::Value;

const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";

/// Any bytes as an entry: what is accepted is written to a text that says the same.
///
/// Returns how many partitions and endpoints there were.
pub fn check_directory_entry(data: &[u8]) -> usize {
    let Ok(entry) = Entry::parse(&String::from_utf8_lossy(data)) else { return 0 };
    let text = entry.to_json();
    assert!(text.len() <= ENTRY_LEN_MAX);
    assert_eq!(Entry::parse(&text).as_ref(), Ok(&entry), "an entry was changed by being written");
    entry.partitions.len() + entry.endpoints.len()
}

/// Any bytes on a connection to a directory: each answer is whole and JSON, it is the same in whatever pieces the bytes
/// arrive, and what is listed afterwards are entries. The first byte says how long the pieces are.
///
/// Returns how many requests were done.
pub fn check_directory_request(data: &[u8]) -> usize {
    let Some((piece_len, bytes)) = data.split_first() else { return 0 };
    let piece_len = usize::from(*piece_len).max(1);
    let now = Instant::now();
    let mut registrations = Registrations::new("/mica/servers");
    let said = converse(bytes, piece_len, now, &mut registrations);
    // How a head that is too long is refused depends on what is seen of it when it is.
    if bytes.len() < HEAD_LEN_MAX {
        let at_once = converse(bytes, bytes.len().max(1), now, &mut Registrations::new("/mica/servers"));
        assert_eq!(said.replace(CONTINUE, ""), at_once.replace(CONTINUE, ""), "pieces of {piece_len} bytes");
    }
    let listed = registrations.get(now, "/mica/servers").body;
    for node in listed["node"]["nodes"].as_array().into_iter().flatten() {
        Entry::parse(node["value"].as_str().expect("a text")).expect("an entry");
    }
    done_count(&said.replace(CONTINUE, ""))
}

/// Everything that is said on a connection on which these bytes arrive.
fn converse(mut bytes: &[u8], piece_len: usize, now: Instant, registrations: &mut Registrations) -> String {
    let mut conversation = Conversation::default();
    let mut said = String::new();
    while !bytes.is_empty() {
        let (piece, behind) = bytes.split_at(piece_len.min(conversation.room()).min(bytes.len()));
        if piece.is_empty() {
            assert!(conversation.is_over(), "no room in the middle of a conversation");
            break;
        }
        bytes = behind;
        conversation.hear(piece);
        loop {
            conversation.answer(now, registrations);
            let text = String::from_utf8(conversation.outbox().to_vec()).expect("an answer is text");
            if text.is_empty() {
                break;
            }
            conversation.sent(text.len());
            said += &text;
        }
    }
    said
}

/// How many of the answers say that something was done. Panics if one is not whole.
fn done_count(mut said: &str) -> usize {
    let mut count = 0;
    while !said.is_empty() {
        let (head, rest) = said.split_once("\r\n\r\n").expect("a whole head");
        let status = head.strip_prefix("HTTP/1.1 ").and_then(|line| line.get(..3)).expect("a status");
        let len = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).expect("a length");
        let (body, behind) = rest.split_at(len.parse().expect("a number"));
        serde_json::from_str::<Value>(body).expect("JSON");
        count += usize::from(status.starts_with('2'));
        said = behind;
    }
    count
}
