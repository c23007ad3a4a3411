//! Each pod a lane, and lines from those that wait to those that they wait for. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::lifecycle::Phase;

use super::super::drains::DrainView;
use super::super::render::span;
use super::super::timeline::MARKS;
use super::html::Html;

/// So far apart are lines beside the lanes.
const LINE: usize = 14;

/// A pod.
pub(super) struct Lane<'a> {
    pub namespace: &'a str,
    pub pod: String,
    /// None of a pod that another waits for, and that has no drain here.
    pub view: Option<&'a DrainView>,
}

/// A line: all that wait for one lane.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub awaited: usize,
    pub waiting: Vec<usize>,
}

/// A lane for each drain, and for each pod without one that somebody waits for; and who waits for whom.
pub(super) fn lanes<'a>(shown: &[&'a DrainView]) -> (Vec<Lane<'a>>, Vec<Link>) {
    let mut lanes: Vec<Lane<'a>> = Vec::new();
    for view in shown {
        lanes.push(Lane { namespace: &view.namespace, pod: view.pod.clone(), view: Some(view) });
    }
    let waits: Vec<(&'a DrainView, &'a [String])> =
        shown.iter().filter(|view| !view.over).map(|view| (*view, view.waits_for.pods.as_slice())).collect();
    for (view, pods) in &waits {
        for pod in *pods {
            if place(&lanes, &view.namespace, pod).is_none() {
                lanes.push(Lane { namespace: &view.namespace, pod: pod.clone(), view: None });
            }
        }
    }
    lanes.sort_by(|one, other| (one.namespace, &one.pod).cmp(&(other.namespace, &other.pod)));
    let mut links: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (view, pods) in &waits {
        let own = place(&lanes, &view.namespace, &view.pod);
        for (own, awaited) in pods.iter().filter_map(|pod| Some((own?, place(&lanes, &view.namespace, pod)?))) {
            links.entry(awaited).or_default().push(own);
        }
    }
    let links = links.into_iter().map(|(awaited, waiting)| Link { awaited, waiting }).collect();
    (lanes, links)
}

/// Where the lane of a pod is: not that of a drain of its that is over.
fn place(lanes: &[Lane<'_>], namespace: &str, pod: &str) -> Option<usize> {
    let is_open = |lane: &Lane<'_>| lane.view.is_none_or(|view| !view.over);
    lanes.iter().position(|lane| lane.namespace == namespace && lane.pod == pod && is_open(lane))
}

/// What a drain went through, from the left edge to now.
pub(super) fn track(html: &mut Html, view: &DrainView, from: Timestamp, now: Timestamp) {
    html.tag("<svg class=track role=img aria-label=\"").text(&told(view, now)).tag("\">");
    for (number, (phase, since)) in view.way.iter().enumerate() {
        let until = view.way.get(number + 1).map_or(now, |(_, since)| *since);
        if until < from {
            continue;
        }
        let (left, right) = (part(*since, from, now), part(until, from, now));
        // That it is over is one mark, and nothing after that.
        let width = if *phase == Phase::Completed { 0.4 } else { (right - left).max(0.4) };
        let left = left.min(100.0 - width);
        html.tag("<rect class=").tag(name(*phase)).tag(" x=\"").text(&format!("{left:.2}%")).tag("\" width=\"");
        html.text(&format!("{width:.2}%"))
            .tag("\"><title>")
            .text(&stretch(*phase, *since, until))
            .tag("</title></rect>");
    }
    html.tag("</svg>");
}

/// How far to the right a time is, in percent.
fn part(time: Timestamp, from: Timestamp, now: Timestamp) -> f64 {
    let whole = now.duration_since(from).as_secs_f64();
    (time.duration_since(from).as_secs_f64() / whole.max(1.0) * 100.0).clamp(0.0, 100.0)
}

/// What a phase is called on the page.
fn name(phase: Phase) -> &'static str {
    MARKS.iter().find(|(of, ..)| *of == phase).map_or("unknown", |(.., name)| name)
}

fn stretch(phase: Phase, since: Timestamp, until: Timestamp) -> String {
    match phase {
        Phase::Completed => name(phase).to_owned(),
        _ => format!("{} {}", name(phase), span(until.duration_since(since).as_secs())),
    }
}

/// The same in words.
fn told(view: &DrainView, now: Timestamp) -> String {
    let ends = view.way.iter().skip(1).map(|(_, since)| *since).chain([now]);
    let parts: Vec<String> =
        view.way.iter().zip(ends).map(|((phase, since), end)| stretch(*phase, *since, end)).collect();
    parts.join(", ")
}

/// The lines beside a lane: as far as each leads past it, begins there or ends there.
pub(super) fn beside(html: &mut Html, links: &[Link], number: usize) {
    if links.is_empty() {
        return;
    }
    html.tag("<svg class=waits aria-hidden=true width=\"").text(&(links.len() * LINE + 2).to_string()).tag("\">");
    for (column, link) in links.iter().enumerate() {
        let all = || link.waiting.iter().chain([&link.awaited]);
        let (first, last) = (all().min().copied().unwrap_or(0), all().max().copied().unwrap_or(0));
        if number < first || number > last {
            continue;
        }
        let x = (column * LINE + 10).to_string();
        let (top, bottom) = (if number == first { "50%" } else { "0" }, if number == last { "50%" } else { "100%" });
        html.tag("<line x1=").text(&x).tag(" x2=").text(&x).tag(" y1=").text(top).tag(" y2=").text(bottom).tag(" />");
        if link.awaited == number || link.waiting.contains(&number) {
            html.tag("<line x1=2 y1=\"50%\" y2=\"50%\" x2=").text(&x).tag(" />");
        }
        if link.awaited == number {
            html.tag("<svg y=\"50%\" overflow=visible><path d=\"M0 0 l7 -4 v8 z\"/></svg>");
        } else if link.waiting.contains(&number) {
            html.tag("<circle cx=3 cy=\"50%\" r=3 />");
        }
    }
    html.tag("</svg>");
}
