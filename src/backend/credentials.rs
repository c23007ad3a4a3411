//! Secrets: who Castoff trusts and who it says it is. Nothing here can be printed.

use std::collections::BTreeMap;
use std::fmt;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;

use crate::remedy::{Cause, Kind};

/// Reads Secrets.
#[async_trait]
pub trait Secrets: Send + Sync {
    /// The Secret `name` in `namespace`; both have passed `is_object_name`.
    ///
    /// # Errors
    /// For users, without any of its values: why it can't be read.
    async fn read(&self, namespace: &str, name: &str) -> Result<Secret, SecretError>;
}

/// Why a Secret can't be used: a sentence for users, without any of its values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SecretError {
    message: String,
    /// What a person mends.
    pub(super) cause: Cause,
}

impl SecretError {
    /// The same, with what a person mends where that is not a key of the Secret.
    #[must_use]
    pub fn because(self, cause: impl Into<Cause>) -> Self {
        Self { cause: cause.into(), ..self }
    }
}

impl<T: Into<String>> From<T> for SecretError {
    fn from(why: T) -> Self {
        SecretError { message: why.into(), cause: Kind::Keys.into() }
    }
}

/// The keys of a Secret that have a meaning here.
pub const KEYS: [&str; 6] = ["ca.crt", "tls.crt", "tls.key", "token", "username", "password"];

/// A Secret's values by key. Its `Debug` shows the keys alone.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(BTreeMap<String, Vec<u8>>);

impl Secret {
    /// The value of `key`; an empty one counts as missing.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&[u8]> {
        self.0.get(key).map(Vec::as_slice).filter(|value| !value.is_empty())
    }

    /// What it has, by key alone: `it has ca.crt, token`. Keys without a value are named too: they may be mistyped.
    #[must_use]
    pub fn found(&self) -> String {
        let keys: Vec<&str> = self.0.keys().map(String::as_str).collect();
        if keys.is_empty() { "it is empty".to_owned() } else { format!("it has {}", keys.join(", ")) }
    }

    fn text(&self, key: &str) -> Result<Option<&str>, SecretError> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let text = std::str::from_utf8(value).map_err(|_| format!("its {key} is no text"))?;
        // Secrets made with `echo` end with a line feed.
        Ok(Some(text.trim_end_matches(['\r', '\n'])).filter(|text| !text.is_empty()))
    }
}

impl FromIterator<(String, Vec<u8>)> for Secret {
    fn from_iter<I: IntoIterator<Item = (String, Vec<u8>)>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.0.keys()).finish()
    }
}

/// Whether `name` can be the name of a namespace or a Secret, and so a file name without surprises (RFC 1123).
pub(crate) fn is_object_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    name.len() <= 253 && name.bytes().all(fits) && name.split('.').all(|label| !label.is_empty())
}

/// What must not show up in any text.
#[derive(Clone, Default)]
pub struct Hidden(Vec<String>);

impl Hidden {
    /// `text` without the secrets in it: a backend may echo what it was sent.
    pub(crate) fn redact(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, hidden| text.replace(hidden, "(hidden)"))
    }
}

/// How a connection to a Redis server says who it is.
pub struct Login {
    /// The user; Redis' own is `default`.
    pub username: String,
    /// The password.
    pub password: String,
}

impl Login {
    /// From `username` and `password`, or `password` alone; `None` where the Secret has neither.
    ///
    /// # Errors
    /// Says which key is missing or wrong.
    pub fn of(secret: &Secret) -> Result<Option<Self>, SecretError> {
        match (secret.text("username")?, secret.text("password")?) {
            (None, None) => Ok(None),
            (Some(_), None) => Err("it has username but no password".into()),
            (username, Some(password)) => {
                let username = username.unwrap_or("default").to_owned();
                Ok(Some(Login { username, password: password.to_owned() }))
            }
        }
    }

