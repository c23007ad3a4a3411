//! Plans that look at the pods around in place of a backend.

use serde_json::{Value, json};

use crate::harness::{By, Guard};

fn policy(plan: &str, parameters: &str) -> String {
    format!(
        "
apiVersion: castoff.dev/v1alpha1
kind: DrainPolicy
metadata: {{name: agents, namespace: tidb}}
spec:
  selector: {{matchLabels: {{app.kubernetes.io/component: tikv}}}}
  steps:
  - name: look
    plan: {{builtIn: {plan}}}
    parameters: {{{parameters}}}
  pollPeriodSeconds: 1
"
    )
}

/// A pod on the node of the guarded ones that depends on them.
fn client() -> Value {
    json!({
        "kind": "Pod", "apiVersion": "v1",
        "metadata": {"name": "client", "namespace": "shop", "uid": "client-uid", "labels": {"app": "client"}},
        "spec": {"nodeName": "node-1"},
        "status": {"phase": "Running"},
    })
}

#[tokio::test]
async fn an_agent_goes_once_the_last_pod_that_depends_on_it_has_left_its_node() {
    let guard = Guard::start_with(&policy("neighbours", "selector: app=client, namespaces: '*'"), &[client()]);
    guard.ask(2, By::StatefulSet).await;
    guard
        .until("how many are left is known", || {
            let drain = guard.outcome(2).unwrap_or_default();
            drain.pointer("/status/progress").is_some_and(|progress| !progress.is_null())
        })
        .await;
    let denied = guard.ask(2, By::StatefulSet).await;
    assert!(!denied.allowed);
    assert!(denied.warnings.iter().any(|warning| warning.contains("1 pods that depend on it left")), "{denied:#?}");

    std::fs::remove_file(guard.directory.path().join("pods/client.json")).unwrap();
    guard.ask_until_allowed(2, By::StatefulSet).await;
}

#[tokio::test]
async fn a_member_stays_while_too_few_others_are_ready() {
    let guard = Guard::start(&policy("quorum", "minimum: 2, readySeconds: 0"));
    // The pods tell that they are Ready, but not since when.
    guard.ask(2, By::StatefulSet).await;
    guard
        .until("it is blocked", || {
            guard.outcome(2).is_some_and(|drain| drain.pointer("/status/blocked") == Some(&json!(true)))
        })
        .await;
    let denied = guard.ask(2, By::StatefulSet).await;
    assert_eq!((denied.allowed, denied.reason.as_str()), (false, "Blocked"));
    let told = "0 other pods of its set have been Ready for 0 s, 2 are needed";
    assert!(denied.message.contains(told), "{denied:#?}");
    for ordinal in 0..2 {
        let mut pod = crate::harness::pod(ordinal, "one", true);
        pod["status"]["conditions"][0]["lastTransitionTime"] = json!("2026-01-01T00:00:00Z");
        guard.put_pod(&pod);
    }
    guard.ask_until_allowed(2, By::StatefulSet).await;
}
