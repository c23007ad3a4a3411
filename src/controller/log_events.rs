//! People are told by the log.

use super::interfaces::Events;
use crate::lifecycle::{Drain, Event};

/// Writes events to the log.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogEvents;

impl Events for LogEvents {
    fn tell(&self, drain: &Drain, event: &Event) {
        let (pod, reason, message) = (drain.pod_name(), event.reason, &event.message);
        if event.warning {
            tracing::warn!(%pod, reason, "{message}");
        } else {
            tracing::info!(%pod, reason, "{message}");
        }
    }
}
