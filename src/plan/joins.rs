//! Finds lists that are searched for each item of another list, where a backend or the cluster gives both: the work is
//! their product, and whoever gives long lists uses up all that a round may do.
//!
//! `groupBy` is the way out: `healthy: health.body.groupBy(h, h.name)`, and then `names.filter(n, n in healthy)`.

use std::collections::BTreeMap;

use kube_cel::cel::IdedExpr;
use kube_cel::cel::common::ast::{CallExpr, Expr};

use super::Mistake;
use super::compiled::{Plan, SourcePlan};
use super::equality::AMONG;
use super::evaluate::GROUP_BY;
use super::expression::Expression;
use super::syntax::{self, Kind};

/// The mistakes of this kind in a plan.
pub(super) fn check(plan: &Plan) -> Vec<Mistake> {
    let mut names = Origins { plan, known: BTreeMap::new() };
    expressions(plan).filter_map(|expression| names.join_in(expression)).collect()
}

fn expressions(plan: &Plan) -> impl Iterator<Item = &Expression> {
    let findings = plan.unknown.iter().chain(&plan.blocked);
    let findings = findings.flat_map(|finding| [&finding.when].into_iter().chain(finding.message.expressions()));
    let acts = [Some(&plan.restart), plan.removal.as_ref()].into_iter().flatten().flat_map(|steps| {
        let whens = steps.prepare.iter().chain(&steps.restore).map(|act| &act.when);
        whens.chain(&steps.done).chain(steps.progress.iter().map(|(remaining, _)| remaining))
    });
    plan.variables.values().chain(&plan.member).chain(&plan.absent).chain(&plan.ours).chain(findings).chain(acts)
}

/// Where the values of a plan's names come from.
struct Origins<'a> {
    plan: &'a Plan,
    known: BTreeMap<String, bool>,
}

/// A loop around what is looked at.
struct Loop<'a> {
    variable: &'a str,
    /// Over what a backend or the cluster gave.
    long: bool,
}

impl Origins<'_> {
    fn join_in(&mut self, expression: &Expression) -> Option<Mistake> {
        self.joins(expression.tree(), &mut Vec::new()).then(|| Mistake {
            field: expression.field.clone(),
            message: "searches a list for each item of another, and a backend may make both long".to_owned(),
            hint: Some("sort one by what is searched for: list.groupBy(item, key), then `key in …`".to_owned()),
        })
    }

    /// Whether a list is searched for each item of another.
    fn joins<'t>(&mut self, node: &'t IdedExpr, around: &mut Vec<Loop<'t>>) -> bool {
        match &node.expr {
            Expr::Comprehension(loops) => {
                let parts = [&loops.loop_cond, &loops.loop_step, &loops.result];
                self.looped(&loops.iter_range, &loops.iter_var, &parts, around)
            }
            Expr::Call(call) => self.call(call, around),
            other => syntax::children(other).into_iter().any(|child| self.joins(child, around)),
        }
    }

    fn call<'t>(&mut self, call: &'t CallExpr, around: &mut Vec<Loop<'t>>) -> bool {
        match (call.func_name.as_str(), call.target.as_deref(), call.args.as_slice()) {
            (GROUP_BY, Some(range), [variable, key]) => match &variable.expr {
                Expr::Ident(variable) => self.looped(range, variable, &[key], around),
                _ => false,
            },
            (AMONG, None, [_, list]) if self.is_list(list) && self.multiplies(list, around) => true,
            (_, target, args) => target.into_iter().chain(args).any(|child| self.joins(child, around)),
        }
    }

    fn looped<'t>(
        &mut self,
        range: &'t IdedExpr,
        variable: &'t str,
        parts: &[&'t IdedExpr],
        around: &mut Vec<Loop<'t>>,
    ) -> bool {
        if self.multiplies(range, around) || self.joins(range, around) {
            return true;
        }
        let long = self.is_long(range) || of_loop(range, around).is_some_and(|of| of.long);
        around.push(Loop { variable, long });
        let found = parts.iter().any(|part| self.joins(part, around));
        around.pop();
        found
    }

    /// Whether going through `range` here is going through it once for each item of a list that may be long. What is a
    /// part of that very item is not: all parts of all items are no more than the answer has.
    fn multiplies(&mut self, range: &IdedExpr, around: &[Loop<'_>]) -> bool {
        around.iter().any(|of| of.long) && of_loop(range, around).is_none() && self.is_long(range)
    }

    fn is_list(&self, node: &IdedExpr) -> bool {
        let variable = match &node.expr {
            Expr::Ident(name) => self.plan.variables.get(name),
            _ => None,
        };
        variable.map_or_else(|| syntax::kind(node), Expression::kind) == Some(Kind::List)
    }

    /// Whether a backend or the cluster decides how long this is.
    fn is_long(&mut self, node: &IdedExpr) -> bool {
        !matches!(node.expr, Expr::List(_)) && syntax::references(node).names.iter().any(|name| self.is_given(name))
    }

    /// Whether this name stands for what a backend or the cluster gave, or was made of it. What is read for each item of
    /// a list is not meant: those are few.
    fn is_given(&mut self, name: &str) -> bool {
        if let Some(known) = self.known.get(name) {
            return *known;
        }
        let given = match (self.plan.observe.get(name), self.plan.variables.get(name)) {
            (Some(read), _) => read.for_each.is_none() && !matches!(read.source, SourcePlan::Owner),
            (None, Some(variable)) => variable.references.names.iter().any(|inner| self.is_given(inner)),
            (None, None) => false,
        };
        self.known.insert(name.to_owned(), given);
        given
    }
}

/// The outermost of the loops whose variable this is made of.
fn of_loop<'l, 't>(node: &IdedExpr, around: &'l [Loop<'t>]) -> Option<&'l Loop<'t>> {
    let names = syntax::references(node).names;
    around.iter().find(|of| names.contains(of.variable))
}
