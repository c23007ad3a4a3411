//! All pods of a cluster, kept small: as the JSON of what Castoff reads of them, until somebody looks.
//!
//! Few of the pods of a large cluster are ever looked at: those of namespaces with policies, and those beside an agent
//! that goes. Of the others nothing is taken apart, and nothing is left out.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use k8s_openapi::api::core;
use kube::Resource;
use kube::core::{ApiResource, ObjectMeta};
use serde::{Deserialize, Deserializer};

use crate::pod::{Pod, deserialize_owned};
use crate::ports::{Listener, News};

use super::cache::Cache;
use super::views::Views;

/// Annotations longer than this are left out of what is kept of pods.
const LONGEST_ANNOTATION: usize = 1024;

/// A pod as the API server sends it, of which nothing is read but what is kept.
#[derive(Clone, Debug)]
pub struct SentPod {
    meta: ObjectMeta,
    pod: Pod<'static>,
}

impl SentPod {
    /// The pod.
    #[must_use]
    pub fn pod(&self) -> &Pod<'static> {
        &self.pod
    }
}

impl<'de> Deserialize<'de> for SentPod {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let pod = pruned(deserialize_owned(deserializer)?);
        let version = pod.metadata.resource_version.as_ref().map(|version| version.as_str().to_owned());
        Ok(SentPod { meta: ObjectMeta { resource_version: version, ..ObjectMeta::default() }, pod })
    }
}

impl Resource for SentPod {
    type DynamicType = ();
    type Scope = kube::core::NamespaceResourceScope;

    fn kind((): &()) -> std::borrow::Cow<'_, str> {
        core::v1::Pod::kind(&())
    }

    fn group((): &()) -> std::borrow::Cow<'_, str> {
        core::v1::Pod::group(&())
    }

    fn version((): &()) -> std::borrow::Cow<'_, str> {
        core::v1::Pod::version(&())
    }

    fn plural((): &()) -> std::borrow::Cow<'_, str> {
        core::v1::Pod::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.meta
    }
}

/// Pods, as the API names them.
#[must_use]
pub fn resource() -> ApiResource {
    ApiResource::erase::<core::v1::Pod>(&())
}

/// What is kept of a pod.
#[must_use]
pub fn pruned(mut pod: Pod<'static>) -> Pod<'static> {
    pod.metadata.annotations.retain(|_, value| value.len() <= LONGEST_ANNOTATION);
    pod
}

/// A pod that is kept.
#[derive(Debug)]
pub struct KeptPod {
    namespace: Box<str>,
    node: Box<str>,
    json: Box<[u8]>,
    /// The same, once somebody has looked who will look again.
    pod: OnceLock<Arc<Pod<'static>>>,
}

impl KeptPod {
    /// What is kept of this pod; `None` where it can't be written down, which no pod is known to do.
    #[must_use]
    pub fn new(pod: &Pod<'static>) -> Option<Self> {
        Some(KeptPod {
            namespace: pod.metadata.namespace.as_str().into(),
            node: pod.spec.node_name.as_str().into(),
            json: serde_json::to_vec(pod).ok()?.into(),
            pod: OnceLock::new(),
        })
    }

    /// The pod, for one who will look again.
    fn keep(&self) -> Arc<Pod<'static>> {
        Arc::clone(self.pod.get_or_init(|| self.read()))
    }

    /// The pod, for one who is not known to.
    fn look(&self) -> Arc<Pod<'static>> {
        self.pod.get().cloned().unwrap_or_else(|| self.read())
    }

    fn read(&self) -> Arc<Pod<'static>> {
        // It was written by this process.
        Arc::new(deserialize_owned(&mut serde_json::Deserializer::from_slice(&self.json)).unwrap_or_default())
    }
}

/// How a pod becomes an entry of the cache.
#[must_use]
pub fn read(sent: &SentPod) -> Option<(String, KeptPod)> {
    Some((sent.pod.full_name(), KeptPod::new(&sent.pod)?))
}

/// Which pods there are on a node.
type Nodes = HashMap<Box<str>, Vec<Arc<KeptPod>>>;

