//! `castoff prepare --node` and `castoff prepare -l`: everything guarded there, as far as the policies' limits go.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use kube::api::{Api, ListParams};
use kube::core::DynamicObject;
use serde::Serialize;
use tokio::time::Instant;

use crate::cli::begin::{Begin, Next, next};
use crate::cli::connect::{list, refused};
use crate::cli::drains::{DrainView, Left};
use crate::cli::live::Live;
use crate::cli::output::{self, Output};
use crate::cli::render::program;
use crate::cli::{Failure, guards};
use crate::kubernetes::resources::pod_drains;
use crate::kubernetes::{cluster, drains, pods};
use crate::lifecycle::{Awaited, Drain, Phase, Prepared};
use crate::pod::Pod;

use super::{LOOK, Prepare, Tries, Work, until};

/// One pod of those that are to be prepared, for people and scripts.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    namespace: String,
    pod: String,
    standing: Standing,
    /// What it waits for, or how it ended.
    why: String,
    /// Which pods those are that it waits for.
    #[serde(skip_serializing_if = "Awaited::is_nobody")]
    waits_for: Awaited,
    #[serde(skip_serializing_if = "Option::is_none")]
    left: Option<Left>,
}

/// How far one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
enum Standing {
    /// It waits for a place, or for its backend.
    Waiting,
    /// Its backend is being prepared.
    Draining,
    /// It may leave.
    Prepared,
    /// It was prepared, and has left or was allowed to.
    Left,
    /// It can't be, or was given up.
    NotPrepared,
}

impl Row {
    fn is_settled(&self) -> bool {
        matches!(self.standing, Standing::Prepared | Standing::Left | Standing::NotPrepared)
    }

    fn line(&self) -> String {
        let Row { namespace, pod, standing, why, left, .. } = self;
        let left = left.as_ref().map_or_else(String::new, |left| format!("  {} {} left", left.bar(), left.text()));
        let why = if why.is_empty() { String::new() } else { format!("  {why}") };
        format!("{namespace}/{pod}  {standing:?}{left}{why}")
    }
}

/// Whether no more can be prepared: all are settled, or wait for others that are prepared and have not left.
fn is_all(rows: &[Row]) -> bool {
    let prepared = rows.iter().filter(|row| row.standing == Standing::Prepared);
    let prepared: Prepared<'_> = prepared.map(|row| (row.namespace.as_str(), row.pod.as_str())).collect();
    let has_its_turn_later =
        |row: &Row| row.standing == Standing::Waiting && prepared.go_before(&row.namespace, &row.waits_for);
    rows.iter().all(|row| row.is_settled() || has_its_turn_later(row))
}

/// A pod that is to be prepared.
struct One {
    work: Work,
    begun: Option<(Arc<Drain>, Tries)>,
    under_way: bool,
    row: Row,
}

impl One {
    async fn begin(work: Work) -> Self {
        let row = Row {
            namespace: work.namespace.clone(),
            pod: work.pod.clone(),
            standing: Standing::Waiting,
            why: String::new(),
            waits_for: Awaited::default(),
            left: None,
        };
        let mut one = One { work, begun: None, under_way: false, row };
        one.begin_anew().await;
        one
    }

    async fn begin_anew(&mut self) {
        match self.work.begin().await {
            Ok((begun, drain)) => {
                self.under_way = begun != Begin::Wait;
                self.begun = Some((Arc::clone(&drain), Tries::new(&drain)));
                self.look(&drain);
            }
            Err(Failure::No(why) | Failure::Usage(why)) => self.ends(Standing::NotPrepared, why),
        }
    }

    fn ends(&mut self, standing: Standing, why: impl Into<String>) {
        (self.row.standing, self.row.why, self.row.left) = (standing, why.into(), None);
        self.row.waits_for = Awaited::default();
    }

