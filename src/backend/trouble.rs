//! Why a request brought nothing, in words for users and words for the log.

use std::error::Error;
use std::io::ErrorKind;

use serde_json::Value;

use super::dns::{ForbiddenAnswer, NoAddress};
use super::metrics::Outcome;
use crate::printable::{chain, printable};
use crate::remedy::{Cause, Kind};

/// So much of a body is quoted, in characters.
const QUOTED: usize = 200;

/// The longest sentence about a refusal, in characters.
pub const SENTENCE: usize = 300;

/// Fields in which backends say why they refuse, the most telling first.
const SAYING: [&str; 6] = ["message", "error", "msg", "reason", "detail", "error_description"];

/// Why a request brought nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    pub outcome: Outcome,
    /// For users: constant for a cause.
    pub message: String,
    /// For the log and the drain: errno, status, the body's beginning.
    pub detail: String,
    /// What a person mends.
    pub cause: Cause,
    /// What the backend said, where it refused; empty where it said nothing.
    words: String,
}

impl Trouble {
    /// Trouble with `url`, told as `URL PREDICATE`.
    pub fn new(outcome: Outcome, url: &str, predicate: &str, detail: impl Into<String>) -> Self {
        let message = format!("{} {predicate}", shown(url));
        Self { outcome, message, detail: detail.into(), cause: Cause::default(), words: String::new() }
    }

    /// The same, with what a person mends.
    pub fn because(self, cause: impl Into<Cause>) -> Self {
        Self { cause: cause.into(), ..self }
    }

    /// The same, with what the backend said.
    pub fn with_words(self, words: String) -> Self {
        Self { words, ..self }
    }

    /// What became of a request by this method, in one sentence for people.
    pub fn sentence(&self, method: &str) -> String {
        let separator = if self.words.is_empty() { "" } else { ": " };
        let sentence = format!("{method} {}{separator}{}", self.message, self.words);
        cut(&printable(&sentence), SENTENCE)
    }

    /// Nothing came back in time.
    pub fn silence(url: &str, detail: impl Into<String>) -> Self {
        Self::new(Outcome::Timeout, url, "does not answer in time", detail).because(Kind::Silent)
    }

    /// What an HTTP client's error means. `trusted` names what the server's certificate was checked against.
    pub fn of_error(url: &str, error: reqwest::Error, trusted: &str) -> Self {
        Self::of_cause(url, &error.without_url(), trusted)
    }

