//! What Castoff's checks and tools need that is too much for bash. Run by the scripts in `hack`, from the repository's
//! root.

mod differences;
mod dist;
mod etcd;
mod manifests;
mod oci;
mod options;

use std::process::ExitCode;

const USAGE: &str = "\
usage: hack/task manifests [FOLDER]    checks what manifests/ builds; with a folder, prints what that one builds
       hack/task manifests --write     writes the chart's README and the dashboard's object
       hack/task etcd [--check]        records what a real etcd answers into tests/recordings, or compares with it
       hack/task dist OPTION...        packs everything that a release has (hack/dist)
       hack/task oci image OPTION...   packs Castoff's program as an image (hack/image)
       hack/task oci pause PROGRAM NAME:TAG ARCHIVE
                                       packs the program that holds a pod's namespaces

exit codes: 0 as it should be, 1 it is not, 2 usage";

/// How a task ended: whether all is as it should be, or what kept it from being done.
type Outcome = Result<bool, Failure>;

/// What keeps a task from being done.
#[derive(Debug)]
enum Failure {
    Usage,
    Other(String),
}

impl From<String> for Failure {
    fn from(message: String) -> Self {
        Failure::Other(message)
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(Failure::Usage) => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
        Err(Failure::Other(message)) => {
            eprintln!("{message}");
            ExitCode::from(1)
        }
    }
}

fn run(arguments: &[&str]) -> Outcome {
    match arguments {
        ["-h" | "--help"] => {
            println!("{USAGE}");
            Ok(true)
        }
        ["manifests"] => manifests::check(),
        ["manifests", "--write"] => manifests::write(),
        ["manifests", folder] if !folder.starts_with('-') => manifests::print(folder),
        ["etcd"] => etcd::record_all(),
        ["etcd", "--check"] => etcd::check_all(),
        ["dist", options @ ..] => dist::make(options),
        ["oci", "image", options @ ..] => oci::image(options),
        ["oci", "pause", program, name, output] => oci::pause(program, name, output),
        _ => Err(Failure::Usage),
    }
}