/// The pods of a cluster.
pub struct Pods {
    /// By namespace and name.
    pub cache: Arc<Cache<KeptPod>>,
    nodes: Arc<RwLock<Nodes>>,
    /// The namespaces that were asked for.
    asked: Arc<Views<KeptPod, Pod<'static>>>,
}

impl Default for Pods {
    fn default() -> Self {
        let (cache, nodes): (Arc<Cache<KeptPod>>, Arc<RwLock<Nodes>>) = Default::default();
        let (index, all) = (Arc::clone(&nodes), Arc::downgrade(&cache));
        cache.listen(Box::new(move |news| {
            let mut nodes = index.write().unwrap_or_else(PoisonError::into_inner);
            match news {
                News::One { before, now } => move_pod(&mut nodes, before.as_ref(), now),
                News::Any => *nodes = all.upgrade().map(|cache| by_node(cache.all())).unwrap_or_default(),
            }
            true
        }));
        Pods { cache, nodes, asked: Arc::default() }
    }
}

impl Pods {
    /// The pods of a namespace: the same slice as long as none of them has changed.
    #[must_use]
    pub fn of_namespace(&self, namespace: &str) -> Arc<[Arc<Pod<'static>>]> {
        self.asked.of(namespace, self.cache.of_place(namespace), KeptPod::keep)
    }

    /// The pod of this name.
    #[must_use]
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<Pod<'static>>> {
        self.cache.get(&format!("{namespace}/{name}")).map(|kept| kept.keep())
    }

    /// The pods of a namespace, or of all, and on one node where one is named.
    #[must_use]
    pub fn find(&self, namespace: Option<&str>, node: Option<&str>) -> Vec<Arc<Pod<'static>>> {
        let is_in = |kept: &&Arc<KeptPod>| namespace.is_none_or(|namespace| *kept.namespace == *namespace);
        match (namespace, node) {
            (_, Some(node)) => {
                let nodes = self.nodes.read().unwrap_or_else(PoisonError::into_inner);
                nodes.get(node).into_iter().flatten().filter(is_in).map(|kept| kept.look()).collect()
            }
            (Some(namespace), None) => self.of_namespace(namespace).to_vec(),
            (None, None) => self.cache.all().iter().map(|kept| kept.look()).collect(),
        }
    }

    /// Tells `listener` of every pod that changes in namespaces that were asked for.
    pub fn listen(&self, listener: Listener<Pod<'static>>) {
        let asked = Arc::clone(&self.asked);
        self.cache.listen(Box::new(move |news| match news {
            News::One { before, now } => {
                let one = now.as_ref().or(before.as_ref());
                let is_asked = |one: &Arc<KeptPod>| asked.was_asked_for(&one.namespace);
                if !one.is_some_and(is_asked) {
                    return true;
                }
                let keep = |kept: Arc<KeptPod>| kept.keep();
                listener(News::One { before: before.map(keep), now: now.map(keep) })
            }
            News::Any => listener(News::Any),
        }));
    }

    /// Forgets all of them.
    pub fn clear(&self) {
        self.cache.clear();
        self.asked.clear();
    }
}

fn by_node(pods: Vec<Arc<KeptPod>>) -> Nodes {
    let mut nodes = Nodes::new();
    for pod in pods {
        place(&mut nodes, pod);
    }
    nodes
}

fn move_pod(nodes: &mut Nodes, before: Option<&Arc<KeptPod>>, now: Option<Arc<KeptPod>>) {
    if let Some(before) = before
        && let Some(there) = nodes.get_mut(&before.node)
    {
        there.retain(|pod| !Arc::ptr_eq(pod, before));
        if there.is_empty() {
            nodes.remove(&before.node);
        }
    }
    if let Some(now) = now {
        place(nodes, now);
    }
}

