//! Rounds: reads side by side, in waves, within their time.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get as route;
use castoff::plan::spec::{Accept, AnyWord};
use castoff::plan::{Next, Observation, Verdict};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Barrier;
use tokio::time::Instant;

use crate::support::{Bench, done, failure, get, in_time, observe, read, scope, serve};

/// A generous bound for what must not wait for a hanging server.
const SOON: Duration = Duration::from_secs(2);

/// A server that takes connections and never says a word.
async fn silent() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hang", listener.local_addr().unwrap());
    (listener, url)
}

#[tokio::test]
async fn reads_of_a_wave_run_side_by_side() {
    const READS: usize = 16;
    // Nobody gets an answer before all have asked.
    let barrier = Arc::new(Barrier::new(READS));
    let router = Router::new().route(
        "/all",
        route(move || async move {
            barrier.wait().await;
            "1"
        }),
    );
    let url = format!("http://{}/all", serve(router).await);
    let reads: Vec<_> = (0..READS).map(|number| read(&format!("read-{number:02}"), get(&url))).collect();
    let observed = observe(&Bench::new().backend(), &scope(), in_time(), &reads).await;
    assert_eq!(observed.len(), READS);
    for (key, observation) in observed {
        assert_eq!(observation, Observation::Answer { code: 200, body: json!(1) }, "{key:?}");
    }
}

#[tokio::test]
async fn more_reads_than_run_side_by_side_are_all_made() {
    let url = format!("http://{}/", serve(Router::new().route("/", route(async || "{}"))).await);
    let reads: Vec<_> = (0..50).map(|number| read(&format!("read-{number:02}"), get(&url))).collect();
    let observed = observe(&Bench::new().backend(), &scope(), in_time(), &reads).await;
    let answered = observed.values().filter(|one| matches!(one, Observation::Answer { .. })).count();
    assert_eq!(answered, 50);
}

#[tokio::test]
async fn goes_on_with_what_was_read_until_the_round_is_over() {
    let router = Router::new()
        .route("/first", route(async || r#"{"next": "second"}"#))
        .route("/second", route(async || r#"{"left": 0}"#));
    let base = format!("http://{}", serve(router).await);
    let backend = Bench::new().backend();
    let find = |observed: &castoff::plan::Observations, name: &str, field: &str| -> Option<Value> {
        let (_, found) = observed.iter().find(|(key, _)| key.name == name)?;
        match found {
            Observation::Answer { body, .. } => Some(body[field].clone()),
            other => panic!("{other:?}"),
        }
    };
    // Spawned, since the loops that call this are: the future must be able to move between threads.
    let round = tokio::spawn(async move {
        backend
            .observe(&scope(), in_time(), |observed| {
                let Some(path) = find(observed, "first", "next") else {
                    return Next::Read(vec![read("first", get(format!("{base}/first")))]);
                };
                match find(observed, "second", "left") {
                    None => Next::Read(vec![read("second", get(format!("{base}/{}", path.as_str().unwrap())))]),
                    Some(left) => {
                        assert_eq!(left, json!(0));
                        Next::Round(done())
                    }
                }
            })
            .await
    });
    assert_eq!(round.await.unwrap(), done());
}

#[tokio::test]
async fn ends_in_time_when_a_backend_hangs() {
    let (_listener, url) = silent().await;
    let backend = Bench::new().backend();
    let begun = Instant::now();
    let limit = begun + Duration::from_millis(150);
    let observed = observe(&backend, &scope(), limit, &[read("hangs", get(&url))]).await;
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    let (message, detail) = failure(observed.into_values().next().unwrap());
    assert_eq!(message, format!("{url} does not answer in time"));
    assert!(detail.starts_with("nothing within"), "{detail}");
}

#[tokio::test]
async fn ends_in_time_however_many_waves_hang() {
    let (_listener, url) = silent().await;
    let backend = Bench::new().backend();
    let begun = Instant::now();
    let mut waves = 0;
    let round = backend
        .observe(&scope(), begun + Duration::from_millis(150), |_| {
            waves += 1;
            Next::Read(vec![read(&format!("wave-{waves}"), get(&url))])
        })
        .await;
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    assert!(waves > 2, "{waves}");
    assert!(matches!(round.verdict, Verdict::Failed { .. }), "{round:?}");
}

#[tokio::test]
async fn ends_by_itself_where_nobody_limits_it() {
    let (_listener, url) = silent().await;
    let mut patient = get(&url);
    patient.timeout = Duration::from_mins(1);
    let backend = Bench::new().backend().with_round(Duration::from_millis(100));
    let begun = Instant::now();
    let observed = observe(&backend, &scope(), in_time(), &[read("hangs", patient)]).await;
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    failure(observed.into_values().next().unwrap());
}

#[tokio::test]
async fn a_read_that_may_fail_counts_as_code_0_only_when_it_had_its_own_time() {
    let (_listener, url) = silent().await;
    let backend = Bench::new().backend();
    let mut request = get(&url);
    request.ok = Accept::Any(AnyWord::Any);
    request.timeout = Duration::from_millis(50);
    let nothing = Observation::Answer { code: 0, body: Value::Null };
    let observed = observe(&backend, &scope(), in_time(), &[read("own", request.clone())]).await;
    assert_eq!(observed.into_values().next(), Some(nothing));

    request.timeout = Duration::from_secs(3);
    let limit = Instant::now() + Duration::from_millis(50);
    let observed = observe(&backend, &scope(), limit, &[read("cut", request)]).await;
    failure(observed.into_values().next().unwrap());
}
