//! What one server publishes: a JSON object with exactly four members.
//!
//! ```text
//! {"concurrent_read":false,"concurrent_write":false,
//!  "partitions":[[0,0],[1,1]],
//!  "endpoints":[[0,0,"02:00:00:00:00:01","10.0.0.1",0],[1,1,"02:00:00:00:00:01","10.0.0.1",1]]}
//! ```
//!
//! | member | each | rule |
//! |---|---|---|
//! | partitions | id, label of its owner | 1 to [`PARTITION_COUNT_MAX`]; ids 0, 1, 2 … |
//! | endpoints | id, label of its owner, MAC, IPv4 address, UDP port | 1 to [`ENDPOINT_COUNT_MAX`]; ids 0, 1, 2 … |
//!
//! A MICA2 client sends what belongs to a partition to the first endpoint with the label of the partition's owner, or,
//! where a flag allows it, to any endpoint.

use std::fmt::Write;
use std::net::Ipv4Addr;

use qp_wire::native::{ENDPOINT_COUNT_MAX, PARTITION_COUNT_MAX};
use qp_wire::net::MacAddr;
use serde::Deserialize;

/// Bytes of the longest text that is looked at: twice what the largest entry takes, for those who put in spaces.
pub const ENTRY_LEN_MAX: usize = 16 << 10;

/// What one server publishes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Whether any endpoint takes reads of any key.
    pub concurrent_read: bool,
    /// Whether any endpoint takes writes of any key.
    pub concurrent_write: bool,
    /// The label of each partition's owner.
    pub partitions: Vec<u16>,
    /// Where clients reach the server.
    pub endpoints: Vec<Endpoint>,
}

/// Where the requests for one owner go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The label of the owner.
    pub owner: u16,
    /// The station; all zero at a kernel's socket, whose clients leave that to the kernel.
    pub mac: MacAddr,
    /// The address.
    pub ipv4: Ipv4Addr,
    /// The UDP port.
    pub udp_port: u16,
}

/// Why a text is no [`Entry`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// The text is too long to be one.
    #[error("{len} bytes: expected at most {ENTRY_LEN_MAX}")]
    Len {
        /// Its length, in bytes.
        len: usize,
    },
    /// It is no JSON of the right form.
    #[error("{member}: {message}")]
    Form {
        /// The member, with the position in a list.
        member: String,
        /// What the parser says of it.
        message: String,
    },
    /// No partition or endpoint, or too many.
    #[error("{member}: {count} of them, expected 1 to {max}")]
    Count {
        /// The member.
        member: &'static str,
        /// How many there are.
        count: usize,
        /// Most that there may be.
        max: usize,
    },
    /// Ids are not 0, 1, 2 and so on.
    #[error("{member}[{index}][0] = {id}: expected {index}, since ids count from 0 without a gap")]
    Id {
        /// The member.
        member: &'static str,
        /// The position in the list.
        index: usize,
        /// The id there.
        id: u16,
    },
    /// A MAC address is none.
    #[error("endpoints[{index}][2] = {value:?}: expected a MAC address such as \"02:00:00:00:00:01\"")]
    Mac {
        /// The position in the list.
        index: usize,
        /// What is there.
        value: String,
    },
    /// An IPv4 address is none.
    #[error("endpoints[{index}][3] = {value:?}: expected an IPv4 address such as \"10.0.0.1\"")]
    Ipv4 {
        /// The position in the list.
        index: usize,
        /// What is there.
        value: String,
    },
}

/// The form alone.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    concurrent_read: bool,
    concurrent_write: bool,
    partitions: Vec<(u16, u16)>,
    endpoints: Vec<(u16, u16, String, String, u16)>,
}

impl Entry {
    /// Reads an entry.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn parse(text: &str) -> Result<Self, EntryError> {
        if text.len() > ENTRY_LEN_MAX {
            return Err(EntryError::Len { len: text.len() });
        }
        let mut json = serde_json::Deserializer::from_str(text);
        let raw: Raw = serde_path_to_error::deserialize(&mut json).map_err(|error| EntryError::Form {
            member: error.path().to_string(),
            message: error.inner().to_string(),
        })?;
        json.end()
            .map_err(|error| EntryError::Form { member: "behind the entry".to_owned(), message: error.to_string() })?;
        check_ids("partitions", PARTITION_COUNT_MAX, raw.partitions.iter().map(|(id, _)| *id))?;
        check_ids("endpoints", ENDPOINT_COUNT_MAX, raw.endpoints.iter().map(|(id, ..)| *id))?;
        let endpoint = |(index, (_, owner, mac, ipv4, udp_port)): (usize, (u16, u16, String, String, u16))| {
            Ok(Endpoint {
                owner,
                mac: MacAddr::parse(&mac).ok_or(EntryError::Mac { index, value: mac })?,
                ipv4: ipv4.parse().map_err(|_| EntryError::Ipv4 { index, value: ipv4 })?,
                udp_port,
            })
        };
        Ok(Self {
            concurrent_read: raw.concurrent_read,
            concurrent_write: raw.concurrent_write,
            partitions: raw.partitions.into_iter().map(|(_, owner)| owner).collect(),
            endpoints: raw.endpoints.into_iter().enumerate().map(endpoint).collect::<Result<_, _>>()?,
        })
    }

    /// The entry as MICA2 writes it, without spaces.
    pub fn to_json(&self) -> String {
        let (read, write) = (self.concurrent_read, self.concurrent_write);
        let mut text = format!("{{\"concurrent_read\":{read},\"concurrent_write\":{write},\"partitions\":[");
        for (id, owner) in self.partitions.iter().enumerate() {
            // Writing to a string cannot fail.
            let _ = write!(text, "{}[{id},{owner}]", if id == 0 { "" } else { "," });
        }
        text.push_str("],\"endpoints\":[");
        for (id, Endpoint { owner, mac, ipv4, udp_port }) in self.endpoints.iter().enumerate() {
            let comma = if id == 0 { "" } else { "," };
            let _ = write!(text, "{comma}[{id},{owner},\"{mac}\",\"{ipv4}\",{udp_port}]");
        }
        text.push_str("]}");
        text
    }
}

