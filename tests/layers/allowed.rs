//! What may pass a limit all the same, each with the reason. What is on these lists and no longer needs it fails, too.

/// A file, or a function or test in a file, that may be longer than others.
pub const LONG: [(&str, &str); 10] = [
    ("src/cli/prepare.rs: wait", "to be split: waiting, and telling how far it is"),
    ("src/gate/mod.rs", "to be split: what answers a question, and what keeps tries"),
    ("src/kubernetes/crds.rs: drains", "to be split by the parts of the definition"),
    ("src/kubernetes/registration/keep.rs", "to be split: what is wanted, and how it is kept"),
    ("src/lifecycle/drain.rs", "to be split: a drain's spec, and its status"),
    ("src/pod.rs", "to be split: a pod, and what was seen around it"),
    (
        "tests/lifecycle/promises.rs: a_backend_that_fails_from_the_start_is_called_stalled_while_the_departure_waits_in_the_queue",
        "to be renamed",
    ),
    (
        "tests/lifecycle/promises.rs: a_pod_that_its_owner_keeps_after_all_is_given_up_at_once_but_not_one_that_somebody_else_asked_for",
        "to be renamed",
    ),
    (
        "tests/lifecycle/promises.rs: a_step_is_done_only_once_it_was_seen_so_on_as_many_rounds_running_as_its_plan_wants",
        "to be renamed",
    ),
    (
        "tests/lifecycle/promises.rs: an_allow_that_is_not_carried_out_is_prepared_again_and_wakes_once_more_the_first_time",
        "to be renamed",
    ),
];

/// Files that may need each other, and why. A circle among fewer of them is fine, too.
pub const CIRCLES: [(&[&str], &str); 11] = [
    (
        &["app/assemble.rs", "app/cluster/mod.rs", "app/mod.rs", "app/standalone.rs"],
        "the root of the room holds what both ways of putting the guard together share, and chooses between them",
    ),
    (
        &[
            "backend/client.rs",
            "backend/cluster.rs",
            "backend/dns.rs",
            "backend/exchange.rs",
            "backend/guard.rs",
            "backend/mod.rs",
            "backend/trouble.rs",
        ],
        "the root of the room holds its one interface and what it gives back; the rest is how",
    ),
    (
        &["cli/doctor/findings.rs", "cli/doctor/guarding.rs", "cli/doctor/installation.rs", "cli/doctor/webhook.rs"],
        "a finding is declared once, and collected from those who look for it",
    ),
    (
        &["cli/uninstall.rs", "cli/uninstall/found.rs", "cli/uninstall/steps.rs"],
        "the command's arguments say what is looked for and taken away",
    ),
    (&["controller/metrics.rs", "controller/mod.rs"], "metrics are collected from the controller that owns them"),
    (
        &["kubernetes/registration/desired.rs", "kubernetes/registration/mod.rs"],
        "the root of the room holds the names under which the rest writes",
    ),
    (
        &["lifecycle/memory.rs", "lifecycle/world.rs"],
        "what a process remembers is made of what it saw, and seen beside it",
    ),
    (
        &["lifecycle/preparing.rs", "lifecycle/reconcile.rs", "lifecycle/restoring.rs"],
        "one transition, in three files by its phases",
    ),
    (
        &["plan/compiled.rs", "plan/scope.rs", "plan/template.rs"],
        "a compiled plan holds templates, a template is evaluated in a scope, and a scope finds values by the plan",
    ),
    (&["plan/mod.rs", "plan/rounds.rs", "plan/spec.rs"], "a plan's spec is read by the words' own types"),
    (
        &["server/listener.rs", "server/mod.rs", "server/routes.rs"],
        "the root of the room holds the settings that its parts take",
    ),
];
