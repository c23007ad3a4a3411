//! What Castoff may do is what it does: a right that no scenario has used is one too many, and none is missing.

use std::collections::BTreeSet;
use std::fmt;

use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject};
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt};

use crate::audit::{self, GUARD, Line};
use crate::installation::NAMESPACE;

/// The trial's name. It looks at the whole run, so it comes last.
pub const NAME: &str = "rights::each_right_of_the_manifests_is_used_and_none_is_missing";

/// What may be done with which objects.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Right {
    verb: String,
    group: String,
    /// With its subresource, as `pods/eviction`.
    resource: String,
    /// In this namespace; empty is all.
    namespace: String,
    /// Of this name; empty is all.
    name: String,
}

impl Right {
    /// Whether it lets one do this with what a request was about.
    fn covers(&self, verb: &str, line: &Line) -> bool {
        let (resource, part) = self.resource.split_once('/').unwrap_or((&self.resource, ""));
        let fits = |limit: &str, field: &str| limit.is_empty() || limit == field;
        let is_any_or = |given: &str, field: &str| given == "*" || given == field;
        self.verb == verb
            && is_any_or(&self.group, line.about("apiGroup"))
            && is_any_or(resource, line.about("resource"))
            && line.about("subresource") == part
            && fits(&self.namespace, line.about("namespace"))
            && fits(&self.name, line.name())
    }
}

impl fmt::Display for Right {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Right { verb, group, resource, namespace, name } = self;
        write!(formatter, "{verb} {resource}")?;
        for (word, limit) in [(".", group), (" in ", namespace), (" named ", name)] {
            if !limit.is_empty() {
                write!(formatter, "{word}{limit}")?;
            }
        }
        Ok(())
    }
}

impl Right {
    /// Whether the API server asks for it by itself, and no request shows it: who gives an object an owner must be
    /// allowed to delete the object (admission plugin `OwnerReferencesPermissionEnforcement`).
    fn is_asked_within(&self) -> bool {
        (self.verb.as_str(), self.resource.as_str()) == ("delete", "validatingwebhookconfigurations")
            && self.name == "castoff"
    }
}

/// Fails on a right that is given and was never used, and on a request that was refused for want of one.
pub async fn check(client: &Client) -> Result<(), String> {
    let lines = audit::of_guard().ok_or("the audit log can't be read")?;
    let given = given(client).await;
    let is_used = |right: &&Right| lines.iter().any(|line| needed(line).any(|verb| right.covers(verb, line)));
    let unused = given.iter().filter(|right| !right.is_asked_within() && !is_used(right));
    let mut wrong: BTreeSet<String> = unused.map(|right| format!("given, and no scenario used it: {right}")).collect();
    // Of what is given a scenario may have taken some away for a while.
    let is_given = |verb: &str, line: &Line| given.iter().any(|right| right.covers(verb, line));
    let refused = lines.iter().filter(|line| refused(line).is_some_and(|verb| !is_given(verb, line)));
    wrong.extend(refused.map(|line| format!("not given, and needed: {}", line.message())));
    println!("{} rights, {} requests", given.len(), lines.len());
    if wrong.is_empty() { Ok(()) } else { Err(wrong.into_iter().collect::<Vec<_>>().join("\n")) }
}

/// The verbs that a request needed: what makes an object by a patch or an update needs `create` too.
fn needed(line: &Line) -> impl Iterator<Item = &str> {
    [line.verb()].into_iter().chain((line.code() == Some(201)).then_some("create"))
}

/// What of other namespaces Castoff reads only where a Role there lets it: Secrets, and what the plans of the scenarios
/// ask of the API server.
const OPT_IN: [&str; 3] = ["secrets", "services", "endpointslices"];

/// The verb that a request was refused for want of.
fn refused(line: &Line) -> Option<&str> {
    let is_opt_in = OPT_IN.contains(&line.about("resource")) && line.about("namespace") != NAMESPACE;
    let (_, what) = line.message().split_once(&format!("User \"{GUARD}\" cannot "))?;
    what.split(' ').next().filter(|_| !is_opt_in)
}

/// What Castoff may do everywhere and in its own namespace, as the API server has it.
async fn given(client: &Client) -> BTreeSet<Right> {
    let everything = ListParams::default();
    let mut given = BTreeSet::new();
    for binding in Api::<ClusterRoleBinding>::all(client.clone()).list(&everything).await.unwrap() {
        if is_castoffs(binding.subjects.as_deref()) {
            given.extend(rights(&rules(client, &binding.role_ref).await, ""));
        }
    }
    for binding in Api::<RoleBinding>::namespaced(client.clone(), NAMESPACE).list(&everything).await.unwrap() {
        if is_castoffs(binding.subjects.as_deref()) {
            given.extend(rights(&rules(client, &binding.role_ref).await, &binding.namespace().unwrap()));
        }
    }
    given
}

fn is_castoffs(subjects: Option<&[Subject]>) -> bool {
    let is_its = |one: &Subject| {
        one.kind == "ServiceAccount" && one.name == "castoff" && one.namespace.as_deref() == Some(NAMESPACE)
    };
    subjects.unwrap_or_default().iter().any(is_its)
}

async fn rules(client: &Client, of: &RoleRef) -> Vec<PolicyRule> {
    let rules = if of.kind == "Role" {
        Api::<Role>::namespaced(client.clone(), NAMESPACE).get(&of.name).await.unwrap().rules
    } else {
        Api::<ClusterRole>::all(client.clone()).get(&of.name).await.unwrap().rules
    };
    rules.unwrap_or_default()
}

/// Each right alone that rules give.
fn rights(rules: &[PolicyRule], namespace: &str) -> BTreeSet<Right> {
    let each = |list: &Option<Vec<String>>| {
        let list = list.clone().unwrap_or_default();
        if list.is_empty() { vec![String::new()] } else { list }
    };
    let mut rights = BTreeSet::new();
    for rule in rules {
        for verb in &rule.verbs {
            for group in each(&rule.api_groups) {
                for resource in each(&rule.resources) {
                    for name in each(&rule.resource_names) {
                        rights.insert(Right {
                            verb: verb.clone(),
                            group: group.clone(),
                            resource: resource.clone(),
                            namespace: namespace.to_owned(),
                            name,
                        });
                    }
                }
            }
        }
    }
    rights
}
