//! Keeps the registration as it is to be, and tells people of it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use kube::core::{ApiResource, DynamicObject};
use kube::runtime::events::{EventType, Recorder};
use kube::{Api, Client};
use prometheus::Registry;
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::kubernetes::ApiError;
use crate::kubernetes::cache::chain;
use crate::kubernetes::certificates::Access;
use crate::kubernetes::follow::{Pace, follow_object};
use crate::runtime::readiness::Handle;

use super::mark::{MARK, Mark};
use super::metrics::Metrics;
use super::patience::Patience;
use super::{Action, KeepError, Known, NAME, Seen, Settings, Trust, decide, home, reach};

/// How long after a failure the leader tries again.
const PAUSE: Duration = Duration::from_secs(2);

/// How often it looks although nothing has changed: whether a person asks for a registration again.
const LOOK: Duration = Duration::from_secs(10);

/// Why nothing is registered where a certificate is given and no authority.
const UNKNOWN_TRUST: &str = "not registered, since the certificate is given by --tls-cert and nothing says whom the API \
                             server is to trust for it: start Castoff with --inject-ca-from where cert-manager makes \
                             the certificate, or with --manage-webhook=false and apply the \
                             ValidatingWebhookConfiguration yourself, with its caBundle";

/// The namespaces that pods are guarded in: those with policies, and those with open drains.
#[async_trait]
pub trait Guarded: Send + Sync {
    /// From memory: it may lag, and holds nothing yet in a process that has just begun.
    fn namespaces(&self) -> BTreeSet<String>;

    /// As the API server says now, all of them; not from memory. `None` where they can't be read: then no namespace is
    /// taken out of the registration.
    async fn namespaces_now(&self) -> Option<BTreeSet<String>>;

    /// Changes whenever they may have changed.
    fn changes(&self) -> watch::Receiver<u64>;
}

/// The registration with the API server.
pub struct Registration {
    pub(super) client: Client,
    pub(super) settings: Settings,
    guarded: Arc<dyn Guarded>,
    pub(super) recorder: Recorder,
    pub(super) metrics: Metrics,
}

impl Registration {
    /// A registration that nothing is done about yet. Its metrics go into `registry`.
    ///
    /// # Errors
    /// When the metrics are there already.
    pub fn new(
        client: Client,
        settings: Settings,
        guarded: Arc<dyn Guarded>,
        recorder: Recorder,
        registry: &Registry,
    ) -> prometheus::Result<Self> {
        Ok(Registration { client, settings, guarded, recorder, metrics: Metrics::register(registry)? })
    }

