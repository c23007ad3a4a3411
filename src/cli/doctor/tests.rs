#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use kube::core::DynamicObject;
use serde_json::{Value, json};

use super::findings::findings;
use super::seen::{Budget, Definition, LeaseSeen, PolicySeen, Replica, Seen, TrialSeen};
use super::{api, seen};
use crate::admission::dry_run::{State, StepNow};
use crate::cli::drains::tests::pod_drain;
use crate::cli::trial::Trial;
use crate::kubernetes::crds;
use crate::remedy::Kind;
use crate::trust::authority::{Authority, Validity};

fn now() -> Timestamp {
    "2030-01-01T12:00:00Z".parse().unwrap()
}

fn object(value: Value) -> DynamicObject {
    serde_json::from_value(value).unwrap()
}

/// An authority's certificate, and one that it has signed for the Service.
fn certificates(name: &str, days: i64) -> (String, String) {
    let validity =
        Validity { from: now() - SignedDuration::from_hours(24), until: now() + SignedDuration::from_hours(24 * days) };
    let authority = Authority::make(name, Some(validity)).unwrap();
    let pair = authority.issue(&["castoff.castoff-system.svc".to_owned()], Some(validity)).unwrap();
    (authority.certificate().to_owned(), pair.certificate)
}

fn registration(bundle: &str) -> Value {
    let entry = |name: &str, operation: &str, resource: &str| {
        json!({
            "name": name, "failurePolicy": "Fail", "timeoutSeconds": 10,
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": [operation], "resources": [resource]}],
            "namespaceSelector": {"matchExpressions": [
                {"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["tidb"]}]},
            "clientConfig": {
                "service": {"namespace": "castoff-system", "name": "castoff", "path": "/validate/5ec7e7"},
                "caBundle": serde_json::to_value(k8s_openapi::ByteString(bundle.as_bytes().to_vec())).unwrap(),
            },
        })
    };
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "castoff"},
        "webhooks": [
            entry("pods.castoff.dev", "DELETE", "pods"),
            entry("evictions.castoff.dev", "CREATE", "pods/eviction"),
        ],
    })
}

fn policy(reason: &str) -> PolicySeen {
    PolicySeen {
        namespace: "tidb".into(),
        name: "tikv".into(),
        enforced: true,
        reason: reason.to_owned(),
        message: "so it is".into(),
        told: Some((reason.to_owned(), "so it is".into())),
        ..PolicySeen::default()
    }
}

fn trial(code: u16, message: &str, warnings: &[&str]) -> TrialSeen {
    let warnings = warnings.iter().map(|&warning| warning.to_owned()).collect();
    let trial = Trial { code, message: message.to_owned(), warnings, steps: Vec::new() };
    TrialSeen {
        namespace: "tidb".into(),
        pod: "tikv-0".into(),
        policy: "tikv".into(),
        enforced: true,
        trial,
        secrets: BTreeMap::new(),
    }
}

fn replica(name: &str, image: &str, ready: bool) -> Replica {
    Replica { name: name.into(), image: image.into(), version: "0.2.0".into(), ready, says: Vec::new() }
}

fn drain(status: Value, conditions: &Value) -> seen::DrainSeen {
    let mut status = status;
    status["conditions"] = conditions.clone();
    api::drain(
        &pod_drain(json!({
            "apiVersion": "castoff.dev/v1alpha1", "kind": "PodDrain",
            "metadata": {"name": "tikv-2-7c0ffee1", "namespace": "tidb", "creationTimestamp": "2030-01-01T11:00:00Z"},
            "spec": {
                "pod": {"name": "tikv-2", "uid": "7c0ffee1"}, "policy": "tikv", "requester": "alice",
            },
            "status": status,
        })),
        now(),
    )
}

fn condition(kind: &str, status: &str, since: &str) -> Value {
    json!({"type": kind, "status": status, "reason": "R", "message": "", "lastTransitionTime": since})
}

