#![allow(clippy::unwrap_used, clippy::panic)]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use super::*;

fn settings() -> Settings {
    Settings::new("castoff-system")
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

/// With an authority and a path, of a Castoff that has begun for the first time.
fn known(namespaces: &BTreeSet<String>) -> Known<'_> {
    Known { made_before: false, bundle: Some("CA"), path: Some("/validate/1"), home: "home", namespaces }
}

/// As it is after a leader made it for these namespaces.
fn live(settings: &Settings, namespaces: &[&str]) -> ValidatingWebhookConfiguration {
    let Action::Create(made) = decide(settings, None, known(&set(namespaces))) else { panic!("it is to be created") };
    let mut live = *made;
    live.metadata.resource_version = Some("7".to_owned());
    live
}

fn decided(settings: &Settings, live: &ValidatingWebhookConfiguration, bundle: &str, names: &[&str]) -> Action {
    decide(settings, Some(live), Known { bundle: Some(bundle), ..known(&set(names)) })
}

fn patch(action: Action) -> Patch {
    match action {
        Action::Patch(patch) => patch,
        other => panic!("it is to be patched, not {other:?}"),
    }
}

/// What is there after a patch.
fn patched(live: &ValidatingWebhookConfiguration, patch: &Patch) -> ValidatingWebhookConfiguration {
    let mut live = live.clone();
    assert_eq!(patch.body["metadata"]["resourceVersion"], "7", "the write is conditional");
    assert!(patch.replaces);
    live.webhooks = Some(serde_json::from_value(patch.body["webhooks"].clone()).unwrap());
    live
}

