//! `castoff prepare`: a person has a pod prepared ahead of time.

mod many;

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use futures_util::{StreamExt, pin_mut};
use kube::core::DynamicObject;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::watch_object;
use kube::{Api, Client};
use tokio::time::Instant;

use crate::kubernetes::drains;
use crate::kubernetes::resources::pod_drains;
use crate::kubernetes::store::ClusterStore;
use crate::lifecycle::drain::drain_name;
use crate::lifecycle::{Drain, Phase, claim};
use crate::plan::Progress;
use crate::ports::{Store, StoreError};

use super::begin::{Begin, Next, begin, next};
use super::connect::{PREPARES, Reach, whoami};
use super::drains::{DrainView, Left};
use super::live::Live;
use super::output::Output;
use super::render::{program, span};
use super::{Failure, guards, output, render, trial};

/// Prepares a pod's backend for its leaving, ahead of a delete: leaders move off, traffic drains.
///
/// It makes the PodDrain that the first denied delete would make, by the policy that guards the pod. Nothing is
/// deleted. A preparation that nobody waits for, and nobody tries to delete the pod of, is given up after the policy's
/// abandonAfterSeconds, and undone.
///
/// With --node or -l everything guarded there is prepared, as far as the policies' limits let it: --wait ends once all
/// are prepared, or wait only for prepared ones to leave.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  castoff prepare basic-tikv-2 -n tidb --wait && kubectl delete pod basic-tikv-2 -n tidb
  castoff prepare basic-tikv-2 -n tidb               begins, and does not wait
  castoff cancel basic-tikv-2 -n tidb                undoes it
  castoff prepare --node worker-7 --wait && kubectl drain worker-7 --ignore-daemonsets
  castoff prepare -l app.kubernetes.io/component=tikv -n tidb --wait -o json

It needs the rights of the ClusterRole castoff-prepare: to create, patch and delete poddrains; --node the right to list pods,
in all namespaces where none is given.

Exit codes: 0 prepared (without --wait: begun), 1 it was given up, or can't be, 2 wrong usage.")]
pub(super) struct Prepare {
    /// The pod
    #[arg(value_name = "POD", required_unless_present_any = ["node", "selector"])]
    pod: Option<String>,

    /// Everything guarded on this node, in all namespaces where none is given
    #[arg(long, value_name = "NODE", conflicts_with = "pod")]
    node: Option<String>,

    /// Everything guarded with these labels
    #[arg(short = 'l', long, value_name = "LABELS", conflicts_with = "pod")]
    selector: Option<String>,

    /// How to print what --node or -l has come to
    #[arg(short, long, default_value = "table", value_name = "FORMAT", conflicts_with = "pod")]
    output: Output,

    /// Wait until the pod is prepared, and keep the preparation from being given up meanwhile
    #[arg(short, long)]
    wait: bool,

    /// Wait no longer than this, as 30m or 90s; the preparation goes on
    #[arg(long, value_name = "TIME", value_parser = super::serve::duration, requires = "wait")]
    timeout: Option<Duration>,

    #[command(flatten)]
    reach: Reach,
}

/// So many times somebody else may be faster.
const RACES: u32 = 5;

/// After a write that somebody else's overtook.
const BREATH: Duration = Duration::from_millis(300);

/// So long Castoff may take to take up a new PodDrain, before people are told that it does not.
const UNTOUCHED: Duration = Duration::from_secs(15);

/// Between two looks at how much is left.
const LOOK: Duration = Duration::from_secs(2);

/// After a try that somebody else's write overtook.
const SOON: Duration = Duration::from_secs(2);

/// Begins the preparation, and waits for it where that is wanted.
pub(super) async fn run(command: Prepare) -> Result<(), Failure> {
    let (client, namespace) = command.reach.connect().await?;
    let user = whoami(&client).await?;
    let Some(pod) = command.pod.clone() else { return many::run(&command, client, namespace, &user).await };
    let work = Work::new(client, namespace, pod, user);
    let (begun, drain) = work.begin().await?;
    if begun == Begin::Prepared {
        work.tell_prepared(&drain);
        return Ok(());
    }
    if command.wait {
        return work.wait(begun, drain, command.timeout).await;
    }
    if begun == Begin::Wait {
        return Err(Failure::No(format!(
            "{}: what was prepared before is being undone first; --wait waits for that and begins anew",
            drain.pod_name()
        )));
    }
    work.tell_begun(&drain);
    Ok(())
}

struct Work {
    client: Client,
    namespace: String,
    pod: String,
    user: String,
    store: ClusterStore,
}

impl Work {
    fn new(client: Client, namespace: String, pod: String, user: String) -> Self {
        let store = ClusterStore::new(client.clone(), Arc::default(), Arc::default());
        Work { client, namespace, pod, user, store }
    }

