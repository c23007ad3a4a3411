//! `castoff ui`, while pods go.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};

use crate::cluster::{Namespace, command, run, until};
use crate::guarded::tikv;

/// The page of a namespace, for as long as it is served.
struct Served {
    castoff: Child,
    url: String,
}

impl Served {
    fn of(namespace: &Namespace) -> Self {
        let mut castoff = command("castoff", &["ui", "-n", &namespace.0]).stdout(Stdio::piped()).spawn().unwrap();
        let mut url = String::new();
        BufReader::new(castoff.stdout.take().unwrap()).read_line(&mut url).unwrap();
        Served { castoff, url: url.trim().to_owned() }
    }

    fn shows(&self, what: &str) {
        until(&format!("the page shows {what}"), 120, || get(&self.url).contains(what).then_some(()));
    }
}

fn get(url: &str) -> String {
    run("curl", &["--silent", "--write-out", "%{http_code}", url]).out
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.castoff.kill();
        let _ = self.castoff.wait();
    }
}

pub fn the_page_shows_each_pod_of_a_roll_out_as_a_lane() {
    let namespace = tikv("page");
    let page = Served::of(&namespace);
    page.shows("No pod is being drained.");
    let other = format!("{}0/", page.url.trim_end_matches('/'));
    assert!(get(&other).ends_with("403"), "another token");
    // Both at once: one of them waits for the other.
    for pod in ["tikv-0", "tikv-1"] {
        namespace.run(&["delete", "pod", pod, "--wait=false"]);
    }
    page.shows("(maxUnavailable 1)");
    page.shows("<svg class=waits");
    looked_at_in_a_browser(&page.url);
    for pod in ["tikv-0", "tikv-1"] {
        namespace.delete_until_it_goes(pod);
    }
    page.shows("data-head=\"OUTCOME\">Prepared</td>");
}

/// Where `CASTOFF_TEST_BROWSER` names what looks at a page, as hack/test does where there is a Chromium.
fn looked_at_in_a_browser(url: &str) {
    let Ok(looks) = std::env::var("CASTOFF_TEST_BROWSER") else {
        println!("NOT CHECKED: the page in a browser");
        return;
    };
    let printed = run("bash", &["-c", &format!("{looks} \"$1\" $CASTOFF_TEST_PICTURES"), "looks", url]);
    assert_eq!(printed.code, 0, "{printed:?}");
}
