//! Where a request may go.

use std::sync::Arc;

use castoff::backend::guard::{Target, allow_url};
use castoff::backend::{Pattern, Scope, Settings};
use castoff::pod::PodAddress;

/// A policy in `tidb` for a pod with two addresses.
fn scope() -> Scope {
    let mut scope = Scope { namespace: "tidb".to_owned(), pod_present: true, ..Scope::default() };
    let pod = Arc::make_mut(&mut scope.pod);
    pod.status.pod_ip = "10.1.2.3".into();
    pod.status.pod_ips = vec![PodAddress { ip: "10.1.2.3".into() }, PodAddress { ip: "fd12::7".into() }];
    pod.status.host_ip = "192.168.7.1".into();
    scope
}

fn settings(allowed: &[&str]) -> Settings {
    Settings { allowed: allowed.iter().map(|text| text.parse().unwrap()).collect(), ..Settings::default() }
}

fn allowed(url: &str, settings: &Settings) -> Target {
    allow_url(url, &scope(), settings).unwrap_or_else(|refused| panic!("{url}: {refused}"))
}

fn refused(url: &str, settings: &Settings) -> String {
    match allow_url(url, &scope(), settings) {
        Ok(target) => panic!("{url} leads to {target:?}"),
        Err(refused) => refused.to_string(),
    }
}

const EVERYTHING: [&str; 4] = ["0.0.0.0/0", "::/0", "*.internal", "*.localhost"];

#[test]
fn allows_the_pod_its_node_and_services_of_the_policys_namespace() {
    let rows = [
        ("http://10.1.2.3:8008/x?y=z", "http://10.1.2.3:8008/x?y=z"),
        ("http://[fd12::7]/", "http://[fd12::7]/"),
        ("http://[::ffff:10.1.2.3]/", "http://[::ffff:a01:203]/"),
        ("http://192.168.7.1:10250/", "http://192.168.7.1:10250/"),
        ("https://basic-pd:2379/pd", "https://basic-pd.tidb.svc:2379/pd"),
        ("https://basic-pd./", "https://basic-pd.tidb.svc/"),
        ("https://BASIC-PD.tidb/", "https://basic-pd.tidb.svc/"),
        ("https://basic-pd.tidb.svc:2379/", "https://basic-pd.tidb.svc:2379/"),
        ("https://basic-pd.tidb.svc.cluster.local/", "https://basic-pd.tidb.svc.cluster.local/"),
        ("https://basic-pd.tidb.svc.cluster.local./", "https://basic-pd.tidb.svc.cluster.local./"),
        ("http://basic-tikv-2.basic-tikv-peer.tidb.svc:20180/", "http://basic-tikv-2.basic-tikv-peer.tidb.svc:20180/"),
        ("http://basic-tikv-2.peer.tidb.svc.cluster.local/", "http://basic-tikv-2.peer.tidb.svc.cluster.local/"),
    ];
    for (url, expected) in rows {
        assert_eq!(allowed(url, &Settings::default()).url.as_str(), expected, "{url}");
    }
}

#[test]
fn knows_which_requests_go_to_the_pod_itself() {
    for url in ["http://10.1.2.3/", "http://[fd12:0::7]/", "http://[::ffff:10.1.2.3]/", "http://0xa.1.2.3/"] {
        assert!(allowed(url, &Settings::default()).of_pod, "{url}");
    }
    for url in ["http://192.168.7.1/", "http://basic-pd/", "http://basic-tikv-2.peer.tidb.svc/"] {
        assert!(!allowed(url, &Settings::default()).of_pod, "{url}");
    }
}

#[test]
fn takes_the_address_of_a_pod_on_its_hosts_network_for_the_nodes() {
    let mut shared = scope();
    let pod = Arc::make_mut(&mut shared.pod);
    pod.status.pod_ip = pod.status.host_ip.clone();
    let target = allow_url("http://192.168.7.1:8500/", &shared, &Settings::default()).unwrap();
    assert!(!target.of_pod, "an agent on the node is still there when the pod is gone");
}

