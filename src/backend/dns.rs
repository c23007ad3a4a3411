//! The guard's second half: a name is connected to only at addresses that are not forbidden.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::LookupIpStrategy;
use hickory_resolver::proto::rr::{RData, Record};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::{address, guard};

/// What DNS answers for a host.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Its addresses, none twice.
    pub addresses: Vec<IpAddr>,
    /// The other name that it is one for, where it is (CNAME).
    pub alias_of: Option<String>,
}

/// Finds the addresses of a host.
#[async_trait]
pub trait Lookup: Send + Sync {
    /// What is known of `host`.
    ///
    /// # Errors
    /// Why there is no answer.
    async fn lookup(&self, host: &str) -> Result<Found, NoAnswer>;
}

/// The machine's own DNS: `/etc/hosts`, then the name servers and search list of `/etc/resolv.conf`, read once.
pub struct SystemDns(Result<TokioResolver, NoAnswer>);

impl SystemDns {
    /// Reads the machine's configuration; where that fails, every lookup says so.
    #[must_use]
    pub fn new() -> Self {
        let resolver = TokioResolver::builder_tokio().and_then(|mut builder| {
            let options = builder.options_mut();
            options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
            // Two tries fit into a round, and a pod that comes back under its name is found within seconds.
            options.timeout = Duration::from_secs(1);
            options.attempts = 2;
            options.positive_max_ttl = Some(Duration::from_secs(5));
            options.negative_max_ttl = Some(Duration::from_secs(1));
            // CNAMEs are to be seen.
            options.preserve_intermediates = true;
            builder.build()
        });
        Self(resolver.map_err(|error| NoAnswer(format!("the machine's DNS configuration can't be used: {error}"))))
    }
}

impl Default for SystemDns {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Lookup for SystemDns {
    async fn lookup(&self, host: &str) -> Result<Found, NoAnswer> {
        let resolver = self.0.as_ref().map_err(Clone::clone)?;
        let answer = resolver.lookup_ip(host).await.map_err(|error| NoAnswer(error.to_string()))?;
        Ok(Found { addresses: answer.iter().collect(), alias_of: alias_of(answer.as_lookup().answers()) })
    }
}

/// The name that a CNAME among these leads to first.
fn alias_of(answers: &[Record]) -> Option<String> {
    answers.iter().find_map(|record| match &record.data {
        RData::CNAME(target) => Some(target.to_string().trim_end_matches('.').to_owned()),
        _ => None,
    })
}

/// DNS has an answer, and it leads where no request may go.
#[derive(Debug, thiserror::Error)]
pub enum ForbiddenAnswer {
    /// To addresses that are never allowed.
    #[error("DNS answers {host} with {address}, {kind}: never allowed")]
    Address {
        /// What was asked for.
        host: String,
        /// One of the addresses.
        address: IpAddr,
        /// What it is.
        kind: &'static str,
    },
    /// From a Service of the policy's namespace to any name that its author likes: its type is `ExternalName`.
    #[error("{host} is another name for {target}: ask that, and have it allowed by --allow-endpoint")]
    Alias {
        /// What was asked for.
        host: String,
        /// The name that it stands for.
        target: String,
    },
}

/// Why there is no answer, for the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NoAnswer(pub String);

/// A host that has no address.
#[derive(Debug, thiserror::Error)]
#[error("no address for {host}: {reason}")]
pub struct NoAddress {
    host: String,
    reason: NoAnswer,
}

/// A resolver that gives no forbidden address.
#[derive(Clone)]
pub struct GuardedDns {
    lookup: Arc<dyn Lookup>,
    loopback: bool,
    cluster_domain: Arc<str>,
}

impl GuardedDns {
    /// Drops the forbidden ones of what `lookup` finds.
    pub fn new(lookup: Arc<dyn Lookup>, loopback: bool) -> Self {
        Self { lookup, loopback, cluster_domain: guard::Settings::default().cluster_domain.into() }
    }

    /// The same where Services have names in this domain.
    pub(crate) fn in_cluster(self, domain: &str) -> Self {
        Self { cluster_domain: domain.into(), ..self }
    }

    /// The addresses of `host`, with port 0.
    pub(super) async fn addresses(self, host: String) -> Result<Addrs, Box<dyn std::error::Error + Send + Sync>> {
        let found = if guard::is_localhost(host.trim_end_matches('.')) {
            Found { addresses: vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()], alias_of: None }
        } else {
            self.lookup.lookup(&host).await.map_err(|reason| NoAddress { host: host.clone(), reason })?
        };
        if let Some(target) = found.alias_of.filter(|_| guard::is_service(&host, &self.cluster_domain)) {
            return Err(ForbiddenAnswer::Alias { host, target }.into());
        }
        let mut forbidden = None;
        let mut allowed = Vec::with_capacity(found.addresses.len());
        for address in found.addresses {
            match address::forbidden(address, self.loopback) {
                Some(kind) => forbidden = Some((address, kind)),
                // Port 0: the client puts in the URL's.
                None => allowed.push(SocketAddr::new(address, 0)),
            }
        }
        match forbidden {
            Some((address, kind)) if allowed.is_empty() => Err(ForbiddenAnswer::Address { host, address, kind }.into()),
            _ if allowed.is_empty() => {
                Err(NoAddress { host, reason: NoAnswer("the answer is empty".to_owned()) }.into())
            }
            _ => Ok(Box::new(allowed.into_iter())),
        }
    }
}

impl Resolve for GuardedDns {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(self.clone().addresses(name.as_str().to_owned()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use hickory_resolver::proto::rr::Name;
    use hickory_resolver::proto::rr::rdata::{A, CNAME};

    use super::*;

    #[test]
    fn the_first_of_several_other_names_is_told_and_addresses_are_none() {
        let record = |data| Record::from_rdata(Name::from_ascii("pd.tidb.svc.").unwrap(), 5, data);
        let other = |name| record(RData::CNAME(CNAME(Name::from_ascii(name).unwrap())));
        let address = || record(RData::A(A(Ipv4Addr::new(10, 0, 0, 1))));
        let answers = [other("vault.vault.svc.cluster.local."), other("elsewhere."), address()];
        assert_eq!(alias_of(&answers).as_deref(), Some("vault.vault.svc.cluster.local"));
        assert_eq!(alias_of(&[address()]), None);
    }
}
