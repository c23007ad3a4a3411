//! Files that change while the guard runs.

use std::os::unix::fs::symlink;
use std::path::Path;

use castoff::trust::authority::{Authority, Validity};
use castoff::trust::self_signed;
use jiff::{SignedDuration, Timestamp};

use crate::harness::{By, Guard, POLICY, pd};

#[tokio::test]
async fn a_changed_policy_is_taken_up_and_a_wrong_one_leaves_the_former_in_force() {
    let pd = pd().await;
    let good = POLICY.replace("{pd}", &pd.url());
    let guard = Guard::start(&good.replace("component: tikv", "component: other"));
    assert_eq!(guard.ask(2, By::DryRun).await.reason, "NotGuarded");

    guard.write_policy(&good);
    guard.until("the policy is taken up", || guard.log().contains("reloaded")).await;
    assert_eq!(guard.ask(2, By::DryRun).await.reason, "Queued");

    guard.write_policy(&good.replace("steps:", "stepps:"));
    guard.until("the mistake is told", || guard.log().contains("can't be taken up")).await;
    assert_eq!(guard.ask(2, By::DryRun).await.reason, "Queued");
    assert!(guard.log().contains("policy.yaml:7"), "with its place");
    assert_eq!(guard.metric("castoff_reloads_total{outcome=\"refused\",what=\"policies\"}").await, 1);
    let ready = guard.admin("/readyz").await;
    assert!(ready.contains("[+]policies ok, but the files have changed and can't be taken up"), "{ready}");

    guard.write_policy(&good);
    let before = guard.log().matches("reloaded").count();
    guard.until("the mended policy is taken up", || guard.log().matches("reloaded").count() > before).await;
    assert!(guard.admin("/readyz").await.contains("[+]policies ok\n"));
}

#[tokio::test]
async fn a_changed_certificate_is_served_to_the_next_connection() {
    let guard = Guard::start(&POLICY.replace("{pd}", "http://127.0.0.1:1"));
    let other = tempfile::tempdir().unwrap();
    let files = self_signed::make(other.path(), &[]).unwrap();
    assert!(!guard.is_trusted_by(&files.ca).await);
    let served = guard.directory.path().join("certificates");
    std::fs::copy(&files.key, served.join("tls.key")).unwrap();
    std::fs::copy(&files.certificate, served.join("tls.crt")).unwrap();
    guard.until("the certificate is taken up", || guard.log().contains("certificates")).await;
    guard.until("it is served", || guard.log().contains("\"replaced\"")).await;
    assert!(guard.is_trusted_by(&files.ca).await);
}

#[tokio::test]
async fn a_hangup_reads_the_files_at_once() {
    let guard = Guard::start(&POLICY.replace("{pd}", "http://127.0.0.1:1"));
    guard.hang_up();
    guard.until("reloaded without a change", || guard.log().contains("reloaded")).await;
}

/// Writes files as a kubelet mounts a Secret or a ConfigMap: each is a link through `..data`, a link to the folder of
/// this version, and a new version is taken up by putting another link in the place of that one.
fn mount(directory: &Path, version: &str, files: &[(&str, Vec<u8>)]) {
    let folder = directory.join(version);
    std::fs::create_dir_all(&folder).unwrap();
    for (name, content) in files {
        std::fs::write(folder.join(name), content).unwrap();
        let link = directory.join(name);
        if !link.exists() {
            symlink(Path::new("..data").join(name), link).unwrap();
        }
    }
    let before = std::fs::read_link(directory.join("..data")).ok();
    symlink(version, directory.join("..data_tmp")).unwrap();
    std::fs::rename(directory.join("..data_tmp"), directory.join("..data")).unwrap();
    if let Some(before) = before {
        std::fs::remove_dir_all(directory.join(before)).unwrap();
    }
}

