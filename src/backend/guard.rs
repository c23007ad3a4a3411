//! The endpoint guard: policies can make Castoff send requests, so it decides where to.
//!
//! A URL is checked before anything is sent ([`allow_url`]); what DNS then answers for its host is checked when it is
//! connected to ([`super::dns`]).

use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use url::{Host, Url};

use super::objects::KUBERNETES;
use super::{Scope, address};
use crate::pod::Pod;

/// Redis' port, where a URL names none.
const REDIS_PORT: u16 = 6379;

/// What whoever runs Castoff decided about endpoints.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Loopback addresses and `localhost` are fine (without a cluster only).
    pub loopback: bool,
    /// What is allowed besides the pod, its node and Services of the policy's own namespace.
    pub allowed: Vec<Pattern>,
    /// The cluster's DNS domain, lower case and without dots around it.
    pub cluster_domain: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self { loopback: false, allowed: Vec::new(), cluster_domain: "cluster.local".to_owned() }
    }
}

/// One `--allow-endpoint`: a host, `*.suffix`, an address or a range of addresses, and a port where only that is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    host: HostPattern,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum HostPattern {
    /// This very host.
    Name(String),
    /// Hosts that end with this; it begins with a dot.
    Suffix(String),
    /// Addresses in this range.
    Range(IpNet),
}

/// A text that names no endpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no endpoint: write a host, *.suffix, an address or a range as 10.0.0.0/8, then :PORT if need be")]
pub struct NoEndpoint(String);

impl FromStr for Pattern {
    type Err = NoEndpoint;

    /// Reads `pd.example.com`, `*.example.com:2379`, `10.0.0.0/8`, `10.1.2.3:80`, `[fd12::/16]:80`.
    fn from_str(text: &str) -> Result<Self, NoEndpoint> {
        let wrong = || NoEndpoint(text.to_owned());
        if let Some(range) = range(text) {
            return Ok(Self { host: HostPattern::Range(range), port: None });
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (host, Some(port.parse().map_err(|_| wrong())?)),
            None => (text, None),
        };
        let unwrapped = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        if let Some(range) = range(unwrapped.unwrap_or(host)) {
            return Ok(Self { host: HostPattern::Range(range), port });
        }
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let (name, is_suffix) = host.strip_prefix("*.").map_or((host.as_str(), false), |suffix| (suffix, true));
        if !is_host_name(name) {
            return Err(wrong());
        }
        let host = if is_suffix { HostPattern::Suffix(format!(".{name}")) } else { HostPattern::Name(host) };
        Ok(Self { host, port })
    }
}

impl Pattern {
    fn matches(&self, host: &Host<String>, port: u16) -> bool {
        if self.port.is_some_and(|own| own != port) {
            return false;
        }
        match (&self.host, host) {
            (HostPattern::Name(own), Host::Domain(name)) => own == name.trim_end_matches('.'),
            (HostPattern::Suffix(own), Host::Domain(name)) => name.trim_end_matches('.').ends_with(own.as_str()),
            (HostPattern::Range(own), host) => ip(host).is_some_and(|address| own.contains(&address)),
            _ => false,
        }
    }
}

/// Where a request may go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The URL to send to: the plan's, with a short Service name spelled out.
    pub url: Url,
    /// Its host.
    pub host: Host<String>,
    /// Its port, or the one that its scheme has.
    pub port: u16,
    /// It leads to an address of the pod itself.
    pub of_pod: bool,
}

/// Why a request may not go where it should; constant for a URL, and fit for users.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Refused {
    /// Which rule refuses, and what to do about it.
    pub why: String,
    /// Allowed after all where a pod of the policy's namespace has this address.
    pub unless_pods: Option<(IpAddr, Box<Target>)>,
}

impl From<String> for Refused {
    fn from(why: String) -> Self {
        Refused { why, unless_pods: None }
    }
}

/// Whether a request of the policy of `scope` may go to `url`, and to what exactly.
///
/// # Errors
/// Says which rule refuses, and what to do about it.
pub fn allow_url(url: &str, scope: &Scope, settings: &Settings) -> Result<Target, Refused> {
    let url = Url::parse(url).map_err(|error| format!("is no URL: {error}"))?;
    let by_redis = matches!(url.scheme(), "redis" | "rediss");
    if !by_redis && !matches!(url.scheme(), "http" | "https" | KUBERNETES) {
        return Err("is not allowed: only http, https, redis, rediss and kubernetes are spoken".to_owned().into());
    }
    if !url.username().is_empty() || url.password().is_some() {
        let why = "is not allowed: it holds a user name or password; name a Secret in its place";
        return Err(why.to_owned().into());
    }
    if url.scheme() == KUBERNETES {
        // What of it may be reached is decided by `objects`, which knows what is to be done there.
        let host = host_of(&url).ok_or_else(|| "is no URL: it has no path".to_owned())?;
        return Ok(Target { url, host, port: 443, of_pod: false });
    }
    if by_redis && (!matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some()) {
        return Err("is not allowed: behind host and port of a Redis server nothing has a meaning".to_owned().into());
    }
    let port = url.port_or_known_default().or(by_redis.then_some(REDIS_PORT));
    let (Some(host), Some(port)) = (host_of(&url), port) else {
        return Err("is no URL: it has no host".to_owned().into());
    };
    refuse_always(&host, settings.loopback)?;
    let is_pods = ip(&host).is_some_and(|address| addresses(&scope.pod).any(|own| own == address));
    // A pod on its host's network shares the node's address: others answer there, also once the pod is gone, and what
    // was set at an agent on the node does not go with the pod.
    let of_pod = is_pods && scope.pod.status.pod_ip != scope.pod.status.host_ip;
    if is_pods || settings.allowed.iter().any(|pattern| pattern.matches(&host, port)) {
        return Ok(Target { url, host, port, of_pod });
    }
    by_default(Target { url, host, port, of_pod }, scope, settings)
}

