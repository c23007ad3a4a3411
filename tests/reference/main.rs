//! Pages of the reference are what the program says.
#![allow(clippy::unwrap_used, clippy::panic)]

mod backends;
mod definitions;

use std::path::Path;
use std::process::Command;

/// What the program prints.
fn printed(arguments: &[&str]) -> String {
    let printed = Command::new(env!("CARGO_BIN_EXE_castoff")).args(arguments).output().unwrap();
    String::from_utf8(printed.stdout).unwrap()
}

/// A text in a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

/// Pages in `docs` are what was made. Where one is not, all are put where they can be copied from.
fn are_kept(pages: &[(String, String)]) {
    let (made, docs) =
        (Path::new(env!("CARGO_TARGET_TMPDIR")).join("docs"), Path::new(env!("CARGO_MANIFEST_DIR")).join("docs"));
    for (page, text) in pages {
        std::fs::create_dir_all(made.join(page).parent().unwrap()).unwrap();
        std::fs::write(made.join(page), text).unwrap();
    }
    for (page, text) in pages {
        let kept = std::fs::read_to_string(docs.join(page)).unwrap_or_default();
        assert!(kept == *text, "docs/{page} says something else: cp -r {}/. docs", made.display());
    }
}
