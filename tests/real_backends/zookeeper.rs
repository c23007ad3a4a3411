//! The plan `zookeeper` on an ensemble.

use std::path::Path;
use std::process::Command;

use castoff::plan::Verdict;
use serde_json::json;

use crate::members::{Members, blocked, done};
use crate::servers::{Server, fetched};

fn start(folder: &Path, directory: &Path, members: &Members, ordinal: usize) -> Server {
    let data = directory.join(format!("zookeeper-{ordinal}"));
    std::fs::create_dir_all(&data).unwrap();
    std::fs::write(data.join("myid"), (ordinal + 1).to_string()).unwrap();
    let peers = (0..3).map(|other| format!("server.{}={}:2888:3888\n", other + 1, members.address(other)));
    let config = format!(
        "dataDir={}\nclientPort=2181\nclientPortAddress={address}\nadmin.serverAddress={address}\nadmin.serverPort=8080\n\
         tickTime=500\ninitLimit=20\nsyncLimit=10\n{}",
        data.display(),
        peers.collect::<String>(),
        address = members.address(ordinal),
    );
    let path = data.join("zoo.cfg");
    std::fs::write(&path, config).unwrap();
    let mut command = Command::new("java");
    command.args(["-Xmx96m", "-XX:TieredStopAtLevel=1", "-cp"]).arg(folder.join("*"));
    command.arg("org.apache.zookeeper.server.quorum.QuorumPeerMain").arg(path);
    Server::start(command, &data.join("log"))
}

#[tokio::test]
async fn the_ensemble_keeps_its_quorum() {
    let (folder, directory) = (fetched("zookeeper"), tempfile::tempdir().unwrap());
    let members = Members::new("zookeeper", 72);
    let parameters = json!({"selector": "app=zookeeper"});
    let mut servers = [0, 1].map(|ordinal| start(&folder, directory.path(), &members, ordinal));
    members
        .until(0, &parameters, &servers[0], blocked("1 are in sync, 2 are needed; no answer from: zookeeper-2"))
        .await;
    members.until(2, &parameters, &servers[0], done).await;
    let third = start(&folder, directory.path(), &members, 2);
    for ordinal in 0..3 {
        members.until(ordinal, &parameters, &third, done).await;
    }
    // Of two that were there first, the one with the greater number leads: an election follows.
    servers[1].kill();
    members.until(0, &parameters, &servers[0], blocked("no answer from: zookeeper-1")).await;
    members.until(1, &parameters, &servers[0], done).await;
    servers[1].restart();
    for ordinal in 0..3 {
        members.until(ordinal, &parameters, &servers[1], done).await;
    }
    drop(third);
    drop(servers);
    let verdict = members.verdict(0, &parameters).await;
    assert!(
        matches!(&verdict, Verdict::Unknown { message } if message.contains("0 servers say that they lead")),
        "{verdict:?}"
    );
}
