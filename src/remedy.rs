//! What a person does about a backend that can't be asked.
//!
//! The words for each cause stand here, once: [`backend`](crate::backend) says them, and whoever reads them, in a
//! condition, in a denial or on the doctor's screen, finds by them what to ask oneself and what to type.

/// Nobody listens there.
pub const REFUSED: &str = "does not answer: it refuses connections";
/// The host has no address.
pub const NO_NAME: &str = "does not answer: DNS does not know its name";
/// No route, no neighbour.
pub const UNREACHED: &str = "does not answer: no way leads there";
/// Connected, and then ended.
pub const BROKEN: &str = "does not answer: the connection breaks off";
/// Nothing came back in time.
pub const SILENT: &str = "does not answer in time";
/// TLS, from our side.
pub const NOT_TRUSTED: &str = "shows a certificate that is not trusted";
/// TLS, from theirs.
pub const TLS_REFUSED: &str = "refuses the TLS connection";
/// There is no Role.
pub const MAY_NOT_READ: &str = "may not read the Secret";
/// An object is asked for, and there is no Role; then verb and resource.
pub const MUST_LET: &str = "must let Castoff";
/// It is not there, or has another name.
pub const NO_SECRET: &str = "there is no Secret";
/// The step should name one.
pub const NAMES_NO_SECRET: &str = "the step names none";

/// Why a backend can't be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Nobody listens there.
    Refused,
    /// The host has no address.
    NoName,
    /// Nothing came back in time.
    Silent,
    /// One of the two does not trust the other's certificate.
    Certificates,
    /// The backend wants to know who asks.
    Unauthorized,
    /// Castoff may not read the step's Secret.
    NoRole,
    /// Castoff may not do with an object what the plan wants.
    NoRoleForObject,
    /// The step's Secret is not there.
    NoSecret,
    /// The step names no Secret, and needs one.
    NamesNoSecret,
    /// The step's Secret lacks a key, or has one that can't be used.
    Keys,
    /// Anything else: the backend answers, and what it says can't be used.
    Other,
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

impl Cause {
    /// The cause that a message tells of.
    #[must_use]
    pub fn of(message: &str) -> Self {
        let says = |words: &str| message.contains(words);
        match () {
            () if says(MAY_NOT_READ) => Cause::NoRole,
            () if says(MUST_LET) => Cause::NoRoleForObject,
            () if says(NO_SECRET) => Cause::NoSecret,
            () if says(NAMES_NO_SECRET) => Cause::NamesNoSecret,
            () if says("can't be asked: Secret") => Cause::Keys,
            () if says(REFUSED) || says(BROKEN) => Cause::Refused,
            () if says(NO_NAME) => Cause::NoName,
            () if says(SILENT) || says(UNREACHED) => Cause::Silent,
            () if says(NOT_TRUSTED) || says(TLS_REFUSED) => Cause::Certificates,
            () if says("answers 401") || says("answers 403") => Cause::Unauthorized,
            () => Cause::Other,
        }
    }

    /// What to ask oneself; empty where the message says it all.
    #[must_use]
    pub fn question(self) -> &'static str {
        match self {
            Cause::Refused => "is the port right, and does anything listen there?",
            Cause::NoName => "is the name right, and is there such a Service?",
            Cause::Silent => "does a NetworkPolicy or a firewall let Castoff in?",
            Cause::Certificates => "is ca.crt its authority's, and tls.crt one that it accepts?",
            Cause::Unauthorized => "may the Secret's user do this there?",
            Cause::NoSecret => "is its name right?",
            Cause::NoRole | Cause::NoRoleForObject | Cause::NamesNoSecret | Cause::Keys | Cause::Other => "",
        }
    }
}

/// What to type next about `message`, as a shell takes it.
#[must_use]
pub fn command(message: &str, place: &Place<'_>) -> String {
    let Place { namespace, policy, secret } = place;
    let edit = |why: &str| format!("kubectl edit drainpolicy {policy} -n {namespace}   # {why}");
    match (Cause::of(message), secret) {
        (Cause::NoRole, _) => role(message, namespace),
        (Cause::NoRoleForObject, _) => role_for_object(message, namespace),
        (Cause::NoSecret, _) | (Cause::Keys | Cause::Certificates, None) => {
            format!("kubectl get secrets -n {namespace}")
        }
        (Cause::NamesNoSecret | Cause::Unauthorized, None) => edit("the step needs credentials: {secretName: ...}"),
        (Cause::Keys | Cause::NamesNoSecret | Cause::Certificates | Cause::Unauthorized, Some(secret)) => {
            format!("kubectl describe secret {secret} -n {namespace}")
        }
        // A pod is asked by its address: no Service has to do with it.
        (Cause::Refused, _) if names_an_address(message) => edit("is the port right?"),
        (Cause::Refused | Cause::NoName, _) => format!("kubectl get services,endpointslices -n {namespace}"),
        (Cause::Silent, _) => format!("kubectl get networkpolicies,pods -n {namespace} -o wide"),
        (Cause::Other, _) => "castoff runbook backend-does-not-answer".to_owned(),
    }
}

