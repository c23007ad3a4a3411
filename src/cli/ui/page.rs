//! What the page shows, as HTML that needs no script. Pure, but for the copies that it reads.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use kube::Client;
use kube::core::DynamicObject;
use sha2::{Digest, Sha256};
use tokio::time::{Duration, Instant};

use crate::kubernetes::cache::Cache;

use super::super::drains::{DrainView, Looks, Overview};
use super::super::history::Report;
use super::super::render::{Paint, span};
use super::super::timeline;
use super::super::waits::Reasons;
use super::html::Html;
use super::lanes::{self, Lane, Link};

/// All of the page but what it shows: its looks, and the script that takes up what is new.
const PAGE: &str = include_str!("page.html");

/// So many lanes and rows are looked through by people.
const MOST: usize = 100;

/// After so long without a sign of life, what is shown may be old.
const PATIENCE: Duration = Duration::from_mins(2);

/// Copies of what is shown.
pub(super) struct Board {
    pub drains: Arc<Cache<DynamicObject>>,
    pub policies: Arc<Cache<DynamicObject>>,
    /// None for all.
    pub namespace: Option<String>,
    /// Asked why pods that are waited for are not Ready.
    pub client: Option<Client>,
}

type Rows = Vec<Vec<(String, Paint)>>;

impl Board {
    /// The whole page as it is now.
    pub async fn page(&self, now: Timestamp) -> String {
        let place = self.namespace.as_ref().map_or("all namespaces".to_owned(), |name| format!("namespace {name}"));
        let mut html = Html::default();
        html.text(&place);
        PAGE.replace("{place}", &html.finish()).replace("{main}", &self.main(&mut Reasons::default(), now).await)
    }

    /// What of it changes.
    pub async fn main(&self, reasons: &mut Reasons, now: Timestamp) -> String {
        let (drains, policies) = (self.drains.all(), self.policies.all());
        let (drains, policies) = (|| drains.iter().map(Arc::as_ref), || policies.iter().map(Arc::as_ref));
        let mut overview = Overview::of(drains(), policies());
        if let Some(client) = &self.client {
            reasons.explain(client, &mut overview.drains).await;
        }
        let looks = Looks { namespaces: self.namespace.is_none(), ..Looks::default() };
        let mut html = Html::default();
        if let Some(doubt) = self.doubt() {
            html.tag("<p class=bad role=alert>What is shown may be old: ").text(&doubt).tag("</p>\n");
        }
        html.tag("<p>").text(&overview.sum()).tag("</p>\n<section id=drains><h2>Drains</h2>\n");
        roll_out(&mut html, &timeline::shown(&overview.drains, looks, now), looks, now);
        html.tag("</section>\n<section id=policies><h2>Policies</h2>\n");
        table(&mut html, &readiness(&overview), looks);
        html.tag("</section>\n<section id=history><h2>History</h2>\n");
        let report = Report::of(policies(), drains(), None);
        // What was last is looked for first.
        let mut rows = report.rows();
        rows[1..].reverse();
        table(&mut html, &rows, looks);
        for sentence in report.sentences() {
            html.tag("<p>").text(&sentence).tag("</p>\n");
        }
        html.tag("</section>\n");
        html.finish()
    }

    fn doubt(&self) -> Option<String> {
        let now = Instant::now();
        let of = |cache: &Cache<DynamicObject>| cache.health().borrow().doubt(now, PATIENCE);
        of(&self.drains).or_else(|| of(&self.policies))
    }
}

/// Drains, each a lane.
fn roll_out(html: &mut Html, shown: &[&DrainView], looks: Looks, now: Timestamp) {
    if shown.is_empty() {
        html.tag("<p>No pod is being drained.</p>\n");
        return;
    }
    let from = timeline::from(shown, now);
    let (lanes, links) = lanes::lanes(&shown[..shown.len().min(MOST)]);
    html.tag("<table class=lanes><thead><tr><th scope=col>Pod</th><th scope=col class=axis><span>\u{2212}");
    html.text(&span(now.duration_since(from).as_secs())).tag("</span><span>now</span></th>");
    html.tag("<td></td><th scope=col>State</th><th scope=col>Why</th></tr></thead>\n<tbody>\n");
    for (number, lane) in lanes.iter().enumerate() {
        row(html, lane, (number, &links), looks, (from, now));
    }
    html.tag("</tbody></table>\n");
    if shown.len() > MOST {
        html.tag("<p>and ").text(&(shown.len() - MOST).to_string()).tag(" more: castoff status</p>\n");
    }
    html.tag("<ul class=legend>");
    for (.., name) in timeline::MARKS {
        html.tag("<li><svg class=track aria-hidden=true><rect width=\"100%\" class=")
            .tag(name)
            .tag(" /></svg>")
            .tag(name);
        html.tag("</li>");
    }
    html.tag("<li><svg class=waits aria-hidden=true width=16><line x1=2 x2=16 y1=\"50%\" y2=\"50%\" />");
    html.tag("<circle cx=3 cy=\"50%\" r=3 /></svg>waits for \u{25c2}</li></ul>\n");
}

