//! Decisions of the gate, with more and more policies and drains around.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use castoff::app::assemble::Standalone;
use castoff::lifecycle::{Drain, Phase};
use castoff::ports::Store;
use castoff::server::Gate;
use castoff::standalone::cluster::LocalCluster;
use castoff::standalone::policies;
use castoff::standalone::secrets::DirectorySecrets;
use castoff::standalone::store::FileStore;

use super::process;
use super::report::Figure;
use super::scene::pod_of;

const DECISIONS: u32 = 20_000;

/// The time of one decision, on a pod that no policy selects and on one that is being prepared; there are so many other
/// policies in the pod's own namespace, and so many drains of other pods.
pub async fn decisions(policies: usize, drains: usize) -> Vec<Figure> {
    let review = include_str!("../bench-gate/review-12k.json").to_owned();
    let parsed: serde_json::Value = serde_json::from_str(&review).unwrap();
    let namespace = parsed["request"]["namespace"].as_str().unwrap();
    let policy = |name: &str, key: &str, value: &str| {
        format!(
            "---\napiVersion: castoff.dev/v1alpha1\nkind: DrainPolicy\nmetadata: {{name: {name}, namespace: {namespace}}}\n\
             spec:\n  selector: {{matchLabels: {{{key}: '{value}'}}}}\n  steps: [{{name: s, plan: {{builtIn: http-hook}}}}]\n"
        )
    };
    let mut text = policy("guarding", "app.kubernetes.io/component", "tikv");
    (1..policies)
        .for_each(|number| write!(text, "{}", policy(&format!("p{number}"), "app", &format!("a{number}"))).unwrap());
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("policies.yaml"), text).unwrap();
    let store = Arc::new(FileStore::in_memory());
    for number in 0..drains {
        let pod = pod_of(number, 0);
        let mut drain = Drain::new(&pod, "p", "someone");
        drain.status.pod = Some(Arc::new(pod));
        drain.status.phase = Phase::Draining;
        store.create(drain).await.unwrap();
    }
    let parts = Standalone {
        policies: policies::read(directory.path()).unwrap(),
        store: Arc::clone(&store) as _,
        cluster: Arc::new(LocalCluster::unseen()),
        secrets: DirectorySecrets::new(directory.path().to_owned()),
        allow_endpoints: Vec::new(),
    };
    let guard = parts.assemble(&prometheus::Registry::new()).unwrap_or_else(|_| panic!("no guard"));
    let unguarded = review.replace("\"tikv\"", "\"other\"");
    let mut figures = Vec::new();
    for (what, body) in [("not guarded", unguarded), ("denied", review)] {
        let body = Bytes::from(body);
        let decide = || guard.gate.answer(body.clone(), tokio::time::Instant::now() + Duration::from_secs(5));
        decide().await.unwrap();
        let cpu = process::cpu();
        for _ in 0..DECISIONS {
            decide().await.unwrap();
        }
        let each = (process::cpu() - cpu) / f64::from(DECISIONS);
        figures.push(Figure::new(format!("CPU of one decision, {what}"), each, "us"));
    }
    figures
}
