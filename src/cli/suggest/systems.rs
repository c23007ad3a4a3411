//! The systems that a built-in plan or a recipe knows, and how a workload shows that it is one of them.

use crate::plan::catalogue;

use super::workload::{Found, Step, Workload, quoted};

/// A system whose pods a StatefulSet makes, told by its images.
struct System {
    images: &'static [&'static str],
    step: &'static str,
    plan: &'static str,
    needs: Needs,
    /// What besides is to be filled in; empty where nothing is.
    todo: &'static str,
}

/// What its plan has to be told.
enum Needs {
    /// Nothing: it asks the pod itself.
    Nothing,
    /// The labels of all members, by this parameter.
    Members(&'static str),
    /// A Service in front of all members, by this parameter, of this port.
    Service(&'static str, i64),
}

const WITH_TLS: &str = "with TLS: https, and credentials: {secretName: ...} below parameters";

const SYSTEMS: [System; 15] = [
    system(&["etcd"], "move-leadership", "etcd", Needs::Service("url", 2379), WITH_TLS),
    system(&["patroni", "spilo"], "switch-over", "patroni", Needs::Nothing, ""),
    system(
        &["kafka", "cp-kafka", "cp-server"],
        "in-sync",
        "kafka",
        Needs::Members("selector"),
        "each broker needs the JMX exporter; port: ... where its own is not 9404",
    ),
    system(&["nats"], "all-current", "nats", Needs::Members("selector"), ""),
    system(&["zookeeper"], "keep-quorum", "zookeeper", Needs::Members("selector"), ""),
    system(&["opensearch", "elasticsearch"], "no-lonely-shards", "opensearch", Needs::Service("url", 9200), WITH_TLS),
    system(
        &["rabbitmq"],
        "keep-quorum",
        "rabbitmq",
        Needs::Nothing,
        "parameters: {authSecret: ...}, a Secret with username and password of a user with the tag monitoring",
    ),
    system(&["minio"], "keep-quorum", "minio", Needs::Nothing, ""),
    system(&["redpanda"], "maintenance", "redpanda", Needs::Service("url", 9644), WITH_TLS),
    system(
        &["vault", "openbao"],
        "step-down",
        "vault",
        Needs::Service("url", 8200),
        "authSecret is a Secret whose token may do what castoff plans vault tells",
    ),
    system(&["redis-sentinel", "valkey-sentinel"], "hand-over", "redis-sentinel", Needs::Members("sentinels"), ""),
    system(&["redis-cluster", "valkey-cluster"], "hand-over", "redis-cluster", Needs::Nothing, ""),
    system(
        &["cockroach"],
        "all-replicated",
        "cockroachdb",
        Needs::Members("selector"),
        "add scheme: http where the nodes were started with --insecure, else tlsSecret: ...",
    ),
    system(&["qdrant"], "no-lonely-shards", "qdrant", Needs::Nothing, ""),
    system(&["vllm", "vllm-openai"], "finish-requests", "vllm", Needs::Nothing, ""),
];

/// What only its own commands can prepare: images, and the recipe with the sidecar that runs them.
const BY_COMMANDS: [(&[&str], &str); 4] = [
    (&["mongo", "mongodb", "percona-server-mongodb"], "mongodb.yaml"),
    (&["mysql", "community-server"], "mysql-group-replication.yaml"),
    (&["mariadb-galera", "percona-xtradb-cluster"], "galera.yaml"),
    (&["cassandra"], "cassandra.yaml"),
];

const fn system(
    images: &'static [&'static str],
    step: &'static str,
    plan: &'static str,
    needs: Needs,
    todo: &'static str,
) -> System {
    System { images, step, plan, needs, todo }
}

/// The recipe of a system that needs a sidecar.
pub(super) fn recipe_of(workload: &Workload) -> Option<&'static str> {
    let is_it = |(images, _): &&(&[&str], &str)| images.iter().any(|image| workload.runs(image));
    BY_COMMANDS.iter().filter(|_| workload.kind == "StatefulSet").find(is_it).map(|(_, recipe)| *recipe)
}

