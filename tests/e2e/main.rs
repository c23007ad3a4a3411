//! Scenarios on a real control plane: what users do, and what must come of it.
//!
//! `hack/test e2e` starts the control plane and runs them; any cluster that `KUBECONFIG` names will do. Where they are
//! played, with Castoff on this machine or in the cluster's pods, is the matter of [`ground`].

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, missing_docs)]

mod audit;
mod backends;
mod balancer;
mod consul;
mod doctor;
mod etcd;
mod evictions;
mod ground;
mod installation;
mod moves;
mod own_pods;
mod rights;
mod scenarios;
mod scene;
mod witness;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Failed, Trial};
use tokio::runtime::Runtime;
use tokio::sync::RwLock;

use ground::Need;
use installation::Installation;
use scenarios::{Kind, Scenario};
use scene::Scene;

/// A scenario that takes longer hangs.
const LONGEST: Duration = Duration::from_mins(5);

/// How many of those that took longest are told at the end.
const LONGEST_TOLD: usize = 12;

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
    let taken = Arc::new(Mutex::new(Vec::new()));
    let trials = all
        .into_iter()
        .map(|scenario| {
            let (runtime, installation, alone) = (Arc::clone(&runtime), Arc::clone(&installation), Arc::clone(&alone));
            let lacking = scenario.needs.and_then(|need| installation.lacks(need));
            let taken = Arc::clone(&taken);
            let trial = Trial::test(scenario.name, move || {
                let (time, outcome) = runtime.block_on(play(scenario, installation, alone));
                taken.lock().unwrap().push((time, scenario.name));
                outcome
            });
            where_it_applies(trial, lacking)
        })
        .collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    tell_the_slowest(&mut taken.lock().unwrap());
    runtime.block_on(installation.ground.stop());
    // About all of it, so not where only some were asked for. It reads the whole log: after a run in which some failed
    // and were played again, it may be, too.
    if arguments.filter.as_ref().is_none_or(|filter| rights::NAME.contains(filter)) {
        let client = installation.client.clone();
        let check = move || runtime.block_on(rights::check(&client)).map_err(Failed::from);
        // Without the scenarios that need these, some rights are not used.
        let lacking = [Need::OwnControlPlane, Need::Processes].into_iter().find_map(|need| installation.lacks(need));
        libtest_mimic::run(&arguments, vec![where_it_applies(Trial::test(rights::NAME, check), lacking)])
            .exit_if_failed();
    }
    conclusion.exit();
}

/// Where the time has gone: scenarios are waited for.
fn tell_the_slowest(taken: &mut [(Duration, &str)]) {
    taken.sort_unstable_by(|one, other| other.cmp(one));
    let sum: Duration = taken.iter().map(|(time, _)| *time).sum();
    println!("{} s in {} scenarios, the longest of them:", sum.as_secs(), taken.len());
    taken.iter().take(LONGEST_TOLD).for_each(|(time, name)| println!("{:5} s  {name}", time.as_secs()));
}

/// Said where the others say `ok`: not on this cluster.
fn where_it_applies(trial: Trial, lacking: Option<String>) -> Trial {
    match lacking {
        Some(why) => trial.with_kind(format!("does not apply: {why}")).with_ignored_flag(true),
        None => trial,
    }
}

/// Plays one scenario in a namespace of its own, and tells how long that took; on failure prints what one needs to find
/// out why.
async fn play(
    scenario: Scenario,
    installation: Arc<Installation>,
    alone: Arc<RwLock<()>>,
) -> (Duration, Result<(), Failed>) {
    let _shared;
    let _alone;
    match scenario.kind {
        Kind::Shared => _shared = alone.read().await,
        Kind::Alone => _alone = alone.write().await,
    }
    let begun = Instant::now();
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
        (Kind::Alone, Err(_)) => installation.ground.put_back().await,
        _ => installation.ground.make_whole().await,
    }
    scene.clean_up().await;
    (begun.elapsed(), outcome)
}
