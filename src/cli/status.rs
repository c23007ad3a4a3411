//! `castoff status`.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::core::{ApiResource, DynamicObject};
use kube::{Api, Client};
use tokio::task::JoinSet;

use crate::kubernetes::cache::{Cache, Source, key_of};
use crate::kubernetes::lease;
use crate::kubernetes::resources::{drain_policies, pod_drains};

use super::Failure;
use super::connect::Which;
use super::drains::{Looks, Overview};
use super::live::Live;
use super::output::{self, Output};
use super::render::screen;
use super::timeline;
use super::waits::Reasons;

/// Shows drains: how far each is, who waits for what and why; and policies that guard nothing.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  castoff status -n tidb
  castoff status -A -w                 watch a roll-out: on a terminal, a lane for each pod
  castoff status -A -o json | jq '.drains[] | select(.state == \"Blocked\")'

Exit codes: 0 fine, 1 the cluster did not answer, 2 wrong usage.")]
pub(super) struct Status {
    /// The namespace; default: that of the kubeconfig's context
    #[arg(short, long, value_name = "NAME", conflicts_with = "all_namespaces")]
    namespace: Option<String>,

    /// All namespaces
    #[arg(short = 'A', long)]
    all_namespaces: bool,

    /// Go on, and show what changes
    #[arg(short, long)]
    watch: bool,

    /// Also drains that are over
    #[arg(long)]
    completed: bool,

    /// The namespace that Castoff runs in
    #[arg(long, env = "CASTOFF_NAMESPACE", default_value = "castoff-system", value_name = "NAME")]
    castoff_namespace: String,

    /// How to print; with --watch, one document for each change
    #[arg(short, long, default_value = "table", value_name = "FORMAT")]
    output: Output,

    #[command(flatten)]
    which: Which,
}

/// A screen of so many columns has room for progress bars.
const WIDE: usize = 120;

/// While durations are shown, they go on.
const TICK: Duration = Duration::from_secs(1);

/// Shows it, once or until nobody wants to see it any more.
pub(super) async fn run(command: Status) -> Result<(), Failure> {
    let client = command.which.connect().await?;
    let namespace = command.namespace.clone().unwrap_or_else(|| client.default_namespace().to_owned());
    let namespace = (!command.all_namespaces).then_some(namespace);
    // Asked once in any case: a watch would try for ever where something is not there or not allowed.
    let drains = crate::cli::connect::list(&client, &pod_drains(), namespace.as_deref()).await?;
    let policies = crate::cli::connect::list(&client, &drain_policies(), namespace.as_deref()).await?;
    if command.watch {
        return watch(&command, &client, namespace.as_deref()).await;
    }
    let mut overview = Overview::of(&drains, &policies);
    Reasons::default().explain(&client, &mut overview.drains).await;
    output::print_as(command.output, &overview, || {
        let columns = screen().map(|(columns, _)| columns);
        let looks = Looks { bars: columns.is_some_and(|columns| columns >= WIDE), columns, ..command.looks() };
        overview.lines(looks, Timestamp::now()).iter().for_each(output::line);
    })?;
    if command.output == Output::Table && nobody_leads(&client, &command.castoff_namespace).await {
        let (namespace, doctor) = (&command.castoff_namespace, super::next::doctor());
        output::line(format_args!("no replica in {namespace} leads: nothing goes on. See: {doctor}"));
    }
    Ok(())
}

/// Whether the Lease is nobody's, or has not been renewed for a minute by the API server's clock. Whoever may not look
/// at it hears nothing of it.
async fn nobody_leads(client: &Client, namespace: &str) -> bool {
    let leases: Api<Lease> = Api::namespaced(client.clone(), namespace);
    let Ok(lease) = leases.get_opt(lease::NAME).await else { return false };
    let Some(spec) = lease.and_then(|lease| lease.spec) else { return true };
    if spec.holder_identity.unwrap_or_default().is_empty() {
        return true;
    }
    let (Some(renewed), Ok(now)) = (spec.renew_time, super::clock::now(client).await) else { return false };
    now.duration_since(renewed.0) > jiff::SignedDuration::from_secs(60)
}

impl Status {
    fn looks(&self) -> Looks {
        Looks { namespaces: self.all_namespaces, completed: self.completed, ..Looks::default() }
    }
}

/// Shows it until it is told to stop.
async fn watch(command: &Status, client: &Client, namespace: Option<&str>) -> Result<(), Failure> {
    let mut tasks = JoinSet::new();
    let drains = follow(client, &pod_drains(), namespace, "poddrains", &mut tasks);
    let policies = follow(client, &drain_policies(), namespace, "drainpolicies", &mut tasks);
    let (mut drain_changes, mut policy_changes) = (drains.changes(), policies.changes());
    let mut live = Live::new();
    let (mut before, mut reasons) = (None, Reasons::default());
    loop {
        if drains.is_filled() && policies.is_filled() {
            let (drains, policies) = (drains.all(), policies.all());
            let mut overview = Overview::of(drains.iter().map(Arc::as_ref), policies.iter().map(Arc::as_ref));
            reasons.explain(client, &mut overview.drains).await;
            let changed = before.as_ref() != Some(&overview);
            if command.output == Output::Table {
                live.show(lines(command, &overview, live.is_drawn().then(screen).flatten()));
            } else if changed {
                print_document(command.output, &overview)?;
            }
            before = Some(overview);
        }
        tokio::select! {
            _ = drain_changes.changed() => {}
            _ = policy_changes.changed() => {}
            () = tokio::time::sleep(TICK), if live.is_drawn() => {}
            _ = tokio::signal::ctrl_c() => break,
        }
    }
    live.leave();
    Ok(())
}

/// A screen is drawn anew, with a lane for each pod; elsewhere each drain is one line whenever it changes.
fn lines(command: &Status, overview: &Overview, screen: Option<(usize, usize)>) -> Vec<String> {
    if let Some((columns, lines)) = screen {
        let looks = Looks { columns: Some(columns), ..command.looks() };
        let mut besides = overview.besides(looks);
        let room = lines.saturating_sub(besides.len() + 1);
        let mut all = timeline::lines(&overview.drains, looks, (columns, room), Timestamp::now());
        all.append(&mut besides);
        return all;
    }
    let shown = overview.drains.iter().filter(|view| command.completed || !view.over);
    let mut lines: Vec<String> = shown.map(super::drains::DrainView::sentence).collect();
    for policy in overview.policies.iter().filter(|policy| !policy.ready) {
        lines.push(format!("policy {}/{}: {}: {}", policy.namespace, policy.policy, policy.reason, policy.message));
    }
    lines
}

fn print_document(form: Output, overview: &Overview) -> Result<(), Failure> {
    if form == Output::Yaml {
        output::line("---");
        return output::print_as(form, overview, || ());
    }
    // One line each, for whoever reads a stream.
    output::line(serde_json::to_string(overview).map_err(|error| Failure::No(error.to_string()))?);
    Ok(())
}

/// A copy of what is looked at, which follows it.
pub(super) fn follow(
    client: &Client,
    resource: &ApiResource,
    namespace: Option<&str>,
    what: &'static str,
    tasks: &mut JoinSet<()>,
) -> Arc<Cache<DynamicObject>> {
    let cache = Arc::new(Cache::default());
    let api = match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, resource),
        None => Api::all_with(client.clone(), resource),
    };
    let source = Source::new(api, what, |object| Some((key_of(object), object.clone())));
    tasks.spawn(Arc::clone(&cache).follow(source));
    cache
}
