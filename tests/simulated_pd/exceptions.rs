//! Steps of the recordings that are not replayed, each with its reason.

use serde_json::Value;

/// Requests that no drain makes, and that the simulated PD does not know.
const NOT_SIMULATED: [(&str, &str); 13] = [
    ("/pd/api/v1/scheduler-config/evict-leader-scheduler/config", "another way to the same entries"),
    ("/pd/api/v1/scheduler-config/evict-leader-scheduler/delete/", "another way to the same entries"),
    ("/pd/api/v1/config", "settings other than schedulers"),
    ("/pd/api/v1/schedulers/diagnostic/", "diagnostics"),
    ("/pd/api/v1/schedulers/all", "pausing every scheduler at once"),
    ("/pd/api/v1/version", "about the process"),
    ("/pd/api/v1/status", "about the process"),
    ("/pd/api/v1/cluster", "about the cluster as a whole"),
    ("/pd/api/v1/regions", "regions"),
    ("/pd/api/v1/stores/limit", "how fast regions move"),
    ("/pd/api/v1/stores/progress", "PD's own guess of how long a removal takes"),
    ("/pd/api/v1/operators", "operators"),
    ("/pd/api/v1/health", "names and addresses of PD's members"),
];

/// Single steps: file, number, reason.
const STEPS: &[(&str, usize, &str)] = &[
    ("pd-evict-leader", 15, "Go's words for a body of another type"),
    ("pd-evict-leader", 16, "Go's words for a body of another type"),
    ("pd-evict-leader", 58, "belongs to the config route"),
    ("pd-evict-leader", 63, "follows the config route"),
    ("pd-evict-leader", 70, "a method that no plan uses: the router's answer"),
    ("pd-evict-leader-odd-input", 8, "a redirect of Go's router"),
    ("pd-evict-leader-odd-input", 9, "a method that no plan uses: the router's answer"),
    ("pd-evict-leader-odd-input", 19, "another scheduler"),
    ("pd-evict-leader-odd-input", 20, "conflicts with another scheduler"),
    ("pd-evict-leader-odd-input", 21, "follows the conflict"),
    ("pd-evict-leader-odd-input", 22, "another scheduler"),
    ("pd-evict-leader-odd-input", 24, "another scheduler"),
    ("pd-evict-leader-odd-input", 25, "another scheduler"),
    ("pd-evict-leader-limits", 0, "settings other than schedulers"),
    ("pd-evict-leader-limits", 16, "times of the pause, which no plan reads"),
    ("pd-evict-leader-limits", 27, "Go's words for a body of another type"),
    ("pd-evict-leader-limits", 30, "follows the pause of every scheduler"),
    ("pd-restart", 4, "nothing listens: the simulated PD keeps its port"),
    ("pd-restart", 15, "sent in the very moment in which PD stops to lie"),
];

/// Why a step is not replayed; `None` where it is.
pub fn exception(file: &str, index: usize, step: &Value) -> Option<&'static str> {
    let path = step["request"]["path"].as_str().unwrap();
    let of_path =
        NOT_SIMULATED.iter().find(|(prefix, _)| path.starts_with(prefix) && path != "/pd/api/v1/config/schedule");
    let of_step = STEPS.iter().find(|(other, number, _)| *other == file && *number == index);
    of_path.map(|(_, reason)| *reason).or(of_step.map(|(_, _, reason)| *reason))
}
