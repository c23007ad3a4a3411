//! Bytes to request: what is read, what is refused and where.

use std::sync::OnceLock;

use castoff::admission::request::parse;
use castoff::admission::{Stage, What, first_questions, response};
use castoff::lifecycle::Caller;
use castoff::policy::PolicyIndex;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::fixtures;

fn review() -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "call-1",
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "name": "tikv-2", "namespace": "tidb", "operation": "DELETE",
            "userInfo": {"username": "alice"},
            "oldObject": {"metadata": {"name": "tikv-2", "namespace": "tidb", "uid": "pod-1"}},
            "options": {"gracePeriodSeconds": 30},
        },
    })
}

/// The review with the value at `pointer` replaced, or taken out.
fn with(pointer: &str, value: Option<Value>) -> Vec<u8> {
    let mut review = review();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let parent = review.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    match value {
        Some(value) => parent.insert(key.into(), value),
        None => parent.remove(key),
    };
    serde_json::to_vec(&review).unwrap()
}

fn refusal(bytes: &[u8]) -> String {
    parse(bytes).unwrap_err().message
}

#[test]
fn reads_what_decisions_need() {
    let bytes = serde_json::to_vec(&review()).unwrap();
    let request = parse(&bytes).unwrap();
    assert_eq!((request.uid.as_str(), request.caller, request.dry_run), ("call-1", Caller::Person, false));
    assert_eq!(request.grace_period_seconds(), Some(30));
    assert_eq!(request.pod().unwrap().full_name(), "tidb/tikv-2");
}

#[test]
fn a_collection_takes_the_name_from_the_pod() {
    let request_bytes = with("/request/name", None);
    assert_eq!(parse(&request_bytes).unwrap().name, "tikv-2");
}

#[test]
fn what_an_answer_needs_is_missed_by_name() {
    for (pointer, message) in [
        ("/apiVersion", "apiVersion is missing: send admission.k8s.io/v1"),
        ("/kind", "kind is not AdmissionReview"),
        ("/request", "request is missing"),
        ("/request/uid", "request.uid is missing"),
        ("/request/operation", "request.operation is missing"),
        ("/request/resource", "request.resource is missing"),
    ] {
        assert_eq!(refusal(&with(pointer, None)), message);
        assert_eq!(refusal(&with(pointer, Some(Value::Null))), message);
    }
    assert_eq!(refusal(&with("/request/uid", Some("".into()))), "request.uid is missing");
}

#[test]
fn another_version_is_told_which_one_is_served() {
    let message = refusal(&with("/apiVersion", Some("admission.k8s.io/v1beta1".into())));
    assert_eq!(message, "apiVersion admission.k8s.io/v1beta1 is not served: send admission.k8s.io/v1");
}

#[test]
fn a_mistake_is_told_with_its_place_and_without_its_control_characters() {
    let message = refusal(b"{\n  \"apiVersion\": \"admission.k8s.io/v1\",\n  oops }");
    assert!(message.ends_with("at line 3 column 3"), "{message}");
    let message = refusal(&with("/request/oldObject/metadata/labels", Some("\u{1b}[2J\u{202e}".into())));
    assert!(message.contains(" at line 1 column "), "{message}");
    assert!(!message.chars().any(|character| character.is_control() || character == '\u{202e}'), "{message:?}");
    assert!(refusal(&with("/request/dryRun", Some("x".repeat(1_000_000).into()))).len() < 1000);
}

#[test]
fn a_delete_that_lacks_its_pod_says_so() {
    for (pointer, missing) in [
        ("/request/oldObject", "request.oldObject"),
        ("/request/oldObject/metadata/uid", "request.oldObject.metadata.uid"),
    ] {
        let bytes = with(pointer, None);
        assert_eq!(parse(&bytes).unwrap().what, What::Incomplete { missing });
    }
    let mut nameless = review();
    nameless["request"]["name"] = Value::Null;
    nameless["request"]["oldObject"]["metadata"]["name"] = "".into();
    let bytes = serde_json::to_vec(&nameless).unwrap();
    assert_eq!(parse(&bytes).unwrap().what, What::Incomplete { missing: "request.oldObject.metadata.name" });
}

