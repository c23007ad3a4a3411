//! `castoff hook`: a sidecar that prepares its pod by running commands.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use crate::app::Failure;
use crate::hook::kept::Kept;
use crate::hook::{Commands, Hook, command, router};
use crate::runtime::logging;
use crate::runtime::shutdown::Shutdown;
use crate::server;

use super::serve::duration;

/// Runs in a pod, beside an application that can only be steered by commands, and answers the plan http-hook for it.
///
/// Castoff asks it over HTTP; it runs what you wrote, in its own container, one command at a time and without a shell.
/// So Castoff needs no right to run anything in your pods.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  castoff hook --state /castoff/hook.json --prepare 'mongosh --quiet /scripts/step-down.js'
  castoff hook --state /castoff/hook.json --prepare '/scripts/leave' --status '/scripts/left' --undo '/scripts/join'
  castoff hook --shell --state /castoff/hook.json --prepare 'nodetool drain && echo drained'
  castoff hook --copy-to /castoff                 for an init container: other images then run /castoff/castoff

Commands are split into words as a shell does it, quotes included. CASTOFF_REMOVAL is true where no pod will take this
one's place. What they write goes to the log; the last line counts.
  prepare  exit code 0: it is prepared. Else it is told with its last line, and run again, from 2 s later to a minute.
  status   0: it may go. 1: not yet; a number that begins the last line is how much is left, other words are why.
           2: what was prepared is lost (the application has started anew), prepare it again. Else: not yet, and told.
  undo     exit code 0: it is as before. Else it is told, and run again.

The whole page: docs/http-hook.md.")]
pub(super) struct HookCommand {
    /// Gets the application ready to leave; to run it twice does no harm
    #[arg(long, value_name = "COMMAND", required_unless_present = "copy_to")]
    prepare: Option<String>,

    /// Says whether it is ready to leave; without one it is as soon as the first has ended well
    #[arg(long, value_name = "COMMAND")]
    status: Option<String>,

    /// Takes it back, where the pod is to stay after all
    #[arg(long, value_name = "COMMAND")]
    undo: Option<String>,

    /// Give commands to `sh -c`, as they are
    #[arg(long)]
    shell: bool,

    /// How long prepare and undo may take before they are ended, and tried again
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = duration)]
    limit: Duration,

    /// How long status may take; Castoff waits for three seconds
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = duration)]
    status_limit: Duration,

    /// Where to keep how far it has come, on a volume of the pod: a container that starts anew goes on from there
    #[arg(long, value_name = "FILE", required_unless_present = "copy_to")]
    state: Option<PathBuf>,

    /// The pod's UID, by the downward API; needed where the volume may come to another pod
    #[arg(long, env = "POD_UID", value_name = "UID", default_value = "", hide_default_value = true)]
    pod_uid: String,

    /// Where to answer; the policy's parameter `port` is the same
    #[arg(long, value_name = "ADDRESS", default_value = "[::]:8079")]
    listen: SocketAddr,

    /// At which path; the policy's parameter `path` is the same
    #[arg(long, value_name = "PATH", default_value = "/prestop")]
    path: String,

    /// Copy this program into a directory, and end
    #[arg(long, value_name = "DIR", conflicts_with_all = ["prepare", "state"])]
    copy_to: Option<PathBuf>,
}

pub(super) async fn run(arguments: HookCommand) -> Result<(), Failure> {
    if let Some(directory) = &arguments.copy_to {
        return copy_to(directory);
    }
    let path = arguments.path.clone();
    if !path.starts_with('/') || path.contains(['{', '}', '*', '?', '#']) {
        return Err(Failure::Usage(format!("--path {path}: write a path as /prestop")));
    }
    logging::init(logging::Format::Human, "castoff=info").map_err(|error| Failure::No(error.to_string()))?;
    let listen = arguments.listen;
    let hook = Hook::new(commands(&arguments)?, kept(&arguments)).map_err(|error| Failure::No(error.to_string()))?;
    let shutdown = Shutdown::on_signals().map_err(|error| Failure::No(error.to_string()))?;
    tracing::info!(%listen, %path, "answers");
    server::serve_plain(listen, router(hook, &path), shutdown).await.map_err(|error| Failure::No(error.to_string()))
}

fn commands(arguments: &HookCommand) -> Result<Commands, Failure> {
    let parse = |option: &str, text: &Option<String>| {
        let parse = |text: &String| {
            command::Command::parse(text, arguments.shell)
                .map_err(|why| Failure::Usage(format!("{option} {text}: {why}")))
        };
        text.as_ref().map(parse).transpose()
    };
    let prepare =
        parse("--prepare", &arguments.prepare)?.ok_or_else(|| Failure::Usage("--prepare is needed".to_owned()))?;
    Ok(Commands {
        prepare,
        status: parse("--status", &arguments.status)?,
        undo: parse("--undo", &arguments.undo)?,
        limit: arguments.limit,
        status_limit: arguments.status_limit,
    })
}

fn kept(arguments: &HookCommand) -> Kept {
    Kept { file: arguments.state.clone().unwrap_or_default(), pod: arguments.pod_uid.clone() }
}

/// Images hold one program each: another image gets this one by a volume.
fn copy_to(directory: &Path) -> Result<(), Failure> {
    let target = directory.join("castoff");
    let copied = std::env::current_exe().and_then(|program| std::fs::copy(program, &target));
    copied.map(drop).map_err(|error| Failure::No(format!("{}: {error}", target.display())))
}
