//! Why a request brought nothing, in words for users and words for the log.

use std::error::Error;
use std::fmt::Write as _;

use super::dns::ForbiddenAnswer;
use super::metrics::Outcome;

/// So much of a body is quoted, in characters.
const QUOTED: usize = 200;

/// Why a request brought nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// The kind.
    pub outcome: Outcome,
    /// For users: constant for a cause.
    pub message: String,
    /// For the log and the drain: errno, status, the body's beginning.
    pub detail: String,
}

impl Trouble {
    /// Trouble with `url`, told as `URL PREDICATE`.
    pub fn new(outcome: Outcome, url: &str, predicate: &str, detail: impl Into<String>) -> Self {
        Self { outcome, message: format!("{} {predicate}", shown(url)), detail: detail.into() }
    }

    /// Nothing came back: the word for it does not depend on why.
    pub fn silence(outcome: Outcome, url: &str, detail: impl Into<String>) -> Self {
        Self::new(outcome, url, "does not answer", detail)
    }

    /// What an HTTP client's error means. `trusted` names what the server's certificate was checked against.
    #[must_use]
    pub fn of_error(url: &str, error: reqwest::Error, trusted: &str) -> Self {
        let error = error.without_url();
        let detail = chain(&error);
        match find::<ForbiddenAnswer>(&error) {
            Some(ForbiddenAnswer::Address { .. }) => {
                return Self::new(Outcome::Guard, url, "is never allowed: DNS leads it to a forbidden address", detail);
            }
            Some(ForbiddenAnswer::Alias { target, .. }) => {
                let message = format!("is not allowed: the Service is another name for {target}. Ask that itself");
                return Self::new(Outcome::Guard, url, &message, detail);
            }
            None => {}
        }
        match find::<rustls::Error>(&error) {
            Some(rustls::Error::InvalidCertificate(_)) => Self::new(
                Outcome::Credentials,
                url,
                "shows a certificate that is not trusted",
                format!("{detail}; checked against {trusted}"),
            ),
            Some(rustls::Error::AlertReceived(_)) => Self::new(
                Outcome::Credentials,
                url,
                "refuses the TLS connection",
                format!("{detail}; the certificate shown to it, if any, is of {trusted}"),
            ),
            _ => Self::silence(Outcome::Refused, url, detail),
        }
    }

    /// Whether nothing came back at all, as from a machine that is off.
    #[must_use]
    pub fn is_silence(&self) -> bool {
        matches!(self.outcome, Outcome::Refused | Outcome::Timeout)
    }
}

/// `url` without what may be secret or varies: user, password, query, fragment.
#[must_use]
pub fn shown(url: &str) -> String {
    let url: String = url.chars().filter(|letter| !letter.is_control()).collect();
    let url = url.split(['?', '#']).next().unwrap_or_default();
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (authority, path) = rest.find(['/', '\\']).map_or((rest, ""), |at| rest.split_at(at));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}

/// The beginning of `body` on one line.
#[must_use]
pub fn excerpt(body: &[u8]) -> String {
    let beginning = body.get(..16 * QUOTED).unwrap_or(body);
    String::from_utf8_lossy(beginning).chars().filter(|letter| !letter.is_control()).take(QUOTED).collect()
}

/// All that an error says, outermost first.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let said = inner.to_string();
        if !text.ends_with(&said) {
            // Writing to a String can't fail.
            let _ = write!(text, ": {said}");
        }
        source = inner.source();
    }
    text
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
    fn quotes_two_hundred_characters_without_controls() {
        assert_eq!(excerpt(b"a\x1b[31m\r\nb\0"), "a[31mb");
        assert_eq!(excerpt("ü".repeat(9000).as_bytes()), "ü".repeat(200));
    }
}