    /// What must not show up in any text.
    #[must_use]
    pub fn hidden(&self) -> Hidden {
        Hidden(vec![self.password.clone()])
    }
}

/// How a request says who it is: the value of its header `Authorization`.
#[derive(Clone)]
pub struct Authorization {
    /// The header's value.
    pub header: HeaderValue,
    hidden: Hidden,
}

impl Authorization {
    /// From `token`, or else `username` and `password`; `None` where the Secret has none of them.
    ///
    /// # Errors
    /// Says which key is missing or wrong.
    pub fn of(secret: &Secret) -> Result<Option<Self>, SecretError> {
        if let Some(token) = secret.text("token")? {
            return Self::new("token", format!("Bearer {token}"), vec![token.to_owned()]).map(Some);
        }
        match (secret.text("username")?, secret.text("password")?) {
            (None, None) => Ok(None),
            (Some(_), None) => Err("it has username but no password".into()),
            (None, Some(_)) => Err("it has password but no username".into()),
            (Some(username), _) if username.contains(':') => Err("its username holds a colon".into()),
            (Some(username), Some(password)) => {
                let encoded = STANDARD.encode(format!("{username}:{password}"));
                Self::new("password", format!("Basic {encoded}"), vec![password.to_owned(), encoded]).map(Some)
            }
        }
    }

    fn new(key: &str, header: String, hidden: Vec<String>) -> Result<Self, SecretError> {
        let mut header =
            HeaderValue::try_from(header).map_err(|_| format!("its {key} holds characters that no header may hold"))?;
        header.set_sensitive(true);
        Ok(Self { header, hidden: Hidden(hidden) })
    }

    /// What must not show up in any text.
    #[must_use]
    pub fn hidden(&self) -> Hidden {
        self.hidden.clone()
    }
}

impl fmt::Debug for Authorization {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Authorization(hidden)")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn secret(values: &[(&str, &str)]) -> Secret {
        values.iter().map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec())).collect()
    }

    #[test]
    fn shows_no_value() {
        let secret = secret(&[("token", "t0ps3cret"), ("username", "u"), ("password", "hunter2")]);
        let authorization = Authorization::of(&secret).unwrap().unwrap();
        let shown = format!("{secret:?} {authorization:?} {:?}", authorization.header);
        assert!(shown.contains("token") && !shown.contains("t0ps3cret") && !shown.contains("hunter2"), "{shown}");
        assert_eq!(authorization.hidden().redact("you said t0ps3cret"), "you said (hidden)");
    }

    #[test]
    fn says_which_key_is_missing_or_wrong() {
        assert_eq!(Authorization::of(&secret(&[("ca.crt", "x")])).unwrap().map(|own| own.header), None);
        let rows = [
            (secret(&[("username", "u")]), "no password"),
            (secret(&[("username", "u"), ("password", "\n")]), "no password"),
            (secret(&[("password", "p")]), "no username"),
            (secret(&[("username", "a:b"), ("password", "p")]), "colon"),
            (secret(&[("token", "a\nb")]), "token"),
        ];
        for (secret, expected) in rows {
            let error = Authorization::of(&secret).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn takes_a_token_made_with_echo() {
        let authorization = Authorization::of(&secret(&[("token", "abc\n")])).unwrap().unwrap();
        assert_eq!(authorization.header, "Bearer abc");
        let authorization = Authorization::of(&secret(&[("username", "a"), ("password", "b\n")])).unwrap().unwrap();
        assert_eq!(authorization.header, "Basic YTpi");
    }

    #[test]
    fn knows_names_that_are_no_paths() {
        for name in ["pd-client", "a.b", "x"] {
            assert!(is_object_name(name), "{name}");
        }
        for name in ["", ".", "..", "a/b", "../x", "a\\b", "a..b", "/etc", "A", "a\0", "a b"] {
            assert!(!is_object_name(name), "{name:?}");
        }
    }
}
