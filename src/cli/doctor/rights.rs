//! Whether Castoff may do what it needs to.

use futures_util::{StreamExt, stream};
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec, SubjectAccessReview,
    SubjectAccessReviewSpec,
};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Client;
use kube::api::{Api, PostParams};

/// The service account that Castoff runs under.
const ACCOUNT: &str = "castoff";

/// So many questions at once.
const AT_ONCE: usize = 8;

/// What is needed everywhere: group, resource, verbs.
const EVERYWHERE: [(&str, &str, &[&str]); 18] = [
    ("castoff.dev", "drainpolicies", &["list", "watch"]),
    ("castoff.dev", "drainplans", &["list", "watch"]),
    ("castoff.dev", "nodedrains", &["list", "watch"]),
    ("castoff.dev", "nodedrains/status", &["patch"]),
    ("castoff.dev", "poddrains", &["get", "list", "watch", "create", "patch", "delete"]),
    ("castoff.dev", "drainpolicies/status", &["patch"]),
    ("castoff.dev", "poddrains/status", &["update"]),
    ("", "pods", &["get", "list", "watch", "patch", "delete"]),
    ("", "nodes", &["get", "list", "watch"]),
    ("", "namespaces", &["get", "list", "watch"]),
    ("*", "*/scale", &["get"]),
    ("", "replicationcontrollers", &["get"]),
    ("apps", "statefulsets", &["get"]),
    ("apps", "replicasets", &["get"]),
    ("apps", "daemonsets", &["get"]),
    ("apps", "controllerrevisions", &["list"]),
    ("batch", "jobs", &["get"]),
    ("events.k8s.io", "events", &["create", "patch"]),
];

/// What is needed of one object, or in Castoff's own namespace: group, resource, name, verbs.
const OWN: [(&str, &str, &str, &[&str]); 5] = [
    ("", "secrets", "", &["create"]),
    ("", "secrets", "castoff-tls", &["get", "list", "watch", "update"]),
    ("coordination.k8s.io", "leases", "", &["create"]),
    ("coordination.k8s.io", "leases", "castoff", &["get", "update", "watch"]),
    ("", "configmaps", "castoff-registration", &["get", "create", "patch"]),
];

/// What it needs of its registration.
const REGISTRATION: [(&str, &[&str]); 2] = [("", &["create"]), ("castoff", &["list", "watch", "patch", "delete"])];

/// What Castoff may not do and needs to, as `patch pods`. `None` where it does not run under its own account here.
pub(super) async fn missing(client: &Client, namespace: &str) -> kube::Result<Option<Vec<String>>> {
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    if accounts.get_opt(ACCOUNT).await?.is_none() {
        return Ok(None);
    }
    let user = format!("system:serviceaccount:{namespace}:{ACCOUNT}");
    let myself = crate::cli::connect::whoami(client).await.ok();
    let as_myself = myself.as_deref() == Some(user.as_str());
    let answers: Vec<kube::Result<Option<String>>> = stream::iter(needed(namespace))
        .map(|attributes| ask(client, namespace, &user, as_myself, attributes))
        .buffered(AT_ONCE)
        .collect()
        .await;
    let missing: kube::Result<Vec<Option<String>>> = answers.into_iter().collect();
    missing.map(|missing| Some(missing.into_iter().flatten().collect()))
}

/// All that is needed.
fn needed(namespace: &str) -> Vec<ResourceAttributes> {
    let attributes = |group: &str, resource: &str, verb: &str| {
        let (resource, subresource) = resource.split_once('/').map_or((resource, None), |(one, two)| (one, Some(two)));
        ResourceAttributes {
            group: Some(group.to_owned()),
            resource: Some(resource.to_owned()),
            subresource: subresource.map(str::to_owned),
            verb: Some(verb.to_owned()),
            ..ResourceAttributes::default()
        }
    };
    let named = |name: &str| (!name.is_empty()).then(|| name.to_owned());
    let everywhere = EVERYWHERE
        .iter()
        .flat_map(|(group, resource, verbs)| verbs.iter().map(move |verb| attributes(group, resource, verb)));
    let own = OWN.iter().flat_map(|(group, resource, name, verbs)| {
        verbs.iter().map(move |verb| ResourceAttributes {
            namespace: Some(namespace.to_owned()),
            name: named(name),
            ..attributes(group, resource, verb)
        })
    });
    let registration = REGISTRATION.iter().flat_map(|(name, verbs)| {
        verbs.iter().map(move |verb| ResourceAttributes {
            name: named(name),
            ..attributes("admissionregistration.k8s.io", "validatingwebhookconfigurations", verb)
        })
    });
    everywhere.chain(own).chain(registration).collect()
}

