//! Drains as a timeline in text: each pod a lane. Pure.

use jiff::{SignedDuration, Timestamp};

use crate::lifecycle::Phase;

use super::drains::{DrainView, Looks};
use super::render::{Paint, cut, narrowed, painted, span};

/// What a lane shows of each phase, and what that is called.
pub(super) const MARKS: [(Phase, char, &str); 6] = [
    (Phase::Queued, '.', "queued"),
    (Phase::Draining, '=', "draining"),
    (Phase::Drained, '#', "prepared"),
    (Phase::Departing, '_', "away"),
    (Phase::Restoring, '~', "restoring"),
    (Phase::Completed, '|', "restored"),
];

/// No more and no less than this is shown: what was before is beyond the left edge.
const LONGEST: SignedDuration = SignedDuration::from_mins(15);
const SHORTEST: SignedDuration = SignedDuration::from_mins(1);

/// What is over stays for so long.
const AFTERWARDS: SignedDuration = SignedDuration::from_mins(2);

/// No lane is shorter than this.
const SHORTEST_LANE: usize = 10;

/// The most columns of what stands behind a lane.
const STATE: usize = 34;

/// A lane for each pod on a screen of so many columns and lines, and below it what it waits for.
pub(super) fn lines(
    drains: &[DrainView],
    looks: Looks,
    (columns, lines): (usize, usize),
    now: Timestamp,
) -> Vec<String> {
    let shown = shown(drains, looks, now);
    if shown.is_empty() {
        return Vec::new();
    }
    let mut cells: Vec<Vec<(String, Paint)>> =
        shown.iter().map(|view| vec![(name(view, looks), Paint::Plain), (state(view), view.paint())]).collect();
    for row in &mut cells {
        row[1].0 = cut(&row[1].0, STATE.min(columns / 2));
    }
    narrowed(&mut cells, columns.saturating_sub(SHORTEST_LANE + 2));
    let widest = |column: usize| cells.iter().map(|row| row[column].0.chars().count()).max().unwrap_or(0);
    let (names, states) = (widest(0), widest(1));
    let lane = columns.saturating_sub(names + states + 4).max(SHORTEST_LANE);
    let from = from(&shown, now);
    let mut all = vec![cut(&head(names, lane, from, now), columns)];
    for (number, (view, row)) in shown.iter().zip(&cells).enumerate() {
        let why = cut(&format!("  {}", view.why), columns);
        let needed = if view.is_explained() { 2 } else { 1 };
        if all.len() + needed + 2 > lines {
            all.push(cut(&format!("and {} more: castoff status", shown.len() - number), columns));
            break;
        }
        let (name, state) = (&row[0].0, painted(&row[1].0, row[1].1));
        all.push(format!("{name:names$}  {}  {state}", track(view, from, now, lane)));
        all.extend(view.is_explained().then_some(why));
    }
    let legend: Vec<String> = MARKS.iter().map(|(_, mark, name)| format!("{mark} {name}")).collect();
    all.push(cut(&legend.join("  "), columns));
    all
}

/// The drains that have a lane: those that are not over, or have been for a moment only.
pub(super) fn shown(drains: &[DrainView], looks: Looks, now: Timestamp) -> Vec<&DrainView> {
    drains.iter().filter(|view| !view.over || looks.completed || is_recent(view, now)).collect()
}

impl DrainView {
    /// Whether people are to read why it does not go on.
    fn is_explained(&self) -> bool {
        !self.over && (matches!(self.state.as_str(), "Blocked" | "Stalled" | "Unreadable") || self.is_held)
    }
}

fn is_recent(view: &DrainView, now: Timestamp) -> bool {
    view.way.last().is_some_and(|(_, ended)| now.duration_since(*ended) < AFTERWARDS)
}

fn name(view: &DrainView, looks: Looks) -> String {
    if looks.namespaces { format!("{}/{}", view.namespace, view.pod) } else { view.pod.clone() }
}

/// `Draining 12 of 40 leaders`.
fn state(view: &DrainView) -> String {
    let left = view.left.as_ref().map_or_else(String::new, |left| format!(" {}", left.text()));
    format!("{}{left}", view.state)
}

/// The time at the left edge.
pub(super) fn from(shown: &[&DrainView], now: Timestamp) -> Timestamp {
    let first = shown.iter().filter_map(|view| view.way.first()).map(|(_, since)| *since).min().unwrap_or(now);
    let whole = now.duration_since(first).clamp(SHORTEST, LONGEST);
    now.checked_sub(whole).unwrap_or(first)
}

fn head(names: usize, lane: usize, from: Timestamp, now: Timestamp) -> String {
    let ago = format!("-{}", span(now.duration_since(from).as_secs()));
    let gap = lane.saturating_sub(ago.chars().count() + 3);
    format!("{:names$}  {ago}{}now", "POD", " ".repeat(gap))
}

