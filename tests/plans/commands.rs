//! Redis commands in plans: mistakes, and what is sent.

use castoff::plan::catalogue;

fn mistakes(text: &str) -> Vec<String> {
    let mistakes = catalogue::read(text).unwrap_err();
    mistakes.iter().map(|m| format!("{}: {}", m.field, m.message)).collect()
}

/// The mistakes of a plan with this read.
fn of_read(read: &str) -> Vec<String> {
    mistakes(&format!(
        "summary: x\nparams: {{p: {{type: string, default: \"redis://a\"}}}}\nendpoints: {{r: {{url: \"redis://a:6379\"}}, \
         h: {{url: \"http://a\"}}, q: {{url: \"${{params.p}}\"}}}}\nobserve: {{one: {read}}}\ndone: one.code == 200\n"
    ))
}

#[test]
fn every_builtin_plan_compiles() {
    for (name, text) in catalogue::SOURCES {
        assert_eq!(catalogue::read(text).map(|_| ()), Ok(()), "{name}");
    }
}

#[test]
fn what_does_not_go_together_is_told_with_its_place() {
    for (read, expected) in [
        (r#"{url: "${h}/x", command: [PING]}"#, "observe.one.command: goes to Redis alone"),
        (r#"{url: "http://a", commands: [[PING]]}"#, "observe.one.commands: goes to Redis alone"),
        (r#"{url: "${r}"}"#, "observe.one: says no command, and its URL is that of a Redis server"),
        (r#"{url: "${q}", method: POST}"#, "observe.one: says no command, and its URL is that of a Redis server"),
        (r#"{url: "${r}", command: [PING], method: GET}"#, "observe.one.method: does not go with command"),
        (r#"{url: "${r}", commands: [[PING]], body: {}}"#, "observe.one.body: does not go with commands"),
        (r#"{url: "${r}", command: [PING], parse: text}"#, "observe.one.parse: does not go with command"),
        (r#"{url: "${r}", command: [PING], commands: [[PING]]}"#, "observe.one.commands: does not go with command"),
        (r#"{url: "${r}", command: []}"#, "observe.one.command: is empty"),
        (r#"{url: "${r}", commands: []}"#, "observe.one.commands: is empty"),
        (r#"{url: "${r}", commands: [[PING], []]}"#, "observe.one.commands[1]: is empty"),
        (
            r#"{url: "${r}", command: ["${params.p}"]}"#,
            r#"observe.one.command[0]: "${params.p}" is no name of a command"#,
        ),
        (r#"{url: "${r}", command: [auth, a, b]}"#, "observe.one.command[0]: Castoff says AUTH itself"),
        (r#"{url: "${r}", command: [BLPOP, a, "0"]}"#, "observe.one.command[0]: BLPOP waits or listens"),
        (r#"{url: "${r}", command: [GET, "${nobody}"]}"#, "observe.one.command[1]: there is no nobody in this plan"),
        (r#"{url: "${r}", command: [PING], ok: [404]}"#, "observe.one.ok: an error of a Redis server has the code 500"),
        (r#"{url: "${r}", command: [GET, {a: b}]}"#, "observe.one.command[1]"),
    ] {
        let found = of_read(read);
        assert!(found.iter().any(|told| told.starts_with(expected)), "{read}: {found:?}");
    }
}

#[test]
fn an_act_says_a_method_or_a_command() {
    let act = |act: &str| mistakes(&format!("summary: x\nprepare: [{act}]\ndone: 'true'\n"));
    assert!(act(r#"{when: 'true', url: "http://a"}"#)[0].starts_with("prepare[0].method: "));
    assert_eq!(act(r#"{when: 'true', url: "http://a", command: [PING]}"#).len(), 1);
    let found = act(r#"{when: 'true', url: "redis://a", method: POST, command: [PING]}"#);
    assert_eq!(found, ["prepare[0].method: does not go with command"]);
}
