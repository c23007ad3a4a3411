//! Work on long answers: it holds up neither reviews nor other tenants.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use axum::Router;
use axum::routing::get as route;
use castoff::backend::{Backend, Scope, Sharing, Silence};
use castoff::plan::{Next, Observation, Observations, Round, Verdict};
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};

use crate::support::{Bench, done, get, in_time, observe_one, read, scope, serve};

/// How long a test waits for what must come; nothing waits so long where the promise is kept.
const PATIENCE: Duration = Duration::from_secs(20);

fn of(namespace: &str) -> Scope {
    Scope { namespace: namespace.to_owned(), ..scope() }
}

/// An evaluation that takes until it is told to end.
struct Endless {
    end: Sender<()>,
    round: JoinHandle<Verdict>,
}

impl Endless {
    /// Begins one, of the long answer that is there, and comes back when it is under way.
    async fn begin(backend: &Arc<Backend>, namespace: &str, long: &str) -> Self {
        let (end, ended): (Sender<()>, Receiver<()>) = channel();
        let (begun, has_begun) = oneshot::channel();
        let (backend, scope, long) = (Arc::clone(backend), of(namespace), long.to_owned());
        let mut begun = Some(begun);
        let next = move |seen: &Observations| {
            if seen.is_empty() {
                return read_of(&long);
            }
            begun.take().map(|begun| begun.send(()));
            let verdict = if ended.recv_timeout(PATIENCE).is_ok() { Verdict::Done } else { Verdict::Waiting };
            Next::Round(Round { verdict, ..done() })
        };
        let round = tokio::spawn(async move { backend.observe(&scope, in_time(), next).await.verdict });
        has_begun.await.unwrap();
        Self { end, round }
    }

    /// Ends it. Gives whether it was under way until now.
    async fn end(self) -> bool {
        let _ = self.end.send(());
        self.round.await.unwrap() == Verdict::Done
    }
}

/// Evaluates the long answer that is there.
async fn evaluate(backend: &Backend, namespace: &str, long: &str) {
    let next = |seen: &Observations| if seen.is_empty() { read_of(long) } else { Next::Round(done()) };
    assert_eq!(backend.observe(&of(namespace), in_time(), next).await, done());
}

fn read_of(url: &str) -> Next {
    Next::Read(vec![read("long", get(url))])
}

/// A backend with an answer of a thousand items; gives where.
async fn long_answer() -> String {
    let items = Router::new().route("/", route(async || axum::Json(vec![1; 1000])));
    format!("http://{}/", serve(items).await)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_evaluation_without_an_end_holds_up_no_other_tenant() {
    let backend = Arc::new(Bench::new().backend());
    let long = long_answer().await;
    let endless = Endless::begin(&backend, "slow", &long).await;
    // On the runtime's only thread for tasks, which answers reviews as well.
    let other = Arc::clone(&backend);
    tokio::spawn(async move { evaluate(&other, "quick", &long).await }).await.unwrap();
    assert!(endless.end().await, "the other one had to wait for it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_tenant_that_keeps_two_threads_busy_gets_no_third() {
    let backend = Arc::new(Bench::new().backend());
    let long = long_answer().await;
    let endless = [Endless::begin(&backend, "slow", &long).await, Endless::begin(&backend, "slow", &long).await];
    let (backend_of_third, of_third) = (Arc::clone(&backend), long.clone());
    let third = tokio::spawn(async move { evaluate(&backend_of_third, "slow", &of_third).await });
    // Many times what the third would take.
    for _ in 0..20 {
        evaluate(&backend, "quick", &long).await;
    }
    assert!(!third.is_finished(), "it waits");
    let [one, other] = endless;
    assert!(one.end().await);
    third.await.unwrap();
    assert!(other.end().await);
}

/// One of the drains of a namespace, which shares its reads.
fn of_drain(namespace: &str, who: usize) -> Scope {
    let sharing = Sharing { among: format!("{namespace}/p{who}"), who: who.to_string(), silence: Silence::default() };
    Scope { sharing: Some(sharing), ..of(namespace) }
}

#[tokio::test]
async fn a_host_that_does_not_answer_is_asked_by_few_of_a_namespace_and_holds_up_no_other() {
    let (asked, go) = (watch::Sender::new(0), watch::Sender::new(false));
    let (count, going) = (asked.clone(), go.subscribe());
    let hangs = route(move || {
        count.send_modify(|count| *count += 1);
        let mut going = going.clone();
        async move { going.wait_for(|go| *go).await.map(|_| "1").unwrap() }
    });
    let url = format!("http://{}", serve(Router::new().route("/hang", hangs).route("/", route(async || "1"))).await);
    let backend = Arc::new(Bench::new().backend());
    let mut drains = JoinSet::new();
    for who in 0..50 {
        let (backend, url) = (Arc::clone(&backend), format!("{url}/hang"));
        drains.spawn(async move { observe_one(&backend, &of_drain("slow", who), get(url)).await });
    }
    asked.subscribe().wait_for(|asked| *asked >= 16).await.unwrap();
    observe_one(&backend, &of_drain("quick", 0), get(format!("{url}/"))).await;
    assert_eq!(*asked.borrow(), 16);
    go.send_replace(true);
    let answers = drains.join_all().await;
    assert!(answers.iter().all(|answer| matches!(answer, Observation::Answer { .. })), "and all come to their turn");
}

#[tokio::test]
async fn that_a_backend_does_not_answer_is_told_to_all_who_share_the_read() {
    let (backend, nobody) = (Bench::new().backend(), "http://127.0.0.1:1/");
    let drains = [0, 1].map(|who| {
        let mut scope = of_drain("n", who);
        scope.sharing.as_mut().unwrap().among = "n/p".to_owned();
        scope
    });
    for scope in &drains {
        observe_one(&backend, scope, get(nobody)).await;
        assert!(scope.sharing.as_ref().unwrap().silence.was_met());
    }
    let url = format!("http://{}/", serve(Router::new().route("/", route(async || "1"))).await);
    let answered = of_drain("n", 2);
    observe_one(&backend, &answered, get(url)).await;
    assert!(!answered.sharing.unwrap().silence.was_met());
}
