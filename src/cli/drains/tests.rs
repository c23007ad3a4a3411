#![allow(clippy::unwrap_used)]

use anstream::adapter::strip_str;
use serde_json::json;

use super::*;

fn object(value: serde_json::Value) -> DynamicObject {
    serde_json::from_value(value).unwrap()
}

/// A PodDrain as Castoff would have made it.
pub(in crate::cli) fn pod_drain(value: serde_json::Value) -> DynamicObject {
    object(value)
}

fn drain(pod: &str, status: &serde_json::Value) -> DynamicObject {
    pod_drain(json!({
        "apiVersion": "castoff.dev/v1alpha1", "kind": "PodDrain",
        "metadata": {"name": format!("{pod}-7c0ffee1"), "namespace": "tidb", "creationTimestamp": "2030-01-01T00:00:00Z"},
        "spec": {
            "pod": {"name": pod, "uid": "7c0ffee1"}, "policy": "tikv",
            "requester": "system:serviceaccount:kube-system:statefulset-controller",
        },
        "status": status,
    }))
}

fn policy(name: &str, ready: &str, reason: &str) -> DynamicObject {
    object(json!({
        "apiVersion": "castoff.dev/v1alpha1", "kind": "DrainPolicy",
        "metadata": {"name": name, "namespace": "tidb"}, "spec": {},
        "status": {"pods": 3, "conditions": [{
            "type": "Ready", "status": ready, "reason": reason, "message": "so it is",
            "lastTransitionTime": "2030-01-01T00:00:00Z",
        }]},
    }))
}

fn lines(drains: &[DynamicObject], policies: &[DynamicObject], looks: Looks) -> Vec<String> {
    let painted = Overview::of(drains, policies).lines(looks, "2030-01-01T00:01:20Z".parse().unwrap());
    painted.iter().map(|line| strip_str(line).to_string()).collect()
}

#[test]
fn who_waits_for_what_and_how_much_is_left_is_one_line_each() {
    let drains = [
        drain(
            "tikv-2",
            &json!({"phase": "Draining", "caller": "Owner", "step": "evict", "progress":
            {"step": "evict", "total": 40, "remaining": 12, "unit": "leaders"}}),
        ),
        drain("tikv-1", &json!({"phase": "Queued", "message": "waits for tikv-2 (maxUnavailable 1)"})),
    ];
    let policies = [policy("tikv", "True", "Guarding")];
    assert_eq!(
        lines(&drains, &policies, Looks { bars: true, ..Looks::default() }),
        [
            "POD     POLICY  PHASE     STEP   LEFT                                     FOR  WHY",
            "tikv-1  tikv    Queued                                                    80s  waits for tikv-2 (maxUnavailable 1)",
            "tikv-2  tikv    Draining  evict  [##############------] 12 of 40 leaders  80s  asked for by statefulset-controller",
            "2 drains under way, 0 over; 3 pods guarded by 1 policy",
        ]
    );
}

#[test]
fn what_it_waits_for_is_a_line_of_its_own_where_the_screen_is_narrow() {
    let drains = [
        drain(
            "basic-tikv-2",
            &json!({"phase": "Draining", "caller": "Owner", "step": "evict-leaders", "progress":
            {"step": "evict-leaders", "total": 40, "remaining": 12, "unit": "leaders"}}),
        ),
        drain("basic-tikv-1", &json!({"phase": "Queued", "message": "waits for basic-tikv-2 (maxUnavailable 1)"})),
    ];
    let policies = [policy("tikv", "True", "Guarding")];
    let at = |columns| lines(&drains, &policies, Looks { columns: Some(columns), ..Looks::default() });
    assert_eq!(
        at(80),
        [
            "POD           POLICY  PHASE     STEP           LEFT              FOR",
            "basic-tikv-1  tikv    Queued                                     80s",
            "  waits for basic-tikv-2 (maxUnavailable 1)",
            "basic-tikv-2  tikv    Draining  evict-leaders  12 of 40 leaders  80s",
            "  asked for by statefulset-controller",
            "2 drains under way, 0 over; 3 pods guarded by 1 policy",
        ]
    );
    assert_eq!(at(60)[3], "basic-tikv…  tikv    Draining  evict-lead…  12 of 40 l…  80s");
    for columns in [60, 40, 30] {
        assert!(at(columns).iter().all(|line| line.chars().count() <= columns), "{:?}", at(columns));
    }
    assert_eq!(at(140)[1].matches("waits for").count(), 1, "where it fits it is one line");
}

#[test]
fn a_policy_that_guards_nothing_is_told_and_not_counted() {
    let policies = [policy("one", "False", "Conflict"), policy("tikv", "True", "NoPods")];
    assert_eq!(
        lines(&[], &policies, Looks::default()),
        [
            "policy tidb/one is not ready (Conflict): so it is",
            "policy tidb/tikv waits for pods (NoPods): so it is",
            "0 drains under way, 0 over; no policy guards a pod, of 2",
        ]
    );
    assert!(lines(&[], &[], Looks::default()).concat().contains("nothing is guarded"));
}

#[test]
fn what_is_over_is_only_counted_unless_it_is_asked_for() {
    let over = [drain("tikv-0", &json!({"phase": "Completed", "left": true}))];
    assert_eq!(lines(&over, &[], Looks::default()).len(), 1);
    let all = lines(&over, &[], Looks { completed: true, ..Looks::default() });
    assert!(all.concat().contains("Completed"), "{all:?}");
}

#[test]
fn what_cannot_be_read_is_shown_all_the_same() {
    let mut odd = drain("tikv-0", &json!({}));
    odd.data = json!({"spec": {"newer": true}});
    assert!(lines(&[odd], &[], Looks::default()).concat().contains("Unreadable"));
}

#[test]
fn a_bar_is_empty_at_the_beginning_and_full_at_the_end() {
    let bar = |remaining| Left { remaining, total: 40, unit: String::new() }.bar();
    assert_eq!(bar(40), format!("[{}]", "-".repeat(BAR)));
    assert_eq!(bar(0), format!("[{}]", "#".repeat(BAR)));
    assert_eq!(Left { remaining: 0, total: 0, unit: String::new() }.bar(), bar(0));
}
