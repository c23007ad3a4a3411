//! Plans other than TiKV's: an application that gets itself ready, and a plan of one's own.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use serde_json::{Value, json};

use crate::harness::{By, Guard, POD_IP, pod};

/// An application that speaks the contract of `http-hook`.
#[derive(Clone, Default)]
struct Application(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    preparing: bool,
    inflight: u32,
    calls: Vec<String>,
}

impl Application {
    async fn start(&self) -> u16 {
        let hook = get(|State(app): State<Application>| async move {
            let inner = app.0.lock().unwrap();
            let state = match (inner.preparing, inner.inflight) {
                (false, _) => "Idle",
                (true, 0) => "Prepared",
                (true, _) => "Preparing",
            };
            axum::Json(json!({"state": state, "inflight": inner.inflight}))
        })
        .post(|State(app): State<Application>| async move { app.call("POST", true) })
        .delete(|State(app): State<Application>| async move { app.call("DELETE", false) });
        let metrics = get(|State(app): State<Application>| async move {
            let mut inner = app.0.lock().unwrap();
            inner.calls.push("metrics".to_owned());
            format!("jobs {}\n", inner.inflight)
        });
        let router = Router::new().route("/prestop", hook).route("/metrics", metrics).with_state(self.clone());
        let listener = tokio::net::TcpListener::bind((POD_IP, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move { axum::serve(listener, router).await });
        port
    }

    fn call(&self, method: &str, preparing: bool) {
        let mut inner = self.0.lock().unwrap();
        inner.calls.push(method.to_owned());
        inner.preparing = preparing;
    }

    fn calls(&self) -> Vec<String> {
        self.0.lock().unwrap().calls.clone()
    }

    fn set_inflight(&self, inflight: u32) {
        self.0.lock().unwrap().inflight = inflight;
    }
}

pub fn policy(plan: &str, parameters: &Value) -> String {
    format!(
        "apiVersion: castoff.dev/v1alpha1
kind: DrainPolicy
metadata: {{name: app, namespace: tidb}}
spec:
  selector: {{matchLabels: {{app.kubernetes.io/component: tikv}}}}
  steps:
  - {{name: hook, plan: {plan}, parameters: {parameters}}}
  pollPeriodSeconds: 1
"
    )
}

#[tokio::test]
async fn an_application_is_asked_once_awaited_and_left_alone_once_it_is_gone() {
    let app = Application::default();
    let port = app.start().await;
    app.set_inflight(3);
    let guard = Guard::start(&policy("{builtIn: http-hook}", &json!({"port": port})));
    guard.ask(2, By::StatefulSet).await;
    guard.until("asked to get ready", || app.calls() == ["POST"]).await;
    assert!(!guard.ask(2, By::StatefulSet).await.allowed);
    app.set_inflight(0);
    guard.ask_until_allowed(2, By::StatefulSet).await;

    guard.remove_pod(2);
    guard.put_pod(&pod(2, "two", true));
    guard.until("the drain is over", || guard.phase(2) == "Completed").await;
    assert_eq!(app.calls(), ["POST"], "a pod that is gone is not asked to take it back");
}

#[tokio::test]
async fn an_application_whose_departure_is_given_up_is_taken_back() {
    let app = Application::default();
    let port = app.start().await;
    let hasty = policy("{builtIn: http-hook}", &json!({"port": port})) + "  abandonAfterSeconds: 2\n";
    let guard = Guard::start(&hasty);
    guard.ask(2, By::Person).await;
    guard.until("given up", || guard.phase(2) == "Completed").await;
    assert_eq!(app.calls(), ["POST", "DELETE"]);
}

#[tokio::test]
async fn a_pod_stays_until_its_own_metrics_say_0_on_three_rounds_running() {
    let app = Application::default();
    let port = app.start().await;
    app.set_inflight(3);
    let guard = Guard::start(&policy("{builtIn: in-flight}", &json!({"figure": "jobs", "port": port})));
    guard.ask(2, By::StatefulSet).await;
    let counted = || guard.outcome(2).is_some_and(|drain| drain.pointer("/status/progress/remaining").is_some());
    guard.until("the figure is read", counted).await;
    assert!(guard.ask(2, By::StatefulSet).await.warnings[0].contains("3 of 3 in flight left"));
    app.set_inflight(0);
    let busy = app.calls().len();
    guard.ask_until_allowed(2, By::StatefulSet).await;
    // Three rounds, and the look in the very call that allowed.
    assert!(app.calls().len() >= busy + 4, "{:?}", app.calls());
    assert!(app.calls().iter().all(|call| call == "metrics"), "nothing but reads: {:?}", app.calls());
}

#[tokio::test]
async fn a_plan_of_ones_own_beside_the_policies_is_followed() {
    let app = Application::default();
    let port = app.start().await;
    let plan = "
---
apiVersion: castoff.dev/v1alpha1
kind: DrainPlan
metadata: {name: mine}
spec:
  summary: Asks the application to get ready
  params:
    port: {type: integer, required: true}
  endpoints:
    app: {url: \"http://${pod.status.podIP}:${params.port}/prestop\"}
  observe:
    hook: {url: \"${app}\"}
  prepare:
  - {when: 'hook.body.state == \"Idle\"', method: POST, url: \"${app}\"}
  done: hook.body.state == \"Prepared\"
";
    let guard = Guard::start(&(policy("{name: mine}", &json!({"port": port})) + plan));
    guard.ask_until_allowed(2, By::StatefulSet).await;
    assert_eq!(app.calls(), ["POST"]);
}
