//! Two gates, whose copies lag.

use super::*;

impl World {
    pub(super) fn attempt(&mut self, gate: usize, seat: usize, person: bool) {
        let pod = &self.pods[seat];
        if pod.life != Life::Ready || !matches!(self.calls[gate], Call::None) {
            return;
        }
        let caller = if person { Caller::Person } else { Caller::Program };
        let pod_uid = uid(seat, pod.generation);
        let woken = pod.mark.is_some();
        let known = if woken { self.drains.get(&pod_uid) } else { self.gates[gate].get(&pod_uid) };
        match known.cloned() {
            None if self.drains.contains_key(&pod_uid) => {}
            None => {
                self.version += 1;
                let drain = new_drain(seat, &pod_uid, self.version);
                self.drains.insert(pod_uid, drain);
            }
            Some(drain) if drain.status.phase == Phase::Completed && !drain.metadata.kept.deleting => {
                let mut anew = claim::begun_anew(drain, caller);
                let first = new_drain(seat, &pod_uid, 0).status;
                (anew.status.pod, anew.status.steps, anew.status.limits) = (first.pod, first.steps, first.limits);
                self.write(anew, false);
            }
            // What was read is read live before the backend is looked at.
            Some(drain) if claim::may_be_claimed(&drain) => {
                if let Some(live) = self.drains.get(&pod_uid).filter(|live| claim::may_be_claimed(live)) {
                    self.calls[gate] = Call::Read(Box::new(live.clone()));
                }
            }
            Some(drain) => {
                if let Some(tried) = claim::tried(&drain, caller, Duration::MAX) {
                    self.write(tried, false);
                }
            }
        }
    }

    pub(super) fn observe_at(&mut self, gate: usize) {
        if !matches!(self.calls[gate], Call::Read(_)) {
            return;
        }
        let Call::Read(live) = std::mem::take(&mut self.calls[gate]) else { return };
        let seat = (0..SEATS).find(|seat| seat_name(*seat) == live.spec.pod.name).unwrap();
        if self.round(seat, Task::Prepare).verdict == Verdict::Done {
            self.calls[gate] = Call::Done(live);
        } else if live.status.phase == Phase::Drained {
            self.write(claim::no_longer_prepared(*live, Some(0), ""), false);
        }
    }

    pub(super) fn claim(&mut self, gate: usize) {
        let Call::Done(live) = &self.calls[gate] else { return };
        let live = Drain::clone(live);
        let pod = live.pod_uid().to_owned();
        if self.broken != Broken::LimitAskedOnlyOnce && self.sight().why_not(&live).is_some() {
            self.calls[gate] = Call::None;
            self.write(claim::no_longer_prepared(live, None, "the limit"), false);
            return;
        }
        let unconditional = self.broken == Broken::ClaimUnconditional;
        let mut claimed = self.write(claim::claimed(live.clone()), unconditional);
        if !claimed && let Some(now) = self.drains.get(&pod).cloned() {
            claimed = claim::may_be_claimed_anew(&live, &now) && self.write(claim::claimed(now), false);
        }
        if claimed {
            self.check_limit(&pod);
        }
        self.calls[gate] = if claimed { Call::Allowed(pod) } else { Call::None };
    }

    /// Of the pods besides this one, which is Ready: those that do not serve, and those that were allowed to leave.
    pub(super) fn check_limit(&mut self, pod: &str) {
        let is_it = |seat: usize| uid(seat, self.pods[seat].generation) == *pod;
        let serves = |seat: usize| self.pods[seat].life == Life::Ready;
        if !(0..SEATS).any(|seat| is_it(seat) && serves(seat)) {
            return;
        }
        let allowed = |seat: usize| {
            let uid = uid(seat, self.pods[seat].generation);
            self.calls.iter().any(|call| matches!(call, Call::Allowed(pod) if *pod == uid))
        };
        let away = (0..SEATS).filter(|seat| !is_it(*seat) && (!serves(*seat) || allowed(*seat))).count();
        let limit = self.policy.spec.max_unavailable.of(SEATS).unwrap();
        if away + 1 > limit {
            self.violated("2: allowed while others are away");
        }
    }

    pub(super) fn carry_out_allow(&mut self, gate: usize, really: bool) {
        if !matches!(self.calls[gate], Call::Allowed(_)) {
            return;
        }
        let Call::Allowed(pod_uid) = std::mem::take(&mut self.calls[gate]) else { return };
        let Some(seat) = (0..SEATS).find(|seat| uid(*seat, self.pods[*seat].generation) == pod_uid) else { return };
        if !really || self.pods[seat].life != Life::Ready {
            return;
        }
        self.pods[seat].life = Life::Terminating;
        if self.stores[seat].leaders {
            self.violated("1: allowed while leaders were on the store");
        }
    }
}

fn new_drain(seat: usize, pod_uid: &str, version: u64) -> Drain {
    let pod = drains::pod(&seat_name(seat), pod_uid, true);
    let mut drain = drains::drain(&pod, "Queued", &[drains::step("s")]);
    drain.metadata.resource_version = version.to_string();
    drain.status.limits.abandon_after_seconds = 100;
    drain
}
