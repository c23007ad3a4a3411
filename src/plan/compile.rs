//! From a plan as it is written to one that rounds can use, with all its mistakes found at once.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value as Json;
use sha2::{Digest as _, Sha256};

use super::Mistake;
use super::compiled::{ActPlan, Endpoint, FindingPlan, Plan, PodsPlan, ReadPlan, RequestPlan, SourcePlan, Steps};
use super::expression::Expression;
use super::joins;
use super::labels::{self, Labels};
use super::names::{Meaning, Names, Shape};
use super::parameters;
use super::protocol::{Asked, Protocol, protocols as protocols_of};
use super::rounds::Rounds;
use super::spec::{ActSpec, EndpointSpec, Finding, PlanSpec, ProgressSpec, ReadSpec, Removal};
use super::syntax::Kind;
use super::template::{Body, Template};

/// The longest time that a request may take, and an act that goes on in the background.
const LONGEST_WAIT: Duration = Duration::from_secs(3);
const LONGEST_BACKGROUND_WAIT: Duration = Duration::from_mins(1);

const READ_METHODS: [&str; 3] = ["GET", "HEAD", "POST"];
const ACT_METHODS: [&str; 5] = ["DELETE", "GET", "PATCH", "POST", "PUT"];

/// Compiles a plan.
///
/// # Errors
/// All mistakes that can be seen without asking a backend, each with its place.
pub fn compile(spec: &PlanSpec) -> Result<Plan, Vec<Mistake>> {
    let mut compiler = Compiler::default();
    let plan = compiler.plan(spec);
    let mut mistakes = compiler.mistakes;
    mistakes.dedup();
    if let Some(plan) = plan.as_ref().filter(|_| mistakes.is_empty()) {
        mistakes = joins::check(plan);
    }
    match plan {
        Some(plan) if mistakes.is_empty() => Ok(plan),
        _ => Err(mistakes.into_iter().map(Mistake::printable).collect()),
    }
}

/// What is known of a plan while it is compiled.
#[derive(Default)]
pub(super) struct Compiler {
    pub names: Names,
    pub mistakes: Vec<Mistake>,
    /// What is spoken at the endpoints, where the plan alone tells.
    pub protocols: BTreeMap<String, Protocol>,
}

impl Compiler {
    fn plan(&mut self, spec: &PlanSpec) -> Option<Plan> {
        if spec.summary.trim().is_empty() {
            self.mistake("summary", "is empty", Some("say in one sentence what the plan does"));
        }
        self.declare(spec);
        Rounds::check(spec, &mut self.mistakes);
        let parameter_templates = parameters::templates(&spec.params, &mut self.mistakes);
        let endpoints = each(&spec.endpoints, |name, endpoint| Some(self.endpoint(name, endpoint)));
        let observe = each(&spec.observe, |name, read| Some(self.read(name, read)));
        let variables = each(&spec.variables, |name, source| self.variable(name, source));
        let member = spec.member.as_ref().and_then(|source| self.expression("member", source, Some(Kind::List)));
        let absent = spec.absent.as_ref().and_then(|source| self.absent(source));
        self.names.connect("member", &member, None);
        self.names.check_order(&mut self.mistakes);
        let unknown = self.findings("unknown", &spec.unknown);
        let blocked = self.findings("blocked", &spec.blocked);
        let ours = spec.ours.as_ref().and_then(|source| self.expression("ours", source, Some(Kind::Bool)));
        let shared = Shared { unknown: &unknown, blocked: &blocked, ours: ours.as_ref() };
        let restart = self.steps("", &spec.prepare, &spec.done, spec.progress.as_ref(), &spec.restore, &shared);
        let removal = match &spec.removal {
            Removal::Steps(own) => {
                Some(self.steps("removal.", &own.prepare, &own.done, own.progress.as_ref(), &own.restore, &shared))
            }
            Removal::Word(_) | Removal::None => None,
        };
        let member_reads = self.names.certain_reads(&member);
        Some(Plan {
            name: String::new(),
            hash: hash(spec)?,
            spec: Arc::new(spec.clone()),
            parameter_templates,
            endpoints,
            observe,
            variables,
            member,
            absent,
            member_reads,
            unknown,
            blocked,
            ours,
            restart,
            removal,
        })
    }