    /// Why pods of this namespace are never guarded; `None` where they may be.
    pub(crate) fn refusal(&self, namespace: &str) -> Option<&'static str> {
        self.settings.refusal(namespace)
    }

    /// Sees what is there and tells it to `seen`, to readiness and to the metrics; in every replica. Ends only when
    /// dropped.
    pub async fn follow(&self, seen: watch::Sender<Seen>, ready: Handle) {
        let news = seen.subscribe();
        let resource = ApiResource::erase::<ValidatingWebhookConfiguration>(&());
        let configurations = Api::all_with(self.client.clone(), &resource);
        let following = follow_object(configurations, NAME, Pace::default(), |live| {
            match live.map(DynamicObject::try_parse).transpose() {
                Ok(live) => {
                    seen.send_replace(live.map_or(Seen::Absent, |live| Seen::There(Arc::new(live))));
                }
                Err(error) => tracing::warn!(error = %chain(&error), "the registration can't be read"),
            }
        });
        tokio::join!(following, self.tell_all(news, &ready));
    }

    async fn tell_all(&self, mut seen: watch::Receiver<Seen>, ready: &Handle) {
        let mut changes = self.guarded.changes();
        loop {
            // A sender is gone only when the process ends.
            tokio::select! {
                Ok(()) = seen.changed() => {}
                Ok(()) = changes.changed() => {}
            }
            self.tell(&seen.borrow_and_update(), ready);
        }
    }

    fn tell(&self, seen: &Seen, ready: &Handle) {
        if *seen == Seen::NotYet {
            return;
        }
        self.metrics.namespaces.set(i64::try_from(seen.namespaces().len()).unwrap_or(i64::MAX));
        let wanted = !self.wanted().is_empty();
        self.metrics.guards_nothing.set(i64::from(wanted && seen.guards_nothing()));
        match seen {
            Seen::Absent if self.waits_for_trust() => ready.ready_but(&format!("guards nothing: {UNKNOWN_TRUST}")),
            Seen::Absent if self.settings.manage => ready.ready_but(&format!(
                "guards nothing: the ValidatingWebhookConfiguration {NAME} is not there. If a person has deleted it: \
                 kubectl -n {} delete configmap {MARK} has it made again",
                self.settings.own_namespace
            )),
            Seen::Absent => ready.ready_but(&format!(
                "guards nothing: the ValidatingWebhookConfiguration {NAME} is not there, and is not Castoff's to make \
                 (--manage-webhook=false)"
            )),
            _ if wanted && seen.guards_nothing() => {
                ready.ready_but("guards nothing: the registration names no namespace yet");
            }
            _ => ready.ready(),
        }
    }

    /// Keeps the registration as it is to be, for as long as this replica leads: drop it when it no longer does.
    /// `access` is what [`follow`](crate::kubernetes::certificates::follow) gives, `seen` what [`Self::follow`] gives.
    pub async fn keep(&self, mut access: watch::Receiver<Access>, mut seen: watch::Receiver<Seen>) {
        let mut changes = self.guarded.changes();
        let mut term = Term::default();
        loop {
            changes.mark_unchanged();
            let known = access.borrow_and_update().clone();
            let live = seen.borrow_and_update().clone();
            let pause = match self.turn(&mut term, &known, &live).await {
                Ok(pause) => pause,
                Err(error) => {
                    tracing::error!(%error, "the registration can't be kept; tries again");
                    PAUSE
                }
            };
            // A sender is gone only when the process ends.
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                Ok(()) = changes.changed() => {}
                Ok(()) = access.changed() => {}
                Ok(()) = seen.changed() => {}
            }
        }
    }

    /// Does what is to be done now; gives when to look again.
    async fn turn(&self, term: &mut Term, access: &Access, seen: &Seen) -> Result<Duration, KeepError> {
        if *seen == Seen::NotYet {
            return Ok(LOOK);
        }
        let live = seen.live();
        let home = if self.settings.manage { self.home(term, live).await? } else { String::new() };
        let made_before = self.settings.manage && self.note(term, live, &home).await?;
        let namespaces = self.namespaces(&seen.namespaces()).await;
        let bundle = access.bundle.as_deref();
        let known = Known { made_before, bundle, path: access.path(), home: &home, namespaces: &namespaces };
        let action = decide(&self.settings, live, known);
        if action != Action::LeaveAlone {
            term.told = false;
        }
        match action {
            Action::Wait if self.waits_for_trust() => {
                if !std::mem::replace(&mut term.waits, true) {
                    tracing::error!(name = NAME, "guards nothing: {UNKNOWN_TRUST}");
                }
            }
            Action::Nothing | Action::Wait => {}
            Action::LeaveAlone => {
                if made_before && !std::mem::replace(&mut term.told, true) {
                    self.tell_of_deletion().await;
                }
            }
            Action::Create(configuration) => self.create(&configuration).await?,
            Action::Patch(patch) => {
                // Nothing is new but what somebody else wrote.
                let wanted = Some(patch.body["webhooks"].clone());
                if patch.editor.is_some() && wanted == term.written {
                    let now = Instant::now();
                    let left = term.patience.left(now);
                    if !left.is_zero() {
                        return Ok(left);
                    }
                    term.patience.spend(now);
                }
                self.patch(patch, live).await?;
                term.written = wanted;
            }
        }
        Ok(LOOK)
    }

    /// The UID of Castoff's namespace. Asked for again where the registration is gone, as it is when that is made anew.
    async fn home(&self, term: &mut Term, live: Option<&ValidatingWebhookConfiguration>) -> Result<String, KeepError> {
        if let (Some(home), Some(_)) = (&term.home, live) {
            return Ok(home.clone());
        }
        let home = home::uid(&self.client, &self.settings.own_namespace).await?;
        Ok(term.home.insert(home).clone())
    }

    /// Sets the mark where there is a registration; else gives whether there was one, which is gone.
    async fn note(
        &self,
        term: &mut Term,
        live: Option<&ValidatingWebhookConfiguration>,
        home: &str,
    ) -> Result<bool, ApiError> {
        let mark = Mark { maps: Api::namespaced(self.client.clone(), &self.settings.own_namespace) };
        let Some(live) = live else { return mark.is_set(home).await };
        let uid = live.metadata.uid.clone();
        if uid.is_some() && uid != term.marked {
            mark.set(uid.as_deref().unwrap_or_default(), home).await?;
            term.marked = uid;
        }
        Ok(false)
    }

    /// Whether nothing can be registered, since nobody has said whom the API server is to trust.
    fn waits_for_trust(&self) -> bool {
        self.settings.manage && self.settings.trust == Trust::Unknown
    }

    async fn tell_of_deletion(&self) {
        self.metrics.writes.with_label_values(&["left_deleted"]).inc();
        let note = format!(
            "somebody has deleted the registration: Castoff guards nothing, until it is asked to again: \
             kubectl -n {} delete configmap {MARK}",
            self.settings.own_namespace
        );
        self.event(EventType::Warning, "RegistrationDeleted", "LeaveAlone", note, None).await;
    }

    async fn namespaces(&self, registered: &BTreeSet<String>) -> BTreeSet<String> {
        let wanted = self.wanted();
        let complete = if registered.is_subset(&wanted) {
            None
        } else {
            self.guarded.namespaces_now().await.map(|now| self.allowed(now))
        };
        // One that is refused goes, whatever the lists say.
        self.allowed(reach(&wanted, registered, complete.as_ref()))
    }

    fn wanted(&self) -> BTreeSet<String> {
        self.allowed(self.guarded.namespaces())
    }

    fn allowed(&self, mut namespaces: BTreeSet<String>) -> BTreeSet<String> {
        namespaces.retain(|namespace| self.settings.refusal(namespace).is_none());
        namespaces
    }

    pub(super) fn configurations(&self) -> Api<ValidatingWebhookConfiguration> {
        Api::all(self.client.clone())
    }
}

/// What a leader remembers, so as not to say and do it again and again.
#[derive(Default)]
struct Term {
    home: Option<String>,
    /// The UID that the mark names.
    marked: Option<String>,
    /// Whether it has told that the registration was deleted.
    told: bool,
    /// Whether it has told that it does not know whom the API server is to trust.
    waits: bool,
    /// The webhooks that it wrote last.
    written: Option<Value>,
    patience: Patience,
}
