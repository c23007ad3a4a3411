//! From an HTTP answer to an observation.

use serde_json::Value;

use super::expression::clean;
use super::spec::{Accept, Parse};
use super::{BackendRead, Observation, metrics_text};
use crate::remedy::Cause;

/// The largest body that is read, in bytes; whoever receives it stops there.
pub const LARGEST_BODY: usize = 8 * 1024 * 1024;

/// The most values (texts, numbers, lists, maps) that a body may hold: some 100 MB of memory while a round lasts.
pub const MOST_VALUES: usize = 250_000;

impl Accept {
    /// Whether a status is an answer: every 2xx is, and those that the plan lists.
    #[must_use]
    pub fn takes(&self, code: u16) -> bool {
        match self {
            Accept::Any(_) => true,
            Accept::Codes(codes) => codes.contains(&code) || is_success(code),
            Accept::None => is_success(code),
        }
    }
}

/// The observation that an answer makes.
///
/// JSON: an empty body is `null`; a body that is not JSON is a text where the status is an accepted one beyond 2xx, and
/// else a failure. Documents nested more than 127 levels deep are a failure too.
#[must_use]
pub fn read_answer(read: &BackendRead, code: u16, body: &[u8]) -> Observation {
    if !read.request.ok.takes(code) {
        return failed(read, &format!("answers {code}"), &String::from_utf8_lossy(body));
    }
    if body.len() > LARGEST_BODY {
        return failed(read, "answers more than can be read", &format!("{} bytes", body.len()));
    }
    let Ok(text) = std::str::from_utf8(body) else {
        return failed(read, "answers what is no text", &String::from_utf8_lossy(body));
    };
    let value = match read.parse {
        Parse::Text => Value::String(text.to_owned()),
        Parse::Json if text.trim().is_empty() => Value::Null,
        Parse::Json => match serde_json::from_str(text) {
            Ok(value) => value,
            Err(_) if !is_success(code) => Value::String(text.to_owned()),
            Err(error) => return failed(read, "answers what is no JSON", &format!("{error}: {text}")),
        },
        Parse::Prometheus => match metrics_text::parse(text) {
            Ok(samples) => samples,
            Err(_) if !is_success(code) => Value::String(text.to_owned()),
            Err(line) => {
                let detail = format!("line {line}: {}", text.lines().nth(line - 1).unwrap_or_default());
                return failed(read, "answers what is not in Prometheus' text format", &detail);
            }
        },
    };
    if count(&value, MOST_VALUES) > MOST_VALUES {
        return failed(read, "answers more than can be read", &format!("more than {MOST_VALUES} values"));
    }
    Observation::Answer { code, body: value }
}

/// How many values a document holds; counting ends once they are more than `enough`.
fn count(value: &Value, enough: usize) -> usize {
    let mut total = 0;
    let mut open = vec![value];
    while let Some(value) = open.pop() {
        total += 1;
        if total > enough {
            break;
        }
        match value {
            Value::Array(items) => open.extend(items),
            Value::Object(fields) => open.extend(fields.values()),
            _ => {}
        }
    }
    total
}

/// The observation that is made when no answer came; `detail` says why, for the log.
#[must_use]
pub fn no_answer(read: &BackendRead, detail: &str) -> Observation {
    match read.request.ok {
        Accept::Any(_) => Observation::Answer { code: 0, body: Value::Null },
        Accept::Codes(_) | Accept::None => failed(read, "does not answer", detail),
    }
}

fn failed(read: &BackendRead, what: &str, detail: &str) -> Observation {
    let message = format!("{} {} {what}", read.request.method, clean(&read.request.url, 300));
    Observation::Failed { message, detail: clean(detail.trim(), 500), cause: Cause::default() }
}

fn is_success(code: u16) -> bool {
    (200..300).contains(&code)
}
