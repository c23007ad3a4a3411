//! What is to be seen of the explorer's world, by the functions that production looks with.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use castoff::facts::{NodeSeen, OwnerSeen, read};
use castoff::lifecycle::hole::hole;
use castoff::lifecycle::wish::{mode, wish};
use castoff::lifecycle::{Drain, Hole, Neighbourhood, Phase, PodSeen, PolicySeen, Settings, Slots, World as Seen};
use castoff::plan::Plan;
use castoff::pod::{Pod, deserialize_owned};
use castoff::policy::{NoPlan, Plans, Policy, spec::PlanReference};
use serde_json::json;

use crate::world::{Life, Pod as Played, seat_name, uid};
use castoff_test_support::drains;

struct NoPlans;

impl Plans for NoPlans {
    fn find(&self, _: &PlanReference) -> Result<Arc<Plan>, NoPlan> {
        Err(NoPlan("there is none".to_owned()))
    }
}

pub fn policy(name: &str, limit: u32) -> Policy {
    let spec = json!({"selector": {"matchLabels": {"app": "db"}}, "steps": [], "maxUnavailable": limit});
    Policy::new("n", name, serde_json::from_value(spec).unwrap(), &NoPlans)
}

pub fn owner(replicas: usize) -> OwnerSeen {
    read::owner(&json!({"kind": "StatefulSet", "metadata": {}, "spec": {"replicas": replicas}})).unwrap()
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
        read.entry((seat, Played { wakes: Vec::new(), ..played.clone() }, foreign)).or_insert_with(shown).clone()
    })
}

fn shown(seat: usize, played: &Played, foreign: bool) -> Pod<'static> {
    let ready = matches!(played.life, Life::Ready | Life::Terminating);
    let mut pod = drains::pod(&seat_name(seat), &uid(seat, played.generation), ready);
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

/// All that a turn, or a gate, looks at besides the backend.
pub struct Sight<'a> {
    pub pods: Vec<Arc<Pod<'static>>>,
    pub drains: Vec<Arc<Drain>>,
    pub slots: &'a Slots,
    pub policy: &'a Policy,
    pub owner: OwnerSeen,
    /// Places are told by the list alone: a mistake made on purpose.
    pub list_only: bool,
}

impl Sight<'_> {
    pub fn why_not(&self, drain: &Drain) -> Option<String> {
        self.ask(&Slots::default(), |all| all.why_not(drain))
    }

    fn ask<T>(&self, slots: &Slots, ask: impl FnOnce(&Neighbourhood<'_>) -> T) -> T {
        let owners = BTreeMap::from([("db".to_owned(), self.owner.clone())]);
        ask(&Neighbourhood {
            policy: self.policy,
            pods: &self.pods,
            owners: &owners,
            drains: if self.list_only { &[] } else { &self.drains },
            slots,
            node_labels: &|_| None,
        })
    }

    /// What a turn of this drain is told, without what the backend shows.
    pub fn seen(&self, drain: &Drain, now: Duration) -> Seen {
        let found = self.pods.iter().find(|pod| pod.metadata.uid == *drain.pod_uid());
        let pod = castoff::controller::sight::pod_seen(found.map(Arc::as_ref));
        let known = found.map(Arc::as_ref).or(drain.status.pod.as_ref()).unwrap();
        let others = || self.drains.iter().filter(|other| other.metadata.name != drain.metadata.name);
        let ready = found.is_some_and(|pod| pod.is_ready());
        let may = |other: &&Arc<Drain>| castoff::controller::sight::may_be_taken_over(other, drain, &self.pods);
        let predecessor = others().find(|other| !ready && found.is_some() && may(other)).cloned();
        let name = predecessor.as_ref().map(|drain| drain.metadata.name.as_str());
        let is_over = |slot: &&castoff::lifecycle::Slot| {
            let drain = self.drains.iter().find(|drain| drain.metadata.name == slot.drain);
            drain.is_none_or(|drain| drain.status.phase == Phase::Completed)
        };
        let over: Vec<String> = self.slots.departing.iter().filter(is_over).map(|slot| slot.drain.clone()).collect();
        let slots = self.slots.mended(&over, std::iter::empty());
        Seen {
            now,
            hole: if pod == PodSeen::Gone { hole(known, &self.pods, &self.owner) } else { Hole::Open },
            pod,
            wish: wish(known, &self.owner, &NodeSeen::Unknown, drain.status.caller),
            owner_has_enough: castoff::lifecycle::hole::owner_has_enough(known, &self.pods, &self.owner),
            mode: mode(known, &self.owner),
            room: self.ask(&slots, |all| all.ask(drain, name, &over)),
            listed: self.slots.held_by(&drain.metadata.name),
            rounds: BTreeMap::new(),
            predecessor: predecessor.map(|drain| Box::new(Drain::clone(&drain))),
            successor: others()
                .find(|other| other.status.predecessor.as_deref() == Some(&drain.metadata.name))
                .map(|drain| Box::new(Drain::clone(drain))),
            namespace_ending: false,
            policy: PolicySeen::AsBegun,
            settings: Settings {
                claim_patience: Duration::from_secs(50),
                progress_every: Duration::ZERO,
                completed_ttl: Duration::from_hours(1000),
            },
        }
    }
}
