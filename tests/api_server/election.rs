//! At most one leads, whatever the API server does.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use castoff::kubernetes::client::Limits;
use castoff::kubernetes::lease::{Election, Leadership, Timing};
use kube::Api;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use castoff_test_support::api_server::{ApiServer, Mood};

const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/own/leases/lead";
const STEP: Duration = Duration::from_millis(100);

struct Replica {
    leadership: Leadership,
    /// As after SIGSTOP: nothing of it goes on, and time does.
    stopped: Arc<AtomicBool>,
}

/// Replicas that take part in one election.
struct Scene {
    server: ApiServer,
    replicas: Vec<Replica>,
    tasks: JoinSet<()>,
}

impl Scene {
    fn new(replicas: usize) -> Scene {
        let mut scene = Scene { server: ApiServer::default(), replicas: Vec::new(), tasks: JoinSet::new() };
        for _ in 0..replicas {
            scene.join();
        }
        scene
    }

    fn join(&mut self) {
        let api = Api::namespaced(self.server.client(Limits::default()), "own");
        let (leadership, stopped) = (Leadership::none(), Arc::new(AtomicBool::new(false)));
        let identity = format!("replica-{}", self.replicas.len());
        let election = Election::new(api, "lead", &identity, Timing::default(), leadership.clone());
        self.tasks.spawn(unless(Arc::clone(&stopped), election.run(std::future::pending())));
        self.replicas.push(Replica { leadership, stopped });
    }

    /// Who leads now; never two.
    fn leader(&self) -> Option<usize> {
        let leaders: Vec<usize> =
            (0..self.replicas.len()).filter(|index| self.replicas[*index].leadership.holds()).collect();
        assert!(leaders.len() <= 1, "{leaders:?} lead at once");
        leaders.first().copied()
    }

    /// Lets time go by, with an eye on who leads; gives how long somebody did.
    async fn watch(&self, time: Duration) -> Duration {
        let (begun, mut led) = (Instant::now(), Duration::ZERO);
        while begun.elapsed() < time {
            sleep(STEP).await;
            if self.leader().is_some() {
                led += STEP;
            }
        }
        led
    }

    async fn until_somebody_leads(&self) -> (usize, Duration) {
        let begun = Instant::now();
        loop {
            if let Some(leader) = self.leader() {
                return (leader, begun.elapsed());
            }
            sleep(STEP).await;
            assert!(begun.elapsed() < Duration::from_mins(5), "nobody leads");
        }
    }
}

/// Does not go on with `work` while it is stopped.
async fn unless(stopped: Arc<AtomicBool>, work: impl Future<Output = ()>) {
    let mut work = pin!(work);
    let mut look = tokio::time::interval(STEP);
    poll_fn(|context| {
        while look.poll_tick(context).is_ready() {}
        if stopped.load(Ordering::Relaxed) { Poll::Pending } else { work.as_mut().poll(context) }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_deleted_changes_nothing_about_who_leads() {
    let scene = Scene::new(3);
    let (first, _) = scene.until_somebody_leads().await;
    for _ in 0..5 {
        scene.server.delete(LEASE);
        let time = Duration::from_secs(20);
        assert!(scene.watch(time).await + STEP >= time);
        assert_eq!(scene.leader(), Some(first));
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_cannot_renew_leads_no_longer_before_another_does() {
    let scene = Scene::new(3);
    scene.until_somebody_leads().await;
    for mood in [Mood::Swallows, Mood::Stalls] {
        scene.server.set_mood(mood);
        let led = scene.watch(Duration::from_mins(3)).await;
        assert!(led <= Timing::default().trust, "led for {led:?} without a renewal");
        assert_eq!(scene.leader(), None);
        scene.server.set_mood(Mood::Well);
        let (_, took) = scene.until_somebody_leads().await;
        assert!(took <= Duration::from_secs(30), "{took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_api_server_that_refuses_now_and_then_makes_no_two_leaders() {
    let scene = Scene::new(3);
    for slowness in [0, 1, 2, 3, 4, 6, 9] {
        scene.server.set_slowness(Duration::from_secs(slowness));
        scene.server.fail_with([500, 429, 504]);
        scene.watch(Duration::from_mins(3)).await;
    }
    scene.server.set_slowness(Duration::ZERO);
    scene.until_somebody_leads().await;
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_was_stopped_for_a_while_does_not_believe_that_it_leads() {
    let scene = Scene::new(2);
    let (first, _) = scene.until_somebody_leads().await;
    scene.replicas[first].stopped.store(true, Ordering::Relaxed);
    scene.watch(Duration::from_mins(1)).await;
    assert_eq!(scene.leader(), Some(1 - first));
    scene.replicas[first].stopped.store(false, Ordering::Relaxed);
    scene.watch(Duration::from_mins(1)).await;
    assert_eq!(scene.leader(), Some(1 - first));
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_cannot_work_makes_room_for_another_at_once() {
    let scene = Scene::new(2);
    let (first, _) = scene.until_somebody_leads().await;
    sleep(Duration::from_secs(5)).await;
    scene.replicas[first].leadership.give_up("its pods can't be followed".to_owned());
    let (second, took) = scene.until_somebody_leads().await;
    assert_eq!(second, 1 - first);
    assert!(took <= Duration::from_secs(2), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_made_room_and_finds_nobody_leads_again() {
    let scene = Scene::new(1);
    scene.until_somebody_leads().await;
    scene.replicas[0].leadership.give_up("a part of it stood still".to_owned());
    let (_, took) = scene.until_somebody_leads().await;
    assert!(took >= Timing::default().duration, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn those_that_stand_by_are_told_and_do_not_ask() {
    let scene = Scene::new(3);
    scene.until_somebody_leads().await;
    scene.watch(Duration::from_secs(10)).await;
    let before = scene.server.requests("leases").len();
    scene.watch(Duration::from_mins(5)).await;
    let asked = scene.server.requests("leases").len() - before;
    // The leader's renewals: a look and a write every two seconds or so. The others begin a watch a minute.
    assert!(asked < 2 * 150 + 40, "{asked} requests in five minutes");
}
