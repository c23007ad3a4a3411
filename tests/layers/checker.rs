//! Reads Rust source for what it names.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::{LAYERS, Layer};

/// What a pure module may not name, as whole words.
const IMPURE: [&str; 27] = [
    "tokio",
    "futures_util",
    "async_trait",
    "kube::",
    "k8s_openapi",
    "reqwest",
    "hyper",
    "hyper_util",
    "axum",
    "rustls",
    "hickory_resolver",
    "tracing",
    "tracing_subscriber",
    "prometheus",
    "Instant",
    "SystemTime",
    "Timestamp::now",
    "Zoned::now",
    "fs::",
    "File::",
    "env::",
    "process::",
    "thread::sleep",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "ToSocketAddrs",
];

/// The files of a module with their code. Fails when there are none: nothing scanned proves nothing.
pub fn sources(root: &Path, module: &str) -> Vec<(PathBuf, String)> {
    let mut paths = Vec::new();
    collect(&root.join(module), &mut paths);
    let alone = root.join(format!("{module}.rs"));
    if alone.is_file() {
        paths.push(alone);
    }
    assert!(!paths.is_empty(), "there is no source of module {module} in {}", root.display());
    paths
        .into_iter()
        .map(|path| {
            let code = without_comments(&std::fs::read_to_string(&path).unwrap());
            (path.strip_prefix(root).unwrap().to_owned(), code)
        })
        .collect()
}

pub fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
}

/// Comments may speak of anything. `://` begins none: it stands in a URL.
fn without_comments(source: &str) -> String {
    source.lines().flat_map(|line| [&line[..comment_start(line)], "\n"]).collect()
}

fn comment_start(line: &str) -> usize {
    line.match_indices("//").map(|(at, _)| at).find(|at| !line[..*at].ends_with(':')).unwrap_or(line.len())
}

pub fn impure_words(code: &str) -> impl Iterator<Item = &'static str> {
    IMPURE.into_iter().filter(|word| names(code, word))
}

/// Whether `code` holds `word` and not merely a longer name that contains it.
fn names(code: &str, word: &str) -> bool {
    code.match_indices(word).any(|(at, _)| {
        let open_end = word.ends_with(':') || !code[at + word.len()..].starts_with(is_name);
        open_end && !code[..at].ends_with(is_name)
    })
}

fn is_name(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

/// The layers that `code` of `layer` names without being allowed to.
pub fn strangers(layer: &Layer, code: &str) -> impl Iterator<Item = &'static str> {
    let named = named_modules(code);
    LAYERS
        .iter()
        .map(|other| other.name)
        .filter(move |name| *name != layer.name && !layer.knows().contains(name) && named.contains(*name))
}

/// The first names after `crate::` and `super::`, in `use` groups too.
fn named_modules(code: &str) -> BTreeSet<String> {
    let mut named = BTreeSet::new();
    for root in ["crate::", "super::"] {
        for (at, _) in code.match_indices(root) {
            let rest = &code[at + root.len()..];
            match rest.strip_prefix('{') {
                Some(group) => named.extend(first_names(group)),
                None => named.extend(first_name(rest)),
            }
        }
    }
    named
}

