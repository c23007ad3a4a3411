//! Texts with CEL in them: `${cel}` stands for a value. `$${` is a plain `${`.

use std::net::Ipv6Addr;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value as Json;

use super::expression::{Expression, ExpressionError};
use super::protocol::Protocol;
use super::scope::{Scope, Trouble};
use super::value;

/// What is escaped in a URL's pieces: all but the letters that RFC 3986 calls unreserved.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A text with values in it.
#[derive(Clone, Debug)]
pub(super) struct Template {
    /// Where it stands in the plan, as `prepare[0].url`.
    pub field: String,
    pieces: Vec<Piece>,
}

/// What is wrong with a template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum TemplateError {
    #[error("has a ${{ without its }}, after {0:?}")]
    Unclosed(String),
    #[error("has an expression ${{{source_text}}} that {wrong}")]
    Expression { source_text: String, wrong: ExpressionError },
}

#[derive(Clone, Debug)]
enum Piece {
    Text(String),
    Value(Box<Expression>),
}

impl Template {
    /// Compiles the template that stands at `field`; an error says what is wrong in it.
    pub fn compile(field: &str, source: &str) -> Result<Self, TemplateError> {
        let mut pieces = Vec::new();
        let mut text = String::new();
        let mut rest = source;
        while let Some(at) = rest.find("${") {
            let (before, from) = rest.split_at(at);
            if let Some(before) = before.strip_suffix('$') {
                text.push_str(before);
                text.push_str("${");
                rest = &from[2..];
                continue;
            }
            text.push_str(before);
            let inner = &from[2..];
            let Some(end) = closing_brace(inner) else {
                return Err(TemplateError::Unclosed(before.to_owned()));
            };
            if !text.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut text)));
            }
            let source_text = &inner[..end];
            let expression = Expression::compile(field, source_text)
                .map_err(|wrong| TemplateError::Expression { source_text: source_text.to_owned(), wrong })?;
            pieces.push(Piece::Value(Box::new(expression)));
            rest = &inner[end + 1..];
        }
        text.push_str(rest);
        if !text.is_empty() {
            pieces.push(Piece::Text(text));
        }
        Ok(Self { field: field.to_owned(), pieces })
    }

    pub fn empty() -> Self {
        Self { field: String::new(), pieces: Vec::new() }
    }

    pub fn expressions(&self) -> impl Iterator<Item = &Expression> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Value(expression) => Some(expression.as_ref()),
            Piece::Text(_) => None,
        })
    }

    /// The name that it begins with, where it begins with `${name}`.
    pub fn leading_name(&self) -> Option<&str> {
        match self.pieces.first() {
            Some(Piece::Value(expression)) => expression.as_name(),
            _ => None,
        }
    }

    /// The text itself, where nothing is filled in.
    pub fn plain(&self) -> Option<&str> {
        match self.pieces.as_slice() {
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }

    pub fn text(&self, scope: &Scope<'_>) -> Result<String, Trouble> {
        self.text_by(|expression| scope.text(expression))
    }

    /// As a text, with values from elsewhere.
    pub fn text_by<E>(&self, evaluate: impl Fn(&Expression) -> Result<String, E>) -> Result<String, E> {
        let mut text = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(plain) => text.push_str(plain),
                Piece::Value(expression) => text.push_str(&after_scheme(&text, evaluate(expression)?)),
            }
        }
        Ok(text)
    }

    /// As JSON: what is only `${…}` keeps its type, all else is a text.
    pub fn json(&self, scope: &Scope<'_>) -> Result<Json, Trouble> {
        match self.pieces.as_slice() {
            [Piece::Value(expression)] => value::to_json(&scope.evaluate(expression)?)
                .map_err(|error| scope.failure(&self.field, "gives no JSON", &error)),
            _ => self.text(scope).map(Json::String),
        }
    }

    /// As a URL. A value that it begins with is a base URL and stands as it is; every further one is escaped, and one
    /// in the path may be neither empty nor a step through directories (`.`, `..`): it would lead elsewhere.
    pub fn url(&self, scope: &Scope<'_>) -> Result<String, Trouble> {
        let mut url = String::new();
        for (index, piece) in self.pieces.iter().enumerate() {
            match piece {
                Piece::Text(plain) => {
                    if index == 1 && plain.starts_with('/') && url.ends_with('/') {
                        url.pop();
                    }
                    url.push_str(plain);
                }
                Piece::Value(expression) if index == 0 => url.push_str(&scope.text(expression)?),
                Piece::Value(expression) if url.ends_with("://") => {
                    let host = scope.text(expression)?;
                    let plain = host.parse::<Ipv6Addr>().is_err();
                    url.push_str(&if plain { escaped(&host) } else { after_scheme(&url, host) });
                }
                Piece::Value(expression) => {
                    let value = scope.text(expression)?;
                    if !url.contains('?') && matches!(value.as_str(), "" | "." | "..") {
                        let detail = format!("a piece of the path would be {value:?}");
                        return Err(scope.failure(&self.field, "gives no usable URL", &detail));
                    }
                    url.push_str(&escaped(&value));
                }
            }
        }
        let usable = Protocol::of(&url).is_some()
            && !url.chars().any(|letter| letter.is_control() || letter.is_whitespace())
            && url::Url::parse(&url).is_ok_and(|parsed| parsed.has_host() && parsed.username().is_empty());
        if usable {
            Ok(url)
        } else {
            let detail = format!("{:?} is no URL that can be asked", super::expression::clean(&url, 200));
            Err(scope.failure(&self.field, "gives no usable URL", &detail))
        }
    }
}

