//! As much of a Consul agent as the plan `consul` asks for.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::scene::Scene;

/// The services by ID; with the reason, where one is in maintenance.
type Services = Arc<Mutex<BTreeMap<String, Option<String>>>>;

pub struct Consul {
    /// Where the guard finds it.
    pub url: String,
    services: Services,
    task: JoinHandle<()>,
}

impl Consul {
    pub async fn start(scene: &Scene, services: &[&str]) -> Consul {
        let services: Services =
            Arc::new(Mutex::new(services.iter().map(|service| ((*service).to_owned(), None)).collect()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = scene.ground().reach(&format!("http://{}", listener.local_addr().unwrap())).await;
        let router = Router::new().fallback(answer).with_state(Arc::clone(&services));
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Consul { url, services, task }
    }

    pub fn is_registered(&self, service: &str) -> bool {
        self.services.lock().unwrap().contains_key(service)
    }

    pub fn is_in_maintenance(&self, service: &str) -> bool {
        self.services.lock().unwrap().get(service).is_some_and(Option::is_some)
    }
}

impl Drop for Consul {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(State(services): State<Services>, method: Method, uri: Uri) -> Response {
    let mut services = services.lock().unwrap();
    let Some(id) = uri.path().rsplit('/').next().filter(|id| services.contains_key(*id)).map(str::to_owned) else {
        return (StatusCode::NOT_FOUND, "Unknown service ID").into_response();
    };
    let asked = |what: &str| uri.path().starts_with(&format!("/v1/agent/{what}/"));
    let query = uri.query().unwrap_or_default();
    if method == Method::GET && asked("health/service/id") {
        let reason = &services[&id];
        let check = |reason: &String| json!({"CheckID": format!("_service_maintenance:{id}"), "Status": "critical", "Notes": reason});
        let status = if reason.is_some() { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
        let checks: Vec<_> = reason.iter().map(check).collect();
        return (status, axum::Json(json!({"Service": {"ID": id, "Service": "app"}, "Checks": checks})))
            .into_response();
    }
    if method == Method::PUT && asked("service/maintenance") {
        let reason = query.split('&').find_map(|part| part.strip_prefix("reason=")).unwrap_or_default();
        let reason = percent_encoding::percent_decode_str(&reason.replace('+', " ")).decode_utf8_lossy().into_owned();
        services.insert(id, query.contains("enable=true").then_some(reason));
    } else if method == Method::PUT && asked("service/deregister") {
        services.remove(&id);
    }
    StatusCode::OK.into_response()
}
