//! The plan `nats` on a cluster of `JetStream`.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{IpAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use castoff::plan::Verdict;
use serde_json::{Value, json};

use crate::members::{Members, blocked, done};
use crate::servers::{Server, fetched};

fn start(folder: &Path, directory: &Path, members: &Members, ordinal: usize) -> Server {
    let name = format!("nats-{ordinal}");
    let address = members.address(ordinal);
    let routes = (0..3).map(|other| format!("nats-route://{}:6222", members.address(other))).collect::<Vec<_>>();
    let mut command = Command::new(folder.join("nats-server"));
    command.args(["--name", &name, "--addr", &address.to_string(), "--http_port", "8222", "--jetstream"]);
    command.arg("--store_dir").arg(directory.join(&name));
    command.args([
        "--cluster_name",
        "c",
        "--cluster",
        &format!("nats://{address}:6222"),
        "--routes",
        &routes.join(","),
    ]);
    Server::start(command, &directory.join(format!("{name}.log")))
}

/// Sends a request as NATS has it, and waits for the answer.
fn request(address: IpAddr, subject: &str, body: &Value) -> std::io::Result<String> {
    let mut stream = TcpStream::connect((address, 4222))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let body = body.to_string();
    write!(
        stream,
        "CONNECT {{\"verbose\":false}}\r\nSUB answer 1\r\nPUB {subject} answer {}\r\n{body}\r\n",
        body.len()
    )?;
    let mut lines = BufReader::new(stream).lines();
    while let Some(line) = lines.next() {
        if line?.starts_with("MSG ") {
            return lines.next().unwrap_or_else(|| Ok(String::new()));
        }
    }
    Ok(String::new())
}

fn create_stream(address: IpAddr, name: &str, replicas: u8) {
    let body = json!({"name": name, "subjects": [format!("{name}.>")], "num_replicas": replicas, "storage": "file"});
    let limit = Instant::now() + Duration::from_mins(1);
    // Until the cluster has found together it answers nothing, or an error.
    loop {
        let answer = request(address, &format!("$JS.API.STREAM.CREATE.{name}"), &body).unwrap_or_default();
        if answer.contains("\"config\"") {
            return;
        }
        assert!(Instant::now() < limit, "no stream {name}: {answer}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[tokio::test]
async fn servers_hold_each_other_while_one_is_missing() {
    let (folder, directory) = (fetched("nats"), tempfile::tempdir().unwrap());
    let members = Members::new("nats", 71);
    let mut servers = [0, 1, 2].map(|ordinal| start(&folder, directory.path(), &members, ordinal));
    create_stream(members.address(0), "three", 3);
    let parameters = json!({"selector": "app=nats"});
    for (ordinal, server) in servers.iter().enumerate() {
        members.until(ordinal, &parameters, server, done).await;
    }
    assert_eq!(members.left(1, &parameters).await, 1, "its stream stays behind");

    servers[2].kill();
    let held = members.verdict(0, &parameters).await;
    assert_ne!(held, Verdict::Done, "not even while the others have not noticed");
    members.until(0, &parameters, &servers[0], blocked("nats-2 (no answer)")).await;
    members.until(2, &parameters, &servers[0], done).await;
    servers[2].restart();
    for ordinal in 0..3 {
        members.until(ordinal, &parameters, &servers[2], done).await;
    }
    let other = members.verdict(0, &json!({"selector": "app=other"})).await;
    assert!(matches!(other, Verdict::Unknown { .. }), "{other:?}");
}
