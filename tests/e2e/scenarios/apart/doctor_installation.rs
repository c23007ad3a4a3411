//! `castoff doctor` finds what is wrong with the installation itself: registration, certificates, rights.

use std::sync::Arc;
use std::time::Duration;

use castoff::kubernetes::registration::NAME;
use castoff::trust::authority::{Authority, Validity};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::doctor::shell;
use crate::ground::Need;
use crate::installation::NAMESPACE;
use crate::moves::cluster_wide;
use crate::scenarios::{Scenario, scenarios};
use crate::scene::Scene;

pub const ALONE: [Scenario; 5] = scenarios![Alone, Need::Processes =>
    the_doctor_finds_what_is_wrong_with_a_registration_that_others_keep,
    the_doctor_finds_an_authority_that_did_not_sign_what_is_served,
    the_doctor_finds_certificates_that_end_and_callers_see_those_that_have_ended,
    the_doctor_finds_rights_that_are_missing_and_that_nobody_is_in_charge,
    who_chooses_to_fail_open_is_told_and_pods_leave_unprepared_while_nobody_answers,
];

fn registrations(scene: &Scene) -> Api<ValidatingWebhookConfiguration> {
    Api::all(scene.client.clone())
}

async fn edit(scene: &Scene, patch: Value) {
    let patch: Patch<()> = Patch::Json(serde_json::from_value(patch).unwrap());
    registrations(scene).patch(NAME, &PatchParams::default(), &patch).await.unwrap();
}

/// Whatever stands there now, and whoever else writes at the same time.
async fn put_back(scene: &Scene, good: &ValidatingWebhookConfiguration) {
    let registrations = registrations(scene);
    scene
        .until("it is as it was", 10, || async {
            let mut good = good.clone();
            good.metadata.resource_version = registrations.get(NAME).await.unwrap().metadata.resource_version;
            match registrations.replace(NAME, &PostParams::default(), &good).await {
                Ok(_) => Some(()),
                Err(kube::Error::Api(status)) if status.is_conflict() => None,
                Err(error) => panic!("{error}"),
            }
        })
        .await;
}

/// A registration that is kept in git: Castoff puts nothing back but its own authority.
async fn the_doctor_finds_what_is_wrong_with_a_registration_that_others_keep(scene: Arc<Scene>) {
    scene.guarded().await;
    scene.processes().serve_with(&["--manage-webhook=false"]).await;
    let mut good = registrations(&scene).get(NAME).await.unwrap();
    scene.doctor_finds_nothing().await;
    let replace = |place: &str, value: Value| json!([{"op": "replace", "path": place, "value": value}]);
    let until = (Timestamp::now() + SignedDuration::from_hours(1)).to_string();
    let opened = json!({"castoff.dev/bypass": "INC-4711", "castoff.dev/bypass-until": until});
    let never = json!([{"op": "add", "path": "/webhooks/0/matchConditions/-",
        "value": {"name": "never", "expression": "false"}}]);
    let elsewhere = json!({"matchLabels": {"kubernetes.io/metadata.name": "elsewhere"}});
    for (fault, reason, words) in [
        (replace("/webhooks/0/rules/0/operations", json!(["UPDATE"])), "RuleMissing", "no rule for DELETE pods"),
        (replace("/webhooks/1/rules/0/resources", json!(["pods"])), "RuleMissing", "no rule for CREATE pods/eviction"),
        (replace("/webhooks/0/timeoutSeconds", json!(2)), "TimeoutTooSmall", "waits only 2s"),
        (replace("/webhooks/1/objectSelector", json!({"matchLabels": {"a": "b"}})), "ObjectSelector", "evictions."),
        (replace("/webhooks/0/namespaceSelector", elsewhere), "NotCovered", scene.namespace.as_str()),
        (never.clone(), "NotAsked", "would be carried out without asking Castoff"),
        (never, "PolicyNotCalled", "was not sent to Castoff"),
        (replace("/metadata/annotations", opened), "GateOpen", "open everywhere"),
        (json!([{"op": "remove", "path": "/webhooks/1"}]), "EntryMissing", "evictions.castoff.dev is not registered"),
    ] {
        edit(&scene, fault).await;
        scene.doctor_finds(reason, words).await;
        put_back(&scene, &good).await;
        scene.doctor_no_longer_finds(reason).await;
    }
    cluster_wide(&["delete", "validatingwebhookconfiguration", NAME]).await;
    scene.doctor_finds("NotRegistered", "Castoff is not registered").await;
    (good.metadata.uid, good.metadata.resource_version) = (None, None);
    registrations(&scene).create(&PostParams::default(), &good).await.unwrap();
    scene.doctor_finds_nothing().await;
    scene.processes().serve_with(&[]).await;
}

