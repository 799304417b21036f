//! What must hold for any bytes: properties of the decoders, the rings, the engines, the table, the client and the directory.
//!
//! A property is a function of bytes that panics if it does not hold. It says how much of the input the product has
//! accepted, 0 if all of it was refused at the door: by that the tests know that a corpus reaches what it is for.
//!
//! Decoders get the bytes as they are ([`check_network_frame`] to [`check_response_slot`]). What acts gets them as a
//! script, of which a byte says what happens next and the bytes behind it how: an attacker who writes to a ring, a peer, a
//! client or a network that lies, a list of operations.
//!
//! The same functions serve two masters. `cargo test` gives them the corpus, its damaged copies and the regressions.
//! `cargo +nightly fuzz run TARGET --features libfuzzer` lets libFuzzer search, from the few lines in `fuzz_targets/`. What it
//! finds becomes a file with a telling name in `regressions/TARGET/`.

#![forbid(unsafe_code)]

mod batches;
mod communicate;
mod datagrams;
mod directory;
mod memory;
mod mica;
mod native;
mod network;
mod process;
mod ring;
mod script;
mod serve;
mod session;
mod slots;
mod table;

pub use communicate::check_communicate_hostile;
pub use directory::{check_directory_entry, check_directory_request};
pub use mica::{check_mica_request, check_mica_response};
pub use native::{check_native_request, check_native_response};
pub use network::check_network_frame;
pub use process::check_process_hostile;
pub use ring::check_ring_hostile;
pub use serve::check_serve_hostile;
pub use session::check_session_hostile;
pub use slots::{check_request_slot, check_response_slot};
pub use table::check_table_operations;

/// A property and the name of its fuzz target, its corpus and its regressions.
#[derive(Clone, Copy, Debug)]
pub struct Property {
    /// The name.
    pub name: &'static str,
    /// Panics if the property does not hold for these bytes; else says how much of them was accepted.
    pub check: fn(&[u8]) -> usize,
}

/// All properties.
pub const PROPERTIES: [Property; 15] = [
    Property { name: "network_frame", check: check_network_frame },
    Property { name: "mica_request", check: check_mica_request },
    Property { name: "mica_response", check: check_mica_response },
    Property { name: "native_request", check: check_native_request },
    Property { name: "native_response", check: check_native_response },
    Property { name: "request_slot", check: check_request_slot },
    Property { name: "response_slot", check: check_response_slot },
    Property { name: "ring_hostile", check: check_ring_hostile },
    Property { name: "process_hostile", check: check_process_hostile },
    Property { name: "communicate_hostile", check: check_communicate_hostile },
    Property { name: "serve_hostile", check: check_serve_hostile },
    Property { name: "table_operations", check: check_table_operations },
    Property { name: "session_hostile", check: check_session_hostile },
    Property { name: "directory_entry", check: check_directory_entry },
    Property { name: "directory_request", check: check_directory_request },
];
