//! Two gates, whose copies lag.

use super::*;

impl World {
    pub(super) fn attempt(&mut self, gate: usize, seat: usize, caller: Caller) {
        let pod = &self.pods[seat];
        if !pod.is_up() || !matches!(self.calls[gate], Call::None) {
            return;
        }
        let pod_uid = uid(seat, pod.generation);
        let woken = pod.mark.is_some();
        let known = if woken { self.drains.get(&pod_uid) } else { self.gates[gate].get(&pod_uid) };
        match known.cloned() {
            None if self.drains.contains_key(&pod_uid) => {}
            None => self.create(seat, caller),
            Some(drain) if drain.status.phase == Phase::Completed => {
                if !drain.metadata.kept.deleting {
                    self.write(claim::begun_anew(Drain::clone(&drain), caller), false);
                }
            }
            // What was read is read live before the backend is looked at.
            Some(drain) if claim::may_be_claimed(&drain) && !self.frozen => {
                if let Some(live) = self.drains.get(&pod_uid).filter(|live| claim::may_be_claimed(live)) {
                    self.calls[gate] = Call::Read(Arc::clone(live));
                }
            }
            Some(drain) => {
                if let Some(tried) = claim::tried(&drain, caller, Duration::MAX) {
                    self.write(tried, false);
                }
            }
        }
    }

    /// The API server keeps no status of what is created.
    fn create(&mut self, seat: usize, caller: Caller) {
        let requester = match caller {
            Caller::Person => "alice",
            Caller::Owner => "system:serviceaccount:kube-system:statefulset-controller",
            _ => "system:serviceaccount:operators:x",
        };
        let pod = sights::pod(seat, &self.pods[seat], self.foreign);
        let mut drain = Drain::new(&pod, &self.policy.policy().name, requester);
        self.version += 1;
        drain.metadata.resource_version = self.version.to_string();
        self.drains.insert(drain.pod_uid().to_owned(), Arc::new(drain));
    }

    pub(super) fn observe_at(&mut self, gate: usize) {
        if !matches!(self.calls[gate], Call::Read(_)) {
            return;
        }
        let Call::Read(live) = std::mem::take(&mut self.calls[gate]) else { return };
        let seat = (0..SEATS).find(|seat| seat_name(*seat) == live.spec.pod.name).unwrap();
        let is_undone = |step| self.round(seat, Task::Prepare, step).verdict != Verdict::Done;
        match live.status.steps.iter().position(is_undone) {
            None => self.calls[gate] = Call::Done(live),
            Some(step) if live.status.phase == Phase::Drained => {
                self.write(claim::no_longer_prepared(Drain::clone(&live), Some(step), ""), false);
            }
            Some(_) => {}
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
        if !claimed && let Some(now) = self.drains.get(&pod).map(|now| Drain::clone(now)) {
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
        // A place that the owner no longer wants is missed by nobody.
        let is_away = |seat: usize| !serves(seat) && seat < self.replicas || allowed(seat);
        let away = |seat: &usize| !is_it(*seat) && is_away(*seat);
        if self.policy.zoned {
            let own = (0..SEATS).find(|seat| is_it(*seat)).map(sights::zone);
            if (0..SEATS).filter(away).any(|seat| Some(sights::zone(seat)) != own) {
                self.violated("2: allowed while others are away in another zone");
            }
            return;
        }
        let away = (0..SEATS).filter(away).count();
        let limit = if self.policy.two { 2 } else { 1 };
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
        if !really || !self.pods[seat].is_up() {
            return;
        }
        self.pods[seat].life = Life::Terminating;
        if self.stores[seat].leaders {
            self.violated("1: allowed while leaders were on the store");
        }
    }
}