    /// Takes in all names first: they are ordered by reference, not by place.
    fn declare(&mut self, spec: &PlanSpec) {
        let Self { names, mistakes, protocols } = self;
        *protocols = protocols_of(spec);
        spec.params.keys().for_each(|name| names.parameter(name, mistakes));
        spec.endpoints.keys().for_each(|name| names.add(name, Meaning::Endpoint, mistakes));
        for (name, read) in &spec.observe {
            names.add(name, Meaning::Observation(Shape::of(read)), mistakes);
        }
        spec.variables.keys().for_each(|name| names.add(name, Meaning::Variable, mistakes));
    }

    fn endpoint(&mut self, name: &str, spec: &EndpointSpec) -> Endpoint {
        let field = format!("endpoints.{name}");
        let endpoint = Endpoint {
            url: self.url(&format!("{field}.url"), &spec.url, &[]),
            tls_secret: self.template(&format!("{field}.tlsSecret"), &spec.tls_secret, &[]),
            auth_secret: self.template(&format!("{field}.authSecret"), &spec.auth_secret, &[]),
        };
        let secrets = endpoint.tls_secret.expressions().chain(endpoint.auth_secret.expressions());
        self.names.connect(name, endpoint.url.expressions(), secrets);
        endpoint
    }

    fn read(&mut self, name: &str, spec: &ReadSpec) -> ReadPlan {
        let field = format!("observe.{name}");
        if spec.pods.is_some() || spec.owner {
            let source = self.cluster_read(name, &field, spec);
            return ReadPlan { source, for_each: None, item: String::new() };
        }
        if spec.url.is_empty() {
            let hint = Some("url reads a backend; pods and owner read the cluster");
            self.mistake(&field, "says neither url, nor pods, nor owner", hint);
        }
        let for_each_field = format!("{field}.forEach");
        let for_each =
            spec.for_each.as_ref().and_then(|source| self.expression(&for_each_field, source, Some(Kind::List)));
        let item = spec.item.clone().unwrap_or_else(|| "item".to_owned());
        let mut items = Vec::new();
        if spec.for_each.is_some() {
            self.names.check_item(&format!("{field}.as"), &item, &mut self.mistakes);
            items.push(item.as_str());
        } else if spec.item.is_some() {
            self.mistake(&format!("{field}.as"), "names an item, but there is no forEach", None);
        }
        let commands = self.commands(&field, &Asked::by_read(spec), &items);
        let request = RequestPlan {
            method: match &commands {
                Some(commands) => commands.names(),
                None => self.method(&field, spec.method.as_deref().unwrap_or("GET"), &READ_METHODS),
            },
            url: if spec.url.is_empty() {
                Template::empty()
            } else {
                self.url(&format!("{field}.url"), &spec.url, &items)
            },
            body: self.body(&field, spec.body.as_ref(), &items),
            commands,
            ok: self.accept(&field, &spec.ok),
            timeout: self.timeout(&field, spec.timeout.as_deref(), LONGEST_WAIT),
            tls_secret: self.template(&format!("{field}.tlsSecret"), &spec.tls_secret, &items),
            auth_secret: self.template(&format!("{field}.authSecret"), &spec.auth_secret, &items),
        };
        let by_endpoint = request.url.leading_name().is_some_and(|name| self.names.is_endpoint(name));
        if by_endpoint && !(spec.tls_secret.is_empty() && spec.auth_secret.is_empty()) {
            self.mistake(&field, "has a Secret of its own, but the endpoint's is used", Some("leave it out"));
        }
        self.names.connect(name, &for_each, expressions(&request));
        ReadPlan { source: SourcePlan::Backend(Box::new(request), spec.parse), for_each, item }
    }

