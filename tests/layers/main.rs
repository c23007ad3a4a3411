//! Which module may know which, what the pure ones may not touch, and what no file of the repository may say.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod allowed;
mod checker;
mod limits;
mod modules;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use checker::{impure_words, sources, strangers};

/// A module of the crate's root, and what it may know.
struct Layer {
    name: &'static str,
    /// Decides only: no input or output, no clock, no runtime, no logging.
    pure: bool,
    /// The modules that it may name. They stand above it in [`LAYERS`], so dependencies run one way.
    knows: &'static str,
}

impl Layer {
    fn knows(&self) -> Vec<&'static str> {
        self.knows.split_whitespace().collect()
    }
}

const LAYERS: [Layer; 26] = [
    Layer { name: "nearest", pure: true, knows: "" },
    Layer { name: "printable", pure: true, knows: "" },
    Layer { name: "remedy", pure: true, knows: "" },
    Layer { name: "runbook", pure: true, knows: "" },
    Layer { name: "schema", pure: true, knows: "" },
    Layer { name: "yaml", pure: true, knows: "nearest printable" },
    Layer { name: "pod", pure: true, knows: "schema" },
    Layer { name: "facts", pure: true, knows: "pod" },
    Layer { name: "plan", pure: true, knows: "nearest printable remedy schema yaml pod" },
    Layer { name: "policy", pure: true, knows: "nearest schema yaml pod plan" },
    Layer { name: "lifecycle", pure: true, knows: "printable remedy schema facts pod plan policy" },
    Layer { name: "admission", pure: true, knows: "printable remedy facts pod plan policy lifecycle" },
    // What controller and gate need of their surroundings, with a cluster or without.
    Layer { name: "ports", pure: false, knows: "facts pod policy lifecycle admission" },
    // Every metric, in one table.
    Layer { name: "metrics", pure: false, knows: "policy" },
    Layer { name: "runtime", pure: false, knows: "printable" },
    Layer { name: "trust", pure: false, knows: "metrics" },
    Layer { name: "backend", pure: false, knows: "printable remedy pod plan metrics" },
    Layer {
        name: "controller",
        pure: false,
        knows: "remedy runbook facts pod plan policy lifecycle metrics ports runtime backend",
    },
    // What keeps the state without a cluster: it implements the ports, and only `app` and `cli` name it.
    Layer {
        name: "standalone",
        pure: false,
        knows: "nearest printable yaml facts pod plan policy lifecycle ports backend controller",
    },
    Layer { name: "server", pure: false, knows: "printable admission metrics runtime trust" },
    Layer {
        name: "gate",
        pure: false,
        knows: "printable facts pod plan policy lifecycle admission metrics ports controller server",
    },
    // Runs in the pod of an application, and knows nothing of the guard.
    Layer { name: "hook", pure: false, knows: "printable" },
    // The same in a cluster, and what a cluster needs besides: certificates, the registration.
    Layer {
        name: "kubernetes",
        pure: false,
        knows: "printable remedy runbook schema facts pod plan policy lifecycle metrics ports runtime trust backend controller",
    },
    // Plays backends for the demo and the tests. The guard must not be able to tell, so only `cli` names it.
    Layer { name: "simulation", pure: false, knows: "" },
    // Puts everything together.
    Layer {
        name: "app",
        pure: false,
        knows: "runbook facts pod plan policy lifecycle metrics ports runtime trust backend controller standalone server gate kubernetes",
    },
    // Arguments, and people's commands.
    Layer {
        name: "cli",
        pure: false,
        knows: "nearest printable remedy runbook yaml facts pod plan policy lifecycle admission metrics ports runtime trust backend controller standalone server gate hook kubernetes simulation app",
    },
];

#[test]
fn pure_modules_touch_no_clock_no_network_and_no_runtime() {
    let mut offences = Vec::new();
    for layer in LAYERS.iter().filter(|layer| layer.pure) {
        for (path, code) in sources(&source_root(), layer.name) {
            offences.extend(impure_words(&code).map(|word| format!("{}: {word}", path.display())));
        }
    }
    assert!(offences.is_empty(), "pure modules name what is not pure:\n{}", offences.join("\n"));
}

#[test]
fn modules_know_only_the_layers_they_may() {
    let mut offences = Vec::new();
    for layer in &LAYERS {
        for (path, code) in sources(&source_root(), layer.name) {
            offences.extend(strangers(layer, &code).map(|name| format!("{}: {name}", path.display())));
        }
    }
    assert!(offences.is_empty(), "modules name layers that they may not know:\n{}", offences.join("\n"));
}

