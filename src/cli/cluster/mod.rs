//! `castoff serve` in a cluster: every replica answers, one of them brings departures about.

mod caches;
mod leader;

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Api, PostParams};
use kube::runtime::events::{Recorder, Reporter};
use kube::{Client, Config};
use prometheus::Registry;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;

use crate::backend::guard;
use crate::kubernetes::cache::chain;
use crate::kubernetes::certificates::{self, Lives, Place};
use crate::kubernetes::events::ClusterEvents;
use crate::kubernetes::lease::{self, Charge, Election, Timing};
use crate::kubernetes::registration::{Registration, Seen, Settings, Target, Trust};
use crate::kubernetes::secrets::ClusterSecrets;
use crate::kubernetes::store::ClusterStore;
use crate::lifecycle;
use crate::runbook::Links;
use crate::server::shutdown::Shutdown;
use crate::server::{self, Certificates, Expiry, Readiness, Server};

use super::assemble::{self, Parts};
use super::reload::{self, CertificateFiles};
use super::{Failure, InCluster, Serve, serve};

use caches::Caches;
use leader::Leader;

/// Between two writes of progress alone.
const PROGRESS_EVERY: Duration = Duration::from_mins(1);

/// Serves until it is told to stop.
pub(super) async fn run(command: Serve, shutdown: Shutdown) -> Result<(), Failure> {
    let options = &command.cluster;
    let client = connect().await?;
    let own_user = whoami(&client).await?;
    let identity = options.identity.clone().unwrap_or_else(identity);
    tracing::info!(user = %own_user, %identity, "speaks to the API server");
    let (registry, readiness) = (Registry::new(), Readiness::new());
    let mut tasks = JoinSet::new();
    let (tell_seen, seen) = watch::channel(Seen::NotYet);
    let caches = Caches::follow(&client, seen.clone(), &readiness, &mut tasks);

    let (tell_bundle, bundle) = watch::channel(None);
    let certificates = if let Some(pair) = command.tls_cert.clone().zip(command.tls_key.clone()) {
        let (files, before) = CertificateFiles::load(pair, &registry).map_err(Failure::Usage)?;
        let certificates = files.certificates.clone();
        let reloads = reload::counter(&registry).map_err(said)?;
        let hangup = signal(SignalKind::hangup()).map_err(said)?;
        tasks.spawn(reload::follow(files, before, serve::registered(&readiness, "certificates"), reloads, hangup));
        certificates
    } else {
        let certificates = Certificates::none_yet();
        let ready = readiness.register("certificates", "there is none yet");
        let expiry = Expiry::register(&registry).map_err(said)?;
        let served = certificates.clone();
        tasks.spawn(certificates::follow(client.clone(), options.place(), served, expiry, ready, tell_bundle));
        certificates
    };

    let guarded = caches.guarded(&client, &mut tasks);
    let reporter = Reporter { controller: "castoff".to_owned(), instance: Some(identity.clone()) };
    let recorder = Recorder::new(client.clone(), reporter);
    let settings = options.registration(command.tls_cert.is_some());
    let registration = Registration::new(client.clone(), settings, guarded, recorder, &registry);
    let registration = Arc::new(registration.map_err(said)?);
    let ready = readiness.register("registration", "not seen yet");
    let follower = Arc::clone(&registration);
    tasks.spawn(async move { follower.follow(tell_seen, ready).await });

    let charge = Charge::none();
    let (events, write_events) = ClusterEvents::new(client.clone(), &identity, options.runbook());
    tasks.spawn(write_events);
    let holds = charge.clone();
    let (drains, policies) = (Arc::clone(&caches.drains), Arc::clone(&caches.policies));
    let guard = Parts {
        policies: Arc::clone(&caches.index),
        store: Arc::new(ClusterStore::new(client.clone(), drains, policies)),
        cluster: Arc::clone(&caches.cluster) as _,
        secrets: Arc::new(ClusterSecrets(client.clone())),
        events: Arc::new(events),
        endpoints: guard::Settings {
            loopback: options.allow_loopback,
            allowed: command.sources.allow_endpoints.clone(),
            ..guard::Settings::default()
        },
        in_charge: Arc::new(move || holds.holds()),
        settings: lifecycle::Settings {
            progress_every: PROGRESS_EVERY,
            completed_ttl: options.completed_ttl,
            ..assemble::settings()
        },
        own_user: Some(own_user),
    }
    .assemble(&registry)?;

    let config = server::Config {
        listen: command.listen,
        admin_listen: command.admin_listen,
        shutdown_delay: Duration::from_secs(command.shutdown_delay),
        ..server::Config::new(certificates)
    };
    let server = Server::bind(config).await.map_err(said)?;
    tracing::info!(address = %server.local_addr(), admin = %server.admin_addr(), "answers AdmissionReviews");
    let leases: Api<Lease> = Api::namespaced(client.clone(), &options.namespace);
    let timing = Timing::of(options.lease_duration);
    let election = Election::new(leases, lease::NAME, &identity, timing, charge.clone());
    let own_certificates = command.tls_cert.is_none().then(|| (options.place(), Lives::default()));
    let leader = Leader {
        client,
        caches,
        controller: guard.controller,
        charge,
        registration,
        certificates: own_certificates,
        bundle,
        seen,
        runbook: options.runbook(),
    };
    // The leader stays until the server has ended: what follows the cluster ends when nobody listens to it any more.
    let in_charge = take_charge(election, &leader, shutdown.clone());
    tokio::select! {
        ended = async { tokio::join!(server.run(guard.gate, readiness, registry, shutdown), in_charge).0 } => {
            ended.map_err(said)
        }
        Some(ended) = tasks.join_next() => {
            Err(Failure::No(format!("what follows the cluster has ended, and the guard with it: {ended:?}")))
        }
    }
}