/// `None` where it may.
async fn ask(
    client: &Client,
    namespace: &str,
    user: &str,
    as_myself: bool,
    attributes: ResourceAttributes,
) -> kube::Result<Option<String>> {
    let what = words(&attributes);
    let parameters = PostParams::default();
    let status = if as_myself {
        let spec = SelfSubjectAccessReviewSpec { resource_attributes: Some(attributes), ..Default::default() };
        let review = SelfSubjectAccessReview { spec, ..Default::default() };
        Api::<SelfSubjectAccessReview>::all(client.clone()).create(&parameters, &review).await?.status
    } else {
        let groups = ["system:serviceaccounts", &format!("system:serviceaccounts:{namespace}"), "system:authenticated"];
        let spec = SubjectAccessReviewSpec {
            groups: Some(groups.map(str::to_owned).to_vec()),
            resource_attributes: Some(attributes),
            user: Some(user.to_owned()),
            ..Default::default()
        };
        let review = SubjectAccessReview { spec, ..Default::default() };
        Api::<SubjectAccessReview>::all(client.clone()).create(&parameters, &review).await?.status
    };
    Ok(status.is_none_or(|status| !status.allowed).then_some(what))
}

/// `patch pods`, `get leases castoff`.
fn words(attributes: &ResourceAttributes) -> String {
    let text = |part: &Option<String>| part.clone().unwrap_or_default();
    let mut words = format!("{} {}", text(&attributes.verb), text(&attributes.resource));
    for (separator, part) in [('/', &attributes.subresource), (' ', &attributes.name)] {
        if let Some(part) = part {
            words.push(separator);
            words.push_str(part);
        }
    }
    words
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    #[test]
    fn a_right_is_named_as_kubectl_would() {
        let words: Vec<String> = needed("castoff-system").iter().map(words).collect();
        assert!(words.iter().any(|word| word == "get secrets castoff-tls"), "{words:?}");
        for right in
            ["patch pods", "update poddrains/status", "get leases castoff", "create validatingwebhookconfigurations"]
        {
            assert!(words.iter().any(|word| word == right), "{right}: {words:?}");
        }
    }

    #[test]
    fn what_is_needed_is_what_the_manifests_give() {
        let text = include_str!("../../../manifests/base/rbac.yaml");
        let all = |part: &Value| -> Vec<String> {
            let words = part.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned);
            words.collect()
        };
        let mut given = BTreeSet::new();
        for document in text.split("\n---\n") {
            let object: Value = crate::yaml::parse(document).unwrap();
            for rule in object["rules"].as_array().into_iter().flatten() {
                let names = Some(all(&rule["resourceNames"])).filter(|names| !names.is_empty());
                for (verb, resource) in pairs(&all(&rule["verbs"]), &all(&rule["resources"])) {
                    for name in names.clone().unwrap_or_else(|| vec![String::new()]) {
                        given.insert((verb.clone(), all(&rule["apiGroups"]).concat(), resource.clone(), name));
                    }
                }
            }
        }
        let text = |part: Option<String>| part.unwrap_or_default();
        let of = |right: ResourceAttributes| {
            let resource = [right.resource, right.subresource].into_iter().flatten().collect::<Vec<_>>().join("/");
            (text(right.verb), text(right.group), resource, text(right.name))
        };
        assert_eq!(needed("castoff-system").into_iter().map(of).collect::<BTreeSet<_>>(), given);
    }

    fn pairs(some: &[String], others: &[String]) -> Vec<(String, String)> {
        some.iter().flat_map(|one| others.iter().map(move |other| (one.clone(), other.clone()))).collect()
    }
}
