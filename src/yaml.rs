//! Reading YAML, with the places of mistakes.

use std::fmt;

use serde::de::{Deserialize, DeserializeOwned, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_path_to_error::{Path, Segment};
use serde_saphyr::{Error, MessageFormatter, Options, Spanned, UserMessageFormatter};

use crate::nearest::{did_you_mean, nearest};
use crate::printable::printable;

/// The longest document that is read, in bytes.
pub const LONGEST: usize = 1024 * 1024;

/// What kind of mistake it is, for whoever would mend it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A field is not there.
    Missing,
    /// There is no such field; what was meant, where that can be told.
    UnknownField(Option<String>),
    /// There is no such word for a value; what was meant, where that can be told.
    UnknownWord(Option<String>),
    /// Something else.
    Other,
}

/// What is wrong with a YAML text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct YamlError {
    /// Its kind.
    pub kind: Kind,
    /// The line, from 1, where it is known.
    pub line: Option<usize>,
    /// The field, where it is known.
    pub field: Option<String>,
    /// What is wrong.
    pub message: String,
    /// What to write instead, where that can be told.
    pub hint: Option<String>,
}

/// Reads one document. Texts that unfold to very much (aliases of aliases) are refused.
///
/// # Errors
/// The first mistake, with its line.
pub fn parse<T: DeserializeOwned>(text: &str) -> Result<T, YamlError> {
    if text.len() > LONGEST {
        let message = format!("is longer than {LONGEST} bytes");
        return Err(YamlError { kind: Kind::Other, line: None, field: None, message, hint: None });
    }
    let mut field = None;
    let read = serde_saphyr::with_deserializer_from_str_with_options(text, options(), |deserializer| {
        serde_path_to_error::deserialize(deserializer).map_err(|error| {
            field = Some(field_at(error.path()));
            error.into_inner()
        })
    });
    // What is no YAML has no fields.
    read.map_err(|error| describe(&error, text, field.filter(|_| line_of(text, "").is_some())))
}

/// A path as messages write it: `spec.steps[0].plan`. Which variant of an enum was read is no part of it.
fn field_at(path: &Path) -> String {
    let mut field = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => field.extend(["[", &index.to_string(), "]"]),
            Segment::Map { key } => field = beneath(&field, key),
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    field
}

fn beneath(map: &str, key: &str) -> String {
    if map.is_empty() { key.to_owned() } else { format!("{map}.{key}") }
}

/// One of several documents in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Document<'a> {
    /// The number of its first line, from 1.
    pub first_line: usize,
    /// The document.
    pub text: &'a str,
}

impl Document<'_> {
    /// The line in the whole text of a line of this document.
    #[must_use]
    pub fn line(&self, line: usize) -> usize {
        self.first_line + line.saturating_sub(1)
    }
}

/// The documents of a text, which lines `---` divide. Those that hold nothing but comments are left out.
#[must_use]
pub fn documents(text: &str) -> Vec<Document<'_>> {
    let mut starts = vec![(1, 0)];
    let mut at = 0;
    for (index, line) in text.split_inclusive('\n').enumerate() {
        // In the first column these can't be anything but a document's beginning, not even within a text.
        if line.strip_prefix("---").is_some_and(|rest| rest.trim_start().len() < rest.len() || rest.is_empty()) {
            starts.push((index + 1, at));
        }
        at += line.len();
    }
    let ends = starts.iter().skip(1).map(|(_, at)| *at).chain([text.len()]);
    let documents = starts.iter().zip(ends).map(|((first_line, from), to)| Document {
        first_line: *first_line,
        text: text.get(*from..to).unwrap_or_default(),
    });
    documents.filter(|document| document.text.lines().any(holds_something)).collect()
}

fn holds_something(line: &str) -> bool {
    let line = line.strip_prefix("---").unwrap_or(line).trim();
    !line.is_empty() && !line.starts_with('#') && line != "..."
}

/// The line of a field, as `observe.stores.url` or `prepare[0].when`; where the path leads nowhere, that of the
/// innermost part that is there. `None` where the text is no YAML.
#[must_use]
pub fn line_of(text: &str, field: &str) -> Option<usize> {
    let root: Spanned<Node> = serde_saphyr::from_str_with_options(text, options()).ok()?;
    let mut line = usize::try_from(root.referenced.line()).ok()?;
    let mut rest = field;
    let mut node = root.value;
    while !rest.is_empty() {
        let Some((found_line, next, remaining)) = node.step(rest) else { break };
        line = usize::try_from(found_line).ok()?;
        node = next;
        rest = remaining.trim_start_matches('.');
    }
    Some(line)
}

/// A document whose parts know their lines.
enum Node {
    Map(Vec<(Spanned<String>, Spanned<Node>)>),
    List(Vec<Spanned<Node>>),
    Leaf,
}

