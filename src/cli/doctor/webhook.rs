//! What can be wrong with the registration: entries, their reach, certificates.

use std::collections::BTreeSet;

use jiff::SignedDuration;

use crate::admission::bypass;
use crate::kubernetes::registration::{EVICTIONS, PODS};
use crate::policy::selector;
use crate::trust::authority::{Validity, accepted, split};

use super::findings::{Finding, finding, ours};
use super::installation::{logs, restart};
use super::seen::{Hook, Seen};

/// Less time than this for an answer, in seconds, leaves no room for a look at the backend.
const SHORTEST_TIMEOUT: i64 = 5;

/// Castoff renews certificates when a third of their life is left, 30 days of 90: with less, something is wrong.
const RENEWED_BEFORE: SignedDuration = SignedDuration::from_hours(14 * 24);

pub(super) fn registered(seen: &Seen) -> Vec<Finding> {
    // With no policy there is nothing to send.
    if seen.hooks.is_none() || seen.policies.is_empty() {
        return Vec::new();
    }
    let namespace = &seen.namespace;
    let again = if seen.was_registered {
        format!(
            "kubectl delete configmap castoff-registration -n {namespace}   # somebody has deleted the registration; this makes it again"
        )
    } else {
        restart(seen)
    };
    let missing: Vec<&str> =
        [PODS, EVICTIONS].into_iter().filter(|name| ours(seen).all(|hook| hook.name != *name)).collect();
    match missing.as_slice() {
        [] => Vec::new(),
        [one] => {
            let what = format!("the webhook {one} is not registered");
            let why = if *one == PODS { "deletes" } else { "evictions, as of `kubectl drain`," };
            vec![finding(
                "EntryMissing",
                &what,
                &format!("{why} are not sent to Castoff: pods leave unprepared"),
                &again,
            )]
        }
        _ => {
            let why = "nothing is sent to Castoff: guarded pods leave unprepared";
            vec![finding("NotRegistered", "Castoff is not registered with the API server", why, &again)]
        }
    }
}

pub(super) fn entries(seen: &Seen) -> Vec<Finding> {
    let mut found = Vec::new();
    for hook in ours(seen) {
        let Hook { name, configuration, timeout_seconds, .. } = hook;
        let edit = format!("kubectl edit validatingwebhookconfiguration {configuration}");
        let wanted = if name == PODS { "DELETE pods" } else { "CREATE pods/eviction" };
        if !hook.sends.iter().any(|sent| sends(sent, wanted)) {
            let what = format!("the webhook {name} has no rule for {wanted}");
            found.push(finding(
                "RuleMissing",
                &what,
                "such requests are not sent to Castoff: pods leave unprepared",
                &edit,
            ));
        }
        if *timeout_seconds < SHORTEST_TIMEOUT {
            let what = format!("the webhook {name} waits only {timeout_seconds}s for an answer");
            let why =
                "a look at a backend takes up to 3s; an answer that is late is an error 500, and drains end there";
            found.push(finding("TimeoutTooSmall", &what, why, &format!("{edit}   # timeoutSeconds: 10")));
        }
        if hook.selects_objects {
            let what = format!("the webhook {name} has an objectSelector");
            let why = "it leaves pods out, and on evictions sees the labels of the eviction, not of the pod";
            found.push(finding("ObjectSelector", &what, why, &edit));
        }
        if hook.fails_open {
            let what = format!("the webhook {name} lets requests through while Castoff does not answer");
            let why = "guarded pods leave unprepared then; it was chosen so (failurePolicy: Ignore)";
            found.push(Finding {
                note: true,
                ..finding("FailsOpen", &what, why, "start Castoff with --failure-policy Fail")
            });
        }
    }
    found
}

/// A path that anybody guesses: the API server shows webhooks no certificate, so the path is what tells its reviews
/// from forged ones.
pub(super) fn paths(seen: &Seen) -> Vec<Finding> {
    let guessed = |hook: &&Hook| matches!(hook.path.as_str(), "" | "/" | "/validate");
    let Some(hook) = ours(seen).find(guessed) else { return Vec::new() };
    let what = format!("the path of the webhook {} can be guessed", hook.name);
    let why = "whoever reaches Castoff's port can pass for the API server, and begin drains";
    let fix = format!(
        "kubectl edit validatingwebhookconfiguration {}   # a path of random letters, as by openssl rand -hex 32",
        hook.configuration
    );
    vec![Finding { note: true, ..finding("PathGuessed", &what, why, &fix) }]
}

