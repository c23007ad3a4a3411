//! The command line: arguments, and one file for each command.

mod begin;
mod cancel;
mod certs;
mod check;
mod check_pod;
mod connect;
mod demo;
mod doctor;
mod drains;
mod forget;
mod guards;
mod live;
mod output;
mod plans;
mod plugin;
mod prepare;
mod render;
mod review;
mod runbook;
mod serve;
mod shell;
mod simulate;
mod stand_in;
mod status;
mod trial;
mod uninstall;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::app::Failure;

/// Holds back the delete of an important pod until its backend is ready for it to leave.
#[derive(Debug, Parser)]
#[command(name = "castoff", version, about, after_help = EXAMPLES, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  castoff demo                                            watch a rolling update of a simulated TiKV, guarded
  castoff demo --unguarded                                the same without the guard
  castoff check policies                                  what is wrong with policies and plans
  castoff review --policies DIR review.json               what the gate would answer to a stored AdmissionReview
  castoff serve --standalone --policies DIR --self-signed certificates
                                                          answer on https://127.0.0.1:8443/validate
  castoff status -A -w                                    drains in the cluster, while they go on
  castoff check-pod basic-tikv-2 -n tidb                  what would happen if this pod were deleted now
  castoff prepare basic-tikv-2 -n tidb --wait             prepare a pod ahead of its delete
  castoff doctor                                          what is wrong with the installation, and what mends it

As a plugin of kubectl, for `kubectl castoff status`: ln -s castoff kubectl-castoff, in a directory of PATH.

Exit codes: 0 fine, 1 the answer is no, 2 wrong usage.";

#[derive(Debug, Subcommand)]
enum Command {
    Serve(Box<serve::Serve>),
    Check(Check),
    Review(Review),
    Demo(Demo),
    Status(status::Status),
    Prepare(prepare::Prepare),
    Cancel(cancel::Cancel),
    Forget(forget::Forget),
    CheckPod(check_pod::CheckPod),
    Doctor(doctor::Doctor),
    Uninstall(uninstall::Uninstall),
    Runbook(runbook::Runbook),
    Plans(Plans),
    Certs(Certs),
    Completions(Completions),
    #[command(hide = true)]
    Simulate(simulate::Simulate),
    /// Prints the CustomResourceDefinitions, for `kubectl apply -f -`
    Crds,
    /// Prints the manual page, for `man -l -`
    Man,
}

/// Checks policies and plans: every mistake with file, line and field, and policies that are in each other's way.
///
/// What it accepts, `serve` accepts.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  castoff check policies
  castoff check -o json policies/tikv.yaml plans

Exit codes: 0 nothing is wrong, 1 something is, 2 wrong usage.")]
struct Check {
    /// Files, or directories of which every .yaml, .yml and .json file is read
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,

    /// How to print
    #[arg(short, long, default_value = "table", value_name = "FORMAT")]
    output: Output,
}

/// Says what the gate would answer to stored AdmissionReviews. Never acts: it is a dry run.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  castoff review --policies policies tests/reviews/1.36/*.json
  kubectl get --raw ... | castoff review --policies policies -o json -

Exit codes: 0 every request would be allowed, 1 one would be denied or is no AdmissionReview, 2 wrong usage.")]
struct Review {
    /// Files with an AdmissionReview each; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    #[command(flatten)]
    sources: serve::Sources,

    /// How to print
    #[arg(short, long, default_value = "table", value_name = "FORMAT")]
    output: Output,
}

/// Lists the built-in plans; with a name, prints one as a DrainPlan that can be applied, and a policy to begin with.
#[derive(Debug, Args)]
struct Plans {
    /// The plan to print
    #[arg(value_name = "NAME")]
    name: Option<String>,

    /// How to print
    #[arg(short, long, default_value = "table", value_name = "FORMAT")]
    output: Output,
}

/// Makes a CA and a server certificate for development (ECDSA P-256): ca.crt, tls.crt, tls.key.
#[derive(Debug, Args)]
struct Certs {
    /// Where to put them
    #[arg(value_name = "DIR")]
    directory: PathBuf,

    /// One more name or address that the certificate is for, besides localhost; may be repeated
    #[arg(long = "host", value_name = "NAME")]
    hosts: Vec<String>,

    /// Make them anew where some are there
    #[arg(long)]
    force: bool,
}

/// Prints completions for a shell, as for bash: source <(castoff completions bash)
#[derive(Debug, Args)]
struct Completions {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: clap_complete::Shell,
}

/// Rolls three of four simulated TiKV pods, and counts what the roll-out costs.
///
/// The guard is the one that `serve` runs, asked over HTTPS. A simulated PD moves leaders, and counts from what it saw
/// itself: leaders that were on a store when its pod ended, and evict-leader entries left behind.
#[derive(Debug, Args)]
struct Demo {
    /// Leave the guard out, to see what it is for
    #[arg(long, conflicts_with = "fault")]
    unguarded: bool,

    /// Let something go wrong, and see what the guard does
    #[arg(long, value_name = "FAULT")]
    fault: Option<demo::Fault>,

    /// How to print
    #[arg(short, long, default_value = "text", value_name = "FORMAT")]
    output: DemoOutput,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Table,
    Json,
    Yaml,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum DemoOutput {
    Text,
    Json,
}

/// Reads the arguments and carries out the command.
#[must_use]
pub fn run() -> ExitCode {
    let arguments = plugin::parse();
    let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(2);
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return report(&Failure::No(format!("the runtime could not be started: {error}"))),
    };
    let done = runtime.block_on(async {
        match arguments.command {
            Command::Serve(command) => Box::pin(serve::run(*command)).await,
            Command::Check(command) => check::run(&command),
            Command::Review(command) => review::run(command).await,
            Command::Runbook(command) => runbook::run(&command),
            Command::Plans(command) => plans::run(&command),
            Command::Certs(command) => certs::run(&command),
            Command::Completions(command) => shell::completions(&command),
            Command::Crds => shell::crds(),
            Command::Man => shell::manual(),
            Command::Demo(command) => demo::run(command).await,
            Command::Status(command) => status::run(command).await,
            Command::Prepare(command) => prepare::run(command).await,
            Command::Cancel(command) => cancel::run(command).await,
            Command::Forget(command) => forget::run(command).await,
            Command::CheckPod(command) => check_pod::run(command).await,
            Command::Doctor(command) => doctor::run(command).await,
            Command::Uninstall(command) => uninstall::run(command).await,
            Command::Simulate(command) => simulate::run(command).await,
        }
    });
    done.map_or_else(|failure| report(&failure), |()| ExitCode::SUCCESS)
}

/// Prints a list for people with `table`, or its values for scripts.
fn print_as(form: Output, values: &impl serde::Serialize, table: impl FnOnce()) -> Result<(), Failure> {
    match form {
        Output::Table => table(),
        Output::Json => {
            output::line(serde_json::to_string_pretty(values).map_err(|error| Failure::No(error.to_string()))?);
        }
        Output::Yaml => {
            let text = serde_saphyr::to_string(values).map_err(|error| Failure::No(error.to_string()))?;
            output::line(text.trim_end());
        }
    }
    Ok(())
}

fn report(failure: &Failure) -> ExitCode {
    let (message, code) = match failure {
        Failure::No(message) => (message, 1),
        Failure::Usage(message) => (message, 2),
    };
    if !message.is_empty() {
        eprintln!("{}: {message}", render::program());
    }
    ExitCode::from(code)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_arguments_are_consistent() {
        super::Arguments::command().debug_assert();
    }
}
