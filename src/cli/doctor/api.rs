//! Objects of the API server as the doctor sees them. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kube::core::DynamicObject;
use serde_json::Value;

use crate::cli::drains::DrainView;
use crate::kubernetes::crds::VERSION_LABEL;
use crate::kubernetes::drains;
use crate::kubernetes::registration::{INJECTED, NAME};
use crate::lifecycle::Phase;

use super::seen::{Definition, DrainSeen, Hook, LeaseSeen, Replica};

/// The entries of a webhook configuration that are about pods.
pub(super) fn hooks(configuration: &DynamicObject) -> Vec<Hook> {
    let entries = configuration.data.get("webhooks").and_then(Value::as_array);
    let of = |entry: &Value| {
        let service = entry.pointer("/clientConfig/service");
        let text = |place: &str| entry.pointer(place).and_then(Value::as_str).unwrap_or_default().to_owned();
        Hook {
            configuration: configuration.metadata.name.clone().unwrap_or_default(),
            name: text("/name"),
            sends: sends(entry),
            fails_open: text("/failurePolicy") == "Ignore",
            timeout_seconds: entry.get("timeoutSeconds").and_then(Value::as_i64).unwrap_or(10),
            namespaces: read(entry.get("namespaceSelector")),
            selects_objects: entry.get("objectSelector").and_then(Value::as_object).is_some_and(|it| !it.is_empty()),
            bundle: entry.pointer("/clientConfig/caBundle").and_then(decoded).unwrap_or_default(),
            service: service.map(|it| format!("{}.{}.svc", plain(it, "name"), plain(it, "namespace"))),
            path: service.map_or_else(|| path_of(&text("/clientConfig/url")), |it| plain(it, "path").to_owned()),
            annotations: configuration.metadata.annotations.clone().unwrap_or_default(),
        }
    };
    entries.into_iter().flatten().map(of).filter(|hook| hook.sends.iter().any(|sent| is_about_pods(sent))).collect()
}

fn path_of(url: &str) -> String {
    url::Url::parse(url).map(|url| url.path().to_owned()).unwrap_or_default()
}

/// Whether this is Castoff's registration, and certificates are made by cert-manager: Castoff keeps none then.
pub(super) fn has_given_certificates(configuration: &DynamicObject) -> bool {
    let annotations = configuration.metadata.annotations.as_ref();
    configuration.metadata.name.as_deref() == Some(NAME)
        && annotations.is_some_and(|annotations| annotations.contains_key(INJECTED))
}

/// What an entry's rules send, as `DELETE pods`.
fn sends(entry: &Value) -> Vec<String> {
    let list = |rule: &Value, name: &str| -> Vec<String> { read(rule.get(name)) };
    let mut sends = Vec::new();
    for rule in entry.get("rules").and_then(Value::as_array).into_iter().flatten() {
        let is_core = list(rule, "apiGroups").iter().any(|group| group.is_empty() || group == "*");
        for operation in list(rule, "operations").iter().filter(|_| is_core) {
            sends.extend(list(rule, "resources").iter().map(|resource| format!("{operation} {resource}")));
        }
    }
    sends
}

fn is_about_pods(sent: &str) -> bool {
    let resource = sent.split_once(' ').map_or("", |(_, resource)| resource);
    resource == "*" || resource == "*/*" || resource == "pods" || resource.starts_with("pods/")
}

/// A part of an object, or nothing where it is of another form.
fn read<T: serde::de::DeserializeOwned + Default>(value: Option<&Value>) -> T {
    value.cloned().and_then(|value| serde_json::from_value(value).ok()).unwrap_or_default()
}

fn plain<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// The text that a value holds in base64.
pub(super) fn decoded(value: &Value) -> Option<String> {
    let bytes: k8s_openapi::ByteString = serde_json::from_value(value.clone()).ok()?;
    String::from_utf8(bytes.0).ok()
}

/// One pod of Castoff's own.
pub(super) fn replica(pod: &DynamicObject) -> Replica {
    let statuses = pod.data.pointer("/status/conditions").and_then(Value::as_array);
    let ready = statuses.into_iter().flatten().any(|it| plain(it, "type") == "Ready" && plain(it, "status") == "True");
    let image = pod.data.pointer("/spec/containers/0/image").and_then(Value::as_str).unwrap_or_default();
    let name = pod.metadata.name.clone().unwrap_or_default();
    Replica { name, image: image.to_owned(), version: version(pod), ready, says: Vec::new() }
}

/// Of which version of Castoff an object says it is; empty where it doesn't.
pub(super) fn version(object: &DynamicObject) -> String {
    object.metadata.labels.as_ref().and_then(|labels| labels.get(VERSION_LABEL)).cloned().unwrap_or_default()
}

