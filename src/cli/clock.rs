//! What time it is in a cluster: by the API server's clock. That of the machine that a command runs on says nothing
//! of what happens there.

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use kube::Client;
use kube::client::Body;

use super::Failure;
use super::connect::refused;

/// The time by the API server's clock, to the second. Where something between takes it out of its answers, this
/// machine's.
pub(super) async fn now(client: &Client) -> Result<Timestamp, Failure> {
    let failed = |error: &kube::Error| refused("ask the API server what time it is", error);
    let request = http::Request::get("/version").body(Body::empty()).map_err(Failure::no)?;
    let answer = client.send(request).await.map_err(|error| failed(&error))?;
    let date = answer.headers().get(http::header::DATE).and_then(|date| date.to_str().ok());
    Ok(date.and_then(read).unwrap_or_else(Timestamp::now))
}

/// Reads a Date header, as `Sun, 06 Nov 1994 08:49:37 GMT`.
fn read(date: &str) -> Option<Timestamp> {
    rfc2822::DateTimeParser::new().parse_timestamp(date).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use axum::Router;
    use axum::routing::get;

    use super::*;

    #[tokio::test]
    async fn the_time_is_the_api_servers_whatever_this_machines_clock_says() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri: http::Uri = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let server = Router::new().route("/version", get(async || [("date", "Sun, 06 Nov 1994 08:49:37 GMT")]));
        let serving = tokio::spawn(async move { axum::serve(listener, server).await });
        let client = Client::try_from(kube::Config::new(uri)).unwrap();
        assert_eq!(now(&client).await.unwrap().to_string(), "1994-11-06T08:49:37Z");
        serving.abort();
    }

    #[test]
    fn a_date_is_read_as_http_writes_it() {
        assert_eq!(read("Sun, 06 Nov 1994 08:49:37 GMT").unwrap().to_string(), "1994-11-06T08:49:37Z");
        assert_eq!(read("yesterday"), None);
    }
}
