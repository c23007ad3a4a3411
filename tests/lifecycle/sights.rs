//! What is to be seen of the explorer's world, by the functions that production looks with.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use castoff::controller::sight;
use castoff::facts::{NodeSeen, OwnerSeen, read};
use castoff::lifecycle::hole::hole;
use castoff::lifecycle::wish::{mode, wish};
use castoff::lifecycle::{
    Drain, Explanation, Hole, Neighbourhood, Phase, PodSeen, Room, Settings, Slots, Wish, World as Seen,
};
use castoff::plan::{Plan, compile};
use castoff::pod::{Pod, deserialize_owned};
use castoff::policy::freeze::{self, Frozen};
use castoff::policy::{NoPlan, Plans, Policy, PolicyIndex, spec::PlanReference};
use serde_json::json;

use crate::world::{Life, Pod as Played, SEATS, seat_name, uid};
use castoff_test_support::drains;

/// The one plan that all steps go by; what a round finds is the explorer's own.
struct OnePlan;

static PLAN: LazyLock<Arc<Plan>> = LazyLock::new(|| {
    let spec = json!({"summary": "x", "params": {"port": {"type": "integer", "required": true}}, "done": "true"});
    Arc::new(compile(&serde_json::from_value(spec).unwrap()).unwrap().named("p"))
});

impl Plans for OnePlan {
    fn find(&self, _: &PlanReference) -> Result<Arc<Plan>, NoPlan> {
        Ok(Arc::clone(&PLAN))
    }
}

/// A policy's steps as people edit them: they change places, one is taken away, one gets another parameter.
pub const EDITS: [&[(&str, u16)]; 4] =
    [&[("a", 80), ("b", 80)], &[("b", 80), ("a", 80)], &[("b", 81)], &[("a", 80), ("b", 81)]];

/// A policy as it is now: how often it was renamed, how many pods may be away, and its steps.
#[allow(clippy::struct_excessive_bools)] // Each is a thing that people may set, beside the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Form {
    pub renamed: bool,
    pub two: bool,
    /// All that are away must be in one zone, and nothing else limits how many.
    pub zoned: bool,
    /// A person has frozen it.
    pub frozen: bool,
    pub edit: usize,
}

static POLICIES: LazyLock<HashMap<Form, PolicyIndex>> = LazyLock::new(|| {
    let forms = (0..16 * EDITS.len()).map(|number| {
        let (bits, edit) = (number / EDITS.len(), number % EDITS.len());
        Form { renamed: bits & 1 > 0, two: bits & 2 > 0, zoned: bits & 4 > 0, frozen: bits & 8 > 0, edit }
    });
    forms.map(|form| (form, PolicyIndex::new([policy(form)]))).collect()
});

fn policy(form: Form) -> Policy {
    let step = |(name, port): &(&str, u16)| json!({"name": name, "plan": {"name": "p"}, "parameters": {"port": port}});
    let mut spec = json!({
        "selector": {"matchLabels": {"app": "db"}},
        "steps": EDITS[form.edit].iter().map(step).collect::<Vec<_>>(),
        "abandonAfterSeconds": 100,
        "progressDeadlineSeconds": 60,
    });
    if form.zoned {
        spec["spread"] = json!({"topologyKey": "zone"});
    } else {
        spec["maxUnavailable"] = json!(if form.two { 2 } else { 1 });
    }
    let policy =
        Policy::new("n", if form.renamed { "q" } else { "p" }, serde_json::from_value(spec).unwrap(), &OnePlan);
    // The clock of the gates stands at the epoch.
    let freeze = [(freeze::REASON, "INC-4711"), (freeze::UNTIL, "1970-01-02T00:00:00Z"), (freeze::BY, "alice")];
    let freeze = freeze.map(|(key, value)| (key.to_owned(), value.to_owned()));
    if form.frozen { policy.annotated(&freeze.into()) } else { policy }
}

impl Form {
    pub fn policy(self) -> &'static Arc<Policy> {
        &self.policies().of_namespace("n")[0]
    }

    pub fn policies(self) -> &'static PolicyIndex {
        &POLICIES[&self]
    }
}

/// Owners that want so many pods, all of their newest revision.
static OWNERS: LazyLock<[OwnerSeen; SEATS + 1]> = LazyLock::new(|| {
    std::array::from_fn(|replicas| {
        let status = json!({"updateRevision": "r"});
        let set = json!({"kind": "StatefulSet", "metadata": {}, "spec": {"replicas": replicas}, "status": status});
        read::owner(&set).unwrap()
    })
});

pub fn owner(replicas: usize) -> &'static OwnerSeen {
    &OWNERS[replicas]
}

/// The pods as an API server shows them.
pub fn pods(played: &[Played], foreign: bool) -> Vec<Arc<Pod<'static>>> {
    let there = played.iter().enumerate().filter(|(_, pod)| pod.life != Life::Gone);
    there.map(|(seat, pod)| read_once(seat, pod, foreign)).collect()
}

type Shown = HashMap<(usize, Played, bool), Arc<Pod<'static>>>;

thread_local! {
    /// Pods that were read from their JSON once: thousands of plays show the same ones.
    static READ: RefCell<Shown> = RefCell::default();
}

fn read_once(seat: usize, played: &Played, foreign: bool) -> Arc<Pod<'static>> {
    READ.with_borrow_mut(|read| {
        let shown = || Arc::new(shown(seat, played, foreign));
        read.entry((seat, Played { wakes: Vec::new(), by_our_yes: false, drains: 0, ..played.clone() }, foreign))
            .or_insert_with(shown)
            .clone()
    })
}

