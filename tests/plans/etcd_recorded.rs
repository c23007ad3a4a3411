//! The plan `etcd`, on what etcd 3.7 answered.

use castoff::plan::{Mode, Task, Verdict};
use serde_json::json;

use castoff_test_support::plans::{Backend, Case, Outcome, answer_of, builtin, id_of, pod};

const STATUS: &str = "POST /v3/maintenance/status";
const MEMBERS: &str = "POST /v3/cluster/member/list";
const HEALTH: &str = "GET /health";

/// Answers of a recorded cluster: which member is behind the Service, which of its answers count, who tells of health.
struct Recorded {
    file: &'static str,
    behind: &'static str,
    status: usize,
    members: usize,
    healths: &'static [&'static str],
}

impl Recorded {
    fn run(&self, name: &str, member: Option<&str>, mode: Mode) -> Outcome {
        let answer = |backend: Backend, member: &str, base: &str, request: &str, nth| {
            let (code, body) = answer_of(self.file, member, request, nth);
            let (method, path) = request.split_once(' ').unwrap();
            if code == 0 { backend } else { backend.json(&format!("{method} {base}{path}"), code, &body) }
        };
        let backend = answer(Backend::default(), self.behind, "http://etcd:2379", STATUS, self.status);
        let backend = answer(backend, self.behind, "http://etcd:2379", MEMBERS, self.members);
        let backend = self.healths.iter().fold(backend, |backend, member| {
            answer(backend, member, &format!("http://{member}.etcd.default.svc:2379"), HEALTH, 0)
        });
        let parameters = json!({"url": "http://etcd:2379"});
        Case { plan: builtin("etcd"), pod: pod(name), parameters, member, mode, task: Task::Prepare }.run(&backend)
    }

    fn verdict(&self, name: &str) -> Verdict {
        self.run(name, None, Mode::Restart).round.verdict
    }
}

const HEALTHY: Recorded = Recorded {
    file: "etcd-healthy",
    behind: "etcd-0",
    status: 0,
    members: 0,
    healths: &["etcd-0", "etcd-1", "etcd-2"],
};

#[test]
fn the_leader_hands_over_and_its_followers_may_go() {
    let Verdict::Act(act) = HEALTHY.verdict("etcd-0") else { panic!("{:?}", HEALTHY.verdict("etcd-0")) };
    assert_eq!(act.request.url, "http://etcd-0.etcd.default.svc:2379/v3/maintenance/transfer-leadership");
    let target = act.request.body.unwrap()["targetID"].clone();
    assert!([id_of("etcd-healthy", "etcd-1"), id_of("etcd-healthy", "etcd-2")].iter().any(|id| target == *id.as_str()));
    assert_eq!(HEALTHY.verdict("etcd-1"), Verdict::Done);
    assert_eq!(HEALTHY.verdict("etcd-2"), Verdict::Done);
}

#[test]
fn it_may_go_once_the_transfer_is_seen() {
    let moved = Recorded { status: 2, ..HEALTHY };
    assert_eq!(moved.verdict("etcd-0"), Verdict::Done);
    assert!(matches!(moved.verdict("etcd-1"), Verdict::Act(_)));
    let seen_elsewhere = Recorded { behind: "etcd-1", status: 1, ..HEALTHY };
    assert_eq!(seen_elsewhere.verdict("etcd-0"), Verdict::Done);
}

#[test]
fn with_one_member_dead_no_other_may_go() {
    let dead = Recorded { file: "etcd-follower-dead", healths: &["etcd-0", "etcd-1", "etcd-2"], ..HEALTHY };
    for name in ["etcd-0", "etcd-1"] {
        let verdict = dead.verdict(name);
        assert!(matches!(&verdict, Verdict::Blocked { message } if message.contains("quorum")), "{verdict:?}");
    }
    assert_eq!(dead.verdict("etcd-2"), Verdict::Done, "the dead one may be replaced");
}

#[test]
fn without_a_leader_nothing_is_concluded() {
    let lost = Recorded { file: "etcd-no-leader", healths: &["etcd-0", "etcd-1"], ..HEALTHY };
    for name in ["etcd-0", "etcd-1", "stranger-0"] {
        assert!(matches!(lost.verdict(name), Verdict::Unknown { .. }), "{name}");
    }
}

#[test]
fn a_learner_may_go_and_counts_for_nothing() {
    // The first list has the learner before it started: without a name and without URLs.
    let status = answer_of("etcd-learner", "etcd-3", STATUS, 0).1;
    for members in [0, 1] {
        let list = answer_of("etcd-learner", "etcd-0", MEMBERS, members).1;
        let backend = Backend::default().json("POST http://etcd:2379/v3/maintenance/status", 200, &status).json(
            "POST http://etcd:2379/v3/cluster/member/list",
            200,
            &list,
        );
        let backend = ["etcd-0", "etcd-1", "etcd-2"].iter().fold(backend, |backend, member| {
            let url = format!("GET http://{member}.etcd.default.svc:2379/health");
            backend.json(&url, 200, &json!({"health": "true"}))
        });
        let verdict = |name| {
            let parameters = json!({"url": "http://etcd:2379"});
            let (plan, mode, task) = (builtin("etcd"), Mode::Restart, Task::Prepare);
            Case { plan, pod: pod(name), parameters, member: None, mode, task }.verdict(&backend)
        };
        assert_eq!(verdict("etcd-3"), Verdict::Done);
        assert_eq!(verdict("etcd-1"), Verdict::Done);
    }
}

#[test]
fn a_removed_member_is_done_and_the_last_one_is_not_removed() {
    let file = "etcd-removal";
    let last = Recorded { file, status: 0, members: 1, healths: &["etcd-0"], ..HEALTHY };
    let removed = id_of(file, "etcd-1");
    assert_eq!(last.run("etcd-1", Some(&removed), Mode::Removal).round.verdict, Verdict::Done);
    assert_eq!(last.verdict("etcd-0"), Verdict::Done, "the only member may restart");
    let verdict = last.run("etcd-0", None, Mode::Removal).round.verdict;
    assert!(matches!(&verdict, Verdict::Blocked { message } if message.contains("only member")), "{verdict:?}");
}