impl Node {
    /// The part that the beginning of `path` names: its line, itself, and the rest of the path. A name that holds dots
    /// is found as well.
    fn step(self, path: &str) -> Option<(u64, Node, &str)> {
        match self {
            Node::Map(entries) => {
                let ends = |rest: &str| rest.is_empty() || rest.starts_with(['.', '[']);
                let named = entries.into_iter().filter_map(|(key, value)| {
                    let rest = path.strip_prefix(key.value.as_str()).filter(|rest| ends(rest))?;
                    Some((key.referenced.line(), value.value, rest))
                });
                named.min_by_key(|(_, _, rest)| rest.len())
            }
            Node::List(items) => {
                let (index, rest) = path.strip_prefix('[')?.split_once(']')?;
                let item = items.into_iter().nth(index.parse().ok()?)?;
                Some((item.referenced.line(), item.value, rest))
            }
            Node::Leaf => None,
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("anything")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Node::Map(entries))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Node::List(items))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Node, E> {
        Ok(Node::Leaf)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Node, E> {
        Ok(Node::Leaf)
    }

    fn visit_i128<E>(self, _: i128) -> Result<Node, E> {
        Ok(Node::Leaf)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Node, E> {
        Ok(Node::Leaf)
    }

    fn visit_u128<E>(self, _: u128) -> Result<Node, E> {
        Ok(Node::Leaf)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Node, E> {
        Ok(Node::Leaf)
    }

    fn visit_str<E>(self, _: &str) -> Result<Node, E> {
        Ok(Node::Leaf)
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Leaf)
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Leaf)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        Node::deserialize(deserializer)
    }
}

fn options() -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: 48,
            max_nodes: 50_000,
            max_events: 100_000,
            max_aliases: 100,
            max_anchors: 100,
            max_total_scalar_bytes: LONGEST,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 10_000,
            max_replay_stack_depth: 8,
            max_alias_expansions_per_anchor: 100,
        },
        with_snippet: false,
        strict_booleans: true,
    }
}

fn describe(error: &Error, text: &str, field: Option<String>) -> YamlError {
    let line = error.location().and_then(|place| usize::try_from(place.line()).ok()).filter(|line| *line > 0);
    let cause = cause(error);
    let message = printable(&UserMessageFormatter.format_message(cause)).into_owned();
    let told = YamlError { kind: Kind::Other, line, field, message, hint: None };
    let meant = |word: &str, known: &[&'static str]| nearest(word, known.iter().copied()).map(str::to_owned);
    match cause {
        Error::SerdeMissingField { field: name, .. } => {
            let field = beneath(told.field.as_deref().unwrap_or_default(), name);
            let (line, message) = (line_of(text, &field), "is missing".to_owned());
            YamlError { kind: Kind::Missing, line, message, field: Some(field), ..told }
        }
        Error::SerdeUnknownField { field: word, expected, .. } => {
            let hint = did_you_mean(word, expected.iter().copied());
            YamlError { kind: Kind::UnknownField(meant(word, expected)), hint, ..told }
        }
        Error::SerdeUnknownVariant { variant: word, expected, .. } => {
            let hint = did_you_mean(word, expected.iter().copied());
            YamlError { kind: Kind::UnknownWord(meant(word, expected)), hint, ..told }
        }
        Error::InvalidScalar { ty, .. } if ty.starts_with(['u', 'i']) => {
            YamlError { message: "is no whole number, or one that is too large".to_owned(), ..told }
        }
        _ => told,
    }
}

/// What is wrong with what an alias stands for, as if it stood there itself.
fn cause(error: &Error) -> &Error {
    match error {
        Error::AliasError { error, .. } => cause(error),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn finds_the_lines_of_fields() {
        let text = "# a plan\nsummary: x\nobserve:\n  stores:\n    url: a\n    ok: [1,\n      2]\nlist:\n- when: a\n- {when: b,\n   x: y}\na.b: 1\n";
        for (field, line) in [
            ("summary", 2),
            ("observe.stores.url", 5),
            ("observe.stores.ok[1]", 7),
            ("observe.stores.nothing.there", 4),
            ("list[1].x", 11),
            ("list[0].when", 9),
            ("list[7]", 8),
            ("a.b", 12),
            ("", 2),
        ] {
            assert_eq!(line_of(text, field), Some(line), "{field}");
        }
    }

    #[test]
    fn divides_documents_and_keeps_their_lines() {
        let text = "# only this\n---\na: 1\n--- # two\nb: |\n  --- no\n  ----\n---\n# nothing\n";
        let found = documents(text);
        assert_eq!(found.iter().map(|document| document.first_line).collect::<Vec<_>>(), [2, 4]);
        let first: serde_json::Value = parse(found[0].text).unwrap();
        let second: serde_json::Value = parse(found[1].text).unwrap();
        assert_eq!((first["a"].as_i64(), second["b"].as_str()), (Some(1), Some("--- no\n----\n")));
        assert_eq!(found[1].line(line_of(found[1].text, "b").unwrap()), 5);
    }

    #[test]
    fn refuses_aliases_that_unfold_without_end() {
        let level = |name: char, of: char| format!("{name}: &{name} [{}]\n", vec![format!("*{of}"); 9].join(","));
        let bomb: String = ('b'..='i').zip('a'..='h').map(|(name, of)| level(name, of)).collect();
        assert!(parse::<serde_json::Value>(&format!("a: &a [x,x,x,x,x,x,x,x,x]\n{bomb}")).is_err());
        assert!(parse::<serde_json::Value>(&"[".repeat(10_000)).is_err());
        assert!(parse::<serde_json::Value>("a: &a 1\nb: *a").is_ok());
    }

    #[test]
    fn refuses_a_field_that_is_given_twice() {
        let error = parse::<serde_json::Value>("a: 1\nb: 2\na: 3\n").unwrap_err();
        assert_eq!(error.line, Some(3), "{error:?}");
    }
}
