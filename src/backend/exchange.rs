//! One request and its answer: guard, Secrets, sending, and the body within its limit.

use bytes::{Bytes, BytesMut};
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use reqwest::{Client, Method, Response};
use tokio::time::{Instant, timeout_at};

use super::credentials::{Authorization, Secret, SecretError, is_object_name};
use super::metrics::Outcome;
use super::trouble::{Trouble, excerpt, words};
use super::{Backend, Scope, guard};
use crate::plan::Request;
use crate::remedy::NAMES_NO_SECRET;

/// The longest body that is read.
pub const BODY_LIMIT: usize = 4 << 20;

/// A request that was answered with an accepted status.
pub struct Exchange {
    pub code: u16,
    pub body: Bytes,
    authorization: Option<Authorization>,
}

impl Exchange {
    /// The body's beginning, fit for the log.
    pub fn excerpt(&self) -> String {
        quoted(self.authorization.as_ref(), &self.body)
    }

    /// The body as text, without the secrets that were sent.
    pub fn without_secrets(&self) -> String {
        redacted(self.authorization.as_ref(), &self.body)
    }
}

/// What a request is sent with.
struct Means {
    client: Client,
    authorization: Option<Authorization>,
    /// What a server's certificate is checked against, in words.
    trusted: String,
    /// Why there is no authorization, in words; empty where there is.
    unsigned: String,
}

/// Sends `request` and reads its answer, all before `limit`.
pub async fn exchange(
    backend: &Backend,
    scope: &Scope,
    request: &Request,
    limit: Instant,
) -> Result<Exchange, Trouble> {
    let url = &request.url;
    let target = guard::allow_url(url, scope, &backend.settings)
        .map_err(|refused| Trouble::new(Outcome::Guard, url, &refused.0, "not sent"))?;
    if target.of_pod && !scope.pod_present {
        return Err(Trouble::new(Outcome::Gone, url, "is no longer the pod's", "not sent"));
    }
    let begun = Instant::now();
    let asked = async {
        let means = means(backend, scope, request, target.url.scheme() == "https").await?;
        send(request, target.url.clone(), means).await
    };
    timeout_at(limit, asked).await.unwrap_or_else(|_| {
        let waited = limit.saturating_duration_since(begun);
        Err(Trouble::silence(url, format!("nothing within {waited:.1?}")))
    })
}

async fn send(request: &Request, url: url::Url, means: Means) -> Result<Exchange, Trouble> {
    let wrong = |error: String| Trouble::new(Outcome::Garbage, &request.url, "can't be asked", error);
    let method = Method::from_bytes(request.method.as_bytes()).map_err(|error| wrong(error.to_string()))?;
    let mut builder = means.client.request(method, url);
    if let Some(authorization) = &means.authorization {
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
        let said = quoted(means.authorization.as_ref(), &body);
        // Whoever is not let in wants to know whom the backend took him for.
        let unsigned = if matches!(code, 401 | 403) { means.unsigned.as_str() } else { "" };
        let predicate = format!("answers {code}{unsigned}");
        let trouble = Trouble::new(Outcome::Status, &request.url, &predicate, format!("HTTP {code}: {said}"));
        return Err(trouble.with_words(spoken(means.authorization.as_ref(), &body)));
    }
    match read(&mut response, BODY_LIMIT).await {
        (body, End::Whole) => Ok(Exchange { code, body, authorization: means.authorization }),
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

/// Finds the client and the authorization: from the Secrets that the request names, else from the step's.
async fn means(backend: &Backend, scope: &Scope, request: &Request, https: bool) -> Result<Means, Trouble> {
    let step = scope.credentials.as_deref().unwrap_or_default();
    let or_step = |own: &str| if own.is_empty() { step.to_owned() } else { own.to_owned() };
    let (tls_name, auth_name) = (or_step(&request.tls_secret), or_step(&request.auth_secret));
    let unfit = |name: &str, error: SecretError| {
        let predicate = format!("can't be asked: Secret {}/{name}: {error}", scope.namespace);
        Trouble::new(Outcome::Credentials, &request.url, &predicate, "not sent")
    };

    let auth = secret(backend, scope, &auth_name).await.map_err(|error| unfit(&auth_name, error))?;
    let authorization = Authorization::of(&auth).map_err(|error| unfit(&auth_name, error))?;
    if authorization.is_none() && !request.auth_secret.is_empty() {
        let why = format!("it has no token, nor username and password ({})", auth.found());
        return Err(unfit(&auth_name, why.into()));
    }
    let unsigned = match &authorization {
        Some(_) => String::new(),
        None if auth_name.is_empty() => format!(" to a request without credentials: {NAMES_NO_SECRET}"),
        None => format!(
            " to a request without credentials: of Secret {}/{auth_name} token, or username and password, are wanted; {}",
            scope.namespace,
            auth.found()
        ),
    };
    if !https {
        let client = backend.clients.plain().map_err(|error| unfit(&tls_name, error))?;
        return Ok(Means { client, authorization, trusted: "nothing".to_owned(), unsigned });
    }
    if tls_name.is_empty() {
        let predicate = format!("can't be asked: https needs a Secret with ca.crt, and {NAMES_NO_SECRET}");
        return Err(Trouble::new(Outcome::Credentials, &request.url, &predicate, "not sent"));
    }
    let tls = if tls_name == auth_name { Ok(auth) } else { secret(backend, scope, &tls_name).await };
    let client = tls.and_then(|tls| backend.clients.with(&tls)).map_err(|error| unfit(&tls_name, error))?;
    Ok(Means { client, authorization, trusted: format!("Secret {}/{tls_name}", scope.namespace), unsigned })
}

/// Reads a Secret of the policy's own namespace; no name, no values.
async fn secret(backend: &Backend, scope: &Scope, name: &str) -> Result<Secret, SecretError> {
    if name.is_empty() {
        return Ok(Secret::default());
    }
    if !is_object_name(name) || !is_object_name(&scope.namespace) {
        return Err("that is no name of a Secret".into());
    }
    backend.secrets.read(&scope.namespace, name).await
}

/// A body's beginning, fit for the log.
fn quoted(authorization: Option<&Authorization>, body: &[u8]) -> String {
    excerpt(redacted(authorization, body.get(..4096).unwrap_or(body)).as_bytes())
}

/// What a body says to people, without the secrets that were sent: those that JSON had written in another way too.
fn spoken(authorization: Option<&Authorization>, body: &[u8]) -> String {
    let words = words(&redacted(authorization, body));
    authorization.map_or_else(|| words.clone(), |authorization| authorization.redact(&words))
}

/// A body as text, without the secrets that were sent: a backend may repeat them.
fn redacted(authorization: Option<&Authorization>, body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    match authorization {
        Some(authorization) => authorization.redact(&text),
        None => text.into_owned(),
    }
}