fn certificate() -> (tempfile::TempDir, Vec<(&'static str, Vec<u8>)>) {
    let directory = tempfile::tempdir().unwrap();
    self_signed::make(directory.path(), &[]).unwrap();
    let read = |name| (name, std::fs::read(directory.path().join(name)).unwrap());
    let files = ["ca.crt", "tls.crt", "tls.key"].map(read).to_vec();
    (directory, files)
}

#[tokio::test]
async fn mounted_secrets_and_config_maps_are_taken_up_when_their_link_is_swapped() {
    let directory = tempfile::tempdir().unwrap();
    let (one, two) = (certificate(), certificate());
    let (certificates, policies) = (directory.path().join("certificates"), directory.path().join("policies"));
    let policy = POLICY.replace("{pd}", "http://127.0.0.1:1");
    let other = policy.replace("component: tikv", "component: other");
    mount(&certificates, "..one", &one.1);
    mount(&policies, "..one", &[("policy.yaml", other.into())]);
    let guard = Guard::start_in(directory);
    assert!(guard.is_trusted_by(&one.0.path().join("ca.crt")).await);
    assert_eq!(guard.ask(2, By::DryRun).await.reason, "NotGuarded");

    mount(&policies, "..two", &[("policy.yaml", policy.into())]);
    guard.until("the policy is taken up", || guard.log().contains("1 policies")).await;
    assert_eq!(guard.ask(2, By::DryRun).await.reason, "Queued");
    mount(&certificates, "..two", &two.1);
    guard.until("the certificate is taken up", || guard.log().contains("\"replaced\"")).await;
    assert!(guard.is_trusted_by(&two.0.path().join("ca.crt")).await);
    assert!(!guard.is_trusted_by(&one.0.path().join("ca.crt")).await);
}

#[tokio::test]
async fn a_certificate_that_can_not_be_served_leaves_the_former_in_force_and_is_told() {
    let guard = Guard::start(&POLICY.replace("{pd}", "http://127.0.0.1:1"));
    std::fs::write(guard.directory.path().join("certificates/tls.crt"), "nothing").unwrap();
    guard.until("the mistake is told", || guard.log().contains("can't be taken up")).await;
    assert!(guard.log().contains("tls.crt"), "with its file");
    assert_eq!(guard.metric("castoff_reloads_total{outcome=\"refused\",what=\"certificates\"}").await, 1);
    let ready = guard.admin("/readyz").await;
    assert!(ready.contains("[+]certificates ok, but the files have changed and can't be taken up"), "{ready}");
    assert_eq!(guard.ask(2, By::DryRun).await.reason, "Queued", "served with the former one");
}

#[tokio::test]
async fn the_end_of_a_certificate_from_files_is_told_when_it_is_near() {
    let guard = Guard::start(&POLICY.replace("{pd}", "http://127.0.0.1:1"));
    let name = "castoff_certificate_expiry_timestamp_seconds{certificate=\"server\"}";
    assert!(guard.metric(name).await > 0);
    let days = |days: i64| Timestamp::now() + SignedDuration::from_hours(24 * days);
    let (from, until) = (days(-85), days(5));
    let pair = Authority::make("test", None).unwrap().issue(&["localhost".to_owned()], Some(Validity { from, until }));
    let (pair, served) = (pair.unwrap(), guard.directory.path().join("certificates"));
    std::fs::write(served.join("tls.key"), pair.key).unwrap();
    std::fs::write(served.join("tls.crt"), pair.certificate).unwrap();
    guard.until("it is served", || guard.log().contains("\"replaced\"")).await;
    assert_eq!(guard.metric(name).await, u64::try_from(until.as_second()).unwrap());
    let ready = guard.admin("/readyz").await;
    let told = format!("[+]certificates ok, but the server certificate ends {until:.0} and was not renewed\n");
    assert!(ready.contains(&told), "{ready}");
}

#[tokio::test]
async fn a_changed_plan_is_what_the_next_departure_follows() {
    let plan = |done: &str| {
        let policy = POLICY.replace("{builtIn: tikv}", "{name: mine}").replace("    parameters: {pd: \"{pd}\"}\n", "");
        let plan =
            "apiVersion: castoff.dev/v1alpha1\nkind: DrainPlan\nmetadata: {name: mine}\nspec: {summary: x, done: ";
        format!("{policy}---\n{plan}'{done}'}}\n")
    };
    let guard = Guard::start(&plan("false"));
    guard.write_policy(&plan("true"));
    guard.until("the plan is taken up", || guard.log().contains("reloaded")).await;
    guard.ask_until_allowed(2, By::StatefulSet).await;
}
