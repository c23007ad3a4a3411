//! Kubernetes' own objects in place of a backend, at a URL whose path is what `kubectl get --raw` takes:
//! `kubernetes://apis/apps/v1/namespaces/shop/statefulsets/web`, to GET and to PATCH.
//!
//! They are asked for with Castoff's own rights, so it is decided here what a policy reaches: objects of its own namespace,
//! never Secrets and nothing of Castoff's; of pods it changes labels and annotations of the one that is to leave; and the
//! pod's own node is read. What Castoff may do there is for a Role in that namespace.

use serde_json::{Value, json};
use url::Url;

use super::exchange::Exchange;
use super::metrics::Outcome;
use super::trouble::{Trouble, words};
use super::{Backend, Scope};
use crate::plan::Request;
use crate::remedy::{Cause, Kind, Right};

/// The scheme of their URLs.
pub const KUBERNETES: &str = "kubernetes";

/// Subresources that are data; others, as `exec` and `proxy`, lead elsewhere.
const DATA: [&str; 2] = ["status", "scale"];

/// What may narrow a list.
const NARROWING: [&str; 3] = ["labelSelector", "fieldSelector", "limit"];

/// API groups that only whoever runs Castoff changes.
const NOT_CHANGED: [&str; 3] = ["castoff.dev", "rbac.authorization.k8s.io", "admissionregistration.k8s.io"];

/// The verb, on pods, by which a Role lets plans change labels and annotations of pods. The API server knows no such
/// verb; the policy for Castoff's own account asks for it.
const RELABEL: &str = "relabel";

/// What is asked of the API server.
#[derive(Debug, PartialEq)]
struct Asked {
    /// Path and query.
    path: String,
    body: Option<Value>,
    /// What a Role must allow, where it does not: the verb, and the resource as kubectl names it.
    needs: (&'static str, String),
}

/// Sends a request for an object.
pub async fn send(backend: &Backend, scope: &Scope, request: &Request, url: &Url) -> Result<Exchange, Trouble> {
    let refused = |why: &str| Trouble::new(Outcome::Guard, &request.url, why, "not sent");
    let asked = allow(&request.method, url, request.body.as_ref(), scope).map_err(|why| refused(&why))?;
    let Some(cluster) = &backend.cluster else { return Err(refused("can't be asked: there is no API server here")) };
    let answered = cluster.api_server(&request.method, &asked.path, asked.body).await;
    let (code, body) = answered.map_err(|why| Trouble::silence(&request.url, why.to_string()))?;
    if request.ok.takes(code) {
        return Ok(Exchange { code, body, hidden: super::credentials::Hidden::default() });
    }
    let said = words(&String::from_utf8_lossy(&body));
    let (predicate, cause) = match (code, &asked.needs) {
        (403, (verb, resource)) => may_not(&scope.namespace, user(&said).unwrap_or_default(), verb, resource),
        _ => (format!("answers {code}"), Kind::of_status(code).into()),
    };
    let trouble = Trouble::new(Outcome::Status, &request.url, &predicate, format!("HTTP {code}: {said}"));
    Err(trouble.because(cause).with_words(said))
}

/// Which right Castoff lacks in a namespace.
fn may_not(namespace: &str, user: &str, verb: &str, resource: &str) -> (String, Cause) {
    let known = if user.is_empty() { String::new() } else { format!(" ({user})") };
    let predicate = format!("is refused: a Role in namespace {namespace} must let Castoff{known} {verb} {resource}");
    let [user, verb, resource] = [user, verb, resource].map(str::to_owned);
    (predicate, Right { user, verb, resource, name: String::new() }.into())
}

/// As whom the API server knows Castoff: as in `User "system:serviceaccount:…" cannot patch resource …`.
fn user(said: &str) -> Option<&str> {
    said.split_once("User \"")?.1.split_once('"').map(|(user, _)| user)
}

/// What is asked, if the policy of `scope` may ask it.
fn allow(method: &str, url: &Url, body: Option<&Value>, scope: &Scope) -> Result<Asked, String> {
    let place = Place::of(url)?;
    let changes = match method {
        "GET" => false,
        "PATCH" => true,
        _ => return Err("is not allowed: objects are read by GET and changed by PATCH".to_owned()),
    };
    place.is_open_to(scope, changes)?;
    let is_pod = changes && place.group.is_empty() && place.resource == "pods";
    let body = match (changes, body) {
        (false, _) => None,
        (true, None) => return Err("is not allowed: a PATCH has a body".to_owned()),
        (true, Some(body)) if is_pod => Some(of_pod(body, scope)?),
        (true, Some(body)) => Some(body.clone()),
    };
    let verb = match (changes, is_pod, place.name) {
        (true, true, _) => RELABEL,
        (true, false, _) => "patch",
        (false, _, Some(_)) => "get",
        (false, _, None) => "list",
    };
    let path = url.host_str().unwrap_or_default().to_owned() + url.path();
    let query = narrowing(url)?.map_or_else(String::new, |query| format!("?{query}"));
    Ok(Asked { path: format!("/{path}{query}"), body, needs: (verb, place.kubectl()) })
}

/// Where an object is, or a list of them.
struct Place<'a> {
    group: &'a str,
    /// Empty for what belongs to no namespace.
    namespace: &'a str,
    resource: &'a str,
    name: Option<&'a str>,
    subresource: Option<&'a str>,
}

