//! What the README and its pages show is what happens.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The README fits on a few screens.
const LINES_OF_THE_README: usize = 120;

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn page(name: &str) -> String {
    std::fs::read_to_string(repository().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The pages that people read first, and those of docs.
fn pages() -> Vec<PathBuf> {
    let docs = std::fs::read_dir(repository().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let is_page = |path: &PathBuf| path.extension().is_some_and(|word| word == "md") && !path.ends_with("SUMMARY.md");
    let mut pages: Vec<PathBuf> = docs.filter(is_page).collect();
    let first = ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "manifests/README.md"];
    pages.extend(first.map(|name| repository().join(name)));
    pages
}

/// All pages of the repository.
fn markdown() -> Vec<PathBuf> {
    let listed = Command::new("git").args(["ls-files", "*.md"]).current_dir(repository()).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let all: Vec<PathBuf> = listed.lines().map(|name| repository().join(name)).filter(|path| path.exists()).collect();
    assert!(all.len() > 20, "git lists {all:?}");
    all
}

/// Where a page's links lead: what stands in `](...)`.
fn links(text: &str) -> Vec<&str> {
    text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()).collect()
}

/// The places of a page that a link can name, as GitHub makes them from its headings.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut code = false;
    let mut found = BTreeSet::new();
    for line in text.lines() {
        code ^= line.starts_with("```");
        let Some(heading) = line.strip_prefix('#').filter(|_| !code) else { continue };
        let words = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = words.chars().filter(|letter| letter.is_alphanumeric() || " -_".contains(*letter));
        found.insert(kept.map(|letter| if letter == ' ' { '-' } else { letter }).collect());
    }
    found
}

/// What is wrong with a link of the page at `from`.
fn broken(from: &Path, link: &str) -> Option<String> {
    if link.contains("://") {
        return None;
    }
    let (place, anchor) = link.split_once('#').unwrap_or((link, ""));
    let target = if place.is_empty() { from.to_owned() } else { from.parent().unwrap().join(place) };
    if !target.exists() {
        return Some(format!("{}: {link}: there is no such file", from.display()));
    }
    let leads = anchor.is_empty() || anchors(&std::fs::read_to_string(&target).unwrap()).contains(anchor);
    (!leads).then(|| format!("{}: {link}: there is no such heading", from.display()))
}

