//! The document, the code and the tests name the same rules.

use std::collections::BTreeSet;

const DOCUMENT: &str = include_str!("../../../docs/wire-format.md");
const CODE: &[&str] = &[
    include_str!("../../src/mica/entry.rs"),
    include_str!("../../src/mica/request.rs"),
    include_str!("../../src/mica/response.rs"),
    include_str!("../../src/net/arp.rs"),
    include_str!("../../src/net/datagram.rs"),
    include_str!("../../src/net/endpoint.rs"),
    include_str!("../../src/net/ethernet.rs"),
    include_str!("../../src/net/headers.rs"),
    include_str!("../../src/net/icmp.rs"),
    include_str!("../../src/net/ipv4.rs"),
    include_str!("../../src/net/mod.rs"),
    include_str!("../../src/net/question.rs"),
    include_str!("../../src/net/udp.rs"),
];
const TESTS: &[&str] = &[
    include_str!("checks.rs"),
    include_str!("malformed.rs"),
    include_str!("properties.rs"),
    include_str!("questions.rs"),
    include_str!("reference.rs"),
    include_str!("../golden.rs"),
];

/// The numbers of the rules W-C-1 to W-C-49 in a text. Those from 50 on are the native protocol's.
fn rules(text: &str) -> BTreeSet<u32> {
    let text = text.to_uppercase().replace('_', "-");
    let numbers = text.split("W-C-").skip(1).filter_map(|rest| {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
        rest[..digits].parse().ok()
    });
    numbers.filter(|&number| number < 50).collect()
}

#[test]
fn each_rule_of_the_document_is_named_by_the_code_and_by_a_test() {
    // A rule is an item of a list, its id in bold in front.
    let defined: BTreeSet<u32> =
        DOCUMENT.lines().filter(|line| line.starts_with("- **W-C-")).flat_map(|line| rules(&line[..14])).collect();
    assert_eq!(defined, rules(DOCUMENT), "a rule is mentioned that is none");
    let in_code: BTreeSet<u32> = CODE.iter().flat_map(|file| rules(file)).collect();
    let in_tests: BTreeSet<u32> = TESTS.iter().flat_map(|file| rules(file)).collect();
    assert_eq!(in_code, defined);
    assert_eq!(in_tests, defined);
    assert!(!defined.is_empty());
}
