//! What the gate is asked, and what production decides.

use std::sync::{Arc, LazyLock};

use castoff::admission::{Case, Decision, Facts, Request, Stage, What, decide, first_questions};
use castoff::lifecycle::{Caller, Drain};
use castoff::pod::Pod;
use jiff::Timestamp;

use crate::sights::Form;

/// A call for a pod: a person's is an eviction, as of a drain of the node, that of others a delete.
pub struct Asked {
    pub pod: Arc<Pod<'static>>,
    pub caller: Caller,
    pub policy: Form,
}

/// Nothing is known of the node, nor of the namespace.
static FACTS: LazyLock<Facts> = LazyLock::new(Facts::default);

pub fn user(caller: Caller) -> &'static str {
    match caller {
        Caller::Person => "alice",
        Caller::Owner => "system:serviceaccount:kube-system:statefulset-controller",
        _ => "system:serviceaccount:operators:x",
    }
}

impl Asked {
    fn request(&self, dry_run: bool) -> Request<'_> {
        let what = match self.caller {
            Caller::Person => What::Eviction { uid_precondition: None, grace_period_seconds: None },
            _ => What::Delete { pod: Box::new(Pod::clone(&self.pod)), grace_period_seconds: None },
        };
        Request {
            uid: "call".into(),
            namespace: "n".into(),
            name: self.pod.metadata.name.clone(),
            username: user(self.caller).into(),
            caller: self.caller,
            dry_run,
            what,
        }
    }

    /// What the gate decides, by the drain as it knows it.
    pub fn decide(&self, drain: Option<&Drain>, dry_run: bool) -> Decision {
        let request = self.request(dry_run);
        match first_questions(&request, Some(&self.pod), self.policy.policies(), None) {
            Stage::Answer(answer) => Decision::Answer(answer),
            Stage::Guarded(guard) => decide(&Case {
                request: &request,
                pod: &self.pod,
                guard: &guard,
                facts: &FACTS,
                drain,
                now: Timestamp::UNIX_EPOCH,
            }),
        }
    }

    /// What is wrong with the answer: a dry run answers as the real call and makes nothing, and a denial says why.
    pub fn is_other_than_a_dry_run(&self, drain: Option<&Drain>, real: &Decision) -> Option<&'static str> {
        let dry = self.decide(drain, true);
        let same = match (&dry, real) {
            (Decision::Verify, Decision::Verify) => true,
            (Decision::Answer(dry), Decision::Answer(real) | Decision::Create(real) | Decision::Again(real)) => {
                if real.allowed {
                    return Some("1: allowed without a look at the backend");
                }
                if real.message.is_empty() {
                    return Some("7: a denial that does not say why");
                }
                dry == real
            }
            _ => false,
        };
        (!same).then_some("4: a dry run does not answer as the real call")
    }

    /// Whether the first questions let the pod go.
    pub fn is_let_go_at_once(&self) -> bool {
        matches!(self.decide(None, false), Decision::Answer(answer) if answer.allowed)
    }
}
