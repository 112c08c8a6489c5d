//! What this crate may not know is what it cannot name: its dependencies are pinned.

const MANIFEST: &str = include_str!("../Cargo.toml");

/// The names under one heading of the manifest.
fn names_under(heading: &str) -> Vec<&'static str> {
    MANIFEST
        .lines()
        .skip_while(|line| *line != heading)
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .filter(|line| !line.trim().is_empty() && !line.starts_with('#'))
        .filter_map(|line| line.split(['.', '=', ' ']).next())
        .collect()
}

#[test]
fn no_async_wire_format_clock_randomness_or_storage() {
    assert_eq!(names_under("[dependencies]"), ["thiserror"]);
    assert_eq!(names_under("[dev-dependencies]"), ["proptest"]);
    let headings: Vec<&str> = MANIFEST.lines().filter(|line| line.starts_with('[')).collect();
    assert_eq!(
        headings,
        ["[package]", "[lints]", "[dependencies]", "[dev-dependencies]"],
        "no other kind of dependency"
    );
}
