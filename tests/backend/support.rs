//! What the tests share: servers on real sockets, and a backend that may ask them.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use castoff::backend::credentials::{Secret, SecretError, Secrets};
use castoff::backend::dns::{Found, Lookup, NoAnswer};
use castoff::backend::{Backend, Metrics, Scope, Settings};
use castoff::plan::spec::{Accept, Parse};
use castoff::plan::{
    Act, BackendRead, Next, Observation, Observations, Read, ReadKey, Request, Round, Source, Verdict,
};
use prometheus::Registry;
use tokio::net::TcpListener;
use tokio::time::Instant;

/// Serves on a free port until the test ends.
pub async fn serve(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

/// Secrets of the namespace `tidb`, by name and key.
#[derive(Default)]
pub struct TestSecrets(pub BTreeMap<String, Vec<(String, Vec<u8>)>>);

#[async_trait]
impl Secrets for TestSecrets {
    async fn read(&self, namespace: &str, name: &str) -> Result<Secret, SecretError> {
        assert_eq!(namespace, "tidb", "only the policy's own namespace is asked");
        let values = self.0.get(name).ok_or("not found")?;
        Ok(values.iter().cloned().collect())
    }
}

/// DNS that knows a few names.
#[derive(Default)]
pub struct TestDns(pub HashMap<String, Found>);

#[async_trait]
impl Lookup for TestDns {
    async fn lookup(&self, host: &str) -> Result<Found, NoAnswer> {
        self.0.get(host).cloned().ok_or_else(|| NoAnswer("no such name".to_owned()))
    }
}

/// A backend with what it is given, and the registry that it counts in.
pub struct Bench {
    pub loopback: bool,
    pub secrets: TestSecrets,
    pub dns: TestDns,
    pub registry: Registry,
}

impl Bench {
    pub fn new() -> Self {
        Self { loopback: true, secrets: TestSecrets::default(), dns: TestDns::default(), registry: Registry::new() }
    }

    pub fn secret(mut self, name: &str, values: &[(&str, &str)]) -> Self {
        let values = values.iter().map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec())).collect();
        self.secrets.0.insert(name.to_owned(), values);
        self
    }

    pub fn name(mut self, host: &str, addresses: &[&str]) -> Self {
        let addresses: Vec<IpAddr> = addresses.iter().map(|address| address.parse().unwrap()).collect();
        self.dns.0.entry(host.to_owned()).or_default().addresses = addresses;
        self
    }

    pub fn alias(mut self, host: &str, of: &str) -> Self {
        self.dns.0.entry(host.to_owned()).or_default().alias_of = Some(of.to_owned());
        self
    }

    pub fn backend(self) -> Backend {
        let settings = Settings { loopback: self.loopback, ..Settings::default() };
        let metrics = Metrics::register(&self.registry).unwrap();
        Backend::new(settings, Arc::new(self.secrets), Arc::new(self.dns), metrics)
    }
}

/// A policy in `tidb`, without credentials, whose pod is there at 127.0.0.9.
pub fn scope() -> Scope {
    let mut scope =
        Scope { namespace: "tidb".to_owned(), pod_present: true, plan: "test".to_owned(), ..Scope::default() };
    Arc::make_mut(&mut scope.pod).status.pod_ip = "127.0.0.9".into();
    scope
}

pub fn get(url: impl Into<String>) -> Request {
    Request {
        method: "GET".to_owned(),
        url: url.into(),
        body: None,
        commands: None,
        ok: Accept::None,
        timeout: Duration::from_secs(3),
        tls_secret: String::new(),
        auth_secret: String::new(),
    }
}

pub fn read(name: &str, request: Request) -> Read {
    let source = Source::Backend(BackendRead { request, parse: Parse::Json });
    Read { key: ReadKey { name: name.to_owned(), item: None }, source }
}

pub fn act(request: Request) -> Act {
    Act { index: 0, request, background: false, irreversible: false }
}

pub fn done() -> Round {
    Round { verdict: Verdict::Done, member: None, progress: None, ours: None }
}

pub fn in_time() -> Instant {
    Instant::now() + Duration::from_mins(1)
}

/// Makes `reads` in one wave and tells what each brought.
pub async fn observe(backend: &Backend, scope: &Scope, limit: Instant, reads: &[Read]) -> Observations {
    let mut seen = None;
    let round = backend
        .observe(scope, limit, |observed| {
            if observed.is_empty() {
                return Next::Read(reads.to_vec());
            }
            seen = Some(observed.clone());
            Next::Round(done())
        })
        .await;
    assert_eq!(round, done());
    seen.unwrap()
}

/// Makes one read and tells what it brought.
pub async fn observe_one(backend: &Backend, scope: &Scope, request: Request) -> Observation {
    let observed = observe(backend, scope, in_time(), &[read("it", request)]).await;
    observed.into_values().next().unwrap()
}

/// Message and detail of what failed.
pub fn failure(observation: Observation) -> (String, String) {
    match observation {
        Observation::Failed { message, detail, .. } => (message, detail),
        other => panic!("not failed: {other:?}"),
    }
}