/// An installation with which nothing is wrong.
fn healthy() -> Seen {
    let (authority, certificate) = certificates("castoff", 60);
    let denied = "admission webhook \"pods.castoff.dev\" denied the request: tidb/tikv-0 may not leave yet";
    Seen {
        now: now(),
        namespace: "castoff-system".into(),
        hooks: Some(api::hooks(&object(registration(&authority)))),
        was_registered: true,
        certificate: Some(certificate),
        replicas: Some(vec![replica("castoff-a", "castoff:0.1.0", true), replica("castoff-b", "castoff:0.1.0", true)]),
        lease: Some(LeaseSeen {
            holder: "castoff-a".into(),
            renewed: Some("2030-01-01T11:59:58Z".parse().unwrap()),
            duration_seconds: 15,
        }),
        definitions: Some(vec![("poddrains.castoff.dev".into(), Definition::AsItShouldBe)]),
        defined: BTreeMap::new(),
        missing_rights: Some(Vec::new()),
        namespaces: BTreeMap::from([(
            "tidb".to_owned(),
            BTreeMap::from([("kubernetes.io/metadata.name".to_owned(), "tidb".to_owned())]),
        )]),
        policies: vec![policy("Guarding")],
        trials: vec![trial(429, denied, &["castoff: step evict (tikv): to do: 40 leaders left"])],
        budgets: vec![Budget { namespace: "tidb".into(), name: "b".into(), pod: "tikv-0".into(), never_allows: false }],
        drains: vec![drain(
            json!({"phase": "Draining"}),
            &json!([condition("Prepared", "False", "2030-01-01T11:50:00Z")]),
        )],
        provider: Some("aws".into()),
        unseen: Vec::new(),
    }
}

/// Plants a fault, and gives the reasons that are found.
fn found(plant: impl FnOnce(&mut Seen)) -> Vec<&'static str> {
    let mut seen = healthy();
    plant(&mut seen);
    reasons(&seen)
}

/// What is found; each fix is a command that can be typed, or says what to do where no command can.
fn reasons(seen: &Seen) -> Vec<&'static str> {
    let found = findings(seen);
    let is_told = |fix: &str| ["start Castoff with --", "restart `castoff serve`"].iter().any(|it| fix.starts_with(it));
    for found in found.iter().filter(|found| !is_told(&found.fix)) {
        crate::cli::next::typed::can_be_typed(&found.fix);
    }
    found.iter().map(|found| found.reason).collect()
}

/// Plants a fault in the registration.
fn registered(plant: impl FnOnce(&mut Value)) -> Vec<&'static str> {
    let (authority, _) = certificates("castoff", 60);
    let mut value = registration(&authority);
    plant(&mut value);
    let mut seen = healthy();
    seen.certificate = None;
    seen.hooks = Some(api::hooks(&object(value)));
    reasons(&seen)
}

#[test]
fn a_healthy_installation_has_no_finding() {
    assert_eq!(findings(&healthy()), []);
}

#[test]
fn with_no_policy_there_need_be_no_registration() {
    let bare = found(|seen| (seen.policies, seen.trials, seen.hooks) = (Vec::new(), Vec::new(), Some(Vec::new())));
    assert!(bare.is_empty(), "{bare:?}");
}

#[test]
fn what_is_wrong_with_the_registration_is_found() {
    assert_eq!(found(|seen| seen.hooks = Some(Vec::new())), ["NotRegistered"]);
    assert_eq!(registered(|it| drop(it["webhooks"].as_array_mut().unwrap().pop())), ["EntryMissing"]);
    assert_eq!(registered(|it| it["webhooks"][1]["rules"][0]["operations"] = json!(["UPDATE"])), ["RuleMissing"]);
    assert_eq!(registered(|it| it["webhooks"][1]["rules"][0]["resources"] = json!(["*", "pods/log"])), ["RuleMissing"]);
    assert!(registered(|it| it["webhooks"][1]["rules"][0]["resources"] = json!(["pods/*"])).is_empty());
    assert_eq!(registered(|it| it["webhooks"][0]["timeoutSeconds"] = json!(2)), ["TimeoutTooSmall"]);
    assert_eq!(registered(|it| it["webhooks"][0]["failurePolicy"] = json!("Ignore")), ["FailsOpen"]);
    let path = |path: Value| registered(|it| it["webhooks"][1]["clientConfig"]["service"]["path"] = path);
    assert_eq!(path(json!("/validate")), ["PathGuessed"]);
    assert_eq!(path(Value::Null), ["PathGuessed"], "the API server then asks on the root");
    let narrowed = |it: &mut Value| it["webhooks"][0]["objectSelector"] = json!({"matchLabels": {"a": "b"}});
    assert_eq!(registered(narrowed), ["ObjectSelector"]);
    let elsewhere =
        |it: &mut Value| it["webhooks"][0]["namespaceSelector"]["matchExpressions"][0]["values"] = json!(["x"]);
    assert_eq!(registered(elsewhere), ["NotCovered"]);
    let opened = |it: &mut Value| {
        it["metadata"]["annotations"] =
            json!({"castoff.dev/bypass": "INC-1", "castoff.dev/bypass-until": "2030-01-01T13:00:00Z"});
    };
    assert_eq!(registered(opened), ["GateOpen"]);
}

