//! A steady stream of dry-run deletes, each of which the API server asks the guard about.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;
use kube::api::DeleteParams;
use kube::{Api, Client};

/// A stream, until it is ended.
pub struct Stream {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicUsize>,
    sender: JoinHandle<Outcome>,
}

/// What came of it: anything but the guard's answers is an error.
#[derive(Debug, Default)]
pub struct Outcome {
    pub answers: usize,
    pub errors: Vec<String>,
    /// From the first error to the last.
    pub trouble: Duration,
}

impl Stream {
    /// Begins, with twenty a second.
    pub fn of_dry_run_deletes(namespace: &str, pod: &str) -> Stream {
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&sent));
        let (namespace, pod) = (namespace.to_owned(), pod.to_owned());
        let sender = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(send(&namespace, &pod, &stopped, &counted))
        });
        Stream { stop, sent, sender }
    }

    /// How many requests were answered, or not, so far.
    pub fn sent(&self) -> usize {
        self.sent.load(Ordering::Relaxed)
    }

    pub fn end(self) -> Outcome {
        self.stop.store(true, Ordering::Relaxed);
        self.sender.join().unwrap()
    }
}

async fn send(namespace: &str, pod: &str, stop: &AtomicBool, sent: &AtomicUsize) -> Outcome {
    let mut config = kube::Config::infer().await.unwrap();
    config.default_retry = false;
    let api: Api<Pod> = Api::namespaced(Client::try_from(config).unwrap(), namespace);
    let dry_run = DeleteParams { dry_run: true, ..DeleteParams::default() };
    let mut outcome = Outcome::default();
    let mut first = None;
    let mut turn = tokio::time::interval(Duration::from_millis(50));
    while !stop.load(Ordering::Relaxed) {
        turn.tick().await;
        match api.delete(pod, &dry_run).await {
            Ok(_) => outcome.answers += 1,
            Err(kube::Error::Api(status)) if status.code == 429 && status.message.contains("castoff.dev") => {
                outcome.answers += 1;
            }
            Err(error) => {
                outcome.trouble = first.get_or_insert_with(Instant::now).elapsed();
                outcome.errors.push(format!("{error:?}"));
            }
        }
        sent.fetch_add(1, Ordering::Relaxed);
    }
    outcome
}
