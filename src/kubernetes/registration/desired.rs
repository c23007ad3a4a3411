//! What the registration is to be, and how what is there differs from it.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{
    MatchCondition, RuleWithOperations, ServiceReference, ValidatingWebhook, ValidatingWebhookConfiguration,
    WebhookClientConfig,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement, OwnerReference};
use kube::api::ObjectMeta;
use serde_json::Value;

use crate::kubernetes::labels;
use crate::runbook::Links;

use super::{EVICTIONS, INJECTED, MANAGER, NAME, PODS};

/// The label that every namespace has, with its name.
const NAMESPACE_LABEL: &str = "kubernetes.io/metadata.name";

/// Requests that need not be sent: one that is not denied in any case holds up less when Castoff is down. Each holds
/// for deletes and for evictions, which have no `oldObject`; one that fails would fail the request.
const CONDITIONS: [(&str, &str); 2] = [
    // A kubelet deletes what has ended.
    ("not-by-a-kubelet", r#"!("system:nodes" in request.userInfo.groups)"#),
    ("not-terminating", "oldObject == null || !has(oldObject.metadata.deletionTimestamp)"),
];

/// Where the API server sends its requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// To a Service.
    Service {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// Its port.
        port: u16,
    },
    /// To this host and port: for a Castoff that runs outside the cluster. The path is not said here.
    Url(url::Url),
}

/// How the API server is to ask there.
#[derive(Clone, Copy)]
pub(super) struct Asking<'a> {
    /// The authorities that it is to trust (PEM); `None` where others put them in.
    pub bundle: Option<&'a str>,
    pub path: &'a str,
}

/// What happens to deletes and evictions in namespaces with policies while no replica can answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FailurePolicy {
    /// They are refused: no guarded pod leaves unprepared.
    #[default]
    Fail,
    /// They are let through, unprepared.
    Ignore,
}

impl FailurePolicy {
    fn as_str(self) -> &'static str {
        match self {
            FailurePolicy::Fail => "Fail",
            FailurePolicy::Ignore => "Ignore",
        }
    }
}

/// Which authority the API server is to trust.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// The one that Castoff keeps, or whose certificate it is given.
    Ours,
    /// The one that cert-manager puts in.
    Injected {
        /// The Certificate, as `NAMESPACE/NAME`.
        from: String,
    },
    /// The one that signed a certificate that Castoff is given, and nobody has said which that is.
    Unknown,
}

/// What the registration depends on besides policies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Whether the registration is Castoff's. Else it is kept by others, as in git, and only its authority is ours.
    pub manage: bool,
    /// Where the API server sends its requests.
    pub target: Target,
    /// Which authority the API server is to trust.
    pub trust: Trust,
    /// What happens while no replica can answer.
    pub failure_policy: FailurePolicy,
    /// How long the API server waits for an answer, 1 to 30.
    pub timeout_seconds: u8,
    /// The namespace that Castoff runs in, which is never guarded.
    pub own_namespace: String,
    /// Namespaces that are guarded only when they are named here.
    pub allowed_namespaces: BTreeSet<String>,
    /// Where those read on who are told of it.
    pub runbook: Links,
}

impl Settings {
    /// The usual settings of an installation in this namespace.
    #[must_use]
    pub fn new(own_namespace: &str) -> Self {
        let service = Target::Service { namespace: own_namespace.to_owned(), name: "castoff".to_owned(), port: 443 };
        Settings {
            manage: true,
            target: service,
            trust: Trust::Ours,
            failure_policy: FailurePolicy::Fail,
            timeout_seconds: 10,
            own_namespace: own_namespace.to_owned(),
            allowed_namespaces: BTreeSet::new(),
            runbook: Links::default(),
        }
    }