fn escaped(value: &str) -> String {
    utf8_percent_encode(value, ESCAPED).to_string()
}

/// A value as it stands after what was written so far: an IPv6 address in brackets where a URL's host begins.
fn after_scheme(before: &str, value: String) -> String {
    if before.ends_with("://") && value.parse::<Ipv6Addr>().is_ok() { format!("[{value}]") } else { value }
}

/// A JSON document with templates for its texts and the names of its fields.
#[derive(Clone, Debug)]
pub(super) enum Body {
    Fixed(Json),
    Text(Template),
    List(Vec<Body>),
    Map(Vec<(Template, Body)>),
}

impl Body {
    /// Compiles the document that stands at `field`; mistakes are added with their places.
    pub fn compile(field: &str, document: &Json, mistakes: &mut Vec<super::Mistake>) -> Self {
        match document {
            Json::String(text) => Body::template(field, text, mistakes).map_or(Body::Fixed(Json::Null), Body::Text),
            Json::Array(items) => Body::List(
                items
                    .iter()
                    .enumerate()
                    .map(|(index, item)| Body::compile(&format!("{field}[{index}]"), item, mistakes))
                    .collect(),
            ),
            Json::Object(fields) => {
                let mut compiled = Vec::new();
                for (name, value) in fields {
                    let place = format!("{field}.{name}");
                    let value = Body::compile(&place, value, mistakes);
                    if let Some(name) = Body::template(&place, name, mistakes) {
                        compiled.push((name, value));
                    }
                }
                Body::Map(compiled)
            }
            fixed => Body::Fixed(fixed.clone()),
        }
    }

    fn template(field: &str, text: &str, mistakes: &mut Vec<super::Mistake>) -> Option<Template> {
        let wrong = |error: String| super::Mistake { field: field.to_owned(), message: error, hint: None };
        Template::compile(field, text).map_err(|error| mistakes.push(wrong(error.to_string()))).ok()
    }

    pub fn json(&self, scope: &Scope<'_>) -> Result<Json, Trouble> {
        match self {
            Body::Fixed(json) => Ok(json.clone()),
            Body::Text(template) => template.json(scope),
            Body::List(items) => items.iter().map(|item| item.json(scope)).collect::<Result<_, _>>().map(Json::Array),
            Body::Map(fields) => fields
                .iter()
                .map(|(name, value)| Ok((name.text(scope)?, value.json(scope)?)))
                .collect::<Result<_, Trouble>>()
                .map(Json::Object),
        }
    }

    pub fn templates(&self) -> Vec<&Template> {
        match self {
            Body::Fixed(_) => Vec::new(),
            Body::Text(template) => vec![template],
            Body::List(items) => items.iter().flat_map(Body::templates).collect(),
            Body::Map(fields) => {
                fields.iter().flat_map(|(name, value)| value.templates().into_iter().chain([name])).collect()
            }
        }
    }
}

/// Where the brace that ends an expression stands: braces of maps and those within texts are not it.
fn closing_brace(source: &str) -> Option<usize> {
    let bytes = source.as_bytes();
    let mut depth = 0_usize;
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            quote @ (b'"' | b'\'') => at = end_of_text(bytes, at, quote)?,
            b'{' => depth += 1,
            b'}' if depth == 0 => return Some(at),
            b'}' => depth -= 1,
            _ => {}
        }
        at += 1;
    }
    None
}

/// Where a CEL text that opens at `open` ends: at its closing quote, or the last of three. In raw texts (`r"…"`) a
/// backslash is a letter like any other.
fn end_of_text(bytes: &[u8], open: usize, quote: u8) -> Option<usize> {
    let tripled = [quote; 3];
    let long = bytes[open..].starts_with(&tripled);
    let prefix = bytes[..open].iter().rev().take_while(|letter| letter.is_ascii_alphanumeric() || **letter == b'_');
    let prefix: Vec<u8> = prefix.take(3).copied().collect();
    let raw = prefix.len() <= 2 && prefix.iter().any(|letter| matches!(letter, b'r' | b'R'));
    let mut at = open + if long { 3 } else { 1 };
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if !raw => at += 1,
            _ if long && bytes[at..].starts_with(&tripled) => return Some(at + 2),
            letter if letter == quote && !long => return Some(at),
            _ => {}
        }
        at += 1;
    }
    None
}
