//! Scenarios on a real control plane: what users do, and what must come of it.
//!
//! `hack/test e2e` starts the control plane and runs them; any cluster that `KUBECONFIG` names will do.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, missing_docs)]

mod audit;
mod backends;
mod balancer;
mod consul;
mod doctor;
mod etcd;
mod installation;
mod moves;
mod own_pods;
mod rights;
mod scenarios;
mod scene;
#[path = "../real_node/stream.rs"]
mod stream;
mod witness;

use std::sync::Arc;
use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial};
use tokio::runtime::Runtime;
use tokio::sync::RwLock;

use installation::Installation;
use scenarios::{Kind, Scenario};
use scene::Scene;

/// A scenario that takes longer hangs.
const LONGEST: Duration = Duration::from_mins(5);

fn main() {
    let arguments = Arguments::from_args();
    let all = scenarios::all();
    if arguments.list {
        let names = all.into_iter().map(|scenario| scenario.name).chain([rights::NAME]);
        libtest_mimic::run(&arguments, names.map(|name| Trial::test(name, || Ok(()))).collect()).exit();
    }
    let runtime = Arc::new(Runtime::new().unwrap());
    let installation = Arc::new(runtime.block_on(Installation::start()));
    runtime.block_on(async { installation.hooks.follow(&installation.client) });
    // Those that take the guard or the API server away run alone.
    let alone = Arc::new(RwLock::new(()));
    let trials = all
        .into_iter()
        .map(|scenario| {
            let (runtime, installation, alone) = (Arc::clone(&runtime), Arc::clone(&installation), Arc::clone(&alone));
            let trial = Trial::test(scenario.name, move || runtime.block_on(play(scenario, installation, alone)));
            where_it_applies(trial, scenario.kind)
        })
        .collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    runtime.block_on(installation.stop());
    // About all of it, so not where only some were asked for. It reads the whole log: after a run in which some failed
    // and were played again, it may be, too.
    if arguments.filter.as_ref().is_none_or(|filter| rights::NAME.contains(filter)) {
        let client = installation.client.clone();
        let check = move || runtime.block_on(rights::check(&client)).map_err(Failed::from);
        let trial = where_it_applies(Trial::test(rights::NAME, check), Kind::Disturbing);
        libtest_mimic::run(&arguments, vec![trial]).exit_if_failed();
    }
    conclusion.exit();
}

/// Said where the others say `ok`: not on this cluster.
fn where_it_applies(trial: Trial, kind: Kind) -> Trial {
    match lacks(kind) {
        Some(need) => trial.with_kind(format!("does not apply: needs {need}")).with_ignored_flag(true),
        None => trial,
    }
}

/// What a scenario of this kind would need, and this cluster has not.
fn lacks(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::Disturbing if !moves::has_own_control_plane() => Some("a control plane of hack/cluster"),
        Kind::Gated if !moves::has_gate() => Some("hack/cluster up --feature-gates MaxUnavailableStatefulSet=true"),
        _ => None,
    }
}

/// Plays one scenario in a namespace of its own; on failure prints what one needs to find out why.
async fn play(scenario: Scenario, installation: Arc<Installation>, alone: Arc<RwLock<()>>) -> Result<(), Failed> {
    let _shared;
    let _alone;
    match scenario.kind {
        Kind::Shared | Kind::Gated => _shared = alone.read().await,
        Kind::Alone | Kind::Disturbing => _alone = alone.write().await,
    }
    let scene = Scene::new(scenario.name, &installation).await;
    let played = tokio::spawn(tokio::time::timeout(LONGEST, (scenario.play)(Arc::clone(&scene)))).await;
    let outcome = match played {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err(Failed::from(format!("not over after {LONGEST:?}\n{}", scene.what_is_there().await))),
        Err(error) => {
            let panic = error.into_panic();
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default();
            Err(Failed::from(format!("{text}\n{}", scene.what_is_there().await)))
        }
    };
    match (scenario.kind, &outcome) {
        (Kind::Alone | Kind::Disturbing, Err(_)) => installation.put_back().await,
        _ => installation.make_whole().await,
    }
    scene.clean_up().await;
    outcome
}
