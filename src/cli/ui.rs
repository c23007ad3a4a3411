//! `castoff ui`: drains, policies and history as a page that this process serves to its own machine alone.

mod access;
mod html;
mod lanes;
mod page;
mod routes;

use std::net::Ipv4Addr;
use std::sync::Arc;

use clap::Args;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::kubernetes::certificates::nobody_guesses;
use crate::kubernetes::resources::{drain_policies, pod_drains};

use super::Failure;
use super::connect::{Which, list};
use super::output;
use super::status::follow;

/// Shows drains, policies and history in a browser: a lane for each pod, while it goes on.
///
/// It looks with your own kubeconfig and rights, changes nothing, and answers this machine alone: at an address that
/// only whoever sees it printed knows, for as long as it runs.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  castoff ui -n tidb
  castoff ui -A --port 8000
  ssh -L 8000:127.0.0.1:8000 there castoff ui -A --port 8000      looked at from another machine

It needs the rights of the ClusterRole castoff-view.

Exit codes: 0 ended by Ctrl-C, 1 the cluster did not answer, 2 wrong usage.")]
pub(super) struct Ui {
    /// The namespace; default: that of the kubeconfig's context
    #[arg(short, long, value_name = "NAME", conflicts_with = "all_namespaces")]
    namespace: Option<String>,

    /// All namespaces
    #[arg(short = 'A', long)]
    all_namespaces: bool,

    /// The port on 127.0.0.1; default: any that is free
    #[arg(long, default_value_t = 0, value_name = "PORT", hide_default_value = true)]
    port: u16,

    #[command(flatten)]
    which: Which,
}

/// Serves the page until it is told to stop.
pub(super) async fn run(command: Ui) -> Result<(), Failure> {
    let client = command.which.connect().await?;
    let namespace = command.namespace.clone().unwrap_or_else(|| client.default_namespace().to_owned());
    let namespace = (!command.all_namespaces).then_some(namespace);
    let place = namespace.as_deref();
    // Asked once in any case: a watch would try for ever where something is not there or not allowed.
    list(&client, &pod_drains(), place).await?;
    list(&client, &drain_policies(), place).await?;
    let mut tasks = JoinSet::new();
    let board = page::Board {
        drains: follow(&client, &pod_drains(), place, "poddrains", &mut tasks),
        policies: follow(&client, &drain_policies(), place, "drainpolicies", &mut tasks),
        namespace: namespace.clone(),
        client: Some(client.clone()),
    };
    let can_not = |error: &dyn std::fmt::Display| Failure::No(format!("the page can't be served: {error}"));
    let token = nobody_guesses().map_err(|error| can_not(&error))?;
    let address = (Ipv4Addr::LOCALHOST, command.port);
    let listener = TcpListener::bind(address).await.map_err(|error| {
        Failure::No(format!("127.0.0.1:{} can't be listened on: {error}. Another --port?", command.port))
    })?;
    let port = listener.local_addr().map_err(|error| can_not(&error))?.port();
    output::line(format_args!("http://127.0.0.1:{port}/{token}/"));
    output::line("Whoever has this address sees what you may see. Ctrl-C ends it.");
    let router = routes::router(Arc::new(board), access::Access::by(token));
    tokio::select! {
        served = axum::serve(listener, router) => served.map_err(|error| can_not(&error)),
        _ = tokio::signal::ctrl_c() => Ok(()),
    }
}

#[cfg(test)]
mod tests;
