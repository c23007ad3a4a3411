//! Departing: from the yes, or from the pod's going without one, until the hole that it leaves is closed.

use super::hole::{Hole, SETTLED};
use super::reconcile::Work;
use super::status::{Outcome, Phase};
use super::step::Ownership;
use super::world::PodSeen;

/// Waits for the hole to be closed; a person who deletes or cancels the drain need not, nor for the pod
/// to be gone.
pub(super) fn departing(work: &mut Work<'_>) {
    if hand_over(work) {
        return;
    }
    match work.world.pod {
        PodSeen::Present { .. } => not_carried_out(work),
        PodSeen::Unseen | PodSeen::Gone | PodSeen::Terminating if work.drain.is_cancelled() => over(work),
        PodSeen::Unseen => work.note_outcome(),
        PodSeen::Gone => gone(work),
        PodSeen::Terminating => note_unless_prepared(work),
    }
}

fn gone(work: &mut Work<'_>) {
    if is_closed(work) {
        over(work);
    } else {
        note_unless_prepared(work);
    }
}

fn over(work: &mut Work<'_>) {
    work.note_outcome();
    work.enter(Phase::Restoring);
}

/// That a prepared pod has left is nothing to tell: it is noted with the next phase, which saves a write.
fn note_unless_prepared(work: &mut Work<'_>) {
    if work.drain.status.outcome != Some(Outcome::Prepared) {
        work.note_outcome();
    }
}

/// What a drain that has taken this one's seat over has too is its to undo. True where there is such a drain.
pub(super) fn disown_what_was_taken_over(work: &mut Work<'_>) -> bool {
    let Some(successor) = &work.world.successor else { return false };
    for step in &mut work.steps {
        if successor.status.steps.iter().any(|other| other.is_same(&step.step)) {
            step.step.ownership = Ownership::None;
        }
    }
    true
}

/// A drain that has taken this one's seat over has what both have in common; the rest is undone by this one. True
/// where there is such a drain.
fn hand_over(work: &mut Work<'_>) -> bool {
    let handed_over = disown_what_was_taken_over(work);
    if handed_over {
        over(work);
    }
    handed_over
}

fn is_closed(work: &mut Work<'_>) -> bool {
    match work.world.hole {
        Hole::Closed => true,
        Hole::Open => {
            work.memory.unchanged_for(0, work.world.now);
            false
        }
        Hole::Quiet(pods) => {
            let settled = work.memory.unchanged_for(pods, work.world.now) >= SETTLED;
            if settled {
                let message = "its owner does not say how many pods it wants: all that are there have been Ready for \
                               ten minutes, so the pod counts as replaced";
                work.tell("ReplacedByAllAppearance", false, message.to_owned());
            }
            settled
        }
    }
}

/// The pod was allowed to leave and stands there all the same: a disruption budget or another webhook refused, or the
/// gate died. After some patience it is Drained again, and its controller is woken once more, the first time.
fn not_carried_out(work: &mut Work<'_>) {
    let waited = work.memory.since_claim(work.world.now);
    let patience = work.world.settings.claim_patience;
    if waited < patience {
        work.again = work.again.min(patience.saturating_sub(waited));
        return;
    }
    let status = &mut work.drain.status;
    status.allowed = false;
    status.outcome = None;
    status.not_carried_out += 1;
    if status.not_carried_out == 1 {
        status.cycle += 1;
    }
    work.enter(Phase::Drained);
    work.explain("allowed, but not carried out: a disruption budget or another webhook is in the way");
}