#[test]
fn a_certificate_that_the_api_server_will_not_accept_or_that_ends_is_found() {
    let (_, others) = certificates("castoff", 60);
    assert_eq!(found(|seen| seen.certificate = Some(others)), ["CertificateNotAccepted"]);
    let (authority, certificate) = certificates("castoff", 3);
    let near = found(|seen| {
        seen.hooks = Some(api::hooks(&object(registration(&authority))));
        seen.certificate = Some(certificate);
    });
    assert_eq!(near, ["CertificateEnds", "CertificateEnds"]);
    let x509 = "Internal error occurred: failed calling webhook \"pods.castoff.dev\": x509: unknown authority";
    assert_eq!(found(|seen| seen.trials = vec![trial(500, x509, &[])]), ["CertificateNotAccepted"]);
}

#[test]
fn replicas_that_do_not_answer_or_differ_are_found() {
    let nobody = |seen: &mut Seen| (seen.replicas, seen.lease) = (Some(Vec::new()), Some(LeaseSeen::default()));
    assert_eq!(found(nobody), ["NoReplica", "NotInCharge"]);
    assert_eq!(found(|seen| seen.replicas = Some(vec![replica("a", "castoff:1", false)])), ["NoReplica"]);
    let one_down = vec![replica("a", "castoff:1", false), replica("b", "castoff:1", true)];
    assert_eq!(found(|seen| seen.replicas = Some(one_down)), ["ReplicaNotReady"]);
    let two_versions = vec![replica("a", "castoff:1", true), replica("b", "castoff:2", true)];
    assert_eq!(found(|seen| seen.replicas = Some(two_versions)), ["VersionsDiffer"]);
    let refused = "Internal error occurred: failed calling webhook \"pods.castoff.dev\": connection refused";
    assert_eq!(found(|seen| seen.trials = vec![trial(500, refused, &[])]), ["NotReached"]);
}

#[test]
fn outside_of_the_cluster_nothing_is_said_of_pods() {
    let outside = |plant: &dyn Fn(&mut Seen)| {
        let mut seen = healthy();
        seen.replicas = Some(Vec::new());
        seen.hooks.iter_mut().flatten().for_each(|hook| hook.service = None);
        plant(&mut seen);
        findings(&seen)
    };
    assert_eq!(outside(&|_| {}), []);
    for plant in [
        |seen: &mut Seen| seen.hooks = Some(Vec::new()),
        |seen: &mut Seen| seen.lease = Some(LeaseSeen::default()),
        |seen: &mut Seen| {
            let refused = "Internal error occurred: failed calling webhook \"pods.castoff.dev\": connection refused";
            seen.trials = vec![trial(500, refused, &[])];
        },
    ] {
        let found = outside(&|seen| {
            seen.was_registered = false;
            plant(seen);
        });
        assert!(matches!(found.as_slice(), [only] if only.fix.contains("`castoff serve`")), "{found:?}");
    }
}

