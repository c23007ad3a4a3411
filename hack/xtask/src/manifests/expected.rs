//! What there should be.

/// What each folder builds besides what `BASE` has, and what it leaves out. One that is not here is only built.
pub const FOLDERS: [(&str, Expected); 7] = [
    ("base", Expected { base: true, more: &[], without: &[] }),
    ("overlays/single-node", Expected { base: true, more: &[], without: &["PodDisruptionBudget/castoff"] }),
    ("overlays/cert-manager", Expected { base: true, more: &CERT_MANAGER, without: &[] }),
    ("overlays/gitops", Expected { base: true, more: &["ValidatingWebhookConfiguration/castoff"], without: &[] }),
    ("overlays/network-policy", Expected { base: true, more: &["NetworkPolicy/castoff"], without: &[] }),
    ("overlays/eviction-responder", Expected { base: true, more: &RESPONDER, without: &[] }),
    (
        "monitoring",
        Expected {
            base: false,
            more: &["PrometheusRule/castoff", "PodMonitor/castoff", "ConfigMap/castoff-dashboard"],
            without: &[],
        },
    ),
];

pub struct Expected {
    base: bool,
    more: &'static [&'static str],
    without: &'static [&'static str],
}

impl Expected {
    /// The objects, as KIND/NAME.
    pub fn objects(&self) -> impl Iterator<Item = &'static str> {
        let base = if self.base { &BASE[..] } else { &[] };
        base.iter().chain(self.more).copied().filter(|name| !self.without.contains(name))
    }
}

const BASE: [&str; 29] = [
    "Namespace/castoff-system",
    "ResourceQuota/castoff-critical",
    "CustomResourceDefinition/drainplans.castoff.dev",
    "CustomResourceDefinition/drainpolicies.castoff.dev",
    "CustomResourceDefinition/nodedrains.castoff.dev",
    "CustomResourceDefinition/poddrains.castoff.dev",
    "ServiceAccount/castoff",
    "ClusterRole/castoff",
    "ClusterRole/castoff-admin",
    "ClusterRole/castoff-bypass",
    "ClusterRole/castoff-node-drain",
    "ClusterRole/castoff-prepare",
    "ClusterRole/castoff-view",
    "ClusterRoleBinding/castoff",
    "FlowSchema/castoff-drains",
    "FlowSchema/castoff-lease",
    "Role/castoff",
    "RoleBinding/castoff",
    "Role/castoff-certificates",
    "RoleBinding/castoff-certificates",
    "ValidatingAdmissionPolicy/castoff-account",
    "ValidatingAdmissionPolicyBinding/castoff-account",
    "ValidatingAdmissionPolicy/castoff-bypass",
    "ValidatingAdmissionPolicy/castoff-freeze",
    "ValidatingAdmissionPolicyBinding/castoff-bypass",
    "ValidatingAdmissionPolicyBinding/castoff-freeze",
    "Deployment/castoff",
    "Service/castoff",
    "PodDisruptionBudget/castoff",
];

const RESPONDER: [&str; 4] = [
    "ClusterRole/castoff-eviction-responder",
    "ClusterRoleBinding/castoff-eviction-responder",
    "MutatingAdmissionPolicy/castoff-eviction-responder",
    "MutatingAdmissionPolicyBinding/castoff-eviction-responder",
];

const CERT_MANAGER: [&str; 4] =
    ["Issuer/castoff-root", "Issuer/castoff", "Certificate/castoff-ca", "Certificate/castoff"];

/// What the arguments of the Deployment of a folder must hold.
pub const ARGUMENTS: [(&str, &[&str]); 3] = [
    ("overlays/cert-manager", &["--tls-cert=/certificates/tls.crt", "--inject-ca-from=castoff-system/castoff"]),
    ("overlays/gitops", &["--manage-webhook=false"]),
    ("overlays/eviction-responder", &["--eviction-responder"]),
];

/// What the kustomization in manifests/README.md must make.
pub const EXAMPLE: [&str; 4] =
    ["image: REGISTRY/castoff:0.1.0", "replicas: 3", "key: agent", "- --runbook-url=https://wiki.example/"];

/// What the chart makes with these values is what a kustomization builds, but for the namespace, which is Helm's.
pub const CHART: [(&str, &str); 7] = [
    ("", "base"),
    ("replicas=1", "overlays/single-node"),
    ("certManager.enabled=true", "overlays/cert-manager"),
    ("manageWebhook=false", "overlays/gitops"),
    ("networkPolicy.enabled=true", "overlays/network-policy"),
    ("evictionResponder=true", "overlays/eviction-responder"),
    ("monitoring.enabled=true", "monitoring"),
];