fn shown(seat: usize, played: &Played, foreign: bool) -> Pod<'static> {
    let ready = matches!(played.life, Life::Ready | Life::Terminating);
    let mut pod = drains::pod(&seat_name(seat), &uid(seat, played.generation), ready);
    pod["metadata"]["labels"]["controller-revision-hash"] = json!("r");
    if foreign {
        pod["metadata"]["ownerReferences"][0]["kind"] = json!("Cluster");
    }
    match played.life {
        Life::Terminating => pod["metadata"]["deletionTimestamp"] = json!("2030-01-01T00:00:00Z"),
        Life::Ended => pod["status"]["phase"] = json!("Failed"),
        Life::Ready | Life::NotReady | Life::Starting | Life::Gone => {}
    }
    if let Some(mark) = &played.mark {
        pod["metadata"]["annotations"] = json!({"castoff.dev/drained": mark});
    }
    deserialize_owned(&pod).unwrap()
}

/// The pod of a seat, as the gate gets it with a review.
pub fn pod(seat: usize, played: &Played, foreign: bool) -> Arc<Pod<'static>> {
    read_once(seat, played, foreign)
}

/// The zone that the pods of a seat run in.
pub fn zone(seat: usize) -> &'static str {
    if seat == SEATS - 1 { "b" } else { "a" }
}

fn frozen() -> Frozen {
    Frozen { reason: "INC-4711".to_owned(), by: "alice".to_owned(), until: jiff::Timestamp::MAX }
}

/// All that a turn, or a gate, looks at besides the backend.
pub struct Sight<'a> {
    pub pods: Vec<Arc<Pod<'static>>>,
    pub drains: Vec<Arc<Drain>>,
    /// The drains as a read of one of them shows it.
    pub live: &'a BTreeMap<String, Arc<Drain>>,
    pub slots: &'a Slots,
    pub policy: Form,
    pub owner: OwnerSeen,
    /// A person has frozen the policy.
    pub frozen: bool,
    /// All nodes are taken for nodes of one zone: a mistake made on purpose.
    pub one_zone: bool,
    /// Places are told by the list alone: a mistake made on purpose.
    pub list_only: bool,
}

impl Sight<'_> {
    pub fn why_not(&self, drain: &Drain) -> Option<Explanation> {
        self.ask(&Slots::default(), |all| all.why_not(drain))
    }

    fn ask<T>(&self, slots: &Slots, ask: impl FnOnce(&Neighbourhood<'_>) -> T) -> T {
        let owners = BTreeMap::from([("db".to_owned(), self.owner.clone())]);
        ask(&Neighbourhood {
            policy: self.policy.policy(),
            pods: &self.pods,
            owners: &owners,
            drains: if self.list_only { &[] } else { &self.drains },
            slots,
            node_labels: &|node| {
                let seat = (0..SEATS).find(|seat| node.ends_with(&seat_name(*seat)));
                Some([("zone".to_owned(), zone(seat.filter(|_| !self.one_zone).unwrap_or(0)).to_owned())].into())
            },
        })
    }

    /// The drain with what a turn goes by, and what that turn is told, but for what the backend shows.
    pub fn seen(&self, stored: &Drain, now: Duration) -> (Drain, Seen) {
        let seen = sight::pod_of(stored, &self.pods);
        let found = seen.map(Arc::as_ref);
        let policy = self.policy.policy();
        let drain = sight::as_of_now(stored, seen, self.policy.policies(), Some(policy));
        let pod = sight::pod_seen(found);
        let known = found.or(drain.status.pod.as_deref());
        let others = || self.drains.iter().filter(|other| other.metadata.name != drain.metadata.name);
        let starts = found.is_some_and(|pod| !pod.is_ready());
        let predecessor = others().find(|other| starts && sight::may_be_taken_over(other, &drain, &self.pods));
        let name = predecessor.map(|drain| drain.metadata.name.as_str());
        let is_open = |drain: &Drain, slot: &castoff::lifecycle::Slot| {
            drain.metadata.name == slot.drain && drain.status.phase != Phase::Completed
        };
        let is_over = |slot: &&castoff::lifecycle::Slot| {
            !self.drains.iter().any(|drain| is_open(drain, slot))
                && !self.live.values().any(|drain| is_open(drain, slot))
        };
        let over: Vec<String> = self.slots.departing.iter().filter(is_over).map(|slot| slot.drain.clone()).collect();
        let slots = self.slots.mended(&over, std::iter::empty());
        let caller = drain.status.caller;
        let told = Seen {
            now,
            hole: match (&pod, &drain.status.pod) {
                (PodSeen::Gone, Some(pod)) => hole(pod, &self.pods, &self.owner),
                (PodSeen::Gone, None) => Hole::Closed,
                _ => Hole::Open,
            },
            pod,
            wish: known.map_or(Wish::None, |pod| wish(pod, &self.owner, &NodeSeen::Unknown, caller, &self.pods)),
            mode: known.and_then(|pod| mode(pod, &self.owner)),
            room: if self.frozen {
                Room::frozen(&drain, &frozen())
            } else {
                self.ask(&slots, |all| all.ask(&drain, name, &over))
            },
            listed: self.slots.held_by(&drain.metadata.name),
            rounds: BTreeMap::new(),
            predecessor: predecessor.map(|drain| Box::new(Drain::clone(drain))),
            successor: others()
                .find(|other| other.status.predecessor.as_deref() == Some(&drain.metadata.name))
                .map(|drain| Box::new(Drain::clone(drain))),
            namespace_ending: false,
            policy: sight::policy_seen(&drain, Some(policy)),
            wrong: None,
            ahead: false,
            settings: Settings {
                claim_patience: Duration::from_secs(50),
                progress_every: Duration::ZERO,
                completed_ttl: Duration::from_hours(1000),
            },
        };
        (drain, told)
    }
}
