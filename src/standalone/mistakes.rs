//! All mistakes of a document, not the first alone: what is wrong is noted, mended or taken out in a copy, and the rest
//! is read again.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::yaml::{self, Kind, YamlError};

/// So many mistakes of one document are told.
const MOST: usize = 20;

/// What a document holds, as far as it can be read.
pub(super) struct Reading<T> {
    /// The document, with what is wrong taken out of it; `None` where that was not enough.
    pub value: Option<T>,
    /// What is wrong.
    pub mistakes: Vec<YamlError>,
    /// Fields that are not in `value` as they were written: what is said of these follows from the mistakes.
    pub changed: Vec<String>,
}

/// Reads a document.
pub(super) fn read<T: DeserializeOwned>(text: &str) -> Reading<T> {
    let mut reading = Reading { value: None, mistakes: Vec::new(), changed: Vec::new() };
    let mut error = match yaml::parse::<T>(text) {
        Ok(value) => return Reading { value: Some(value), ..reading },
        Err(error) => error,
    };
    let document: Option<Value> = yaml::parse(text).ok();
    reading.mistakes.push(error.clone());
    // What is no YAML has no fields that could be taken out.
    let Some(mut document) = document else { return reading };
    for _ in 0..MOST {
        let Some(field) = error.field.clone() else { break };
        match mend::<T>(&mut document, &field, &error) {
            Mended::AsMeant => {}
            Mended::Otherwise => reading.changed.push(field),
            Mended::Not => break,
        }
        error = match parsed::<T>(&document) {
            Ok(value) => {
                reading.value = Some(value);
                break;
            }
            Err(next) => next,
        };
        let place = error.field.as_deref().unwrap_or_default();
        // Where something was taken out, that it is missing now is no news.
        let follows = error.kind == Kind::Missing && reading.changed.iter().any(|changed| is_beside(changed, place));
        if !follows {
            let line = yaml::line_of(text, place);
            reading.mistakes.push(YamlError { line, ..error.clone() });
        }
    }
    reading
}

impl<T> Reading<T> {
    /// Whether what is said of this field follows from a mistake that was told.
    pub fn explains(&self, field: &str) -> bool {
        let is_within = |outer: &str, inner: &str| {
            inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        self.changed.iter().any(|changed| is_within(changed, field) || is_within(field, changed))
    }
}

/// Whether both are fields of the same map, or the same one.
fn is_beside(one: &str, other: &str) -> bool {
    let map = |field: &str| field.rsplit_once('.').map_or(String::new(), |(map, _)| map.to_owned());
    map(one) == map(other) && other != "metadata"
}

fn parsed<T: DeserializeOwned>(document: &Value) -> Result<T, YamlError> {
    let text = serde_json::to_string_pretty(document).unwrap_or_default();
    yaml::parse(&text)
}

/// What was made of a mistake in the copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mended {
    /// The copy says what was meant.
    AsMeant,
    /// The copy says something else, or nothing: what follows from that is no news.
    Otherwise,
    /// Nothing could be made of it.
    Not,
}

/// Makes the document one in which this error is no more.
fn mend<T: DeserializeOwned>(document: &mut Value, field: &str, error: &YamlError) -> Mended {
    if error.kind == Kind::Missing {
        return if fill_in::<T>(document, field) { Mended::Otherwise } else { Mended::Not };
    }
    let mut mended = Mended::Otherwise;
    let is_there = change(document, field, &mut |map, name| match &error.kind {
        Kind::UnknownWord(Some(meant)) => {
            map.insert(name.to_owned(), json!(meant));
            mended = Mended::AsMeant;
        }
        Kind::UnknownField(Some(meant)) if !map.contains_key(meant) => {
            let value = map.remove(name).unwrap_or_default();
            map.insert(meant.clone(), value);
            mended = Mended::AsMeant;
        }
        _ => drop(map.remove(name)),
    });
    if is_there { mended } else { Mended::Not }
}

/// Something of whichever form is asked for.
fn fill_in<T: DeserializeOwned>(document: &mut Value, field: &str) -> bool {
    let (map, name) = field.rsplit_once('.').unwrap_or(("", field));
    for filling in [json!("x"), json!({}), json!([]), json!(1)] {
        let mut filled = document.clone();
        let Some(within) = at(&mut filled, map).and_then(Value::as_object_mut) else { return false };
        within.insert(name.to_owned(), filling);
        let still = |error: &YamlError| error.field.as_deref().is_some_and(|place| place.starts_with(field));
        if !parsed::<T>(&filled).is_err_and(|error| still(&error)) {
            *document = filled;
            return true;
        }
    }
    false
}

/// Changes the map that holds this field. False where there is none.
fn change(document: &mut Value, field: &str, how: &mut dyn FnMut(&mut Map<String, Value>, &str)) -> bool {
    match document {
        Value::Object(map) => {
            let Some((name, rest)) = first(map, field) else { return false };
            if rest.is_empty() {
                how(map, &name);
                return true;
            }
            map.get_mut(&name).is_some_and(|inner| change(inner, rest, how))
        }
        Value::Array(items) => {
            let Some((index, rest)) = index(field) else { return false };
            if rest.is_empty() {
                if index < items.len() {
                    items.remove(index);
                    return true;
                }
                return false;
            }
            items.get_mut(index).is_some_and(|inner| change(inner, rest, how))
        }
        _ => false,
    }
}

/// The part of a document at this path.
fn at<'a>(document: &'a mut Value, path: &str) -> Option<&'a mut Value> {
    if path.is_empty() {
        return Some(document);
    }
    match document {
        Value::Object(map) => {
            let (name, rest) = first(map, path)?;
            at(map.get_mut(&name)?, rest)
        }
        Value::Array(items) => {
            let (index, rest) = index(path)?;
            at(items.get_mut(index)?, rest)
        }
        _ => None,
    }
}

/// The field that a path begins with, and the rest of it. Names may hold dots: the longest one counts.
fn first<'a>(map: &Map<String, Value>, path: &'a str) -> Option<(String, &'a str)> {
    let named = map.keys().filter_map(|name| {
        let rest = path.strip_prefix(name.as_str())?;
        (rest.is_empty() || rest.starts_with(['.', '['])).then(|| (name.clone(), rest.trim_start_matches('.')))
    });
    named.min_by_key(|(_, rest)| rest.len())
}

fn index(path: &str) -> Option<(usize, &str)> {
    let (index, rest) = path.strip_prefix('[')?.split_once(']')?;
    Some((index.parse().ok()?, rest.trim_start_matches('.')))
}
