//! Two gates, whose copies lag.

use castoff::admission::Decision;
use castoff::lifecycle::Explanation;
use castoff::lifecycle::hole::SETTLED;

use super::*;
use crate::asked::{Asked, user};

impl World {
    /// A gate is asked: what it says is decided by production, on a copy of the drain that may lag.
    pub(super) fn attempt(&mut self, gate: usize, seat: usize, caller: Caller) {
        let pod = &self.pods[seat];
        if !pod.is_up() || !matches!(self.calls[gate], Call::None) {
            return;
        }
        let pod_uid = uid(seat, pod.generation);
        let woken = pod.mark.is_some();
        let known = if woken { self.drains.get(&pod_uid) } else { self.gates[gate].get(&pod_uid) }.cloned();
        let asked = Asked { pod: sights::pod(seat, pod, self.foreign), caller, policy: self.policy };
        let decision = asked.decide(known.as_deref(), false);
        if let Some(wrong) = asked.is_other_than_a_dry_run(known.as_deref(), &decision) {
            self.violated(wrong);
        }
        match (decision, known) {
            (Decision::Create(_), _) => {
                self.written[gate].insert(pod_uid.clone(), self.now);
                if !self.drains.contains_key(&pod_uid) {
                    self.create(seat, caller);
                }
            }
            (Decision::Again(_), Some(drain)) => self.begin_again(&drain, caller),
            // What was read is read live before the backend is looked at.
            (Decision::Verify, _) => {
                if let Some(live) = self.drains.get(&pod_uid).filter(|live| claim::may_be_claimed(live)) {
                    self.calls[gate] = Call::Read(Arc::clone(live));
                }
            }
            (Decision::Answer(_), Some(drain)) => {
                let last =
                    self.written[gate].get(&pod_uid).map_or(Duration::MAX, |written| self.now.saturating_sub(*written));
                if let Some(tried) = claim::tried(&drain, caller, last) {
                    self.written[gate].insert(pod_uid, self.now);
                    self.write(tried, false);
                }
            }
            (Decision::Again(_) | Decision::Answer(_), None) => {}
        }
    }

    /// After a conflict it is looked at once more.
    fn begin_again(&mut self, drain: &Drain, caller: Caller) {
        let anew = |drain: &Drain| {
            let mut drain = claim::begun_anew(drain.clone(), caller);
            drain.metadata.kept.finalizer = true;
            drain
        };
        let begun = self.write(anew(drain), false);
        let now = self.drains.get(drain.pod_uid()).filter(|now| !begun && now.status.phase == Phase::Completed);
        if let Some(now) = now.cloned() {
            self.write(anew(&now), false);
        }
    }

    /// The API server keeps no status of what is created.
    fn create(&mut self, seat: usize, caller: Caller) {
        let pod = sights::pod(seat, &self.pods[seat], self.foreign);
        let mut drain = Drain::new(&pod, &self.policy.policy().name, user(caller));
        self.pods[seat].drains += 1;
        drain.metadata.kept.finalizer = true;
        // The API server gives each one another.
        drain.metadata.uid = format!("{}.{}", drain.pod_uid(), self.pods[seat].drains);
        self.version += 1;
        drain.metadata.resource_version = self.version.to_string();
        self.drains.insert(drain.pod_uid().to_owned(), Arc::new(drain));
    }

    /// A gate looks at the backend and at the limit.
    pub(super) fn observe_at(&mut self, gate: usize) {
        if !matches!(self.calls[gate], Call::Read(_)) {
            return;
        }
        let Call::Read(live) = std::mem::take(&mut self.calls[gate]) else { return };
        let seat = self.seat_of(&live);
        let is_undone = |step| self.round(seat, Task::Prepare, step).verdict != Verdict::Done;
        let undone = live.status.steps.iter().position(is_undone).filter(|_| self.broken != Broken::BackendNotAsked);
        let over = self.broken != Broken::LimitAskedOnlyOnce && self.sight().why_not(&live).is_some();
        if undone.is_none() && !over {
            self.check_limit(seat, &live);
            self.stores[seat].lost = false;
            self.calls[gate] = Call::Done(live, self.limit());
        } else if live.status.phase == Phase::Drained {
            self.write(claim::no_longer_prepared(Drain::clone(&live), undone, Explanation::default()), false);
        }
    }

