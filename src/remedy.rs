//! What a person does about a backend that can't be asked: whoever asks it says why, as a [`Cause`] beside the sentence
//! for people, and whoever shows that, in a condition, in a denial or on the doctor's screen, finds by it what to ask
//! oneself and what to type.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Why a backend can't be asked, as far as a person mends it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Cause {
    /// What kind it is of.
    #[schemars(with = "String")]
    pub kind: Kind,
    /// The right that a Role is to give, where one is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing_right: Option<Box<Right>>,
}

/// What keeps a backend from being asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// Nobody listens there.
    Refused,
    /// Nobody listens at an address that the plan names, as a pod's: no Service has to do with it.
    AddressRefused,
    /// The host has no address.
    NoName,
    /// Nothing came back in time.
    Silent,
    /// One of the two does not trust the other's certificate.
    Certificates,
    /// The backend wants to know who asks.
    Unauthorized,
    /// Castoff has no right that the step needs.
    NoRole,
    /// The step's Secret is not there.
    NoSecret,
    /// The step names no Secret, and needs one.
    NamesNoSecret,
    /// The step's Secret lacks a key, or has one that can't be used.
    Keys,
    /// Anything else: the backend answers, and what it says can't be used.
    #[default]
    Other,
}

/// What a Role gives.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Right {
    /// Whom it is missing to, as the API server knows Castoff; empty where that is not known.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// As `get`.
    pub verb: String,
    /// As `clusters.postgresql.cnpg.io/status`.
    pub resource: String,
    /// The one object that it is needed for; empty for all.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
}

impl From<Kind> for Cause {
    fn from(kind: Kind) -> Self {
        Cause { kind, missing_right: None }
    }
}

impl From<Right> for Cause {
    fn from(right: Right) -> Self {
        Cause { kind: Kind::NoRole, missing_right: Some(Box::new(right)) }
    }
}

/// Whose step it is.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The policy's namespace.
    pub namespace: &'a str,
    /// The policy's name.
    pub policy: &'a str,
    /// The Secret that the step names, where it names one.
    pub secret: Option<&'a str>,
}

impl Kind {
    /// What an answer of this status says of whoever asked.
    #[must_use]
    pub fn of_status(code: u16) -> Self {
        if matches!(code, 401 | 403) { Kind::Unauthorized } else { Kind::Other }
    }

    /// What to ask oneself; empty where the message says it all.
    #[must_use]
    pub fn question(self) -> &'static str {
        match self {
            Kind::Refused | Kind::AddressRefused => "is the port right, and does anything listen there?",
            Kind::NoName => "is the name right, and is there such a Service?",
            Kind::Silent => "does a NetworkPolicy or a firewall let Castoff in?",
            Kind::Certificates => "is ca.crt its authority's, and tls.crt one that it accepts?",
            Kind::Unauthorized => "may the Secret's user do this there?",
            Kind::NoSecret => "is its name right?",
            Kind::NoRole | Kind::NamesNoSecret | Kind::Keys | Kind::Other => "",
        }
    }
}

impl Cause {
    /// Whether there is nothing to mend that is known here.
    #[must_use]
    pub fn is_other(&self) -> bool {
        self.kind == Kind::Other
    }

    /// A message about it, with what to ask oneself.
    #[must_use]
    pub fn asked(&self, message: &str) -> String {
        match self.kind.question() {
            "" => message.to_owned(),
            question => format!("{message}: {question}"),
        }
    }

    /// What to type next about it, as a shell takes it.
    #[must_use]
    pub fn command(&self, place: &Place<'_>) -> String {
        let Place { namespace, policy, secret } = place;
        let edit = |why: &str| format!("kubectl edit drainpolicy {policy} -n {namespace}   # {why}");
        if let Some(right) = &self.missing_right {
            return right.given(namespace);
        }
        match (self.kind, secret) {
            (Kind::NoSecret, _) | (Kind::Keys | Kind::Certificates, None) => {
                format!("kubectl get secrets -n {namespace}")
            }
            (Kind::NamesNoSecret | Kind::Unauthorized, None) => edit("the step needs credentials: {secretName: ...}"),
            (Kind::Keys | Kind::NamesNoSecret | Kind::Certificates | Kind::Unauthorized, Some(secret)) => {
                format!("kubectl describe secret {secret} -n {namespace}")
            }
            (Kind::AddressRefused, _) => edit("is the port right?"),
            (Kind::Refused | Kind::NoName, _) => format!("kubectl get services,endpointslices -n {namespace}"),
            (Kind::Silent, _) => format!("kubectl get networkpolicies,pods -n {namespace} -o wide"),
            (Kind::NoRole | Kind::Other, _) => "castoff runbook backend-does-not-answer".to_owned(),
        }
    }
}

