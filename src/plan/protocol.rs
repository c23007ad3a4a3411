//! By HTTP, by Redis commands, or Kubernetes' own objects: what the words of a plan say of that.

use std::collections::BTreeMap;

use super::spec::{Accept, ActSpec, Parse, PlanSpec, ReadSpec};

/// What is spoken at a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Http,
    Redis,
    Kubernetes,
}

impl Protocol {
    /// By how a URL begins, where that tells.
    pub fn of(url: &str) -> Option<Self> {
        let (scheme, _) = url.split_once("://")?;
        match scheme {
            "http" | "https" => Some(Protocol::Http),
            "redis" | "rediss" => Some(Protocol::Redis),
            "kubernetes" => Some(Protocol::Kubernetes),
            _ => None,
        }
    }
}

/// What is spoken at each endpoint, as far as its URL, or the default of the parameter that is its URL, tells.
pub(super) fn protocols(spec: &PlanSpec) -> BTreeMap<String, Protocol> {
    let of = |url: &str| {
        let parameter = url.strip_prefix("${params.").and_then(|rest| rest.split_once('}'));
        match parameter {
            Some((name, _)) => Protocol::of(spec.params.get(name)?.default.as_ref()?.as_str()?),
            None => Protocol::of(url),
        }
    };
    spec.endpoints.iter().filter_map(|(name, endpoint)| Some((name.clone(), of(&endpoint.url)?))).collect()
}

/// The words of a read or an act that say what is sent.
pub(super) struct Asked<'a> {
    pub command: Option<&'a Vec<String>>,
    pub commands: Option<&'a Vec<Vec<String>>>,
    pub url: &'a str,
    pub ok: &'a Accept,
    /// Words for HTTP that are there, too.
    pub of_http: Vec<&'static str>,
}

impl<'a> Asked<'a> {
    pub fn by_read(spec: &'a ReadSpec) -> Self {
        let there = [
            ("method", spec.method.is_some()),
            ("body", spec.body.is_some()),
            ("parse", spec.parse != Parse::default()),
        ];
        Asked::by((spec.command.as_ref(), spec.commands.as_ref()), &spec.url, &spec.ok, &there)
    }

    pub fn by_act(spec: &'a ActSpec) -> Self {
        let there = [("method", !spec.method.is_empty()), ("body", spec.body.is_some())];
        Asked::by((spec.command.as_ref(), spec.commands.as_ref()), &spec.url, &spec.ok, &there)
    }

    /// `there` are the words for HTTP, and whether each is there.
    fn by(
        (command, commands): (Option<&'a Vec<String>>, Option<&'a Vec<Vec<String>>>),
        url: &'a str,
        ok: &'a Accept,
        there: &[(&'static str, bool)],
    ) -> Self {
        let of_http = there.iter().filter(|(_, there)| *there).map(|(word, _)| *word).collect();
        Asked { command, commands, url, ok, of_http }
    }
}
