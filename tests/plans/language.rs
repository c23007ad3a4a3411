//! What the plan language promises, on small plans.

use castoff::plan::{
    Inputs, Mode, Next, Observation, Observations, Parameters, Plan, ReadKey, Task, Verdict, catalogue,
};
use serde_json::json;

use castoff_test_support::plans::{Backend, Case, NOW, builtin, pod, shown};

fn plan(text: &str) -> Plan {
    catalogue::read(text).unwrap().named("test")
}

fn case(plan: &Plan) -> Case<'_> {
    Case { plan, pod: pod("web-0"), parameters: json!({}), member: None, mode: Mode::Restart, task: Task::Prepare }
}

const ONE: &str = "GET http://a/one";

#[test]
fn values_in_a_url_are_escaped_and_its_beginning_is_not() {
    let plan = plan(
        r#"
summary: x
params: {p: {type: string, default: "a/b?c d&é"}}
endpoints: {base: {url: "http://${pod.status.podIP}:80/base/"}}
prepare:
- {when: "true", method: POST, url: "${base}/x/${params.p}?q=${'}' + \"{\"}&r=$${x}", body: {a: ["${1 + 1}", "n ${1 + 1}"]}}
done: "false"
"#,
    );
    assert_eq!(
        case(&plan).act(&Backend::default()),
        r#"POST http://10.0.0.7:80/base/x/a%2Fb%3Fc%20d%26%C3%A9?q=%7D%7B&r=${x} {"a":[2,"n 2"]}"#
    );
}

#[test]
fn a_value_can_lead_a_path_nowhere_else() {
    for value in ["..", ".", ""] {
        let text = format!(
            "summary: x\nprepare: [{{when: 'true', method: DELETE, url: \"http://a/x/${{'{value}'}}\"}}]\ndone: 'false'"
        );
        let verdict = case(&plan(&text)).verdict(&Backend::default());
        assert!(matches!(verdict, Verdict::Failed { message, .. } if message.contains("no usable URL")), "{value}");
    }
}

#[test]
fn a_url_from_a_backend_holds_no_blanks_or_line_breaks() {
    let plan =
        plan("summary: x\nobserve: {one: {url: http://a/one}, two: {url: '${one.body}/x'}}\ndone: two.code == 200");
    for address in ["http://b\r\nHost: c", "http://b c", "ftp://b", "http://user@b", "/x", "http://"] {
        let verdict = case(&plan).verdict(&Backend::default().json(ONE, 200, &json!(address)));
        assert!(matches!(verdict, Verdict::Failed { .. }), "{address}: {verdict:?}");
    }
    let backend = Backend::default().json(ONE, 200, &json!("http://b")).json("GET http://b/x", 200, &json!(1));
    assert_eq!(case(&plan).verdict(&backend), Verdict::Done);
}

#[test]
fn errors_are_never_done() {
    for done in
        ["!one.body.busy", "one.body.x == 1", "one.body", "1 / 0 == 0", "one.body.items[3] == 1", "!has(one.body.x)"]
    {
        let plan = plan(&format!("summary: x\nobserve: {{one: {{url: http://a/one}}}}\ndone: '{done}'"));
        for body in [json!("text"), json!(null), json!(1), json!([])] {
            let verdict = case(&plan).verdict(&Backend::default().json(ONE, 200, &body));
            let list_has_no_x = done.starts_with("!has") && body.is_array();
            if let Verdict::Failed { message, .. } = &verdict {
                assert!(message.starts_with("done of plan test "), "{message}");
            } else {
                assert!(list_has_no_x, "{done} on {body}: {verdict:?}");
            }
        }
    }
}

#[test]
fn messages_are_constant_and_details_hold_no_control_characters() {
    let plan = plan("summary: x\nobserve: {one: {url: http://a/one}}\ndone: one.body.x == 1");
    let verdict = case(&plan).verdict(&Backend::default().text(ONE, 503, "\u{1b}[31mred\n\u{7}"));
    let Verdict::Failed { message, detail, .. } = verdict else { panic!("{verdict:?}") };
    assert_eq!(message, "GET http://a/one answers 503");
    assert!(!detail.chars().any(char::is_control), "{detail:?}");
    let silent = case(&plan).verdict(&Backend::default());
    assert!(matches!(silent, Verdict::Failed { message, .. } if message == "GET http://a/one does not answer"));
}

#[test]
fn a_failed_read_that_nobody_asks_for_spoils_nothing() {
    let plan = plan(
        "summary: x\nobserve: {one: {url: http://a/one}, two: {url: http://a/two}}\ndone: one.body.ok && two.body.ok",
    );
    let backend = Backend::default().json(ONE, 200, &json!({"ok": false}));
    assert_eq!(case(&plan).verdict(&backend), Verdict::Waiting);
}

