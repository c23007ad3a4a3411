//! A copy shows whether it can be believed.

use std::sync::Arc;
use std::time::Duration;

use castoff::kubernetes::cache::{Cache, Source, key_of};
use castoff::kubernetes::client::Limits;
use castoff::kubernetes::follow::Pace;
use castoff::kubernetes::health::tell_readiness;
use castoff::runtime::Readiness;
use kube::api::{Api, ApiResource};
use kube::core::DynamicObject;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use castoff_test_support::api_server::{ApiServer, Mood};

const LIST: &str = "/apis/castoff.dev/v1alpha1/drainpolicies";
const SECOND: Duration = Duration::from_secs(1);

/// A copy of the policies of a server, with what readiness says of it.
struct Scene {
    server: ApiServer,
    cache: Arc<Cache<()>>,
    readiness: Readiness,
    _tasks: JoinSet<()>,
}

impl Scene {
    async fn new() -> Scene {
        Scene::of(ApiServer::default(), Pace::default()).await
    }

    async fn of(server: ApiServer, pace: Pace) -> Scene {
        put(&server, "first");
        let (cache, readiness) = (Arc::new(Cache::default()), Readiness::new());
        let resource = ApiResource {
            group: "castoff.dev".to_owned(),
            version: "v1alpha1".to_owned(),
            api_version: "castoff.dev/v1alpha1".to_owned(),
            kind: "DrainPolicy".to_owned(),
            plural: "drainpolicies".to_owned(),
        };
        let api: Api<DynamicObject> = Api::all_with(server.client(Limits::default()), &resource);
        let source = Source::new(api, "drainpolicies", |object| Some((key_of(object), ())));
        let source = Source { pace, ..source };
        let mut tasks = JoinSet::new();
        let handle = readiness.register("drainpolicies", "not yet");
        tasks.spawn(tell_readiness(cache.health(), Pace::default().patience, handle));
        tasks.spawn(Arc::clone(&cache).follow(source));
        cache.filled().await;
        sleep(SECOND).await;
        Scene { server, cache, readiness, _tasks: tasks }
    }

    fn knows(&self, name: &str) -> bool {
        self.cache.get(&format!("n/{name}")).is_some()
    }

    /// One comes, and goes while the watch is dead and what it would tell is forgotten; another comes.
    async fn loses_second_while_nobody_tells(&self) {
        put(&self.server, "second");
        self.until_known("second").await;
        self.server.swallow_open_watches();
        self.server.delete("/apis/castoff.dev/v1alpha1/namespaces/n/drainpolicies/second");
        put(&self.server, "third");
        self.server.compact();
        self.until_known("third").await;
        sleep(SECOND).await;
    }

    /// Waits until the copy knows a policy; how long that took, and whether readiness held all the while.
    async fn until_known(&self, name: &str) -> (Duration, bool) {
        let (begun, mut ready) = (Instant::now(), true);
        while !self.knows(name) {
            ready &= self.readiness.report().0;
            sleep(SECOND).await;
            assert!(begun.elapsed() < Duration::from_mins(10), "{name} never came");
        }
        (begun.elapsed(), ready)
    }
}

fn put(server: &ApiServer, name: &str) {
    let path = format!("/apis/castoff.dev/v1alpha1/namespaces/n/drainpolicies/{name}");
    server.put(&path, policy(name));
}

fn policy(name: &str) -> Value {
    json!({"apiVersion": "castoff.dev/v1alpha1", "kind": "DrainPolicy", "metadata": {"namespace": "n", "name": name}})
}