    /// What the drain shows.
    fn look(&mut self, drain: &Drain) {
        let view = DrainView::of_drain(drain);
        self.row.standing = match drain.status.phase {
            Phase::Drained => Standing::Prepared,
            Phase::Draining => Standing::Draining,
            _ => Standing::Waiting,
        };
        (self.row.why, self.row.left, self.row.waits_for) = (view.why, view.left, view.waits_for);
    }

    /// The drain as it is now; `None` where it is gone.
    async fn is_now(&mut self, drain: Option<&Arc<Drain>>) {
        match next(drain.map(Arc::as_ref), self.under_way) {
            Next::GoOn | Next::Prepared => {}
            Next::UnderWay => self.under_way = true,
            Next::Again => return self.begin_anew().await,
            Next::Left(how) => return self.ends(Standing::Left, how),
            Next::No(why) => return self.ends(Standing::NotPrepared, why),
        }
        let Some(drain) = drain else { return };
        self.look(drain);
        if let Some((known, tries)) = &mut self.begun {
            *known = Arc::clone(drain);
            if tries.due <= Instant::now() {
                tries.write(&self.work.store, drain).await;
            }
        }
    }
}

/// Begins all of them, and waits for what can be prepared where that is wanted.
pub(super) async fn run(command: &Prepare, client: Client, namespace: String, user: &str) -> Result<(), Failure> {
    // A node has pods of many namespaces.
    let within = match (&command.node, &command.reach.namespace) {
        (Some(_), None) => None,
        _ => Some(namespace),
    };
    let guarded = guarded(&client, find(&client, command, within.as_deref()).await?).await?;
    let mut all = Vec::new();
    for pod in guarded {
        let (namespace, name) = (pod.metadata.namespace.to_string(), pod.metadata.name.to_string());
        all.push(One::begin(Work::new(client.clone(), namespace, name, user.to_owned())).await);
    }
    let in_time = !command.wait || wait(&client, &mut all, command).await?;
    let rows: Vec<Row> = all.into_iter().map(|one| one.row).collect();
    output::print_as(command.output, &rows, || tell(&rows, command))?;
    verdict(&rows, in_time)
}

/// The pods that are meant, guarded or not.
async fn find(client: &Client, command: &Prepare, namespace: Option<&str>) -> Result<Vec<Pod<'static>>, Failure> {
    let api: Api<DynamicObject> = match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &pods::resource()),
        None => Api::all_with(client.clone(), &pods::resource()),
    };
    let mut wanted = ListParams::default();
    if let Some(node) = &command.node {
        wanted = wanted.fields(&format!("spec.nodeName={node}"));
    }
    if let Some(selector) = &command.selector {
        wanted = wanted.labels(selector);
    }
    let found = api.list(&wanted).await.map_err(|error| refused("list pods", &error))?;
    Ok(found.items.iter().filter_map(cluster::pod_of).collect())
}

