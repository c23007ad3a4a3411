//! What files say beside what a cluster has: pods, plans, Secrets and the right to read them.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::api::{Api, PostParams};
use kube::core::DynamicObject;

use crate::cli::Failure;
use crate::cli::connect::list;
use crate::kubernetes::policies::{PlanObject, PolicyObject, compile, read_plan, read_policy};
use crate::kubernetes::resources::{drain_plans, drain_policies};
use crate::kubernetes::{cluster, pods};
use crate::plan::Plan;
use crate::pod::Pod;
use crate::policy::Policy;
use crate::remedy::{Cause, Place, Right};
use crate::standalone::policies::{Complaint, Found};

/// The plans of the cluster that can be followed.
pub(super) async fn plans(client: &Client) -> Result<Vec<(String, Arc<Plan>)>, Failure> {
    let plans = list(client, &drain_plans(), None).await?;
    let compiled = plans.iter().filter_map(read_plan).filter_map(|(_, plan)| {
        let spec = serde_json::from_value(plan.spec).ok()?;
        let compiled = crate::plan::compile(&spec).ok()?;
        Some((plan.name.clone(), Arc::new(compiled.named(plan.name.as_str()))))
    });
    Ok(compiled.collect())
}

/// What is wrong with these policies in the cluster.
pub(super) async fn complaints(client: &Client, castoff: &str, found: &[Found]) -> Result<Vec<Complaint>, Failure> {
    let mut namespaces: BTreeMap<&str, Namespace> = BTreeMap::new();
    let mut complaints = Vec::new();
    for one in found {
        let policy = &one.policy;
        if !namespaces.contains_key(policy.namespace.as_str()) {
            namespaces.insert(&policy.namespace, Namespace::look(client, &policy.namespace).await?);
        }
        if let Some(namespace) = namespaces.get(policy.namespace.as_str()) {
            complaints.extend(namespace.complaints(one));
        }
        complaints.extend(credentials(client, castoff, one).await);
    }
    Ok(complaints)
}

/// What a namespace has.
struct Namespace {
    pods: Vec<Pod<'static>>,
    policies: Vec<Arc<Policy>>,
}

impl Namespace {
    async fn look(client: &Client, namespace: &str) -> Result<Self, Failure> {
        let pods = list(client, &pods::resource(), Some(namespace)).await?;
        let policies: Vec<DynamicObject> = list(client, &drain_policies(), Some(namespace)).await?;
        let policies: Vec<Arc<PolicyObject>> =
            policies.iter().filter_map(read_policy).map(|(_, policy)| Arc::new(policy)).collect();
        let no_plans: &[Arc<PlanObject>] = &[];
        Ok(Namespace {
            pods: pods.iter().filter_map(cluster::pod_of).collect(),
            policies: compile(&policies, no_plans).of_namespace(namespace).to_vec(),
        })
    }

    fn complaints(&self, found: &Found) -> Vec<Complaint> {
        let policy = &found.policy;
        let selected: Vec<&Pod<'_>> = self.pods.iter().filter(|pod| policy.selects(pod, None)).collect();
        if selected.is_empty() {
            let count = self.pods.len();
            let message = format!("selects none of the {count} pods of namespace {}", policy.namespace);
            let look = format!("see: kubectl get pods -n {} --show-labels", policy.namespace);
            return vec![complaint(found, "spec.selector", message, look)];
        }
        let others = self.policies.iter().filter(|other| other.name != policy.name);
        let rivals = others.filter(|other| selected.iter().any(|pod| other.selects(pod, None)));
        let of = |rival: &Arc<Policy>| {
            let message = format!("selects pods that the policy {} of the cluster selects, too", rival.name);
            complaint(found, "spec.selector", message, "narrow one of the two".to_owned())
        };
        rivals.map(of).collect()
    }
}

fn complaint(found: &Found, field: &str, message: String, hint: String) -> Complaint {
    Complaint { file: found.file.clone(), line: Some(found.line), field: field.to_owned(), message, hint }
}

/// Whether the Secrets that a policy names are there, and Castoff may read them. What may not be asked is left out.
async fn credentials(client: &Client, castoff: &str, found: &Found) -> Vec<Complaint> {
    let Policy { namespace, name, .. } = &found.policy;
    let mut complaints = Vec::new();
    for (index, step) in found.policy.steps.iter().flatten().enumerate() {
        let Some(secret) = &step.credentials else { continue };
        let field = format!("spec.steps[{index}].credentials");
        let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
        if matches!(secrets.get_metadata_opt(secret).await, Ok(None)) {
            let look = format!("see: kubectl get secrets -n {namespace}");
            complaints.push(complaint(found, &field, format!("there is no Secret {namespace}/{secret}"), look));
        }
        let account = format!("system:serviceaccount:{castoff}:castoff");
        if may_read(client, &account, namespace, secret).await == Some(false) {
            let (right, message) = Right::to_read_secret(&account, namespace, secret);
            let hint = Cause::from(right).command(&Place { namespace, policy: name, secret: Some(secret) });
            complaints.push(complaint(found, &field, message, hint));
        }
    }
    complaints
}

/// `None` where that may not be asked.
async fn may_read(client: &Client, account: &str, namespace: &str, secret: &str) -> Option<bool> {
    let attributes = ResourceAttributes {
        resource: Some("secrets".to_owned()),
        verb: Some("get".to_owned()),
        namespace: Some(namespace.to_owned()),
        name: Some(secret.to_owned()),
        ..ResourceAttributes::default()
    };
    let spec = SubjectAccessReviewSpec {
        user: Some(account.to_owned()),
        resource_attributes: Some(attributes),
        ..SubjectAccessReviewSpec::default()
    };
    let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
    let answer = Api::<SubjectAccessReview>::all(client.clone()).create(&PostParams::default(), &review).await.ok()?;
    Some(answer.status?.allowed)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;
    use crate::standalone::policies::check;

    fn found(app: &str) -> Found {
        let text = format!(
            "apiVersion: castoff.dev/v1alpha1\nkind: DrainPolicy\nmetadata: {{name: web, namespace: n}}\nspec:\n  selector: \
             {{matchLabels: {{app: {app}}}}}\n  steps: [{{name: a, plan: {{builtIn: http-hook}}}}]\n"
        );
        check(&[("web.yaml".into(), text)]).policies.remove(0)
    }

    fn namespace(policies: Vec<Arc<Policy>>) -> Namespace {
        let pod = json!({"metadata": {"name": "web-0", "namespace": "n", "labels": {"app": "web"}}});
        Namespace { pods: vec![crate::pod::deserialize_owned(&pod).unwrap()], policies }
    }

    #[test]
    fn a_selector_that_matches_nothing_or_what_another_policy_has_is_told() {
        assert!(namespace(vec![]).complaints(&found("web")).is_empty());
        let told = namespace(vec![]).complaints(&found("wbe"));
        assert_eq!(
            told[0].to_string(),
            "web.yaml:5: spec.selector: selects none of the 1 pods of namespace n; see: kubectl get pods -n n --show-labels"
        );
        let mut rival = found("web").policy;
        rival.name = "older".to_owned();
        let told = namespace(vec![Arc::new(rival)]).complaints(&found("web"));
        assert!(told[0].message.contains("the policy older of the cluster"), "{told:?}");
        let same = Arc::new(found("web").policy);
        assert!(namespace(vec![same]).complaints(&found("web")).is_empty(), "it is the policy itself");
    }
}
