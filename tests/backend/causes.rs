//! What a person mends stands beside each sentence.

use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use castoff::plan::Observation;
use castoff::remedy::{Cause, Kind};

use crate::credentials::{Authority, scope_with};
use crate::requests::closed;
use crate::support::{Bench, get, observe_one, scope, serve};

async fn cause(bench: Bench, secret: &str, url: &str) -> Cause {
    let scope = if secret.is_empty() { scope() } else { scope_with(secret) };
    match observe_one(&bench.backend(), &scope, get(url)).await {
        Observation::Failed { cause, .. } => cause,
        other => panic!("{url}: {other:?}"),
    }
}

#[tokio::test]
async fn who_does_not_answer_is_told_apart_by_what_is_to_be_mended() {
    let at_address = closed().await;
    let at_name = at_address.replace("127.0.0.1", "pd");
    let named = || Bench::new().name("pd.tidb.svc", &["127.0.0.1"]);
    for (bench, url, kind) in [
        (named(), at_address.as_str(), Kind::AddressRefused),
        (named(), "http://[::1]:1/x", Kind::AddressRefused),
        (named(), at_name.as_str(), Kind::Refused),
        (Bench::new(), at_name.as_str(), Kind::NoName),
    ] {
        assert_eq!(cause(bench, "", url).await, kind.into(), "{url}");
    }
    let silent = serve(Router::new().fallback(async || std::future::pending::<()>().await)).await;
    let mut request = get(format!("http://{silent}/"));
    request.timeout = Duration::from_millis(50);
    let told = observe_one(&Bench::new().backend(), &scope(), request).await;
    assert!(matches!(&told, Observation::Failed { cause, .. } if cause.kind == Kind::Silent), "{told:?}");
}

#[tokio::test]
async fn who_lets_nobody_in_is_told_apart_by_whether_the_step_names_a_secret() {
    let answering =
        async |status: StatusCode| format!("http://{}/x", serve(Router::new().fallback(async move || status)).await);
    let secret = || Bench::new().secret("right", &[("token", "t")]);
    for status in [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN] {
        let url = answering(status).await;
        assert_eq!(cause(secret(), "right", &url).await, Kind::Unauthorized.into(), "{status}");
        assert_eq!(cause(secret(), "", &url).await, Kind::NamesNoSecret.into(), "{status}");
    }
    let url = answering(StatusCode::INTERNAL_SERVER_ERROR).await;
    assert_eq!(cause(secret(), "right", &url).await, Kind::Other.into());
    assert_eq!(cause(secret(), "", "https://127.0.0.1:1/").await, Kind::NamesNoSecret.into());
    assert_eq!(cause(secret(), "right", "https://127.0.0.1:1/").await, Kind::Keys.into());
}

#[tokio::test]
async fn who_shows_another_certificate_is_told_of_as_that() {
    let (authority, other) = (Authority::new("ca"), Authority::new("other"));
    let address = authority.serve(&["127.0.0.1"], None, Router::new()).await;
    let bench = Bench::new().secret("wrong", &[("ca.crt", &other.pem())]);
    assert_eq!(cause(bench, "wrong", &format!("https://{address}/")).await, Kind::Certificates.into());
}