/// Whether an entry that sends `sent` sends `wanted`; each is an operation and a resource.
fn sends(sent: &str, wanted: &str) -> bool {
    let (Some((operation, resource)), Some((wanted_operation, wanted_resource))) =
        (sent.split_once(' '), wanted.split_once(' '))
    else {
        return false;
    };
    // As Kubernetes reads rules: `*` is every resource and no subresource.
    let resources: &[&str] = match wanted_resource {
        "pods" => &["pods", "*", "*/*"],
        _ => &["pods/eviction", "pods/*", "*/eviction", "*/*"],
    };
    (operation == "*" || operation == wanted_operation) && resources.contains(&resource)
}

pub(super) fn covered(seen: &Seen) -> Vec<Finding> {
    let namespaces: BTreeSet<&str> = seen.policies.iter().map(|policy| policy.namespace.as_str()).collect();
    let is_left_out = |namespace: &&str| {
        let labels = seen.namespaces.get(*namespace);
        let labels = labels
            .map(|labels| labels.iter().map(|(key, value)| (key.as_str().into(), value.as_str().into())).collect());
        labels.is_some_and(|labels| ours(seen).any(|hook| !selector::matches(&hook.namespaces, &labels)))
    };
    let of = |namespace: &str| {
        let what = format!("the namespace {namespace} has policies, but its deletes are not sent to Castoff");
        let fix = match namespace {
            "kube-system" => "start Castoff with --allow-namespace kube-system".to_owned(),
            own if own == seen.namespace => {
                format!("kubectl delete drainpolicies --all -n {own}   # it can't guard itself")
            }
            _ => logs(seen),
        };
        finding("NotCovered", &what, "its pods leave unprepared", &fix)
    };
    namespaces.into_iter().filter(is_left_out).map(of).collect()
}

pub(super) fn certificates(seen: &Seen) -> Vec<Finding> {
    let mut found = Vec::new();
    let renew = restart(seen);
    let mut checked = BTreeSet::new();
    for hook in ours(seen).filter(|hook| checked.insert(hook.bundle.clone())) {
        let trusted = split(&hook.bundle);
        if let (Some(certificate), Some(service)) = (&seen.certificate, &hook.service)
            && let Err(why) = accepted(&trusted, certificate, std::slice::from_ref(service), seen.now)
        {
            let what = format!("the API server does not accept the certificate that Castoff serves: {why}");
            let why = "no request reaches Castoff: guarded pods can't be deleted";
            found.push(finding("CertificateNotAccepted", &what, why, &renew));
        }
        let newest = trusted.iter().filter_map(|pem| Validity::of(pem).ok()).map(|it| it.until).max();
        found.extend(newest.and_then(|until| ends("authority that the API server trusts", until, seen, &renew)));
    }
    let served = seen.certificate.as_ref().and_then(|pem| Validity::of(pem).ok());
    found.extend(served.and_then(|served| ends("certificate that Castoff serves", served.until, seen, &renew)));
    found
}

fn ends(which: &str, until: jiff::Timestamp, seen: &Seen, fix: &str) -> Option<Finding> {
    let left = until.duration_since(seen.now);
    if left > RENEWED_BEFORE {
        return None;
    }
    let what = match left.as_hours() / 24 {
        _ if left <= SignedDuration::ZERO => format!("the {which} is over since {until:.0}"),
        days => format!("the {which} ends in {days} days and was not renewed"),
    };
    Some(finding("CertificateEnds", &what, "then no request reaches Castoff, and guarded pods can't be deleted", fix))
}

pub(super) fn gate_open(seen: &Seen) -> Vec<Finding> {
    let mut configurations = BTreeSet::new();
    let open = |hook: &&Hook| {
        let of = |key: &str| hook.annotations.get(key).map(String::as_str);
        matches!(bypass::read(of, seen.now), bypass::Bypass::InForce(_))
            && configurations.insert(hook.configuration.clone())
    };
    let open: Vec<&Hook> = ours(seen).filter(open).collect();
    let of = |hook: &Hook| {
        let what = format!("the gate is open everywhere: {} bears {}", hook.configuration, bypass::REASON);
        let fix = format!(
            "kubectl annotate validatingwebhookconfiguration {} {}- {}-",
            hook.configuration,
            bypass::REASON,
            bypass::UNTIL
        );
        finding("GateOpen", &what, "every guarded pod may leave unprepared", &fix)
    };
    open.into_iter().map(of).collect()
}