/// The names that begin the items of a `{group}` of which the brace is open already.
fn first_names(group: &str) -> Vec<String> {
    let mut depth = 1;
    let mut found: Vec<String> = first_name(group).into_iter().collect();
    for (at, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => found.extend(first_name(&group[at + 1..])),
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    found
}

fn first_name(code: &str) -> Option<String> {
    let name: String = code.trim_start().chars().take_while(|letter| is_name(*letter)).collect();
    (!name.is_empty()).then_some(name)
}

mod tests {
    use super::*;

    fn layer(name: &str) -> &'static Layer {
        LAYERS.iter().find(|layer| layer.name == name).unwrap()
    }

    #[test]
    fn finds_what_is_not_pure_however_it_is_written() {
        for (code, word) in [
            ("use tokio::time;", "tokio"),
            ("let now = std::time::Instant::now();", "Instant"),
            ("use std::time::{Duration, Instant};", "Instant"),
            ("let now = jiff::Timestamp::now();", "Timestamp::now"),
            ("std::fs::read(path)", "fs::"),
            ("use std::{fs::File, io};", "fs::"),
            ("tracing::info!(\"x\");", "tracing"),
            ("let client: kube::Client = x;", "kube::"),
        ] {
            assert!(impure_words(code).any(|found| found == word), "{word} not found in {code}");
        }
    }

    #[test]
    fn finds_each_word_that_is_not_pure() {
        for word in IMPURE {
            let code = format!("let x = std::{}::y;", word.trim_end_matches(':'));
            assert!(impure_words(&code).any(|found| found == word), "{word} not found in {code}");
        }
    }

    #[test]
    fn finds_each_layer_that_a_module_may_not_know_and_no_other() {
        for layer in &LAYERS {
            for other in LAYERS.iter().filter(|other| other.name != layer.name) {
                let code = format!("use crate::{}::Thing;", other.name);
                let found = strangers(layer, &code).any(|name| name == other.name);
                assert_eq!(found, !layer.knows().contains(&other.name), "{} names {}", layer.name, other.name);
            }
        }
    }

    #[test]
    fn only_what_puts_things_together_knows_the_simulation_and_the_standalone_store() {
        for (hidden, known_by) in [("simulation", &["cli"][..]), ("standalone", &["app", "cli"])] {
            let knowing: Vec<&str> =
                LAYERS.iter().filter(|layer| layer.knows().contains(&hidden)).map(|layer| layer.name).collect();
            assert_eq!(knowing, known_by, "{hidden}");
        }
    }

    #[test]
    fn finds_nothing_in_names_that_only_look_alike() {
        let code = "use kube_cel::x; struct InstantOf; let my_tokio = offs::et; let at = jiff::Timestamp::UNIX_EPOCH;";
        assert_eq!(impure_words(code).collect::<Vec<_>>(), Vec::<&str>::new());
    }

    #[test]
    fn finds_a_layer_that_may_not_be_known_however_it_is_written() {
        for code in [
            "use crate::server::Server;",
            "use crate::server;",
            "crate::server::start()",
            "use crate::{pod::Pod, server::{a, b}};",
            "use crate::{\n    pod,\n    server,\n};",
            "use super::server;",
        ] {
            assert_eq!(strangers(layer("plan"), code).collect::<Vec<_>>(), ["server"], "{code}");
        }
    }

    #[test]
    fn lets_a_module_know_itself_and_the_layers_it_may() {
        let code = "use crate::plan::Plan; use crate::{pod::{server, Pod}, policy};";
        assert_eq!(strangers(layer("lifecycle"), code).count(), 0);
    }

    #[test]
    fn reads_code_and_no_comments() {
        let code = without_comments("/// As tokio does.\nlet url = \"http://tokio\"; // not reqwest\n");
        assert_eq!(impure_words(&code).collect::<Vec<_>>(), ["tokio"]);
    }

    #[test]
    fn finds_a_planted_offender_in_a_folder_below() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("plan/inner")).unwrap();
        std::fs::write(root.path().join("plan.rs"), "mod inner;\n").unwrap();
        std::fs::write(root.path().join("plan/inner/deep.rs"), "use tokio::net;\nuse crate::cli;\n").unwrap();
        let files = sources(root.path(), "plan");
        assert_eq!(files.len(), 2);
        let offender = files.iter().find(|(path, _)| path.ends_with("plan/inner/deep.rs")).unwrap();
        assert_eq!(impure_words(&offender.1).collect::<Vec<_>>(), ["tokio"]);
        assert_eq!(strangers(layer("plan"), &offender.1).collect::<Vec<_>>(), ["cli"]);
    }

    #[test]
    #[should_panic(expected = "there is no source of module plan")]
    fn fails_where_a_module_is_missing_or_empty() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("plan")).unwrap();
        sources(root.path(), "plan");
    }
}
