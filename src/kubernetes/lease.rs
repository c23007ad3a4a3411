//! Who leads: at most one of all replicas, by a Lease.
//!
//! Written times are for people. A lease counts as given up once nobody has been seen to renew it for its whole
//! duration, and as held for less than that after the last renewal, both by this process's own clock: so the former
//! holder stops before a new one begins.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{Api, PostParams};
use kube::core::ObjectMeta;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::runtime::liveness::Pulse;

use super::cache::chain;
use super::is_conflict;

/// The Lease's name.
pub const NAME: &str = "castoff";

/// Waits around a lease.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// How long a lease must have been seen unrenewed before another takes it.
    pub duration: Duration,
    /// How long after the beginning of its last renewal a holder believes in it; shorter than `duration`.
    pub trust: Duration,
    /// Between two renewals, and between two looks of those that wait.
    pub period: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Timing { duration: Duration::from_secs(15), trust: Duration::from_secs(10), period: Duration::from_millis(700) }
    }
}

impl Timing {
    /// The timing around a lease of this duration.
    #[must_use]
    pub fn of(duration: Duration) -> Self {
        Timing { duration, trust: duration * 2 / 3, period: (duration / 20).min(Timing::default().period) }
    }
}

/// What a holder writes less often than it looks.
const RENEW_PERIOD: Duration = Duration::from_secs(2);

/// Until when this process leads; shared by all who must not act without it.
#[derive(Clone, Debug)]
pub struct Leadership {
    until: watch::Sender<Option<Instant>>,
    /// Why whoever leads can't, and wants another to.
    unable: watch::Sender<Option<String>>,
}

impl Leadership {
    /// Nobody leads yet.
    #[must_use]
    pub fn none() -> Self {
        Leadership { until: watch::Sender::new(None), unable: watch::Sender::new(None) }
    }

    /// This process leads until then, or not at all.
    fn set(&self, until: Option<Instant>) {
        self.until.send_replace(until);
    }

    /// Lets another lead, since this process can't: call it once everything that it does as leader has ended.
    pub fn give_up(&self, why: String) {
        self.set(None);
        self.unable.send_replace(Some(why));
    }

    /// Waits until this process is to lead no longer; says why.
    async fn given_up(&self) -> String {
        let mut unable = self.unable.subscribe();
        // The sender lives as long as `self`.
        let _ = unable.wait_for(Option::is_some).await;
        self.unable.send_replace(None).unwrap_or_default()
    }

    /// Whether this process leads at this moment.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.until.borrow().is_some_and(|until| Instant::now() < until)
    }

    /// Waits until this process leads.
    pub async fn gained(&self) {
        let _ = self.until.subscribe().wait_for(|until| until.is_some_and(|until| Instant::now() < until)).await;
    }

    /// Waits until it no longer is.
    pub async fn lost(&self) {
        let mut changes = self.until.subscribe();
        loop {
            let until = *changes.borrow_and_update();
            let Some(until) = until.filter(|until| Instant::now() < *until) else { return };
            tokio::select! {
                _ = changes.changed() => {}
                () = tokio::time::sleep_until(until) => {}
            }
        }
    }
}

/// One replica's part in the election.
pub struct Election {
    api: Api<Lease>,
    name: String,
    identity: String,
    timing: Timing,
    leadership: Leadership,
    pulse: Option<Pulse>,
}

/// What one replica knows of the election.
#[derive(Debug, Default)]
struct Known {
    seen: Option<Seen>,
    /// Since when there has been no lease.
    absent_since: Option<Instant>,
    /// When this process began the write by which it leads.
    renewed: Option<Instant>,
    stands_back_until: Option<Instant>,
}

/// What was last seen of the lease, and since when it is so.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    holder: String,
    version: Option<String>,
    since: Instant,
}

impl Election {
    /// A part in the election for the lease `name`; `identity` tells this process from all others.
    #[must_use]
    pub fn new(api: Api<Lease>, name: &str, identity: &str, timing: Timing, leadership: Leadership) -> Self {
        Election { api, name: name.to_owned(), identity: identity.to_owned(), timing, leadership, pulse: None }
    }

    /// The same, with a beat at each look at the lease.
    pub(crate) fn beating(self, pulse: Pulse) -> Self {
        Election { pulse: Some(pulse), ..self }
    }