    /// Why pods of this namespace are never guarded, whatever its policies say; `None` where they may be.
    pub(crate) fn refusal(&self, namespace: &str) -> Option<&'static str> {
        if namespace == self.own_namespace {
            return Some("Castoff does not guard the namespace that it runs in: it could not replace itself");
        }
        (namespace == "kube-system" && !self.allowed_namespaces.contains(namespace)).then_some(
            "Castoff guards kube-system only when started with --allow-namespace kube-system: \
             the cluster itself depends on it",
        )
    }

    pub(super) fn annotations(&self) -> BTreeMap<String, String> {
        // AKS has a controller that rewrites every webhook's namespaceSelector but of those that say so.
        let mut annotations = BTreeMap::from([("admissions.enforcer/disabled".to_owned(), "true".to_owned())]);
        if let Trust::Injected { from } = &self.trust {
            annotations.insert(INJECTED.to_owned(), from.clone());
        }
        annotations
    }

    /// What the registration goes with: Castoff's namespace, by its UID. The garbage collector takes it away once that
    /// is gone, so that no delete is sent to a Castoff that is not there any more.
    pub(super) fn owners(&self, home: &str) -> Vec<OwnerReference> {
        vec![OwnerReference {
            api_version: "v1".to_owned(),
            kind: "Namespace".to_owned(),
            name: self.own_namespace.clone(),
            uid: home.to_owned(),
            ..OwnerReference::default()
        }]
    }

    /// The whole, where nothing is there yet.
    pub(super) fn configuration(
        &self,
        asking: Asking<'_>,
        home: &str,
        namespaces: &BTreeSet<String>,
    ) -> ValidatingWebhookConfiguration {
        let metadata = ObjectMeta {
            name: Some(NAME.to_owned()),
            labels: Some(labels().into()),
            annotations: Some(self.annotations()),
            owner_references: Some(self.owners(home)),
            ..ObjectMeta::default()
        };
        ValidatingWebhookConfiguration { metadata, webhooks: Some(self.webhooks(asking, namespaces)) }
    }

    /// The entries. Without a namespace there is none: nothing is called. Every field is given, as the API server
    /// would fill it in, so that what is there can be compared.
    pub(super) fn webhooks(&self, asking: Asking<'_>, namespaces: &BTreeSet<String>) -> Vec<ValidatingWebhook> {
        if namespaces.is_empty() {
            return Vec::new();
        }
        let entry = |name: &str, operation: &str, resource: &str| ValidatingWebhook {
            name: name.to_owned(),
            admission_review_versions: vec!["v1".to_owned()],
            client_config: self.client_config(asking),
            failure_policy: Some(self.failure_policy.as_str().to_owned()),
            match_conditions: Some(conditions()),
            match_policy: Some("Equivalent".to_owned()),
            namespace_selector: Some(named(namespaces)),
            object_selector: Some(LabelSelector::default()),
            rules: Some(vec![RuleWithOperations {
                api_groups: Some(vec![String::new()]),
                api_versions: Some(vec!["v1".to_owned()]),
                operations: Some(vec![operation.to_owned()]),
                resources: Some(vec![resource.to_owned()]),
                scope: Some("Namespaced".to_owned()),
            }]),
            side_effects: "NoneOnDryRun".to_owned(),
            timeout_seconds: Some(i32::from(self.timeout_seconds)),
        };
        vec![entry(PODS, "DELETE", "pods"), entry(EVICTIONS, "CREATE", "pods/eviction")]
    }

    fn client_config(&self, Asking { bundle, path }: Asking<'_>) -> WebhookClientConfig {
        let ca_bundle = bundle.map(|bundle| ByteString(bundle.as_bytes().to_vec()));
        match &self.target {
            Target::Service { namespace, name, port } => {
                let (namespace, name) = (namespace.clone(), name.clone());
                let path = Some(path.to_owned());
                let service = ServiceReference { namespace, name, path, port: Some(i32::from(*port)) };
                WebhookClientConfig { ca_bundle, service: Some(service), url: None }
            }
            Target::Url(url) => {
                let mut url = url.clone();
                url.set_path(path);
                WebhookClientConfig { ca_bundle, service: None, url: Some(url.into()) }
            }
        }
    }
}

fn conditions() -> Vec<MatchCondition> {
    let condition =
        |(name, expression): (&str, &str)| MatchCondition { name: name.to_owned(), expression: expression.to_owned() };
    CONDITIONS.into_iter().map(condition).collect()
}

