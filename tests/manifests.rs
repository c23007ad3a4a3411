//! The manifests are those of this program.

#![allow(clippy::unwrap_used, missing_docs)]

use std::path::Path;
use std::process::Command;

#[test]
fn the_resources_in_the_manifests_are_those_that_the_program_reads() {
    let printed = Command::new(env!("CARGO_BIN_EXE_castoff")).arg("crds").output().unwrap();
    let printed = String::from_utf8(printed.stdout).unwrap();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests/base/crds.yaml");
    let kept = std::fs::read_to_string(file).unwrap();
    assert!(printed == kept, "write it anew: castoff crds > manifests/base/crds.yaml");
}