impl Right {
    /// To read one Secret, and the sentence that it is missing.
    #[must_use]
    pub fn to_read_secret(user: &str, namespace: &str, name: &str) -> (Right, String) {
        let (verb, resource) = ("get".to_owned(), "secrets".to_owned());
        let right = Right { user: user.to_owned(), verb, resource, name: name.to_owned() };
        (right, format!("Castoff ({user}) may not read the Secret {namespace}/{name}"))
    }

    /// The commands that make a Role and give it to Castoff.
    fn given(&self, namespace: &str) -> String {
        let Right { user, verb, resource, name } = self;
        let (role, only) = match name.as_str() {
            "" => (format!("castoff-{verb}-{}", resource.split(['.', '/']).next().unwrap_or_default()), String::new()),
            name => (format!("castoff-{name}"), format!(" --resource-name={name}")),
        };
        let whom = match (user.strip_prefix("system:serviceaccount:"), user.as_str()) {
            (Some(account), _) => format!("--serviceaccount={account}"),
            (None, "") => "--serviceaccount=castoff-system:castoff".to_owned(),
            (None, user) => format!("--user={user}"),
        };
        format!(
            "kubectl create role {role} --verb={verb} --resource={resource}{only} -n {namespace} && kubectl create \
             rolebinding {role} --role={role} {whom} -n {namespace}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(cause: impl Into<Cause>, secret: Option<&str>) -> String {
        cause.into().command(&Place { namespace: "tidb", policy: "tikv", secret })
    }

    #[test]
    fn each_cause_has_the_command_that_shows_or_mends_it() {
        let edit = "kubectl edit drainpolicy tikv -n tidb   # is the port right?";
        assert_eq!(typed(Kind::AddressRefused, None), edit);
        assert_eq!(typed(Kind::Refused, None), "kubectl get services,endpointslices -n tidb");
        assert_eq!(typed(Kind::Unauthorized, Some("pd-client")), "kubectl describe secret pd-client -n tidb");
        assert!(typed(Kind::Unauthorized, None).starts_with("kubectl edit drainpolicy tikv -n tidb"));
        assert_eq!(typed(Kind::Keys, Some("pd-client")), "kubectl describe secret pd-client -n tidb");
        assert_eq!(typed(Kind::of_status(500), None), "castoff runbook backend-does-not-answer");
    }

    #[test]
    fn a_missing_role_is_two_commands_with_the_names_filled_in() {
        let to = |user: &str| Right::to_read_secret(user, "tidb", "pd-client").0;
        assert_eq!(
            typed(to("system:serviceaccount:guards:castoff"), Some("pd-client")),
            "kubectl create role castoff-pd-client --verb=get --resource=secrets --resource-name=pd-client -n tidb && \
             kubectl create rolebinding castoff-pd-client --role=castoff-pd-client --serviceaccount=guards:castoff -n tidb"
        );
        assert!(typed(to("alice"), None).contains("--user=alice"));
    }

    #[test]
    fn so_is_one_for_objects() {
        let to = |user: &str, verb: &str, resource: &str| Right {
            user: user.to_owned(),
            verb: verb.to_owned(),
            resource: resource.to_owned(),
            name: String::new(),
        };
        assert_eq!(
            typed(to("system:serviceaccount:guards:castoff", "patch", "clusters.postgresql.cnpg.io/status"), None),
            "kubectl create role castoff-patch-clusters --verb=patch --resource=clusters.postgresql.cnpg.io/status -n tidb \
             && kubectl create rolebinding castoff-patch-clusters --role=castoff-patch-clusters \
             --serviceaccount=guards:castoff -n tidb"
        );
        assert!(typed(to("", "relabel", "pods"), None).contains("--serviceaccount=castoff-system:castoff"));
    }
}