#[test]
fn progress_that_fails_is_absent() {
    let plan = plan(
        "summary: x\nobserve: {one: {url: http://a/one}}\nblocked: [{when: 'true', message: 'no ${1}'}]\ndone: 'true'\nprogress: {remaining: one.body.left, unit: things}",
    );
    let outcome = case(&plan).run(&Backend::default());
    assert_eq!(outcome.round.verdict, Verdict::Blocked { message: "no 1".to_owned() });
    assert_eq!(outcome.round.progress, None);
}

#[test]
fn nobody_at_the_backend_is_let_go_only_when_the_backend_is_believed() {
    let text = "summary: x\nobserve: {one: {url: http://a/one}}\nmember: one.body.names\nabsent: one.body.names == []\n\
                unknown: [{when: one.body.starting, message: it starts}, {when: member == 'x', message: y}]\ndone: 'false'";
    let plan = plan(text);
    let verdict = |body| case(&plan).verdict(&Backend::default().json(ONE, 200, &body));
    assert_eq!(verdict(json!({"names": [], "starting": false})), Verdict::Done);
    assert!(matches!(verdict(json!({"names": [], "starting": true})), Verdict::Unknown { .. }));
    assert!(matches!(verdict(json!({"names": []})), Verdict::Failed { .. }));
    assert!(
        matches!(verdict(json!({"names": ["a", "b"], "starting": false})), Verdict::Failed { message, .. } if message.contains("2 names"))
    );
    assert_eq!(verdict(json!({"names": ["a"], "starting": false})), Verdict::Waiting);
}

#[test]
fn reads_once_for_each_item_and_for_64_at_most() {
    let plan = plan(
        "summary: x\nobserve:\n  one: {url: http://a/one}\n  each: {forEach: one.body, as: id, url: 'http://a/${id}', ok: any}\n\
         done: 'each.all(e, e.code == 200 && e.body == e.item)'",
    );
    let two = Backend::default().json(ONE, 200, &json!([1, 2])).json("GET http://a/1", 200, &json!(1));
    assert_eq!(case(&plan).verdict(&two), Verdict::Waiting);
    let outcome = case(&plan).run(&two.json("GET http://a/2", 200, &json!(2)));
    assert_eq!(outcome.round.verdict, Verdict::Done);
    assert_eq!(outcome.waves, [vec!["one".to_owned()], vec!["each".to_owned(), "each".to_owned()]]);
    assert_eq!(case(&plan).verdict(&Backend::default().json(ONE, 200, &json!([]))), Verdict::Done);
    let many: Vec<u32> = (0..65).collect();
    let verdict = case(&plan).verdict(&Backend::default().json(ONE, 200, &json!(many)));
    assert!(matches!(verdict, Verdict::Failed { message, .. } if message.contains("too many items")));
}

#[test]
fn a_pod_without_an_address_fails_to_prepare_and_has_nothing_to_restore() {
    let plan = builtin("http-hook");
    let mut gone = pod("web-0");
    gone["status"] = json!({"phase": "Running"});
    let prepare = Case { pod: gone.clone(), ..case(plan) }.verdict(&Backend::default());
    assert!(matches!(prepare, Verdict::Failed { message, .. } if message.contains("no address")));
    let restore = Case { pod: gone, task: Task::Restore, ..case(plan) }.verdict(&Backend::default());
    assert_eq!(restore, Verdict::Done);
}

#[test]
fn a_pod_that_lost_its_address_meanwhile_is_no_failure_of_a_restore() {
    let plan = builtin("http-hook");
    let (pod, parameters) = (pod("web-0"), plan.parameters(&Parameters::new()).unwrap());
    let key = ReadKey { name: "hook".to_owned(), item: None };
    let seen: Observations = [(key, Observation::PodGone)].into();
    let verdict = |task| {
        let inputs = Inputs { pod: &pod, parameters: &parameters, member: None, mode: Mode::Restart, task, now: NOW };
        match plan.next(&inputs, &seen) {
            Next::Round(round) => round.verdict,
            Next::Read(reads) => panic!("{reads:?}"),
        }
    };
    assert!(matches!(verdict(Task::Prepare), Verdict::Failed { message, .. } if message.contains("no address")));
    assert_eq!(verdict(Task::Restore), Verdict::Done);
}

