//! What a Redis server answers, as JSON.

use std::io;

use redis::Value;
use serde_json::Value as Json;

/// Why there is no reply.
#[derive(Debug, thiserror::Error)]
pub enum NoReply {
    #[error(transparent)]
    Broken(#[from] io::Error),
    #[error("more than can be read")]
    TooLong,
    #[error("{0}")]
    Garbage(String),
}

/// What the server says in place of an answer, as `NOAUTH Authentication required.`; also within the answers of a
/// transaction, where one failed.
pub fn error_of(reply: &Value) -> Option<String> {
    match reply {
        Value::ServerError(error) => {
            let details = error.details().map_or_else(String::new, |details| format!(" {details}"));
            Some(error.code().to_owned() + &details)
        }
        Value::Array(replies) => replies.iter().find_map(error_of),
        _ => None,
    }
}

/// The reply as JSON. What RESP 3 adds to an answer, as its type or attributes of it, is left out.
pub fn to_json(reply: Value) -> Result<Json, &'static str> {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).map(Json::String).map_err(|_| "it holds what is no text");
    match reply {
        Value::Nil => Ok(Json::Null),
        Value::Int(number) => Ok(number.into()),
        Value::Double(number) => Ok(number.into()),
        Value::Boolean(truth) => Ok(truth.into()),
        Value::Okay => Ok("OK".into()),
        Value::SimpleString(said) | Value::VerbatimString { text: said, .. } => Ok(said.into()),
        Value::BulkString(bytes) | Value::BigNumber(bytes) => text(bytes),
        Value::Array(items) | Value::Set(items) => items.into_iter().map(to_json).collect(),
        Value::Map(entries) => {
            let entry = |(key, value)| Ok((name(to_json(key)?)?, to_json(value)?));
            entries.into_iter().map(entry).collect::<Result<serde_json::Map<_, _>, _>>().map(Json::Object)
        }
        Value::Attribute { data, .. } => to_json(*data),
        _ => Err("it is of a kind that has no place in an answer"),
    }
}

fn name(key: Json) -> Result<String, &'static str> {
    match key {
        Json::String(text) => Ok(text),
        Json::Number(number) => Ok(number.to_string()),
        _ => Err("a key of a map is no text"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn read(wire: &str) -> Result<Json, &'static str> {
        to_json(redis::parse_redis_value(wire.as_bytes()).unwrap())
    }

    #[test]
    fn lists_maps_numbers_and_texts_are_what_they_are() {
        let rows = [
            ("*3\r\n$6\r\nmaster\r\n:56\r\n*0\r\n", json!(["master", 56, []])),
            ("%2\r\n+ip\r\n$8\r\n10.0.0.7\r\n:1\r\n#t\r\n", json!({"ip": "10.0.0.7", "1": true})),
            ("~1\r\n,1.5\r\n", json!([1.5])),
            ("=10\r\ntxt:a:b\r\nc\r\n", json!("a:b\r\nc")),
            ("|1\r\n+ttl\r\n:1\r\n+OK\r\n", json!("OK")),
            ("$-1\r\n", json!(null)),
            ("_\r\n", json!(null)),
        ];
        for (wire, expected) in rows {
            assert_eq!(read(wire), Ok(expected), "{wire:?}");
        }
        for wire in
            ["$1\r\n\u{7f}\r\n".replace('\u{7f}', "\u{80}"), "%1\r\n*0\r\n:1\r\n".to_owned(), ">1\r\n+x\r\n".to_owned()]
        {
            let value = redis::parse_redis_value(wire.as_bytes());
            assert!(value.is_err() || value.is_ok_and(|value| to_json(value).is_err()), "{wire:?}");
        }
    }

    #[test]
    fn errors_are_found_in_a_transactions_answers_too() {
        let error = |wire: &str| error_of(&redis::parse_redis_value(wire.as_bytes()).unwrap());
        assert_eq!(error("-NOAUTH Authentication required.\r\n").as_deref(), Some("NOAUTH Authentication required."));
        assert_eq!(error("*2\r\n+OK\r\n-ERR no\r\n").as_deref(), Some("ERR no"));
        assert_eq!(error("-INPROG\r\n").as_deref(), Some("INPROG"));
        assert_eq!(error("*1\r\n+OK\r\n"), None);
    }
}
