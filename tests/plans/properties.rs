//! Whatever is written in a plan, or answered by a backend, nothing panics.

use castoff::plan::answer::read_answer;
use castoff::plan::spec::{Accept, AnyWord, ParameterType, Parse};
use castoff::plan::{BackendRead, Mode, Request, Task, catalogue};
use castoff::yaml;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::{Value, json};

use castoff_test_support::plans::{Backend, Case, builtin, pod};

/// Pieces of CEL, joined at random: nearer to programs than random letters are.
const PIECES: [&str; 40] = [
    "a",
    "pod",
    "1",
    "-",
    "9223372036854775807",
    "'t'",
    "\"",
    "'",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ":",
    ",",
    ".",
    "?",
    "!",
    "&&",
    "||",
    "==",
    "<",
    "in",
    "+",
    "/",
    "%",
    ".size()",
    ".filter(x, ",
    ".map(x, ",
    "has(",
    "null",
    "true",
    "1.5",
    "7u",
    "r'",
    "${",
    "$",
    " ",
    "é",
];

fn cel() -> impl Strategy<Value = String> {
    vec(select(PIECES.to_vec()), 0..24).prop_map(|pieces| pieces.concat())
}

fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map("(code|body|state|items|[a-c])", inner, 0..4).prop_map(|map| json!(map)),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn expressions_and_templates_never_panic(source in cel(), value in anything()) {
        let spec = json!({
            "summary": "x",
            "observe": {"a": {"url": "http://a"}},
            "blocked": [{"when": "true", "message": source}],
            "done": source,
        });
        let spec = serde_json::from_value(spec).unwrap();
        let _ = castoff::plan::compile(&spec);
        let spec = json!({"summary": "x", "observe": {"a": {"url": "http://a"}}, "done": source});
        if let Ok(plan) = castoff::plan::compile(&serde_json::from_value(spec).unwrap()) {
            let case = Case {
                plan: &plan,
                pod: pod("a-0"),
                parameters: json!({}),
                member: None,
                mode: Mode::Restart,
                task: Task::Prepare,
            };
            let _ = case.run(&Backend::default().json("GET http://a", 200, &value));
        }
    }

    #[test]
    fn mutated_plans_never_panic(
        (name, text) in select(catalogue::SOURCES.to_vec()),
        cuts in vec((any::<Index>(), any::<Index>(), cel()), 1..4),
    ) {
        let mut letters: Vec<char> = text.chars().collect();
        for (at, length, piece) in cuts {
            let at = at.index(letters.len().max(1)).min(letters.len());
            let end = (at + length.index(12)).min(letters.len());
            letters.splice(at..end, piece.chars());
        }
        let text: String = letters.into_iter().collect();
        if let Err(mistakes) = catalogue::read(&text) {
            prop_assert!(!mistakes.is_empty(), "{}", name);
            for mistake in mistakes {
                let _ = yaml::line_of(&text, &mistake.field);
            }
        }
    }

    #[test]
    fn built_in_plans_never_panic_on_any_answer(name in select(catalogue::names()), body in anything(), code in 100_u16..600) {
        let plan = builtin(name);
        let value = |name: &str, kind: ParameterType| match (kind, name) {
            (ParameterType::Integer, _) => json!(8080),
            (ParameterType::Boolean, _) => json!(true),
            (ParameterType::String, "pd" | "url" | "flower") => json!("http://a"),
            (ParameterType::String, "selector" | "sentinels") => json!("app=a"),
            (ParameterType::String, _) => json!("a.b"),
        };
        let required = plan.spec().params.iter().filter(|(_, parameter)| parameter.required);
        let mut parameters: Value =
            required.map(|(name, parameter)| (name.clone(), value(name, parameter.kind))).collect();
        if plan.spec().params.contains_key("json") {
            parameters["json"] = json!(code % 2 == 0);
        }
        let mut pod = pod("a-0");
        pod["metadata"]["labels"] = json!({"app": "a"});
        let backend = Backend::default().any(code, &body).pods(std::slice::from_ref(&pod));
        for (task, mode) in [(Task::Prepare, Mode::Restart), (Task::Restore, Mode::Removal)] {
            let _ = Case { plan, pod: pod.clone(), parameters: parameters.clone(), member: Some("1"), mode, task }.run(&backend);
        }
    }

    #[test]
    fn answers_never_panic(bytes in vec(any::<u8>(), 0..64), lines in "[a-z{}=\",0-9. \\\\\n#]{0,64}", code in 0_u16..700) {
        for (parse, ok) in [(Parse::Json, Accept::None), (Parse::Prometheus, Accept::Any(AnyWord::Any)), (Parse::Text, Accept::Codes(vec![404]))] {
            let request = Request {
                method: "GET".to_owned(),
                url: "http://a".to_owned(),
                body: None,
                commands: None,
                ok,
                timeout: std::time::Duration::from_secs(1),
                tls_secret: String::new(),
                auth_secret: String::new(),
            };
            let read = BackendRead { request, parse };
            let _ = read_answer(&read, code, &bytes);
            let _ = read_answer(&read, code, lines.as_bytes());
        }
    }

    #[test]
    fn yaml_never_panics(text in "[a-c:\\-\\[\\]{}\"'&*|> \n#]{0,80}", field in "[a-c.\\[\\]0-9]{0,12}") {
        let _ = yaml::line_of(&text, &field);
        for document in yaml::documents(&text) {
            let _ = yaml::parse::<Value>(document.text);
        }
    }
}