/// Those that are bound to no node yet are on none.
fn place(nodes: &mut Nodes, pod: Arc<KeptPod>) {
    if !pod.node.is_empty() {
        nodes.entry(pod.node.clone()).or_default().push(pod);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::HashSet;
    use std::sync::Mutex;

    use serde_json::json;

    use super::*;

    fn names(pods: &[Arc<Pod<'static>>]) -> HashSet<String> {
        pods.iter().map(|pod| pod.metadata.name.as_str().to_owned()).collect()
    }

    fn put(pods: &Pods, namespace: &str, name: &str, node: &str, version: &str) {
        let pod = json!({
            "metadata": {"name": name, "namespace": namespace, "resourceVersion": version, "managedFields": [{"x": 1}],
                "labels": {"app": "db"}, "annotations": {"short": "x", "long": "x".repeat(2000)}},
            "spec": {"nodeName": node, "containers": [{"name": "main", "image": "x"}]},
        });
        let (key, kept) = read(&serde_json::from_value(pod).unwrap()).unwrap();
        pods.cache.put(&key, version, kept);
    }

    #[test]
    fn a_pod_is_found_by_its_namespace_its_node_and_both() {
        let pods = Pods::default();
        for (namespace, name, node) in [("a", "x", "n1"), ("a", "y", "n2"), ("b", "z", "n1"), ("b", "unbound", "")] {
            put(&pods, namespace, name, node, "1");
        }
        let of = |namespace, node| names(&pods.find(namespace, node));
        assert_eq!(of(Some("a"), None), ["x", "y"].map(str::to_owned).into());
        assert_eq!(of(None, Some("n1")), ["x", "z"].map(str::to_owned).into());
        assert_eq!(of(Some("b"), Some("n1")), ["z".to_owned()].into());
        assert_eq!(of(None, None).len(), 4);
        put(&pods, "b", "unbound", "n1", "2");
        put(&pods, "a", "x", "n2", "2");
        assert_eq!(of(None, Some("n1")), ["z", "unbound"].map(str::to_owned).into(), "bound since, and moved");
        pods.cache.forget("b/z");
        pods.cache.forget("b/unbound");
        assert!(of(None, Some("n1")).is_empty());
        pods.clear();
        assert!(of(None, Some("n2")).is_empty() && pods.of_namespace("a").is_empty());
    }

    #[test]
    fn nothing_is_lost_of_a_pod_that_nobody_has_looked_at_but_what_is_never_kept() {
        let pods = Pods::default();
        put(&pods, "a", "x", "n1", "7");
        let pod = pods.get("a", "x").unwrap();
        assert_eq!(pod.metadata.labels.get("app").map(|app| app.as_str().to_owned()).as_deref(), Some("db"));
        assert_eq!(pod.metadata.annotations.len(), 1, "the long one is never kept");
        assert_eq!(pod.spec.node_name, *"n1");
        assert!(Arc::ptr_eq(&pod, &pods.of_namespace("a")[0]), "and it is taken apart once");
        let before = pods.of_namespace("a");
        assert!(Arc::ptr_eq(&before, &pods.of_namespace("a")));
        put(&pods, "a", "y", "n1", "8");
        assert!(!Arc::ptr_eq(&before, &pods.of_namespace("a")));
    }

    #[test]
    fn changes_are_told_of_namespaces_that_somebody_asked_for() {
        let (pods, told) = (Pods::default(), Arc::new(Mutex::new(Vec::new())));
        let heard = Arc::clone(&told);
        pods.listen(Box::new(move |news| {
            let name = |pod: Arc<Pod<'static>>| pod.metadata.name.as_str().to_owned();
            if let News::One { before, now } = news {
                heard.lock().unwrap().push((before.map(name), now.map(name)));
            }
            true
        }));
        put(&pods, "a", "x", "n1", "1");
        put(&pods, "b", "z", "n1", "1");
        assert!(pods.of_namespace("empty").is_empty() && told.lock().unwrap().is_empty());
        assert_eq!(pods.of_namespace("a").len(), 1);
        put(&pods, "a", "x", "n1", "2");
        put(&pods, "b", "z", "n1", "2");
        put(&pods, "empty", "first", "n1", "2");
        let (x, first) = (Some("x".to_owned()), Some("first".to_owned()));
        assert_eq!(*told.lock().unwrap(), [(x.clone(), x), (None, first)]);
    }
}