/// Values that have no overlay, and what must then be there, each in an object.
pub const CHANGED: [(&str, &[&str]); 33] = [
    ("image.repository=registry.example/castoff,image.tag=v1", &["image: registry.example/castoff:v1"]),
    (
        "image.digest=sha256:0000000000000000000000000000000000000000000000000000000000000000",
        &["image: castoff:0.1.0@sha256:0000000000000000000000000000000000000000000000000000000000000000"],
    ),
    ("image.pullSecrets[0].name=registry", &["imagePullSecrets:\n      - name: registry"]),
    ("image.pullPolicy=Always", &["imagePullPolicy: Always"]),
    ("commonLabels.team=storage", &["team: storage\n  name: castoff-critical", "team: storage\n    spec:"]),
    ("updateStrategy.rollingUpdate.maxSurge=2", &["maxSurge: 2\n      maxUnavailable: 0"]),
    ("updateStrategy.type=Recreate,updateStrategy.rollingUpdate=null", &["strategy:\n    type: Recreate\n"]),
    ("priorityClassName=mine", &["priorityClassName: mine"]),
    ("podLabels.a=b,podAnnotations.c=d", &["labels:\n        a: b", "annotations:\n        c: d"]),
    ("deploymentAnnotations.a=b", &["kind: Deployment\nmetadata:\n  annotations:\n    a: b"]),
    ("affinity.nodeAffinity.x=y", &["affinity:\n        nodeAffinity:\n          x: \"y\""]),
    ("topologySpreadConstraints[0].topologyKey=rack", &["topologySpreadConstraints:\n      - topologyKey: rack\n"]),
    ("hostNetwork=true,port=9443", &["hostNetwork: true", "dnsPolicy: ClusterFirstWithHostNet"]),
    (
        "dnsPolicy=None,dnsConfig.nameservers={10.0.0.10}",
        &["dnsPolicy: None", "dnsConfig:\n        nameservers:\n        - 10.0.0.10"],
    ),
    ("port=8443,networkPolicy.enabled=true", &[":8443", "containerPort: 8443", "- port: 8443"]),
    ("adminPort=8082,networkPolicy.enabled=true", &["]:8082", "containerPort: 8082", "- port: 8082"]),
    ("failurePolicy=Ignore", &["--failure-policy=Ignore"]),
    ("allowEndpoints={10.0.0.0/8,*.example:443}", &["--allow-endpoint=10.0.0.0/8", "--allow-endpoint=*.example:443"]),
    ("allowNamespaces={kube-system}", &["--allow-namespace=kube-system"]),
    ("extraArgs={--log=debug},logFormat=human", &["--log=debug", "--log-format=human"]),
    ("extraEnv[0].name=PROXY,extraEnv[0].value=x", &["- name: PROXY\n          value: x"]),
    ("extraVolumes[0].name=more", &["volumes:\n      - name: more"]),
    ("extraVolumeMounts[0].name=more", &["volumeMounts:\n        - name: more"]),
    ("livenessProbe.periodSeconds=7", &["path: /livez\n            port: admin\n          periodSeconds: 7"]),
    (
        "readinessProbe.initialDelaySeconds=9",
        &["port: admin\n          initialDelaySeconds: 9\n          periodSeconds: 2"],
    ),
    ("nodeSelector.disk=fast,tolerations[0].key=system", &["disk: fast", "- key: system"]),
    ("resources.limits.memory=1Gi", &["memory: 1Gi"]),
    (
        "serviceAccount.name=guard,serviceAccount.annotations.cloud=x",
        &[
            "annotations:\n    cloud: x",
            "serviceAccountName: guard",
            "system:serviceaccount:castoff-system:guard'",
            "kind: ServiceAccount\n  name: guard",
        ],
    ),
    ("podDisruptionBudget.maxUnavailable=50%", &["maxUnavailable: 50%"]),
    ("networkPolicy.enabled=true,networkPolicy.from[0].ipBlock.cidr=10.9.0.0/28", &["cidr: 10.9.0.0/28"]),
    ("networkPolicy.enabled=true,networkPolicy.metricsFrom[0].podSelector.x=y", &["- podSelector:\n        x: \"y\""]),
    ("replicas=1,monitoring.enabled=true", &["count(castoff_build_info) < 1"]),
    (
        "monitoring.enabled=true,monitoring.namespace=eyes,monitoring.interval=20s,monitoring.labels.by=prom,\
        runbookUrl=https://wiki.example/book",
        &[
            "namespace: eyes",
            "matchNames:\n    - castoff-system",
            "interval: 20s",
            "by: prom",
            "runbook_url: https://wiki.example/book#no-leader",
            "--runbook-url=https://wiki.example/book",
        ],
    ),
];

/// Values that leave an object out.
pub const WITHOUT: [(&str, &str); 2] = [
    ("serviceAccount.create=false", "kind: ServiceAccount\nmetadata:"),
    ("podDisruptionBudget.enabled=false", "kind: PodDisruptionBudget"),
];

/// Mistakes that the chart must refuse.
pub const REFUSED: [&str; 9] = [
    "replica=3",
    "replicas=0",
    "failurePolicy=Maybe",
    "image.name=castoff",
    "certManager=true",
    "hostNetwork=true",
    "podDisruptionBudget.maxUnavailable=half",
    "livenessProbe.path=/x",
    "monitoring.interval=often",
];
