//! Real servers on loopback, each at an address of its own; they end with the test.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use redis::{Client, Connection, FromRedisValue};

/// Where `hack/redis/build` has put the servers.
fn folder() -> PathBuf {
    std::env::var_os("CASTOFF_REDIS").expect("CASTOFF_REDIS: run this by hack/test real-redis").into()
}

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Redis,
    Valkey,
}

/// A process, killed when it is dropped.
pub struct Server {
    pub child: Child,
    _files: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    /// Starts one with these lines of configuration, and waits until it answers.
    pub fn start(kind: Kind, address: &str, port: u16, lines: &[String], sentinel: bool) -> Self {
        let files = tempfile::tempdir().unwrap();
        let mut text = format!(
            "bind {address}\nport {port}\nbind-source-addr {address}\nprotected-mode no\ndir {}\n",
            files.path().display()
        );
        if !sentinel {
            text += "save \"\"\nrepl-diskless-sync-delay 0\nrepl-backlog-size 64mb\n";
        }
        text += &lines.join("\n");
        let path = files.path().join("server.conf");
        std::fs::write(&path, text + "\n").unwrap();
        let name = if kind == Kind::Redis { "redis-server" } else { "valkey-server" };
        let mut command = Command::new(folder().join(name));
        command.arg(&path).args(sentinel.then_some("--sentinel")).stdout(Stdio::null());
        let child = command.spawn().unwrap();
        let server = Server { child, _files: files };
        until("the server answers", || try_ask::<String>(address, port, &["PING"]).ok());
        server
    }

    pub fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap().success());
    }
}

pub fn connect(address: &str, port: u16) -> redis::RedisResult<Connection> {
    let connection =
        Client::open(format!("redis://{address}:{port}"))?.get_connection_with_timeout(Duration::from_secs(1))?;
    connection.set_read_timeout(Some(Duration::from_secs(40)))?;
    Ok(connection)
}

pub fn try_ask<T: FromRedisValue>(address: &str, port: u16, words: &[&str]) -> redis::RedisResult<T> {
    let mut command = redis::cmd(words[0]);
    for word in &words[1..] {
        command.arg(*word);
    }
    command.query(&mut connect(address, port)?)
}

pub fn ask<T: FromRedisValue>(address: &str, port: u16, words: &[&str]) -> T {
    try_ask(address, port, words).unwrap_or_else(|error| panic!("{address}:{port} {words:?}: {error}"))
}

pub fn role(address: &str) -> String {
    let role: Vec<redis::Value> = ask(address, 6379, &["ROLE"]);
    redis::from_redis_value(role[0].clone()).unwrap()
}

/// Asks again and again until there is an answer.
pub fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "waited half a minute until {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}
