//! Every mistake in a plan is told with its place, all at once.

use castoff::plan::catalogue;
use castoff::plan::{Mode, Parameters};
use castoff::yaml;
use serde_json::json;

use castoff_test_support::plans::builtin;

/// The mistakes of a plan, as `place: message (hint)`.
fn mistakes(text: &str) -> Vec<String> {
    let Err(mistakes) = catalogue::read(text) else { return Vec::new() };
    let hint = |hint: Option<String>| hint.map_or_else(String::new, |hint| format!(" ({hint})"));
    mistakes
        .into_iter()
        .map(|mistake| format!("{}: {}{}", mistake.field, mistake.message, hint(mistake.hint)))
        .collect()
}

#[track_caller]
fn finds(text: &str, expected: &[&str]) {
    let found = mistakes(text);
    for expected in expected {
        assert!(found.iter().any(|mistake| mistake.contains(expected)), "{expected:?} is not in {found:#?}");
    }
    assert_eq!(found.len(), expected.len(), "{found:#?}");
}

#[test]
fn built_in_plans_have_none() {
    for (name, text) in catalogue::SOURCES {
        assert_eq!(mistakes(text), Vec::<String>::new(), "{name}");
    }
    assert_eq!(catalogue::names(), catalogue::SOURCES.map(|(name, _)| name));
}

