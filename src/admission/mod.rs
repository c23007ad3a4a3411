//! The gate: from a review's bytes to the answer.
//!
//! 1. [`request::parse`]: bytes to a [`Request`], borrowed.
//! 2. [`first_questions`]: what the request and the policies answer by themselves. Most requests end here.
//! 3. [`decide()`]: a guarded pod, with its facts and its drain. Where it says [`Decision::Verify`], the caller looks
//!    at the backend and claims the drain, then takes [`allowed`] or [`not_verified`].
//! 4. [`response::render`]: the answer to bytes.
//!
//! The first question that applies decides; its reason ([`Reason`]) goes into the metric, the audit annotation and
//! the log. Nothing here waits, reads a clock or keeps anything.

pub(crate) mod answer;
pub(crate) mod bypass;
pub(crate) mod case;
pub(crate) mod decide;
pub(crate) mod dry_run;
pub(crate) mod first;
pub(crate) mod messages;
pub(crate) mod reason;
pub mod request;
pub mod response;
mod wire;

pub use answer::{Answer, Audited};
pub use case::{Case, Facts};
pub(crate) use decide::unconfirmed;
pub use decide::{Decision, NotVerified, allowed, decide, not_verified};
pub use first::{Guard, Stage, first_questions};
pub use reason::Reason;
pub use request::{Malformed, Request, What};
