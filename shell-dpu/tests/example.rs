//! The annotated example file says what the program has by itself.

#![forbid(unsafe_code)]

use shell_dpu::Config;
use toml::Table;

const EXAMPLE: &str = include_str!("../dpu.example.toml");

#[test]
fn the_example_is_valid_and_equal_to_the_defaults() {
    assert_eq!(Config::parse("dpu.example.toml", EXAMPLE).expect("a valid file"), Config::default());
}

#[test]
fn the_example_shows_every_key_with_a_comment_before_it() {
    let shown: Table = EXAMPLE.parse().expect("a valid file");
    let known = Table::try_from(Config::default()).expect("sections of values");
    for (section, keys) in &known {
        for key in keys.as_table().expect("a section").keys() {
            assert!(shown[section].get(key).is_some(), "{section}.{key} is not shown");
        }
    }
    let lines: Vec<_> = EXAMPLE.lines().collect();
    for pair in lines.windows(2) {
        let is_key = |line: &str| line.contains(" = ") && !line.starts_with('#');
        assert!(!is_key(pair[1]) || pair[0].starts_with('#') || is_key(pair[0]), "no word about {}", pair[1]);
    }
}
