//! What may pass a limit all the same, each with the reason. What is on these lists and no longer needs it fails, too.

/// A file, or a function or test in a file, that may be longer than others.
pub const LONG: [(&str, &str); 0] = [];

/// Files that may need each other, and why. A circle among fewer of them is fine, too.
pub const CIRCLES: [(&[&str], &str); 15] = [
    (
        &[
            "app/assemble.rs",
            "app/cluster/access.rs",
            "app/cluster/connection.rs",
            "app/cluster/following.rs",
            "app/cluster/mod.rs",
            "app/mod.rs",
            "app/standalone.rs",
        ],
        "the root of the room holds what both ways of putting the guard together share, and chooses between them",
    ),
    (
        &[
            "backend/client.rs",
            "backend/cluster.rs",
            "backend/dns.rs",
            "backend/exchange.rs",
            "backend/guard.rs",
            "backend/means.rs",
            "backend/mod.rs",
            "backend/objects.rs",
            "backend/resp/connection.rs",
            "backend/resp/mod.rs",
            "backend/trouble.rs",
        ],
        "the root of the room holds its one interface and what it gives back; the rest is how",
    ),
    (
        &["cli/doctor/findings.rs", "cli/doctor/guarding.rs", "cli/doctor/installation.rs", "cli/doctor/webhook.rs"],
        "a finding is declared once, and collected from those who look for it",
    ),
    (
        &["cli/prepare.rs", "cli/prepare/many.rs"],
        "many pods are prepared as each is, by the arguments of the one command",
    ),
    (
        &["cli/uninstall.rs", "cli/uninstall/found.rs", "cli/uninstall/steps.rs"],
        "the command's arguments say what is looked for and taken away",
    ),
    (
        &["controller/metrics.rs", "controller/mod.rs", "controller/surroundings.rs", "controller/turn.rs"],
        "a turn and what it sees are parts of the controller, which owns its metrics",
    ),
    (&["gate/look.rs", "gate/mod.rs"], "what is looked up is a part of the gate"),
    (&["kubernetes/cluster.rs", "kubernetes/owners.rs"], "objects are read in one way, owners among them"),
    (
        &["kubernetes/registration/desired.rs", "kubernetes/registration/mod.rs"],
        "the root of the room holds the names under which the rest writes",
    ),
    (
        &["lifecycle/limit.rs", "lifecycle/limit/census.rs", "lifecycle/limit/zones.rs"],
        "what the limit is told from, what is counted of that, and what it says",
    ),
    (
        &["lifecycle/memory.rs", "lifecycle/world.rs"],
        "what a process remembers is made of what it saw, and seen beside it",
    ),
    (
        &[
            "lifecycle/departing.rs",
            "lifecycle/held.rs",
            "lifecycle/preparing.rs",
            "lifecycle/reconcile.rs",
            "lifecycle/restoring.rs",
        ],
        "one transition, in four files by its phases, and one about whom of its pods people are told",
    ),
    (
        &[
            "plan/compiled.rs",
            "plan/evaluate.rs",
            "plan/expression.rs",
            "plan/functions.rs",
            "plan/scope.rs",
            "plan/syntax.rs",
            "plan/template.rs",
        ],
        "a compiled plan holds templates, a template is evaluated in a scope, and a scope finds values by the plan",
    ),
    (&["plan/mod.rs", "plan/rounds.rs", "plan/spec.rs"], "a plan's spec is read by the words' own types"),
    (
        &["server/bodies.rs", "server/connection.rs", "server/listener.rs", "server/mod.rs", "server/routes.rs"],
        "the root of the room holds the settings that its parts take",
    ),
];
