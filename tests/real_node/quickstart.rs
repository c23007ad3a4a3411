//! docs/quickstart.md, word by word: its commands are typed, and print what the page shows.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::cluster::{Namespace, run};

const PAGE: &str = include_str!("../../docs/quickstart.md");
const MARK: &str = "```sh played\n";

/// Commands of the page, and what it shows below them.
struct Block {
    commands: Vec<&'static str>,
    /// What the last of them prints.
    shown: Option<&'static str>,
}

fn blocks() -> impl Iterator<Item = Block> {
    PAGE.split(MARK).skip(1).map(|rest| {
        let (commands, rest) = rest.split_once("```\n").unwrap();
        let shown = rest.trim_start().strip_prefix("```text\n").map(|rest| rest.split("```").next().unwrap());
        Block { commands: commands.lines().collect(), shown }
    })
}

pub fn the_quickstart_is_played_word_by_word() {
    // The page makes it; whatever comes of it, it is gone afterwards.
    let _shop = Namespace("shop".to_owned());
    let mut played = 0;
    for block in blocks() {
        let (last, before) = block.commands.split_last().unwrap();
        for command in before {
            typed(command);
        }
        match block.shown {
            Some(shown) => prints(last, shown),
            None => drop(typed(last)),
        }
        played += block.commands.len();
    }
    assert!(played > 12, "{played} commands were found on the page");
}

/// Types a command that must succeed.
fn typed(command: &str) -> String {
    let printed = run("bash", &["-c", command]);
    assert_eq!(printed.code, 0, "{command}: {printed:?}");
    printed.out + &printed.err
}

/// Types a command that prints what is shown: at once, or after a while where it only looks.
fn prints(command: &str, shown: &str) {
    let looks = ["kubectl get", "castoff status", "castoff history", "castoff doctor"];
    let seconds = if looks.iter().any(|look| command.starts_with(look)) { 90 } else { 0 };
    let expected = masked(shown);
    let deadline = Instant::now() + Duration::from_secs(seconds);
    loop {
        let printed = run("bash", &["-c", command]);
        let seen = masked(&(printed.out + &printed.err));
        if seen == expected {
            return;
        }
        assert!(Instant::now() < deadline, "{command} prints\n{seen}\nand the page shows\n{expected}");
        std::thread::sleep(Duration::from_millis(500));
    }
}

/// A text without what differs from one run to the next: times, addresses, and how wide columns are.
fn masked(text: &str) -> String {
    let lines = text.lines().map(|line| line.split_whitespace().map(mask).collect::<Vec<_>>().join(" "));
    lines.collect::<Vec<_>>().join("\n").trim().to_owned()
}

fn mask(word: &str) -> String {
    let bare = word.trim_end_matches([',', ';', '.', ':']);
    let digits = bare.chars().filter(char::is_ascii_digit).count();
    let is_time =
        digits > 0 && bare.ends_with(['s', 'm', 'h']) && bare.chars().all(|one| "0123456789smh".contains(one));
    let is_date = digits >= 8 && bare.contains('T') && bare.ends_with('Z');
    if is_time || is_date {
        return "TIME".to_owned() + &word[bare.len()..];
    }
    let address = word.split_once("://").and_then(|(_, rest)| rest.split_once(':')).map(|(host, _)| host);
    match address.filter(|host| host.parse::<IpAddr>().is_ok()) {
        Some(host) => word.replace(host, "ADDRESS"),
        None => word.to_owned(),
    }
}
