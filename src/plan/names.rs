//! Which names a plan's expressions may use, and what they lead to.

use std::collections::{BTreeMap, BTreeSet};

use super::Mistake;
use super::expression::Expression;
use super::functions;
use super::pod_fields;
use super::spec::ReadSpec;
use crate::nearest::did_you_mean;

/// Names that every plan has.
const GIVEN: [&str; 5] = ["member", "now", "params", "pod", "removal"];

/// Words that CEL keeps for itself.
const KEPT_BY_CEL: &str = "as break const continue else false for function has if import in let loop namespace null \
                           package return true var void while";

/// Functions that people mistype; there are more.
const COMMON_FUNCTIONS: &str = "all contains double endsWith exists filter format groupBy int join lowerAscii map matches max \
                                min size split startsWith string sum trim";

/// How many variables may follow one from another: bounds the stack that an evaluation takes.
const LONGEST_CHAIN: usize = 12;

/// What a name of the plan stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    Endpoint,
    Observation(Shape),
    Variable,
}

/// What a read brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Answer,
    Answers,
    Pods,
    Owner,
}

impl Shape {
    pub fn of(read: &ReadSpec) -> Self {
        match read {
            ReadSpec { pods: Some(_), .. } => Shape::Pods,
            ReadSpec { owner: true, .. } => Shape::Owner,
            ReadSpec { for_each: Some(_), .. } => Shape::Answers,
            _ => Shape::Answer,
        }
    }
}

impl Meaning {
    fn section(self) -> &'static str {
        match self {
            Meaning::Endpoint => "endpoints",
            Meaning::Observation(_) => "observe",
            Meaning::Variable => "variables",
        }
    }
}

/// What a name refers to.
#[derive(Clone, Debug, Default)]
struct Edges {
    names: BTreeSet<String>,
    /// Those looked up in any case.
    certain: BTreeSet<String>,
    /// Those looked up while the value is found, and not before (as a read's URL is).
    nested: BTreeSet<String>,
}

/// The names of one plan.
#[derive(Debug, Default)]
pub(super) struct Names {
    meanings: BTreeMap<String, Meaning>,
    parameters: BTreeSet<String>,
    edges: BTreeMap<String, Edges>,
}

impl Names {
    pub fn parameter(&mut self, name: &str, mistakes: &mut Vec<Mistake>) {
        check_form(&format!("params.{name}"), name, mistakes);
        self.parameters.insert(name.to_owned());
    }

    pub fn add(&mut self, name: &str, meaning: Meaning, mistakes: &mut Vec<Mistake>) {
        let field = format!("{}.{name}", meaning.section());
        check_form(&field, name, mistakes);
        if GIVEN.contains(&name) {
            mistakes.push(mistake(&field, format!("{name} is a name that every plan has"), None));
        } else if let Some(other) = self.meanings.insert(name.to_owned(), meaning) {
            let message = format!("{name} is in {} already: they are one name space", other.section());
            mistakes.push(mistake(&field, message, None));
        }
    }

    /// Checks what an expression refers to; `items` are names that stand for an item here.
    pub fn check(&self, expression: &Expression, items: &[&str], mistakes: &mut Vec<Mistake>) {
        let field = &expression.field;
        let references = &expression.references;
        for name in &references.names {
            if !self.is_known(name) && !items.contains(&name.as_str()) {
                let known = self.meanings.keys().map(String::as_str).chain(GIVEN).chain(items.iter().copied());
                let parameter = self.parameters.contains(name).then(|| format!("params.{name}"));
                let hint = parameter.map(|path| format!("did you mean {path}?")).or_else(|| did_you_mean(name, known));
                mistakes.push(mistake(field, format!("there is no {name} in this plan"), hint));
            }
        }
        for name in &references.loop_variables {
            if self.is_known(name) || items.contains(&name.as_str()) {
                let message = format!("the loop variable {name} hides what {name} stands for in this plan");
                mistakes.push(mistake(field, message, Some("give it another name".to_owned())));
            }
        }
        for function in references.functions.iter().filter(|function| !functions::exists(function)) {
            let hint = did_you_mean(function, COMMON_FUNCTIONS.split(' '));
            mistakes.push(mistake(field, format!("there is no function {function}"), hint));
        }
        mistakes.extend(references.of_pod.iter().filter_map(|path| pod_fields::check(field, path)));
        for (name, taken) in &references.fields {
            self.check_field(field, name, taken, mistakes);
        }
    }

    fn check_field(&self, field: &str, name: &str, taken: &str, mistakes: &mut Vec<Mistake>) {
        if name == "params" && !self.parameters.contains(taken) {
            let hint = did_you_mean(taken, self.parameters.iter().map(String::as_str));
            mistakes.push(mistake(field, format!("there is no parameter {taken}"), hint));
        }
        match self.meanings.get(name) {
            Some(Meaning::Observation(Shape::Answers)) => {
                let message = format!("{name} is a list of answers, one for each item: it has no {taken}");
                let hint = Some(format!("as {name}.exists(answer, answer.{taken} …)"));
                mistakes.push(mistake(field, message, hint));
            }
            Some(Meaning::Observation(Shape::Pods)) => {
                let hint = Some(format!("as {name}.exists(p, p.{taken} …)"));
                mistakes.push(mistake(field, format!("{name} is a list of pods: it has no {taken}"), hint));
            }
            Some(Meaning::Observation(Shape::Owner)) if taken != "replicas" => {
                let hint = did_you_mean(taken, ["replicas"]);
                mistakes.push(mistake(field, format!("an owner has replicas, no {taken}"), hint));
            }
            Some(Meaning::Observation(Shape::Answer)) if !["code", "body"].contains(&taken) => {
                let hint = Some(format!("did you mean {name}.body.{taken}?"));
                mistakes.push(mistake(field, format!("an answer has code and body, no {taken}"), hint));
            }
            _ => {}
        }
    }

