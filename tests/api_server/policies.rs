//! Policies can be asked for as they are now.

use castoff::kubernetes::client::Limits;
use castoff::kubernetes::policies::policies_now;
use serde_json::{Value, json};

use crate::support::api_server::{ApiServer, Mood};

const POLICIES: &str = "/apis/castoff.dev/v1alpha1/namespaces/n/drainpolicies";

fn policy(plan: &Value) -> Value {
    let spec = json!({"selector": {"matchLabels": {"app": "db"}}, "steps": [{"name": "one", "plan": plan}]});
    json!({
        "apiVersion": "castoff.dev/v1alpha1", "kind": "DrainPolicy",
        "metadata": {"namespace": "n", "name": "p"}, "spec": spec,
    })
}

#[tokio::test(start_paused = true)]
async fn policies_of_one_namespace_are_compiled_from_what_the_api_server_says_now() {
    let server = ApiServer::default();
    let client = server.client(Limits::default());
    assert!(policies_now(&client, "n").await.unwrap().of_namespace("n").is_empty());
    server.put(&format!("{POLICIES}/p"), policy(&json!({"builtIn": "http-hook"})));
    let index = policies_now(&client, "n").await.unwrap();
    assert!(index.get("n", "p").unwrap().steps.is_ok());
    assert!(server.requests("drainplans").is_empty(), "plans are asked for only where one is named");
}

#[tokio::test(start_paused = true)]
async fn a_plan_that_a_policy_names_is_looked_up_too() {
    let server = ApiServer::default();
    let client = server.client(Limits::default());
    server.put(&format!("{POLICIES}/p"), policy(&json!({"name": "mine"})));
    let without = policies_now(&client, "n").await.unwrap();
    assert!(without.get("n", "p").unwrap().steps.is_err());
    let plan = json!({
        "apiVersion": "castoff.dev/v1alpha1", "kind": "DrainPlan", "metadata": {"name": "mine"},
        "spec": {"summary": "Nothing to do", "done": "true"},
    });
    server.put("/apis/castoff.dev/v1alpha1/drainplans/mine", plan);
    let with = policies_now(&client, "n").await.unwrap();
    assert!(with.get("n", "p").unwrap().steps.is_ok(), "{:?}", with.get("n", "p").unwrap().steps);
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_does_not_answer_is_no_namespace_without_policies() {
    let server = ApiServer::default();
    let client = server.client(Limits::default());
    for mood in [Mood::Swallows, Mood::Stalls] {
        server.set_mood(mood);
        assert!(policies_now(&client, "n").await.is_err());
    }
    server.set_mood(Mood::Well);
    server.fail_with([500]);
    assert!(policies_now(&client, "n").await.is_err());
}
