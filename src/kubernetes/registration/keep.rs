//! Keeps the registration as it is to be, and tells people of it.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::api::{Patch as Body, PatchParams, PostParams};
use kube::runtime::events::{Event, EventType, Recorder};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use prometheus::{IntCounterVec, IntGauge, Opts, Registry};
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::kubernetes::cache::chain;
use crate::kubernetes::certificates::Bundle;
use crate::kubernetes::events::LONGEST_NOTE;
use crate::kubernetes::is_conflict;
use crate::runtime::readiness::Handle;

use super::mark::{MARK, Mark};
use super::{Action, MANAGER, NAME, Patch, Seen, Settings, Trust, Why, decide, reach};

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

    /// As the API server says now, all of them; not from memory.
    ///
    /// # Errors
    /// When they can't be read; then no namespace is taken out of the registration.
    async fn namespaces_now(&self) -> Result<BTreeSet<String>, String>;

    /// Changes whenever they may have changed.
    fn changes(&self) -> watch::Receiver<u64>;
}

/// The registration with the API server.
pub struct Registration {
    client: Client,
    settings: Settings,
    guarded: Arc<dyn Guarded>,
    recorder: Recorder,
    metrics: Metrics,
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
    #[must_use]
    pub fn refusal(&self, namespace: &str) -> Option<&'static str> {
        self.settings.refusal(namespace)
    }

    /// Sees what is there and tells it to `seen`, to readiness and to the metrics; in every replica. Ends only when
    /// dropped.
    pub async fn follow(&self, seen: watch::Sender<Seen>, ready: Handle) {
        let mut changes = self.guarded.changes();
        let mut events = pin!(watcher::watch_object(self.configurations(), NAME).default_backoff());
        loop {
            tokio::select! {
                event = events.next() => match event {
                    Some(Ok(Some(live))) => { seen.send_replace(Seen::There(Arc::new(live))); }
                    Some(Ok(None)) => { seen.send_replace(Seen::Absent); }
                    Some(Err(error)) => tracing::warn!(error = %chain(&error), "the registration can't be watched"),
                    None => return,
                },
                Ok(()) = changes.changed() => {}
            }
            self.tell(&seen.borrow(), &ready);
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
    /// `bundle` is what [`follow`](crate::kubernetes::certificates::follow) gives, `seen` what [`Self::follow`] gives.
    pub async fn keep(&self, mut bundle: watch::Receiver<Bundle>, mut seen: watch::Receiver<Seen>) {
        let mut changes = self.guarded.changes();
        let mut term = Term::default();
        loop {
            changes.mark_unchanged();
            let trusted = bundle.borrow_and_update().clone();
            let live = seen.borrow_and_update().clone();
            let pause = match self.turn(&mut term, trusted.as_deref(), &live).await {
                Ok(pause) => pause,
                Err(error) => {
                    tracing::error!(error, "the registration can't be kept; tries again");
                    PAUSE
                }
            };
            // A sender is gone only when the process ends.
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                Ok(()) = changes.changed() => {}
                Ok(()) = bundle.changed() => {}
                Ok(()) = seen.changed() => {}
            }
        }
    }

    /// Does what is to be done now; gives when to look again.
    async fn turn(&self, term: &mut Term, bundle: Option<&str>, seen: &Seen) -> Result<Duration, String> {
        let live = match seen {
            Seen::NotYet => return Ok(LOOK),
            Seen::Absent => None,
            Seen::There(live) => Some(live.as_ref()),
        };
        let mark = Mark { maps: Api::namespaced(self.client.clone(), &self.settings.own_namespace) };
        let uid = live.and_then(|live| live.metadata.uid.clone());
        if self.settings.manage && uid.is_some() && uid != term.marked {
            mark.set(uid.as_deref().unwrap_or_default()).await?;
            term.marked = uid;
        }
        let made_before = self.settings.manage && live.is_none() && mark.is_set().await?;
        let namespaces = self.namespaces(&seen.namespaces()).await;
        let action = decide(&self.settings, live, made_before, bundle, &namespaces);
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

    /// The namespaces that are to be registered.
    async fn namespaces(&self, registered: &BTreeSet<String>) -> BTreeSet<String> {
        let wanted = self.wanted();
        let complete = if registered.is_subset(&wanted) {
            None
        } else {
            match self.guarded.namespaces_now().await {
                Ok(now) => Some(self.allowed(now)),
                Err(error) => {
                    tracing::warn!(error, "policies can't be listed: no namespace is taken out of the registration");
                    None
                }
            }
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

    async fn create(&self, configuration: &ValidatingWebhookConfiguration) -> Result<(), String> {
        let parameters = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
        match self.configurations().create(&parameters, configuration).await {
            Ok(_) => {
                tracing::info!(name = NAME, "registered with the API server");
                self.metrics.writes.with_label_values(&["created"]).inc();
                Ok(())
            }
            // The watch brings it.
            Err(error) if is_conflict(&error) => Ok(()),
            Err(error) => Err(format!("ValidatingWebhookConfiguration {NAME}: {}", chain(&error))),
        }
    }

    async fn patch(&self, patch: Patch, live: Option<&ValidatingWebhookConfiguration>) -> Result<(), String> {
        let Patch { body, replaces, whys, editor } = patch;
        let parameters = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        let body = if replaces { Body::Merge(body) } else { Body::Strategic(body) };
        match self.configurations().patch(NAME, &parameters, &body).await {
            Ok(_) => {}
            // Somebody has written, or deleted it: the watch brings what is there now.
            Err(error) if is_conflict(&error) || is_gone(&error) => return Ok(()),
            Err(error) => return Err(format!("ValidatingWebhookConfiguration {NAME}: {}", chain(&error))),
        }
        let mut text = String::new();
        for why in &whys {
            self.metrics.writes.with_label_values(&[why.word()]).inc();
            // Writing to a text does not fail.
            let _ = write!(text, "{}{why}", if text.is_empty() { "" } else { "; " });
        }
        tracing::info!(name = NAME, why = text, editor, "the registration has changed");
        if let Some(editor) = editor {
            let note = format!("put back after {editor} had written it: {text}");
            self.event(EventType::Warning, "RegistrationPutBack", "PutBack", note, live).await;
        }
        Ok(())
    }

    /// An event on the registration; where it can't be written the log has it.
    async fn event(
        &self,
        type_: EventType,
        reason: &str,
        action: &str,
        note: String,
        live: Option<&ValidatingWebhookConfiguration>,
    ) {
        tracing::warn!(name = NAME, reason, note, "event");
        let reference = ObjectReference {
            api_version: Some("admissionregistration.k8s.io/v1".to_owned()),
            kind: Some("ValidatingWebhookConfiguration".to_owned()),
            name: Some(NAME.to_owned()),
            uid: live.and_then(|live| live.metadata.uid.clone()),
            ..ObjectReference::default()
        };
        let note = Some(self.settings.runbook.message(&note, reason, LONGEST_NOTE));
        let event = Event { type_, reason: reason.to_owned(), note, action: action.to_owned(), secondary: None };
        if let Err(error) = self.recorder.publish(&event, &reference).await {
            tracing::warn!(error = %chain(&error), reason, "the event could not be written");
        }
    }

    fn configurations(&self) -> Api<ValidatingWebhookConfiguration> {
        Api::all(self.client.clone())
    }
}

/// What a leader remembers, so as not to say and do it again and again.
#[derive(Default)]
struct Term {
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

/// How soon an edit is put back: at once, but ever later where edits go on, as another controller's would.
#[derive(Debug, Default)]
struct Patience {
    last: Option<Instant>,
    wait: Duration,
}

impl Patience {
    const FIRST: Duration = Duration::from_secs(1);
    const LONGEST: Duration = Duration::from_mins(1);
    /// After such a time without an edit the next is put back at once.
    const FORGOTTEN: Duration = Duration::from_mins(10);

    fn left(&self, now: Instant) -> Duration {
        self.last.map_or(Duration::ZERO, |last| self.wait.saturating_sub(now.duration_since(last)))
    }

    fn spend(&mut self, now: Instant) {
        let again = self.last.is_some_and(|last| now.duration_since(last) < Self::FORGOTTEN);
        self.wait = if again { (self.wait * 2).min(Self::LONGEST) } else { Self::FIRST };
        self.last = Some(now);
    }
}

impl Why {
    fn word(&self) -> &'static str {
        match self {
            Why::Grown(_) => "grown",
            Why::Shrunk(_) => "shrunk",
            Why::Bundle => "bundle",
            Why::Differs(_) => "put_back",
        }
    }
}

impl std::fmt::Display for Why {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let list = |names: &BTreeSet<String>| names.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        match self {
            Why::Grown(names) => write!(formatter, "now sent: {}", list(names)),
            Why::Shrunk(names) => write!(formatter, "no longer sent: {}", list(names)),
            Why::Bundle => formatter.write_str("the authority that the API server trusts"),
            Why::Differs(fields) => write!(formatter, "fields {}", list(fields)),
        }
    }
}

fn is_gone(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

struct Metrics {
    writes: IntCounterVec,
    namespaces: IntGauge,
    guards_nothing: IntGauge,
}

impl Metrics {
    fn register(registry: &Registry) -> prometheus::Result<Self> {
        let writes = IntCounterVec::new(
            Opts::new("castoff_registration_changes_total", "What was done about the registration, by why."),
            &["why"],
        )?;
        for why in ["created", "grown", "shrunk", "bundle", "put_back", "left_deleted"] {
            writes.with_label_values(&[why]);
        }
        let namespaces = IntGauge::new(
            "castoff_registered_namespaces",
            "The namespaces whose deletes and evictions the API server is told to send.",
        )?;
        let guards_nothing = IntGauge::new(
            "castoff_guards_nothing",
            "1 while there are policies, and the API server is not told to send any deletes or evictions.",
        )?;
        registry.register(Box::new(writes.clone()))?;
        registry.register(Box::new(namespaces.clone()))?;
        registry.register(Box::new(guards_nothing.clone()))?;
        Ok(Metrics { writes, namespaces, guards_nothing })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edit_is_put_back_at_once_and_edits_that_go_on_ever_later() {
        let begin = Instant::now();
        let (mut patience, mut now, mut waits) = (Patience::default(), begin, Vec::new());
        for _ in 0..9 {
            let left = patience.left(now);
            waits.push(left.as_secs());
            now += left;
            patience.spend(now);
        }
        assert_eq!(waits, [0, 1, 2, 4, 8, 16, 32, 60, 60]);
        now += Patience::FORGOTTEN;
        assert_eq!(patience.left(now), Duration::ZERO);
        patience.spend(now);
        assert_eq!(patience.left(now), Patience::FIRST);
    }
}
