//! Processes of real servers, which end with the test that started them.

use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A server that runs until it is killed or the test ends.
pub struct Server {
    command: Command,
    process: Child,
    log: PathBuf,
}

impl Server {
    /// Starts a server, whose output goes into `log`.
    pub fn start(mut command: Command, log: &Path) -> Self {
        let file = File::options().create(true).append(true).open(log).unwrap();
        // A group of its own, since some are scripts that start the server.
        command.process_group(0);
        command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file);
        let process = command.spawn().unwrap();
        Self { command, process, log: log.to_owned() }
    }

    /// Ends it and what it started, as by kill -9.
    pub fn kill(&mut self) {
        let group = format!("-{}", self.process.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).stderr(Stdio::null()).status();
        let _ = self.process.wait();
    }

    /// Starts it once more.
    pub fn restart(&mut self) {
        self.process = self.command.spawn().unwrap();
    }

    /// The last lines of its log.
    pub fn said(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The folder of a fetched server.
pub fn fetched(name: &str) -> PathBuf {
    let get = Path::new(env!("CARGO_MANIFEST_DIR")).join("hack/backends/get");
    let output = Command::new(get).arg(name).stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "hack/backends/get {name} failed");
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
}