fn row(
    html: &mut Html,
    lane: &Lane<'_>,
    (number, links): (usize, &[Link]),
    looks: Looks,
    (from, now): (Timestamp, Timestamp),
) {
    html.tag("<tr><th scope=row>");
    if looks.namespaces {
        html.text(lane.namespace).tag("/<wbr>");
    }
    html.text(&lane.pod);
    if let Some(view) = lane.view {
        html.tag(" <small>").text(&view.policy).tag("</small>");
    }
    html.tag("</th><td class=lane>");
    if let Some(view) = lane.view {
        lanes::track(html, view, from, now);
    } else {
        html.tag("<span class=track></span>");
    }
    html.tag("</td><td class=beside>");
    lanes::beside(html, links, number);
    html.tag("</td>");
    if let Some(view) = lane.view {
        state(html, view, now);
    } else {
        html.tag("<td class=waiting>no drain of its own</td><td></td>");
    }
    html.tag("</tr>\n");
}

/// How far a drain is, and why.
fn state(html: &mut Html, view: &DrainView, now: Timestamp) {
    html.tag("<td class=").tag(class(view.paint())).tag("><b>").text(&view.state).tag("</b>");
    if let Some(step) = &view.step {
        html.tag(" <small>step ").text(step).tag("</small>");
    }
    if let Some(since) = view.since.filter(|_| !view.over) {
        html.tag(" <small>").text(&span(now.duration_since(since).as_secs())).tag("</small>");
    }
    if let Some(left) = &view.left {
        let done = (left.total - left.remaining).max(0);
        html.tag("<progress aria-label=\"").text(&left.text()).tag(" left\" value=").text(&done.to_string());
        html.tag(" max=").text(&left.total.max(1).to_string()).tag("></progress> ").text(&left.text()).tag(" left");
    }
    html.tag("</td><td>").text(&view.why);
    if !view.why.contains("asked for by") {
        html.tag(" <small>asked for by ").text(&view.requester).tag("</small>");
    }
    html.tag("</td>");
}

/// Policies, and whether each guards.
fn readiness(overview: &Overview) -> Rows {
    let plain = |text: &str| (text.to_owned(), Paint::Plain);
    let mut rows = vec![["NAMESPACE", "POLICY", "READY", "PODS", "REASON", "MESSAGE"].map(plain).to_vec()];
    for policy in &overview.policies {
        let (ready, paint) = match (policy.ready, policy.guards()) {
            (true, true) => ("yes", Paint::Good),
            (true, false) => ("no pods", Paint::Waiting),
            (false, _) => ("no", Paint::Bad),
        };
        let mut row = vec![plain(&policy.namespace), plain(&policy.policy), (ready.to_owned(), paint)];
        row.extend([&policy.pods.to_string(), &policy.reason, &policy.message].map(|text| plain(text)));
        rows.push(row);
    }
    rows
}

/// Rows as a table, the heads first. On a narrow screen each cell says what it is.
fn table(html: &mut Html, rows: &Rows, looks: Looks) {
    let Some((heads, rows)) = rows.split_first().filter(|(_, rows)| !rows.is_empty()) else {
        html.tag("<p>None.</p>\n");
        return;
    };
    // The first column is the namespace.
    let skipped = usize::from(!looks.namespaces);
    html.tag("<table><thead><tr>");
    for (head, _) in heads.iter().skip(skipped) {
        html.tag("<th scope=col>").text(head).tag("</th>");
    }
    html.tag("</tr></thead>\n<tbody>\n");
    for row in rows.iter().take(MOST) {
        html.tag("<tr>");
        for ((cell, paint), (head, _)) in row.iter().zip(heads).skip(skipped) {
            html.tag("<td class=")
                .tag(class(*paint))
                .tag(" data-head=\"")
                .text(head)
                .tag("\">")
                .text(cell)
                .tag("</td>");
        }
        html.tag("</tr>\n");
    }
    html.tag("</tbody></table>\n");
}

fn class(paint: Paint) -> &'static str {
    match paint {
        Paint::Plain => "plain",
        Paint::Good => "good",
        Paint::Waiting => "waiting",
        Paint::Bad => "bad",
    }
}

/// What a browser may do with the page: run its one script and use its one style, known by their digests, and ask this
/// process for what is new.
pub(super) fn content_security_policy() -> String {
    let digest = |open: &str, close: &str| {
        let inner = PAGE.split_once(open).and_then(|(_, rest)| rest.split_once(close)).map_or("", |(inner, _)| inner);
        STANDARD.encode(Sha256::digest(inner))
    };
    format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; connect-src 'self'; img-src data:; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        digest("<script type=\"module\">", "</script>"),
        digest("<style>", "</style>"),
    )
}
