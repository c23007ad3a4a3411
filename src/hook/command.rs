//! Runs what the pod's owner wrote: no shell unless one was asked for, within a time limit, with whatever it started.

use std::fmt;
use std::io::Write as _;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Child;

use crate::printable::printable;

/// The variable that tells a command whether no pod will take this one's place: `true` or `false`.
const REMOVAL: &str = "CASTOFF_REMOVAL";

/// How long a command that is to end may take before it is killed.
const GRACE: Duration = Duration::from_secs(5);

/// How long what a command has written is waited for once it has ended: something that it left behind may hold on to it.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// How much of what it writes is looked at for the last line, in bytes.
const TAIL: usize = 4096;

/// A command, split into words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    program: String,
    arguments: Vec<String>,
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum How {
    /// By itself.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// It was ended when its time was over.
    TooLong(Duration),
    /// It was ended because it is not wanted any more.
    GivenUp,
    /// It did not begin.
    NotStarted(String),
}

/// A command that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its program.
    pub command: String,
    /// How.
    pub how: How,
    /// The last line of its output, else of its errors; empty where it wrote none.
    pub last_line: String,
}

impl Command {
    /// Reads a command as a shell would split it into words, with quotes and backslashes and nothing else; with `shell`
    /// the text is given to `sh -c` as it is.
    ///
    /// # Errors
    /// When a quote does not end, or there is no word.
    pub fn parse(text: &str, shell: bool) -> Result<Self, &'static str> {
        if text.trim().is_empty() {
            return Err("there is no command");
        }
        if shell {
            return Ok(Command { program: "sh".to_owned(), arguments: vec!["-c".to_owned(), text.to_owned()] });
        }
        let mut words = shlex::split(text).ok_or("a quote has no end")?.into_iter();
        let program = words.next().ok_or("there is no command")?;
        Ok(Command { program, arguments: words.collect() })
    }

    /// Runs it until it ends, its time is over, or it is not wanted any more.
    pub(super) async fn run(&self, removal: bool, limit: Duration, given_up: impl Future<Output = ()>) -> Ended {
        let ended = |how, last_line| Ended { command: self.program.clone(), how, last_line };
        let mut command = tokio::process::Command::new(&self.program);
        command.args(&self.arguments).env(REMOVAL, removal.to_string());
        // A group of its own, so that what it starts ends with it.
        command.process_group(0).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) => return ended(How::NotStarted(error.to_string()), String::new()),
        };
        let (output, errors) = (Tail::of(child.stdout.take()), Tail::of(child.stderr.take()));
        let how = tokio::select! {
            status = child.wait() => status.map_or_else(|error| How::NotStarted(error.to_string()), how),
            () = tokio::time::sleep(limit) => { end(&mut child).await; How::TooLong(limit) }
            () = given_up => { end(&mut child).await; How::GivenUp }
        };
        let (output, errors) = (output.last_line().await, errors.last_line().await);
        ended(how, if output.is_empty() { errors } else { output })
    }
}

fn how(status: ExitStatus) -> How {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => How::Code(code),
        (None, signal) => How::Signal(signal.unwrap_or_default()),
    }
}

/// Ends a command and whatever it started: with a request first.
async fn end(child: &mut Child) {
    let group = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    let tell = |signal| group.map(|group| kill_process_group(group, signal));
    tell(Signal::TERM);
    if tokio::time::timeout(GRACE, child.wait()).await.is_err() {
        tell(Signal::KILL);
        let _ = child.wait().await;
    }
}

/// The end of what a command writes. All of it goes to this program's errors as well, where the container's log is.
struct Tail {
    text: Arc<Mutex<Vec<u8>>>,
    reading: tokio::task::JoinHandle<()>,
}

