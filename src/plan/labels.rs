//! Label selectors as kubectl writes them: `app=web,tier in (a,b),!canary`.

use std::borrow::Cow;
use std::fmt;

use crate::pod::{Text, TextMap};

/// A selector, for hints.
pub(super) const EXAMPLE: &str = "as app=web,tier in (a,b),!canary";

/// A label selector. An empty one matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels(Vec<Requirement>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Requirement {
    key: String,
    test: Test<'static>,
}

/// What is asked of one label, in kubectl's selectors as in those of objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Test<'a> {
    /// Its value is one of these.
    Among(Cow<'a, [String]>),
    /// Its value is none of these.
    NotAmong(Cow<'a, [String]>),
    /// It is there.
    Exists,
    /// It is not there.
    Absent,
}

impl Test<'_> {
    /// Whether it holds for a label of this value; `None` where there is no such label.
    #[must_use]
    pub fn holds(&self, own: Option<&Text<'_>>) -> bool {
        let listed = |values: &[String]| own.is_some_and(|own| values.iter().any(|value| value == own.as_str()));
        match self {
            Test::Among(values) => listed(values),
            // As everywhere in Kubernetes, it holds too for what has no such label.
            Test::NotAmong(values) => !listed(values),
            Test::Exists => own.is_some(),
            Test::Absent => own.is_none(),
        }
    }
}

/// A part of a text that is no part of a label selector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no part of a label selector")]
pub struct NoLabels(String);

impl Labels {
    /// Reads a selector: `key=value`, `key==value`, `key!=value`, `key in (a,b)`, `key notin (a,b)`, `key`, `!key`,
    /// with commas between, all of which must hold.
    ///
    /// # Errors
    /// The part that can't be read.
    pub fn parse(text: &str) -> Result<Self, NoLabels> {
        if text.trim().is_empty() {
            return Ok(Labels::default());
        }
        parts(text).into_iter().map(requirement).collect::<Result<_, _>>().map(Labels)
    }

    /// Whether it asks for nothing: all labels match.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether these labels match.
    #[must_use]
    pub fn matches(&self, labels: &TextMap<'_>) -> bool {
        self.0.iter().all(|requirement| requirement.test.holds(labels.get(requirement.key.as_str())))
    }
}

/// As kubectl writes it.
impl fmt::Display for Labels {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Requirement { key, test }) in self.0.iter().enumerate() {
            formatter.write_str(if index > 0 { "," } else { "" })?;
            match test {
                Test::Among(values) if values.len() == 1 => write!(formatter, "{key}={}", values.concat())?,
                Test::NotAmong(values) if values.len() == 1 => write!(formatter, "{key}!={}", values.concat())?,
                Test::Among(values) => write!(formatter, "{key} in ({})", values.join(","))?,
                Test::NotAmong(values) => write!(formatter, "{key} notin ({})", values.join(","))?,
                Test::Exists => formatter.write_str(key)?,
                Test::Absent => write!(formatter, "!{key}")?,
            }
        }
        Ok(())
    }
}

/// The parts between commas; those within brackets separate values.
fn parts(text: &str) -> Vec<&str> {
    let mut open = false;
    let separates = |letter: char| {
        open = (open || letter == '(') && letter != ')';
        letter == ',' && !open
    };
    text.split(separates).map(str::trim).collect()
}

fn requirement(part: &str) -> Result<Requirement, NoLabels> {
    let one = |key: &str, value: &str, test: fn(Cow<'static, [String]>) -> Test<'static>| {
        let value = value.trim();
        is_value(value).then(|| (key.trim().to_owned(), test(Cow::Owned(vec![value.to_owned()]))))
    };
    let found = if let Some(key) = part.strip_prefix('!') {
        Some((key.trim().to_owned(), Test::Absent))
    } else if let Some((key, value)) = part.split_once("!=") {
        one(key, value, Test::NotAmong)
    } else if let Some((key, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
        one(key, value, Test::Among)
    } else if let Some((key, values)) = part.split_once('(') {
        several(key, values)
    } else {
        Some((part.to_owned(), Test::Exists))
    };
    let (key, test) = found.filter(|(key, _)| is_key(key)).ok_or_else(|| NoLabels(part.to_owned()))?;
    Ok(Requirement { key, test })
}

/// `key in (a,b)` or `key notin (a,b)`, cut at the bracket.
fn several(key: &str, values: &str) -> Option<(String, Test<'static>)> {
    let values: Vec<String> = values.strip_suffix(')')?.split(',').map(|value| value.trim().to_owned()).collect();
    let (key, word) = key.trim().rsplit_once(char::is_whitespace)?;
    let test = match word {
        "in" => Test::Among(Cow::Owned(values.clone())),
        "notin" => Test::NotAmong(Cow::Owned(values.clone())),
        _ => return None,
    };
    values.iter().all(|value| is_value(value)).then(|| (key.trim().to_owned(), test))
}

fn is_key(key: &str) -> bool {
    let (prefix, name) = key.split_once('/').unwrap_or(("example.com", key));
    let fits = |part: &str| !part.is_empty() && has_form(part);
    fits(prefix) && fits(name) && prefix.len() <= 253 && name.len() <= 63
}

fn is_value(value: &str) -> bool {
    value.len() <= 63 && has_form(value)
}

/// Letters, digits, `-`, `_` and `.`, the last three not at an end.
fn has_form(value: &str) -> bool {
    let letters = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    let ends = |letter: Option<char>| letter.is_none_or(|letter| letter.is_ascii_alphanumeric());
    value.chars().all(letters) && ends(value.chars().next()) && ends(value.chars().last())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn matches_as_kubectl_does() {
        let labels: TextMap<'_> = [("app", "web"), ("tier", "a"), ("example.com/x", "")]
            .map(|(key, value)| (key.into(), value.into()))
            .into_iter()
            .collect();
        for (selector, expected) in [
            ("", true),
            ("app=web", true),
            ("app == web , tier in (a, b)", true),
            ("app=web,tier in (b,c)", false),
            ("tier notin (b,c),!canary", true),
            ("canary!=yes", true),
            ("app!=web", false),
            ("canary", false),
            ("example.com/x", true),
            ("example.com/x=", true),
            ("!app", false),
        ] {
            assert_eq!(Labels::parse(selector).unwrap().matches(&labels), expected, "{selector}");
        }
    }

    #[test]
    fn is_shown_as_it_is_written() {
        for selector in ["app=web,tier in (a,b),!canary", "app!=web,x notin (a,b),y"] {
            assert_eq!(Labels::parse(selector).unwrap().to_string(), selector);
        }
        assert!(Labels::parse(" ").unwrap().is_any() && !Labels::parse("a").unwrap().is_any());
    }

    #[test]
    fn names_the_part_that_it_can_not_read() {
        for (selector, part) in [
            ("app=web,", "\"\""),
            ("app=web,tier in a", "\"tier in a\""),
            ("tier among (a)", "\"tier among (a)\""),
            ("tier in (a", "\"tier in (a\""),
            ("=web", "\"=web\""),
            ("app=we b", "\"app=we b\""),
            ("http://my-service:80", "\"http://my-service:80\""),
            ("a/b/c", "\"a/b/c\""),
        ] {
            let error = Labels::parse(selector).unwrap_err().to_string();
            assert!(error.starts_with(part), "{selector}: {error}");
        }
    }
}
