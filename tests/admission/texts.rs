//! What people read.

use castoff::admission::{Answer, Reason};
use castoff::lifecycle::{Drain, Phase};
use proptest::prelude::*;

use super::fixtures::{Scene, UID, draining};

fn message_of(username: &'static str, change: impl FnOnce(&mut Drain)) -> String {
    let mut scene = Scene::new(|_| {}).with_drain(|drain| {
        drain.status.phase = Phase::Draining;
        drain.status.step = Some("evict-leaders".into());
        change(drain);
    });
    scene.username = username;
    scene.answer().message
}

#[test]
fn the_texts_are_as_documented() {
    let controller = "system:serviceaccount:kube-system:statefulset-controller";
    assert_eq!(
        message_of(controller, |_| {}),
        "tidb/basic-tikv-2 is being prepared (policy tikv, step evict-leaders) and may not leave yet."
    );
    assert_eq!(
        message_of("alice", |_| {}),
        "tidb/basic-tikv-2 is being prepared (policy tikv, step evict-leaders) and may not leave yet. \
         This delete is not kept: repeat it until it is allowed. To undo: castoff cancel basic-tikv-2 -n tidb."
    );
    assert_eq!(
        message_of(controller, |drain| drain.status.message = "https://basic-pd:2379/stores does not answer".into()),
        "tidb/basic-tikv-2 may not leave yet (policy tikv, step evict-leaders): \
         https://basic-pd:2379/stores does not answer."
    );
    let blocked = message_of("alice", |drain| {
        drain.status.blocked = true;
        drain.status.message = "another store is away: basic-tikv-0".into();
    });
    assert_eq!(
        blocked,
        "tidb/basic-tikv-2 must not leave now (policy tikv, step evict-leaders): another store is away: basic-tikv-0. \
         If this pod must go all the same, whoever has the role castoff-bypass annotates it with castoff.dev/bypass and \
         castoff.dev/bypass-until."
    );
    let queued = message_of(controller, |drain| {
        drain.status.phase = Phase::Queued;
        drain.status.step = None;
        drain.status.message = "waits for basic-tikv-1 (maxUnavailable 1)".into();
    });
    assert_eq!(queued, "tidb/basic-tikv-2 may not leave yet (policy tikv): waits for basic-tikv-1 (maxUnavailable 1).");
    let stalled = message_of(controller, |drain| drain.status.stalled = true);
    assert_eq!(
        stalled,
        "tidb/basic-tikv-2 may not leave yet (policy tikv, step evict-leaders): its preparation makes no progress."
    );
}

#[test]
fn progress_is_one_warning() {
    let mut scene = Scene::new(|_| {});
    scene.drain = Some(draining(&scene.pod, &scene.guard.policy, 12, 40));
    assert_eq!(scene.answer().warnings, ["castoff: basic-tikv-2: 12 of 40 leaders left"]);
    scene.drain = scene.drain.map(|drain| Drain {
        status: castoff::lifecycle::DrainStatus { phase: Phase::Restoring, ..drain.status },
        ..drain
    });
    assert_eq!(scene.answer().warnings, [""; 0], "what was left of an earlier preparation tells nothing");
}

#[test]
fn a_text_from_a_backend_can_not_take_over_a_terminal() {
    let message = message_of("alice", |drain| drain.status.message = "\u{1b}]0;x\u{7}gone\nroot# ".into());
    assert!(!message.chars().any(char::is_control), "{message:?}");
    let long = message_of("alice", |drain| drain.status.message = "x".repeat(1_000_000));
    assert!(long.len() < 1000, "{}", long.len());
}

fn answer_with(remaining: i64, total: i64, pause: u64, tries: u64, cycle: u32, stalled: bool) -> Answer {
    let mut scene = Scene::new(|_| {});
    let mut drain = draining(&scene.pod, &scene.guard.policy, remaining, total);
    drain.status.longest_pause_seconds = pause;
    drain.status.tries = tries;
    drain.status.cycle = cycle;
    drain.status.stalled = stalled;
    scene.drain = Some(drain);
    scene.answer()
}

proptest! {
    #[test]
    fn a_message_is_constant_while_only_figures_change(
        remaining: i64, total: i64, denied: u64, tries: u64, cycle: u32, stalled: bool,
    ) {
        let one = answer_with(12, 40, 0, 1, 0, stalled);
        let other = answer_with(remaining, total, denied, tries, cycle, stalled);
        prop_assert_eq!(&one.message, &other.message);
        prop_assert!(!other.message.contains(&UID[..8]));
        prop_assert_eq!(other.reason, if stalled { Reason::Stalled } else { Reason::Draining });
        prop_assert_eq!(other.warnings.len(), 1);
    }
}