/// One lane: in each column the phase at that time, in the last one the phase now.
fn track(view: &DrainView, from: Timestamp, now: Timestamp, lane: usize) -> String {
    let whole = now.duration_since(from);
    let at = |column: usize| {
        let (part, all) = (i32::try_from(column + 1).unwrap_or(i32::MAX), i32::try_from(lane).unwrap_or(i32::MAX));
        from.checked_add(whole * part / all).unwrap_or(now)
    };
    let phase_at = |time: Timestamp| view.way.iter().rfind(|(_, since)| *since <= time).map(|(phase, _)| *phase);
    let mut track = String::new();
    let mut before = None;
    for column in 0..lane {
        let phase = phase_at(at(column));
        // That it is over is one mark, and nothing after that.
        let over = phase == Some(Phase::Completed) && before == phase;
        let mark = MARKS.iter().find(|(of, ..)| Some(*of) == phase && !over).map_or(' ', |(_, mark, _)| *mark);
        track.push(mark);
        before = phase;
    }
    track
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use anstream::adapter::strip_str;
    use serde_json::{Value, json};

    use super::super::drains::tests::pod_drain;
    use super::*;

    const NOW: &str = "2030-01-01T00:02:00Z";

    fn view(pod: &str, status: &Value) -> DrainView {
        DrainView::of(&pod_drain(json!({
            "apiVersion": "castoff.dev/v1alpha1", "kind": "PodDrain",
            "metadata": {"name": format!("{pod}-7c0ffee1"), "namespace": "tidb", "creationTimestamp": "2030-01-01T00:00:00Z"},
            "spec": {"pod": {"name": pod, "uid": "7c0ffee1"}, "policy": "tikv", "requester": "alice"},
            "status": status,
        })))
    }

    fn roll_out() -> Vec<DrainView> {
        let since = |time: &str, seconds: Value| json!({"since": time, "seconds": seconds});
        vec![
            view("basic-tikv-0", &json!({"phase": "Queued", "message": "waits for basic-tikv-1 (maxUnavailable 1)"})),
            view(
                "basic-tikv-1",
                &json!({"phase": "Draining", "step": "evict", "progress": {"step": "evict", "total": 40, "remaining": 12,
                    "unit": "leaders"}, "times": since("2030-01-01T00:01:30Z", json!({"Queued": 90}))}),
            ),
            view(
                "basic-tikv-2",
                &json!({"phase": "Completed", "left": true, "times": since("2030-01-01T00:01:40Z",
                    json!({"Queued": 10, "Draining": 30, "Drained": 10, "Departing": 40, "Restoring": 10}))}),
            ),
        ]
    }

    fn drawn(columns: usize, height: usize) -> Vec<String> {
        let looks = Looks { columns: Some(columns), ..Looks::default() };
        let lines = lines(&roll_out(), looks, (columns, height), NOW.parse().unwrap());
        lines.iter().map(|line| strip_str(line).to_string()).collect()
    }

    #[test]
    fn each_pod_is_a_lane_with_its_phases_one_after_the_other() {
        assert_eq!(
            drawn(80, 24),
            [
                "POD           -2m                                 now",
                "basic-tikv-0  .......................................  Queued",
                "  waits for basic-tikv-1 (maxUnavailable 1)",
                "basic-tikv-1  .............................==========  Draining 12 of 40 leaders",
                "basic-tikv-2  ...=========####_____________~~~|        Completed",
                ". queued  = draining  # prepared  _ away  ~ restoring  | restored",
            ]
        );
    }

    #[test]
    fn it_fits_the_screen_whatever_its_size() {
        for columns in [120, 80, 60, 40] {
            for height in [24, 6, 5] {
                let lines = drawn(columns, height);
                assert!(lines.len() <= height, "{height}: {lines:?}");
                assert!(lines.iter().all(|line| line.chars().count() <= columns), "{columns}: {lines:?}");
            }
        }
        assert!(drawn(80, 5).iter().any(|line| line == "and 2 more: castoff status"), "{:?}", drawn(80, 5));
        assert!(drawn(60, 24)[2].starts_with("  waits for basic-tikv-1"));
        assert!(drawn(40, 24)[2].ends_with('…'), "{:?}", drawn(40, 24));
    }

    #[test]
    fn what_was_before_is_beyond_the_left_edge_and_what_is_over_goes() {
        let looks = Looks::default();
        let later = |time: &str| lines(&roll_out(), looks, (80, 24), time.parse().unwrap());
        let hours = later("2030-01-01T05:00:00Z");
        assert!(hours[0].contains("-15m") && !hours.concat().contains("basic-tikv-2"), "{hours:?}");
        let text = strip_str(&hours[3]).to_string();
        assert!(text.contains(&"=".repeat(30)) && !text.contains('.'), "{text}");
        assert!(lines(&[], looks, (80, 24), NOW.parse().unwrap()).is_empty());
    }
}
