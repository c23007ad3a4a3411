//! The plan `rabbitmq` on a cluster with quorum queues.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use castoff::plan::Verdict;
use serde_json::json;

use crate::members::{Members, blocked, done};
use crate::servers::{Server, fetched};

/// Where nodes find each other: a port of its own, so that it is nobody else's.
const EPMD_PORT: &str = "44369";

/// A command of Erlang's, with what all of them need.
fn erlang(program: PathBuf, folder: &Path, directory: &Path, members: &Members) -> Command {
    let addresses = (0..3).map(|ordinal| members.address(ordinal).to_string()).collect::<Vec<_>>().join(",");
    let path = format!("{}:{}", folder.join("usr/lib/erlang/bin").display(), std::env::var("PATH").unwrap());
    let mut command = Command::new(program);
    command.env("HOME", directory).env("PATH", path).current_dir(directory);
    command.env("ERL_EPMD_PORT", EPMD_PORT).env("ERL_EPMD_ADDRESS", addresses);
    command
}

fn found(folder: &Path, within: &str, begins: &str) -> PathBuf {
    let mut entries = std::fs::read_dir(folder.join(within)).unwrap().map(|entry| entry.unwrap());
    entries.find(|entry| entry.file_name().to_string_lossy().starts_with(begins)).unwrap().path()
}

fn start(folder: &Path, directory: &Path, members: &Members, ordinal: usize) -> Server {
    let (data, address) = (directory.join(format!("rabbitmq-{ordinal}")), members.address(ordinal));
    std::fs::create_dir_all(&data).unwrap();
    let mut config =
        format!("listeners.tcp.1 = {address}:5672\nmanagement.tcp.ip = {address}\nmanagement.tcp.port = 15672\n");
    if ordinal > 0 {
        // Whoever looks for others and finds none tries for a long time.
        config += "cluster_formation.peer_discovery_backend = classic_config\n";
        config += "cluster_formation.classic_config.nodes.1 = rabbit-0@";
        config += &members.address(0).to_string();
        config.push('\n');
    }
    std::fs::write(data.join("rabbitmq.conf"), config).unwrap();
    std::fs::write(data.join("plugins"), "[rabbitmq_management].").unwrap();
    let sbin = found(folder, "usr/lib/rabbitmq/lib", "rabbitmq_server-").join("sbin/rabbitmq-server");
    let mut command = erlang(sbin, folder, directory, members);
    command.env("RABBITMQ_NODENAME", format!("rabbit-{ordinal}@{address}")).env("RABBITMQ_USE_LONGNAME", "true");
    command.env("RABBITMQ_DIST_PORT", (44370 + ordinal).to_string());
    for (name, file) in [
        ("RABBITMQ_CONFIG_FILE", "rabbitmq.conf"),
        ("RABBITMQ_ENABLED_PLUGINS_FILE", "plugins"),
        ("RABBITMQ_MNESIA_BASE", "mnesia"),
        ("RABBITMQ_LOG_BASE", "log"),
    ] {
        command.env(name, data.join(file));
    }
    Server::start(command, &data.join("output"))
}

/// A directory with the secret that the nodes know each other by.
fn home() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().unwrap();
    let cookie = directory.path().join(".erlang.cookie");
    std::fs::write(&cookie, "of-these-tests").unwrap();
    std::fs::set_permissions(&cookie, std::fs::Permissions::from_mode(0o400)).unwrap();
    directory
}

fn create_queue(members: &Members) {
    let mut stream = TcpStream::connect((members.address(0), 15672)).unwrap();
    let body = json!({"durable": true, "arguments": {"x-queue-type": "quorum"}}).to_string();
    let guest = "Authorization: Basic Z3Vlc3Q6Z3Vlc3Q=";
    write!(
        stream,
        "PUT /api/queues/%2F/orders HTTP/1.1\r\nHost: rabbitmq\r\n{guest}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
}

#[tokio::test]
async fn queues_keep_their_quorum_and_a_node_alone_goes() {
    let (folder, directory) = (fetched("rabbitmq"), home());
    let members = Members::new("rabbitmq", 73);
    let parameters = json!({"authSecret": "guest"});
    let epmd = erlang(found(&folder, "usr/lib/erlang", "erts-").join("bin/epmd"), &folder, directory.path(), &members);
    let _epmd = Server::start(epmd, &directory.path().join("epmd.log"));
    let mut servers = vec![start(&folder, directory.path(), &members, 0)];
    members.until(0, &parameters, &servers[0], done).await;
    let refused = members.verdict(0, &json!({"authSecret": "wrong"})).await;
    assert!(matches!(&refused, Verdict::Failed { message, .. } if message.contains("answers 401")), "{refused:?}");

    for ordinal in [1, 2] {
        servers.push(start(&folder, directory.path(), &members, ordinal));
        members.until(ordinal, &parameters, &servers[ordinal], done).await;
    }
    create_queue(&members);
    members.until(0, &parameters, &servers[0], done).await;
    assert_eq!(members.left(0, &parameters).await, 1, "its queue stays behind");

    servers[2].kill();
    members
        .until(0, &parameters, &servers[0], blocked("would lose their quorum if the target node is shut down: orders"))
        .await;
    servers[2].restart();
    for ordinal in 0..3 {
        members.until(ordinal, &parameters, &servers[2], done).await;
    }
}