    /// What an error of a connection means.
    pub fn of_cause(url: &str, error: &(dyn Error + 'static), trusted: &str) -> Self {
        let detail = chain(error);
        match find::<ForbiddenAnswer>(error) {
            Some(ForbiddenAnswer::Address { .. }) => {
                return Self::new(Outcome::Guard, url, "is never allowed: DNS leads it to a forbidden address", detail);
            }
            Some(ForbiddenAnswer::Alias { target, .. }) => {
                let message = format!("is not allowed: the Service is another name for {target}. Ask that itself");
                return Self::new(Outcome::Guard, url, &message, detail);
            }
            None => {}
        }
        match find::<rustls::Error>(error) {
            Some(rustls::Error::InvalidCertificate(_)) => {
                let detail = format!("{detail}; checked against {trusted}");
                Self::new(Outcome::Credentials, url, "shows a certificate that is not trusted", detail)
                    .because(Kind::Certificates)
            }
            Some(rustls::Error::AlertReceived(_)) => {
                let detail = format!("{detail}; the certificate shown to it, if any, is of {trusted}");
                Self::new(Outcome::Credentials, url, "refuses the TLS connection", detail).because(Kind::Certificates)
            }
            _ => {
                let (kind, predicate) = unreached(url, error);
                Self::new(Outcome::Refused, url, predicate, detail).because(kind)
            }
        }
    }

    /// Whether nothing came back at all, as from a machine that is off.
    pub fn is_silence(&self) -> bool {
        matches!(self.outcome, Outcome::Refused | Outcome::Timeout)
    }
}

/// Why nothing came back over a connection, in words that are constant for a cause.
fn unreached(url: &str, error: &(dyn Error + 'static)) -> (Kind, &'static str) {
    if find::<NoAddress>(error).is_some() {
        return (Kind::NoName, "does not answer: DNS does not know its name");
    }
    let has_address = url::Url::parse(url).is_ok_and(|url| !matches!(url.host(), None | Some(url::Host::Domain(_))));
    let refused = if has_address { Kind::AddressRefused } else { Kind::Refused };
    match find::<std::io::Error>(error).map(std::io::Error::kind) {
        Some(ErrorKind::ConnectionRefused) => (refused, "does not answer: it refuses connections"),
        Some(ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable) => {
            (Kind::Silent, "does not answer: no way leads there")
        }
        _ => (refused, "does not answer: the connection breaks off"),
    }
}

/// `url` without what may be secret or varies: user, password, query, fragment.
pub fn shown(url: &str) -> String {
    let url: String = url.chars().filter(|letter| !letter.is_control()).collect();
    let url = url.split(['?', '#']).next().unwrap_or_default();
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (authority, path) = rest.find(['/', '\\']).map_or((rest, ""), |at| rest.split_at(at));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}

/// The beginning of `body` on one line.
pub fn excerpt(body: &[u8]) -> String {
    let beginning = body.get(..16 * QUOTED).unwrap_or(body);
    String::from_utf8_lossy(beginning).chars().filter(|letter| !letter.is_control()).take(QUOTED).collect()
}

/// What a body says to people: the text that JSON holds or the field of it that says why, else the text itself. Pages
/// for browsers say nothing.
pub fn words(body: &str) -> String {
    let said = match serde_json::from_str(body) {
        Ok(Value::String(text)) => text,
        Ok(Value::Object(fields)) => {
            let said = SAYING.iter().find_map(|name| fields.get(*name).and_then(Value::as_str));
            said.unwrap_or(body).to_owned()
        }
        _ if body.trim_start().starts_with('<') => String::new(),
        _ => body.to_owned(),
    };
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    cut(&printable(&said), QUOTED)
}

/// The beginning of a text, with an ellipsis where more of it follows.
fn cut(text: &str, longest: usize) -> String {
    match text.char_indices().nth(longest) {
        Some(_) => text.chars().take(longest - 1).chain(['…']).collect(),
        None => text.to_owned(),
    }
}

/// The first `T` among an error's sources, inside of I/O errors too.
fn find<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    let mut source = Some(error);
    while let Some(inner) = source {
        if let Some(found) = inner.downcast_ref::<T>() {
            return Some(found);
        }
        // An I/O error's `source` passes over the very error that it wraps.
        let wrapped = inner.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        source = match wrapped {
            Some(wrapped) => Some(wrapped),
            None => inner.source(),
        };
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_urls_without_secrets() {
        let rows = [
            ("https://pd:2379/stores?state=0#x", "https://pd:2379/stores"),
            ("https://me:hunter2@pd/stores?token=abc", "https://pd/stores"),
            ("https://me:hun@ter2@pd", "https://pd"),
            ("https://me:hunter2@pd\\x@y", "https://pd\\x@y"),
            ("http://pd/\u{7}a\nb", "http://pd/ab"),
            ("no url?x", "no url"),
        ];
        for (url, expected) in rows {
            assert_eq!(shown(url), expected);
        }
    }

    #[test]
    fn a_body_says_what_people_can_read() {
        let rows = [
            (
                "switchover is not possible: can not find sync_standby",
                "switchover is not possible: can not find sync_standby",
            ),
            (
                r#""[PD:core:ErrStoresNotEnough]can not remove store 3""#,
                "[PD:core:ErrStoresNotEnough]can not remove store 3",
            ),
            (r#"{"code":9,"message":"etcdserver: unhealthy cluster"}"#, "etcdserver: unhealthy cluster"),
            (r#"{"error":{"type":"x"},"status":400}"#, r#"{"error":{"type":"x"},"status":400}"#),
            ("<html><body>502</body></html>", ""),
            ("", ""),
            ("two\r\n  lines\u{202e}", "two lines\u{fffd}"),
            ("null", "null"),
        ];
        for (body, said) in rows {
            assert_eq!(words(body), said, "{body}");
        }
        assert_eq!(words(&"ü".repeat(1000)).chars().count(), QUOTED);
    }

    #[test]
    fn a_refusal_is_one_sentence_of_a_bounded_length() {
        let refused = Trouble::new(Outcome::Status, "http://u:p@pg-0:8008/switchover?x=1", "answers 412", "");
        assert_eq!(refused.sentence("POST"), "POST http://pg-0:8008/switchover answers 412");
        let told = refused.with_words("no".to_owned()).sentence("POST");
        assert_eq!(told, "POST http://pg-0:8008/switchover answers 412: no");
        let long = Trouble::silence(&format!("http://{}/", "a".repeat(1000)), "").sentence("GET");
        assert_eq!(long.chars().count(), SENTENCE);
    }

    #[test]
    fn quotes_two_hundred_characters_without_controls() {
        assert_eq!(excerpt(b"a\x1b[31m\r\nb\0"), "a[31mb");
        assert_eq!(excerpt("ü".repeat(9000).as_bytes()), "ü".repeat(200));
    }
}
