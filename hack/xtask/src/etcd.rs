//! Records what a real etcd answers to the requests of the etcd plan, or checks that it still answers so.
//!
//! Three members run on free loopback ports with data in a temporary folder; everything is ended and removed again.

mod members;
mod shape;
mod themes;

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::{Failure, Outcome};
use members::Cluster;
use themes::{THEMES, Theme};

const RECORDINGS: &str = "tests/recordings";

/// Writes all recordings anew.
pub fn record_all() -> Outcome {
    let etcd = Etcd::built()?;
    for theme in &THEMES {
        let recording = record(theme, &etcd)?;
        let path = file_of(theme);
        let text = indented(&recording)?;
        std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        println!("{}: {} steps", theme.name, steps(&recording));
    }
    Ok(true)
}

/// Compares fresh answers with the committed ones.
pub fn check_all() -> Outcome {
    let etcd = Etcd::built()?;
    let mut differing = 0;
    for theme in &THEMES {
        let path = file_of(theme);
        let committed = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let committed: Value = serde_json::from_slice(&committed).map_err(|error| error.to_string())?;
        let fresh = record(theme, &etcd)?;
        let found = shape::differences(&committed, &fresh);
        let number = if found.is_empty() { "no".to_owned() } else { found.len().to_string() };
        println!("{}: {} steps, {number} differences", theme.name, steps(&fresh));
        for difference in &found {
            println!("  {difference}");
        }
        differing += usize::from(!found.is_empty());
    }
    if differing == 0 {
        println!("the committed recordings hold");
    } else {
        println!("{differing} recordings differ: look at what changed, then run hack/etcd/record and commit");
    }
    Ok(differing == 0)
}

/// The etcd to run.
struct Etcd {
    binary: PathBuf,
    version: String,
}

impl Etcd {
    /// Built first where it is missing.
    fn built() -> Result<Etcd, Failure> {
        let built = said_by(Command::new("hack/etcd/build"))?;
        let binary = PathBuf::from(built.trim());
        let shown = said_by(Command::new(&binary).arg("--version"))?;
        let version = shown.lines().next().and_then(|line| line.strip_prefix("etcd Version: "));
        let version = version.ok_or_else(|| format!("no version of etcd in: {shown}"))?.to_owned();
        Ok(Etcd { binary, version })
    }
}

fn said_by(mut command: impl std::borrow::BorrowMut<Command>) -> Result<String, Failure> {
    let command = command.borrow_mut();
    let output = command.stderr(std::process::Stdio::inherit()).output();
    let output = output.map_err(|error| format!("{command:?}: {error}"))?;
    if !output.status.success() {
        return Err(Failure::Other(format!("{command:?} failed, see above")));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn file_of(theme: &Theme) -> PathBuf {
    Path::new(RECORDINGS).join(format!("{}.json", theme.name))
}

fn steps(recording: &Value) -> usize {
    recording["steps"].as_array().map_or(0, Vec::len)
}

fn record(theme: &Theme, etcd: &Etcd) -> Result<Value, Failure> {
    let folder = tempfile::Builder::new().prefix("castoff-etcd-").tempdir().map_err(|error| error.to_string())?;
    let mut cluster = Cluster::start(&etcd.binary, folder.path())?;
    (theme.play)(&mut cluster)?;
    Ok(json!({
        "server": format!("etcd {}", etcd.version),
        "started": theme.started,
        "members": cluster.names(),
        "steps": std::mem::take(&mut cluster.steps),
    }))
}

/// As the recordings are written, with one space a level.
fn indented(value: &Value) -> Result<String, String> {
    let mut bytes = Vec::new();
    let form = serde_json::ser::PrettyFormatter::with_indent(b" ");
    let mut writer = serde_json::Serializer::with_formatter(&mut bytes, form);
    serde::Serialize::serialize(value, &mut writer).map_err(|error| error.to_string())?;
    bytes.push(b'\n');
    String::from_utf8(bytes).map_err(|error| error.to_string())
}
