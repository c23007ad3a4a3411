//! An agent that shares memory with other pods of its node, replaced there by another version of it.

use serde_json::{Value, json};

use crate::cluster::{Namespace, SYSTEM, kubectl, node, object, run, until};
use crate::installation::whole;

/// The node with one version of the agent, and a neighbour of it.
struct Agents {
    namespace: Namespace,
    node: String,
}

impl Agents {
    fn begin(namespace: &str) -> Agents {
        let (namespace, node) = (Namespace::new(namespace), node());
        let agents = Agents { namespace, node };
        agents.come("one");
        let Agents { namespace, node } = &agents;
        namespace.apply(include_str!("neighbours.yaml"));
        kubectl(&["label", "node", node, "agent-one=yes", "--overwrite"]);
        namespace.all_ready("version=one", 1);
        namespace.all_ready("app=neighbour", 1);
        namespace.guarding("agent");
        agents
    }

    /// A version of the agent.
    fn come(&self, version: &str) {
        self.namespace.apply(&include_str!("agent.yaml").replace("{version}", version));
    }

    fn until_held(&self) {
        until("the agent waits for its neighbour", 60, || {
            let events = self.namespace.kubectl(&["get", "events", "-o", "jsonpath={.items[*].message}"]);
            events.contains("wait-for-neighbours").then_some(())
        });
    }

    fn until_replaced(&self) {
        until("the old agent has gone", 90, || self.namespace.pods("version=one").is_empty().then_some(()));
        self.namespace.all_ready("version=two", 1);
    }
}

impl Drop for Agents {
    fn drop(&mut self) {
        run("kubectl", &["label", "node", &self.node, "agent-one-", "agent-two-"]);
    }
}

pub fn an_agent_that_a_label_replaces_stays_for_as_long_as_a_neighbour_needs_it() {
    let agents = Agents::begin("labelled");
    let namespace = &agents.namespace;
    agents.come("two");
    kubectl(&["label", "node", &agents.node, "agent-one-", "agent-two=yes"]);
    // The new one comes beside it, and the old one is asked for, in vain.
    namespace.all_ready("version=two", 1);
    agents.until_held();
    namespace.all_ready("version=one", 1);
    namespace.kubectl(&["delete", "pod", "neighbour"]);
    agents.until_replaced();
}

/// Taints of the node, and Castoff's own way to live with them, until this is dropped.
struct Tainted<'a>(&'a str);

impl<'a> Tainted<'a> {
    fn by(node: &'a str, taint: &str) -> Tainted<'a> {
        // A taint that evicts would take Castoff away too, which has nowhere else to go here.
        tolerate(&json!([{"key": "agent", "operator": "Exists"}]));
        whole();
        kubectl(&["taint", "node", node, taint]);
        Tainted(node)
    }
}

impl Drop for Tainted<'_> {
    fn drop(&mut self) {
        run("kubectl", &["taint", "node", self.0, "agent-"]);
        tolerate(&json!([]));
        if !std::thread::panicking() {
            whole();
        }
    }
}

fn tolerate(tolerations: &serde_json::Value) {
    let patch = json!({"spec": {"template": {"spec": {"tolerations": tolerations}}}}).to_string();
    run("kubectl", &["-n", SYSTEM, "patch", "deployment/castoff", "--type=merge", "-p", &patch]);
}

/// `NoSchedule` names the version that may come, `NoExecute` the only one that may stay. The neighbour leaves by itself
/// after a while: it is evicted too.
pub fn an_agent_that_a_taint_replaces_leaves_after_its_neighbours() {
    let agents = Agents::begin("tainted");
    let (namespace, node) = (&agents.namespace, agents.node.as_str());
    let _tainted = Tainted::by(node, "agent=one:NoSchedule");
    kubectl(&["label", "node", node, "agent-two=yes"]);
    let old = namespace.pods("version=one")[0].clone();
    let name = old["metadata"]["name"].as_str().unwrap();
    agents.come("two");
    until("the new version is kept away", 30, || {
        let new = object(&["daemonset", "-n", &namespace.0, "agent-two"])?;
        (new["status"]["observedGeneration"] == 1 && new["status"]["desiredNumberScheduled"] == 0).then_some(())
    });
    assert!(namespace.pods("version=two").is_empty());
    kubectl(&["taint", "node", node, "agent=two:NoExecute"]);
    kubectl(&["taint", "node", node, "agent:NoSchedule-"]);
    agents.until_held();
    let asked = std::time::Instant::now();
    until("the neighbour has gone", 90, || {
        let stands = object(&["pod", "-n", &namespace.0, name]).is_some_and(|now| {
            now["metadata"]["uid"] == old["metadata"]["uid"] && now["metadata"]["deletionTimestamp"].is_null()
        });
        // One that has ended, and is about to be removed, needs nobody.
        let has_ended = |now: Value| ["Succeeded", "Failed"].iter().any(|phase| now["status"]["phase"] == *phase);
        let is_needed = object(&["pod", "-n", &namespace.0, "neighbour"]).is_some_and(|now| !has_ended(now));
        assert!(stands || !is_needed, "the agent left while its neighbour was there");
        (!is_needed).then_some(())
    });
    println!("the agent was held for {:?}", asked.elapsed());
    agents.until_replaced();
}
