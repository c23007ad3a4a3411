//! The plan `kafka` on brokers that are controllers too, with the JMX exporter.

use std::path::Path;
use std::process::Command;

use castoff::plan::Verdict;
use serde_json::json;

use crate::members::{Members, blocked, done};
use crate::servers::{Server, fetched};

/// What the exporter shows, under the names that the plan asks for unless told otherwise.
const FIGURES: &str = "
lowercaseOutputName: true
rules:
- {pattern: 'kafka.server<type=(ReplicaManager|KafkaServer), name=(.+)><>Value', name: kafka_server_$1_$2}
- {pattern: 'kafka.controller<type=KafkaController, name=(.+)><>Value', name: kafka_controller_kafkacontroller_$1}
";

fn java(folder: &Path) -> Command {
    let mut command = Command::new("java");
    command.args(["-Xmx256m", "-XX:TieredStopAtLevel=1", "-cp"]).arg(folder.join("*"));
    command
}

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn start(folder: &Path, directory: &Path, members: &Members, ordinal: usize) -> Server {
    let (address, number) = (members.address(ordinal), ordinal + 1);
    let voters = (0..3).map(|other| format!("{}@{}:9093", other + 1, members.address(other))).collect::<Vec<_>>();
    let config = format!(
        "process.roles=broker,controller\nnode.id={number}\ncontroller.quorum.voters={}\n\
         listeners=PLAINTEXT://{address}:9092,CONTROLLER://{address}:9093\ncontroller.listener.names=CONTROLLER\n\
         log.dirs={}\n",
        voters.join(","),
        directory.join(format!("data-{ordinal}")).display()
    );
    let path = directory.join(format!("{ordinal}.properties"));
    std::fs::write(&path, config).unwrap();
    let cluster = "AAAAAAAAAAAAAAAAAAAAAA";
    run(java(folder).args(["kafka.tools.StorageTool", "format", "-t", cluster, "-c"]).arg(&path));
    let exporter = folder.join("jmx_prometheus_javaagent-1.0.1.jar");
    let figures = directory.join("figures.yml");
    let mut command = java(folder);
    command.arg(format!("-javaagent:{}={address}:9404:{}", exporter.display(), figures.display()));
    command.arg("kafka.Kafka").arg(path);
    Server::start(command, &directory.join(format!("{ordinal}.log")))
}

#[tokio::test]
async fn brokers_hold_each_other_while_partitions_lack_replicas() {
    let (folder, directory) = (fetched("kafka"), tempfile::tempdir().unwrap());
    std::fs::write(directory.path().join("figures.yml"), FIGURES).unwrap();
    let members = Members::new("kafka", 74);
    let parameters = json!({"selector": "app=kafka"});
    let mut servers = [0, 1, 2].map(|ordinal| start(&folder, directory.path(), &members, ordinal));
    for (ordinal, server) in servers.iter().enumerate() {
        members.until(ordinal, &parameters, server, done).await;
    }
    let topic = ["--create", "--topic", "orders", "--partitions", "3", "--replication-factor", "3"];
    let broker = format!("{}:9092", members.address(0));
    run(java(&folder).args(["org.apache.kafka.tools.TopicCommand", "--bootstrap-server", &broker]).args(topic));
    members.until(0, &parameters, &servers[0], done).await;
    assert_eq!(members.left(0, &parameters).await, 3, "its partitions stay behind");

    // For some seconds the others say that all is well.
    servers[2].kill();
    let held = members.verdict(0, &parameters).await;
    assert_ne!(held, Verdict::Done);
    members.until(0, &parameters, &servers[0], blocked("brokers that do not answer: kafka-2")).await;
    servers[2].restart();
    for ordinal in 0..3 {
        members.until(ordinal, &parameters, &servers[2], done).await;
    }
}
