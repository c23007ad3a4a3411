//! What Castoff knows of a pod: the few fields that decisions and plans read, borrowed from the review they came in.

mod text;

use std::sync::Arc;

use serde::de::{Deserialize, Deserializer};

pub use text::{Text, TextMap};

/// A pod, with only the fields that Castoff reads. Plans see it as `pod`.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub struct Pod<'a> {
    /// Name, namespace, UID, labels, annotations, owners.
    pub metadata: Metadata<'a>,
    /// Where it runs and under which host name.
    pub spec: PodSpec<'a>,
    /// What the kubelet reported of it.
    pub status: PodStatus<'a>,
}

/// An object's metadata.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub struct Metadata<'a> {
    /// The pod's name.
    pub name: Text<'a>,
    /// The namespace that it lives in.
    pub namespace: Text<'a>,
    /// What tells this pod from others of the same name, before and after it.
    pub uid: Text<'a>,
    /// The version of the object that this is a copy of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_version: Option<Text<'a>>,
    /// Labels.
    #[serde(deserialize_with = "null_is_empty")]
    pub labels: TextMap<'a>,
    /// Annotations.
    #[serde(deserialize_with = "null_is_empty")]
    pub annotations: TextMap<'a>,
    /// Who owns the pod; at most one of them is its controller.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub owner_references: Vec<OwnerReference<'a>>,
    /// Set once the pod is terminating.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletion_timestamp: Option<Text<'a>>,
}

/// One owner of an object.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub struct OwnerReference<'a> {
    /// As `apps/v1`; tells kinds of the same name apart.
    #[serde(skip_serializing_if = "text_is_empty")]
    pub api_version: Text<'a>,
    /// `StatefulSet`, `ReplicaSet`, ...
    pub kind: Text<'a>,
    /// The owner's name.
    pub name: Text<'a>,
    /// The owner's UID.
    pub uid: Text<'a>,
    /// Whether this owner controls the pod.
    pub controller: bool,
}

/// The part of a pod's spec that Castoff reads.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub struct PodSpec<'a> {
    /// The node it is bound to; empty before it is scheduled.
    #[serde(skip_serializing_if = "text_is_empty")]
    pub node_name: Text<'a>,
    /// Its host name, as a StatefulSet gives it.
    #[serde(skip_serializing_if = "text_is_empty")]
    pub hostname: Text<'a>,
    /// The headless Service that its host name lives under.
    #[serde(skip_serializing_if = "text_is_empty")]
    pub subdomain: Text<'a>,
    /// Which taints of its node it bears.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tolerations: Vec<Toleration<'a>>,
}

/// Which taints a pod bears, and for how long.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, rename_all = "camelCase", bound(deserialize = "'de: 'a"))]
pub struct Toleration<'a> {
    /// The taint's key; empty for all.
    #[serde(skip_serializing_if = "text_is_empty")]
    pub key: Text<'a>,
    /// `Equal` (also where it is empty) or `Exists`.
    #[serde(skip_serializing_if = "text_is_empty")]
    pub operator: Text<'a>,
    /// The taint's value, for `Equal`.
    #[serde(skip_serializing_if = "text_is_empty")]
    pub value: Text<'a>,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`; empty for all.
    #[serde(skip_serializing_if = "text_is_empty")]
    pub effect: Text<'a>,
    /// For how many seconds; for ever where it is not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub toleration_seconds: Option<i64>,
}

impl Toleration<'_> {
    /// Whether it bears a taint of this key and value that evicts.
    #[must_use]
    pub fn bears(&self, key: &str, value: &str) -> bool {
        let exists = self.operator == "Exists";
        (self.effect.is_empty() || self.effect == "NoExecute")
            && (self.key == *key || (self.key.is_empty() && exists))
            && (exists || self.value == *value)
    }

    fn into_owned(self) -> Toleration<'static> {
        Toleration {
            key: self.key.into_owned(),
            operator: self.operator.into_owned(),
            value: self.value.into_owned(),
            effect: self.effect.into_owned(),
            toleration_seconds: self.toleration_seconds,
        }
    }
}