    /// Takes part until `stop` is done; then gives the lease back, so that another has it at once.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        tokio::pin!(stop);
        let mut known = Known::default();
        loop {
            if let Some(pulse) = &self.pulse {
                pulse.beat();
            }
            if self.is_due(&known) {
                self.look(&mut known).await;
            }
            tokio::select! {
                () = &mut stop => break,
                why = self.leadership.given_up() => self.stand_back(&mut known, &why).await,
                () = tokio::time::sleep(self.timing.period) => {}
            }
        }
        if self.leadership.holds() {
            self.leadership.set(None);
            self.give_back().await;
        }
    }

    fn is_due(&self, known: &Known) -> bool {
        if known.stands_back_until.is_some_and(|until| Instant::now() < until) {
            return false;
        }
        let due = known.renewed.is_none_or(|renewed| renewed.elapsed() >= RENEW_PERIOD.min(self.timing.trust / 3));
        due || !self.leadership.holds()
    }

    /// Looks once, and leads for as long as that allows.
    async fn look(&self, known: &mut Known) {
        let begun = Instant::now();
        match tokio::time::timeout(self.timing.trust / 2, self.turn(known)).await {
            Ok(Ok(true)) => {
                if !self.leadership.holds() {
                    tracing::info!(identity = %self.identity, "leading");
                }
                known.renewed = Some(begun);
                self.leadership.set(Some(begun + self.timing.trust));
            }
            Ok(Ok(false)) => self.step_down(known, "another is"),
            Ok(Err(error)) => tracing::warn!(error = %chain(&error), "the lease could not be looked at"),
            Err(_) => tracing::warn!("the lease could not be looked at in time"),
        }
        if known.renewed.is_some() && !self.leadership.holds() {
            self.step_down(known, "it could not be renewed");
        }
    }

    fn step_down(&self, known: &mut Known, why: &str) {
        if known.renewed.take().is_some() {
            tracing::warn!(why, "no longer leading");
        }
        self.leadership.set(None);
    }

    /// Gives the lease back, and leaves it to others for as long as it takes them to see that.
    async fn stand_back(&self, known: &mut Known, why: &str) {
        self.step_down(known, why);
        self.give_back().await;
        known.stands_back_until = Some(Instant::now() + self.timing.duration);
    }

    /// Looks at the lease and takes or renews it where that may be; true while this process holds it.
    async fn turn(&self, known: &mut Known) -> kube::Result<bool> {
        let Known { seen, absent_since, .. } = known;
        let Some(mut lease) = self.api.get_opt(&self.name).await? else {
            // Whoever held it a moment ago believes so yet, and makes it again: also where this process has never
            // seen it.
            let absent = absent_since.get_or_insert_with(Instant::now).elapsed();
            let held = match seen {
                Some(seen) => self.is_held(&seen.holder, seen.since.elapsed()),
                None => absent < self.timing.trust,
            };
            if held {
                return Ok(false);
            }
            let metadata = ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() };
            let lease = Lease { metadata, spec: Some(self.spec(None, 0)) };
            let ours = was_ours(self.api.create(&PostParams::default(), &lease).await)?;
            if !ours {
                // Another was faster, and holds it from now on.
                *absent_since = Some(Instant::now());
            }
            return Ok(ours);
        };
        *absent_since = None;
        let spec = lease.spec.clone().unwrap_or_default();
        let holder = spec.holder_identity.clone().unwrap_or_default();
        let version = lease.metadata.resource_version.clone();
        if seen.as_ref().is_none_or(|seen| seen.version != version || seen.holder != holder) {
            *seen = Some(Seen { holder: holder.clone(), version, since: Instant::now() });
        }
        let unrenewed = seen.as_ref().map_or(Duration::ZERO, |seen| seen.since.elapsed());
        if self.is_held(&holder, unrenewed) {
            return Ok(false);
        }
        let ours = holder == self.identity;
        let changes = spec.lease_transitions.unwrap_or(0) + i32::from(!ours);
        let since = if ours { spec.acquire_time } else { None };
        lease.spec = Some(self.spec(since, changes));
        was_ours(self.api.replace(&self.name, &PostParams::default(), &lease).await)
    }

    /// Whether another has the lease, which was not renewed for so long.
    fn is_held(&self, holder: &str, unrenewed: Duration) -> bool {
        !holder.is_empty() && holder != self.identity && unrenewed < self.timing.duration
    }

    fn spec(&self, since: Option<MicroTime>, changes: i32) -> LeaseSpec {
        let now = MicroTime(Timestamp::now());
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            acquire_time: Some(since.unwrap_or_else(|| now.clone())),
            renew_time: Some(now),
            lease_duration_seconds: i32::try_from(self.timing.duration.as_secs()).ok().map(|seconds| seconds.max(1)),
            lease_transitions: Some(changes),
            ..LeaseSpec::default()
        }
    }

    async fn give_back(&self) {
        match tokio::time::timeout(self.timing.trust / 2, self.clear()).await {
            Ok(Ok(true)) => tracing::info!("the lease is given back"),
            Ok(Ok(false)) => {}
            Ok(Err(error)) => {
                tracing::warn!(error = %chain(&error), "the lease could not be given back; it runs out");
            }
            Err(_) => tracing::warn!("the lease could not be given back in time; it runs out"),
        }
    }

    /// Takes this process's name off the lease, where it stands there.
    async fn clear(&self) -> kube::Result<bool> {
        let Some(mut lease) = self.api.get_opt(&self.name).await? else { return Ok(false) };
        let Some(spec) = lease.spec.as_mut().filter(|spec| spec.holder_identity.as_ref() == Some(&self.identity))
        else {
            return Ok(false);
        };
        spec.holder_identity = Some(String::new());
        was_ours(self.api.replace(&self.name, &PostParams::default(), &lease).await)
    }
}

/// Whoever writes first has it.
fn was_ours(written: kube::Result<Lease>) -> kube::Result<bool> {
    match written {
        Ok(_) => Ok(true),
        Err(error) if is_conflict(&error) => Ok(false),
        Err(error) => Err(error),
    }
}