#[test]
fn names_that_are_not_there() {
    finds(
        r#"
summary: x
params: {pd: {type: string, default: http://pd}, url: {type: string, default: x}}
endpoints: {base: {url: "${params.pdd}"}}
observe:
  stores: {url: "${bsae}/s"}
  each: {forEach: stores.body, as: peer, url: "${base}/${per}"}
variables:
  count: stroes.body.filter(s, s.up).size()
  least: math.least([1, count])
unknown: [{when: url == "", message: "${nothing}"}]
done: cuont == 0 && sizes(stores.body) == 1 && !has(stores.bdy) && stores.leader == 1 && each.code == 200
"#,
        &[
            "endpoints.base.url: there is no parameter pdd (did you mean pd?)",
            "observe.stores.url: there is no bsae in this plan (did you mean base?)",
            "observe.each.url: there is no per in this plan (did you mean peer?)",
            "variables.count: there is no stroes in this plan (did you mean stores?)",
            "unknown[0].when: there is no url in this plan (did you mean params.url?)",
            "unknown[0].message: there is no nothing in this plan",
            "done: there is no cuont in this plan (did you mean count?)",
            "done: there is no function sizes (did you mean size?)",
            "done: an answer has code and body, no leader (did you mean stores.body.leader?)",
            "done: each is a list of answers, one for each item: it has no code",
            "done: an answer has code and body, no bdy",
        ],
    );
}

#[test]
fn names_that_mean_two_things() {
    finds(
        r#"
summary: x
endpoints: {a: {url: http://a}}
observe: {a: {url: http://a}, in: {url: http://a}, list: {forEach: "[1]", as: a, url: http://a}, two: {url: http://a, as: x}}
variables: {pod: "1", a-b: "2", item: "3", loop: "[1].exists(item, item == 1)"}
done: "[1].all(pod, true)"
"#,
        &[
            "observe.a: a is in endpoints already",
            "observe.in: CEL keeps the word in for itself",
            "observe.list.as: a stands for something else",
            "observe.two.as: names an item, but there is no forEach",
            "variables.pod: pod is a name that every plan has",
            "variables.a-b: a name is made of",
            "variables.loop: CEL keeps the word loop for itself",
            "variables.loop: the loop variable item hides",
            "done: the loop variable pod hides",
        ],
    );
}

#[test]
fn reads_of_the_cluster_that_can_not_be() {
    finds(
        r#"
summary: x
params: {s: {type: string, default: app=web}}
observe:
  none: {method: GET}
  both: {url: http://a, pods: {}}
  two: {owner: true, pods: {selector: app=web}}
  sent: {owner: true, forEach: "[1]", as: x, timeout: 1s}
  labels: {pods: {selector: "app=web,tier in a", namespace: ""}}
  given: {pods: {selector: "${params.s},tier", node: "${pod.spec.nodeNam} ${nod}"}}
  set: {owner: true}
variables: {now: "1"}
done: labels.name == "" && set.replica == 1 && given.body.size() == 0
"#,
        &[
            "observe.none: says neither url, nor pods, nor owner",
            "observe.both.url: does not go with pods",
            "observe.two.owner: does not go with pods",
            "observe.sent.forEach: does not go with owner",
            "observe.sent.as: does not go with owner",
            "observe.sent.timeout: does not go with owner",
            "observe.labels.pods.selector: \"tier in a\" is no part of a label selector (as app=web",
            "observe.labels.pods.namespace: is empty",
            "observe.given.pods.node: of a pod's spec there is no nodeNam here",
            "observe.given.pods.node: there is no nod in this plan",
            "variables.now: now is a name that every plan has",
            "done: labels is a list of pods: it has no name (as labels.exists(p, p.name …))",
            "done: an owner has replicas, no replica (did you mean replicas?)",
            "done: given is a list of pods: it has no body",
        ],
    );
}

#[test]
fn a_selector_that_is_none_is_told_before_it_is_used() {
    let given = |selector: &str| serde_json::from_value::<Parameters>(json!({"selector": selector})).unwrap();
    let plan = builtin("neighbours");
    assert!(plan.parameters(&given("app=web,tier in (a,b)")).is_ok());
    let mistakes = plan.parameters(&given("app=web,tier in a")).unwrap_err();
    assert_eq!((mistakes.len(), mistakes[0].field.as_str()), (1, "selector"));
    assert!(mistakes[0].hint.as_ref().is_some_and(|hint| hint.contains("app=web")));
}

#[test]
fn what_refers_to_itself() {
    finds(
        "summary: x\nobserve: {one: {url: 'http://a/${x}'}}\nvariables: {x: y + 1, y: one.code}\ndone: x == 1",
        &["refers to itself: one → x → y → one"],
    );
    finds(
        "summary: x\nvariables: {x: member}\nmember: '[x]'\ndone: x == ''",
        &["refers to itself: member → x → member"],
    );
    let chain: Vec<String> = (1..=14).map(|number| format!("  v{number}: v{} + 1", number - 1)).collect();
    let text = format!("summary: x\nvariables:\n  v0: '1'\n{}\ndone: v14 == 1", chain.join("\n"));
    finds(&text, &["more than 12 names follow"]);
}

#[test]
fn what_is_written_wrongly() {
    finds(
        r#"
summary: ""
params: {n: {type: integer, default: "1"}, s: {type: string, default: 1}, r: {type: string, required: true, default: x}, t: {type: string, default: "${member}"}}
observe:
  one: {url: a/one, method: get, timeout: 4s, ok: [99]}
  two: {url: "http://a/${one", timeout: 1 min, method: DELETE}
blocked: [{when: "1", message: " "}]
prepare:
- {when: "[1]", method: PSOT, url: "http://a", timeout: 61s, background: true, body: {a: ["${"]}}
done: one.code ==
progress: {remaining: "'x'", unit: ""}
removal: {done: "", prepare: [{when: "a'", method: POST, url: http://a}]}
"#,
        &[
            "summary: is empty",
            "params.n.default: is a text, where a whole number is needed",
            "params.s.default: is a number, where a text is needed (write \"1\", in quotes)",
            "params.r.default: is never used",
            "params.t.default: refers to member",
            "observe.one.method: \"get\" is none of GET, HEAD, POST (write GET)",
            "observe.one.url: begins neither with",
            "observe.one.timeout: is longer than 3 s",
            "observe.one.ok: 99 is no HTTP status",
            "observe.two.url: has a ${ without its }",
            "observe.two.timeout: \"1 min\" is no time (as 1s or 500ms)",
            "observe.two.method: \"DELETE\" is none of",
            "blocked[0].when: gives a number, where true or false is needed",
            "blocked[0].message: is empty",
            "prepare[0].when: gives a list, where true or false is needed",
            "prepare[0].method: \"PSOT\" is none of",
            "prepare[0].timeout: is longer than 60 s",
            "prepare[0].body.a[0]: has a ${ without its }",
            "done: at column 12: ",
            "progress.unit: is empty",
            "progress.remaining: gives a text, where a number is needed",
            "removal.done: is empty",
            "removal.prepare[0].when: ",
        ],
    );
}

#[test]
fn unknown_words_come_with_their_line_and_the_word_that_was_meant() {
    for (text, line, word, hint) in [
        ("summary: x\nobserv: {}\ndone: 'true'\n", 2, "observ", "observe"),
        ("summary: x\ndone: 'true'\nremoval:\n  doen: 'true'\n", 4, "doen", "done"),
        ("summary: x\ndone: 'true'\nremoval: asrestart\n", 3, "asrestart", "asRestart"),
        ("summary: x\ndone: 'true'\nobserve:\n  a: {url: http://a, ok: anny}\n", 4, "anny", "any"),
        ("summary: x\ndone: 'true'\nobserve:\n  a: {url: http://a, parse: jsn}\n", 4, "jsn", "json"),
    ] {
        let error = yaml::parse::<castoff::plan::spec::PlanSpec>(text).unwrap_err();
        assert!(error.message.contains(word), "{error:?}");
        assert_eq!(error.line, Some(line), "{error:?}");
        assert_eq!(error.hint, Some(format!("did you mean {hint}?")), "{error:?}");
    }
}

#[test]
fn parameters_are_checked_and_completed() {
    let plan = builtin("patroni");
    let given = |value| serde_json::from_value::<Parameters>(value).unwrap();
    let complete = plan.parameters(&given(json!({"minOthers": 2}))).unwrap();
    assert_eq!((&complete["minOthers"], &complete["maxLagBytes"]), (&json!(2), &json!(1_048_576)));
    let wrong = plan.parameters(&given(json!({"minOther": 2, "maxLagBytes": "5", "url": "${member}"}))).unwrap_err();
    let told: Vec<_> = wrong.iter().map(|mistake| (mistake.field.as_str(), mistake.hint.as_deref())).collect();
    assert_eq!(told, [("maxLagBytes", None), ("minOther", Some("did you mean minOthers?")), ("url", None)]);
    let missing = builtin("tikv").parameters(&Parameters::new()).unwrap_err();
    assert_eq!(missing[0].field, "pd");
}

#[test]
fn plans_that_differ_have_other_hashes() {
    let text = "summary: x\ndone: 'true'\n";
    let (plan, same) = (catalogue::read(text).unwrap(), catalogue::read(&format!("# comment\n{text}")).unwrap());
    assert_eq!((plan.hash().len(), plan.hash()), (16, same.hash()));
    assert_ne!(plan.hash(), catalogue::read(&text.replace("true", "false")).unwrap().hash());
}

#[test]
fn tells_whether_there_is_anything_to_restore() {
    let restores = |name: &str, mode| builtin(name).restores(mode);
    assert!(restores("tikv", Mode::Restart) && restores("tikv", Mode::Removal) && restores("http-hook", Mode::Removal));
    assert!(!restores("etcd", Mode::Restart) && !restores("etcd", Mode::Removal));
}

#[test]
fn what_a_mistake_cites_of_a_plan_is_fit_for_a_terminal() {
    for odd in ["\u{0}", "\u{1b}[2J", "\t", "\u{202e}"] {
        let spec =
            json!({"summary": "x", "blocked": [{"when": "true", "message": format!("${{a{odd}p}}")}], "done": "true"});
        let found = castoff::plan::compile(&serde_json::from_value(spec).unwrap()).unwrap_err();
        assert!(found.iter().all(|mistake| !mistake.message.contains(odd)), "{found:?}");
    }
}

#[test]
fn lists_that_are_searched_for_each_item_of_another() {
    let plan = |variable: &str| {
        format!(
            "summary: x\nparams: {{wanted: {{type: string, default: a}}}}\nobserve:\n  one: {{url: http://a/one}}\n  two: {{url: http://a/two}}\n  \
             each: {{forEach: one.body, url: http://a/each}}\nvariables:\n  names: one.body.map(m, m.name)\n  sorted: names.groupBy(n, n)\n  tried: {variable}\n\
             done: tried.size() == 0"
        )
    };
    for wrong in [
        "two.body.filter(t, t.name in names)",
        "two.body.filter(t, t.name in names.groupBy(n, n))",
        "two.body.filter(t, names.exists(n, n == t.name))",
        "two.body.map(t, t.parts.filter(p, one.body.all(m, m.name != p)))",
        "two.body.groupBy(t, names.filter(n, n == t.name).size())",
        "two.body.filter(t, one.body.map(m, m.id).exists(i, i == t.id))",
    ] {
        finds(&plan(wrong), &["variables.tried: searches a list for each item of another"]);
    }
    for right in [
        "two.body.filter(t, t.parts.exists(p, p.up))",
        "two.body.filter(t, t.name in sorted)",
        "two.body.filter(t, t.state in ['Up', 'Down'])",
        "two.body.filter(t, params.wanted.split(',').exists(w, w == t.name))",
        "two.body.filter(t, each.exists(e, e.body.name == t.name))",
    ] {
        assert_eq!(mistakes(&plan(right)), Vec::<String>::new(), "{right}");
    }
}
