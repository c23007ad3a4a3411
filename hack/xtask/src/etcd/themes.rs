//! What is asked of the members, theme by theme.

use std::time::Duration;

use serde_json::json;

use super::members::{Asked, Cluster, Number, TIMEOUT, get, post};

/// A recording, and how it comes about.
pub struct Theme {
    pub name: &'static str,
    pub started: &'static str,
    pub play: fn(&mut Cluster) -> Result<(), String>,
}

pub const THEMES: [Theme; 6] = [
    Theme {
        name: "etcd-alarms",
        started: "three members, of which one raises NOSPACE and one CORRUPT; etcd-0 leads",
        play: alarms,
    },
    Theme {
        name: "etcd-healthy",
        started: "three healthy members; etcd-0 leads; the leadership is transferred",
        play: healthy,
    },
    Theme { name: "etcd-follower-dead", started: "three members, one of them dead; etcd-0 leads", play: follower_dead },
    Theme { name: "etcd-learner", started: "three members and a learner; etcd-0 leads", play: learner },
    Theme { name: "etcd-removal", started: "three members, of which two are removed; etcd-0 leads", play: removal },
    Theme { name: "etcd-no-leader", started: "three members, of which two die: no quorum, no leader", play: no_leader },
];

/// For requests that nobody will answer.
const SHORT: Duration = Duration::from_secs(3);

fn status() -> Asked {
    post("/v3/maintenance/status", json!({}))
}

fn list() -> Asked {
    post("/v3/cluster/member/list", json!({}))
}

/// As the plan asks: alarms do not count.
fn health() -> Asked {
    get("/health?exclude=NOSPACE&exclude=CORRUPT")
}

fn transfer(cluster: &Cluster, target: Number) -> Asked {
    post("/v3/maintenance/transfer-leadership", json!({"targetID": cluster.id(target)}))
}

fn remove(cluster: &Cluster, target: Number) -> Asked {
    post("/v3/cluster/member/remove", json!({"ID": cluster.id(target)}))
}

fn alarm(cluster: &Cluster, member: Number, kind: &str) -> Asked {
    post("/v3/maintenance/alarm", json!({"action": "ACTIVATE", "memberID": cluster.id(member), "alarm": kind}))
}

fn ask(cluster: &mut Cluster, note: &str, member: Number, asked: &Asked) {
    cluster.step(note, member, asked, TIMEOUT);
}

#[allow(clippy::unnecessary_wraps)] // As the other themes.
fn alarms(cluster: &mut Cluster) -> Result<(), String> {
    let (leader, full, corrupt) = (0, 1, 2);
    let note = format!("{} is out of space", cluster.name(full));
    ask(cluster, &note, leader, &alarm(cluster, full, "NOSPACE"));
    ask(cluster, "member list at the leader", leader, &list());
    look_at_alarms(cluster);
    let note = format!("{} is corrupt", cluster.name(corrupt));
    ask(cluster, &note, leader, &alarm(cluster, corrupt, "CORRUPT"));
    look_at_alarms(cluster);
    Ok(())
}

fn look_at_alarms(cluster: &mut Cluster) {
    ask(cluster, "status at the leader: its errors name the alarms", 0, &status());
    ask(cluster, "health of the leader: an alarm makes every member unhealthy", 0, &get("/health"));
    for number in 0..3 {
        let note = format!("health of {} but for alarms", cluster.name(number));
        ask(cluster, &note, number, &health());
    }
}

fn healthy(cluster: &mut Cluster) -> Result<(), String> {
    let (leader, follower, other) = (0, 1, 2);
    ask(cluster, "status at the leader", leader, &status());
    ask(cluster, "status at a follower", follower, &status());
    ask(cluster, "member list at the leader", leader, &list());
    ask(cluster, "member list at a follower", follower, &list());
    for number in 0..3 {
        let note = format!("health of {}", cluster.name(number));
        ask(cluster, &note, number, &health());
    }
    ask(cluster, "transfer asked at a follower: refused", follower, &transfer(cluster, other));
    ask(cluster, "transfer to the leader itself", leader, &transfer(cluster, leader));
    ask(cluster, "status after that: it leads still", leader, &status());
    ask(cluster, "transfer to a follower", leader, &transfer(cluster, follower));
    cluster.wait_for_leader(follower, &[leader, follower, other])?;
    ask(cluster, "status at the old leader after the transfer", leader, &status());
    ask(cluster, "status at the new leader", follower, &status());
    ask(cluster, "the transfer once more, at the old leader: refused", leader, &transfer(cluster, follower));
    Ok(())
}

