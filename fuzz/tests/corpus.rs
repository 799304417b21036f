//! The properties of the fuzz targets, without a fuzzer: over the corpus, over the regressions, and over what becomes of the
//! corpus when it is damaged.

#[path = "../examples/seed_corpus.rs"]
#[expect(dead_code, reason = "only the example writes the files")]
mod seed_corpus;

use std::fs;
use std::path::{Path, PathBuf};

use fuzz::{PROPERTIES, Property};
use proptest::prelude::*;
use proptest::test_runner::{TestError, TestRunner};

/// Most bytes of all seeds together: the corpus is for a repository.
const CORPUS_LEN_MAX: usize = 200_000;

/// Damaged inputs for each property, unless `FUZZ_CASES` asks for another number. They take a few seconds together.
const CASE_COUNT: u32 = 1500;

fn path(part: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(part)
}

/// The names in a directory, in their order; none if there is no such directory.
fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("a readable entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// The inputs of a property in `corpus` or `regressions`, with their names.
fn inputs(kind: &str, property: &Property) -> Vec<(String, Vec<u8>)> {
    let directory = path(kind).join(property.name);
    let is_input = |name: &String| name != "README.md";
    let read = |name: String| (name.clone(), fs::read(directory.join(&name)).expect("a readable file"));
    names(&directory).into_iter().filter(is_input).map(read).collect()
}

#[test]
fn every_seed_holds_and_every_corpus_reaches_behind_the_door() {
    for property in &PROPERTIES {
        let seeds = inputs("corpus", property);
        let mut refused = Vec::new();
        for (name, bytes) in &seeds {
            println!("{}/{name}", property.name);
            if (property.check)(bytes) == 0 {
                refused.push(name);
            }
        }
        assert!(2 * refused.len() < seeds.len(), "too few seeds of {} reach anything: not {refused:?}", property.name);
    }
}

#[test]
fn the_seeds_are_those_of_the_present_formats() {
    for (path, bytes) in seed_corpus::seeds().expect("readable fixtures").files {
        let is_the_same = fs::read(&path).is_ok_and(|there| there == bytes);
        assert!(is_the_same, "{} is out of date: run the example seed_corpus", path.display());
    }
}

#[test]
fn every_regression_holds_and_is_described() {
    for property in &PROPERTIES {
        let described =
            fs::read_to_string(path("regressions").join(property.name).join("README.md")).unwrap_or_default();
        for (name, bytes) in inputs("regressions", property) {
            println!("{}/{name}", property.name);
            (property.check)(&bytes);
            assert!(described.contains(&format!("`{name}`")), "nobody says what {}/{name} is", property.name);
        }
    }
}

#[test]
fn every_property_has_a_target_and_every_target_has_a_property() {
    let manifest = fs::read_to_string(path("Cargo.toml")).expect("a manifest");
    let mut targets = Vec::new();
    for Property { name, .. } in PROPERTIES {
        assert!(
            manifest.contains(&format!("[[bin]]\nname = \"{name}\"\npath = \"fuzz_targets/{name}.rs\"\n")),
            "{name}"
        );
        let target = fs::read_to_string(path("fuzz_targets").join(format!("{name}.rs"))).expect("a target");
        assert_eq!(target.lines().count(), 5, "{name}");
        assert!(target.contains(&format!("fuzz::check_{name}(data)")), "{name} checks something else");
        targets.push(format!("{name}.rs"));
    }
    targets.sort();
    assert_eq!(names(&path("fuzz_targets")), targets);
    let known = |name: &String| targets.contains(&format!("{name}.rs"));
    assert_eq!(names(&path("corpus")).len(), PROPERTIES.len());
    assert!(names(&path("corpus")).iter().all(known) && names(&path("regressions")).iter().all(known));
}

#[test]
fn the_corpus_is_small_enough_for_a_repository() {
    let lens = PROPERTIES.iter().flat_map(|property| inputs("corpus", property)).map(|(_, bytes)| bytes.len());
    let len: usize = lens.sum();
    assert!(len <= CORPUS_LEN_MAX, "{len} bytes");
}

/// What happens to a seed.
#[derive(Clone, Debug)]
enum Damage {
    Replace {
        at: prop::sample::Index,
        byte: u8,
    },
    Flip {
        at: prop::sample::Index,
        bit: u8,
    },
    Insert {
        at: prop::sample::Index,
        bytes: Vec<u8>,
    },
    Remove {
        at: prop::sample::Index,
        len: usize,
    },
    /// The part from one place on again, behind the end.
    Repeat {
        from: prop::sample::Index,
    },
    Cut {
        at: prop::sample::Index,
    },
}

fn damage() -> impl Strategy<Value = Damage> {
    let at = any::<prop::sample::Index>;
    // Small numbers mean more than others, in lengths and in scripts.
    let byte = || prop_oneof![0..16_u8, any::<u8>(), Just(u8::MAX)];
    prop_oneof![
        4 => (at(), byte()).prop_map(|(at, byte)| Damage::Replace { at, byte }),
        2 => (at(), 0..8_u8).prop_map(|(at, bit)| Damage::Flip { at, bit }),
        2 => (at(), prop::collection::vec(byte(), 1..20)).prop_map(|(at, bytes)| Damage::Insert { at, bytes }),
        2 => (at(), 1..20_usize).prop_map(|(at, len)| Damage::Remove { at, len }),
        1 => at().prop_map(|from| Damage::Repeat { from }),
        1 => at().prop_map(|at| Damage::Cut { at }),
    ]
}

fn damaged(seed: &[u8], damages: &[Damage]) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for damage in damages {
        // One place more than there are bytes: the end.
        let place = |index: &prop::sample::Index| index.index(bytes.len() + 1);
        match damage {
            Damage::Replace { at, byte } => {
                let at = place(at);
                bytes.splice(at..(at + 1).min(bytes.len()), [*byte]);
            }
            Damage::Flip { at, bit } => {
                let at = place(at);
                bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << bit);
            }
            Damage::Insert { at, bytes: more } => {
                let at = place(at);
                bytes.splice(at..at, more.iter().copied());
            }
            Damage::Remove { at, len } => {
                let at = place(at);
                bytes.drain(at..(at + len).min(bytes.len()));
            }
            Damage::Repeat { from } => bytes.extend_from_within(place(from)..),
            Damage::Cut { at } => bytes.truncate(place(at)),
        }
    }
    bytes
}

