//! Castoff as it runs in the scenarios: what the manifests hold, and on some ground two replicas of the real program.

use std::process::Stdio;
use std::time::Duration;

use k8s_openapi::api::core::v1::Node;
use kube::api::ListParams;
use kube::{Api, Client, Config, ResourceExt};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::backends::Hooks;
use crate::ground::{self, Ground, Loopback, Need};

/// The guard's own namespace.
pub const NAMESPACE: &str = "castoff-system";

/// Shorter than in production, so that a killed leader is followed soon.
pub const LEASE_DURATION: &str = "5s";

/// What the replicas log: each try, so that tries can be counted.
pub const LOG: &str = "info,castoff::gate=debug";

pub struct Installation {
    pub client: Client,
    pub hooks: Hooks,
    pub nodes: Vec<String>,
    pub ground: Box<dyn Ground>,
}

impl Installation {
    /// Installs the resources, starts both replicas, and waits until they answer.
    pub async fn start() -> Installation {
        rustls::crypto::ring::default_provider().install_default().unwrap();
        let mut config = Config::infer().await.expect("KUBECONFIG must name a cluster: hack/test e2e starts one");
        // Scenarios run side by side, and each waits by looking again and again.
        config.read_timeout = Some(Duration::from_mins(5));
        // A denial is a 429, and a scenario wants to see it.
        config.default_retry = false;
        let client = Client::try_from(config).unwrap();
        let deployment = install().await;
        let nodes = Api::<Node>::all(client.clone()).list(&ListParams::default()).await.unwrap();
        let (hooks, ground) = ground::choose(&client, &deployment).await;
        ground.make_whole().await;
        somebody_leads(&*ground).await;
        Installation { client, hooks, nodes: nodes.items.iter().map(ResourceExt::name_any).collect(), ground }
    }

    /// The replicas as processes; for scenarios that say that they need them.
    pub fn processes(&self) -> &Loopback {
        self.ground.processes().expect("scenarios need Need::Processes for this")
    }

    /// Why a scenario with this need can't be played here.
    pub fn lacks(&self, need: Need) -> Option<String> {
        match need {
            Need::Nodes(count) if self.nodes.len() < count => Some(format!("needs {count} nodes")),
            need => self.ground.lacks(need).map(str::to_owned),
        }
    }
}

/// Waits until a leader is there: where no Lease has ever been seen, that takes twice as long as one lasts.
async fn somebody_leads(ground: &dyn Ground) {
    for _ in 0..60 {
        if ground.leader().await.is_some() {
            return;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    panic!("nobody leads:\n{}", ground.log("").await);
}

/// Applies all that the manifests hold but the Deployment, which is returned: replicas run where the ground says.
pub async fn install() -> String {
    let (objects, deployment) = manifests().await;
    let (first, rest): (Vec<String>, Vec<String>) = objects.into_iter().partition(|object| {
        ["\nkind: Namespace\n", "\nkind: CustomResourceDefinition\n"].iter().any(|kind| object.contains(kind))
    });
    apply(&first.join("\n---\n")).await;
    apply(&rest.join("\n---\n")).await;
    deployment
}

/// What the manifests hold, and the Deployment.
pub async fn manifests() -> (Vec<String>, String) {
    let built = kubectl(&["kustomize", concat!(env!("CARGO_MANIFEST_DIR"), "/manifests/base")]).await;
    assert_eq!(built.code, 0, "{}", built.stderr);
    let (mut deployments, objects): (Vec<String>, Vec<String>) =
        built.stdout.split("\n---\n").map(str::to_owned).partition(|object| object.contains("\nkind: Deployment\n"));
    assert_eq!(deployments.len(), 1, "the manifests hold one Deployment");
    (objects, deployments.remove(0))
}

/// Takes the registration away, when no replica runs any more.
pub async fn unregister() {
    kubectl(&["delete", "validatingwebhookconfiguration", "castoff", "--ignore-not-found"]).await;
    // So that the next run makes it again: a registration that a person has deleted is left alone.
    kubectl(&["delete", "configmap", "castoff-registration", "-n", NAMESPACE, "--ignore-not-found"]).await;
}

/// Who holds the lease, by the name that it has given itself.
pub async fn holder() -> String {
    kubectl(&["get", "lease", "castoff", "-n", NAMESPACE, "-o", "jsonpath={.spec.holderIdentity}"]).await.stdout
}

/// What a command printed.
#[derive(Debug)]
pub struct Printed {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// Runs kubectl, as an admin.
pub async fn kubectl(arguments: &[&str]) -> Printed {
    run("kubectl", arguments).await
}

/// Runs kubectl, which reads this.
pub async fn kubectl_with(arguments: &[&str], input: &str) -> Printed {
    run_with("kubectl", arguments, input).await
}

/// Runs a command from the repository.
pub async fn run(program: &str, arguments: &[&str]) -> Printed {
    run_with(program, arguments, "").await
}

async fn run_with(program: &str, arguments: &[&str], input: &str) -> Printed {
    let mut child = Command::new(program)
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap_or_else(|error| panic!("{program} must be in PATH: {error}"));
    // What does not read its input has ended already, or will: its code tells.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes()).await;
    let output = child.wait_with_output().await.unwrap();
    Printed {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Applies YAML or JSON, which must succeed.
pub async fn apply(text: &str) {
    try_apply(text).await.unwrap_or_else(|error| panic!("{error}\nin\n{text}"));
}

/// Applies YAML or JSON; what kubectl says where it does not succeed.
pub async fn try_apply(text: &str) -> Result<(), String> {
    let printed = kubectl_with(&["apply", "--server-side", "--force-conflicts", "-f", "-"], text).await;
    if printed.code == 0 { Ok(()) } else { Err(printed.stderr) }
}