fn check_ids(member: &'static str, max: usize, ids: impl ExactSizeIterator<Item = u16>) -> Result<(), EntryError> {
    let count = ids.len();
    if count == 0 || count > max {
        return Err(EntryError::Count { member, count, max });
    }
    match ids.enumerate().find(|(index, id)| *index != usize::from(*id)) {
        Some((index, id)) => Err(EntryError::Id { member, index, id }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MICA2: &str = r#"{"concurrent_read":false,"concurrent_write":false,"partitions":[[0,0],[1,1]],"endpoints":[[0,0,"02:00:00:00:00:01","10.0.0.1",0],[1,1,"02:00:00:00:00:01","10.0.0.1",1]]}"#;

    #[test]
    fn an_entry_of_mica2_is_written_as_it_was_read() {
        let entry = Entry::parse(MICA2).expect("an entry");
        assert_eq!(entry.endpoints[1].mac, MacAddr([2, 0, 0, 0, 0, 1]));
        assert_eq!(entry.to_json(), MICA2);
        assert_eq!(Entry::parse(&format!(" {}\n", MICA2.replace(':', " : ").replace(" : 0", ":0"))), Ok(entry));
    }

    #[test]
    fn the_largest_entry_is_read() {
        let endpoint =
            Endpoint { owner: u16::MAX, mac: MacAddr::BROADCAST, ipv4: Ipv4Addr::BROADCAST, udp_port: u16::MAX };
        let entry = Entry {
            concurrent_read: true,
            concurrent_write: true,
            partitions: vec![u16::MAX; PARTITION_COUNT_MAX],
            endpoints: vec![endpoint; ENDPOINT_COUNT_MAX],
        };
        assert!(entry.to_json().len() <= ENTRY_LEN_MAX / 2);
        assert_eq!(Entry::parse(&entry.to_json()), Ok(entry));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let cases = [
            (r#""concurrent_read":false,"#, "", "missing field `concurrent_read`"),
            ("false", "0", "concurrent_read: invalid type: integer `0`, expected a boolean"),
            (r#""partitions""#, r#""parts""#, "unknown field `parts`"),
            (r#""concurrent_write""#, r#""concurrent_read""#, "duplicate field `concurrent_read`"),
            ("[[0,0],[1,1]]", "[]", "partitions: 0 of them, expected 1 to 256"),
            ("[1,1]]", "[2,1]]", "partitions[1][0] = 2: expected 1"),
            ("[1,1]]", "[1]]", "partitions[1]: invalid length 1"),
            ("[1,1]]", "[1,65536]]", "partitions[1][1]: invalid value: integer `65536`, expected u16"),
            ("[1,1]]", "[1,-1]]", "partitions[1][1]: invalid value: integer `-1`, expected u16"),
            ("[[0,0,\"", "[[1,0,\"", "endpoints[0][0] = 1: expected 0"),
            ("02:00", "02-00", "endpoints[0][2] = \"02-00:00:00:00:01\": expected a MAC address"),
            ("02:00", "+2:00", "endpoints[0][2]"),
            ("00:01\"", "00:01:02\"", "endpoints[0][2]"),
            ("10.0.0.1", "10.0.0", "endpoints[0][3] = \"10.0.0\": expected an IPv4 address"),
            (",1]]}", ",70000]]}", "endpoints[1][4]: invalid value"),
            (",1]]}", ",1]]} x", "behind the entry: trailing characters"),
            ("}", "", "EOF while parsing"),
        ];
        for (from, to, expected) in cases {
            let shown = Entry::parse(&MICA2.replacen(from, to, 1)).expect_err(expected).to_string();
            assert!(shown.contains(expected) && !shown.contains('\n'), "{shown}\nlacks {expected}");
        }
        assert_eq!(Entry::parse(&" ".repeat(16385)), Err(EntryError::Len { len: 16385 }));
    }

    #[test]
    fn more_partitions_or_endpoints_than_a_client_takes_are_refused() {
        let entry = Entry::parse(MICA2).expect("an entry");
        let many = Entry { partitions: vec![0; 257], ..entry.clone() };
        assert_eq!(
            Entry::parse(&many.to_json()),
            Err(EntryError::Count { member: "partitions", count: 257, max: 256 })
        );
        let many = Entry { endpoints: vec![entry.endpoints[0]; 33], ..entry };
        assert_eq!(Entry::parse(&many.to_json()), Err(EntryError::Count { member: "endpoints", count: 33, max: 32 }));
    }
}