#[test]
fn refuses_everything_else_and_says_what_to_do() {
    let urls = [
        "http://10.1.2.4/",
        "http://192.168.7.2/",
        "http://example.com/",
        "http://pd.other/",
        "http://pd.other.svc/",
        "http://pd.other.svc.cluster.local/",
        "http://pd.tidb.svc.example.com/",
        "http://pd.tidb.cluster.local/",
        "http://tidb.svc/",
        "http://a.pod.pd.tidb.svc/",
        "http://kubernetes.default.svc/",
        "http://.pd.tidb.svc/",
    ];
    for url in urls {
        let message = refused(url, &Settings::default());
        assert!(message.contains("namespace tidb") && message.contains("--allow-endpoint"), "{url}: {message}");
    }
    assert_eq!(
        refused("https://pd.other.svc/x", &Settings::default()),
        "is not allowed: pd.other.svc is neither the pod, its node, another pod nor a Service in namespace tidb. Whoever runs Castoff \
         can allow it with --allow-endpoint pd.other.svc:443"
    );
}

#[test]
fn allows_what_whoever_runs_castoff_has_allowed() {
    let rows = [
        ("example.com", "http://example.com/", true),
        ("EXAMPLE.com.", "http://example.com./", true),
        ("example.com", "http://www.example.com/", false),
        ("example.com:8443", "https://example.com:8443/", true),
        ("example.com:8443", "https://example.com/", false),
        ("example.com:443", "https://example.com/", true),
        ("*.example.com", "http://a.b.example.com/", true),
        ("*.example.com", "http://example.com/", false),
        ("*.example.com", "http://notexample.com/", false),
        ("10.0.0.0/8", "http://10.9.9.9/", true),
        ("10.0.0.0/8", "http://11.9.9.9/", false),
        ("10.0.0.0/8", "http://[::ffff:10.9.9.9]/", true),
        ("10.9.9.9:80", "http://10.9.9.9/", true),
        ("10.9.9.9:80", "http://10.9.9.9:81/", false),
        ("fd34::/16", "http://[fd34::1]/", true),
        ("[fd34::/16]:80", "http://[fd34::1]/", true),
        ("[fd34::/16]:80", "http://[fd34::1]:81/", false),
        ("0.0.0.0/0", "http://example.com/", false),
    ];
    for (pattern, url, expected) in rows {
        assert_eq!(allow_url(url, &scope(), &settings(&[pattern])).is_ok(), expected, "{pattern} for {url}");
    }
}

#[test]
fn refuses_the_machine_and_its_cloud_whatever_is_allowed() {
    let urls = [
        "http://169.254.169.254/latest/meta-data",
        "http://metadata.google.internal/",
        "http://METADATA.google.internal./",
        "http://[fe80::1]/",
        "http://[fd00:ec2::254]/",
        "http://100.100.100.200/",
        "http://0.0.0.0/",
        "http://[::]/",
        "http://224.0.0.1/",
        "http://255.255.255.255/",
        "http://localhost/",
        "http://foo.localhost/",
        "http://127.0.0.1/",
        "http://127.0.0.1./",
        "http://[::1]/",
        // The same in other spellings: decimal, hexadecimal, octal, short, full-width, percent-encoded, inside of IPv6.
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0x7f.1/",
        "http://0177.0.0.1/",
        "http://127.1/",
        "http://\u{ff11}\u{ff12}\u{ff17}.0.0.1/",
        "http://%31%32%37.0.0.1/",
        "http://2852039166/",
        "http://0xa9.0xfe.0xa9.0xfe/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::ffff:a9fe:a9fe]/",
        "http://[64:ff9b::a9fe:a9fe]/",
        "http://[2002:a9fe:a9fe::]/",
    ];
    for url in urls {
        let message = refused(url, &settings(&EVERYTHING));
        assert!(message.starts_with("is never allowed: it leads to "), "{url}: {message}");
    }
}

