//! What there should be.

/// What each folder builds besides what `BASE` has, and what it leaves out. One that is not here is only built.
pub const FOLDERS: [(&str, Expected); 6] = [
    ("base", Expected { base: true, more: &[], without: &[] }),
    ("overlays/single-node", Expected { base: true, more: &[], without: &["PodDisruptionBudget/castoff"] }),
    ("overlays/cert-manager", Expected { base: true, more: &CERT_MANAGER, without: &[] }),
    ("overlays/gitops", Expected { base: true, more: &["ValidatingWebhookConfiguration/castoff"], without: &[] }),
    ("overlays/network-policy", Expected { base: true, more: &["NetworkPolicy/castoff"], without: &[] }),
    ("monitoring", Expected { base: false, more: &["PrometheusRule/castoff", "PodMonitor/castoff"], without: &[] }),
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

const BASE: [&str; 23] = [
    "Namespace/castoff-system",
    "ResourceQuota/castoff-critical",
    "CustomResourceDefinition/drainplans.castoff.dev",
    "CustomResourceDefinition/drainpolicies.castoff.dev",
    "CustomResourceDefinition/poddrains.castoff.dev",
    "ServiceAccount/castoff",
    "ClusterRole/castoff",
    "ClusterRole/castoff-admin",
    "ClusterRole/castoff-bypass",
    "ClusterRole/castoff-prepare",
    "ClusterRole/castoff-view",
    "ClusterRoleBinding/castoff",
    "Role/castoff",
    "RoleBinding/castoff",
    "Role/castoff-certificates",
    "RoleBinding/castoff-certificates",
    "ValidatingAdmissionPolicy/castoff-account",
    "ValidatingAdmissionPolicyBinding/castoff-account",
    "ValidatingAdmissionPolicy/castoff-bypass",
    "ValidatingAdmissionPolicyBinding/castoff-bypass",
    "Deployment/castoff",
    "Service/castoff",
    "PodDisruptionBudget/castoff",
];

const CERT_MANAGER: [&str; 4] =
    ["Issuer/castoff-root", "Issuer/castoff", "Certificate/castoff-ca", "Certificate/castoff"];

/// What the arguments of the Deployment of a folder must hold.
pub const ARGUMENTS: [(&str, &[&str]); 2] = [
    ("overlays/cert-manager", &["--tls-cert=/certificates/tls.crt", "--inject-ca-from=castoff-system/castoff"]),
    ("overlays/gitops", &["--manage-webhook=false"]),
];

/// What the kustomization in manifests/README.md must make.
pub const EXAMPLE: [&str; 4] =
    ["image: REGISTRY/castoff:0.1.0", "replicas: 3", "key: agent", "- --runbook-url=https://wiki.example/"];

/// What the chart makes with these values is what a kustomization builds, but for the namespace, which is Helm's.
pub const CHART: [(&str, &str); 6] = [
    ("", "base"),
    ("replicas=1", "overlays/single-node"),
    ("certManager.enabled=true", "overlays/cert-manager"),
    ("manageWebhook=false", "overlays/gitops"),
    ("networkPolicy.enabled=true", "overlays/network-policy"),
    ("monitoring.enabled=true", "monitoring"),
];

/// Values that have no overlay, and what must then be there, each in an object.
pub const CHANGED: [(&str, &[&str]); 10] = [
    ("image.repository=registry.example/castoff,image.tag=v1", &["image: registry.example/castoff:v1"]),
    ("image.pullSecrets[0].name=registry", &["imagePullSecrets:\n      - name: registry"]),
    ("port=8443,networkPolicy.enabled=true", &[":8443", "containerPort: 8443", "- port: 8443"]),
    ("failurePolicy=Ignore", &["--failure-policy=Ignore"]),
    ("allowEndpoints={10.0.0.0/8,*.example:443}", &["--allow-endpoint=10.0.0.0/8", "--allow-endpoint=*.example:443"]),
    ("allowNamespaces={kube-system}", &["--allow-namespace=kube-system"]),
    ("extraArgs={--log=debug},logFormat=human", &["--log=debug", "--log-format=human"]),
    ("nodeSelector.disk=fast,tolerations[0].key=system", &["disk: fast", "- key: system"]),
    ("resources.limits.memory=1Gi", &["memory: 1Gi"]),
    ("replicas=1,monitoring.enabled=true", &["count(castoff_build_info) < 1"]),
];

/// Mistakes that the chart must refuse.
pub const REFUSED: [&str; 5] =
    ["replica=3", "replicas=0", "failurePolicy=Maybe", "image.name=castoff", "certManager=true"];
