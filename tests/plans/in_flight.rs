//! The plan `in-flight`: a figure of the pod's own metrics must be 0.

use castoff::plan::{Mode, Task, Verdict, catalogue};
use serde_json::{Value, json};

use castoff_test_support::plans::{Backend, Case, Outcome, builtin, pod};

const PAGE: &str = "GET http://10.0.0.7:8080/metrics";

fn run(parameters: Value, backend: &Backend) -> Outcome {
    let (member, mode, task) = (None, Mode::Restart, Task::Prepare);
    Case { plan: builtin("in-flight"), pod: pod("web-0"), parameters, member, mode, task }.run(backend)
}

fn text(parameters: Value, page: &str) -> Outcome {
    run(parameters, &Backend::default().text(PAGE, 200, page))
}

fn document(figure: &str, page: &Value) -> Outcome {
    run(json!({"figure": figure, "json": true}), &Backend::default().json(PAGE, 200, page))
}

#[test]
fn all_samples_of_the_metric_must_be_0() {
    let page =
        |one, other| format!("# TYPE jobs gauge\njobs{{queue=\"a\"}} {one}\njobs{{queue=\"b\"}} {other}\nother 7\n");
    let busy = text(json!({"figure": "jobs"}), &page("2", "0.5")).round;
    assert_eq!(busy.verdict, Verdict::Waiting);
    assert_eq!(busy.progress.map(|left| (left.remaining, left.unit)), Some((3, "in flight".to_owned())));
    assert_eq!(text(json!({"figure": "jobs"}), &page("0", "0.0")).round.verdict, Verdict::Done);
}

#[test]
fn labels_choose_the_samples() {
    let page = "jobs{queue=\"a\",zone=\"1\"} 0\njobs{queue=\"a\",zone=\"2\"} 4\njobs{queue=\"b\",zone=\"1\"} 5\n";
    for (labels, verdict) in [
        ("queue=a", Verdict::Waiting),
        ("queue=a,zone=1", Verdict::Done),
        ("zone=1, queue=a", Verdict::Done),
        ("", Verdict::Waiting),
    ] {
        assert_eq!(text(json!({"figure": "jobs", "labels": labels}), page).round.verdict, verdict, "{labels}");
    }
}

#[test]
fn a_figure_that_is_not_there_or_is_no_number_is_not_0() {
    let missing = text(json!({"figure": "jobs", "labels": "queue=c"}), "jobs{queue=\"a\"} 0\n").round.verdict;
    let message = "the pod's metrics have no sample of jobs{queue=c}".to_owned();
    assert_eq!(missing, Verdict::Unknown { message });
    for page in ["jobs NaN\n", "<html>\n"] {
        let verdict = text(json!({"figure": "jobs"}), page).round.verdict;
        assert!(matches!(verdict, Verdict::Failed { .. }), "{page}: {verdict:?}");
    }
    for page in [json!({}), json!({"jobs": null}), json!({"jobs": "0"}), json!({"jobs": [0]}), json!([]), json!(null)] {
        let verdict = document("jobs", &page).round.verdict;
        assert!(!matches!(verdict, Verdict::Done | Verdict::Act(_)), "{page}: {verdict:?}");
    }
}

#[test]
fn a_field_of_a_json_page_may_lie_deep() {
    for (figure, page) in [
        ("busy", json!({"busy": 0})),
        ("jobs.active", json!({"jobs": {"active": 0, "waiting": 9}})),
        ("a.b.c", json!({"a": {"b": {"c": 0}}})),
    ] {
        let outcome = document(figure, &page);
        assert_eq!(
            (outcome.round.verdict, outcome.waves),
            (Verdict::Done, vec![vec!["object".to_owned()]]),
            "{figure}"
        );
    }
    assert_eq!(document("jobs.active", &json!({"jobs": {"active": 2}})).round.progress.unwrap().remaining, 2);
}

#[test]
fn how_many_rounds_running_is_a_parameter_within_bounds() {
    let plan = builtin("in-flight");
    let of = |parameters: Value| plan.parameters(&serde_json::from_value(parameters).unwrap());
    for (rounds, number) in [(json!(null), 3), (json!(2), 2), (json!(100), 100)] {
        let mut given = json!({"figure": "jobs"});
        if !rounds.is_null() {
            given["rounds"] = rounds;
        }
        assert_eq!(plan.spec().rounds.number(&of(given).unwrap()), number);
    }
    for wrong in [1, 0, -1, 101] {
        let mistakes = of(json!({"figure": "jobs", "rounds": wrong})).unwrap_err();
        assert_eq!(mistakes[0].field, "rounds");
        assert_eq!(mistakes[0].message, "is a number of rounds: from 2 to 100");
    }
}

#[test]
fn rounds_that_mean_nothing_are_mistakes_of_the_plan() {
    let mistake = |rounds: &str, params: &str| {
        let text = format!("summary: x\nparams: {params}\ndone: 'true'\nrounds: {rounds}\n");
        match catalogue::read(&text) {
            Ok(_) => String::new(),
            Err(mistakes) => {
                let hint = mistakes[0].hint.as_deref().unwrap_or_default();
                format!("{}: {} {hint}", mistakes[0].field, mistakes[0].message)
            }
        }
    };
    let integer = "{quiet: {type: integer, default: 4}}";
    assert_eq!(mistake("5", "{}"), "");
    assert_eq!(mistake("quiet", integer), "");
    for (rounds, params, told) in [
        ("1", "{}", "rounds: is a number of rounds: from 2 to 100"),
        ("quite", integer, "rounds: there is no parameter quite did you mean quiet?"),
        ("quiet", "{quiet: {type: string, default: x}}", "rounds: the parameter quiet is no integer"),
        ("quiet", "{quiet: {type: integer}}", "rounds: the parameter quiet may be missing"),
        ("quiet", "{quiet: {type: integer, default: 1}}", "params.quiet.default: is a number of rounds"),
        ("[2]", "{}", "rounds: line 4: "),
    ] {
        let found = mistake(rounds, params);
        assert!(found.starts_with(told), "{rounds}, {params}: {found}");
    }
}
