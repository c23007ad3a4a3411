//! What the commands for people share: which cluster, which namespace, what went wrong, how things look.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use clap::Args;
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::api::{Api, ListParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::{ApiResource, DynamicObject};
use kube::{Client, Config};

use crate::kubernetes::cache::chain;
use crate::kubernetes::resources::GROUP;

use super::Failure;

/// Which cluster, as for kubectl.
#[derive(Debug, Args)]
pub(super) struct Reach {
    /// The namespace; default: that of the kubeconfig's context
    #[arg(short, long, value_name = "NAME")]
    pub namespace: Option<String>,

    #[command(flatten)]
    pub which: Which,
}

/// Which cluster.
#[derive(Debug, Args)]
pub(super) struct Which {
    /// A context of the kubeconfig; default: the current one
    #[arg(long, value_name = "NAME")]
    context: Option<String>,

    /// The kubeconfig; default: as kubectl finds it
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
}

impl Reach {
    /// A client, and the namespace to look in.
    pub async fn connect(&self) -> Result<(Client, String), Failure> {
        let client = self.which.connect().await?;
        let namespace = self.namespace.clone().unwrap_or_else(|| client.default_namespace().to_owned());
        Ok((client, namespace))
    }
}

impl Which {
    /// A client for the cluster.
    pub async fn connect(&self) -> Result<Client, Failure> {
        let no_cluster = |error: &dyn std::error::Error| {
            Failure::Usage(format!("no cluster: {}. Give KUBECONFIG, --kubeconfig or --context", chain(error)))
        };
        let options = KubeConfigOptions { context: self.context.clone(), ..KubeConfigOptions::default() };
        let mut config = match &self.kubeconfig {
            Some(file) => {
                let read = Kubeconfig::read_from(file).map_err(|error| no_cluster(&error))?;
                Config::from_custom_kubeconfig(read, &options).await.map_err(|error| no_cluster(&error))?
            }
            None if self.context.is_some() => {
                Config::from_kubeconfig(&options).await.map_err(|error| no_cluster(&error))?
            }
            None => Config::infer().await.map_err(|error| no_cluster(&error))?,
        };
        // A denial, too, is a 429: it is an answer, and not to be asked for again.
        config.default_retry = false;
        Client::try_from(config).map_err(|error| Failure::No(chain(&error)))
    }
}

/// What the API server would not do, for people. `what` is what was tried, as `list poddrains`.
pub(super) fn refused(what: &str, error: &kube::Error) -> Failure {
    Failure::No(match error {
        kube::Error::Api(status) if status.code == 404 && is_no_kind(&status.message) => {
            let program = program();
            format!("can't {what}: the cluster does not know {GROUP}. Install it: {program} crds | kubectl apply -f -")
        }
        kube::Error::Api(status) => format!("can't {what}: {}", status.message),
        error => format!("can't {what}: {}", chain(error)),
    })
}

/// Whether a "not found" is about the kind and not about one object of it.
fn is_no_kind(message: &str) -> bool {
    message.contains("could not find the requested") || message.contains("page not found")
}

/// All objects of a kind, in a namespace or everywhere.
pub(super) async fn list(
    client: &Client,
    resource: &ApiResource,
    namespace: Option<&str>,
) -> Result<Vec<DynamicObject>, Failure> {
    let api: Api<DynamicObject> = match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, resource),
        None => Api::all_with(client.clone(), resource),
    };
    let listed = api.list(&ListParams::default()).await;
    listed.map(|list| list.items).map_err(|error| refused(&format!("list {}", resource.plural), &error))
}

/// As whom this person speaks to the API server.
pub(super) async fn whoami(client: &Client) -> Result<String, Failure> {
    let api: Api<SelfSubjectReview> = Api::all(client.clone());
    let review = api.create(&PostParams::default(), &SelfSubjectReview::default()).await;
    let review = review.map_err(|error| refused("ask the API server who you are", &error))?;
    Ok(review.status.and_then(|status| status.user_info).and_then(|user| user.username).unwrap_or_default())
}

/// How this program was called: as itself, or as a plugin of kubectl.
pub(super) fn program() -> &'static str {
    let called = std::env::args_os().next().unwrap_or_default();
    program_of(Path::new(&called))
}

fn program_of(called: &Path) -> &'static str {
    let is_plugin = called.file_stem().and_then(|name| name.to_str()).is_some_and(|name| name == "kubectl-castoff");
    if is_plugin { "kubectl castoff" } else { "castoff" }
}

/// Whether what is printed may be painted: on a terminal, unless `NO_COLOR` says otherwise.
pub(super) fn may_paint() -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    std::io::stdout().is_terminal() && !refused
}

/// A colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Paint {
    Plain,
    Good,
    Waiting,
    Bad,
}

/// A text in a colour, where colours are wanted.
pub(super) fn painted(text: &str, paint: Paint, wanted: bool) -> String {
    let code = match paint {
        Paint::Plain => return text.to_owned(),
        Paint::Good => 32,
        Paint::Waiting => 33,
        Paint::Bad => 31,
    };
    if wanted { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
}

/// Columns, each as wide as its widest cell; the last one is as long as it is. Cells are measured without their paint.
pub(super) fn table(rows: &[Vec<(String, Paint)>], paint: bool) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|(text, _)| text.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<(String, Paint)>| {
        let mut line = String::new();
        for ((text, colour), width) in row.iter().zip(&widths) {
            let room = width.saturating_sub(text.chars().count()) + 2;
            line.push_str(&painted(text, *colour, paint));
            line.push_str(&" ".repeat(room));
        }
        line.trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// A time as kubectl shows it: `42s`, `3m5s`, `2h10m`, `4d`.
pub(super) fn span(seconds: i64) -> String {
    let seconds = seconds.max(0);
    match (seconds / 86_400, seconds / 3600, seconds / 60) {
        (0, 0, minutes) if minutes < 2 => format!("{seconds}s"),
        (0, 0, minutes) if minutes < 10 && seconds % 60 != 0 => format!("{minutes}m{}s", seconds % 60),
        (0, 0, minutes) => format!("{minutes}m"),
        (0, hours, minutes) if minutes % 60 != 0 => format!("{hours}h{}m", minutes % 60),
        (days, hours, _) if days < 2 => format!("{hours}h"),
        (days, ..) => format!("{days}d"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_a_plugin_of_kubectl_it_calls_itself_one() {
        assert_eq!(program_of(Path::new("/usr/local/bin/kubectl-castoff")), "kubectl castoff");
        for other in ["castoff", "./castoff", "", "kubectl"] {
            assert_eq!(program_of(Path::new(other)), "castoff");
        }
    }

    #[test]
    fn columns_line_up_whether_painted_or_not() {
        let cell = |text: &str, paint| (text.to_owned(), paint);
        let rows = vec![
            vec![cell("POD", Paint::Plain), cell("PHASE", Paint::Plain), cell("WHY", Paint::Plain)],
            vec![cell("web-2", Paint::Plain), cell("Blocked", Paint::Bad), cell("another is away", Paint::Plain)],
        ];
        assert_eq!(table(&rows, false), ["POD    PHASE    WHY", "web-2  Blocked  another is away"]);
        let painted = table(&rows, true);
        assert_eq!(painted.last().map(String::as_str), Some("web-2  \u{1b}[31mBlocked\u{1b}[0m  another is away"));
    }

    #[test]
    fn times_are_short() {
        let spans = [0, 119, 120, 185, 600, 3600, 7800, 90_000, 400_000].map(span);
        assert_eq!(spans, ["0s", "119s", "2m", "3m5s", "10m", "1h", "2h10m", "25h", "4d"]);
    }
}
