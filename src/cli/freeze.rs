//! `castoff freeze` and `castoff unfreeze`: for a while nothing of a policy begins, and what is prepared stays held.

use clap::Args;
use jiff::{SignedDuration, Timestamp};
use kube::Client;
use kube::api::{Api, Patch, PatchParams};
use kube::core::DynamicObject;
use serde_json::{Value, json};

use crate::kubernetes::resources::drain_policies;
use crate::policy::freeze::{BY, Freeze, Frozen, MOST_DAYS, REASON, UNTIL};

use super::connect::{Reach, refused, whoami};
use super::render::program;
use super::{Failure, output};

/// Holds all pods of a policy for a while: no preparation begins, and what is prepared already stays prepared and held.
///
/// What is under way at a backend is brought to its end. Every denial says who froze the policy, why and until when.
/// Pods that the policy exempts leave all the same, and so do those with a bypass.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  castoff freeze tikv -n tidb --reason INC-4711 --until 4h
  castoff freeze tikv -n tidb --reason \"restore of the backup\" --until 2030-01-31T18:00:00Z
  castoff unfreeze tikv -n tidb                       before its time

It needs the right to patch drainpolicies (castoff-admin, part of admin) and the verb bypass on them (castoff-bypass).

Exit codes: 0 frozen, 1 it can't be, 2 wrong usage.")]
pub(super) struct FreezePolicy {
    /// The policy
    #[arg(value_name = "POLICY")]
    policy: String,

    /// Why, for those who read a denial: an incident's number, a change's
    #[arg(long, value_name = "TEXT")]
    reason: String,

    /// Until when: a time as 2030-01-31T18:00:00Z, or how long from now, as 4h or 90m; at most 7 days ahead
    #[arg(long, value_name = "TIME", value_parser = end)]
    until: Timestamp,

    #[command(flatten)]
    reach: Reach,
}

/// Ends a freeze before its time: pods that wait are prepared, and what is prepared may leave.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  castoff unfreeze tikv -n tidb

It needs the same rights as castoff freeze.

Exit codes: 0 the policy is not frozen any more, 1 it can't be done, 2 wrong usage.")]
pub(super) struct Unfreeze {
    /// The policy
    #[arg(value_name = "POLICY")]
    policy: String,

    #[command(flatten)]
    reach: Reach,
}

/// Freezes a policy.
pub(super) async fn freeze(command: FreezePolicy) -> Result<(), Failure> {
    let reason = command.reason.trim();
    if reason.is_empty() {
        return Err(Failure::Usage("--reason is empty: say why, for those who read a denial".to_owned()));
    }
    let (client, namespace) = command.reach.connect().await?;
    let by = whoami(&client).await?;
    let annotations = json!({REASON: reason, UNTIL: command.until.to_string(), BY: by});
    let policy = annotate(&client, &namespace, &command.policy, &annotations).await?;
    let frozen = frozen(&policy).ok_or_else(|| Failure::No(format!("{}: not frozen", command.policy)))?;
    output::line(format_args!("policy {namespace}/{} is {frozen}", command.policy));
    output::line(format_args!("who waits     {} status -n {namespace}", program()));
    output::line(format_args!("end it        {} unfreeze {} -n {namespace}", program(), command.policy));
    Ok(())
}

/// Thaws a policy.
pub(super) async fn unfreeze(command: Unfreeze) -> Result<(), Failure> {
    let (client, namespace) = command.reach.connect().await?;
    let annotations = json!({REASON: null, UNTIL: null, BY: null});
    annotate(&client, &namespace, &command.policy, &annotations).await?;
    output::line(format_args!("policy {namespace}/{} is not frozen", command.policy));
    Ok(())
}

fn frozen(policy: &DynamicObject) -> Option<Frozen> {
    Freeze::of(policy.metadata.annotations.as_ref()?).in_force(Timestamp::now())
}

async fn annotate(
    client: &Client,
    namespace: &str,
    policy: &str,
    annotations: &Value,
) -> Result<DynamicObject, Failure> {
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &drain_policies());
    let change = Patch::Merge(json!({"metadata": {"annotations": annotations}}));
    let patched = api.patch(policy, &PatchParams::default(), &change).await;
    patched.map_err(|error| refused(&format!("freeze {namespace}/{policy}"), &error))
}

/// When it ends, from a time or from how long.
fn end(text: &str) -> Result<Timestamp, String> {
    end_from(text, Timestamp::now())
}

fn end_from(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    let span = || text.parse::<SignedDuration>().ok().and_then(|span| now.checked_add(span).ok());
    let until: Timestamp = text.parse().ok().or_else(span).ok_or("write a time as 2030-01-31T18:00:00Z, 4h or 90m")?;
    let until = Timestamp::from_second(until.as_second()).map_err(|error| error.to_string())?;
    if until <= now {
        return Err("that is past".to_owned());
    }
    if until.duration_since(now) > SignedDuration::from_hours(24 * i64::from(MOST_DAYS)) {
        return Err(format!("a freeze ends within {MOST_DAYS} days; it can be set again"));
    }
    Ok(until)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_end_of_a_freeze_is_a_time_or_a_while_of_a_week_at_most() {
        let now: Timestamp = "2030-01-31T12:00:00.5Z".parse().unwrap();
        let until = |text| end_from(text, now).map(|until| until.to_string());
        assert_eq!(until("4h").as_deref(), Ok("2030-01-31T16:00:00Z"));
        assert_eq!(until("2030-02-01T00:00:00+01:00").as_deref(), Ok("2030-01-31T23:00:00Z"));
        assert_eq!(until("168h").as_deref(), Ok("2030-02-07T12:00:00Z"));
        for (text, why) in [("169h", "within 7 days"), ("-1h", "past"), ("tomorrow", "write a time")] {
            let said = until(text).unwrap_err();
            assert!(said.contains(why), "{text}: {said}");
        }
    }
}