    /// A read of the cluster: nothing is sent, so that none of the words for requests belongs there.
    fn cluster_read(&mut self, name: &str, field: &str, spec: &ReadSpec) -> SourcePlan {
        let word = if spec.owner { "owner" } else { "pods" };
        let of_requests = ReadSpec { pods: None, owner: false, ..spec.clone() };
        if let Ok(Json::Object(others)) = serde_json::to_value(of_requests) {
            for other in others.keys() {
                self.mistake(&format!("{field}.{other}"), format!("does not go with {word}"), Some("leave it out"));
            }
        }
        let Some(pods) = &spec.pods else { return SourcePlan::Owner };
        if spec.owner {
            self.mistake(&format!("{field}.owner"), "does not go with pods", Some("make it a read of its own"));
        }
        let field = format!("{field}.pods");
        let mut place = |what: &str, text: &Option<String>| {
            let place = format!("{field}.{what}");
            if text.as_ref().is_some_and(String::is_empty) {
                self.mistake(&place, "is empty", Some("leave it out"));
            }
            text.as_ref().map(|text| self.template(&place, text, &[]))
        };
        let (namespace, node) = (place("namespace", &pods.namespace), place("node", &pods.node));
        let selector_field = format!("{field}.selector");
        let selector = self.template(&selector_field, &pods.selector, &[]);
        if selector.expressions().next().is_none()
            && let Err(message) = Labels::parse(&pods.selector)
        {
            self.mistake(&selector_field, message, Some(labels::EXAMPLE));
        }
        let templates = namespace.iter().chain(&node).chain([&selector]);
        self.names.connect(name, None, templates.flat_map(Template::expressions));
        SourcePlan::Pods(PodsPlan { field, selector, namespace, node })
    }

    fn absent(&mut self, source: &str) -> Option<Expression> {
        if ["Allow", "Deny"].contains(&source) {
            let hint = "write the condition that proves that the pod is no member, or leave absent out";
            self.mistake("absent", format!("there is no {source} in this plan"), Some(hint));
            return None;
        }
        self.expression("absent", source, Some(Kind::Bool))
    }

    fn variable(&mut self, name: &str, source: &str) -> Option<Expression> {
        let expression = self.expression(&format!("variables.{name}"), source, None);
        self.names.connect(name, &expression, None);
        expression
    }

    fn findings(&mut self, field: &str, specs: &[Finding]) -> Vec<FindingPlan> {
        let mut findings = Vec::new();
        for (index, spec) in specs.iter().enumerate() {
            let field = format!("{field}[{index}]");
            if spec.message.trim().is_empty() {
                self.mistake(&format!("{field}.message"), "is empty", None);
            }
            let message = self.template(&format!("{field}.message"), &spec.message, &[]);
            if let Some(when) = self.expression(&format!("{field}.when"), &spec.when, Some(Kind::Bool)) {
                findings.push(FindingPlan { takes_member: self.names.takes_member(&when), when, message });
            }
        }
        findings
    }

    fn steps(
        &mut self,
        prefix: &str,
        prepare: &[ActSpec],
        done: &str,
        progress: Option<&ProgressSpec>,
        restore: &[ActSpec],
        shared: &Shared<'_>,
    ) -> Steps {
        let prepare = self.acts(&format!("{prefix}prepare"), prepare);
        let done = self.expression(&format!("{prefix}done"), done, Some(Kind::Bool));
        let progress = progress.and_then(|progress| self.progress(prefix, progress));
        let restore = self.acts(&format!("{prefix}restore"), restore);
        let findings = |list: &'_ [FindingPlan]| list.iter().map(|finding| finding.when.clone()).collect::<Vec<_>>();
        let whens = |list: &'_ [ActPlan]| list.iter().map(|act| act.when.clone()).collect::<Vec<_>>();
        let always: Vec<Expression> = findings(shared.unknown).into_iter().chain(shared.ours.cloned()).collect();
        let counted = progress.iter().map(|(remaining, _)| remaining.clone());
        let preparing: Vec<Expression> =
            findings(shared.blocked).into_iter().chain(whens(&prepare)).chain(done.clone()).chain(counted).collect();
        Steps {
            prepare_reads: self.names.certain_reads(always.iter().chain(&preparing)),
            restore_reads: self.names.certain_reads(always.iter().chain(&whens(&restore))),
            prepare,
            done,
            progress,
            restore,
        }
    }