/// The part of a pod's status that Castoff reads.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct PodStatus<'a> {
    /// `Pending`, `Running`, `Succeeded`, `Failed` or `Unknown`.
    pub phase: Text<'a>,
    /// The pod's address; empty before it has one.
    #[serde(rename = "podIP", skip_serializing_if = "text_is_empty")]
    pub pod_ip: Text<'a>,
    /// All its addresses, of both IP families.
    #[serde(rename = "podIPs", skip_serializing_if = "Vec::is_empty")]
    pub pod_ips: Vec<PodAddress<'a>>,
    /// The address of its node.
    #[serde(rename = "hostIP", skip_serializing_if = "text_is_empty")]
    pub host_ip: Text<'a>,
    /// Conditions, `Ready` among them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition<'a>>,
    /// What each container does.
    #[serde(rename = "containerStatuses", skip_serializing_if = "Vec::is_empty")]
    pub container_statuses: Vec<ContainerStatus<'a>>,
}

/// One of a pod's addresses.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct PodAddress<'a> {
    /// The address.
    pub ip: Text<'a>,
}

/// One condition of an object.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct Condition<'a> {
    /// Its name, as `Ready`.
    #[serde(rename = "type")]
    pub kind: Text<'a>,
    /// `True`, `False` or `Unknown`.
    pub status: Text<'a>,
    /// When it last became what it is, as RFC 3339, by the clock of whoever reported it.
    #[serde(rename = "lastTransitionTime", skip_serializing_if = "Option::is_none")]
    pub last_transition_time: Option<Text<'a>>,
}

/// What one container does.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, bound(deserialize = "'de: 'a"))]
pub struct ContainerStatus<'a> {
    /// Its name.
    #[serde(skip_serializing_if = "text_is_empty")]
    pub name: Text<'a>,
    /// Its state.
    pub state: ContainerState,
}

/// A container's state: running, or waiting or terminated (not told apart).
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct ContainerState {
    /// Present while the container runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub running: Option<Running>,
}

/// The mark of a container that runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Running {}

/// The annotation by which a pod names its main container, beside sidecars.
/// <https://kubernetes.io/docs/reference/labels-annotations-taints/#kubectl-kubernetes-io-default-container>
const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";

impl<'a> Pod<'a> {
    /// `namespace/name`, as messages name it.
    #[must_use]
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.metadata.namespace, self.metadata.name)
    }

    /// Whether the pod is on its way out already.
    #[must_use]
    pub fn is_terminating(&self) -> bool {
        self.metadata.deletion_timestamp.is_some()
    }

    /// Whether the pod has ended: it will not run again.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.status.phase == "Succeeded" || self.status.phase == "Failed"
    }

    /// Whether it has the addresses that it is seen with there.
    #[must_use]
    pub fn has_addresses_of(&self, seen: &Pod<'_>) -> bool {
        let (own, seen) = (&self.status, &seen.status);
        own.pod_ip == seen.pod_ip && own.pod_ips == seen.pod_ips && own.host_ip == seen.host_ip
    }

    /// Whether the pod's condition `Ready` is true.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.status.conditions.iter().any(|condition| condition.kind == "Ready" && condition.status == "True")
    }

    /// Whether what matters of it runs: the container that the pod names as its default one, where it does, else any.
    /// Sidecars that are init containers are not among them.
    #[must_use]
    pub fn runs(&self) -> bool {
        let main = self.metadata.annotations.get(DEFAULT_CONTAINER).map(Text::as_str);
        let containers = &self.status.container_statuses;
        let is_main = |container: &&ContainerStatus<'_>| main.is_some_and(|main| container.name == *main);
        match containers.iter().find(is_main) {
            Some(main) => main.state.running.is_some(),
            None => containers.iter().any(|container| container.state.running.is_some()),
        }
    }

    /// The owner that controls the pod, where there is one.
    #[must_use]
    pub fn controller(&self) -> Option<&OwnerReference<'a>> {
        self.metadata.owner_references.iter().find(|owner| owner.controller)
    }

    /// Whether the pod only mirrors a file on its node, as the kubelet marks it.
    #[must_use]
    pub fn is_mirror(&self) -> bool {
        self.metadata.annotations.contains_key("kubernetes.io/config.mirror")
    }

    /// The pod's number in its StatefulSet; `None` for pods of other owners.
    #[must_use]
    pub fn ordinal(&self) -> Option<u32> {
        let owner = self.controller().filter(|owner| owner.kind == "StatefulSet")?;
        let number = self.metadata.name.strip_prefix(owner.name.as_str())?.strip_prefix('-')?;
        number.parse().ok()
    }

    /// The same pod, independent of the bytes it was read from.
    #[must_use]
    pub fn into_owned(self) -> Pod<'static> {
        Pod {
            metadata: self.metadata.into_owned(),
            spec: PodSpec {
                node_name: self.spec.node_name.into_owned(),
                hostname: self.spec.hostname.into_owned(),
                subdomain: self.spec.subdomain.into_owned(),
                tolerations: self.spec.tolerations.into_iter().map(Toleration::into_owned).collect(),
            },
            status: self.status.into_owned(),
        }
    }
}