/// Runs a property over damaged seeds and over bytes without any meaning.
fn check_damaged(name: &str) {
    let property = PROPERTIES.iter().find(|property| property.name == name).expect("a property");
    let seeds: Vec<Vec<u8>> = inputs("corpus", property).into_iter().map(|(_, bytes)| bytes).collect();
    let seed = prop_oneof![9 => prop::sample::select(seeds), 1 => prop::collection::vec(any::<u8>(), 0..600)];
    let cases = std::env::var("FUZZ_CASES").map_or(CASE_COUNT, |count| count.parse().expect("FUZZ_CASES is a number"));
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let result = TestRunner::new(config).run(&(seed, prop::collection::vec(damage(), 0..6)), |(seed, damages)| {
        (property.check)(&damaged(&seed, &damages));
        Ok(())
    });
    match result {
        Ok(()) => {}
        Err(TestError::Fail(reason, (seed, damages))) => {
            panic!("{name}: {reason}\nfor the bytes {:?}", damaged(&seed, &damages))
        }
        Err(error) => panic!("{name}: {error}"),
    }
}

/// A test for each property, so that they run at the same time and fail by name.
macro_rules! damaged_seeds_hold {
    ($($test:ident: $property:literal,)*) => {
        $(#[test] fn $test() { check_damaged($property); })*

        #[test]
        fn every_property_is_tried_with_damaged_seeds() {
            let tried = [$($property),*];
            assert_eq!(tried, PROPERTIES.map(|property| property.name));
        }
    };
}

damaged_seeds_hold! {
    damaged_frames_are_refused_or_answered: "network_frame",
    damaged_mica_requests_are_refused_or_answered: "mica_request",
    damaged_mica_responses_are_refused_or_survive: "mica_response",
    damaged_native_requests_are_refused_or_survive: "native_request",
    damaged_native_responses_are_refused_or_survive: "native_response",
    damaged_request_slots_are_refused_or_survive: "request_slot",
    damaged_response_slots_are_refused_or_survive: "response_slot",
    a_ring_takes_only_what_was_sealed_for_it: "ring_hostile",
    a_processing_engine_outlives_its_peer: "process_hostile",
    a_communication_engine_outlives_clients_and_host: "communicate_hostile",
    a_serving_engine_outlives_its_clients: "serve_hostile",
    a_table_is_a_map: "table_operations",
    a_session_ends_each_request_once: "session_hostile",
    damaged_entries_are_refused_or_survive: "directory_entry",
    a_directory_answers_whole_whatever_it_hears: "directory_request",
}
