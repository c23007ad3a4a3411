//! What is told of a drain once it is over: how the pod left, and how long each phase took. Times are by the clock of
//! whoever wrote them, and for people alone: nothing is decided by them. Pure.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::lifecycle::{Drain, Outcome, Phase};

/// A policy's status keeps so many summaries.
pub const KEPT: usize = 10;

/// How long a drain has been in which phase.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Times {
    /// Since when it is in its phase.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub since: Option<Timestamp>,
    /// How many seconds it was in each phase that it has left, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub seconds: BTreeMap<String, i64>,
    /// The steps that were undone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub undone: Vec<String>,
}

impl Times {
    /// The times once `now` has become of `before`, which was made at `created`.
    #[must_use]
    pub fn then(&self, before: &Drain, now: &Drain, created: Option<Timestamp>, at: Timestamp) -> Times {
        let mut times = self.clone();
        let since = *times.since.get_or_insert(created.unwrap_or(at));
        let (was, is) = (before.status.phase, now.status.phase);
        if was == Phase::Completed && is != Phase::Completed {
            // What is begun anew has a history of its own.
            return Times { since: Some(at), ..Times::default() };
        }
        if was != is {
            *times.seconds.entry(was.as_str().to_owned()).or_default() += at.duration_since(since).as_secs().max(0);
            times.since = Some(at);
        }
        let owned = before.status.steps.iter().filter(|step| step.owns());
        let is_undone = |name: &str| now.status.steps.iter().any(|step| step.name == *name && !step.owns());
        let undone: Vec<String> = owned.map(|step| step.name.clone()).filter(|name| is_undone(name)).collect();
        times.undone.extend(undone.into_iter().filter(|name| !self.undone.contains(name)));
        times
    }

    /// Since when it was in which phase, the present one last. Phases that it came to more than once are taken together.
    #[must_use]
    pub fn way(&self, phase: Phase, created: Option<Timestamp>) -> Vec<(Phase, Timestamp)> {
        let Some(since) = self.since.or(created) else { return Vec::new() };
        let mut way = vec![(phase, since)];
        let mut begin = since;
        for before in [Phase::Restoring, Phase::Departing, Phase::Drained, Phase::Draining, Phase::Queued] {
            if let Some(seconds) = self.seconds.get(before.as_str()) {
                begin = begin.checked_sub(SignedDuration::from_secs(*seconds)).unwrap_or(begin);
                way.push((before, begin));
            }
        }
        way.reverse();
        way
    }

    /// How many seconds it was in these phases.
    fn of(&self, phases: &[Phase]) -> i64 {
        phases.iter().filter_map(|phase| self.seconds.get(phase.as_str())).sum()
    }
}

/// A drain that is over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Summary {
    /// The pod's name.
    pub pod: String,
    /// The PodDrain's name.
    pub drain: String,
    /// How the pod left, as `Prepared`; `GivenUp` where it stayed.
    pub outcome: String,
    /// Who asked first.
    pub requester: String,
    /// How often a try was written down.
    pub tries: u64,
    /// When it was over.
    pub ended: String,
    /// How many seconds it waited for its turn.
    pub waited_seconds: i64,
    /// How many seconds it took from the first act to being prepared.
    pub prepared_seconds: i64,
    /// How many seconds it stood prepared, until it was asked for again.
    pub ready_seconds: i64,
    /// How many seconds its place was empty.
    pub away_seconds: i64,
    /// The steps that were undone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub undone: Vec<String>,
}

impl Summary {
    /// What is to be told of this drain; `None` while it is not over, and of one whose times were not kept.
    #[must_use]
    pub fn of(drain: &Drain, times: &Times) -> Option<Self> {
        let ended = times.since.filter(|_| drain.status.phase == Phase::Completed)?;
        let left = drain.status.outcome.filter(|_| drain.status.left);
        let outcome = match left {
            Some(Outcome::Prepared) => "Prepared",
            Some(Outcome::Exempt) => "Exempt",
            Some(Outcome::Bypassed) => "Bypassed",
            Some(Outcome::Unprepared) => "Unprepared",
            None => "GivenUp",
        };
        Some(Summary {
            pod: drain.spec.pod.name.clone(),
            drain: drain.metadata.name.clone(),
            outcome: outcome.to_owned(),
            requester: drain.spec.requester.clone(),
            tries: drain.status.tries,
            ended: ended.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            waited_seconds: times.of(&[Phase::Queued]),
            prepared_seconds: times.of(&[Phase::Draining]),
            ready_seconds: times.of(&[Phase::Drained]),
            away_seconds: times.of(&[Phase::Departing, Phase::Restoring]),
            undone: times.undone.clone(),
        })
    }

