//! PodDrains as each version of Castoff has stored them, and what this version makes of them. A form that was ever
//! released stays here; a new one gets a file of its own.

#![allow(clippy::unwrap_used, missing_docs)]

use std::path::Path;
use std::sync::Arc;

use castoff::kubernetes::drains;
use castoff::lifecycle::{Drain, Ownership, Phase};

const UID: &str = "0b811ef1-d87e-46e6-8def-5c6b856c1e18";

fn stored(form: &str) -> Arc<Drain> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/poddrains").join(form);
    let text = std::fs::read_to_string(file).unwrap();
    let text = text.replace("{pod}", "app-0").replace("{uid}", UID).replace("{namespace}", "n");
    let text = text.replace("{short}", "0b811ef1").replace("{ip}", "10.0.0.7").replace("\"{port}\"", "8080");
    drains::read(&serde_json::from_str(&text).unwrap()).drain
}

#[test]
fn whichever_version_stored_it_its_pod_and_policy_are_known() {
    for form in ["whole-pod-in-spec.json", "steps-in-status.json", "newer.json"] {
        let drain = stored(form);
        assert_eq!((drain.spec.pod.name.as_str(), drain.pod_uid()), ("app-0", UID), "{form}");
        assert_eq!(drain.spec.policy, "app", "{form}");
    }
}

#[test]
fn what_was_set_by_a_form_that_can_be_read_can_be_undone() {
    for (form, older) in [("whole-pod-in-spec.json", true), ("steps-in-status.json", false)] {
        let drain = stored(form);
        assert_eq!(drain.metadata.kept.older, older, "{form}");
        let step = &drain.status.steps[0];
        assert_eq!((step.name.as_str(), step.member.as_deref()), ("prepare", Some("app-0")), "{form}");
        assert_eq!((step.ownership, step.plan_spec.restore.is_empty()), (Ownership::Acted, older), "{form}");
        // What the form before had in its spec could be edited: a plan is taken from the policy, an address from the pod.
        let pod = drain.status.pod.as_deref().unwrap();
        assert_eq!(pod.status.pod_ip.is_empty(), older, "{form}");
    }
}

#[test]
fn what_can_not_be_read_is_left_alone_and_says_so() {
    assert_eq!(stored("newer.json").status.phase, Phase::Unknown);
}
