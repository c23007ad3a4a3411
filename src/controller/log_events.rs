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
        log(&drain.pod_name(), event);
    }

    fn tell_of_pod(&self, pod: &Pod<'_>, event: &Event) {
        log(&pod.full_name(), event);
    }
}

fn log(pod: &str, event: &Event) {
    let (reason, message) = (event.reason, &event.message);
    if event.warning {
        tracing::warn!(%pod, reason, runbook = runbook::command(reason), "{message}");
    } else {
        tracing::info!(%pod, reason, "{message}");
    }
}
