//! What a request is sent with: from the Secrets that it names, else from the step's.

use std::sync::Arc;

use reqwest::Client;
use rustls::ClientConfig;

use super::credentials::{Authorization, Login, Secret, SecretError, is_object_name};
use super::metrics::Outcome;
use super::trouble::Trouble;
use super::{Backend, Scope};
use crate::plan::Request;
use crate::remedy::Kind;

/// What a request is sent with: over `T`, by `A`.
pub struct Means<T, A> {
    pub transport: T,
    /// Who Castoff says it is.
    pub auth: Option<A>,
    /// What a server's certificate is checked against, in words.
    pub trusted: String,
    /// Why whoever is asked may not let Castoff in.
    pub unsigned: Unsigned,
}

/// Why there is no authentication, in words, and what a person mends; without words where there is one.
pub struct Unsigned {
    pub words: String,
    pub kind: Kind,
}

/// A request by HTTP.
pub type ByHttp = Means<Client, Authorization>;

/// Redis commands; without a configuration of TLS they go unencrypted.
pub type ByResp = Means<Option<Arc<ClientConfig>>, Login>;

/// What a request by HTTP is sent with.
pub async fn by_http(backend: &Backend, scope: &Scope, request: &Request, tls: bool) -> Result<ByHttp, Trouble> {
    let named = Named::of(backend, scope, request);
    let (secret, auth, unsigned) = named
        .auth(Authorization::of, ["token, nor username and password", "token, or username and password, are"])
        .await?;
    let clients = &backend.clients;
    let (client, trusted) = if tls {
        let tls = named.tls(secret, "https").await?;
        (clients.with(&tls), named.trusted())
    } else {
        (clients.plain(), "nothing".to_owned())
    };
    let transport = client.map_err(|error| named.unfit(&named.tls_name, &error))?;
    Ok(Means { transport, auth, trusted, unsigned })
}

/// What Redis commands are sent with.
pub async fn by_resp(backend: &Backend, scope: &Scope, request: &Request, tls: bool) -> Result<ByResp, Trouble> {
    let named = Named::of(backend, scope, request);
    let (secret, auth, unsigned) =
        named.auth(Login::of, ["password", "password, and username where it is not default, are"]).await?;
    if !tls {
        return Ok(Means { transport: None, auth, trusted: "nothing".to_owned(), unsigned });
    }
    let tls = named.tls(secret, "rediss").await?;
    let config = backend.clients.tls_with(&tls).map_err(|error| named.unfit(&named.tls_name, &error))?;
    Ok(Means { transport: Some(config), auth, trusted: named.trusted(), unsigned })
}

/// The names of a request's Secrets.
struct Named<'a> {
    backend: &'a Backend,
    scope: &'a Scope,
    request: &'a Request,
    tls_name: String,
    auth_name: String,
}

impl<'a> Named<'a> {
    fn of(backend: &'a Backend, scope: &'a Scope, request: &'a Request) -> Self {
        let step = scope.credentials.as_deref().unwrap_or_default();
        let or_step = |own: &str| if own.is_empty() { step.to_owned() } else { own.to_owned() };
        let (tls_name, auth_name) = (or_step(&request.tls_secret), or_step(&request.auth_secret));
        Named { backend, scope, request, tls_name, auth_name }
    }

    fn unfit(&self, name: &str, error: &SecretError) -> Trouble {
        let predicate = format!("can't be asked: Secret {}/{name}: {error}", self.scope.namespace);
        Trouble::new(Outcome::Credentials, &self.request.url, &predicate, "not sent").because(error.cause.clone())
    }

    fn trusted(&self) -> String {
        format!("Secret {}/{}", self.scope.namespace, self.tls_name)
    }

    /// The Secret for authentication, what it gives, and why that is nothing where it is. The words say what
    /// it has not, and what would be.
    async fn auth<A>(
        &self,
        of: impl Fn(&Secret) -> Result<Option<A>, SecretError>,
        [missing, wanted]: [&str; 2],
    ) -> Result<(Secret, Option<A>, Unsigned), Trouble> {
        let unfit = |error: SecretError| self.unfit(&self.auth_name, &error);
        let secret = self.secret(&self.auth_name).await.map_err(unfit)?;
        let auth = of(&secret).map_err(unfit)?;
        let words = match &auth {
            Some(_) => String::new(),
            None if !self.request.auth_secret.is_empty() => {
                return Err(unfit(format!("it has no {missing} ({})", secret.found()).into()));
            }
            None if self.auth_name.is_empty() => " to a request without credentials: the step names none".to_owned(),
            None => format!(
                " to a request without credentials: of Secret {}/{} {wanted} wanted; {}",
                self.scope.namespace,
                self.auth_name,
                secret.found()
            ),
        };
        let names_none = auth.is_none() && self.auth_name.is_empty();
        let kind = if names_none { Kind::NamesNoSecret } else { Kind::Unauthorized };
        Ok((secret, auth, Unsigned { words, kind }))
    }

    /// The Secret with the certificates; `auth` is the one for authentication, which may be the same.
    async fn tls(&self, auth: Secret, scheme: &str) -> Result<Secret, Trouble> {
        if self.tls_name.is_empty() {
            let predicate = format!("can't be asked: {scheme} needs a Secret with ca.crt, and the step names none");
            let unnamed = Trouble::new(Outcome::Credentials, &self.request.url, &predicate, "not sent");
            return Err(unnamed.because(Kind::NamesNoSecret));
        }
        let tls = if self.tls_name == self.auth_name { Ok(auth) } else { self.secret(&self.tls_name).await };
        tls.map_err(|error| self.unfit(&self.tls_name, &error))
    }

    /// Reads a Secret of the policy's own namespace; no name, no values.
    async fn secret(&self, name: &str) -> Result<Secret, SecretError> {
        if name.is_empty() {
            return Ok(Secret::default());
        }
        if !is_object_name(name) || !is_object_name(&self.scope.namespace) {
            return Err("that is no name of a Secret".into());
        }
        self.backend.secrets.read(&self.scope.namespace, name).await
    }
}