#[test]
fn what_the_pages_link_to_is_there() {
    let found = markdown().into_iter().flat_map(|path| {
        let text = std::fs::read_to_string(&path).unwrap();
        links(&text).into_iter().filter_map(|link| broken(&path, link)).collect::<Vec<_>>()
    });
    let found: Vec<String> = found.collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn a_link_that_leads_nowhere_is_noticed() {
    let from = repository().join("README.md");
    for (link, leads) in [
        ("docs/plans.md", true),
        ("docs/runbook.md#no-replica-answers", true),
        ("#two-commands", true),
        ("https://example.org/x#y", true),
        ("docs/nonesuch.md", false),
        ("docs/runbook.md#nonesuch", false),
        ("#nonesuch", false),
    ] {
        assert_eq!(broken(&from, link).is_none(), leads, "{link}");
    }
    assert_eq!(links("a [b](c.md) and [d](e.md#f)"), ["c.md", "e.md#f"]);
}

#[test]
fn every_page_has_its_place_in_the_site() {
    let summary = page("docs/SUMMARY.md");
    let links: BTreeSet<PathBuf> = links(&summary).iter().map(|link| repository().join("docs").join(link)).collect();
    let canonical = |path: PathBuf| path.canonicalize().unwrap();
    let listed: BTreeSet<PathBuf> = links.into_iter().map(canonical).collect();
    let missing: Vec<PathBuf> = pages().into_iter().map(canonical).filter(|page| !listed.contains(page)).collect();
    assert!(missing.is_empty(), "docs/SUMMARY.md has none of {missing:?}");
}

/// What plays the commands of which pages that are marked so: each reads the page itself.
const PLAYED: [(&str, &str); 3] = [
    ("README.md", "tests/real_node/installation.rs"),
    ("docs/quickstart.md", "tests/real_node/quickstart.rs"),
    ("docs/runbook.md", "tests/e2e/scenarios/apart/own_trouble.rs"),
];

/// What is said of each block of a page, behind the fence that opens it.
fn fences(text: &str) -> Vec<&str> {
    text.lines().filter_map(|line| line.trim_start().strip_prefix("```")).step_by(2).collect()
}

#[test]
fn every_block_says_what_it_is_and_whether_its_commands_are_played() {
    let languages = ["go", "java", "json", "promql", "python", "rust", "sh", "sh played", "text", "toml", "yaml"];
    for path in markdown() {
        let (name, text) = (path.strip_prefix(repository()).unwrap(), std::fs::read_to_string(&path).unwrap());
        let fences = fences(&text);
        for fence in &fences {
            assert!(languages.contains(fence), "{}: a block begins with ```{fence}", name.display());
        }
        let listed = PLAYED.iter().find(|(page, _)| name == Path::new(page));
        assert_eq!(listed.is_some(), fences.contains(&"sh played"), "{}: who plays it?", name.display());
        if let Some((page, player)) = listed {
            let player = self::page(player);
            let reads = player.contains(&format!("/{page}\")")) || player.contains("castoff::runbook::sections()");
            assert!(reads && player.contains("```sh played"), "{page} is not played");
        }
    }
    assert_eq!(fences("a\n```sh\nx\n```\n\n```text\n```"), ["sh", "text"]);
}

#[test]
fn every_page_is_linked_from_the_readme_or_a_page_that_is() {
    let readme = page("README.md");
    let unlinked: Vec<String> = pages()
        .iter()
        .map(|path| path.strip_prefix(repository()).unwrap().display().to_string())
        .filter(|name| name != "README.md" && !readme.contains(&format!("]({name}")))
        .collect();
    assert!(unlinked.is_empty(), "the README leads to none of these: {unlinked:?}");
}

#[test]
fn the_readme_is_short_and_its_picture_is_readable_by_day_and_by_night() {
    assert!(page("README.md").lines().count() <= LINES_OF_THE_README);
    let picture = page("docs/images/castoff.svg");
    assert!(page("README.md").contains("](docs/images/castoff.svg)"));
    for part in ["prefers-color-scheme: dark", "<title", ">caller<", ">API server<", ">Castoff<", ">backend<"] {
        assert!(picture.contains(part), "{part}");
    }
}

#[test]
fn the_glossary_is_short_and_holds_the_words_of_the_code() {
    let page = page("docs/architecture.md");
    let table = page.split("| word | meaning |\n|---|---|\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let words: Vec<&str> = table.lines().map(|row| row.split('|').nth(1).unwrap().trim()).collect();
    assert!(words.len() <= 15, "{} words: {words:?}", words.len());
    for word in ["drain", "outcome", "caller", "reason", "leadership", "slot", "hole", "claim", "wake-up", "cycle"] {
        assert!(words.contains(&word), "{word} is not explained");
    }
}

/// The names of tests that a page gives: what stands in backticks, reads like a sentence and is no metric.
fn named_tests(page: &str) -> Vec<&str> {
    let is_metric = |word: &str| word.starts_with("castoff_") || word.starts_with("apiserver_");
    let is_sentence =
        |word: &str| word.matches('_').count() >= 4 && word.chars().all(|one| one == '_' || one.is_ascii_lowercase());
    page.split('`').skip(1).step_by(2).filter(|word| is_sentence(word) && !is_metric(word)).collect()
}

#[test]
fn the_tests_that_the_pages_name_are_there() {
    assert_eq!(named_tests("a `b` and `this_is_one_of_them`, `castoff_x_y_z_total`"), ["this_is_one_of_them"]);
    let mut sources = String::new();
    for folder in ["src", "tests"] {
        read_all(&repository().join(folder), &mut sources);
    }
    let pages: Vec<String> = pages().iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
    let named: BTreeSet<&str> = pages.iter().flat_map(|page| named_tests(page)).collect();
    assert!(named.len() > 20, "{named:?}");
    // What is no function by itself bears its name as a text.
    let is_there = |name: &str| sources.contains(&format!("fn {name}(")) || sources.contains(&format!("{name}\""));
    let missing: Vec<&&str> = named.iter().filter(|name| !is_there(name)).collect();
    assert!(missing.is_empty(), "pages name tests that are not there: {missing:#?}");
}

fn read_all(folder: &Path, sources: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_all(&path, sources);
        } else if path.extension().is_some_and(|word| word == "rs") {
            sources.push_str(&std::fs::read_to_string(path).unwrap());
        }
    }
}

#[test]
fn the_answer_that_is_shown_is_the_one_that_is_given() {
    let page = page("docs/standalone.md");
    let shown = page.split("<!-- answer -->\n```json\n").nth(1).unwrap().split('\n').next().unwrap();
    let shown: serde_json::Value = serde_json::from_str(shown).unwrap();
    let review = "tests/reviews/1.36/delete-by-statefulset-controller.json";
    assert!(page.contains(&format!("--json @{review} https://localhost:8443/validate")));
    let output = Command::new(env!("CARGO_BIN_EXE_castoff"))
        .args(["review", "--policies", "tests/policies", "-o", "json", review])
        .current_dir(repository())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "a denial is exit code 1");
    let rows: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(rows[0]["message"], shown["response"]["status"]["message"]);
    assert_eq!(rows[0]["reason"], shown["response"]["auditAnnotations"]["reason"]);
    assert_eq!(rows[0]["code"], shown["response"]["status"]["code"]);
}

#[test]
fn the_policies_that_are_shown_are_accepted() {
    for name in ["README.md", "docs/policies.md"] {
        let text = page(name);
        let policy = text.split("```yaml\n").nth(1).unwrap().split("```").next().unwrap();
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("policy.yaml"), policy).unwrap();
        castoff::standalone::policies::read(directory.path()).unwrap_or_else(|error| panic!("{name}: {error:?}"));
    }
}

#[test]
fn the_commands_and_plans_that_are_listed_are_those_that_there_are() {
    let program = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_castoff")).args(arguments).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let help = program(&["--help"]);
    let commands = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let commands = commands.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let told = page("docs/commands.md");
    for command in commands.map(|line| line.split_whitespace().next().unwrap()).filter(|word| *word != "help") {
        assert!(told.contains(&format!("`castoff {command}")), "docs/commands.md has no {command}");
    }
    let told = page("docs/plans.md");
    let plans: serde_json::Value = serde_json::from_str(&program(&["plans", "-o", "json"])).unwrap();
    for plan in plans.as_array().unwrap() {
        assert!(
            told.contains(&format!("| [`{0}`](backends/{0}.md) |", plan["name"].as_str().unwrap())),
            "docs/plans.md has no {plan}"
        );
    }
}