#[test]
fn nothing_installed_is_one_finding_and_who_sees_little_hears_of_no_health() {
    let nothing = found(|seen| {
        (seen.hooks, seen.replicas, seen.lease) = (Some(Vec::new()), Some(Vec::new()), Some(LeaseSeen::default()));
        seen.definitions = Some(vec![("poddrains.castoff.dev".into(), Definition::Missing)]);
        (seen.policies, seen.trials, seen.drains) = (Vec::new(), Vec::new(), Vec::new());
    });
    assert_eq!(nothing, ["NotInstalled"]);
    let mut blind = healthy();
    (blind.hooks, blind.replicas) = (None, None);
    assert!(blind.is_blind() && !healthy().is_blind());
    blind.unseen = vec![("pods".into(), "pods is forbidden".into()), ("leases castoff".into(), "forbidden".into())];
    let told = findings(&blind);
    let notes: Vec<&str> = told.iter().filter(|found| found.note).map(|found| found.what.as_str()).collect();
    assert_eq!(notes, ["not looked at: pods, leases castoff"]);
}

#[test]
fn a_silent_backend_has_the_fix_of_its_cause() {
    let mut seen = healthy();
    let text = "http://10.0.0.1:1/x does not answer: it refuses connections".to_owned();
    let (step, plan) = ("evict".to_owned(), "tikv".to_owned());
    let mut of_refused = trial(429, "admission webhook \"pods.castoff.dev\" denied the request: no", &[]);
    let (state, cause) = (State::Unknown, Kind::AddressRefused.into());
    of_refused.trial.steps.push(StepNow { step, plan, state, left: None, text, cause });
    seen.trials = vec![of_refused];
    assert_eq!(findings(&seen)[0].fix, "kubectl edit drainpolicy tikv -n tidb   # is the port right?");
}

#[test]
fn nobody_in_charge_is_found() {
    assert_eq!(found(|seen| seen.lease = Some(LeaseSeen::default())), ["NotInCharge"]);
    let lease = |holder: &str, renewed: &str| {
        Some(LeaseSeen { holder: holder.into(), renewed: Some(renewed.parse().unwrap()), duration_seconds: 15 })
    };
    assert_eq!(found(|seen| seen.lease = lease("", "2030-01-01T11:59:59Z")), ["NotInCharge"]);
    assert_eq!(found(|seen| seen.lease = lease("castoff-a", "2030-01-01T11:50:00Z")), ["NotInCharge"]);
}

#[test]
fn definitions_of_another_version_and_missing_rights_are_found() {
    let with = |state| found(|seen| seen.definitions = Some(vec![("poddrains.castoff.dev".into(), state)]));
    assert_eq!(with(Definition::Missing), ["DefinitionMissing"]);
    assert_eq!(with(Definition::Differs("spec.names".into())), ["DefinitionDiffers"]);
    assert_eq!(found(|seen| seen.missing_rights = Some(vec!["patch pods".into()])), ["RightsMissing"]);
}

#[test]
fn a_definition_that_is_older_or_newer_than_the_replicas_is_found() {
    let with = |version: &str| found(|seen| seen.defined = [("d.castoff.dev".into(), version.to_owned())].into());
    assert_eq!(with("0.1.9"), ["DefinitionOlder"]);
    assert_eq!(with("0.10.0"), ["DefinitionNewer"]);
    for same in ["0.2.0", ""] {
        assert!(with(same).is_empty(), "{same}");
    }
}

#[test]
fn a_definition_is_compared_without_what_the_api_server_fills_in() {
    let wanted = crds::all().remove(0);
    let mut found = object(wanted.clone());
    found.data["spec"]["conversion"] = json!({"strategy": "None"});
    assert_eq!(api::definition(&wanted, Some(&found)), Definition::AsItShouldBe);
    let place = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties";
    found.data.pointer_mut(place).unwrap()["newer"] = json!({"type": "string"});
    assert!(
        matches!(api::definition(&wanted, Some(&found)), Definition::Differs(at) if at.ends_with("properties.newer"))
    );
    assert_eq!(api::definition(&wanted, None), Definition::Missing);
}

#[test]
fn policies_that_guard_nothing_or_hold_everything_are_found() {
    for (reason, expected) in
        [("NotCompiled", "PolicyNotValid"), ("Conflict", "PolicyConflict"), ("NoPods", "PolicyWithoutPods")]
    {
        assert_eq!(found(|seen| seen.policies = vec![policy(reason)]), [expected]);
    }
    let told = PolicySeen { told: Some(("NotCalled".into(), "no request comes".into())), ..policy("Guarding") };
    assert_eq!(found(|seen| seen.policies = vec![told]), ["PolicyNotCalled"]);
}

