//! What can be wrong with the installation itself: definitions, replicas, who leads, rights.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use crate::cli::render::{program, span};

use super::findings::{Finding, finding, ours};
use super::seen::{Definition, LeaseSeen, Seen};

/// A lease that nobody has renewed for so many of its durations is nobody's. The clocks here and there may differ.
const LEASE_PATIENCE: i64 = 4;

/// What installs, or installs again.
pub(super) fn apply() -> String {
    let version = env!("CARGO_PKG_VERSION");
    format!("kubectl apply -k manifests/base   # in the sources of {version}; with Helm: helm upgrade")
}

/// Nothing of Castoff is here: one finding, not one for each part.
pub(super) fn absent(seen: &Seen) -> Option<Finding> {
    let definitions = seen.definitions.as_ref()?;
    let none_is_defined = definitions.iter().all(|(_, state)| *state == Definition::Missing);
    let none_runs = seen.replicas.as_ref().is_none_or(Vec::is_empty);
    let what = format!("Castoff is not installed in this cluster, nor does it run in {}", seen.namespace);
    let absent = none_is_defined && none_runs && ours(seen).next().is_none();
    absent.then(|| finding("NotInstalled", &what, "nothing is guarded", &apply()))
}

pub(super) fn definitions(seen: &Seen) -> Vec<Finding> {
    let fix = format!("{} crds | kubectl apply --server-side --force-conflicts -f -", program());
    let of = |(name, state): &(String, Definition)| match state {
        Definition::AsItShouldBe => None,
        Definition::Missing => Some(finding(
            "DefinitionMissing",
            &format!("{name} is not defined"),
            "Castoff waits for it at its start",
            &fix,
        )),
        Definition::Differs(place) => {
            let what = format!("{name} is not that of version {}: {place}", env!("CARGO_PKG_VERSION"));
            Some(finding("DefinitionDiffers", &what, "the API server drops fields that it does not know", &fix))
        }
    };
    seen.definitions.iter().flatten().filter_map(of).collect()
}

/// Definitions that are older or newer than what runs.
pub(super) fn versions(seen: &Seen) -> Vec<Finding> {
    let replicas: BTreeSet<&str> = seen.replicas.iter().flatten().map(|replica| replica.version.as_str()).collect();
    let mut found = Vec::new();
    for running in replicas.into_iter().filter(|running| !running.is_empty()) {
        let of = |order: Ordering| {
            let others = seen.defined.iter().filter(|(_, defined)| !defined.is_empty());
            let others = others.filter(|(_, defined)| parts(defined).cmp(&parts(running)) == order);
            others.map(|(name, defined)| format!("{name} is of version {defined}")).collect::<Vec<_>>().join(", ")
        };
        let (older, newer) = (of(Ordering::Less), of(Ordering::Greater));
        if !older.is_empty() {
            let what = format!("{older}, and replicas of {running} run: definitions come first");
            let why = "the API server drops fields that it does not know";
            let fix = format!("kubectl apply --server-side --force-conflicts -f crds.yaml, of version {running}");
            found.push(finding("DefinitionOlder", &what, why, &fix));
        }
        if !newer.is_empty() {
            let what = format!("{newer}, and replicas of {running} still run");
            let why =
                "a policy may use words that they don't know, and its pods may not leave until the upgrade is over";
            let fix = format!("kubectl rollout status deployment/castoff -n {}", seen.namespace);
            found.push(finding("DefinitionNewer", &what, why, &fix));
        }
    }
    found
}

/// A version's numbers, by which versions are ordered.
fn parts(version: &str) -> Vec<u64> {
    version.split(['.', '-', '+']).map_while(|part| part.parse().ok()).collect()
}

/// Whether it runs outside the cluster, so that there is nothing to see of its pods: none is there, and yet somebody is
/// leading, or is to be reached by a URL.
fn runs_elsewhere(seen: &Seen) -> bool {
    let no_pods = seen.replicas.as_ref().is_some_and(Vec::is_empty);
    let is_leader = seen.lease.as_ref().is_some_and(|lease| vacancy(lease, seen).is_none());
    no_pods && (is_leader || ours(seen).any(|hook| hook.service.is_none()))
}