fn follower_dead(cluster: &mut Cluster) -> Result<(), String> {
    let (leader, follower, dead) = (0, 1, 2);
    let note = format!("{} is killed", cluster.name(dead));
    cluster.act(&note);
    cluster.kill(dead);
    ask(cluster, "status at the leader", leader, &status());
    ask(cluster, "member list: the dead member is listed still", leader, &list());
    ask(cluster, "health of the leader", leader, &health());
    ask(cluster, "health of the living follower", follower, &health());
    ask(cluster, "health of the dead member: nobody answers", dead, &health());
    cluster.step("transfer to the dead member: no answer in 3 s", leader, &transfer(cluster, dead), SHORT);
    cluster.wait_for_leader(leader, &[leader, follower])?;
    ask(cluster, "status after that: it leads still", leader, &status());
    let note = "removal of the living follower: refused, it would break the quorum";
    ask(cluster, note, leader, &remove(cluster, follower));
    ask(cluster, "transfer to the living follower", leader, &transfer(cluster, follower));
    cluster.wait_for_leader(follower, &[leader, follower])?;
    ask(cluster, "status at the old leader after the transfer", leader, &status());
    Ok(())
}

fn learner(cluster: &mut Cluster) -> Result<(), String> {
    let (leader, follower) = (0, 1);
    let new = cluster.make_member("etcd-3")?;
    let add = json!({"peerURLs": [cluster.peer_url(new)], "isLearner": true});
    cluster.change("a learner is added", leader, &post("/v3/cluster/member/add", add))?;
    cluster.learn_id(new)?;
    let note = "member list: the learner has not started, so it has no name and no clientURLs";
    ask(cluster, note, leader, &list());
    cluster.run(new, true)?;
    cluster.wait_for_name(new)?;
    cluster.wait_for_leader(leader, &[new])?;
    ask(cluster, "member list: the learner has started", leader, &list());
    ask(cluster, "status at the learner", new, &status());
    ask(cluster, "health of the learner", new, &health());
    ask(cluster, "member list asked at the learner: refused", new, &list());
    ask(cluster, "transfer to the learner: refused", leader, &transfer(cluster, new));
    ask(cluster, "removal of the learner", leader, &remove(cluster, new));
    ask(cluster, "removal once more: not found", leader, &remove(cluster, new));
    ask(cluster, "member list without the learner", follower, &list());
    Ok(())
}

fn removal(cluster: &mut Cluster) -> Result<(), String> {
    let (leader, follower, leaving) = (0, 1, 2);
    cluster.change("removal of a follower, asked at another follower", follower, &remove(cluster, leaving))?;
    ask(cluster, "removal once more: not found", leader, &remove(cluster, leaving));
    ask(cluster, "member list: two are left", leader, &list());
    cluster.wait_until_ended(leaving)?;
    ask(cluster, "health of the removed member: its process has ended", leaving, &health());
    cluster.change("removal of the second, so that one is left", leader, &remove(cluster, follower))?;
    cluster.wait_until_ended(follower)?;
    cluster.wait_for_leader(leader, &[leader])?;
    ask(cluster, "status at the only member", leader, &status());
    ask(cluster, "member list of the only member", leader, &list());
    ask(cluster, "health of the only member", leader, &health());
    ask(cluster, "transfer to itself, as the only member", leader, &transfer(cluster, leader));
    ask(cluster, "removal of the only member: refused", leader, &remove(cluster, leader));
    Ok(())
}

fn no_leader(cluster: &mut Cluster) -> Result<(), String> {
    let (alone, second, third) = (0, 1, 2);
    let note = format!("{} and {} are killed", cluster.name(second), cluster.name(third));
    cluster.act(&note);
    cluster.kill(second);
    cluster.kill(third);
    cluster.wait_for_no_leader(alone)?;
    ask(cluster, "status: leader is missing or 0", alone, &status());
    ask(cluster, "health of the member that is left", alone, &health());
    ask(cluster, "health of a dead member: nobody answers", second, &health());
    cluster.step("member list: the member tells what it last knew", alone, &list(), SHORT);
    let linearizable = post("/v3/cluster/member/list", json!({"linearizable": true}));
    cluster.step("member list, linearizable: no answer in 3 s", alone, &linearizable, SHORT);
    cluster.step("transfer: refused", alone, &transfer(cluster, second), SHORT);
    cluster.step("removal: no answer in 3 s", alone, &remove(cluster, third), SHORT);
    Ok(())
}