#[test]
fn what_the_api_server_and_the_backend_say_is_found() {
    assert_eq!(found(|seen| seen.trials = vec![trial(200, "", &[])]), ["NotAsked"]);
    let (step, plan) = ("evict".to_owned(), "tikv".to_owned());
    let (text, cause) = ("https://pd:2379/stores does not answer".to_owned(), Kind::Silent.into());
    let silent = StepNow { step, plan, state: State::Unknown, left: None, text, cause };
    let denied = "admission webhook \"pods.castoff.dev\" denied the request: no";
    let mut of_silent = trial(429, denied, &[]);
    of_silent.trial.steps.push(silent);
    assert_eq!(found(|seen| seen.trials = vec![of_silent]), ["BackendSilent"]);
    let other = "admission webhook \"other.example\" denied the request: no";
    assert_eq!(found(|seen| seen.trials = vec![trial(400, other, &[])]), ["OtherWebhook"]);
    let broken = "Internal error occurred: failed calling webhook \"other.example\": no endpoints available";
    assert_eq!(found(|seen| seen.trials = vec![trial(500, broken, &[])]), ["OtherWebhook"]);
    assert_eq!(found(|seen| seen.trials = vec![trial(403, "pods is forbidden", &[])]), ["NotTried"]);
}

#[test]
fn a_budget_that_never_allows_is_found() {
    let never = |spec: Value, expected: i64| {
        api::never_allows(&object(json!({
            "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "b"},
            "spec": spec, "status": {"expectedPods": expected},
        })))
    };
    assert!(never(json!({"maxUnavailable": 0}), 3) && never(json!({"maxUnavailable": "0%"}), 3));
    assert!(never(json!({"minAvailable": 3}), 3) && never(json!({"minAvailable": "100%"}), 3));
    assert!(!never(json!({"maxUnavailable": 1}), 3) && !never(json!({"minAvailable": 2}), 3));
    assert_eq!(found(|seen| seen.budgets.iter_mut().for_each(|it| it.never_allows = true)), ["BudgetInTheWay"]);
}

#[test]
fn departures_that_do_not_go_on_are_found() {
    let prepared = condition("Prepared", "False", "2030-01-01T11:50:00Z");
    let with = |status: Value, conditions: Value| found(|seen| seen.drains = vec![drain(status, &conditions)]);
    assert_eq!(with(json!({"phase": "Draining", "stalled": true}), json!([prepared])), ["Stalled"]);
    let blocked = |since: &str| json!([prepared, condition("Blocked", "True", since)]);
    assert_eq!(with(json!({"phase": "Queued", "blocked": true}), blocked("2030-01-01T11:30:00Z")), ["Blocked"]);
    assert!(with(json!({"phase": "Queued", "blocked": true}), blocked("2030-01-01T11:59:00Z")).is_empty());
    assert_eq!(with(json!({"phase": "Newer"}), json!([])), ["DrainNotKnown"]);
}

#[test]
fn a_preparation_longer_than_an_upgrade_waits_is_found_where_such_upgrades_are() {
    let slow =
        || vec![drain(json!({"phase": "Drained"}), &json!([condition("Prepared", "True", "2030-01-01T11:20:00Z")]))];
    assert_eq!(found(|seen| seen.drains = slow()), ["SlowerThanUpgrades"]);
    let on_gke = found(|seen| (seen.drains, seen.provider) = (slow(), Some("gce".into())));
    let at_home = found(|seen| (seen.drains, seen.provider) = (slow(), None));
    assert!(on_gke.is_empty() && at_home.is_empty(), "{on_gke:?} {at_home:?}");
}

#[test]
fn what_could_not_be_looked_at_is_told_and_is_no_fault() {
    let mut seen = healthy();
    seen.hooks = None;
    seen.unseen.push(("validatingwebhookconfigurations".into(), "forbidden".into()));
    let found = findings(&seen);
    assert!(matches!(found.as_slice(), [only] if only.note && only.reason == "NotSeen"), "{found:?}");
}