/// What has Castoff begin anew.
pub(super) fn restart(seen: &Seen) -> String {
    if runs_elsewhere(seen) {
        return "restart `castoff serve`, where it runs".to_owned();
    }
    format!("kubectl rollout restart deployment/castoff -n {}", seen.namespace)
}

/// What shows whether replicas are there to be reached.
pub(super) fn whereabouts(seen: &Seen) -> String {
    if runs_elsewhere(seen) {
        return "see that `castoff serve` runs, and that the API server reaches its URL".to_owned();
    }
    format!("kubectl get pods,endpointslices -n {}", seen.namespace)
}

/// What shows what Castoff says.
pub(super) fn logs(seen: &Seen) -> String {
    if runs_elsewhere(seen) {
        return "read what `castoff serve` has logged, where it runs".to_owned();
    }
    format!("kubectl logs -n {} -l app.kubernetes.io/name=castoff", seen.namespace)
}

pub(super) fn replicas(seen: &Seen) -> Vec<Finding> {
    let Some(replicas) = seen.replicas.as_ref().filter(|_| !runs_elsewhere(seen)) else { return Vec::new() };
    let namespace = &seen.namespace;
    if replicas.iter().all(|replica| !replica.ready) {
        let why = "guarded pods can't be deleted or evicted while no replica answers";
        let what = match replicas.len() {
            0 => format!("Castoff does not run in {namespace}"),
            _ => format!("no replica in {namespace} is Ready"),
        };
        return vec![finding("NoReplica", &what, why, &format!("kubectl describe pods -n {namespace}"))];
    }
    let mut found = Vec::new();
    for replica in replicas.iter().filter(|replica| !replica.ready) {
        let says = replica.says.join("; ");
        let what = format!("the replica {} is not Ready: {says}", replica.name);
        let fix = format!("kubectl logs -n {namespace} {}", replica.name);
        found.push(finding("ReplicaNotReady", what.trim_end_matches(": "), "one less that answers", &fix));
    }
    let images: BTreeSet<&str> = replicas.iter().map(|replica| replica.image.as_str()).collect();
    if images.len() > 1 {
        let what = format!("replicas run different images: {}", images.into_iter().collect::<Vec<_>>().join(", "));
        let fix = format!("kubectl rollout status deployment/castoff -n {namespace}");
        found.push(finding("VersionsDiffer", &what, "what one writes, another may not know", &fix));
    }
    found
}

pub(super) fn lease(seen: &Seen) -> Vec<Finding> {
    let Some(lease) = &seen.lease else { return Vec::new() };
    let why = "nobody prepares pods: those that are guarded are denied, and nothing happens";
    vacancy(lease, seen).iter().map(|what| finding("NotInCharge", what, why, &logs(seen))).collect()
}

/// Why nobody leads; `None` where somebody is.
fn vacancy(lease: &LeaseSeen, seen: &Seen) -> Option<String> {
    if lease.holder.is_empty() {
        return Some(format!("nobody holds the Lease {}/castoff", seen.namespace));
    }
    let age = lease.renewed.map_or(0, |renewed| seen.now.duration_since(renewed).as_secs());
    let stale = age > LEASE_PATIENCE * lease.duration_seconds.max(1);
    stale.then(|| format!("{} holds the Lease and has not renewed it for {}", lease.holder, span(age)))
}

pub(super) fn rights(seen: &Seen) -> Vec<Finding> {
    let Some(missing) = seen.missing_rights.as_ref().filter(|missing| !missing.is_empty()) else { return Vec::new() };
    let what = format!("Castoff may not {}", missing.join(", "));
    let why = "what it needs that for does not happen";
    vec![finding("RightsMissing", &what, why, &apply())]
}
