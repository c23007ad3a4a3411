//! Which fields `pod` has in a plan: those that Castoff keeps of a pod. Others would be an error at the first round.

use super::Mistake;
use crate::nearest::did_you_mean;

/// The fields by section. Labels and annotations have names of people's own.
pub(super) const FIELDS: [(&str, &[&str]); 3] = [
    (
        "metadata",
        &[
            "name",
            "namespace",
            "uid",
            "resourceVersion",
            "labels",
            "annotations",
            "ownerReferences",
            "deletionTimestamp",
        ],
    ),
    ("spec", &["nodeName", "hostname", "subdomain", "tolerations"]),
    ("status", &["phase", "podIP", "podIPs", "hostIP", "conditions", "containerStatuses"]),
];

/// What is wrong with a path below `pod`, as `[metadata, name]`; only its last part is judged.
pub(super) fn check(field: &str, path: &[String]) -> Option<Mistake> {
    let (message, hint) = match path {
        [section] => {
            let sections = FIELDS.iter().map(|(section, _)| *section);
            if sections.clone().any(|known| known == section) {
                return None;
            }
            let inside = FIELDS.iter().find(|(_, fields)| fields.contains(&section.as_str()));
            let meant = inside.map(|(inside, _)| format!("did you mean pod.{inside}.{section}?"));
            let hint = meant.or_else(|| did_you_mean(section, sections));
            (format!("a pod has metadata, spec and status, no {section}"), hint)
        }
        [section, taken] => {
            let (_, fields) = FIELDS.iter().find(|(known, _)| known == section)?;
            if fields.contains(&taken.as_str()) {
                return None;
            }
            let known = fields.join(", ");
            let message = format!("of a pod's {section} there is no {taken} here, but {known}");
            (message, did_you_mean(taken, fields.iter().copied()))
        }
        _ => return None,
    };
    Some(Mistake { field: field.to_owned(), message, hint })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::{Value, json};

    use super::*;

    /// The hint, after what is wrong; empty where nothing is.
    fn told(path: &[&str]) -> String {
        let path: Vec<String> = path.iter().map(|part| (*part).to_owned()).collect();
        check("done", &path).map_or_else(String::new, |mistake| format!("wrong {}", mistake.hint.unwrap_or_default()))
    }

    #[test]
    fn what_a_pod_does_not_have_is_told_with_what_was_meant() {
        assert_eq!(told(&["name"]), "wrong did you mean pod.metadata.name?");
        assert_eq!(told(&["metadta"]), "wrong did you mean metadata?");
        assert_eq!(told(&["status", "podIp"]), "wrong did you mean podIP?");
        assert_eq!(told(&["spec", "containers"]), "wrong ");
        for right in [&["metadata"][..], &["metadata", "labels"], &["metadata", "labels", "app"], &["status", "podIP"]]
        {
            assert_eq!(told(right), "", "{right:?}");
        }
    }

    #[test]
    fn the_fields_are_those_that_a_pod_shows() {
        let pod = json!({
            "metadata": {"name": "a", "namespace": "n", "uid": "u", "resourceVersion": "1", "labels": {}, "annotations": {},
                "ownerReferences": [{"kind": "Job", "name": "j", "uid": "u"}], "deletionTimestamp": "t"},
            "spec": {"nodeName": "n", "hostname": "h", "subdomain": "s", "tolerations": [{"key": "k"}]},
            "status": {"phase": "Running", "podIP": "1", "podIPs": [{"ip": "1"}], "hostIP": "2",
                "conditions": [{"type": "Ready", "status": "True"}], "containerStatuses": [{"name": "c"}]},
        });
        let shown = serde_json::to_value(crate::pod::deserialize_owned(&pod).unwrap()).unwrap();
        let names = |section: &Value| {
            let mut names: Vec<String> = section.as_object().unwrap().keys().cloned().collect();
            names.sort();
            names
        };
        for (section, fields) in FIELDS {
            let mut known: Vec<String> = fields.iter().map(|field| (*field).to_owned()).collect();
            known.sort();
            assert_eq!(names(&shown[section]), known, "{section}");
        }
        assert_eq!(names(&shown), ["metadata", "spec", "status"]);
    }
}
