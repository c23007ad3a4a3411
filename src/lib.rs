//! Castoff holds back the delete of an important pod until its backend is ready for it to leave.
//!
//! A request's way, with the modules in that order:
//!
//! 1. The API server posts an AdmissionReview to [`server`], which owns the sockets, TLS and deadlines.
//! 2. [`admission`] reads the bytes, asks the gate's questions in their order and says what to answer;
//!    [`policy`] tells which steps guard the [`pod`].
//! 3. A pod that is guarded gets a drain ([`lifecycle`]). The [`controller`] brings it about: it observes the
//!    backend and acts on it as the [`plan`] of each step says, through [`backend`].
//! 4. Once prepared, the pod's controller is woken, tries again, and the gate lets the pod go.
//!
//! [`kubernetes`] keeps the state in a cluster, and Castoff's own certificates and registration; `standalone` keeps it
//! where there is none. `simulation` plays backends for the demo and the tests; what users install
//! is built without it. `app` puts everything together, and `cli` is for people. [`hook`] runs beside an application that
//! only commands can steer, in its pod.

pub mod admission;
pub mod app;
pub mod backend;
pub mod cli;
pub mod controller;
pub mod facts;
pub mod gate;
pub mod hook;
pub mod kubernetes;
pub mod lifecycle;
pub mod metrics;
pub(crate) mod nearest;
pub mod plan;
pub mod pod;
pub mod policy;
pub mod ports;
pub(crate) mod printable;
pub mod remedy;
pub mod runbook;
pub mod runtime;
pub(crate) mod schema;
pub mod server;
#[cfg(feature = "demo")]
pub mod simulation;
pub mod standalone;
pub mod trust;
pub mod yaml;