#[tokio::test(start_paused = true)]
async fn a_copy_of_what_never_changes_stays_current_and_lists_once() {
    let scene = Scene::new().await;
    for _ in 0..20 {
        sleep(Duration::from_mins(1)).await;
        assert!(scene.readiness.report().0, "{:?}", scene.readiness.report());
    }
    let lists = scene.server.requests(LIST).iter().filter(|request| !request.contains("watch")).count();
    assert_eq!(lists, 1);
    let watches = scene.server.requests("watch=true");
    assert!(watches.iter().all(|watch| watch.contains("allowWatchBookmarks=true")), "{watches:?}");
    assert!(watches.len() < 60, "{} watches in twenty minutes", watches.len());
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_tells_nothing_any_more_is_begun_again_within_a_minute() {
    let scene = Scene::new().await;
    scene.server.swallow_open_watches();
    put(&scene.server, "second");
    let (took, ready) = scene.until_known("second").await;
    assert!(took <= Duration::from_secs(65), "{took:?}");
    assert!(ready, "a replica that finds out by itself in time need not be taken out");
}

#[tokio::test(start_paused = true)]
async fn a_copy_without_a_sign_of_life_makes_the_replica_not_ready_until_it_has_one() {
    let scene = Scene::new().await;
    scene.server.set_mood(Mood::Swallows);
    put(&scene.server, "second");
    sleep(Duration::from_secs(110)).await;
    assert!(scene.readiness.report().0, "for two minutes it may be a slow API server");
    sleep(Duration::from_secs(11)).await;
    let (ready, report) = scene.readiness.report();
    assert!(!ready);
    assert!(report.contains("[-]drainpolicies: the API server has told nothing of it since 20"), "{report}");
    sleep(Duration::from_mins(10)).await;
    assert!(!scene.readiness.report().0);
    scene.server.set_mood(Mood::Well);
    let (took, _) = scene.until_known("second").await;
    assert!(took <= Duration::from_secs(65), "{took:?}");
    sleep(SECOND).await;
    assert!(scene.readiness.report().0, "{}", scene.readiness.report().1);
}

#[tokio::test(start_paused = true)]
async fn refusals_are_no_signs_of_life_and_are_asked_for_less_and_less() {
    let scene = Scene::new().await;
    let before = scene.server.requests(LIST).len();
    scene.server.fail_with([500, 429, 504, 403].repeat(100));
    scene.server.compact();
    sleep(Duration::from_mins(5)).await;
    let (ready, report) = scene.readiness.report();
    assert!(!ready && report.contains("refused with"), "{report}");
    let asked = scene.server.requests(LIST).len() - before;
    assert!(asked <= 30, "{asked} requests in five minutes");
}

#[tokio::test(start_paused = true)]
async fn an_answer_of_500_now_and_then_changes_nothing() {
    let scene = Scene::new().await;
    for round in 0..20 {
        scene.server.fail_with([[500, 429, 504][round % 3]]);
        let name = format!("policy-{round}");
        put(&scene.server, &name);
        assert!(scene.until_known(&name).await.1);
        sleep(Duration::from_mins(1)).await;
        assert!(scene.readiness.report().0, "{}", scene.readiness.report().1);
    }
}

#[tokio::test(start_paused = true)]
async fn what_went_while_nobody_could_tell_is_gone_after_the_next_list() {
    let scene = Scene::new().await;
    scene.server.delete("/apis/castoff.dev/v1alpha1/namespaces/n/drainpolicies/first");
    sleep(SECOND).await;
    assert!(!scene.knows("first"));
    scene.loses_second_while_nobody_tells().await;
    assert!(!scene.knows("second"));
}

#[tokio::test(start_paused = true)]
async fn a_list_that_comes_in_as_a_watch_is_whole_and_begun_again_when_need_be() {
    let server = ApiServer::default();
    server.stream_lists();
    let scene = Scene::of(server, Pace { streams: true, ..Pace::default() }).await;
    assert!(scene.knows("first"));
    scene.loses_second_while_nobody_tells().await;
    assert!(!scene.knows("second") && scene.knows("first"));
    let lists = scene.server.requests(LIST).iter().filter(|request| !request.contains("watch")).count();
    assert_eq!(lists, 0);
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_knows_no_list_as_a_watch_is_asked_for_pages() {
    let scene = Scene::of(ApiServer::default(), Pace { streams: true, ..Pace::default() }).await;
    put(&scene.server, "second");
    scene.until_known("second").await;
    assert_eq!(scene.server.requests("sendInitialEvents").len(), 1);
    assert!(scene.readiness.report().0, "{}", scene.readiness.report().1);
}