fn named(namespaces: &BTreeSet<String>) -> LabelSelector {
    let requirement = LabelSelectorRequirement {
        key: NAMESPACE_LABEL.to_owned(),
        operator: "In".to_owned(),
        values: Some(namespaces.iter().cloned().collect()),
    };
    LabelSelector { match_expressions: Some(vec![requirement]), match_labels: None }
}

/// The namespaces that an entry names; `None` where it selects them in another way.
pub(super) fn namespaces_of(webhook: &ValidatingWebhook) -> Option<BTreeSet<String>> {
    let selector = webhook.namespace_selector.as_ref()?;
    if selector.match_labels.as_ref().is_some_and(|labels| !labels.is_empty()) {
        return None;
    }
    match selector.match_expressions.as_deref()? {
        [only] if only.key == NAMESPACE_LABEL && only.operator == "In" => {
            Some(only.values.iter().flatten().cloned().collect())
        }
        _ => None,
    }
}

pub(super) fn namespaces(live: &ValidatingWebhookConfiguration) -> BTreeSet<String> {
    live.webhooks.iter().flatten().filter_map(namespaces_of).flatten().collect()
}

pub(super) fn bundle_of(webhook: &ValidatingWebhook) -> Option<String> {
    let bytes = webhook.client_config.ca_bundle.as_ref()?;
    String::from_utf8(bytes.0.clone()).ok().filter(|bundle| !bundle.is_empty())
}

/// The authority that callers trust, by the first entry that has one.
pub(super) fn bundle(live: &ValidatingWebhookConfiguration) -> Option<String> {
    live.webhooks.iter().flatten().find_map(bundle_of)
}

pub(super) fn path_of(webhook: &ValidatingWebhook) -> Option<String> {
    let WebhookClientConfig { service, url, .. } = &webhook.client_config;
    match (service, url) {
        // Without one the API server asks on the root.
        (Some(service), _) => Some(service.path.clone().unwrap_or_else(|| "/".to_owned())),
        (None, Some(url)) => url::Url::parse(url).ok().map(|url| url.path().to_owned()),
        (None, None) => None,
    }
}

pub(super) fn paths(live: &ValidatingWebhookConfiguration) -> BTreeSet<String> {
    live.webhooks.iter().flatten().filter(|webhook| is_ours(&webhook.name)).filter_map(path_of).collect()
}

pub(super) fn is_ours(name: &str) -> bool {
    name == PODS || name == EVICTIONS
}

pub(super) fn encoded(bundle: &str) -> Value {
    serde_json::to_value(ByteString(bundle.as_bytes().to_vec())).unwrap_or_default()
}

/// The fields in which entries differ, such as `pods.castoff.dev.timeoutSeconds`.
pub(super) fn differences(found: &[ValidatingWebhook], wanted: &[ValidatingWebhook]) -> BTreeSet<String> {
    let fields = |webhooks: &[ValidatingWebhook]| -> BTreeMap<String, Value> {
        let of = |webhook: &ValidatingWebhook| match serde_json::to_value(webhook) {
            Ok(Value::Object(fields)) => {
                fields.into_iter().map(|(field, value)| (format!("{}.{field}", webhook.name), value)).collect()
            }
            _ => Vec::new(),
        };
        webhooks.iter().flat_map(of).collect()
    };
    let (found, wanted) = (fields(found), fields(wanted));
    let all: BTreeSet<&String> = found.keys().chain(wanted.keys()).collect();
    all.into_iter().filter(|field| found.get(*field) != wanted.get(*field)).cloned().collect()
}

/// Who wrote last, if that was somebody else. Times are whole seconds: of two in one, the other is taken.
pub(super) fn last_editor(live: &ValidatingWebhookConfiguration) -> Option<String> {
    let entries = live.metadata.managed_fields.iter().flatten();
    let dated = entries.filter_map(|entry| Some((entry.time.as_ref()?.0, entry.manager.as_deref()?)));
    let newest = dated.max_by_key(|(time, manager)| (*time, *manager != MANAGER))?;
    (newest.1 != MANAGER).then(|| newest.1.to_owned())
}
