//! Secrets: who Castoff trusts and who it says it is. Nothing here can be printed.

use std::collections::BTreeMap;
use std::fmt;

use async_trait::async_trait;
use http::HeaderValue;

/// Reads Secrets.
#[async_trait]
pub trait Secrets: Send + Sync {
    /// The Secret `name` in `namespace`; both have passed [`is_object_name`].
    ///
    /// # Errors
    /// For users, without any of its values: why it can't be read.
    async fn read(&self, namespace: &str, name: &str) -> Result<Secret, String>;
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

    fn text(&self, key: &str) -> Result<Option<&str>, String> {
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
#[must_use]
pub fn is_object_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
    name.len() <= 253 && name.bytes().all(fits) && name.split('.').all(|label| !label.is_empty())
}

/// How a request says who it is: the value of its header `Authorization`.
#[derive(Clone)]
pub struct Authorization {
    /// The header's value.
    pub header: HeaderValue,
    /// What must not show up in any text.
    hidden: Vec<String>,
}

impl Authorization {
    /// From `token`, or else `username` and `password`; `None` where the Secret has none of them.
    ///
    /// # Errors
    /// Says which key is missing or wrong.
    pub fn of(secret: &Secret) -> Result<Option<Self>, String> {
        if let Some(token) = secret.text("token")? {
            return Self::new("token", format!("Bearer {token}"), vec![token.to_owned()]).map(Some);
        }
        match (secret.text("username")?, secret.text("password")?) {
            (None, None) => Ok(None),
            (Some(_), None) => Err("it has username but no password".to_owned()),
            (None, Some(_)) => Err("it has password but no username".to_owned()),
            (Some(username), _) if username.contains(':') => Err("its username holds a colon".to_owned()),
            (Some(username), Some(password)) => {
                let encoded = base64(format!("{username}:{password}").as_bytes());
                Self::new("password", format!("Basic {encoded}"), vec![password.to_owned(), encoded]).map(Some)
            }
        }
    }

    fn new(key: &str, header: String, hidden: Vec<String>) -> Result<Self, String> {
        let mut header =
            HeaderValue::try_from(header).map_err(|_| format!("its {key} holds characters that no header may hold"))?;
        header.set_sensitive(true);
        Ok(Self { header, hidden })
    }

    /// `text` without the secrets in it: a backend may echo what it was sent.
    #[must_use]
    pub fn redact(&self, text: &str) -> String {
        self.hidden.iter().fold(text.to_owned(), |text, hidden| text.replace(hidden, "(hidden)"))
    }
}

impl fmt::Debug for Authorization {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Authorization(hidden)")
    }
}

/// Base64 with padding (RFC 4648 4), as basic authentication wants it.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |index: usize| u32::from(chunk.get(index).copied().unwrap_or(0));
        let bits = (byte(0) << 16) | (byte(1) << 8) | byte(2);
        for place in 0..4 {
            let index = (bits >> (18 - 6 * place)) & 0x3f;
            text.push(if place > chunk.len() { '=' } else { char::from(ALPHABET[index as usize]) });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn secret(values: &[(&str, &str)]) -> Secret {
        values.iter().map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec())).collect()
    }

    #[test]
    fn encodes_as_rfc_4648_does() {
        let rows =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("foobar", "Zm9vYmFy")];
        for (plain, encoded) in rows {
            assert_eq!(base64(plain.as_bytes()), encoded);
        }
        assert_eq!(base64(&[0xfb, 0xff]), "+/8=");
    }

    #[test]
    fn shows_no_value() {
        let secret = secret(&[("token", "t0ps3cret"), ("username", "u"), ("password", "hunter2")]);
        let authorization = Authorization::of(&secret).unwrap().unwrap();
        let shown = format!("{secret:?} {authorization:?} {:?}", authorization.header);
        assert!(shown.contains("token") && !shown.contains("t0ps3cret") && !shown.contains("hunter2"), "{shown}");
        assert_eq!(authorization.redact("you said t0ps3cret"), "you said (hidden)");
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
            let error = Authorization::of(&secret).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn takes_a_token_made_with_echo() {
        let authorization = Authorization::of(&secret(&[("token", "abc\n")])).unwrap().unwrap();
        assert_eq!(authorization.header, "Bearer abc");
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
