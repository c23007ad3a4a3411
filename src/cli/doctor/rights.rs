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
const EVERYWHERE: [(&str, &str, &[&str]); 13] = [
    ("castoff.dev", "drainpolicies", &["get", "list", "watch"]),
    ("castoff.dev", "drainplans", &["get", "list", "watch"]),
    ("castoff.dev", "poddrains", &["get", "list", "watch", "create", "update", "patch", "delete"]),
    ("castoff.dev", "drainpolicies/status", &["patch"]),
    ("castoff.dev", "poddrains/status", &["update"]),
    ("", "pods", &["get", "list", "watch", "patch", "delete"]),
    ("", "nodes", &["list", "watch"]),
    ("", "namespaces", &["list", "watch"]),
    ("apps", "statefulsets", &["get"]),
    ("apps", "replicasets", &["get"]),
    ("apps", "daemonsets", &["get"]),
    ("batch", "jobs", &["get"]),
    ("events.k8s.io", "events", &["create", "patch"]),
];

/// The Secret with the certificates that Castoff makes itself.
const CERTIFICATES: &str = "castoff-tls";

/// What is needed of one object, or in Castoff's own namespace: group, resource, name, verbs.
const OWN: [(&str, &str, &str, &[&str]); 4] = [
    ("coordination.k8s.io", "leases", "", &["create"]),
    ("coordination.k8s.io", "leases", "castoff", &["get", "update"]),
    ("", "secrets", CERTIFICATES, &["list", "watch", "update"]),
    ("", "configmaps", "castoff-registration", &["get", "patch"]),
];

/// What it needs of its registration.
const REGISTRATION: [(&str, &[&str]); 2] = [("", &["create"]), ("castoff", &["list", "watch", "patch"])];

/// What Castoff may not do and needs to, as `patch pods`. `None` where it does not run under its own account here.
/// Where certificates are `given` it needs no Secret.
pub(super) async fn missing(client: &Client, namespace: &str, given: bool) -> kube::Result<Option<Vec<String>>> {
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    if accounts.get_opt(ACCOUNT).await?.is_none() {
        return Ok(None);
    }
    let user = format!("system:serviceaccount:{namespace}:{ACCOUNT}");
    let myself = crate::cli::people::whoami(client).await.ok();
    let as_myself = myself.as_deref() == Some(user.as_str());
    let answers: Vec<kube::Result<Option<String>>> = stream::iter(needed(namespace, given))
        .map(|attributes| ask(client, namespace, &user, as_myself, attributes))
        .buffered(AT_ONCE)
        .collect()
        .await;
    let missing: kube::Result<Vec<Option<String>>> = answers.into_iter().collect();
    missing.map(|missing| Some(missing.into_iter().flatten().collect()))
}

/// All that is needed.
fn needed(namespace: &str, given: bool) -> Vec<ResourceAttributes> {
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
    let own = OWN.iter().filter(|(_, _, name, _)| !(given && *name == CERTIFICATES)).flat_map(
        |(group, resource, name, verbs)| {
            verbs.iter().map(move |verb| ResourceAttributes {
                namespace: Some(namespace.to_owned()),
                name: named(name),
                ..attributes(group, resource, verb)
            })
        },
    );
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
    use super::*;

    #[test]
    fn a_right_is_named_as_kubectl_would() {
        let words: Vec<String> = needed("castoff-system", true).iter().map(words).collect();
        assert!(!words.iter().any(|word| word.contains("secrets")), "cert-manager keeps the certificates: {words:?}");
        for right in
            ["patch pods", "update poddrains/status", "get leases castoff", "create validatingwebhookconfigurations"]
        {
            assert!(words.iter().any(|word| word == right), "{right}: {words:?}");
        }
    }
}
