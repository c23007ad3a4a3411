//! Whether this node's clock can be relied on for what is made by it.

use jiff::{SignedDuration, Timestamp};
use kube::api::ObjectMeta;

/// When the API server last saw the object written, by its own clock.
pub(super) fn last_written(metadata: &ObjectMeta) -> Option<Timestamp> {
    let managed = metadata.managed_fields.iter().flatten().filter_map(|entry| entry.time.as_ref());
    let newest = managed.chain(&metadata.creation_timestamp).map(|time| time.0.as_second()).max()?;
    Timestamp::from_second(newest).ok()
}

/// This node's clock can't be relied on.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ClockError {
    #[error("this node's clock is behind: it says {now:.0}, and the API server said {server:.0}")]
    Behind { now: Timestamp, server: Timestamp },
    #[error("this node's clock is ahead: it says {now:.0}, and the API server said {server:.0}")]
    Ahead { now: Timestamp, server: Timestamp },
}

/// Whether this node's clock agrees with the API server's, by when that saw the Secret written, and the Lease renewed,
/// which the leader does all the time. With a clock that is off by more than `slack`, certificates would be made
/// that callers do not accept, and good ones be taken for those that are over.
pub(super) fn in_step(
    written: Option<Timestamp>,
    renewed: Option<Timestamp>,
    now: Timestamp,
    slack: SignedDuration,
) -> Result<(), ClockError> {
    match (written.max(renewed), renewed) {
        (Some(server), _) if server.duration_since(now) > slack => Err(ClockError::Behind { now, server }),
        (_, Some(server)) if now.duration_since(server) > slack => Err(ClockError::Ahead { now, server }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_clock_that_is_off_the_api_servers_makes_no_certificates() {
        let written = serde_json::json!({"creationTimestamp": "2030-01-01T00:00:00Z", "managedFields": [
            {"manager": "castoff", "operation": "Update", "time": "2030-03-01T00:00:00Z"}]});
        let written = last_written(&serde_json::from_value(written).unwrap()).unwrap();
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let said = |renewed: Option<&str>, now: &str| {
            in_step(Some(written), renewed.map(at), at(now), super::super::Lives::default().backdate)
                .err()
                .map(|error| error.to_string())
        };
        let behind = "this node's clock is behind: it says 1970-01-01T00:10:00Z, and the API server said ";
        assert_eq!(said(None, "1970-01-01T00:10:00Z").unwrap(), format!("{behind}2030-03-01T00:00:00Z"));
        let renewed = Some("2030-06-01T00:00:00Z");
        assert_eq!(said(renewed, "1970-01-01T00:10:00Z").unwrap(), format!("{behind}2030-06-01T00:00:00Z"));
        let ahead = "this node's clock is ahead: it says 2031-01-01T00:00:00Z, and the API server said ";
        assert_eq!(said(renewed, "2031-01-01T00:00:00Z").unwrap(), format!("{ahead}2030-06-01T00:00:00Z"));
        // A Secret that was written long ago says nothing, nor does some difference.
        for (renewed, now) in [
            (None, "2031-01-01T00:00:00Z"),
            (None, "2030-02-28T23:30:00Z"),
            (renewed, "2030-05-31T23:30:00Z"),
            (renewed, "2030-06-01T00:30:00Z"),
        ] {
            assert_eq!(said(renewed, now), None, "{renewed:?} {now}");
        }
    }
}