    fn is_same(&self, other: &Summary) -> bool {
        self.drain == other.drain && self.ended == other.ended
    }
}

/// The last summaries, of those that are kept and those of drains that are still there, the oldest first.
#[must_use]
pub fn remembered(kept: &[Summary], of_drains: impl IntoIterator<Item = Summary>) -> Vec<Summary> {
    let mut all = kept.to_vec();
    for summary in of_drains {
        if !all.iter().any(|known| known.is_same(&summary)) {
            all.push(summary);
        }
    }
    all.sort_by(|one, other| one.ended.cmp(&other.ended));
    all.split_off(all.len().saturating_sub(KEPT))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::lifecycle::{DrainStep, Ownership};
    use crate::pod::Pod;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_900_000_000 + seconds).unwrap()
    }

    fn drain(phase: Phase) -> Drain {
        let mut drain = Drain::new(&Pod::default(), "p", "alice");
        drain.status.phase = phase;
        drain
    }

    fn owning(phase: Phase, ownership: Ownership) -> Drain {
        let step: DrainStep = serde_json::from_value(serde_json::json!({
            "name": "evict", "plan": "tikv", "planSpec": {"summary": "s", "done": "true"}, "parameters": {},
        }))
        .unwrap();
        let mut drain = drain(phase);
        drain.status.steps = vec![DrainStep { ownership, ..step }];
        drain
    }

    /// Queued for 5 s, Draining for 60 s, Drained for 2 s, Departing for 20 s, Restoring for 3 s.
    fn whole() -> Times {
        let way = [
            (drain(Phase::Queued), owning(Phase::Draining, Ownership::Acted), 5),
            (owning(Phase::Draining, Ownership::Acted), owning(Phase::Draining, Ownership::Acted), 30),
            (owning(Phase::Draining, Ownership::Acted), owning(Phase::Drained, Ownership::Acted), 65),
            (owning(Phase::Drained, Ownership::Acted), owning(Phase::Departing, Ownership::Acted), 67),
            (owning(Phase::Departing, Ownership::Acted), owning(Phase::Restoring, Ownership::Acted), 87),
            (owning(Phase::Restoring, Ownership::Acted), owning(Phase::Completed, Ownership::None), 90),
        ];
        way.iter().fold(Times::default(), |times, (before, now, when)| times.then(before, now, Some(at(0)), at(*when)))
    }

    #[test]
    fn each_phase_has_its_time_and_what_was_undone_is_named() {
        let mut over = drain(Phase::Completed);
        (over.status.left, over.status.outcome) = (true, Some(Outcome::Prepared));
        let told = Summary::of(&over, &whole()).unwrap();
        let times = (told.waited_seconds, told.prepared_seconds, told.ready_seconds, told.away_seconds);
        assert_eq!(times, (5, 60, 2, 23));
        assert_eq!((told.outcome.as_str(), told.undone.as_slice()), ("Prepared", ["evict".to_owned()].as_slice()));
        over.status.left = false;
        assert_eq!(Summary::of(&over, &whole()).unwrap().outcome, "GivenUp");
        assert_eq!(Summary::of(&drain(Phase::Restoring), &whole()), None);
    }

    #[test]
    fn its_way_leads_from_the_first_phase_to_the_present_one() {
        let expected = [
            (Phase::Queued, 0),
            (Phase::Draining, 5),
            (Phase::Drained, 65),
            (Phase::Departing, 67),
            (Phase::Restoring, 87),
            (Phase::Completed, 90),
        ];
        assert_eq!(whole().way(Phase::Completed, None), expected.map(|(phase, seconds)| (phase, at(seconds))));
        assert_eq!(Times::default().way(Phase::Queued, Some(at(0))), [(Phase::Queued, at(0))]);
    }

    #[test]
    fn what_is_begun_anew_has_a_history_of_its_own() {
        let anew = whole().then(&drain(Phase::Completed), &drain(Phase::Queued), Some(at(0)), at(100));
        assert_eq!(anew, Times { since: Some(at(100)), ..Times::default() });
    }

    #[test]
    fn the_last_ten_are_kept_each_once() {
        let summary = |number: usize| Summary {
            drain: format!("db-{number}"),
            ended: format!("2030-01-01T00:00:{number:02}Z"),
            ..Summary::default()
        };
        let kept = remembered(&[], (0..12).map(summary));
        assert_eq!(kept.len(), KEPT);
        assert_eq!(kept[0].drain, "db-2");
        assert_eq!(remembered(&kept, kept.clone()), kept);
    }
}
