//! Every metric that Castoff has, in one table: what it is called, which labels it has, what it means. The page
//! docs/metrics.md is made of it, and the alert rules and the dashboard are held to it.

mod of_policies;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts};

pub use of_policies::{Labels, OfPolicies, Whose};

/// A metric.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// Its labels, besides those of its policy.
    pub labels: &'static [&'static str],
    /// Whether it has the labels of the policy that it is about, as far as `--metrics-labels` wants them.
    pub of_policy: bool,
    /// Who tells it.
    pub teller: Teller,
    /// What it means.
    pub help: &'static str,
}

/// What a metric is.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Grows, and begins at nothing with each process.
    Counter,
    /// As it is now.
    Gauge,
    /// Counts by size, in buckets up to these.
    Histogram(&'static [f64]),
}

impl Kind {
    /// Its name, as Prometheus has it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram(_) => "histogram",
        }
    }
}

/// Who tells a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Teller {
    /// Each replica of what it does itself: add them up.
    Each,
    /// Each replica the same: take the largest.
    Same,
    /// The replica that leads, of what it does: add them up.
    Leader,
}

impl Teller {
    /// How to take the replicas together, for people.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Teller::Each => "each replica its own: `sum`",
            Teller::Same => "each replica the same: `max`",
            Teller::Leader => "the leader: `sum`",
        }
    }
}

/// From an HTTP request's head to its answer.
const ANSWER: &[f64] = &[0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05, 0.25, 1.0, 3.0, 10.0];
/// A read of a backend ends within 3 s, an act that goes on in the background within 60 s.
const BACKEND: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 10.0, 60.0];
/// From a moment to some hours.
const DRAIN: &[f64] = &[1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0, 7200.0, 14400.0];

/// Declares the metrics and the list of all of them.
macro_rules! metrics {
    ($($constant:ident: $kind:expr, $name:literal, [$($label:literal),*], $of_policy:literal, $teller:ident, $help:literal;)*) => {
        $(
            #[doc = $help]
            pub const $constant: Metric = Metric {
                name: $name, kind: $kind, labels: &[$($label),*], of_policy: $of_policy, teller: Teller::$teller, help: $help,
            };
        )*

        /// All of them, in the order of the page.
        pub const ALL: &[Metric] = &[$($constant),*];
    };
}

metrics! {
    DRAINS: Kind::Gauge, "castoff_drains", ["phase"], true, Same,
        "Drains under way, by phase; those that are blocked or stalled as such. A phase that no drain is in is not told.";
    OLDEST_DRAIN: Kind::Gauge, "castoff_oldest_drain_seconds", ["phase"], true, Same,
        "For how long that drain is in its phase which is in it longest; of blocked and stalled ones, for how long they are that.";
    OUTCOMES: Kind::Counter, "castoff_outcomes_total", ["outcome"], true, Each,
        "Guarded pods that have left: prepared, exempt, bypassed or unprepared.";
    TO_PREPARED: Kind::Histogram(DRAIN), "castoff_time_to_prepared_seconds", [], true, Leader,
        "From the first try to being prepared, of pods that left prepared; told once their drain is over, as the next two.";
    TO_GONE: Kind::Histogram(DRAIN), "castoff_time_to_gone_seconds", [], true, Leader,
        "From being prepared to being let go: how long whoever wants the pod gone took to ask again.";
    TO_RESTORED: Kind::Histogram(DRAIN), "castoff_time_to_restored_seconds", [], true, Leader,
        "From being let go to the end: until the pod was replaced, and what was set at its backend undone.";
    POLICIES: Kind::Gauge, "castoff_policies", ["ready", "reason"], true, Same,
        "Policies, by what their columns READY and REASON say.";
    FREEZE_ENDS: Kind::Gauge, "castoff_freeze_end_timestamp_seconds", [], true, Same,
        "When the freeze of a policy ends, in seconds since 1970; of several the last. Told while one is in force.";
    REQUESTS: Kind::Counter, "castoff_requests_total", ["decision", "reason", "caller"], false, Each,
        "Deletes and evictions that were answered, by the question that decided, and by who asked.";
    AUDITED: Kind::Counter, "castoff_audited_total", ["would"], true, Each,
        "Requests for pods of a policy in mode Audit, by the question that would have decided: all but Drained and Departing would have been denied.";
    BACKEND_REQUESTS: Kind::Counter, "castoff_backend_requests_total", ["plan", "outcome"], false, Each,
        "Requests to backends, by plan and by how they ended.";
    BACKEND_SECONDS: Kind::Histogram(BACKEND), "castoff_backend_request_duration_seconds", ["plan"], false, Each,
        "How long requests to backends took, by plan.";
    LEADER: Kind::Gauge, "castoff_leader", [], false, Each,
        "1 where this replica leads of bringing drains about.";
    GUARDS_NOTHING: Kind::Gauge, "castoff_guards_nothing", [], false, Same,
        "1 while there are policies, and the API server is not told to send any deletes or evictions.";
    REGISTERED: Kind::Gauge, "castoff_registered_namespaces", [], false, Same,
        "Namespaces whose deletes and evictions the API server is told to send.";
    REGISTRATION_CHANGES: Kind::Counter, "castoff_registration_changes_total", ["why"], false, Leader,
        "What was done about the registration, by why: created, grown, shrunk, bundle, path, owner, `put_back`, `left_deleted`.";
    HTTP_REQUESTS: Kind::Counter, "castoff_http_requests_total", ["code"], false, Each,
        "HTTP requests to the webhook, by status.";
    ANSWER_SECONDS: Kind::Histogram(ANSWER), "castoff_request_duration_seconds", [], false, Each,
        "From a request's head to its answer.";
    IN_FLIGHT: Kind::Gauge, "castoff_requests_in_flight", [], false, Each,
        "Requests that are being answered.";
    CONNECTIONS: Kind::Gauge, "castoff_connections", [], false, Each,
        "Open connections to the webhook.";
    HANDSHAKES_FAILED: Kind::Counter, "castoff_tls_handshake_failures_total", [], false, Each,
        "TLS handshakes that did not succeed.";
    CERTIFICATE_ENDS: Kind::Gauge, "castoff_certificate_expiry_timestamp_seconds", ["certificate"], false, Each,
        "When the certificate that is served (server) ends, and the first of the CAs that are trusted (ca), in seconds since 1970.";
    RELOADS: Kind::Counter, "castoff_reloads_total", ["what", "outcome"], false, Each,
        "Files that have changed, by whether they could be taken up: ok or refused.";
    BUILD: Kind::Gauge, "castoff_build_info", ["version"], false, Each,
        "Always 1; the version is a label.";
}