/// The commands that let Castoff read the one Secret that the message tells of: as `Castoff (USER) may not read the
/// Secret NAMESPACE/NAME`.
fn role(message: &str, namespace: &str) -> String {
    let user = message.split_once("Castoff (").and_then(|(_, rest)| rest.split_once(')')).map(|(user, _)| user);
    let secret = message.split_once(MAY_NOT_READ).and_then(|(_, rest)| rest.trim_start().split_once('/'));
    let is_of_name = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '.');
    let secret = secret.map_or("", |(_, rest)| rest);
    let secret = secret[..secret.find(|letter| !is_of_name(letter)).unwrap_or(secret.len())].trim_end_matches('.');
    given(
        &format!("castoff-{secret}"),
        &format!("--verb=get --resource=secrets --resource-name={secret}"),
        user,
        namespace,
    )
}

/// The commands that let Castoff do with an object what the message tells of: as `must let Castoff (USER) VERB RESOURCE`.
fn role_for_object(message: &str, namespace: &str) -> String {
    let rest = message.split_once(MUST_LET).map_or("", |(_, rest)| rest.trim_start());
    let (user, rest) = match rest.strip_prefix('(').and_then(|rest| rest.split_once(") ")) {
        Some((user, rest)) => (Some(user), rest),
        None => (None, rest),
    };
    let is_of_word = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '.' | '/');
    let mut words = rest.split(|letter| !is_of_word(letter));
    let (verb, resource) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let name = format!("castoff-{verb}-{}", resource.split(['.', '/']).next().unwrap_or_default());
    given(&name, &format!("--verb={verb} --resource={resource}"), user, namespace)
}

/// The commands that make a Role and give it to Castoff.
fn given(name: &str, what: &str, user: Option<&str>, namespace: &str) -> String {
    let account = user.and_then(|user| user.strip_prefix("system:serviceaccount:"));
    let whom = match (account, user) {
        (Some(account), _) => format!("--serviceaccount={account}"),
        (None, Some(user)) => format!("--user={user}"),
        (None, None) => "--serviceaccount=castoff-system:castoff".to_owned(),
    };
    format!(
        "kubectl create role {name} {what} -n {namespace} && kubectl create rolebinding {name} --role={name} {whom} -n \
         {namespace}"
    )
}

/// Whether the URL in this message has an address for its host, not a name.
fn names_an_address(message: &str) -> bool {
    let host = message.split_once("://").map_or("", |(_, rest)| rest);
    let host = host.split(['/', ' ']).next().unwrap_or_default();
    host.starts_with('[') || host.split(':').next().is_some_and(|host| host.parse::<std::net::IpAddr>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(message: &str, secret: Option<&str>) -> String {
        command(message, &Place { namespace: "tidb", policy: "tikv", secret })
    }

    #[test]
    fn each_cause_has_the_command_that_shows_or_mends_it() {
        let refused = "http://10.1.2.3:9090/drain does not answer: it refuses connections";
        assert_eq!(typed(refused, None), "kubectl edit drainpolicy tikv -n tidb   # is the port right?");
        let of_service = "https://basic-pd:2379/stores does not answer: it refuses connections";
        assert_eq!(typed(of_service, None), "kubectl get services,endpointslices -n tidb");
        assert!(typed("http://[fd00::1]:80/ does not answer: it refuses connections", None).contains("edit"));
        let unauthorized = "https://pd:2379/ answers 401";
        assert_eq!(typed(unauthorized, Some("pd-client")), "kubectl describe secret pd-client -n tidb");
        assert!(typed(unauthorized, None).starts_with("kubectl edit drainpolicy tikv -n tidb"));
        let keys = "https://pd:2379/ can't be asked: Secret tidb/pd-client: it has no ca.crt, which https needs";
        assert_eq!(typed(keys, Some("pd-client")), "kubectl describe secret pd-client -n tidb");
        assert_eq!(typed("https://pd:2379/ answers 500", None), "castoff runbook backend-does-not-answer");
    }

    #[test]
    fn a_missing_role_is_two_commands_with_the_names_filled_in() {
        let told = |user: &str| {
            format!(
                "https://pd:2379/stores can't be asked: Secret tidb/pd-client: Castoff ({user}) may not read the Secret \
                 tidb/pd-client: allow it by a Role in that namespace"
            )
        };
        assert_eq!(
            typed(&told("system:serviceaccount:guards:castoff"), Some("pd-client")),
            "kubectl create role castoff-pd-client --verb=get --resource=secrets --resource-name=pd-client -n tidb && \
             kubectl create rolebinding castoff-pd-client --role=castoff-pd-client --serviceaccount=guards:castoff -n tidb"
        );
        assert!(typed(&told("alice"), None).contains("--user=alice"));
    }

    #[test]
    fn so_is_one_for_an_object() {
        let told = "kubernetes://apis/x is refused: a Role in namespace tidb must let Castoff \
                    (system:serviceaccount:guards:castoff) patch clusters.postgresql.cnpg.io/status";
        assert_eq!(
            typed(told, None),
            "kubectl create role castoff-patch-clusters --verb=patch --resource=clusters.postgresql.cnpg.io/status -n tidb \
             && kubectl create rolebinding castoff-patch-clusters --role=castoff-patch-clusters \
             --serviceaccount=guards:castoff -n tidb"
        );
        let unknown = "kubernetes://api/x is refused: a Role in namespace tidb must let Castoff relabel pods: says it";
        assert!(typed(unknown, None).contains("castoff-relabel-pods --verb=relabel --resource=pods -n tidb"));
    }
}
