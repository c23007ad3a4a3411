//! People are told by the log.

use crate::lifecycle::{Drain, Event};
use crate::pod::Pod;
use crate::ports::Events;
use crate::runbook;

/// Writes events to the log.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogEvents;

impl Events for LogEvents {
    fn tell(&self, drain: &Drain, event: &Event) {
        self.tell_of_pod(&drain.spec.pod, event);
    }

    fn tell_of_pod(&self, pod: &Pod<'_>, event: &Event) {
        let (pod, reason, message) = (pod.full_name(), event.reason, &event.message);
        if event.warning {
            tracing::warn!(%pod, reason, runbook = runbook::command(reason), "{message}");
        } else {
            tracing::info!(%pod, reason, "{message}");
        }
    }
}
