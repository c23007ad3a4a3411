//! Files that change while the guard runs.

use castoff::server::self_signed;

use crate::harness::{By, Guard, POLICY, pd};

#[tokio::test]
async fn a_changed_policy_is_taken_up_and_a_wrong_one_leaves_the_former_in_force() {
    let pd = pd().await;
    let good = POLICY.replace("{pd}", &pd.url());
    let guard = Guard::start(&good.replace("component: tikv", "component: other"));
    assert_eq!(guard.ask(2, By::DryRun).await.question, "NotGuarded");

    guard.write_policy(&good);
    guard.until("the policy is taken up", || guard.log().contains("reloaded")).await;
    assert_eq!(guard.ask(2, By::DryRun).await.question, "Queued");

    guard.write_policy(&good.replace("steps:", "stepps:"));
    guard.until("the mistake is told", || guard.log().contains("can't be taken up")).await;
    assert_eq!(guard.ask(2, By::DryRun).await.question, "Queued");
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
