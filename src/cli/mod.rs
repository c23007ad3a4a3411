//! The command line: arguments, and one file for each command.

mod audit;
mod begin;
mod cancel;
mod certs;
mod check;
mod check_pod;
mod clock;
mod connect;
#[cfg(feature = "demo")]
mod demo;
mod doctor;
mod drains;
mod forget;
mod freeze;
mod guards;
mod held;
mod history;
mod hook;
mod live;
mod next;
mod operators;
mod output;
mod plan;
mod plans;
mod plugin;
mod prepare;
mod render;
mod review;
mod runbook;
mod serve;
mod shell;
#[cfg(feature = "demo")]
mod simulate;
#[cfg(feature = "demo")]
mod stand_in;
mod status;
mod suggest;
mod timeline;
mod trial;
mod ui;
mod uninstall;
mod upgrades;
mod waits;

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

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
    Check(check::Check),
    Review(review::Review),
    #[cfg(feature = "demo")]
    Demo(demo::Demo),
    Status(status::Status),
    Ui(ui::Ui),
    History(history::History),
    Audit(audit::Audit),
    Prepare(prepare::Prepare),
    Cancel(cancel::Cancel),
    Forget(forget::Forget),
    Freeze(freeze::FreezePolicy),
    Unfreeze(freeze::Unfreeze),
    CheckPod(check_pod::CheckPod),
    Suggest(suggest::Suggest),
    Doctor(doctor::Doctor),
    Uninstall(uninstall::Uninstall),
    Runbook(runbook::Runbook),
    Plans(plans::Plans),
    Plan(plan::PlanCommand),
    Hook(Box<hook::HookCommand>),
    Certs(certs::Certs),
    Completions(shell::Completions),
    #[cfg(feature = "demo")]
    #[command(hide = true)]
    Simulate(simulate::Simulate),
    /// Prints the CustomResourceDefinitions, for `kubectl apply -f -`
    Crds,
    /// Prints the manual page, for `man -l -`
    Man,
}

/// Reads the arguments and carries out the command.
#[must_use]
pub fn run() -> ExitCode {
    let matches = plugin::called(Arguments::command(), render::program()).get_matches();
    let arguments = Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(2);
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return report(&Failure::No(format!("the runtime could not be started: {error}"))),
    };
    let done = runtime.block_on(async {
        match arguments.command {
            Command::Serve(command) => Box::pin(serve::run(*command)).await,
            Command::Check(command) => check::run(command).await,
            Command::Review(command) => review::run(command).await,
            Command::Runbook(command) => runbook::run(&command),
            Command::Plans(command) => plans::run(&command),
            Command::Plan(command) => plan::run(&command),
            Command::Hook(command) => Box::pin(hook::run(*command)).await,
            Command::Certs(command) => certs::run(&command),
            Command::Completions(command) => shell::completions(&command, Arguments::command()),
            Command::Crds => shell::crds(),
            Command::Man => shell::manual(Arguments::command()),
            #[cfg(feature = "demo")]
            Command::Demo(command) => demo::run(command).await,
            Command::Status(command) => status::run(command).await,
            Command::Ui(command) => ui::run(command).await,
            Command::History(command) => history::run(command).await,
            Command::Audit(command) => audit::run(command).await,
            Command::Suggest(command) => suggest::run(command).await,
            Command::Prepare(command) => prepare::run(command).await,
            Command::Cancel(command) => cancel::run(command).await,
            Command::Forget(command) => forget::run(command).await,
            Command::Freeze(command) => freeze::freeze(command).await,
            Command::Unfreeze(command) => freeze::unfreeze(command).await,
            Command::CheckPod(command) => check_pod::run(command).await,
            Command::Doctor(command) => doctor::run(command).await,
            Command::Uninstall(command) => uninstall::run(command).await,
            #[cfg(feature = "demo")]
            Command::Simulate(command) => simulate::run(command).await,
        }
    });
    done.map_or_else(|failure| report(&failure), |()| ExitCode::SUCCESS)
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

    #[test]
    fn as_a_plugin_usage_and_examples_are_those_of_kubectl() {
        let mut command = super::plugin::called(super::Arguments::command(), "kubectl castoff");
        command.build();
        let help = command.render_help().to_string();
        assert!(help.contains("Usage: kubectl castoff") && help.contains("  kubectl castoff status -A"), "{help}");
        let prepare = command.find_subcommand_mut("prepare").map(|inner| inner.render_help().to_string());
        let prepare = prepare.unwrap_or_default();
        assert!(prepare.contains("Usage: kubectl castoff prepare"), "{prepare}");
        assert!(prepare.contains("  kubectl castoff prepare basic-tikv-2"), "{prepare}");
    }
}