/// A certificate that others make, as cert-manager does, whose part is played here.
async fn the_doctor_finds_an_authority_that_did_not_sign_what_is_served(scene: Arc<Scene>) {
    scene.guarded().await;
    let processes = scene.processes();
    let (one, other) = (processes.path("certificates"), processes.path("others"));
    for directory in [&one, &other] {
        let made = shell(&format!("castoff certs {} --host 127.0.0.1 --force", directory.display())).await;
        assert_eq!(made.code, 0, "{made:?}");
    }
    let [certificate, key] = ["tls.crt", "tls.key"].map(|file| one.join(file).display().to_string());
    let given = ["--tls-cert", &certificate, "--tls-key", &key];
    for number in 0..2 {
        scene.ground().terminate(number).await;
    }
    forget_registration().await;
    // Whom the API server is to trust nobody has said: nothing is registered, and that is told.
    processes.serve_with(&given).await;
    for number in 0..2 {
        let said = processes.readiness(number).await;
        assert!(
            said.contains("guards nothing: not registered, since the certificate is given by --tls-cert"),
            "{said}"
        );
    }
    scene.until("the log says why", 20, || logged(&scene, "nothing says whom the API server is to trust")).await;
    scene.doctor_finds("NotRegistered", "Castoff is not registered").await;

    processes.serve_with(&[&given[..], &["--inject-ca-from", "castoff-system/castoff"]].concat()).await;
    let inject = async |from: &std::path::Path| {
        let bundle = ByteString(std::fs::read(from.join("ca.crt")).unwrap());
        let put =
            |number| json!({"op": "add", "path": format!("/webhooks/{number}/clientConfig/caBundle"), "value": bundle});
        edit(&scene, json!([put(0), put(1)])).await;
    };
    scene
        .until("it is registered", 20, || async {
            let live = registrations(&scene).get_opt(NAME).await.unwrap()?;
            (live.webhooks.unwrap_or_default().len() == 2).then_some(())
        })
        .await;
    inject(&one).await;
    scene.doctor_finds_nothing().await;
    scene.denied("app-0").await;
    inject(&other).await;
    let found = scene.doctor_finds("CertificateNotAccepted", "x509").await;
    assert!(found.fix.contains("restart `castoff serve`"), "nothing runs in pods here: {found:?}");
    inject(&one).await;
    scene.doctor_finds_nothing().await;

    processes.serve_with(&[]).await;
    forget_registration().await;
    scene.doctor_finds_nothing().await;
}

async fn forget_registration() {
    cluster_wide(&["delete", "validatingwebhookconfiguration", NAME]).await;
    cluster_wide(&["delete", "configmap", "castoff-registration", "-n", NAMESPACE]).await;
}

async fn logged(scene: &Scene, words: &str) -> Option<()> {
    (!scene.ground().log(words).await.is_empty()).then_some(())
}

/// A leader that may not write the Secret can't renew what is in it.
async fn the_doctor_finds_certificates_that_end_and_callers_see_those_that_have_ended(scene: Arc<Scene>) {
    scene.guarded().await;
    let (uid, ip) = (scene.uid("app-0").await, scene.ip("app-0").await);
    scene.hooks().at(&ip, |app| (app.inflight, app.done_per_look) = (1, 0));
    may("castoff-certificates", json!(["get", "list", "watch"])).await;
    put_certificate(&scene, 24 * 10).await;
    let found = scene.doctor_finds("CertificateEnds", "certificate that Castoff serves ends in 9 days").await;
    assert!(found.what.contains("was not renewed"), "{found:?}");
    scene.doctor_finds("RightsMissing", "update secrets castoff-tls").await;
    scene.until("the log says why", 20, || logged(&scene, "certificates can't be kept")).await;
    scene
        .until("readiness says so", 20, || async {
            let said = scene.processes().readiness(0).await;
            (said.contains("[+]certificates ok, but the server certificate ends")).then_some(())
        })
        .await;
    scene.denied("app-0").await;

    put_certificate(&scene, -1).await;
    // Connections that are open would be used on.
    scene.processes().serve_with(&[]).await;
    let refused = scene.delete("app-0").await;
    assert_eq!(refused.code(), 500, "{refused:?}");
    assert!(format!("{refused:?}").contains("certificate has expired"), "{refused:?}");
    assert_eq!(scene.evict("app-0", None).await.code(), 500);
    scene.doctor_finds("CertificateNotAccepted", "certificate has expired").await;
    scene.doctor_finds("CertificateEnds", "is over since").await;
    let said = scene.processes().readiness(0).await;
    assert!(said.contains("[+]certificates ok, but the server certificate is over since"), "{said}");

    put_rights_back().await;
    scene.doctor_finds_nothing().await;
    scene.denied("app-0").await;
    assert_eq!(scene.uid("app-0").await, uid);
}