#[test]
fn addresses_of_ipv6_stand_in_brackets() {
    let direct = plan(
        "summary: x\nprepare: [{when: 'true', method: POST, url: 'http://${pod.status.podIP}:1/x'}]\ndone: 'true'",
    );
    for (plan, url) in [
        (&direct, "POST http://[fd00::7]:1/x"),
        (builtin("http-hook"), "GET http://[fd00::7]:8080/prestop"),
        (builtin("patroni"), "GET http://[fd00::7]:8008/cluster"),
    ] {
        let mut pod = pod("web-0");
        pod["status"]["podIP"] = json!("fd00::7");
        match (Case { pod, ..case(plan) }).verdict(&Backend::default()) {
            Verdict::Act(act) => assert_eq!(shown(&act), url),
            Verdict::Failed { message, .. } => assert_eq!(message, format!("{url} does not answer")),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn variables_that_follow_one_from_another_take_no_longer_for_it() {
    // Without a memory these would be 30 to the power of 10 evaluations.
    let refer = |name: usize| vec![format!("v{name}"); 30].join(" || ");
    let chain: Vec<String> = (1..=10).map(|number| format!("  v{number}: {}", refer(number - 1))).collect();
    let text = format!(
        "summary: x\nobserve: {{one: {{url: http://a/one}}}}\nvariables:\n  v0: one.body\n{}\ndone: v10",
        chain.join("\n")
    );
    let plan = plan(&text);
    let answering = |body| case(&plan).verdict(&Backend::default().json(ONE, 200, &body));
    assert_eq!(answering(json!(false)), Verdict::Waiting);
    assert_eq!(answering(json!(true)), Verdict::Done);
    assert!(matches!(answering(json!(1)), Verdict::Failed { .. }));
}

#[test]
fn the_longest_chain_of_the_deepest_expressions_fits_a_threads_stack() {
    let added = " + 1".repeat(38);
    let chain: Vec<String> = (1..=10).map(|number| format!("  v{number}: v{}{added}", number - 1)).collect();
    let text = format!(
        "summary: x\nobserve: {{one: {{url: http://a/one}}}}\nvariables:\n  v0: one.body{added}\n{}\ndone: v10 > 0",
        chain.join("\n")
    );
    let round = move || case(&plan(&text)).verdict(&Backend::default().json(ONE, 200, &json!(1)));
    let small = std::thread::Builder::new().stack_size(2 * 1024 * 1024).spawn(round);
    assert_eq!(small.unwrap().join().unwrap(), Verdict::Done);
}

#[test]
fn only_what_bears_our_mark_is_restored() {
    let plan = plan(
        "summary: x\nobserve: {one: {url: http://a/one}}\nours: one.body.by == 'castoff'\ndone: one.body.off\n\
         restore: [{when: one.body.off, method: DELETE, url: http://a/one}]",
    );
    let run = |by: &str, task| {
        let backend = Backend::default().json(ONE, 200, &json!({"off": true, "by": by}));
        Case { task, ..case(&plan) }.run(&backend).round
    };
    assert!(matches!(run("castoff", Task::Restore).verdict, Verdict::Act(_)));
    assert_eq!(run("bob", Task::Restore).verdict, Verdict::Done);
    assert_eq!(run("bob", Task::Prepare).ours, Some(false));
}

#[test]
fn removal_follows_its_own_words() {
    let deny = plan("summary: x\nremoval: Deny\ndone: 'true'");
    let as_restart = plan("summary: x\nremoval: asRestart\ndone: '!removal'");
    let own = plan("summary: x\ndone: 'false'\nremoval: {done: removal}");
    let verdict = |plan| Case { mode: Mode::Removal, ..case(plan) }.verdict(&Backend::default());
    assert!(matches!(verdict(&deny), Verdict::Blocked { .. }));
    assert_eq!(case(&deny).verdict(&Backend::default()), Verdict::Done);
    assert_eq!(verdict(&as_restart), Verdict::Waiting);
    assert_eq!(verdict(&own), Verdict::Done);
}

#[test]
fn a_body_that_is_too_large_is_a_failure() {
    let plan = plan("summary: x\nobserve: {one: {url: http://a/one}}\ndone: one.code == 200");
    let verdict = |count: usize| case(&plan).verdict(&Backend::default().json(ONE, 200, &json!(vec![0; count])));
    assert_eq!(verdict(200_000), Verdict::Done);
    assert!(matches!(verdict(300_000), Verdict::Failed { message, .. } if message.contains("more than can be read")));
}

#[test]
fn prometheus_samples_and_texts_are_values() {
    let plan = plan(
        "summary: x\nobserve: {m: {url: http://a/m, parse: prometheus}, t: {url: http://a/t, parse: text}}\n\
         done: \"m.body.filter(s, s.name == 'busy' && s.labels.k == 'v').all(s, s.value == 0) && t.body.contains('ok')\"",
    );
    let backend = Backend::default().text("GET http://a/t", 200, "all ok");
    let metrics = |text| backend.clone().text("GET http://a/m", 200, text);
    assert_eq!(case(&plan).verdict(&metrics("busy{k=\"v\"} 0.0\nbusy{k=\"w\"} 1\n")), Verdict::Done);
    assert_eq!(case(&plan).verdict(&metrics("busy{k=\"v\"} 0.5\n")), Verdict::Waiting);
    assert!(matches!(case(&plan).verdict(&metrics("<html>")), Verdict::Failed { .. }));
}