impl Tail {
    fn of(source: Option<impl AsyncRead + Unpin + Send + 'static>) -> Tail {
        let text = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&text);
        let reading = tokio::spawn(async move {
            let Some(mut source) = source else { return };
            let mut piece = [0; 4096];
            while let Ok(length @ 1..) = source.read(&mut piece).await {
                let _ = std::io::stderr().write_all(&piece[..length]);
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.extend_from_slice(&piece[..length]);
                let too_much = kept.len().saturating_sub(TAIL);
                kept.drain(..too_much);
            }
        });
        Tail { text, reading }
    }

    async fn last_line(mut self) -> String {
        if tokio::time::timeout(LAST_WORDS, &mut self.reading).await.is_err() {
            self.reading.abort();
        }
        let text = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(&text);
        let line = text.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default();
        printable(line).into_owned()
    }
}

impl Ended {
    /// What happened, for people.
    #[must_use]
    pub fn sentence(&self) -> String {
        let colon = if self.last_line.is_empty() { "" } else { ": " };
        format!("{}: {}{colon}{}", printable(&self.command), self.how, self.last_line)
    }
}

impl fmt::Display for How {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            How::Code(code) => write!(to, "exit code {code}"),
            How::Signal(signal) => write!(to, "ended by signal {signal}"),
            How::TooLong(limit) => write!(to, "ended after {limit:?}, which is all the time that it has"),
            How::GivenUp => to.write_str("ended, as it is not wanted any more"),
            How::NotStarted(why) => write!(to, "could not be run: {why}"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    async fn run(text: &str, limit: Duration) -> Ended {
        Command::parse(text, false).unwrap().run(true, limit, std::future::pending()).await
    }

    const LONG: Duration = Duration::from_mins(1);

    #[test]
    fn words_are_split_as_a_shell_does_and_nothing_else_is_done() {
        let command = Command::parse(r#"mongosh --eval 'rs.stepDown(60)' "$HOME" a\ b"#, false).unwrap();
        assert_eq!(command.program, "mongosh");
        assert_eq!(command.arguments, ["--eval", "rs.stepDown(60)", "$HOME", "a b"]);
        assert_eq!(Command::parse("echo 'a", false), Err("a quote has no end"));
        assert_eq!(Command::parse("  ", false), Err("there is no command"));
        assert_eq!(Command::parse("a | b", true).unwrap().arguments, ["-c", "a | b"]);
    }

    #[tokio::test]
    async fn how_it_ended_and_its_last_line_are_told() {
        let ended = run("sh -c 'echo one; echo; echo \"  17 left\"; echo no >&2; exit 1'", LONG).await;
        assert_eq!((ended.how, ended.last_line.as_str()), (How::Code(1), "17 left"));
        let ended = run("sh -c 'echo refused >&2; exit 3'", LONG).await;
        assert_eq!(ended.sentence(), "sh: exit code 3: refused");
        assert_eq!(run("sh -c 'echo $CASTOFF_REMOVAL'", LONG).await.last_line, "true");
        assert!(matches!(run("/does/not/exist", LONG).await.how, How::NotStarted(_)));
        assert_eq!(run("sh -c 'kill -9 $$'", LONG).await.how, How::Signal(9));
    }

    #[tokio::test]
    async fn what_takes_too_long_ends_with_whatever_it_started() {
        let limit = Duration::from_millis(200);
        let ended = run("sh -c 'sleep 4711 & echo $!; wait'", limit).await;
        assert_eq!(ended.how, How::TooLong(limit));
        let started = std::path::Path::new("/proc").join(&ended.last_line);
        // What has ended may stand there until somebody asks how.
        let is_gone = || std::fs::read_to_string(started.join("stat")).map_or(true, |stat| stat.contains(") Z"));
        while !is_gone() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn what_is_left_behind_by_a_command_that_has_ended_is_not_waited_for() {
        let ended = run("sh -c 'echo done; sleep 5 & exit 0'", LONG).await;
        assert_eq!((ended.how, ended.last_line.as_str()), (How::Code(0), "done"));
    }
}