/// Puts a certificate into the Secret that is signed as it should be, and is over in so many hours.
async fn put_certificate(scene: &Scene, hours: i64) {
    let secrets: Api<Secret> = Api::namespaced(scene.client.clone(), NAMESPACE);
    let data = secrets.get("castoff-tls").await.unwrap().data.unwrap();
    let text = |key: &str| String::from_utf8(data[key].0.clone()).unwrap();
    let authority = Authority::read(&text("ca.crt"), &text("ca.key")).unwrap();
    let now = Timestamp::now();
    let validity =
        Validity { from: now - SignedDuration::from_hours(24 * 80), until: now + SignedDuration::from_hours(hours) };
    let names = ["castoff.castoff-system.svc", "127.0.0.1"].map(str::to_owned);
    let pair = authority.issue(&names, Some(validity)).unwrap();
    let encoded = |text: String| ByteString(text.into_bytes());
    let patch = json!({"data": {"tls.crt": encoded(pair.certificate.clone()), "tls.key": encoded(pair.key)}});
    secrets.patch("castoff-tls", &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let kept = secrets.get("castoff-tls").await.unwrap().data.unwrap();
    assert_eq!(kept["tls.crt"].0, pair.certificate.into_bytes(), "it was renewed without the right to");
}

/// What the second rule of a Role lets Castoff do.
async fn may(role: &str, verbs: Value) {
    let patch = json!([{"op": "replace", "path": "/rules/1/verbs", "value": verbs}]).to_string();
    cluster_wide(&["patch", "role", role, "-n", NAMESPACE, "--type=json", "-p", &patch]).await;
}

async fn put_rights_back() {
    let rights = concat!(env!("CARGO_MANIFEST_DIR"), "/manifests/base/rbac.yaml");
    cluster_wide(&["apply", "--server-side", "--force-conflicts", "-f", rights]).await;
}

async fn the_doctor_finds_rights_that_are_missing_and_that_nobody_is_in_charge(scene: Arc<Scene>) {
    scene.guarded().await;
    may("castoff", json!(["get"])).await;
    scene.doctor_finds("RightsMissing", "Castoff may not update leases castoff").await;
    let found = scene.doctor_finds("NotInCharge", "has not renewed it for").await;
    assert!(found.fix.contains("`castoff serve`"), "nothing runs in pods here: {found:?}");
    // Whoever answers goes on answering; nobody prepares.
    scene.denied("app-0").await;
    scene
        .stays("nothing is prepared", Duration::from_secs(3), || async {
            scene.drain("app-0").await.is_none_or(|drain| drain.data["status"]["phase"] != "Draining")
        })
        .await;
    put_rights_back().await;
    scene.doctor_finds_nothing().await;
    scene.until_phase("app-0", "Drained").await;
}

async fn who_chooses_to_fail_open_is_told_and_pods_leave_unprepared_while_nobody_answers(scene: Arc<Scene>) {
    scene.guarded().await;
    let uid = scene.uid("app-0").await;
    scene.processes().serve_with(&["--failure-policy", "ignore"]).await;
    let note = scene.doctor_notes("FailsOpen").await;
    assert!(note.why.contains("guarded pods leave unprepared then"), "{note:?}");
    scene.denied("app-0").await;
    for number in 0..2 {
        scene.ground().kill(number).await;
    }
    assert_eq!(scene.delete("app-0").await.code(), 200);
    scene.processes().serve_with(&[]).await;
    scene.until_replaced("app-0", &uid).await;
    scene.doctor_finds_nothing().await;
}