/// The port on which a pod of Castoff's own answers `/readyz`.
pub(super) fn admin_port(pod: &DynamicObject) -> Option<i64> {
    let ports = pod.data.pointer("/spec/containers/0/ports")?.as_array()?;
    ports.iter().find(|port| plain(port, "name") == "admin")?.get("containerPort")?.as_i64()
}

/// The Lease.
pub(super) fn lease(lease: &DynamicObject) -> LeaseSeen {
    let text = |name: &str| lease.data.pointer(&format!("/spec/{name}")).and_then(Value::as_str);
    LeaseSeen {
        holder: text("holderIdentity").unwrap_or_default().to_owned(),
        renewed: text("renewTime").and_then(|time| time.parse().ok()),
        duration_seconds: lease.data.pointer("/spec/leaseDurationSeconds").and_then(Value::as_i64).unwrap_or(15),
    }
}

/// How a definition compares with this version's. What the API server filled in does not count.
pub(super) fn definition(wanted: &Value, found: Option<&DynamicObject>) -> Definition {
    let Some(found) = found else { return Definition::Missing };
    let empty = Value::Null;
    let (wanted, found) = (wanted.get("spec").unwrap_or(&empty), found.data.get("spec").unwrap_or(&empty));
    difference(wanted, found, "spec").map_or(Definition::AsItShouldBe, Definition::Differs)
}

/// The first place at which something wanted is not as it is wanted, or at which fields are that are not wanted.
fn difference(wanted: &Value, found: &Value, place: &str) -> Option<String> {
    match (wanted, found) {
        (Value::Object(wanted), Value::Object(found)) => {
            let inside = |name: &String| format!("{place}.{name}");
            // A schema's fields are its own; elsewhere the API server adds defaults.
            let further = found.keys().find(|name| place.ends_with(".properties") && !wanted.contains_key(*name));
            if let Some(further) = further {
                return Some(inside(further));
            }
            wanted.iter().find_map(|(name, value)| match found.get(name) {
                Some(found) => difference(value, found, &inside(name)),
                // What says nothing, the API server drops.
                None if value.as_object().is_some_and(serde_json::Map::is_empty) || value.as_i64() == Some(0) => None,
                None => Some(inside(name)),
            })
        }
        (Value::Array(wanted), Value::Array(found)) if wanted.len() == found.len() => {
            let pairs = wanted.iter().zip(found).enumerate();
            let mut differences =
                pairs.map(|(index, (one, other))| difference(one, other, &format!("{place}[{index}]")));
            differences.find_map(|difference| difference)
        }
        _ => (wanted != found).then(|| place.to_owned()),
    }
}

/// One drain.
pub(super) fn drain(object: &DynamicObject, now: Timestamp) -> DrainSeen {
    let kept = drains::read(object);
    let created: Option<Timestamp> =
        object.metadata.creation_timestamp.as_ref().and_then(|created| created.0.to_string().parse().ok());
    let condition = |kind: &str| kept.conditions.iter().find(|it| it.kind == kind).cloned();
    let since = |kind: &str| condition(kind)?.last_transition_time.parse::<Timestamp>().ok();
    let is_blocked = condition("Blocked").is_some_and(|blocked| blocked.status == "True");
    let phase = kept.drain.status.phase;
    let seconds = |from: Option<Timestamp>, to: Option<Timestamp>| Some(to?.duration_since(from?).as_secs());
    // One that began anew was made long before: since then `Prepared` has changed.
    let preparing_seconds = match phase {
        Phase::Queued | Phase::Draining => seconds(since("Prepared").or(created), Some(now)),
        Phase::Drained => seconds(created, since("Prepared")),
        _ => None,
    };
    DrainSeen {
        view: DrainView::of(object),
        blocked_seconds: if is_blocked { seconds(since("Blocked"), Some(now)) } else { None },
        preparing_seconds,
    }
}

/// Whether a PodDisruptionBudget lets no pod go, however well all of them are.
pub(super) fn never_allows(budget: &DynamicObject) -> bool {
    let spec = |name: &str| budget.data.pointer(&format!("/spec/{name}"));
    let expected = budget.data.pointer("/status/expectedPods").and_then(Value::as_i64).unwrap_or(0);
    let none = |value: &Value| value.as_i64() == Some(0) || value.as_str() == Some("0%");
    let all = |value: &Value| {
        value.as_i64().is_some_and(|least| expected > 0 && least >= expected) || value.as_str() == Some("100%")
    };
    spec("maxUnavailable").is_some_and(none) || spec("minAvailable").is_some_and(all)
}

/// Whose node this is, as `aws`.
pub(super) fn provider(node: &DynamicObject) -> Option<String> {
    let id = node.data.pointer("/spec/providerID")?.as_str()?;
    id.split_once("://").map(|(provider, _)| provider.to_owned())
}

/// An object's labels.
pub(super) fn labels(object: &DynamicObject) -> BTreeMap<String, String> {
    object.metadata.labels.clone().unwrap_or_default()
}
