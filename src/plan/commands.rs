//! Redis commands in place of HTTP: `command: [SENTINEL, MASTER, main]`.

use super::Commands;
use super::compile::Compiler;
use super::compiled::CommandsPlan;
use super::protocol::{Asked, Protocol};
use super::scope::{Scope, Trouble};
use super::spec::Accept;
use super::template::Template;

/// Commands that have their name in two words.
const IN_TWO_WORDS: [&str; 9] =
    ["ACL", "CLIENT", "CLUSTER", "CONFIG", "LATENCY", "MEMORY", "OBJECT", "SENTINEL", "XINFO"];

/// What Castoff says itself, from the endpoint's Secret.
const HANDSHAKE: [&str; 2] = ["AUTH", "HELLO"];

/// What waits for others, or makes a connection one that only listens: no answer would come in a request's time.
const LISTENING: [&str; 16] = [
    "BLMOVE",
    "BLMPOP",
    "BLPOP",
    "BRPOP",
    "BRPOPLPUSH",
    "BZMPOP",
    "BZPOPMAX",
    "BZPOPMIN",
    "MONITOR",
    "PSUBSCRIBE",
    "PSYNC",
    "QUIT",
    "RESET",
    "SSUBSCRIBE",
    "SUBSCRIBE",
    "SYNC",
];

impl Compiler {
    /// The commands that a read or an act sends; `None` where it asks by HTTP.
    pub fn commands(&mut self, field: &str, asked: &Asked<'_>, items: &[&str]) -> Option<CommandsPlan> {
        let protocol = self.protocol(asked.url);
        let (word, lists): (&str, Vec<&Vec<String>>) = match (asked.command, asked.commands) {
            (None, None) => {
                if protocol == Some(Protocol::Redis) {
                    let hint = Some("as command: [ROLE], without method and body");
                    self.mistake(field, "says no command, and its URL is that of a Redis server", hint);
                }
                return None;
            }
            (Some(command), None) => ("command", vec![command]),
            (None, Some(commands)) => ("commands", commands.iter().collect()),
            (Some(command), Some(_)) => {
                self.mistake(&format!("{field}.commands"), "does not go with command", Some("write one of them"));
                ("command", vec![command])
            }
        };
        if matches!(protocol, Some(Protocol::Http | Protocol::Kubernetes)) {
            let hint = Some("commands go to redis:// and rediss://");
            self.mistake(&format!("{field}.{word}"), "goes to Redis alone", hint);
        }
        for other in &asked.of_http {
            self.mistake(&format!("{field}.{other}"), format!("does not go with {word}"), Some("leave it out"));
        }
        if let Accept::Codes(codes) = asked.ok
            && codes.iter().any(|code| *code != 500)
        {
            self.mistake(&format!("{field}.ok"), "an error of a Redis server has the code 500, and no other", None);
        }
        if lists.is_empty() {
            self.mistake(&format!("{field}.{word}"), "is empty", Some("as [[MULTI], [PING], [EXEC]]"));
        }
        let place = |index: usize| {
            if word == "command" { field.to_owned() + ".command" } else { format!("{field}.commands[{index}]") }
        };
        let list = lists.iter().enumerate().map(|(index, words)| self.command(&place(index), words, items)).collect();
        Some(CommandsPlan { list, one: word == "command" })
    }

    fn command(&mut self, field: &str, words: &[String], items: &[&str]) -> Vec<Template> {
        let Some(name) = words.first() else {
            self.mistake(field, "is empty", Some("as [SENTINEL, MASTER, main]"));
            return Vec::new();
        };
        let place = |index: usize| format!("{field}[{index}]");
        let upper = name.to_uppercase();
        if name.is_empty() || !name.chars().all(|letter| letter.is_ascii_alphanumeric() || "._-".contains(letter)) {
            self.mistake(&place(0), format!("{name:?} is no name of a command"), Some("write it out, as SENTINEL"));
        } else if HANDSHAKE.contains(&upper.as_str()) {
            let hint = Some("name a Secret with username and password as authSecret");
            self.mistake(&place(0), format!("Castoff says {upper} itself"), hint);
        } else if LISTENING.contains(&upper.as_str()) {
            self.mistake(&place(0), format!("{upper} waits or listens: it has no answer that could be read"), None);
        }
        words.iter().enumerate().map(|(index, word)| self.template(&place(index), word, items)).collect()
    }

    fn protocol(&self, url: &str) -> Option<Protocol> {
        match url.strip_prefix("${").and_then(|rest| rest.split_once('}')) {
            Some((endpoint, _)) => self.protocols.get(endpoint).copied(),
            None => Protocol::of(url),
        }
    }
}

impl CommandsPlan {
    /// Their names, as `MULTI, CLIENT PAUSE, EXEC`.
    pub fn names(&self) -> String {
        let name = |words: &Vec<Template>| {
            let two = words.first().and_then(Template::plain).is_some_and(|first| IN_TWO_WORDS.contains(&first));
            let words = words.iter().take(if two { 2 } else { 1 }).filter_map(Template::plain);
            words.collect::<Vec<_>>().join(" ")
        };
        self.list.iter().map(name).collect::<Vec<_>>().join(", ")
    }

    pub fn filled(&self, scope: &Scope<'_>) -> Result<Commands, Trouble> {
        let filled = |words: &Vec<Template>| words.iter().map(|word| word.text(scope)).collect::<Result<Vec<_>, _>>();
        Ok(Commands { list: self.list.iter().map(filled).collect::<Result<_, _>>()?, one: self.one })
    }
}
