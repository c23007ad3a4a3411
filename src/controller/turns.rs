//! The turns that are under way.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;

use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;

use crate::lifecycle::Drain;

use super::agenda::Agenda;
use super::report::{End, Key, Report};

/// Turns under way, and whose they are: one that ends abnormally stops no other.
#[derive(Default)]
pub(super) struct Turns {
    pub tasks: JoinSet<Report>,
    keys: HashMap<Id, (Key, Arc<Drain>)>,
}

impl Turns {
    pub fn begin(&mut self, key: Key, drain: Arc<Drain>, turn: impl Future<Output = Report> + Send + 'static) {
        let id = self.tasks.spawn(turn).id();
        self.keys.insert(id, (key, drain));
    }

    pub fn settle(&mut self, agenda: &mut Agenda, ended: Result<(Id, Report), JoinError>) {
        let report = match ended {
            Ok((id, report)) => {
                self.keys.remove(&id);
                report
            }
            Err(error) => {
                // Nothing is lost: whatever the turn had written is found again by the next one.
                let Some((key, drain)) = self.keys.remove(&error.id()) else { return };
                tracing::error!(drain = %key, %error, "a turn has ended abnormally; trying again");
                Report { key, drain, end: End::Failed }
            }
        };
        agenda.settle(report, Instant::now());
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use std::future::pending;
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    fn drain(name: &str) -> Arc<Drain> {
        let pod = json!({"metadata": {"name": name, "namespace": "n", "uid": format!("uid-of-{name}")}});
        // Each under a policy of its own: of one, they might wait for each other.
        Arc::new(Drain::new(&crate::pod::deserialize_owned(&pod).unwrap(), name, "someone"))
    }

    #[tokio::test]
    async fn a_turn_that_panics_is_tried_again_and_the_others_go_on() {
        let (mut agenda, mut turns, now) = (Agenda::default(), Turns::default(), Instant::now());
        for name in ["breaks", "goes-on"] {
            agenda.take_up(&drain(name), (Duration::ZERO, Duration::ZERO), now);
        }
        while let Some(begun) = agenda.begin(now) {
            let breaks = begun.drain.spec.pod.name == "breaks";
            turns.begin(begun.key, begun.drain, async move {
                assert!(!breaks, "a turn that ends so");
                pending().await
            });
        }
        let ended = turns.tasks.join_next_with_id().await.unwrap();
        turns.settle(&mut agenda, ended);
        // However much later: the one that is still under way never begins a second time.
        let later = Instant::now() + Duration::from_hours(1);
        let again: Vec<_> = std::iter::from_fn(|| agenda.begin(later)).map(|begun| begun.drain).collect();
        assert_eq!(again.iter().map(|drain| drain.spec.pod.name.as_str()).collect::<Vec<_>>(), ["breaks"]);
    }
}