#[test]
fn every_module_has_its_layer() {
    let found: BTreeSet<String> = std::fs::read_dir(source_root())
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .filter(|name| name != "main" && name != "lib")
        .collect();
    let known: BTreeSet<String> = LAYERS.iter().map(|layer| layer.name.to_owned()).collect();
    assert_eq!(found, known, "src and the list of layers differ");
}

#[test]
fn layers_know_only_those_above_them() {
    let mut above = BTreeSet::new();
    for layer in &LAYERS {
        for known in layer.knows() {
            assert!(above.contains(known), "{} knows {known}, which does not stand above it", layer.name);
        }
        above.insert(layer.name);
    }
}

#[test]
fn no_file_names_a_place_of_one_machine() {
    // Put together here, so that this file does not hold them itself.
    let places = [["/wo", "rk/"], ["/ro", "ot/"], ["/ho", "me/"], ["/Us", "ers/"]].map(|halves| halves.concat());
    let listed = Command::new("git")
        .args(["ls-files", "-z"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("git lists the files of the repository");
    assert!(listed.status.success(), "git ls-files: {}", String::from_utf8_lossy(&listed.stderr));
    let files: Vec<&str> =
        std::str::from_utf8(&listed.stdout).unwrap().split('\0').filter(|name| !name.is_empty()).collect();
    assert!(files.contains(&"Cargo.toml"), "git lists other files than this repository's");
    let mut offences = Vec::new();
    for name in files {
        // Deleted but still in the index: nothing to read.
        let Ok(content) = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)) else { continue };
        let content = String::from_utf8_lossy(&content);
        offences.extend(
            places.iter().filter(|place| content.contains(place.as_str())).map(|place| format!("{name}: {place}")),
        );
    }
    assert!(offences.is_empty(), "files name places of one machine:\n{}", offences.join("\n"));
}

#[test]
fn files_functions_and_names_of_tests_are_short() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut offences = Vec::new();
    for (place, source) in limits::rust_files(&repository.join("src")) {
        let lines = source.lines().count();
        if lines > limits::LINES_OF_A_FILE {
            offences.push(format!("src/{place}: {lines} lines"));
        }
        offences.extend(limits::too_long(&format!("src/{place}"), &source));
    }
    for (place, source) in limits::rust_files(&repository.join("tests")) {
        let found = limits::too_long(&format!("tests/{place}"), &source);
        offences.extend(found.into_iter().filter(|offence| offence.ends_with("letters")));
    }
    let is_allowed = |offence: &String, (allowed, _): &(&str, &str)| offence.starts_with(&format!("{allowed}: "));
    let stale = allowed::LONG.iter().filter(|allowed| !offences.iter().any(|offence| is_allowed(offence, allowed)));
    let stale: Vec<String> =
        stale.map(|(allowed, _)| format!("{allowed}: is short now, take it off the list")).collect();
    offences.retain(|offence| !allowed::LONG.iter().any(|allowed| is_allowed(offence, allowed)));
    offences.extend(stale);
    assert!(
        offences.is_empty(),
        "a file may have {} lines, a function {}, the name of a test {} letters (tests/layers/allowed.rs):\n{}",
        limits::LINES_OF_A_FILE,
        limits::LINES_OF_A_FUNCTION,
        limits::LETTERS_OF_A_TEST_NAME,
        offences.join("\n")
    );
}

#[test]
fn files_need_each_other_in_a_circle_only_where_it_is_explained() {
    let circles = modules::circles(&modules::of_crate(&source_root()));
    let explains =
        |(files, _): &(&[&str], &str), circle: &Vec<String>| circle.iter().all(|file| files.contains(&file.as_str()));
    let unexplained: Vec<String> = circles
        .iter()
        .filter(|circle| !allowed::CIRCLES.iter().any(|allowed| explains(allowed, circle)))
        .map(|circle| circle.join(" "))
        .collect();
    assert!(
        unexplained.is_empty(),
        "circles that tests/layers/allowed.rs does not explain:\n{}",
        unexplained.join("\n")
    );
    for allowed in &allowed::CIRCLES {
        assert!(circles.iter().any(|circle| explains(allowed, circle)), "no circle any more: {:?}", allowed.0);
    }
}

fn source_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}
