//! Prometheus' text format, as <https://prometheus.io/docs/instrumenting/exposition_formats/> has it.

use serde_json::{Map, Number, Value, json};

/// The samples of a text, as a list of `{name, labels, value}`. Whole values are whole numbers, so that CEL's
/// `value == 0` holds; `NaN` and the infinities, which JSON lacks, are texts. An error is the number of the first line
/// that is no sample.
pub(super) fn parse(text: &str) -> Result<Value, usize> {
    let mut samples = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if !line.is_empty() && !line.starts_with('#') {
            samples.push(sample(line).ok_or(index + 1)?);
        }
    }
    Ok(Value::Array(samples))
}

fn sample(line: &str) -> Option<Value> {
    let end = line.find(|letter: char| letter == '{' || letter.is_whitespace())?;
    let (name, rest) = line.split_at(end);
    let begins = name.chars().next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_' || first == ':');
    if !begins || !name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_' || letter == ':') {
        return None;
    }
    let (labels, rest) = match rest.trim_start().strip_prefix('{') {
        Some(inner) => labels(inner)?,
        None => (Map::new(), rest),
    };
    let value = number(rest.split_whitespace().next()?)?;
    Some(json!({"name": name, "labels": labels, "value": value}))
}

/// The labels up to the closing brace, and what follows it.
fn labels(text: &str) -> Option<(Map<String, Value>, &str)> {
    let mut labels = Map::new();
    let mut rest = text.trim_start();
    loop {
        if let Some(after) = rest.strip_prefix('}') {
            return Some((labels, after));
        }
        let (name, after) = rest.split_once('=')?;
        let (value, after) = quoted(after.trim_start().strip_prefix('"')?)?;
        labels.insert(name.trim().to_owned(), Value::String(value));
        rest = after.trim_start();
        rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
    }
}

/// The text up to the closing quote, and what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => match letters.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
    None
}

fn number(text: &str) -> Option<Value> {
    /// Up to here every whole number has a float of its own.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let number: f64 = text.parse().ok()?;
    if number.fract() == 0.0 && number.abs() <= EXACT {
        #[allow(clippy::cast_possible_truncation)]
        return Some(Value::from(number as i64));
    }
    Some(Number::from_f64(number).map_or_else(|| Value::String(text.to_owned()), Value::Number))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn reads_samples_with_labels_escapes_and_timestamps() {
        let text = "# HELP up x\n# TYPE up gauge\nup 1\n\nleaders{store=\"a \\\"b\\\" }\",type=\"x\",} 0.0 1700000000\n\
                    load:avg {} 1.5e0\nodd NaN\n";
        assert_eq!(
            parse(text).unwrap(),
            json!([
                {"name": "up", "labels": {}, "value": 1},
                {"name": "leaders", "labels": {"store": "a \"b\" }", "type": "x"}, "value": 0},
                {"name": "load:avg", "labels": {}, "value": 1.5},
                {"name": "odd", "labels": {}, "value": "NaN"},
            ])
        );
    }

    #[test]
    fn tells_the_line_that_is_no_sample() {
        assert_eq!(parse("up 1\n<html>\n"), Err(2));
        assert_eq!(parse("up{a=\"b} 1"), Err(1));
        assert_eq!(parse("up"), Err(1));
    }
}