#[test]
fn only_deletes_and_evictions_of_pods_in_named_namespaces_are_sent() {
    let live = serde_json::to_value(live(&settings(), &["tidb", "db"])).unwrap();
    let webhooks = live["webhooks"].as_array().unwrap();
    assert_eq!(webhooks.len(), 2);
    let rule = |at: usize| (&webhooks[at]["rules"][0]["operations"], &webhooks[at]["rules"][0]["resources"]);
    assert_eq!(rule(0), (&json!(["DELETE"]), &json!(["pods"])));
    assert_eq!(rule(1), (&json!(["CREATE"]), &json!(["pods/eviction"])));
    for webhook in webhooks {
        let named = json!([{"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["db", "tidb"]}]);
        assert_eq!(webhook["namespaceSelector"]["matchExpressions"], named);
        assert_eq!(webhook["objectSelector"], json!({}), "one on an eviction would see the eviction's labels");
        assert_eq!(webhook["failurePolicy"], "Fail");
        assert_eq!(webhook["sideEffects"], "NoneOnDryRun");
        assert_eq!(webhook["matchPolicy"], "Equivalent");
        assert_eq!(webhook["timeoutSeconds"], 10);
        assert_eq!(webhook["clientConfig"]["caBundle"], "Q0E=");
        assert_eq!(webhook["clientConfig"]["service"]["namespace"], "castoff-system");
    }
}

#[test]
fn without_a_policy_nothing_is_called() {
    let empty = live(&settings(), &[]);
    assert_eq!(empty.webhooks, Some(vec![]));
    assert_eq!(decided(&settings(), &empty, "CA", &[]), Action::Nothing);
    // As the API server gives it back.
    let absent = ValidatingWebhookConfiguration { webhooks: None, ..empty };
    assert_eq!(decided(&settings(), &absent, "CA", &[]), Action::Nothing);
}

#[test]
fn what_is_as_it_should_be_is_not_written() {
    let live = live(&settings(), &["db"]);
    assert_eq!(decided(&settings(), &live, "CA", &["db"]), Action::Nothing);
}

#[test]
fn a_namespace_comes_at_once_and_goes_only_by_a_complete_list() {
    let (db, both) = (set(&["db"]), set(&["db", "tidb"]));
    assert_eq!(reach(&both, &db, None), both);
    assert_eq!(reach(&set(&[]), &both, None), both, "a new leader, which knows nothing yet, empties nothing");
    assert_eq!(reach(&db, &both, Some(&db)), db);
    assert_eq!(reach(&set(&["new"]), &both, Some(&db)), set(&["db", "new"]), "what memory holds is never taken out");

    let live = live(&settings(), &["db"]);
    let grown = patch(decided(&settings(), &live, "CA", &["db", "tidb"]));
    assert_eq!(grown.whys, [Why::Grown(set(&["tidb"]))]);
    let live = patched(&live, &grown);
    assert_eq!(desired::namespaces(&live), both);
    let shrunk = patch(decided(&settings(), &live, "CA", &["db"]));
    assert_eq!(shrunk.whys, [Why::Shrunk(set(&["tidb"]))]);
}

#[test]
fn own_namespace_and_kube_system_are_not_guarded() {
    let settings = settings();
    assert!(settings.refusal("castoff-system").is_some());
    assert!(settings.refusal("kube-system").unwrap().contains("--allow-namespace"));
    assert_eq!(settings.refusal("db"), None);
    let allowed = Settings { allowed_namespaces: set(&["kube-system", "castoff-system"]), ..settings };
    assert_eq!(allowed.refusal("kube-system"), None);
    assert!(allowed.refusal("castoff-system").is_some(), "not even when it is asked for");
}

#[test]
fn a_new_authority_is_put_in_and_an_unknown_one_takes_none_out() {
    let live = live(&settings(), &["db"]);
    let changed = patch(decided(&settings(), &live, "CA2", &["db"]));
    assert_eq!(changed.whys, [Why::Bundle]);
    assert_eq!(desired::bundle(&patched(&live, &changed)).unwrap(), "CA2");
    let db = set(&["db"]);
    let unknown = Known { bundle: None, ..known(&db) };
    assert_eq!(decide(&settings(), Some(&live), unknown), Action::Nothing);
    assert_eq!(decide(&settings(), None, unknown), Action::Wait);
    // A certificate that is given, and no authority: nothing is registered that the API server would not accept.
    let given = Settings { trust: Trust::Unknown, ..settings() };
    assert_eq!(decide(&given, None, unknown), Action::Wait);
    assert_eq!(decide(&given, Some(&live), unknown), Action::Nothing, "with a person's caBundle");
}

type Edit = fn(&mut ValidatingWebhookConfiguration);

#[test]
fn the_path_is_put_in_and_an_unknown_one_takes_none_out() {
    let live = live(&settings(), &["db"]);
    let db = set(&["db"]);
    let renewed = patch(decide(&settings(), Some(&live), Known { path: Some("/validate/2"), ..known(&db) }));
    assert_eq!(renewed.whys, [Why::Path]);
    assert!(!renewed.whys[0].to_string().contains("/validate"), "it gets into the log");
    assert_eq!(desired::paths(&patched(&live, &renewed)), set(&["/validate/2"]));
    let unknown = Known { path: None, ..known(&db) };
    assert_eq!(decide(&settings(), Some(&live), unknown), Action::Nothing);
    assert_eq!(
        decide(&settings(), None, unknown),
        Action::Wait,
        "nothing is registered on a path that is not answered"
    );
    let empty = self::live(&settings(), &[]);
    assert_eq!(decide(&settings(), Some(&empty), unknown), Action::Wait);
}

#[test]
fn the_registration_goes_with_castoffs_namespace() {
    let mut live = live(&settings(), &["db"]);
    let owners = |live: &ValidatingWebhookConfiguration| serde_json::to_value(&live.metadata.owner_references).unwrap();
    let home = json!([{"apiVersion": "v1", "kind": "Namespace", "name": "castoff-system", "uid": "home"}]);
    assert_eq!(owners(&live), home);
    // One of before, and one that a person has taken it from.
    live.metadata.owner_references = None;
    let patch = patch(decided(&settings(), &live, "CA", &["db"]));
    assert_eq!((&patch.whys[..], &patch.body["metadata"]["ownerReferences"]), (&[Why::Owner][..], &home));
}

#[test]
fn a_mark_speaks_for_the_namespace_that_it_was_made_in() {
    let mark = |data: serde_json::Value| serde_json::from_value(json!({"data": data})).unwrap();
    assert!(mark_is_of(&mark(json!({"namespace-uid": "here"})), "here"));
    assert!(!mark_is_of(&mark(json!({"namespace-uid": "another cluster"})), "here"));
    assert!(mark_is_of(&mark(json!({"uid": "7"})), "here"), "one of before says nothing of it");
}

#[test]
fn whatever_a_person_edits_is_put_back() {
    let good = live(&settings(), &["db"]);
    let edits: [(&str, Edit); 7] = [
        ("pods.castoff.dev.timeoutSeconds", |live| entry(live).timeout_seconds = Some(1)),
        ("pods.castoff.dev.failurePolicy", |live| entry(live).failure_policy = Some("Ignore".to_owned())),
        ("pods.castoff.dev.matchConditions", |live| {
            let mut never = entry(live).match_conditions.clone().unwrap()[0].clone();
            (never.name, never.expression) = ("never".to_owned(), "false".to_owned());
            entry(live).match_conditions.as_mut().unwrap().push(never);
        }),
        ("pods.castoff.dev.objectSelector", |live| {
            let labels = Some([("a".to_owned(), "b".to_owned())].into());
            entry(live).object_selector = Some(LabelSelector { match_labels: labels, match_expressions: None });
        }),
        ("pods.castoff.dev.namespaceSelector", |live| entry(live).namespace_selector = None),
        ("evictions.castoff.dev.rules", |live| {
            live.webhooks.as_mut().unwrap().pop();
        }),
        ("more.castoff.dev.rules", |live| {
            let mut more = entry(live).clone();
            "more.castoff.dev".clone_into(&mut more.name);
            live.webhooks.as_mut().unwrap().push(more);
        }),
    ];
    for (field, edit) in edits {
        let mut edited = good.clone();
        edit(&mut edited);
        let patch = patch(decided(&settings(), &edited, "CA", &["db"]));
        assert!(
            matches!(&patch.whys[..], [Why::Differs(fields)] if fields.contains(field)),
            "{field}: {:?}",
            patch.whys
        );
        assert_eq!(patched(&edited, &patch).webhooks, good.webhooks, "{field}");
    }
}

fn entry(
    live: &mut ValidatingWebhookConfiguration,
) -> &mut k8s_openapi::api::admissionregistration::v1::ValidatingWebhook {
    &mut live.webhooks.as_mut().unwrap()[0]
}

#[test]
fn who_edited_it_is_known() {
    let mut live = live(&settings(), &["db"]);
    assert_eq!(desired::last_editor(&live), None);
    let managed = |manager: &str, time: &str| json!({"manager": manager, "operation": "Update", "time": time});
    for (entries, editor) in [
        ([managed("castoff", "2030-01-01T00:00:01Z"), managed("kubectl-edit", "2030-01-01T00:00:00Z")], None),
        (
            [managed("kubectl-edit", "2030-01-01T00:00:01Z"), managed("castoff", "2030-01-01T00:00:01Z")],
            Some("kubectl-edit".to_owned()),
        ),
    ] {
        live.metadata.managed_fields = Some(serde_json::from_value(json!(entries)).unwrap());
        assert_eq!(desired::last_editor(&live), editor);
    }
}

#[test]
fn one_that_a_person_deleted_is_left_alone_until_it_is_asked_for() {
    let wanted = set(&["db"]);
    assert_eq!(decide(&settings(), None, Known { made_before: true, ..known(&wanted) }), Action::LeaveAlone);
    assert!(matches!(decide(&settings(), None, known(&wanted)), Action::Create(_)));
}

#[test]
fn of_one_that_is_kept_in_git_only_the_authority_is_ours() {
    let settings = Settings { manage: false, ..settings() };
    assert_eq!(decide(&settings, None, known(&set(&["db"]))), Action::LeaveAlone);
    let mut live = live(&Settings { manage: true, ..settings.clone() }, &["db"]);
    entry(&mut live).timeout_seconds = Some(20);
    assert_eq!(decided(&settings, &live, "CA", &["tidb"]), Action::Nothing);
    let patch = patch(decided(&settings, &live, "CA2", &["tidb"]));
    assert!(!patch.replaces, "the list of webhooks is not ours");
    let entry = |name| json!({"name": name, "clientConfig": {"caBundle": "Q0Ey"}});
    assert_eq!(patch.body["webhooks"], json!([entry(PODS), entry(EVICTIONS)]));
}

#[test]
fn an_authority_that_cert_manager_puts_in_stays() {
    let settings = Settings { trust: Trust::Injected { from: "castoff-system/castoff".to_owned() }, ..settings() };
    let (db, both) = (set(&["db"]), set(&["db", "tidb"]));
    let unknown = Known { bundle: None, ..known(&db) };
    let Action::Create(made) = decide(&settings, None, unknown) else { panic!("created at once") };
    assert_eq!(made.metadata.annotations.clone().unwrap()["cert-manager.io/inject-ca-from"], "castoff-system/castoff");
    let mut live = *made;
    live.metadata.resource_version = Some("7".to_owned());
    for webhook in live.webhooks.iter_mut().flatten() {
        webhook.client_config.ca_bundle = Some(k8s_openapi::ByteString(b"THEIRS".to_vec()));
    }
    assert_eq!(decide(&settings, Some(&live), known(&db)), Action::Nothing);
    let grown = patch(decide(&settings, Some(&live), Known { namespaces: &both, ..unknown }));
    assert_eq!(desired::bundle(&patched(&live, &grown)).unwrap(), "THEIRS");
}

#[test]
fn a_url_stands_in_for_the_service_outside_the_cluster() {
    let url = "https://127.0.0.1:9443".parse().unwrap();
    let live = live(&Settings { target: Target::Url(url), ..settings() }, &["db"]);
    let client = &live.webhooks.unwrap()[0].client_config;
    assert_eq!((client.url.as_deref(), client.service.is_none()), (Some("https://127.0.0.1:9443/validate/1"), true));
}

#[test]
fn fails_open_only_for_those_who_ask() {
    let settings = Settings { failure_policy: FailurePolicy::Ignore, ..settings() };
    assert_eq!(live(&settings, &["db"]).webhooks.unwrap()[0].failure_policy.as_deref(), Some("Ignore"));
}

#[test]
fn what_is_seen_says_which_namespaces_are_sent() {
    let seen = |namespaces: &[&str]| Seen::There(live(&settings(), namespaces).into());
    assert_eq!(Seen::NotYet.covers("db"), None);
    assert_eq!((Seen::Absent.covers("db"), Seen::Absent.guards_nothing()), (Some(false), true));
    assert_eq!((seen(&["db"]).covers("db"), seen(&["db"]).covers("tidb")), (Some(true), Some(false)));
    assert!(seen(&[]).guards_nothing() && !seen(&["db"]).guards_nothing() && !Seen::NotYet.guards_nothing());
    let mut half = live(&settings(), &["db"]);
    half.webhooks.as_mut().unwrap().pop();
    assert_eq!(Seen::There(half.into()).covers("db"), Some(false), "without evictions it is not guarded");
}

#[test]
fn a_proof_holds_until_the_registration_changes_in_what_matters_to_the_namespace() {
    let seen = |settings: &Settings, namespaces: &[&str]| Seen::There(live(settings, namespaces).into());
    let (proofs, now) = (Proofs::default(), seen(&settings(), &["db"]));
    assert!(!proofs.hold("db", &now));
    proofs.note("db", &now);
    proofs.note("tidb", &now);
    assert!(proofs.hold("db", &now));
    assert!(proofs.hold("db", &seen(&settings(), &["db", "tidb"])), "another namespace comes");
    assert!(!proofs.hold("tidb", &seen(&settings(), &["db", "tidb"])), "it was not registered when it was noted");
    assert!(!proofs.hold("db", &seen(&settings(), &["tidb"])));
    assert!(!proofs.hold("db", &Seen::Absent));
    let elsewhere = Settings { target: Target::Url("https://127.0.0.1:1".parse().unwrap()), ..settings() };
    assert!(!proofs.hold("db", &seen(&elsewhere, &["db"])));
}

/// The overlay for those who keep the configuration in git says the same as Castoff does, but for the selector.
#[test]
fn the_configuration_for_git_is_the_same_but_for_its_selector() {
    let text = include_str!("../../../manifests/overlays/gitops/webhook.yaml");
    let mut kept: ValidatingWebhookConfiguration = serde_saphyr::from_str(text).unwrap();
    let asking = Asking { bundle: None, path: "/validate" };
    let ours = settings().webhooks(asking, &set(&["any"]));
    for (webhook, ours) in kept.webhooks.iter_mut().flatten().zip(&ours) {
        let guarded = [("castoff.dev/guard".to_owned(), "true".to_owned())];
        let selector = std::mem::replace(&mut webhook.namespace_selector, ours.namespace_selector.clone()).unwrap();
        assert_eq!(selector.match_labels, Some(guarded.into()));
    }
    assert_eq!(kept.webhooks.unwrap(), ours);
    assert_eq!(
        (kept.metadata.name.as_deref(), kept.metadata.annotations),
        (Some(NAME), Some(settings().annotations()))
    );
}