impl<'a> Place<'a> {
    fn of(url: &'a Url) -> Result<Self, String> {
        let wrong = || {
            "is no path of an object: write kubernetes://apis/GROUP/VERSION/namespaces/NAMESPACE/RESOURCE/NAME, or \
             kubernetes://api/v1/... for what has no group"
                .to_owned()
        };
        let segments: Vec<&str> = url.host_str().into_iter().chain(url.path_segments().into_iter().flatten()).collect();
        let is_plain = |segment: &&str| {
            !matches!(*segment, "" | "." | "..")
                && segment.chars().all(|letter| letter.is_ascii_alphanumeric() || "-._:".contains(letter))
        };
        if !segments.iter().all(is_plain) || url.fragment().is_some() || url.port().is_some() {
            return Err(wrong());
        }
        let (group, rest) = match segments.as_slice() {
            ["api", "v1", rest @ ..] => ("", rest),
            ["apis", group, _, rest @ ..] => (*group, rest),
            _ => return Err(wrong()),
        };
        let (namespace, rest) = match rest {
            ["namespaces", namespace, rest @ ..] => (*namespace, rest),
            rest => ("", rest),
        };
        let (resource, rest) = rest.split_first().ok_or_else(wrong)?;
        let (name, subresource) = match rest {
            [] => (None, None),
            [name] => (Some(*name), None),
            [name, subresource] => (Some(*name), Some(*subresource)),
            _ => return Err(wrong()),
        };
        Ok(Place { group, namespace, resource, name, subresource })
    }

    /// Whether a policy of this scope may read, or change, what is there.
    fn is_open_to(&self, scope: &Scope, changes: bool) -> Result<(), String> {
        let no = |why: &str| Err(format!("is not allowed: {why}"));
        let own_node = self.group.is_empty()
            && self.resource == "nodes"
            && self.name == Some(scope.pod.spec.node_name.as_str())
            && self.subresource.is_none();
        if self.namespace.is_empty() {
            return if own_node && !changes {
                Ok(())
            } else {
                no("outside of the policy's namespace only the pod's own node is read")
            };
        }
        if self.namespace != scope.namespace {
            return no(&format!("objects are those of the policy's namespace, {}", scope.namespace));
        }
        if self.group.is_empty() && self.resource == "secrets" {
            return no("Secrets are for `credentials`, `authSecret` and `tlsSecret`, and never a plan's to see");
        }
        if self.subresource.is_some_and(|subresource| !DATA.contains(&subresource)) {
            return no("of subresources, only status and scale are data");
        }
        if !changes {
            return Ok(());
        }
        if NOT_CHANGED.contains(&self.group) {
            return no(&format!("a plan changes nothing of {}", self.group));
        }
        let is_pod = self.group.is_empty() && self.resource == "pods";
        match self.name {
            None => no("a PATCH names one object"),
            Some(name) if is_pod && (scope.pod.metadata.name != name || self.subresource.is_some()) => {
                no("of pods, a plan changes the one that is to leave")
            }
            Some(_) => Ok(()),
        }
    }

