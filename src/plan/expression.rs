//! CEL expressions: compiled once, evaluated many times, never able to end the process.

use std::panic::{AssertUnwindSafe, catch_unwind};

use kube_cel::cel::IdedExpr;
use kube_cel::cel::common::ast::Expr;
use kube_cel::cel::parser::Parser;

use super::evaluate::{self, Found, Names, Steps};
use super::syntax::{self, Kind, References};

/// The longest expression that is read, in bytes.
pub(super) const LONGEST: usize = 4096;

/// How many levels an expression may have: what keeps a walk over it within a thread's stack.
const DEEPEST: usize = 40;

/// How many brackets may be open at once, and the stack that is surely enough to parse them.
const DEEPEST_BRACKETS: usize = 24;
const PARSER_STACK: usize = 16 * 1024 * 1024;

/// What is wrong with an expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ExpressionError {
    #[error("is empty")]
    Empty,
    #[error("is longer than {} bytes: move parts of it into variables", LONGEST)]
    TooLong,
    #[error("is nested too deeply: move parts of it into variables")]
    TooDeep,
    #[error("can't be read")]
    Unreadable,
    /// In the parser's words.
    #[error("{0}")]
    Syntax(String),
    #[error("there are no message types such as {0}")]
    MessageType(String),
    #[error("has a part that is empty")]
    EmptyPart,
    #[error("has an optional part (?), which there is not")]
    Optional,
    #[error("has a groupBy without its parts: list.groupBy(item, key of the item)")]
    GroupBy,
}

/// An expression that compiled.
#[derive(Clone, Debug)]
pub(super) struct Expression {
    /// Where it stands in the plan, as `prepare[0].when`.
    pub field: String,
    tree: IdedExpr,
    /// What it refers to.
    pub references: References,
}

impl Expression {
    /// Compiles the expression that stands at `field`; an error says where in it and what is wrong.
    pub fn compile(field: &str, source: &str) -> Result<Self, ExpressionError> {
        if source.trim().is_empty() {
            return Err(ExpressionError::Empty);
        }
        if source.len() > LONGEST {
            return Err(ExpressionError::TooLong);
        }
        refuse_deep(source)?;
        let mut tree = parse(source)?;
        syntax::make_strict(&mut tree, DEEPEST)?;
        let references = syntax::references(&tree);
        Ok(Self { field: field.to_owned(), tree, references })
    }

    /// What it gives, where its form alone tells.
    pub fn kind(&self) -> Option<Kind> {
        syntax::kind(&self.tree)
    }

    /// Whether it is nothing but a name.
    pub fn as_name(&self) -> Option<&str> {
        match &self.tree.expr {
            Expr::Ident(name) => Some(name),
            _ => None,
        }
    }

    pub fn tree(&self) -> &IdedExpr {
        &self.tree
    }

    pub fn evaluate(&self, names: &dyn Names, steps: &Steps) -> Found {
        evaluate::evaluate(&self.tree, names, steps)
    }
}

/// Parses an expression on a stack of its own: the parser takes more than 100 KiB for each level of brackets.
fn parse(source: &str) -> Result<IdedExpr, ExpressionError> {
    let parsed = std::thread::scope(|threads| {
        let parser = std::thread::Builder::new().stack_size(PARSER_STACK);
        let parser = parser.spawn_scoped(threads, || guarded(|| Parser::new().parse(source)));
        parser.ok().and_then(|parser| parser.join().ok()).flatten()
    });
    parsed.ok_or(ExpressionError::Unreadable)?.map_err(|errors| {
        errors.errors.first().map_or(ExpressionError::Unreadable, |error| {
            let message = error.msg.strip_prefix("Syntax error: ").unwrap_or(&error.msg);
            // All that could have stood there instead helps nobody.
            let message = clean(message.split(" expecting ").next().unwrap_or_default(), 200);
            let message = message.replace("mismatched input '<EOF>'", "it ends too early");
            ExpressionError::Syntax(match error.pos {
                (line, column) if line <= 1 => format!("at column {column}: {message}"),
                (line, column) => format!("at line {line}, column {column}: {message}"),
            })
        })
    })
}

/// Refuses what nests too deeply for the parser's stack, before it sees it. Brackets within texts count too.
fn refuse_deep(source: &str) -> Result<(), ExpressionError> {
    let mut depth = 0_usize;
    for byte in source.bytes() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEEPEST_BRACKETS {
            return Err(ExpressionError::TooDeep);
        }
    }
    Ok(())
}

/// Runs a part of the interpreter. Some odd values make it panic (negating the smallest integer is one); what comes
/// from a plan or a backend must not end the process.
pub(super) fn guarded<T>(run: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(run)).ok()
}

