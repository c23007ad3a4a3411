//! Work on what backends answered: parsing and evaluating, which long answers make long. It runs beside the threads that
//! answer reviews, and no namespace does much of it at once, so that one tenant's backend delays nobody else.

use serde_json::Value;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::time::{Instant, timeout_at};

use super::permits::Permits;
use crate::plan::{Observation, Observations};

/// So many pieces of work of one namespace run at once.
const AT_ONCE: usize = 2;

/// Answers of so few values are evaluated where they came in: to hand that to another thread takes longer, and lists
/// of a few hundred items, against each other, are some milliseconds.
const A_FEW: usize = 256;

/// Whether so few values were observed that to evaluate them takes no time.
pub fn is_little(observed: &Observations) -> bool {
    let bodies = observed.values().filter_map(|observation| match observation {
        Observation::Answer { body, .. } | Observation::Value(body) => Some(body),
        Observation::Failed { .. } | Observation::PodGone => None,
    });
    let mut room = A_FEW;
    bodies.into_iter().all(|body| takes(body, &mut room))
}

/// Takes the values of this document from `room`; whether there was enough.
fn takes(document: &Value, room: &mut usize) -> bool {
    *room = room.saturating_sub(1);
    *room > 0
        && match document {
            Value::Array(items) => items.iter().all(|item| takes(item, room)),
            Value::Object(fields) => fields.values().all(|value| takes(value, room)),
            _ => true,
        }
}

/// The work that is under way, by namespace.
#[derive(Debug)]
pub struct Evaluations(Permits);

impl Default for Evaluations {
    fn default() -> Self {
        Evaluations(Permits::new(AT_ONCE))
    }
}

impl Evaluations {
    /// Does `work` for this namespace once less than [`AT_ONCE`] of its pieces are under way; `None` where that is not
    /// so before `limit`.
    pub async fn run<T>(&self, namespace: &str, limit: Instant, work: impl FnOnce() -> T) -> Option<T> {
        let permits = self.0.of(namespace);
        let _permit = timeout_at(limit, permits.acquire()).await.ok()?.ok()?;
        // Only there other threads take over what this one would have done meanwhile.
        match Handle::current().runtime_flavor() {
            RuntimeFlavor::MultiThread => Some(tokio::task::block_in_place(work)),
            _ => Some(work()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plan::ReadKey;

    #[test]
    fn little_is_what_all_answers_together_hold() {
        let of = |lengths: &[usize]| -> Observations {
            let answer = |(index, length): (usize, &usize)| {
                let key = ReadKey { name: "read".to_owned(), item: Some(index) };
                (key, Observation::Answer { code: 200, body: json!({"items": vec![1; *length]}) })
            };
            lengths.iter().enumerate().map(answer).collect()
        };
        assert!(is_little(&of(&[])) && is_little(&of(&[100, 100])));
        assert!(!is_little(&of(&[300])) && !is_little(&of(&[100, 100, 100])));
    }
}