    /// Makes the pod's drain, or finds the one that is there.
    async fn begin(&self) -> Result<(Begin, Arc<Drain>), Failure> {
        for _ in 0..RACES {
            let pod = guards::pod(&self.client, &self.namespace, &self.pod).await?;
            let policies = guards::policies(&self.client, &self.namespace).await?;
            let labels = guards::node_labels(&self.client, &pod, &policies).await;
            let name = drain_name(&pod.metadata.name, &pod.metadata.uid);
            let found = self.store.read(&self.namespace, &name).await.map_err(|error| failed(&error))?;
            let request = guards::delete_of(&pod, &self.user);
            let now = jiff::Timestamp::now();
            let (begun, policy) = begin(&request, &policies, labels.as_ref(), found.as_deref(), now);
            let written = match (&begun, found, policy) {
                (Begin::No(why), ..) => return Err(Failure::No(why.clone())),
                (Begin::Create, _, Some(policy)) => self.store.create(Drain::new(&pod, &policy.name, &self.user)).await,
                // It is over: what comes after it is another one.
                (Begin::Anew, Some(found), _) => self.store.remove(&found).await.and(Err(StoreError::Conflict)),
                (_, Some(found), _) => Ok(found),
                (_, None, _) => Err(StoreError::Conflict),
            };
            match written {
                Ok(drain) => return Ok((begun, drain)),
                Err(StoreError::Conflict) => tokio::time::sleep(BREATH).await,
                Err(error) => return Err(failed(&error)),
            }
        }
        Err(Failure::No(format!("{}/{}: others write its PodDrain all the time; try again", self.namespace, self.pod)))
    }

    /// Waits until the pod is prepared, or will not be.
    async fn wait(&self, begun: Begin, drain: Arc<Drain>, timeout: Option<Duration>) -> Result<(), Failure> {
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &self.namespace, &pod_drains());
        let changes = watch_object(api, &drain.metadata.name).default_backoff();
        pin_mut!(changes);
        let mut waiting = Waiting::new(self, &begun, drain);
        let start = Instant::now();
        let (mut look, mut untouched) = (start + LOOK, true);
        let end = loop {
            tokio::select! {
                change = changes.next() => {
                    let Some(Ok(object)) = change else { continue };
                    untouched = object.as_ref().is_some_and(|object| object.data.get("status").is_none());
                    if let Some(end) = waiting.changed(object.as_ref()).await? {
                        break end;
                    }
                }
                // Progress is written down once a minute; a person who looks on asks how much is left now.
                () = tokio::time::sleep_until(look), if waiting.is_watched() => {
                    waiting.look().await;
                    look = Instant::now() + LOOK;
                }
                () = tokio::time::sleep_until(waiting.tries.due) => waiting.keep().await,
                () = tokio::time::sleep_until(start + UNTOUCHED), if untouched => {
                    untouched = false;
                    eprintln!("{} is not taken up: does Castoff run? See {} doctor", waiting.pod(), program());
                }
                () = until(timeout.map(|timeout| start + timeout)) => {
                    break End::No(format!("{}: not prepared in time. {}", waiting.pod(), self.goes_on()));
                }
                _ = tokio::signal::ctrl_c() => break End::No(self.goes_on()),
            }
        };
        waiting.live.end();
        match end {
            End::Prepared => self.tell_prepared(&waiting.drain),
            End::Left(how) => output::line(format_args!("{}: {how}", waiting.pod())),
            End::No(why) => return Err(Failure::No(why)),
        }
        Ok(())
    }

    fn tell_begun(&self, drain: &Drain) {
        let (namespace, pod, program) = (&self.namespace, &self.pod, program());
        output::line(format_args!("{} (policy {})", DrainView::of_drain(drain).sentence(), drain.spec.policy));
        output::line(format_args!("wait for it   {program} prepare {pod} -n {namespace} --wait"));
        output::line(format_args!("look at it    {program} status -n {namespace} -w"));
        output::line(format_args!("give it up    {program} cancel {pod} -n {namespace}"));
    }

    fn tell_prepared(&self, drain: &Drain) {
        let kept = span(drain.status.limits.abandon_after_seconds.into());
        let state = render::painted("prepared", render::Paint::Good);
        let (namespace, pod, program) = (&self.namespace, &self.pod, program());
        output::line(format_args!("{} is {state}: it may leave. It stays so for {kept} at least.", drain.pod_name()));
        output::line(format_args!("now           kubectl delete pod {pod} -n {namespace}"));
        output::line(format_args!("or give up    {program} cancel {pod} -n {namespace}"));
    }

    fn goes_on(&self) -> String {
        let (namespace, pod, program) = (&self.namespace, &self.pod, program());
        format!("The preparation goes on without you for a while; {program} cancel {pod} -n {namespace} gives it up")
    }
}