impl Metadata<'_> {
    fn into_owned(self) -> Metadata<'static> {
        Metadata {
            name: self.name.into_owned(),
            namespace: self.namespace.into_owned(),
            uid: self.uid.into_owned(),
            resource_version: self.resource_version.map(Text::into_owned),
            labels: owned_map(self.labels),
            annotations: owned_map(self.annotations),
            owner_references: self
                .owner_references
                .into_iter()
                .map(|owner| OwnerReference {
                    api_version: owner.api_version.into_owned(),
                    kind: owner.kind.into_owned(),
                    name: owner.name.into_owned(),
                    uid: owner.uid.into_owned(),
                    controller: owner.controller,
                })
                .collect(),
            deletion_timestamp: self.deletion_timestamp.map(Text::into_owned),
        }
    }
}

impl PodStatus<'_> {
    /// The same, independent of the bytes it was read from.
    #[must_use]
    pub fn into_owned(self) -> PodStatus<'static> {
        PodStatus {
            phase: self.phase.into_owned(),
            pod_ip: self.pod_ip.into_owned(),
            pod_ips: self.pod_ips.into_iter().map(|own| PodAddress { ip: own.ip.into_owned() }).collect(),
            host_ip: self.host_ip.into_owned(),
            conditions: self.conditions.into_iter().map(Condition::into_owned).collect(),
            container_statuses: self
                .container_statuses
                .into_iter()
                .map(|container| ContainerStatus { name: container.name.into_owned(), state: container.state })
                .collect(),
        }
    }
}

impl Condition<'_> {
    fn into_owned(self) -> Condition<'static> {
        Condition {
            kind: self.kind.into_owned(),
            status: self.status.into_owned(),
            last_transition_time: self.last_transition_time.map(Text::into_owned),
        }
    }
}

/// Reads a pod that is kept longer than the bytes it came in.
///
/// # Errors
/// Those of the deserializer.
pub fn deserialize_owned<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Pod<'static>, D::Error> {
    Pod::deserialize(deserializer).map(Pod::into_owned)
}

/// As [`deserialize_owned`], of a pod that may be absent.
///
/// # Errors
/// Those of the deserializer.
pub fn deserialize_optional<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Arc<Pod<'static>>>, D::Error> {
    Ok(Option::<Pod<'de>>::deserialize(deserializer)?.map(|pod| Arc::new(pod.into_owned())))
}

fn owned_map(map: TextMap<'_>) -> TextMap<'static> {
    map.into_iter().map(|(key, value)| (key.into_owned(), value.into_owned())).collect()
}

fn text_is_empty(text: &Text<'_>) -> bool {
    text.is_empty()
}

fn null_is_empty<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<TextMap<'a>, D::Error> {
    Ok(Option::<TextMap<'a>>::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn borrows_what_holds_no_escapes() {
        let json = r#"{"metadata":{"name":"web-2","labels":{"app":"w\u0065b"}}}"#;
        let pod: Pod<'_> = serde_json::from_str(json).unwrap();
        assert!(matches!(pod.metadata.name.0, std::borrow::Cow::Borrowed("web-2")));
        assert_eq!(pod.metadata.labels.get("app").map(Text::as_str), Some("web"));
    }

    #[test]
    fn tells_the_ordinal_only_for_pods_of_a_statefulset() {
        let mut pod = Pod::default();
        pod.metadata.name = "db-blue-12".into();
        assert_eq!(pod.ordinal(), None);
        pod.metadata.owner_references = vec![OwnerReference {
            kind: "StatefulSet".into(),
            name: "db-blue".into(),
            controller: true,
            ..Default::default()
        }];
        assert_eq!(pod.ordinal(), Some(12));
    }
}