    /// Checks the name that a `forEach` gives its items.
    pub fn check_item(&self, field: &str, name: &str, mistakes: &mut Vec<Mistake>) {
        check_form(field, name, mistakes);
        if self.is_known(name) {
            mistakes.push(mistake(field, format!("{name} stands for something else in this plan"), None));
        }
    }

    /// Whether it names an endpoint.
    pub fn is_endpoint(&self, name: &str) -> bool {
        self.meanings.get(name) == Some(&Meaning::Endpoint)
    }

    fn is_known(&self, name: &str) -> bool {
        self.meanings.contains_key(name) || GIVEN.contains(&name)
    }

    /// Notes what `name` takes: `nested` while its value is found, `before` that.
    pub fn connect<'a>(
        &mut self,
        name: &str,
        nested: impl IntoIterator<Item = &'a Expression>,
        before: impl IntoIterator<Item = &'a Expression>,
    ) {
        let edges = self.edges.entry(name.to_owned()).or_default();
        for expression in nested {
            edges.names.extend(expression.references.names.iter().cloned());
            edges.certain.extend(expression.references.certain.iter().cloned());
            edges.nested.extend(expression.references.names.iter().cloned());
        }
        for expression in before {
            edges.names.extend(expression.references.names.iter().cloned());
        }
    }

    /// Finds what refers to itself, and chains that are too long.
    pub fn check_order(&self, mistakes: &mut Vec<Mistake>) {
        let mut settled = BTreeSet::new();
        let before = mistakes.len();
        for name in self.edges.keys() {
            self.visit(name, &mut Vec::new(), &mut settled, mistakes);
        }
        if mistakes.len() > before {
            return;
        }
        let mut lengths = BTreeMap::new();
        for name in self.edges.keys().filter(|name| self.chain(name, &mut lengths) == LONGEST_CHAIN + 1) {
            let message = format!("more than {LONGEST_CHAIN} names follow one from another");
            mistakes.push(mistake(&self.field(name), message, None));
        }
    }

    fn visit(&self, name: &str, path: &mut Vec<String>, settled: &mut BTreeSet<String>, mistakes: &mut Vec<Mistake>) {
        if let Some(start) = path.iter().position(|earlier| earlier == name) {
            let round = path[start..].iter().map(String::as_str).chain([name]).collect::<Vec<_>>().join(" → ");
            mistakes.push(mistake(&self.field(name), format!("refers to itself: {round}"), None));
            return;
        }
        if settled.contains(name) {
            return;
        }
        path.push(name.to_owned());
        for next in self.edges.get(name).into_iter().flat_map(|edges| &edges.names) {
            self.visit(next, path, settled, mistakes);
        }
        path.pop();
        settled.insert(name.to_owned());
    }

    fn chain(&self, name: &str, lengths: &mut BTreeMap<String, usize>) -> usize {
        if let Some(length) = lengths.get(name) {
            return *length;
        }
        let below = self.edges.get(name).into_iter().flat_map(|edges| &edges.nested);
        let longest = below.filter(|next| *next != "member").map(|next| self.chain(next, lengths)).max();
        let length = 1 + longest.unwrap_or(0);
        lengths.insert(name.to_owned(), length);
        length
    }

    fn field(&self, name: &str) -> String {
        self.meanings.get(name).map_or_else(|| name.to_owned(), |meaning| format!("{}.{name}", meaning.section()))
    }

    /// The observations that evaluating these expressions takes in any case.
    pub fn certain_reads<'a>(&self, expressions: impl IntoIterator<Item = &'a Expression>) -> BTreeSet<String> {
        let mut open: Vec<&String> =
            expressions.into_iter().flat_map(|expression| &expression.references.certain).collect();
        let mut followed = BTreeSet::new();
        let mut reads = BTreeSet::new();
        while let Some(name) = open.pop() {
            if name == "member" || !followed.insert(name) {
                continue;
            }
            if let Some(Meaning::Observation(_)) = self.meanings.get(name) {
                reads.insert(name.clone());
            }
            open.extend(self.edges.get(name).into_iter().flat_map(|edges| &edges.certain));
        }
        reads
    }

    /// Whether an expression, or anything that it refers to, takes the member's name.
    pub fn takes_member(&self, expression: &Expression) -> bool {
        let mut open: Vec<&String> = expression.references.names.iter().collect();
        let mut followed = BTreeSet::new();
        while let Some(name) = open.pop() {
            if name == "member" {
                return true;
            }
            if followed.insert(name) {
                open.extend(self.edges.get(name).into_iter().flat_map(|edges| &edges.names));
            }
        }
        false
    }
}

fn mistake(field: &str, message: String, hint: Option<String>) -> Mistake {
    Mistake { field: field.to_owned(), message, hint }
}

fn check_form(field: &str, name: &str, mistakes: &mut Vec<Mistake>) {
    let mut letters = name.chars();
    let begins = letters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_');
    if !begins || !letters.all(|letter| letter.is_ascii_alphanumeric() || letter == '_') {
        let message = "a name is made of letters, digits and _, and does not begin with a digit".to_owned();
        mistakes.push(mistake(field, message, None));
    } else if KEPT_BY_CEL.split(' ').any(|word| word == name) {
        mistakes.push(mistake(field, format!("CEL keeps the word {name} for itself"), None));
    }
}
