//! The plan `celery` on real workers, with Flower and a Redis between them.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use castoff::plan::Verdict;
use serde_json::{Value, json};

use crate::members::{Members, blocked, done};
use crate::servers::{Server, fetched};

const BROKER: &str = "redis://127.0.0.1:6397/0";

/// A task takes so long.
const TASK: &str = r#"
import time
from celery import Celery
app = Celery("tasks", broker="BROKER", backend="BROKER")
@app.task
def work():
    time.sleep(4)
"#;

/// What is sent: more than a worker takes at once.
const SEND: &str = "from tasks import work\nfor _ in range(12): work.delay()";

/// A Celery, its worker, and Flower.
struct Celery {
    folder: std::path::PathBuf,
    directory: tempfile::TempDir,
    _broker: Server,
}

impl Celery {
    fn start() -> Celery {
        let build = Path::new(env!("CARGO_MANIFEST_DIR")).join("hack/redis/build");
        let redis = Command::new(build).stderr(Stdio::inherit()).output().unwrap();
        let redis = Path::new(String::from_utf8(redis.stdout).unwrap().trim()).join("redis-server");
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("tasks.py"), TASK.replace("BROKER", BROKER)).unwrap();
        let mut command = Command::new(redis);
        command.args(["--port", "6397", "--bind", "127.0.0.1", "--save", ""]);
        let broker = Server::start(command, &directory.path().join("redis.log"));
        Celery { folder: fetched("celery"), directory, _broker: broker }
    }

    fn run(&self, name: &str, arguments: &[&str]) -> Server {
        let mut command = Command::new(self.folder.join("celery"));
        command.args(["-A", "tasks"]).args(arguments).current_dir(self.directory.path());
        command.env("FLOWER_UNAUTHENTICATED_API", "true");
        Server::start(command, &self.directory.path().join(format!("{name}.log")))
    }

    fn worker(&self) -> Server {
        self.run("worker", &["worker", "-n", "celery@celery-0", "-c", "2", "--loglevel", "warning"])
    }

    fn flower(&self) -> Server {
        self.run("flower", &["flower", "--address=127.0.0.1", "--port=5597"])
    }

    /// Has tasks that wait for a worker.
    fn send(&self) {
        let python = std::fs::canonicalize(self.folder.join("celery")).unwrap().with_file_name("python");
        let status = Command::new(python).args(["-c", SEND]).current_dir(self.directory.path()).status().unwrap();
        assert!(status.success(), "no task was sent");
    }
}

fn parameters() -> Value {
    json!({"flower": "http://127.0.0.1:5597"})
}

fn is_act(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Act(_))
}

#[tokio::test]
async fn a_worker_goes_once_its_tasks_are_done_and_one_that_stays_takes_tasks_again() {
    let (celery, members) = (Celery::start(), Members::new("celery", 75));
    let (mut worker, flower) = (celery.worker(), celery.flower());
    members.until(0, &parameters(), &flower, is_act).await;
    celery.send();
    // Until it has taken some.
    let limit = Instant::now() + Duration::from_mins(1);
    loop {
        let round = members.round(0, &parameters(), castoff::plan::Mode::Restart).await;
        if round.progress.is_some_and(|progress| progress.remaining > 0) {
            break;
        }
        assert!(Instant::now() < limit, "the worker takes none\n{}", worker.said());
    }
    let Verdict::Act(act) = members.verdict(0, &parameters()).await else { panic!("nothing is to be done") };
    members.send(0, &act).await;
    let held = members.round(0, &parameters(), castoff::plan::Mode::Restart).await;
    assert!(matches!(held.verdict, Verdict::Waiting), "{held:?}");
    members.until(0, &parameters(), &worker, done).await;

    let Verdict::Act(act) = members.restoring(0, &parameters(), "celery@celery-0").await.verdict else {
        panic!("nothing is to be taken back")
    };
    members.send(0, &act).await;
    members.until(0, &parameters(), &worker, is_act).await;
    assert_eq!(members.restoring(0, &parameters(), "celery@celery-0").await.verdict, Verdict::Done);

    // What Flower knew of it before is not believed.
    worker.kill();
    members.until(0, &parameters(), &flower, blocked("celery@celery-0 does not answer Flower")).await;
}
