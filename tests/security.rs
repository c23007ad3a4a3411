//! SECURITY.md names a test for each thing that stops somebody: the tests are there.

#![allow(clippy::unwrap_used, missing_docs)]

use std::fs;
use std::path::Path;

const PAGE: &str = include_str!("../SECURITY.md");

/// All sources and tests, in one text.
fn sources() -> String {
    let mut text = String::new();
    let mut folders =
        vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                text.push_str(&fs::read_to_string(path).unwrap());
            }
        }
    }
    text
}

/// What stands in backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

fn is_test(name: &str) -> bool {
    name.matches('_').count() >= 3
        && name.chars().all(|character| character.is_ascii_lowercase() || "_0123456789".contains(character))
}

/// As a function, or by its name where a run plays it last.
fn is_there(sources: &str, name: &str) -> bool {
    sources.contains(&format!("fn {name}(")) || sources.contains(&format!("::{name}\""))
}

#[test]
fn every_test_that_the_page_names_is_there() {
    let sources = sources();
    let names: Vec<&str> = quoted(PAGE).filter(|name| is_test(name)).collect();
    assert!(names.len() > 60, "{}", names.len());
    let missing: Vec<&&str> = names.iter().filter(|name| !is_there(&sources, name)).collect();
    assert!(missing.is_empty(), "SECURITY.md names tests that are not there: {missing:?}");
}

#[test]
fn every_row_of_the_tables_names_what_shows_it() {
    for table in PAGE.split("\n\n").filter(|part| part.starts_with('|') && part.contains("| test |")) {
        for row in table.lines().skip(2) {
            let last = row.trim_end_matches('|').rsplit('|').next().unwrap();
            assert!(quoted(last).next().is_some(), "no test: {row}");
        }
    }
}