/// The step for a system that a built-in plan knows.
pub(super) fn step_of(workload: &Workload, found: &Found) -> Option<Step> {
    let of_pd = || found.service(2379, Some(("app.kubernetes.io/component", "pd")));
    if workload.runs("tikv") {
        return Some(with_url(("evict-leaders", "tikv", "pd"), of_pd(), "http://basic-pd:2379", WITH_TLS));
    }
    if workload.runs("pd") {
        return Some(with_url(("move-leadership", "pd", "pd"), of_pd(), "http://basic-pd:2379", WITH_TLS));
    }
    if workload.labels.get("application").is_some_and(|name| name == "spilo") {
        return Some(Step::sure("switch-over", "patroni", Vec::new()));
    }
    let is_it = |system: &&System| system.images.iter().any(|image| workload.runs(image));
    // What answers requests alone may be of any kind; the rest has places of its own.
    let may_be = |system: &&System| workload.kind == "StatefulSet" || system.plan == "vllm";
    let known = SYSTEMS.iter().filter(may_be).find(is_it).map(|system| system.step_for(workload, found));
    known.or_else(|| client_of(workload, found))
}

impl System {
    fn step_for(&self, workload: &Workload, found: &Found) -> Step {
        let mut step = self.plain_step(workload, found);
        let plan = catalogue::builtin(self.plan);
        if plan.is_some_and(|plan| plan.spec().params.get("authSecret").is_some_and(|secret| secret.required)) {
            step.parameters.push(("authSecret", quoted(&format!("{}-castoff", workload.name))));
        }
        step
    }

    fn plain_step(&self, workload: &Workload, found: &Found) -> Step {
        let todo = Some(self.todo).filter(|todo| !todo.is_empty()).map(str::to_owned);
        match self.needs {
            Needs::Nothing => Step { todo, ..Step::sure(self.step, self.plan, Vec::new()) },
            Needs::Members(parameter) => {
                let labels: Vec<String> =
                    workload.selector.iter().map(|(key, value)| format!("{key}={value}")).collect();
                let parameters = vec![(parameter, quoted(&labels.join(",")))];
                Step { todo, ..Step::sure(self.step, self.plan, parameters) }
            }
            Needs::Service(parameter, port) => {
                let example = format!("http://{}:{port}", workload.name);
                let url = found.in_front_of(workload, port);
                with_url((self.step, self.plan, parameter), url, &example, self.todo)
            }
        }
    }
}

/// What is registered somewhere, or works off a queue.
fn client_of(workload: &Workload, found: &Found) -> Option<Step> {
    let in_consul = ["consul.hashicorp.com/connect-inject", "consul.hashicorp.com/service-name"];
    if in_consul.iter().any(|key| workload.annotations.contains_key(*key)) {
        let todo = "is the service's ID at the agent the pod's name? if not: parameters: {service: ...}".to_owned();
        return Some(Step { todo: Some(todo), ..Step::sure("leave-consul", "consul", Vec::new()) });
    }
    let has_variable = |part: &str| workload.environment.iter().any(|name| name.contains(part));
    let has_word = |word: &str| workload.words.iter().any(|one| one == word || one.ends_with(&format!("/{word}")));
    let service = workload.name.as_str();
    if has_variable("EUREKA_CLIENT") {
        let step = ("leave-eureka", "eureka", "url");
        let url = found.service(8761, None).map(|url| url + "/eureka");
        let mut step =
            with_url(step, url, "http://eureka:8761/eureka", "app: its name there; and as long as its clients' caches");
        step.parameters.push(("app", quoted(&service.to_uppercase())));
        return Some(step);
    }
    if has_variable("NACOS") {
        let step = ("leave-nacos", "nacos", "url");
        let url = found.service(8848, None).map(|url| url + "/nacos");
        let mut step = with_url(step, url, "http://nacos:8848/nacos", "service and port: as it is registered there");
        step.parameters.push(("service", quoted(service)));
        step.parameters.push(("port", workload.port().unwrap_or(8080).to_string()));
        return Some(step);
    }
    (has_word("celery") && has_word("worker")).then(|| {
        let todo = "Flower's API must be open to Castoff; queues: ... where it has others than celery";
        with_url(("finish-tasks", "celery", "flower"), found.service(5555, None), "http://flower:5555", todo)
    })
}

fn with_url(
    (name, plan, parameter): (&'static str, &'static str, &'static str),
    url: Option<String>,
    example: &str,
    todo: &str,
) -> Step {
    let (url, todo) = match url {
        Some(url) => (url, todo.to_owned()),
        None => (example.to_owned(), format!("the Service in front of all members; {todo}")),
    };
    Step { todo: Some(todo), ..Step::sure(name, plan, vec![(parameter, quoted(&url))]) }
}