impl Metric {
    /// The labels that it has with these of its policy.
    #[must_use]
    pub fn all_labels(&self, labels: Labels) -> Vec<&'static str> {
        let of_policy: &[&'static str] = if self.of_policy { labels.names() } else { &[] };
        of_policy.iter().chain(self.labels).copied().collect()
    }

    /// How many, without labels.
    ///
    /// # Errors
    /// Never: names and labels of the table are well-formed, as a test shows. So it is with the others.
    pub fn counter(&self) -> prometheus::Result<IntCounter> {
        IntCounter::with_opts(self.opts())
    }

    /// How many, by its labels.
    ///
    /// # Errors
    /// Never.
    pub fn counters(&self, labels: Labels) -> prometheus::Result<IntCounterVec> {
        IntCounterVec::new(self.opts(), &self.all_labels(labels))
    }

    /// As it is now, without labels.
    ///
    /// # Errors
    /// Never.
    pub fn gauge(&self) -> prometheus::Result<IntGauge> {
        IntGauge::with_opts(self.opts())
    }

    /// As it is now, by its labels.
    ///
    /// # Errors
    /// Never.
    pub fn gauges(&self, labels: Labels) -> prometheus::Result<IntGaugeVec> {
        IntGaugeVec::new(self.opts(), &self.all_labels(labels))
    }

    /// By size, without labels.
    ///
    /// # Errors
    /// Never.
    pub fn histogram(&self) -> prometheus::Result<Histogram> {
        Histogram::with_opts(self.histogram_opts())
    }

    /// By size, by its labels.
    ///
    /// # Errors
    /// Never.
    pub fn histograms(&self, labels: Labels) -> prometheus::Result<HistogramVec> {
        HistogramVec::new(self.histogram_opts(), &self.all_labels(labels))
    }

    fn opts(&self) -> Opts {
        Opts::new(self.name, self.help)
    }

    fn histogram_opts(&self) -> HistogramOpts {
        let buckets = if let Kind::Histogram(buckets) = self.kind { buckets } else { &[] };
        HistogramOpts::from(self.opts()).buckets(buckets.to_vec())
    }
}

/// How gauges are filled that are looked up when somebody asks.
type Fill = Box<dyn Fn(&IntGaugeVec) + Send + Sync>;

/// Gauges that are looked up when somebody asks: they can't drift, and one of which there is nothing is not told.
pub struct LookedUp {
    metric: Metric,
    labels: Labels,
    empty: IntGaugeVec,
    fill: Fill,
}

impl LookedUp {
    /// These gauges, as `fill` finds them.
    ///
    /// # Errors
    /// Never.
    pub fn new(metric: Metric, labels: Labels, fill: Fill) -> prometheus::Result<Self> {
        Ok(LookedUp { metric, labels, empty: metric.gauges(labels)?, fill })
    }
}

impl Collector for LookedUp {
    fn desc(&self) -> Vec<&Desc> {
        self.empty.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let Ok(gauges) = self.metric.gauges(self.labels) else { return Vec::new() };
        (self.fill)(&gauges);
        gauges.collect()
    }
}
