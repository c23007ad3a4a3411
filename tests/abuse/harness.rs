//! The real program, and its memory.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use castoff::backend::client::Clients;
use castoff::backend::credentials::Secret;
use castoff::backend::dns::{GuardedDns, SystemDns};
use serde_json::Value;
use tempfile::TempDir;

pub struct Guard {
    child: Child,
    address: String,
    client: reqwest::Client,
    _directory: TempDir,
}

/// A review that a real API server sent.
pub fn review() -> Value {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/reviews/1.36/delete-by-statefulset-controller.json");
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

impl Guard {
    /// A guard that guards the pods of some of the captured reviews.
    pub fn start() -> Guard {
        let directory = tempfile::tempdir().unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_castoff"))
            .args(["serve", "--standalone", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
            .args(["--log-format", "json", "--policies", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/policies")])
            .arg("--self-signed")
            .arg(directory.path())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let address = lines
            .find_map(|line| serde_json::from_str::<Value>(&line).unwrap()["address"].as_str().map(str::to_owned))
            .expect("the guard has ended early");
        // What it logs is read and thrown away, or it would wait for a reader.
        std::thread::spawn(move || lines.for_each(drop));
        let ca = std::fs::read(directory.path().join("ca.crt")).unwrap();
        let secret: Secret = [("ca.crt".to_owned(), ca)].into_iter().collect();
        let client = Clients::new(GuardedDns::new(Arc::new(SystemDns::new()), true)).with(&secret).unwrap();
        Guard { child, address, client, _directory: directory }
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    /// POSTs a body; status and text of the answer.
    pub async fn post(&self, body: Vec<u8>) -> (u16, String) {
        let port = self.address.rsplit(':').next().unwrap();
        let request = self.client.post(format!("https://localhost:{port}/validate?timeout=10s"));
        let answer = request.header("content-type", "application/json").body(body).send().await.unwrap();
        let status = answer.status().as_u16();
        (status, String::from_utf8(answer.bytes().await.unwrap().to_vec()).unwrap())
    }

    /// The process's resident memory, in mebibytes. It must still be the same process.
    pub fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("the process lives");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("the process lives");
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