    fn progress(&mut self, prefix: &str, spec: &ProgressSpec) -> Option<(Expression, String)> {
        if spec.unit.trim().is_empty() {
            self.mistake(&format!("{prefix}progress.unit"), "is empty", Some("say what is counted, as leaders"));
        }
        let remaining = self.expression(&format!("{prefix}progress.remaining"), &spec.remaining, Some(Kind::Number))?;
        Some((remaining, spec.unit.clone()))
    }

    fn acts(&mut self, field: &str, specs: &[ActSpec]) -> Vec<ActPlan> {
        let mut acts = Vec::new();
        for (index, spec) in specs.iter().enumerate() {
            let field = format!("{field}[{index}]");
            let longest = if spec.background { LONGEST_BACKGROUND_WAIT } else { LONGEST_WAIT };
            let commands = self.commands(&field, &Asked::by_act(spec), &[]);
            let request = RequestPlan {
                method: match &commands {
                    Some(commands) => commands.names(),
                    None => self.method(&field, &spec.method, &ACT_METHODS),
                },
                url: self.url(&format!("{field}.url"), &spec.url, &[]),
                body: self.body(&field, spec.body.as_ref(), &[]),
                commands,
                ok: self.accept(&field, &spec.ok),
                timeout: self.timeout(&field, spec.timeout.as_deref(), longest),
                tls_secret: Template::empty(),
                auth_secret: Template::empty(),
            };
            if let Some(when) = self.expression(&format!("{field}.when"), &spec.when, Some(Kind::Bool)) {
                acts.push(ActPlan { when, request, background: spec.background, irreversible: spec.irreversible });
            }
        }
        acts
    }
}

/// What is asked whether a pod comes back or not.
struct Shared<'a> {
    unknown: &'a [FindingPlan],
    blocked: &'a [FindingPlan],
    ours: Option<&'a Expression>,
}

fn expressions(request: &RequestPlan) -> impl Iterator<Item = &Expression> {
    let words = request.commands.iter().flat_map(|commands| commands.list.iter().flatten());
    let templates = request.body.iter().flat_map(Body::templates).chain(words);
    templates.chain([&request.url, &request.tls_secret, &request.auth_secret]).flat_map(Template::expressions)
}

fn each<T, U>(from: &BTreeMap<String, T>, mut make: impl FnMut(&str, &T) -> Option<U>) -> BTreeMap<String, U> {
    from.iter().filter_map(|(name, value)| Some((name.clone(), make(name, value)?))).collect()
}

fn hash(spec: &PlanSpec) -> Option<String> {
    let canonical = sorted(serde_json::to_value(spec).ok()?).to_string();
    let mut digits = String::new();
    for byte in Sha256::digest(canonical).iter().take(8) {
        let _ = write!(digits, "{byte:02x}");
    }
    Some(digits)
}

/// The same document with its fields in order, whatever order its maps keep.
fn sorted(document: Json) -> Json {
    match document {
        Json::Object(fields) => {
            let fields: BTreeMap<String, Json> = fields.into_iter().collect();
            Json::Object(fields.into_iter().map(|(name, value)| (name, sorted(value))).collect())
        }
        Json::Array(items) => Json::Array(items.into_iter().map(sorted).collect()),
        leaf => leaf,
    }
}