    pub(super) fn claim(&mut self, gate: usize) {
        if !matches!(self.calls[gate], Call::Done(..)) {
            return;
        }
        let Call::Done(live, limit) = std::mem::take(&mut self.calls[gate]) else { return };
        let pod = live.pod_uid().to_owned();
        let unconditional = self.broken == Broken::ClaimUnconditional;
        let mut claimed = self.write(claim::claimed(Drain::clone(&live)), unconditional);
        if !claimed && let Some(now) = self.drains.get(&pod).map(|now| Drain::clone(now)) {
            claimed = claim::may_be_claimed_anew(&live, &now) && self.write(claim::claimed(now), false);
        }
        if claimed {
            let seat = self.seat_of(&live);
            let gone = (0..self.seats()).filter(|other| *other != seat && self.is_let_go(*other)).count();
            if self.is_ready(seat, &pod) && gone + 1 > limit {
                self.violated("2: allowed while others were");
            }
            self.calls[gate] = Call::Allowed(pod);
        }
    }

    pub(super) fn seat_of(&self, drain: &Drain) -> usize {
        (0..self.seats()).find(|seat| seat_name(*seat) == drain.spec.pod.name).unwrap()
    }

    fn limit(&self) -> usize {
        if self.policy.two { 2 } else { 1 }
    }

    fn is_ready(&self, seat: usize, pod: &str) -> bool {
        self.pods[seat].life == Life::Ready && uid(seat, self.pods[seat].generation) == pod
    }

    /// Whether the pod that is in this seat, or was last, has our yes, and nobody is back in its place.
    fn is_let_go(&self, seat: usize) -> bool {
        let uid = uid(seat, self.pods[seat].generation);
        let allowed = self.calls.iter().any(|call| matches!(call, Call::Allowed(pod) if *pod == uid));
        let left = self.pods[seat].by_our_yes && self.pods[seat].life != Life::Ready && seat < self.replicas;
        allowed || left && !self.is_missed_by_nobody(seat, &uid)
    }

    /// Whether a place counts no longer though nobody is back in it: where nothing tells how many pods there are to be,
    /// that is so after ten minutes, and once a person has ended the drain.
    fn is_missed_by_nobody(&self, seat: usize, pod: &str) -> bool {
        let is_ended = self.drains.get(pod).is_none_or(|drain| drain.is_cancelled());
        self.foreign && (is_ended || self.gone_for(seat) >= SETTLED)
    }

    /// How long ago the pod left that was last let go in this seat.
    pub(super) fn gone_for(&self, seat: usize) -> Duration {
        self.now.saturating_sub(self.left[seat])
    }

    /// Whether a pod does not serve, as far as anybody can tell: of one that is no more, or has ended, only its owner's
    /// wish says that it is missing.
    fn is_down(&self, seat: usize) -> bool {
        match self.pods[seat].life {
            Life::Ready => false,
            Life::NotReady | Life::Terminating | Life::Starting => true,
            Life::Ended | Life::Gone => !self.foreign,
        }
    }

    /// Of the pods besides this one, which is Ready: those that do not serve, and those that were allowed to leave.
    fn check_limit(&mut self, seat: usize, drain: &Drain) {
        if !self.is_ready(seat, drain.pod_uid()) {
            return;
        }
        // A place that the owner no longer wants is missed by nobody.
        let is_away = |seat: usize| self.is_down(seat) && seat < self.replicas || self.is_let_go(seat);
        let away = |other: &usize| *other != seat && is_away(*other);
        if self.policy.zoned {
            if (0..self.seats()).filter(away).any(|other| sights::zone(other) != sights::zone(seat)) {
                self.violated("2: allowed while others are away in another zone");
            }
            return;
        }
        if (0..self.seats()).filter(away).count() + 1 > self.limit() {
            self.violated("2: allowed while others are away");
        }
    }

    pub(super) fn carry_out_allow(&mut self, gate: usize, really: bool) {
        if !matches!(self.calls[gate], Call::Allowed(_)) {
            return;
        }
        let Call::Allowed(pod_uid) = std::mem::take(&mut self.calls[gate]) else { return };
        let is_it = |seat: &usize| uid(*seat, self.pods[*seat].generation) == pod_uid;
        let Some(seat) = (0..self.seats()).find(is_it) else { return };
        if !really || !self.pods[seat].is_up() {
            return;
        }
        self.terminates(seat);
        (self.pods[seat].by_our_yes, self.left[seat]) = (true, self.now);
        if self.stores[seat].leaders && !self.stores[seat].lost {
            self.violated("1: allowed while leaders were on the store");
        }
    }

    /// A pod that terminates is asked for once more, by the kubelet: it is never denied.
    pub(super) fn terminates(&mut self, seat: usize) {
        self.pods[seat].life = Life::Terminating;
        let pod = sights::pod(seat, &self.pods[seat], self.foreign);
        if !(Asked { pod, caller: Caller::Program, policy: self.policy }).is_let_go_at_once() {
            self.violated("5: a terminating pod is held");
        }
    }
}
