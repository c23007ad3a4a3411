//! What can go wrong in the demo, when it does, and what a person would do.

use std::time::Duration;

use clap::ValueEnum;

use crate::lifecycle::Phase;
use crate::simulation::pd::{Fault as PdFault, SimulatedPd};

/// A fault of the demo.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Fault {
    /// PD does not answer for a while
    PdDown,
    /// PD takes a second for each answer, for a while
    PdSlow,
    /// PD restarts, and for a while reads every count as 0
    PdRestart,
    /// Leaders do not move for a while
    StuckLeaders,
    /// Another store is away for a while
    StoreAway,
    /// A person deletes the pods one by one, and gives up in the midst of a preparation
    PersonGivesUp,
    /// The pod that is to go has no running container
    CrashLoop,
    /// The guard is killed in the midst of a preparation, and started again
    KillGuard,
}

/// What the demo does about a fault besides PD.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// Nothing.
    Nothing,
    /// Stop rolling.
    GiveUp,
    /// Kill the guard and start another.
    KillGuard,
    /// Let the first pod crash, and a person delete it.
    CrashAndDelete,
}

impl Fault {
    /// How long it lasts.
    pub(super) fn lasts(self) -> Duration {
        match self {
            Fault::PdRestart => Duration::from_secs(4),
            _ => Duration::from_secs(5),
        }
    }

    /// The phase of the first pod's drain in which it begins.
    pub(super) fn begins_in(self) -> Phase {
        match self {
            Fault::StoreAway | Fault::CrashLoop => Phase::Queued,
            _ => Phase::Draining,
        }
    }

    /// Begins it.
    pub(super) fn begin(self, pd: &SimulatedPd) -> Asked {
        match self {
            Fault::PdDown => pd.set_fault(Some(PdFault::Refuse)),
            Fault::PdSlow => pd.set_fault(Some(PdFault::Slow(Duration::from_secs(1)))),
            Fault::StuckLeaders => pd.set_fault(Some(PdFault::StuckLeaders)),
            Fault::PdRestart => pd.restart(self.lasts()),
            // The store of the pod that is not rolled.
            Fault::StoreAway => pd.with_state(|state| state.set_away(1, true)),
            Fault::PersonGivesUp => return Asked::GiveUp,
            Fault::KillGuard => return Asked::KillGuard,
            Fault::CrashLoop => return Asked::CrashAndDelete,
        }
        Asked::Nothing
    }

    /// Ends it.
    pub(super) fn end(self, pd: &SimulatedPd) {
        match self {
            Fault::PdDown | Fault::PdSlow | Fault::StuckLeaders => pd.set_fault(None),
            Fault::StoreAway => pd.with_state(|state| state.set_away(1, false)),
            Fault::PdRestart | Fault::PersonGivesUp | Fault::CrashLoop | Fault::KillGuard => {}
        }
    }

    /// What is told when it begins.
    pub(super) fn told(self) -> &'static str {
        match self {
            Fault::PdDown => "PD does not answer any more",
            Fault::PdSlow => "PD takes a second for each answer from now on",
            Fault::PdRestart => "PD restarts: for 4 s it reads every count as 0 and shows no entry",
            Fault::StuckLeaders => "leaders do not move any more (as with leader-schedule-limit 0)",
            Fault::StoreAway => "the store of basic-tikv-0 does not report any more",
            Fault::PersonGivesUp => "the person who deletes the pods gives up (Ctrl-C)",
            Fault::CrashLoop => "no container of basic-tikv-3 runs: a crash loop",
            Fault::KillGuard => "the guard is killed, and another one is started on the same state",
        }
    }

    /// What a person would do.
    pub(super) fn advice(self) -> &'static str {
        match self {
            Fault::PdDown => {
                "Nothing to do for the guard: the denial names the request. Bring PD back; it goes on by itself."
            }
            Fault::PdSlow => "Nothing to do: it only took longer. If it stays so, look at PD.",
            Fault::PdRestart => "Nothing to do: what PD said while it loaded its regions was not believed.",
            Fault::StuckLeaders => {
                "Look at PD's leader-schedule-limit and at paused schedulers; it goes on as soon as leaders move."
            }
            Fault::StoreAway => {
                "Bring that store back first: with another one gone the data would have too few copies."
            }
            Fault::PersonGivesUp => {
                "Nothing to do: what was set at PD is undone once nobody asks for the pod any more."
            }
            Fault::CrashLoop => {
                "Nothing to do: a pod that does not run is let go at once (exempt: NotRunning), so that it can be replaced."
            }
            Fault::KillGuard => {
                "Nothing to do: the guard wrote down what it was about to do before it did it, and went on."
            }
        }
    }
}
