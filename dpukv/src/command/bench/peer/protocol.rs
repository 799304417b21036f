//! What Redis and memcached are asked, and what they say: as much of their protocols as a benchmark needs, for keys and
//! values of 8 bytes (redis.io, "RESP protocol spec"; memcached's doc/protocol.txt).

use std::io::Write;

use super::connection::word_of;

/// What a store speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Protocol {
    /// RESP, of Redis and Valkey.
    Redis,
    /// The text protocol of memcached.
    Memcached,
}

/// A piece of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event<'a> {
    /// The answer to several GETs begins.
    Begin,
    /// A GET has found its key.
    Value(&'a [u8]),
    /// A GET has not.
    Missing,
    /// All values were told.
    EndOfValues,
    /// A SET, or several that were one command, is done.
    Stored,
    /// Something was refused.
    Refused,
}

impl Protocol {
    /// Whether [`Event::EndOfValues`] ends the values of a batch.
    pub(super) const fn ends_values(self) -> bool {
        matches!(self, Self::Memcached)
    }

    /// Writes `count` GETs as one command, if there are any.
    pub(super) fn write_gets(self, count: usize, indices: impl Iterator<Item = u32>, into: &mut Vec<u8>) {
        match (self, count) {
            (_, 0) => {}
            (Self::Redis, 1) => {
                into.extend_from_slice(b"*2\r\n$3\r\nGET\r\n");
                indices.for_each(|index| write_bulk(index, into));
            }
            (Self::Redis, _) => {
                write_array(count + 1, b"$4\r\nMGET\r\n", into);
                indices.for_each(|index| write_bulk(index, into));
            }
            (Self::Memcached, _) => {
                into.extend_from_slice(b"get");
                for index in indices {
                    into.push(b' ');
                    into.extend_from_slice(&word_of(index));
                }
                into.extend_from_slice(b"\r\n");
            }
        }
    }

    /// Writes `count` SETs. Returns how many answers there will be.
    pub(super) fn write_sets(self, count: usize, indices: impl Iterator<Item = u32>, into: &mut Vec<u8>) -> usize {
        match (self, count) {
            (_, 0) => 0,
            (Self::Redis, _) => {
                let command: &[u8] = if count == 1 { b"$3\r\nSET\r\n" } else { b"$4\r\nMSET\r\n" };
                write_array(2 * count + 1, command, into);
                for index in indices {
                    write_bulk(index, into);
                    write_bulk(index, into);
                }
                1
            }
            (Self::Memcached, _) => {
                for index in indices {
                    into.extend_from_slice(b"set ");
                    into.extend_from_slice(&word_of(index));
                    into.extend_from_slice(b" 0 0 8\r\n");
                    into.extend_from_slice(&word_of(index));
                    into.extend_from_slice(b"\r\n");
                }
                count
            }
        }
    }

    /// The first piece of `bytes` and what is behind it; `None` while it is not whole.
    pub(super) fn next_event(self, bytes: &[u8]) -> Option<(Event<'_>, &[u8])> {
        let end = bytes.iter().position(|&byte| byte == b'\n')?;
        let (line, rest) = (bytes[..end].strip_suffix(b"\r").unwrap_or(&bytes[..end]), &bytes[end + 1..]);
        let value = || rest.split_at_checked(8 + 2).map(|(value, rest)| (Event::Value(&value[..8]), rest));
        match (self, line) {
            (Self::Redis, b"$8") => value(),
            (Self::Redis, b"$-1") => Some((Event::Missing, rest)),
            (Self::Redis, b"+OK") | (Self::Memcached, b"STORED") => Some((Event::Stored, rest)),
            (Self::Redis, [b'*', ..]) => Some((Event::Begin, rest)),
            (Self::Memcached, [b'V', b'A', b'L', b'U', b'E', ..]) => value(),
            (Self::Memcached, b"END") => Some((Event::EndOfValues, rest)),
            _ => Some((Event::Refused, rest)),
        }
    }
}

fn write_array(count: usize, command: &[u8], into: &mut Vec<u8>) {
    // Writing to memory cannot fail.
    let _ = write!(into, "*{count}\r\n");
    into.extend_from_slice(command);
}

fn write_bulk(index: u32, into: &mut Vec<u8>) {
    into.extend_from_slice(b"$8\r\n");
    into.extend_from_slice(&word_of(index));
    into.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(protocol: Protocol, mut bytes: &[u8]) -> Vec<Event<'_>> {
        let mut events = Vec::new();
        while let Some((event, rest)) = protocol.next_event(bytes) {
            events.push(event);
            bytes = rest;
        }
        assert!(bytes.is_empty(), "a piece is left");
        events
    }

    #[test]
    fn answers_are_taken_apart() {
        use Event::{Begin, EndOfValues, Missing, Refused, Stored, Value};
        let redis = events(Protocol::Redis, b"*2\r\n$8\r\n0000000a\r\n$-1\r\n+OK\r\n-ERR no\r\n");
        assert_eq!(redis, [Begin, Value(b"0000000a"), Missing, Stored, Refused]);
        let memcached = events(Protocol::Memcached, b"VALUE k 0 8\r\n0000000a\r\nEND\r\nSTORED\r\nSERVER_ERROR\r\n");
        assert_eq!(memcached, [Value(b"0000000a"), EndOfValues, Stored, Refused]);
    }

    #[test]
    fn no_cut_of_an_answer_is_taken_for_it() {
        for (protocol, answer) in
            [(Protocol::Redis, b"$8\r\n12345678\r\n".as_slice()), (Protocol::Memcached, b"VALUE k 0 8\r\n12345678\r\n")]
        {
            for len in 0..answer.len() {
                assert_eq!(protocol.next_event(&answer[..len]), None, "{protocol:?}, {len} bytes");
            }
        }
    }

    #[test]
    fn many_keys_are_one_command() {
        let mut bytes = Vec::new();
        Protocol::Redis.write_gets(2, [1, 2].into_iter(), &mut bytes);
        assert_eq!(bytes, b"*3\r\n$4\r\nMGET\r\n$8\r\n00000001\r\n$8\r\n00000002\r\n");
        bytes.clear();
        Protocol::Memcached.write_gets(2, [1, 0xABC].into_iter(), &mut bytes);
        assert_eq!(bytes, b"get 00000001 00000abc\r\n");
        bytes.clear();
        assert_eq!(Protocol::Redis.write_sets(2, [1, 2].into_iter(), &mut bytes), 1);
        assert_eq!(Protocol::Memcached.write_sets(2, [1, 2].into_iter(), &mut bytes), 2);
    }
}