/// A person who waits for a pod.
struct Waiting<'a> {
    work: &'a Work,
    drain: Arc<Drain>,
    under_way: bool,
    tries: Tries,
    live: Live,
    /// How much was left when it was last asked for.
    newest: Option<Left>,
}

/// What the waiting comes to.
enum End {
    Prepared,
    Left(&'static str),
    No(String),
}

impl<'a> Waiting<'a> {
    fn new(work: &'a Work, begun: &Begin, drain: Arc<Drain>) -> Self {
        let under_way = *begun != Begin::Wait;
        Waiting { work, under_way, tries: Tries::new(&drain), live: Live::new(), newest: None, drain }
    }

    fn pod(&self) -> String {
        self.drain.pod_name()
    }

    /// The drain has changed, or is gone.
    async fn changed(&mut self, object: Option<&DynamicObject>) -> Result<Option<End>, Failure> {
        let kept = object.map(drains::read);
        if let Some(kept) = &kept {
            self.drain = Arc::clone(&kept.drain);
            let mut view = DrainView::of_drain(&self.drain);
            // What was asked for since is newer than what is written down.
            view.left = view.left.map(|left| self.newest.clone().unwrap_or(left));
            self.live.show(vec![line(&view, self.live.is_drawn())]);
        }
        match next(kept.as_ref().map(|kept| kept.drain.as_ref()), self.under_way) {
            Next::GoOn => {}
            Next::UnderWay => self.under_way = true,
            Next::Again => {
                (_, self.drain) = self.work.begin().await?;
                self.under_way = true;
                self.tries = Tries::new(&self.drain);
            }
            Next::Prepared => return Ok(Some(End::Prepared)),
            Next::Left(how) => return Ok(Some(End::Left(how))),
            Next::No(why) => return Ok(Some(End::No(format!("{}: {why}", self.pod())))),
        }
        Ok(None)
    }

    /// Whether somebody sees on a terminal how it goes on.
    fn is_watched(&self) -> bool {
        self.live.is_drawn() && self.drain.status.phase == Phase::Draining
    }

    /// Shows how much is left now.
    async fn look(&mut self) {
        self.newest = self.left_now().await;
        if self.newest.is_some() {
            let view = DrainView { left: self.newest.clone(), ..DrainView::of_drain(&self.drain) };
            self.live.show(vec![line(&view, true)]);
        }
    }

    /// How much is left in the step under way, by a dry run of the delete; none where that can't be told.
    async fn left_now(&self) -> Option<Left> {
        let Work { client, namespace, pod, .. } = self.work;
        let trial = trial::delete(client, namespace, pod, self.drain.pod_uid()).await.ok()?;
        let Progress { remaining, unit } = trial.steps.into_iter().find_map(|step| step.left)?;
        let total = self.drain.status.progress.as_ref().map_or(remaining, |progress| progress.total.max(remaining));
        Some(Left { remaining, total, unit })
    }

    /// Keeps the preparation from being given up.
    async fn keep(&mut self) {
        self.tries.write(&self.work.store, &self.drain).await;
    }
}

/// The tries of a person who waits: written as the gate writes those of callers, so that the drain is not given up.
struct Tries {
    due: Instant,
}

impl Tries {
    fn new(drain: &Drain) -> Self {
        let now = Instant::now();
        Tries { due: now + claim::between_tries(drain) }
    }

    async fn write(&mut self, store: &ClusterStore, drain: &Drain) {
        let now = Instant::now();
        self.due = now + claim::between_tries(drain);
        match store.ask(drain).await {
            Ok(()) => {}
            Err(StoreError::Conflict | StoreError::Unavailable(_)) => self.due = now + SOON,
            Err(why) => {
                let limit = span(drain.status.limits.abandon_after_seconds.into());
                eprintln!(
                    "it can't be written down that you wait, so after {limit} the preparation is given up: {why}"
                );
                self.due = now + Duration::from_hours(24);
            }
        }
    }
}

/// The line that is shown while one waits.
fn line(view: &DrainView, drawn: bool) -> String {
    match view.left.as_ref().filter(|_| drawn) {
        Some(left) => {
            let DrainView { namespace, pod, step, .. } = view;
            format!("{namespace}/{pod}  {} {} left  {}", left.bar(), left.text(), step.as_deref().unwrap_or_default())
        }
        None => view.sentence(),
    }
}

/// Waits until this time, or for ever.
pub(super) async fn until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

fn failed(error: &StoreError) -> Failure {
    match error {
        StoreError::Forbidden(_) => {
            Failure::No(format!("{error}. The role {PREPARES} allows it, where rights are missing"))
        }
        _ => Failure::No(error.to_string()),
    }
}
