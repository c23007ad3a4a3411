//! One request and its answer: guard, Secrets, sending, and the body within its limit.

use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use reqwest::{Method, Response};
use tokio::time::{Instant, timeout_at};

use super::credentials::{Authorization, Hidden};
use super::means::{self, ByHttp};
use super::metrics::Outcome;
use super::objects::{self, KUBERNETES};
use super::trouble::{Trouble, excerpt, words};
use super::{Backend, Scope, resp};
use crate::plan::Request;
use crate::remedy::Kind;

/// The longest body that is read.
pub const BODY_LIMIT: usize = 4 << 20;

/// A request that was answered with an accepted status.
pub struct Exchange {
    pub code: u16,
    pub body: Bytes,
    pub hidden: Hidden,
}

impl Exchange {
    /// The body's beginning, fit for the log.
    pub fn excerpt(&self) -> String {
        quoted(&self.hidden, &self.body)
    }

    /// The body as text, without the secrets that were sent.
    pub fn without_secrets(&self) -> String {
        redacted(&self.hidden, &self.body)
    }
}

/// Sends `request` and reads its answer, all before `limit`.
pub async fn exchange(
    backend: &Backend,
    scope: &Scope,
    request: &Request,
    limit: Instant,
) -> Result<Exchange, Trouble> {
    let url = &request.url;
    let target = backend.may_ask(url, scope).await;
    let target = target.map_err(|refused| Trouble::new(Outcome::Guard, url, &refused.why, "not sent"))?;
    if target.of_pod && !scope.pod_present {
        return Err(Trouble::new(Outcome::Gone, url, "is no longer the pod's", "not sent"));
    }
    let begun = Instant::now();
    let asked = async {
        let scheme = target.url.scheme();
        let unfit = |why: &str| Err(Trouble::new(Outcome::Garbage, url, why, "not sent"));
        match (&request.commands, scheme) {
            (None, "http" | "https") => {
                let means = means::by_http(backend, scope, request, scheme == "https").await?;
                send(request, target.url.clone(), means).await
            }
            (Some(commands), "redis" | "rediss") => {
                let means = means::by_resp(backend, scope, request, scheme == "rediss").await?;
                resp::send(backend, request, commands, &target, &means).await
            }
            (None, KUBERNETES) => objects::send(backend, scope, request, &target.url).await,
            (None, _) => unfit("can't be asked by HTTP: it is the URL of a Redis server"),
            (Some(_), _) => unfit("can't be asked by command: it begins neither with redis:// nor with rediss://"),
        }
    };
    timeout_at(limit, asked).await.unwrap_or_else(|_| {
        let waited = limit.saturating_duration_since(begun);
        Err(Trouble::silence(url, format!("nothing within {waited:.1?}")))
    })
}

async fn send(request: &Request, url: url::Url, means: ByHttp) -> Result<Exchange, Trouble> {
    let wrong = |error: String| Trouble::new(Outcome::Garbage, &request.url, "can't be asked", error);
    let method = Method::from_bytes(request.method.as_bytes()).map_err(|error| wrong(error.to_string()))?;
    // Some, as Eureka, give XML to whoever does not ask for JSON; pages of metrics are neither.
    let mut builder = means.transport.request(method, url).header(ACCEPT, "application/json, */*;q=0.5");
    let hidden = means.auth.as_ref().map(Authorization::hidden).unwrap_or_default();
    if let Some(authorization) = &means.auth {
        builder = builder.header(AUTHORIZATION, authorization.header.clone());
    }
    if let Some(body) = &request.body {
        let body = serde_json::to_vec(body).map_err(|error| wrong(error.to_string()))?;
        builder = builder.header(CONTENT_TYPE, "application/json").body(body);
    }
    let failed = |error| Trouble::of_error(&request.url, error, &means.trusted);
    let mut response = builder.send().await.map_err(failed)?;
    let code = response.status().as_u16();
    if !request.ok.takes(code) {
        // Whether all of it comes does not matter: the status says enough.
        let (body, _) = read(&mut response, 4096).await;
        let said = quoted(&hidden, &body);
        // Whoever is not let in wants to know whom the backend took him for.
        let (unsigned, kind) = match Kind::of_status(code) {
            Kind::Unauthorized => (means.unsigned.words.as_str(), means.unsigned.kind),
            other => ("", other),
        };
        let predicate = format!("answers {code}{unsigned}");
        let trouble = Trouble::new(Outcome::Status, &request.url, &predicate, format!("HTTP {code}: {said}"));
        return Err(trouble.because(kind).with_words(spoken(&hidden, &body)));
    }
    match read(&mut response, BODY_LIMIT).await {
        (body, End::Whole) => Ok(Exchange { code, body, hidden }),
        (_, End::TooLong) => {
            let detail = format!("HTTP {code} with a body of more than {BODY_LIMIT} bytes");
            Err(Trouble::new(Outcome::Garbage, &request.url, "answers more than 4 MiB", detail))
        }
        (_, End::Broken(error)) => Err(failed(error)),
    }
}

/// How the reading of a body ended.
enum End {
    Whole,
    TooLong,
    Broken(reqwest::Error),
}

/// Reads the body, no more than `limit` bytes of it.
async fn read(response: &mut Response, limit: usize) -> (Bytes, End) {
    let mut body = BytesMut::new();
    loop {
        match response.chunk().await {
            Ok(None) => return (body.freeze(), End::Whole),
            Ok(Some(chunk)) if chunk.len() > limit - body.len() => {
                body.extend_from_slice(&chunk[..limit - body.len()]);
                return (body.freeze(), End::TooLong);
            }
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Err(error) => return (body.freeze(), End::Broken(error)),
        }
    }
}

/// A body's beginning, fit for the log.
fn quoted(hidden: &Hidden, body: &[u8]) -> String {
    excerpt(redacted(hidden, body.get(..4096).unwrap_or(body)).as_bytes())
}

/// What a body says to people, without the secrets that were sent: those that JSON had written in another way too.
fn spoken(hidden: &Hidden, body: &[u8]) -> String {
    hidden.redact(&words(&redacted(hidden, body)))
}

/// A body as text, without the secrets that were sent: a backend may repeat them.
fn redacted(hidden: &Hidden, body: &[u8]) -> String {
    hidden.redact(&String::from_utf8_lossy(body))
}