#[test]
fn another_resource_is_told_apart_whatever_its_objects_look_like() {
    for (pointer, value, described) in [
        ("/request/resource", json!({"group": "apps", "resource": "deployments"}), "DELETE deployments.apps"),
        ("/request/operation", json!("CONNECT"), "CONNECT pods"),
        ("/request/subResource", json!("status"), "DELETE pods/status"),
    ] {
        let mut review: Value = serde_json::from_slice(&with(pointer, Some(value))).unwrap();
        for old_object in [json!({"status": {"phase": {"a": 1}, "conditions": 3}}), Value::Null] {
            review["request"]["oldObject"] = old_object;
            let bytes = serde_json::to_vec(&review).unwrap();
            assert_eq!(parse(&bytes).unwrap().what, What::Other { described: described.into() });
        }
    }
}

#[test]
fn an_eviction_is_one_whoever_asks_and_says_in_two_places_that_it_is_dry() {
    let evict = |object: Value, dry_run: bool| {
        let mut review = review();
        review["request"]["operation"] = "CREATE".into();
        review["request"]["subResource"] = "eviction".into();
        review["request"]["dryRun"] = dry_run.into();
        review["request"]["oldObject"] = Value::Null;
        review["request"]["object"] = object;
        serde_json::to_vec(&review).unwrap()
    };
    for (object, dry_run, expected) in [
        (json!({}), false, false),
        (json!(null), true, true),
        (json!({"deleteOptions": {"dryRun": ["All"]}}), false, true),
        (json!({"deleteOptions": {"dryRun": []}}), true, true),
    ] {
        let bytes = evict(object, dry_run);
        let request = parse(&bytes).unwrap();
        assert_eq!((request.caller, request.tries_again(), request.dry_run), (Caller::Person, true, expected));
    }
    let bytes = evict(json!({"deleteOptions": {"gracePeriodSeconds": 0, "preconditions": {"uid": "pod-1"}}}), false);
    let what = What::Eviction { uid_precondition: Some("pod-1".into()), grace_period_seconds: Some(0) };
    assert_eq!(parse(&bytes).unwrap().what, what);
}

#[test]
fn nested_brackets_never_exhaust_the_stack() {
    for bracket in ["[", "{\"a\":"] {
        let open = bracket.repeat(1_000_000);
        assert!(parse(open.as_bytes()).is_err());
        let inside = format!(r#"{{"apiVersion":"admission.k8s.io/v1","request":{{"oldObject":{{"spec":{open}"#);
        assert!(parse(inside.as_bytes()).is_err());
        let unknown = format!(r#"{{"apiVersion":"admission.k8s.io/v1","x":{open}"#);
        assert!(parse(unknown.as_bytes()).is_err());
    }
}

/// Through the whole gate, as far as it goes without a guard.
fn survives(bytes: &[u8]) {
    let Ok(request) = parse(bytes) else { return };
    let policies = PolicyIndex::new([fixtures::policy(&request.namespace, "tikv", |_| {})]);
    if let Stage::Answer(answer) = first_questions(&request, None, &policies, None) {
        let body: Value = serde_json::from_slice(&response::render(&request.uid, &answer)).unwrap();
        assert_eq!(body["response"]["uid"], request.uid.as_str());
    }
}

fn captured() -> &'static [Vec<u8>] {
    static CAPTURED: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    CAPTURED.get_or_init(|| fixtures::captured().into_iter().map(|(_, path)| std::fs::read(path).unwrap()).collect())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_review_is_never_a_panic(
        which: prop::sample::Index,
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = which.get(captured()).clone();
        for (place, byte) in damage {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        survives(&bytes);
    }

    #[test]
    fn a_review_with_any_value_anywhere_is_never_a_panic(
        pointer in prop::sample::select(vec![
            "/apiVersion", "/kind", "/request", "/request/uid", "/request/resource", "/request/resource/resource",
            "/request/name", "/request/namespace", "/request/operation", "/request/userInfo",
            "/request/oldObject", "/request/oldObject/metadata", "/request/oldObject/metadata/uid",
            "/request/oldObject/metadata/annotations", "/request/oldObject/status", "/request/options",
        ]),
        value in prop_oneof![
            Just(Value::Null), any::<bool>().prop_map(Value::from), any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from), any::<String>().prop_map(Value::from),
            prop::collection::vec(any::<String>(), 0..3).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), any::<String>(), 0..3).prop_map(|map| json!(map)),
        ],
    ) {
        survives(&with(pointer, Some(value)));
    }
}
