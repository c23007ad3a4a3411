//! The pieces that all parts of a plan are made of, compiled: expressions, templates, methods, times.

use std::fmt::Display;
use std::time::Duration;

use serde_json::Value as Json;

use super::Mistake;
use super::compile::Compiler;
use super::expression::Expression;
use super::protocol::Protocol;
use super::spec::Accept;
use super::syntax::Kind;
use super::template::{Body, Template};

impl Compiler {
    pub fn mistake(&mut self, field: &str, message: impl Display, hint: Option<&str>) {
        let hint = hint.map(str::to_owned);
        self.mistakes.push(Mistake { field: field.to_owned(), message: message.to_string(), hint });
    }

    pub fn expression(&mut self, field: &str, source: &str, needed: Option<Kind>) -> Option<Expression> {
        match Expression::compile(field, source) {
            Ok(expression) => {
                self.names.check(&expression, &[], &mut self.mistakes);
                if let (Some(needed), Some(given)) = (needed, expression.kind())
                    && needed != given
                {
                    let message = format!("gives {}, where {} is needed", given.describe(), needed.describe());
                    self.mistake(field, message, None);
                }
                Some(expression)
            }
            Err(message) => {
                self.mistake(field, message, None);
                None
            }
        }
    }

    pub fn template(&mut self, field: &str, source: &str, items: &[&str]) -> Template {
        match Template::compile(field, source) {
            Ok(template) => {
                for expression in template.expressions() {
                    self.names.check(expression, items, &mut self.mistakes);
                }
                template
            }
            Err(message) => {
                self.mistake(field, message, None);
                Template::empty()
            }
        }
    }

    pub fn url(&mut self, field: &str, source: &str, items: &[&str]) -> Template {
        if !source.starts_with("${") && Protocol::of(source).is_none() {
            let hint = Some("as ${name-of-an-endpoint}/path");
            self.mistake(
                field,
                "begins neither with an endpoint nor with http://, https://, redis:// or rediss://",
                hint,
            );
        }
        self.template(field, source, items)
    }

    pub fn body(&mut self, field: &str, body: Option<&Json>, items: &[&str]) -> Option<Body> {
        let body = Body::compile(&format!("{field}.body"), body?, &mut self.mistakes);
        for expression in body.templates().into_iter().flat_map(Template::expressions) {
            self.names.check(expression, items, &mut self.mistakes);
        }
        Some(body)
    }

    pub fn method(&mut self, field: &str, method: &str, allowed: &[&str]) -> String {
        let upper = method.to_uppercase();
        if !allowed.contains(&method) {
            let hint = allowed.contains(&upper.as_str()).then(|| format!("write {upper}"));
            let message = format!("{method:?} is none of {}", allowed.join(", "));
            self.mistake(&format!("{field}.method"), message, hint.as_deref());
        }
        upper
    }

    pub fn accept(&mut self, field: &str, accept: &Accept) -> Accept {
        if let Accept::Codes(codes) = accept
            && let Some(code) = codes.iter().find(|code| !(100..=599).contains(*code))
        {
            self.mistake(&format!("{field}.ok"), format!("{code} is no HTTP status"), None);
        }
        accept.clone()
    }

    pub fn timeout(&mut self, field: &str, timeout: Option<&str>, longest: Duration) -> Duration {
        let Some(text) = timeout else { return longest };
        let field = format!("{field}.timeout");
        match duration(text) {
            Some(wait) if wait.is_zero() => self.mistake(&field, "is zero", None),
            Some(wait) if wait > longest => {
                self.mistake(&field, format!("is longer than {} s", longest.as_secs()), None);
            }
            Some(wait) => return wait,
            None => self.mistake(&field, format!("{text:?} is no time"), Some("as 1s or 500ms")),
        }
        longest
    }
}

fn duration(text: &str) -> Option<Duration> {
    let (digits, milliseconds) = match text.strip_suffix("ms") {
        Some(digits) => (digits, 1),
        None => (text.strip_suffix('s')?, 1000),
    };
    let plain = !digits.is_empty() && digits.len() <= 6 && digits.bytes().all(|byte| byte.is_ascii_digit());
    let count: u64 = plain.then(|| digits.parse().ok()).flatten()?;
    Some(Duration::from_millis(count * milliseconds))
}
