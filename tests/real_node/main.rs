//! Castoff as users run it, on a node that runs containers: its own image, Deployment, Service and account.
//!
//! `hack/test real-node` starts a cluster with one node and plays these, `hack/kind test` plays them on kind. Needed are
//! `KUBECONFIG`, the images castoff:0.1.0 and castoff-for-tests:0.1.0 on the node, and in `CASTOFF_TEST_ON_NODE` what runs a command on the node.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, missing_docs)]

mod agents;
mod cluster;
mod guarded;
mod installation;
mod page;
mod quickstart;

use libtest_mimic::{Arguments, Trial};

/// Lists scenarios: each is a function.
macro_rules! scenarios {
    ($($module:ident :: $name:ident),* $(,)?) => {
        vec![$(Trial::test(concat!(stringify!($module), "::", stringify!($name)), || {
            installation::installed();
            $module::$name();
            Ok(())
        })),*]
    };
}

fn main() {
    let mut arguments = Arguments::from_args();
    // One after the other: they share the node, and the last takes Castoff away.
    arguments.test_threads = Some(1);
    let all = scenarios![
        installation::castoff_is_installed_from_nothing_by_the_commands_of_the_readme,
        quickstart::the_quickstart_is_played_word_by_word,
        guarded::a_roll_out_of_an_application_that_is_guarded_loses_no_request,
        guarded::without_a_guard_the_same_roll_out_loses_some,
        page::the_page_shows_each_pod_of_a_roll_out_as_a_lane,
        guarded::leaders_are_moved_off_by_a_pd_that_a_service_names,
        agents::an_agent_that_a_label_replaces_stays_for_as_long_as_a_neighbour_needs_it,
        agents::an_agent_that_a_taint_replaces_leaves_after_its_neighbours,
        guarded::a_drain_of_the_node_waits_for_the_guarded_pod,
        installation::a_roll_out_of_castoff_itself_fails_no_delete,
        installation::a_replica_that_is_killed_is_replaced_and_lets_nothing_go,
        installation::an_uninstall_leaves_nothing,
    ];
    libtest_mimic::run(&arguments, all).exit();
}
