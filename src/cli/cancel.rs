//! `castoff cancel`: a person gives a pod's drain up.

use std::time::Duration;

use clap::Args;
use futures_util::{StreamExt, pin_mut};
use kube::api::{Api, Patch, PatchParams};
use kube::core::DynamicObject;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::watch_object;
use serde_json::json;
use tokio::time::Instant;

use crate::kubernetes::drains;
use crate::kubernetes::resources::pod_drains;
use crate::lifecycle::{Caller, Drain, Phase};

use super::connect::{Reach, list, refused};
use super::drains::{DrainView, who};
use super::live::Live;
use super::prepare::until;
use super::render::program;
use super::{Failure, guards, output};

/// Gives a pod's drain up: what was set at the backend is undone, and the pod stays.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  castoff cancel basic-tikv-2 -n tidb
  castoff cancel basic-tikv-2 -n tidb --wait          until what was set is undone

A controller or a drain that still wants the pod to go asks again, and then it is prepared anew: stop that first.
It needs the right to patch poddrains.

Exit codes: 0 cancelled (with --wait: and undone), or nothing was under way, 1 it can't be, 2 wrong usage.")]
pub(super) struct Cancel {
    /// The pod
    #[arg(value_name = "POD")]
    pod: String,

    /// Wait until what was set is undone
    #[arg(short, long)]
    wait: bool,

    /// Wait no longer than this, as 10m or 90s
    #[arg(long, value_name = "TIME", value_parser = super::serve::duration, requires = "wait")]
    timeout: Option<Duration>,

    #[command(flatten)]
    reach: Reach,
}

/// Cancels the drain, and waits for the restore where that is wanted.
pub(super) async fn run(command: Cancel) -> Result<(), Failure> {
    let (client, namespace) = command.reach.connect().await?;
    let pod = command.pod.as_str();
    // By name: the pod itself may be gone, and several may have borne the name.
    let all = list(&client, &pod_drains(), Some(&namespace)).await?;
    let of_pod: Vec<_> = all
        .iter()
        .map(drains::read)
        .filter(|kept| kept.drain.spec.pod.name == pod && kept.drain.status.phase != Phase::Completed)
        .collect();
    if of_pod.is_empty() {
        guards::pod(&client, &namespace, pod).await?;
        output::line(format_args!("{namespace}/{pod}: nothing is under way, so there is nothing to cancel"));
        return Ok(());
    }
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), &namespace, &pod_drains());
    for kept in &of_pod {
        let name = &kept.drain.metadata.name;
        if !kept.drain.spec.cancel {
            let change = Patch::Merge(json!({"spec": {"cancel": true}}));
            let patched = api.patch(name, &PatchParams::default(), &change).await;
            patched.map_err(|error| refused(&format!("cancel {namespace}/{name}"), &error))?;
        }
        output::line(told(&kept.drain));
        if let Some(again) = asks_again(&kept.drain) {
            output::line(again);
        }
    }
    if !command.wait {
        let program = program();
        output::line(format_args!("wait for it   {program} cancel {pod} -n {namespace} --wait"));
        return Ok(());
    }
    let end = command.timeout.map(|timeout| Instant::now() + timeout);
    for kept in &of_pod {
        wait(api.clone(), &kept.drain, end).await?;
    }
    Ok(())
}

/// What a cancel means to a drain in this phase.
fn told(drain: &Drain) -> String {
    let name = drain.pod_name();
    match drain.status.phase {
        Phase::Departing if drain.status.left => {
            format!("{name} has left already: what was set is being undone, without waiting for its replacement")
        }
        Phase::Departing => format!("{name} was allowed to leave already; if it does not, its drain is given up"),
        Phase::Restoring => format!("{name}: what was set is being undone already"),
        _ => format!("{name}: cancelled; what was set is being undone"),
    }
}

/// Who will ask again, so that the drain begins anew.
fn asks_again(drain: &Drain) -> Option<String> {
    let caller = drain.status.caller;
    let stays = !matches!(drain.status.phase, Phase::Departing);
    (caller != Caller::Person && stays).then(|| {
        let who = who(drain);
        format!("{who} may ask again, and then it is prepared anew: stop what wants the pod to go, too")
    })
}

async fn wait(api: Api<DynamicObject>, drain: &Drain, end: Option<Instant>) -> Result<(), Failure> {
    let name = drain.pod_name();
    let changes = watch_object(api, &drain.metadata.name).default_backoff();
    pin_mut!(changes);
    let mut live = Live::new();
    let cycle = drain.status.cycle;
    loop {
        tokio::select! {
            change = changes.next() => {
                let Some(Ok(object)) = change else { continue };
                let kept = object.as_ref().map(drains::read);
                if let Some(kept) = &kept {
                    live.show(vec![DrainView::of_drain(&kept.drain).sentence()]);
                }
                if let Some(answer) = over(kept.as_ref().map(|kept| kept.drain.as_ref()), cycle) {
                    live.end();
                    return answer
                        .map(|how| output::line(format_args!("{name}: {how}")))
                        .map_err(|why| Failure::No(format!("{name}: {why}")));
                }
            }
            () = until(end) => {
                live.end();
                return Err(Failure::No(format!("{name}: not undone in time; it goes on")));
            }
            _ = tokio::signal::ctrl_c() => {
                live.end();
                return Err(Failure::No(format!("{name}: it goes on without you")));
            }
        }
    }
}

/// Whether a cancelled drain is over, and how.
fn over(drain: Option<&Drain>, cycle: u32) -> Option<Result<&'static str, &'static str>> {
    let Some(drain) = drain else { return Some(Ok("given up; its drain is gone")) };
    match drain.status.phase {
        Phase::Completed => Some(Ok("given up, and what was set is undone")),
        Phase::Queued if drain.status.cycle > cycle && !drain.spec.cancel => {
            Some(Err("what was set is undone, but it is asked for again, and prepared anew"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn drain(phase: &str, caller: &str) -> Drain {
        serde_json::from_value(json!({
            "metadata": {"name": "web-0-u1", "namespace": "n"},
            "spec": {"pod": {"name": "web-0", "uid": "u1"}, "policy": "web", "requester": "alice"},
            "status": {"phase": phase, "caller": caller},
        }))
        .unwrap()
    }

    #[test]
    fn is_over_once_what_was_set_is_undone() {
        assert_eq!(over(Some(&drain("Restoring", "Person")), 0), None);
        assert!(over(Some(&drain("Completed", "Person")), 0).unwrap().is_ok());
        assert!(over(None, 0).unwrap().is_ok());
        let mut anew = drain("Queued", "Program");
        anew.status.cycle = 1;
        assert!(over(Some(&anew), 0).unwrap().is_err());
    }

    #[test]
    fn tells_who_will_ask_again() {
        assert_eq!(asks_again(&drain("Draining", "Person")), None);
        assert!(asks_again(&drain("Draining", "Program")).unwrap().contains("may ask again"));
        assert_eq!(asks_again(&drain("Departing", "Program")), None);
    }
}
