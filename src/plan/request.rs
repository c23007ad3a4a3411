//! Requests with their values filled in.

use std::fmt::Display;

use std::collections::BTreeSet;

use serde_json::Value;

use super::compiled::{ActPlan, PodsPlan, ReadPlan, RequestPlan, SourcePlan};
use super::labels::Labels;
use super::scope::{MOST_ITEMS, Scope, Trouble};
use super::{Act, BackendRead, ClusterRead, PodsQuery, Read, ReadKey, Request, Source};

/// The reads to make for these observations, or for what they themselves take first. `seen` ones are left out.
pub(super) fn needed(scope: &mut Scope<'_>, names: &BTreeSet<String>) -> Result<Vec<Read>, Trouble> {
    collect(scope, names, true)
}

/// Those of the reads that can be made by now; where one can't, whoever needs its answer will be told why.
pub(super) fn possible(scope: &mut Scope<'_>, names: &BTreeSet<String>) -> Vec<Read> {
    collect(scope, names, false).unwrap_or_default()
}

fn collect(scope: &mut Scope<'_>, names: &BTreeSet<String>, strict: bool) -> Result<Vec<Read>, Trouble> {
    let mut found = Vec::new();
    let mut asked: BTreeSet<String> = BTreeSet::new();
    let mut open: Vec<String> = names.iter().cloned().collect();
    while let Some(name) = open.pop() {
        if !asked.insert(name.clone()) {
            continue;
        }
        match reads(scope, &name) {
            Ok(reads) => found.extend(reads),
            Err(Trouble::Missing(first)) => open.extend(first),
            Err(trouble) if strict => return Err(trouble),
            Err(_) => {}
        }
    }
    found.sort_by(|one, other| one.key.cmp(&other.key));
    Ok(found)
}

/// The reads of one observation that were not made yet.
fn reads(scope: &mut Scope<'_>, name: &str) -> Result<Vec<Read>, Trouble> {
    let plan = scope.plan;
    let Some(read) = plan.observe.get(name) else { return Ok(Vec::new()) };
    let Some(for_each) = &read.for_each else {
        let key = ReadKey { name: name.to_owned(), item: None };
        return if scope.seen.contains_key(&key) { Ok(Vec::new()) } else { Ok(vec![one(scope, read, key)?]) };
    };
    let items = scope.list(for_each)?;
    if items.len() > MOST_ITEMS {
        let detail = format!("{} items, {MOST_ITEMS} are allowed", items.len());
        return Err(scope.failure(&for_each.field, "gives too many items", &detail));
    }
    let mut reads = Vec::new();
    for (index, item) in items.into_iter().enumerate() {
        let key = ReadKey { name: name.to_owned(), item: Some(index) };
        if !scope.seen.contains_key(&key) {
            scope.set_item(Some((read.item.clone(), item)));
            let made = one(scope, read, key);
            scope.set_item(None);
            reads.push(made?);
        }
    }
    Ok(reads)
}

fn one(scope: &Scope<'_>, read: &ReadPlan, key: ReadKey) -> Result<Read, Trouble> {
    let source = match &read.source {
        SourcePlan::Backend(plan, parse) => {
            Source::Backend(BackendRead { request: request(scope, plan)?, parse: *parse })
        }
        SourcePlan::Pods(plan) => Source::Cluster(ClusterRead::Pods(pods(scope, plan)?)),
        SourcePlan::Owner => Source::Cluster(ClusterRead::Owner),
    };
    Ok(Read { key, source })
}

/// An empty name is refused: it would be read as "anywhere".
fn pods(scope: &Scope<'_>, plan: &PodsPlan) -> Result<PodsQuery, Trouble> {
    let failure = |what: &str, problem: &str, detail: &dyn Display| {
        let field = format!("{}.{what}", plan.field);
        scope.failure(&field, problem, detail)
    };
    let named = |what: &str, name: String| {
        if name.is_empty() { Err(failure(what, "names nothing", &"it is empty")) } else { Ok(name) }
    };
    let labels = Labels::parse(&plan.selector.text(scope)?);
    let labels = labels.map_err(|error| failure("selector", "can't be read", &error))?;
    let namespace = match &plan.namespace {
        Some(namespace) => namespace.text(scope)?,
        None => scope.inputs.pod.pointer("/metadata/namespace").and_then(Value::as_str).unwrap_or_default().to_owned(),
    };
    let namespace = named("namespace", namespace)?;
    let node = match &plan.node {
        Some(node) => Some(named("node", node.text(scope)?)?),
        None => None,
    };
    Ok(PodsQuery { labels, namespace: (namespace != "*").then_some(namespace), node })
}

/// An act, ready to be sent.
pub(super) fn act(scope: &Scope<'_>, index: usize, act: &ActPlan) -> Result<Act, Trouble> {
    let request = request(scope, &act.request)?;
    Ok(Act { index, request, background: act.background, irreversible: act.irreversible })
}

fn request(scope: &Scope<'_>, plan: &RequestPlan) -> Result<Request, Trouble> {
    let endpoint = plan.url.leading_name().and_then(|name| scope.plan.endpoints.get(name));
    let (tls_secret, auth_secret) = match endpoint {
        Some(endpoint) => (&endpoint.tls_secret, &endpoint.auth_secret),
        None => (&plan.tls_secret, &plan.auth_secret),
    };
    Ok(Request {
        method: plan.method.clone(),
        url: plan.url.url(scope)?,
        body: plan.body.as_ref().map(|body| body.json(scope)).transpose()?,
        commands: plan.commands.as_ref().map(|commands| commands.filled(scope)).transpose()?,
        ok: plan.ok.clone(),
        timeout: plan.timeout,
        tls_secret: tls_secret.text(scope)?,
        auth_secret: auth_secret.text(scope)?,
    })
}