/// A URL's host. Of schemes that the web does not know, an address is taken for a name: it is read as in any other URL.
fn host_of(url: &Url) -> Option<Host<String>> {
    Host::parse(url.host_str()?).ok()
}

/// Whether this pod answers at this address, and nobody else: it runs, is not about to give the address back, and does
/// not share its node's.
#[must_use]
pub fn answers_at(pod: &Pod<'_>, address: IpAddr) -> bool {
    let status = &pod.status;
    status.phase == "Running"
        && pod.metadata.deletion_timestamp.is_none()
        && status.pod_ip != status.host_ip
        && addresses(pod).any(|own| own == address)
}

/// The rules that `--allow-endpoint` can't change.
fn refuse_always(host: &Host<String>, loopback: bool) -> Result<(), Refused> {
    let kind = match host {
        Host::Domain(name) => {
            let name = name.trim_end_matches('.');
            if address::is_metadata_name(name) {
                Some("a cloud's metadata service")
            } else {
                (!loopback && is_localhost(name)).then_some("a loopback address")
            }
        }
        Host::Ipv4(address) => address::forbidden((*address).into(), loopback),
        Host::Ipv6(address) => address::forbidden((*address).into(), loopback),
    };
    kind.map_or(Ok(()), |kind| Err(format!("is never allowed: it leads to {kind}").into()))
}

/// The rules for hosts that nobody allowed by name. What gets here is not forbidden: loopback is fine here.
fn by_default(mut target: Target, scope: &Scope, settings: &Settings) -> Result<Target, Refused> {
    let allowed = match &target.host {
        Host::Domain(name) if is_localhost(name.trim_end_matches('.')) => true,
        Host::Domain(name) => match service_host(name, &scope.namespace, &settings.cluster_domain) {
            Some(full) => {
                let spelled_out = target.url.set_host(Some(&full)).is_ok();
                target.host = Host::Domain(full);
                spelled_out
            }
            None => false,
        },
        Host::Ipv4(_) | Host::Ipv6(_) => ip(&target.host)
            .is_some_and(|address| address.is_loopback() || parsed(scope.pod.status.host_ip.as_str()) == Some(address)),
    };
    if allowed {
        return Ok(target);
    }
    let (host, port, namespace) = (&target.host, target.port, &scope.namespace);
    let why = format!(
        "is not allowed: {host} is neither the pod, its node, another pod nor a Service in namespace {namespace}. Whoever \
         runs Castoff can allow it with --allow-endpoint {host}:{port}"
    );
    Err(Refused { why, unless_pods: ip(&target.host).map(|address| (address, Box::new(target))) })
}

/// The host to ask for where `host` names a Service of `namespace`, or a pod under its headless Service.
///
/// Short names get `.NAMESPACE.svc`: they would otherwise mean the namespace that Castoff itself runs in, and `db.io` in
/// a namespace called `io` would mean a host of the internet.
fn service_host(host: &str, namespace: &str, cluster_domain: &str) -> Option<String> {
    let name = host.trim_end_matches('.');
    let in_domain = without_domain(name, cluster_domain);
    let service = in_domain.unwrap_or(name).strip_suffix(".svc");
    if in_domain.is_some() && service.is_none() {
        return None;
    }
    let labels: Vec<&str> = service.unwrap_or(name).split('.').collect();
    match (service, labels.as_slice()) {
        (Some(_), [_, own] | [_, _, own]) if *own == namespace => Some(host.to_owned()),
        (None, [service]) => Some(format!("{service}.{namespace}.svc")),
        (None, [service, own]) if *own == namespace => Some(format!("{service}.{namespace}.svc")),
        _ => None,
    }
    .filter(|_| labels.iter().all(|label| is_host_name(label)))
}

/// A pod's addresses.
fn addresses(pod: &Pod<'_>) -> impl Iterator<Item = IpAddr> {
    let status = &pod.status;
    let all = status.pod_ips.iter().map(|own| own.ip.as_str());
    std::iter::once(status.pod_ip.as_str()).chain(all).filter_map(parsed)
}

fn parsed(address: &str) -> Option<IpAddr> {
    address.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

/// The host's address where it is one; an IPv4 address in IPv6 form is that IPv4 address.
fn ip(host: &Host<String>) -> Option<IpAddr> {
    match host {
        Host::Domain(_) => None,
        Host::Ipv4(address) => Some((*address).into()),
        Host::Ipv6(address) => Some(IpAddr::from(*address).to_canonical()),
    }
}

fn range(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

/// Whether `host` is reserved for this machine (RFC 6761 6.3).
pub(super) fn is_localhost(host: &str) -> bool {
    host == "localhost" || host.ends_with(".localhost")
}

/// Whether `host` is the name of a Service: such names are allowed by their namespace, and must not lead elsewhere.
pub(super) fn is_service(host: &str, cluster_domain: &str) -> bool {
    let name = host.trim_end_matches('.');
    without_domain(name, cluster_domain).unwrap_or(name).rsplit('.').next() == Some("svc")
}

/// What stands before the cluster's domain, where a name is in it.
fn without_domain<'a>(name: &'a str, cluster_domain: &str) -> Option<&'a str> {
    name.strip_suffix(cluster_domain)?.strip_suffix('.')
}

fn is_host_name(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    text.split('.').all(|label| !label.is_empty() && label.bytes().all(fits))
}