/// Takes part in the election, and works where it is won; the lease is given back once that work has ended.
async fn take_charge(election: Election, leader: &Leader, shutdown: Shutdown) {
    let (led, has_led) = oneshot::channel::<()>();
    tokio::join!(
        election.run(async move {
            let _ = has_led.await;
        }),
        async move {
            leader.run(&shutdown).await;
            drop(led);
        }
    );
}

impl InCluster {
    /// Where certificates are kept.
    fn place(&self) -> Place {
        let further_names = match &self.webhook_url {
            Some(url) => url.host_str().map(str::to_owned).into_iter().collect(),
            None => Vec::new(),
        };
        Place { further_names, service: self.service.clone(), ..Place::new(&self.namespace) }
    }

    /// Where people read on.
    fn runbook(&self) -> Links {
        Links::to(self.runbook_url.as_ref().map(url::Url::as_str))
    }

    /// How the API server is to send its requests.
    fn registration(&self, given_certificate: bool) -> Settings {
        let service = || Target::Service { namespace: self.namespace.clone(), name: self.service.clone(), port: 443 };
        let target = self.webhook_url.as_ref().map_or_else(service, |url| Target::Url(url.to_string()));
        let trust = match &self.inject_ca_from {
            Some(from) => Trust::Injected { from: from.clone() },
            None if given_certificate => Trust::Unknown,
            None => Trust::Ours,
        };
        Settings {
            manage: self.manage_webhook,
            target,
            trust,
            failure_policy: self.failure_policy.into(),
            timeout_seconds: self.webhook_timeout,
            allowed_namespaces: self.allow_namespaces.iter().cloned().collect(),
            runbook: self.runbook(),
            ..Settings::new(&self.namespace)
        }
    }
}

/// A client for the cluster that this process runs in, or that the kubeconfig names.
pub(super) async fn connect() -> Result<Client, Failure> {
    let mut config = Config::infer().await.map_err(|error| {
        Failure::Usage(format!("no cluster: {}. Give KUBECONFIG, or --standalone to work without one", chain(&error)))
    })?;
    // A denial, too, is a 429: what is to be tried again is decided by whoever asks.
    config.default_retry = false;
    Client::try_from(config).map_err(|error| Failure::No(chain(&error)))
}

/// As whom this process speaks. Waits for an API server that does not answer yet.
async fn whoami(client: &Client) -> Result<String, Failure> {
    let api: Api<SelfSubjectReview> = Api::all(client.clone());
    loop {
        match api.create(&PostParams::default(), &SelfSubjectReview::default()).await {
            Ok(review) => {
                let user = review.status.and_then(|status| status.user_info).and_then(|user| user.username);
                return Ok(user.unwrap_or_default());
            }
            Err(kube::Error::Api(status)) if matches!(status.code, 401 | 403) => {
                return Err(Failure::No(format!("the API server does not know who this is: {}", status.message)));
            }
            Err(error) => {
                tracing::warn!(error = %chain(&error), "the API server does not answer; trying again");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

/// The host's name, and a number that a process started after this one in the same pod does not have.
fn identity() -> String {
    let host = std::env::var("HOSTNAME").unwrap_or_else(|_| "castoff".to_owned());
    let started = jiff::Timestamp::now().as_millisecond();
    format!("{host}_{}_{started}", std::process::id())
}

fn said(error: impl std::fmt::Display) -> Failure {
    Failure::No(error.to_string())
}