/// A text for people: without control characters, and cut after `longest` letters.
pub(super) fn clean(text: &str, longest: usize) -> String {
    let mut letters =
        text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect::<Vec<_>>().into_iter();
    let mut cleaned: String = letters.by_ref().take(longest).collect();
    if letters.next().is_some() {
        cleaned.push('…');
    }
    cleaned
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use kube_cel::cel::{ExecutionError, Value};

    use super::super::evaluate::Lack;
    use super::super::functions;
    use super::*;

    /// Knows no names.
    struct Nothing;

    impl Names for Nothing {
        fn find(&self, name: &str) -> Found {
            Err(Lack::Error(ExecutionError::undeclared_reference(name)))
        }
    }

    fn evaluate(source: &str) -> Found {
        Expression::compile("test", source).unwrap().evaluate(&Nothing, &Steps::new(1_000_000))
    }

    #[test]
    fn a_field_of_what_is_no_map_is_an_error_and_not_false() {
        assert!(evaluate("!'text'.busy").is_err());
        assert!(evaluate("has([1].busy)").is_err());
        assert!(evaluate("!has('text'.busy)").is_err());
        assert!(evaluate("{'busy': 1}.busy == 1 && has({'busy': 1}.busy)").is_ok_and(|value| value == true.into()));
    }

    #[test]
    fn a_mix_up_of_types_is_an_error_and_not_unequal() {
        for source in ["1 != '1'", "'1' == 1", "1 in ['1', 'a']", "1 in {'1': 2}", "'a' in 'abc'", "true == 'true'"] {
            assert!(evaluate(source).is_err(), "{source}");
        }
        for source in ["1 == 1.0", "2u == 2", "null != 1", "1 in [1.0]", "'1' in {'1': 2}", "!(1 in [])", "[1] == [1]"]
        {
            assert!(evaluate(source).is_ok_and(|value| value == true.into()), "{source}");
        }
    }

    #[test]
    fn odd_expressions_fail_without_a_panic() {
        assert!(evaluate("-(-9223372036854775807 - 1)").is_err());
        assert!(evaluate("1 / 0").is_err());
        assert!(evaluate("'abc'.substring(2, 1)").is_err());
        assert!(evaluate("[1][-1]").is_err());
        assert!(Expression::compile("test", "Name{a: 1}").is_err());
    }

    #[test]
    fn deep_expressions_fit_a_small_stack_or_are_refused() {
        let wrapped = ["(1)", "[1]", "{1:1}", "a[1]", "f(1)", "a.map(x,1)", "a?(1):b"].map(|form| {
            let (open, close) = form.split_once('1').unwrap_or_default();
            (open, close.trim_start_matches(":1"))
        });
        let chained = ["-", "!", "1+", "a.", "a&&", "a||", "1==", "a?b:"].map(|open| (open, ""));
        let trailing = ["[0]", ".f()", "+1", ".a"].map(|close| ("", close));
        let deep: Vec<String> = wrapped
            .into_iter()
            .chain(chained)
            .chain(trailing)
            .flat_map(|(open, close)| {
                [10, 20, 40, 200, 1000].map(|times| format!("{}1{}", open.repeat(times), close.repeat(times)))
            })
            .collect();
        let small = std::thread::Builder::new().stack_size(1024 * 1024);
        let judged = small.spawn(move || {
            let mut compiled = 0;
            for expression in deep.iter().filter_map(|source| Expression::compile("deep", source).ok()) {
                let _ = expression.evaluate(&Nothing, &Steps::new(1_000_000));
                compiled += 1;
            }
            compiled
        });
        assert!(judged.unwrap().join().unwrap() > 20);
    }

    #[test]
    fn functions_are_told_from_names() {
        assert!(functions::exists("size") && functions::exists("math.least") && functions::exists("join"));
        assert!(!functions::exists("sizes") && !functions::exists("voters.size"));
        let references =
            Expression::compile("test", "math.least([a, 1]) + b.filter(c, c.d == e).size()").unwrap().references;
        assert_eq!(references.names.into_iter().collect::<Vec<_>>(), ["a", "b", "e"]);
    }

    #[test]
    fn a_list_is_sorted_by_a_key_of_its_items() {
        let sorted = "[{'id': 1, 'up': true}, {'id': 2, 'up': false}, {'id': 3, 'up': true}].groupBy(s, s.up)";
        assert!(
            evaluate(&format!("{sorted}[true].map(s, s.id) == [1, 3] && {sorted}[false].size() == 1"))
                .is_ok_and(|value| is_true(&value))
        );
        assert!(
            evaluate("!('c' in ['a', 'b'].groupBy(n, n)) && 'a' in ['a'].groupBy(n, n)")
                .is_ok_and(|value| is_true(&value))
        );
        assert!(evaluate("[[1]].groupBy(n, n)").is_err(), "a list is no key");
        for wrong in ["[1].groupBy('n', 1)", "groupBy(n, n)", "[1].groupBy(n)"] {
            assert!(Expression::compile("test", wrong).is_err(), "{wrong}");
        }
        let references = Expression::compile("test", "a.groupBy(b, b.c + d)").unwrap().references;
        assert_eq!(references.names.into_iter().collect::<Vec<_>>(), ["a", "d"]);
    }

    #[test]
    fn nothing_passes_over_work_that_was_cut_off() {
        for source in ["true || [1].all(x, true)", "[1, 2, 3].exists(x, x == 9) || true"] {
            let compiled = Expression::compile("test", source).unwrap();
            let whole = Steps::new(1000);
            assert!(compiled.evaluate(&Nothing, &whole).is_ok_and(|value| is_true(&value)));
            let cut = Steps::new((1000 - whole.left()) / 2);
            assert_eq!(compiled.evaluate(&Nothing, &cut), Err(Lack::Exhausted), "{source}");
        }
    }

    #[test]
    fn functions_that_make_much_of_little_are_counted() {
        for source in [
            "lists.range(9223372036854775807)",
            "'aaaaaaaaaaaaaaaa'.replace('a', 'bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb')",
        ] {
            let compiled = Expression::compile("test", source).unwrap();
            assert_eq!(compiled.evaluate(&Nothing, &Steps::new(500)), Err(Lack::Exhausted), "{source}");
        }
    }

    fn is_true(value: &Value) -> bool {
        *value == Value::Bool(true)
    }
}