/// Those of them that a policy selects, and that have not ended.
async fn guarded(client: &Client, pods: Vec<Pod<'static>>) -> Result<Vec<Pod<'static>>, Failure> {
    let mut policies = BTreeMap::new();
    for namespace in pods.iter().map(|pod| pod.metadata.namespace.to_string()).collect::<BTreeSet<_>>() {
        let of_namespace = guards::policies(client, &namespace).await?;
        policies.insert(namespace, of_namespace);
    }
    let mut guarded = Vec::new();
    for pod in pods.into_iter().filter(|pod| !pod.is_finished() && !pod.is_terminating()) {
        let Some(policies) = policies.get(pod.metadata.namespace.as_str()) else { continue };
        let labels = guards::node_labels(client, &pod, policies).await;
        let is_guarded = policies
            .of_pod(&pod.metadata.namespace, &pod.metadata.labels)
            .any(|policy| policy.selects(&pod, labels.as_ref()));
        if is_guarded {
            guarded.push(pod);
        }
    }
    Ok(guarded)
}

/// Looks on until no more can be prepared; false where the time is over before, or nobody waits any more.
async fn wait(client: &Client, all: &mut [One], command: &Prepare) -> Result<bool, Failure> {
    let end = command.timeout.map(|timeout| Instant::now() + timeout);
    let namespaces: BTreeSet<String> = all.iter().map(|one| one.row.namespace.clone()).collect();
    let mut live = Live::new();
    let in_time = loop {
        let mut now: BTreeMap<(String, String), Arc<Drain>> = BTreeMap::new();
        for namespace in &namespaces {
            let listed = list(client, &pod_drains(), Some(namespace)).await?;
            let drains = listed.iter().map(|object| drains::read(object).drain);
            now.extend(drains.map(|drain| ((namespace.clone(), drain.metadata.name.clone()), drain)));
        }
        for one in all.iter_mut().filter(|one| !matches!(one.row.standing, Standing::Left | Standing::NotPrepared)) {
            let Some((drain, _)) = &one.begun else { continue };
            let key = (one.row.namespace.clone(), drain.metadata.name.clone());
            one.is_now(now.get(&key)).await;
        }
        let rows: Vec<Row> = all.iter().map(|one| one.row.clone()).collect();
        if command.output == Output::Table {
            live.show(rows.iter().map(Row::line).collect());
        }
        if is_all(&rows) {
            break true;
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK.min(Duration::from_secs(1))) => {}
            () = until(end) => break false,
            _ = tokio::signal::ctrl_c() => break false,
        }
    };
    live.leave();
    Ok(in_time)
}

/// What people read at the end.
fn tell(rows: &[Row], command: &Prepare) {
    if rows.is_empty() {
        output::line("nothing is guarded there: all of it may leave as it is");
        return;
    }
    // Who has waited has seen them already.
    for row in rows.iter().filter(|_| !command.wait) {
        output::line(row.line());
    }
    let waiting = rows.iter().filter(|row| !row.is_settled()).count();
    if waiting > 0 && command.wait {
        output::line(format_args!("# {waiting} have their turn once those that are prepared have left"));
    }
    match &command.node {
        Some(node) => output::line(format_args!("now           kubectl drain {node} --ignore-daemonsets")),
        None => output::line(format_args!("look at it    {} status -w", program())),
    }
}

fn verdict(rows: &[Row], in_time: bool) -> Result<(), Failure> {
    let not = rows.iter().filter(|row| row.standing == Standing::NotPrepared).count();
    match (not, in_time) {
        (0, true) => Ok(()),
        (0, false) => Err(Failure::No("not all are prepared in time. The preparations go on for a while".to_owned())),
        (not, _) => Err(Failure::No(format!("{not} of {} can't be prepared", rows.len()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::Explanation;

    fn row(pod: &str, standing: Standing, waits_for: Awaited) -> Row {
        let (namespace, pod) = ("n".to_owned(), pod.to_owned());
        Row { namespace, pod, standing, why: String::new(), waits_for, left: None }
    }

    #[test]
    fn nobody_waits_for_pods_that_have_their_turn_only_once_others_have_left() {
        use Standing::{Draining, Left, NotPrepared, Prepared, Waiting};
        let second = || row("db-1", Waiting, Explanation::default().waiting_for(["db-0"]).awaited);
        let third = || row("db-2", Waiting, Explanation::in_line().awaited);
        let one = |pod: &str, standing| row(pod, standing, Awaited::default());
        assert!(is_all(&[one("db-0", Prepared), second()]));
        assert!(is_all(&[one("db-0", Prepared), second(), third()]));
        assert!(!is_all(&[one("db-0", Draining), second()]));
        assert!(!is_all(&[one("db-0", Left), second()]), "its place is free soon");
        assert!(!is_all(&[one("web-0", Prepared), second()]), "somebody else is away");
        assert!(!is_all(&[one("db-0", Waiting)]), "its backend does not answer");
        assert!(is_all(&[one("db-0", NotPrepared), one("db-1", Left)]) && is_all(&[]));
    }
}