    /// As `kubectl create role --resource` takes it.
    fn kubectl(&self) -> String {
        let dot = if self.group.is_empty() { "" } else { "." };
        let slash = self.subresource.map_or_else(String::new, |subresource| format!("/{subresource}"));
        format!("{}{dot}{}{slash}", self.resource, self.group)
    }
}

fn narrowing(url: &Url) -> Result<Option<&str>, String> {
    match url.query_pairs().find(|(name, _)| !NARROWING.contains(&name.as_ref())) {
        Some((name, _)) => {
            Err(format!("is not allowed: of a list's parameters {} are known, not {name}", NARROWING.join(", ")))
        }
        None => Ok(url.query()),
    }
}

/// A patch of the pod that is to leave: of its labels and annotations alone, and of no other pod of its name.
fn of_pod(body: &Value, scope: &Scope) -> Result<Value, String> {
    let is_ours = |name: &String| name.starts_with("castoff.dev/");
    let may_be = |(part, names): (&String, &Value)| {
        ["labels", "annotations"].contains(&part.as_str())
            && names.as_object().is_some_and(|names| !names.keys().any(is_ours))
    };
    let metadata = body["metadata"].as_object().filter(|metadata| !metadata.is_empty());
    let is_all = body.as_object().is_some_and(|fields| fields.len() == 1);
    if !is_all || !metadata.is_some_and(|metadata| metadata.iter().all(may_be)) {
        let why = "is not allowed: of a pod, labels and annotations are changed, and none of castoff.dev/";
        return Err(why.to_owned());
    }
    let mut body = body.clone();
    body["metadata"]["uid"] = json!(scope.pod.metadata.uid);
    Ok(body)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use super::*;
    use crate::pod::deserialize_owned;

    fn scope() -> Scope {
        let pod = json!({"metadata": {"name": "web-0", "namespace": "shop", "uid": "u"}, "spec": {"nodeName": "n1"}});
        let pod = Arc::new(deserialize_owned(&pod).unwrap());
        Scope { namespace: "shop".to_owned(), pod, ..Scope::default() }
    }

    fn asked(method: &str, path: &str, body: Option<&Value>) -> Result<Asked, String> {
        let url = Url::parse(&format!("kubernetes://{path}")).unwrap();
        allow(method, &url, body, &scope())
    }

    fn refused(method: &str, path: &str, body: &Value) -> String {
        asked(method, path, Some(body)).unwrap_err()
    }

    #[test]
    fn the_right_that_is_missing_is_told_to_people_and_to_programs() {
        let (predicate, cause) = may_not("shop", "alice", "patch", "pods/status");
        assert_eq!(predicate, "is refused: a Role in namespace shop must let Castoff (alice) patch pods/status");
        let right = cause.missing_right.unwrap();
        assert_eq!([&right.user, &right.verb, &right.resource, &right.name], ["alice", "patch", "pods/status", ""]);
        assert!(may_not("shop", "", "get", "nodes").0.ends_with("must let Castoff get nodes"));
    }

    #[test]
    fn objects_of_the_policys_namespace_and_the_pods_node_are_read() {
        for (path, needs) in [
            ("apis/apps/v1/namespaces/shop/statefulsets/web", ("get", "statefulsets.apps")),
            ("api/v1/namespaces/shop/pods/web-1/status", ("get", "pods/status")),
            (
                "apis/discovery.k8s.io/v1/namespaces/shop/endpointslices?labelSelector=a%3Db",
                ("list", "endpointslices.discovery.k8s.io"),
            ),
            ("api/v1/nodes/n1", ("get", "nodes")),
        ] {
            let asked = asked("GET", path, None).unwrap();
            assert_eq!((asked.path, asked.needs), (format!("/{path}"), (needs.0, needs.1.to_owned())));
        }
    }

    #[test]
    fn what_is_elsewhere_or_secret_or_no_data_is_not() {
        for path in [
            "api/v1/namespaces/other/pods/x",
            "api/v1/nodes/n2",
            "api/v1/nodes",
            "api/v1/nodes/n1/proxy",
            "api/v1/namespaces",
            "api/v1/namespaces/shop/secrets",
            "api/v1/namespaces/shop/secrets/db",
            "api/v1/namespaces/shop/pods/web-0/exec?command=sh",
            "api/v1/namespaces/shop/services/web/proxy",
            "api/v1/namespaces/shop/services/web/proxy/path",
            "api/v1/namespaces/shop/pods?watch=true",
            "api/v1/namespaces/shop%2F..%2Fother/pods",
            "api/v1/namespaces/shop//pods",
            "apis/apps/v1/namespaces/shop/",
            "metrics",
            "version",
            "api:443/v1/namespaces/shop/pods",
            "api/v1/namespaces/shop/pods/web-0#/pd/api/v1/stores",
        ] {
            assert!(asked("GET", path, None).is_err(), "{path}");
        }
    }

    #[test]
    fn of_a_pod_labels_and_annotations_of_the_one_that_leaves_are_changed() {
        let own = "api/v1/namespaces/shop/pods/web-0";
        let change = json!({"metadata": {"labels": {"serving": "no"}, "annotations": {"a": null}}});
        let asked = asked("PATCH", own, Some(&change)).unwrap();
        assert_eq!(asked.needs, ("relabel", "pods".to_owned()));
        assert_eq!(asked.body.unwrap()["metadata"]["uid"], "u", "no other pod of its name is changed");
        assert!(refused("PATCH", "api/v1/namespaces/shop/pods/web-1", &change).contains("is to leave"));
        assert!(refused("PATCH", &format!("{own}/status"), &change).contains("is to leave"));
        for wrong in [
            json!({"spec": {"containers": []}}),
            json!({"metadata": {"finalizers": []}}),
            json!({"metadata": {"labels": null}}),
            json!({"metadata": {"annotations": {"castoff.dev/bypass": "x"}}}),
            json!({"metadata": {"labels": {"a": "b"}}, "spec": {}}),
            json!({}),
        ] {
            assert!(refused("PATCH", own, &wrong).contains("labels and annotations"), "{wrong}");
        }
    }

    #[test]
    fn other_objects_are_changed_one_at_a_time_and_none_of_rights_or_castoffs() {
        let change = json!({"status": {"targetPrimary": "pg-2"}});
        let path = "apis/postgresql.cnpg.io/v1/namespaces/shop/clusters/pg/status";
        let done = asked("PATCH", path, Some(&change)).unwrap();
        assert_eq!((done.needs.0, done.needs.1.as_str()), ("patch", "clusters.postgresql.cnpg.io/status"));
        assert_eq!(done.body, Some(change.clone()));
        for path in [
            "apis/postgresql.cnpg.io/v1/namespaces/shop/clusters",
            "apis/castoff.dev/v1alpha1/namespaces/shop/drainpolicies/p",
            "apis/rbac.authorization.k8s.io/v1/namespaces/shop/roles/r",
            "apis/postgresql.cnpg.io/v1/namespaces/other/clusters/pg",
            "api/v1/nodes/n1",
        ] {
            refused("PATCH", path, &change);
        }
        assert!(refused("POST", path, &change).contains("PATCH"));
        assert!(refused("DELETE", path, &change).contains("PATCH"));
    }
}