#[test]
fn refuses_a_forged_address_of_the_pod() {
    let mut scope = scope();
    let pod = Arc::make_mut(&mut scope.pod);
    pod.status.pod_ip = "169.254.169.254".into();
    pod.status.host_ip = "127.0.0.1".into();
    assert!(allow_url("http://169.254.169.254/", &scope, &Settings::default()).is_err());
    assert!(allow_url("http://127.0.0.1/", &scope, &Settings::default()).is_err());
}

#[test]
fn allows_loopback_without_a_cluster() {
    let settings = Settings { loopback: true, ..Settings::default() };
    for url in ["http://127.0.0.1:1/", "http://[::1]/", "http://localhost:2379/", "http://pd.localhost/"] {
        assert_eq!(allowed(url, &settings).url.as_str(), url);
    }
    assert!(refused("http://169.254.169.254/", &settings).starts_with("is never allowed"));
    assert!(refused("http://10.9.9.9/", &settings).starts_with("is not allowed"));
}

#[test]
fn refuses_what_is_no_plain_http_url() {
    let rows = [
        ("ftp://10.1.2.3/", "only http, https, redis, rediss and kubernetes"),
        ("file:///etc/passwd", "only http, https, redis, rediss and kubernetes"),
        ("http://me:hunter2@10.1.2.3/", "name a Secret"),
        ("http://me@10.1.2.3/", "name a Secret"),
        ("10.1.2.3/x", "is no URL"),
        ("", "is no URL"),
        ("http://", "is no URL"),
        ("http://10.1.2.3:99999/", "is no URL"),
    ];
    for (url, expected) in rows {
        let message = refused(url, &Settings::default());
        assert!(message.contains(expected) && !message.contains("hunter2"), "{url}: {message}");
    }
}

#[test]
fn redis_urls_go_by_the_same_rules_however_their_address_is_written() {
    for url in [
        "redis://10.1.2.3",
        "rediss://0xa.1.2.3:6379",
        "redis://167838211/",
        "redis://[::ffff:10.1.2.3]",
        "redis://%31%30.1.2.3",
    ] {
        let target = allowed(url, &Settings::default());
        assert!(target.of_pod && target.port == 6379, "{url}: {target:?}");
    }
    let target = allowed("redis://REDIS:26379", &Settings::default());
    assert_eq!((target.host.to_string().as_str(), target.port), ("redis.tidb.svc", 26379));
    for url in [
        "redis://169.254.169.254",
        "redis://2852039166:80",
        "rediss://[::ffff:a9fe:a9fe]",
        "redis://localhost",
        "redis://127.1",
    ] {
        assert!(refused(url, &Settings::default()).starts_with("is never allowed"), "{url}");
    }
    for (url, expected) in [
        ("redis://10.1.2.4", "is not allowed"),
        ("redis://redis.other.svc", "is not allowed"),
        ("redis://:hunter2@10.1.2.3", "name a Secret"),
        ("redis://10.1.2.3/0", "has a meaning"),
        ("redis://10.1.2.3?protocol=2", "has a meaning"),
        ("redis://10.1.2.3:99999", "is no URL"),
        ("redis://", "is no URL"),
        ("unix:///run/redis.sock", "only http, https, redis, rediss and kubernetes"),
    ] {
        let message = refused(url, &Settings::default());
        assert!(message.contains(expected) && !message.contains("hunter2"), "{url}: {message}");
    }
}

#[test]
fn takes_no_short_name_for_a_host_of_the_internet() {
    let mut scope = scope();
    scope.namespace = "io".to_owned();
    let target = allow_url("http://db.io/", &scope, &Settings::default()).unwrap();
    assert_eq!(target.url.as_str(), "http://db.io.svc/");
}

#[test]
fn says_what_is_wrong_with_a_pattern() {
    for text in ["", "*", "*.", "exa mple.com", "http://example.com", "example.com:http", "10.0.0.0/33", "a..b", ":80"]
    {
        let error = text.parse::<Pattern>().unwrap_err().to_string();
        assert!(error.contains("write a host"), "{text}: {error}");
    }
}
