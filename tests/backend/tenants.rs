//! Work on long answers: it holds up neither reviews nor other tenants.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use castoff::backend::{Backend, Scope};
use castoff::plan::{Next, Round, Verdict};
use futures_util::FutureExt as _;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::support::{Bench, done, in_time, scope};

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
    /// Begins one, and comes back when it is under way.
    async fn begin(backend: &Arc<Backend>, namespace: &str) -> Self {
        let (end, ended): (Sender<()>, Receiver<()>) = channel();
        let (begun, has_begun) = oneshot::channel();
        let (backend, scope) = (Arc::clone(backend), of(namespace));
        let mut begun = Some(begun);
        let next = move |_: &_| {
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

async fn evaluate(backend: &Backend, namespace: &str) {
    assert_eq!(backend.observe(&of(namespace), in_time(), |_| Next::Round(done())).await, done());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_evaluation_without_an_end_holds_up_no_other_tenant() {
    let backend = Arc::new(Bench::new().backend());
    let endless = Endless::begin(&backend, "slow").await;
    // On the runtime's only thread for tasks, which answers reviews as well.
    let other = Arc::clone(&backend);
    tokio::spawn(async move { evaluate(&other, "quick").await }).await.unwrap();
    assert!(endless.end().await, "the other one had to wait for it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_tenant_that_keeps_two_threads_busy_gets_no_third() {
    let backend = Arc::new(Bench::new().backend());
    let endless = [Endless::begin(&backend, "slow").await, Endless::begin(&backend, "slow").await];
    let mut third = Box::pin(evaluate(&backend, "slow"));
    assert!(third.as_mut().now_or_never().is_none(), "it waits");
    evaluate(&backend, "quick").await;
    let [one, other] = endless;
    assert!(one.end().await);
    third.await;
    assert!(other.end().await);
}
