//! Real etcd members on loopback.

use std::fs::File;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use ureq::Agent;
use ureq::http::Request;

/// For one request, where a step names no other.
pub const TIMEOUT: Duration = Duration::from_secs(10);

/// How long a wait may take on a slow, busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// Which member, by its place in the cluster.
pub type Number = usize;

/// What is asked of a member.
pub struct Asked {
    pub method: &'static str,
    pub path: &'static str,
    pub body: Value,
}

/// One etcd process.
struct Member {
    name: String,
    id: String,
    client_url: String,
    peer_url: String,
    process: Option<Child>,
}

/// Members, and what was asked of them. Ends them all when it goes.
pub struct Cluster {
    binary: PathBuf,
    folder: PathBuf,
    members: Vec<Member>,
    pub steps: Vec<Value>,
}

impl Drop for Cluster {
    fn drop(&mut self) {
        (0..self.members.len()).for_each(|number| self.kill(number));
    }
}

impl Cluster {
    /// Three members that started together, of which the first leads.
    pub fn start(binary: &Path, folder: &Path) -> Result<Cluster, String> {
        let mut cluster =
            Cluster { binary: binary.to_owned(), folder: folder.to_owned(), members: Vec::new(), steps: Vec::new() };
        for number in 0..3 {
            cluster.make_member(&format!("etcd-{number}"))?;
        }
        (0..3).try_for_each(|number| cluster.run(number, false))?;
        wait("all are healthy", || (0..3).all(|number| cluster.ask(number, &get("/health"), TIMEOUT)["code"] == 200))?;
        for number in 0..3 {
            cluster.learn_id(number)?;
        }
        cluster.lead(0)?;
        Ok(cluster)
    }

    /// A member that does not run yet.
    pub fn make_member(&mut self, name: &str) -> Result<Number, String> {
        let [client, peer] = free_ports()?;
        self.members.push(Member {
            name: name.to_owned(),
            id: String::new(),
            client_url: format!("http://127.0.0.1:{client}"),
            peer_url: format!("http://127.0.0.1:{peer}"),
            process: None,
        });
        Ok(self.members.len() - 1)
    }

    /// Starts a member; `joining` where the cluster is there already.
    pub fn run(&mut self, number: Number, joining: bool) -> Result<(), String> {
        let peers: Vec<String> =
            self.members.iter().map(|member| format!("{}={}", member.name, member.peer_url)).collect();
        let member = &self.members[number];
        let log = File::create(self.folder.join(format!("{}.log", member.name))).map_err(|error| error.to_string())?;
        let copy = log.try_clone().map_err(|error| error.to_string())?;
        let mut command = Command::new(&self.binary);
        command.arg("--unsafe-no-fsync").arg("--data-dir").arg(self.folder.join(&member.name));
        for (option, value) in [
            ("--name", member.name.as_str()),
            ("--listen-client-urls", &member.client_url),
            // As in a cluster: what a member says of itself is its stable name, and no port of the day gets recorded.
            ("--advertise-client-urls", &format!("http://{}.etcd.default.svc:2379", member.name)),
            ("--listen-peer-urls", &member.peer_url),
            ("--initial-advertise-peer-urls", &member.peer_url),
            ("--initial-cluster", &peers.join(",")),
            ("--initial-cluster-state", if joining { "existing" } else { "new" }),
            // Calm elections on a busy machine: who leads changes only when a step makes it change.
            ("--heartbeat-interval", "200"),
            ("--election-timeout", "2000"),
        ] {
            command.args([option, value]);
        }
        let process = command.stdin(Stdio::null()).stdout(log).stderr(copy).spawn();
        self.members[number].process = Some(process.map_err(|error| format!("etcd: {error}"))?);
        Ok(())
    }

    pub fn kill(&mut self, number: Number) {
        if let Some(mut process) = self.members[number].process.take() {
            // It may have ended by itself.
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Waits until a member has ended by itself.
    pub fn wait_until_ended(&mut self, number: Number) -> Result<(), String> {
        let name = self.members[number].name.clone();
        let Some(process) = &mut self.members[number].process else { return Ok(()) };
        wait(&format!("{name} has ended"), || process.try_wait().is_ok_and(|ended| ended.is_some()))
    }

    pub fn id(&self, number: Number) -> &str {
        &self.members[number].id
    }

    pub fn name(&self, number: Number) -> &str {
        &self.members[number].name
    }

    pub fn peer_url(&self, number: Number) -> &str {
        &self.members[number].peer_url
    }

    /// The members' names by their IDs.
    pub fn names(&self) -> Value {
        let names = self.members.iter().map(|member| (member.id.clone(), Value::from(member.name.as_str())));
        Value::Object(names.collect::<Map<_, _>>())
    }

    /// Something that was done, and is no request.
    pub fn act(&mut self, note: &str) {
        self.steps.push(json!({"note": note, "action": true}));
    }

    /// One step: a request and its answer.
    pub fn step(&mut self, note: &str, number: Number, asked: &Asked, timeout: Duration) {
        let answer = self.ask(number, asked, timeout);
        self.keep(note, number, asked, &answer);
    }

    /// A step that changes the membership: etcd refuses that (unhealthy cluster) until its members have been connected
    /// for 5 s; only the answer after that is recorded.
    pub fn change(&mut self, note: &str, number: Number, asked: &Asked) -> Result<(), String> {
        let mut answer = Value::Null;
        wait(note, || {
            answer = self.ask(number, asked, TIMEOUT);
            answer["code"] == 200
        })?;
        self.keep(note, number, asked, &answer);
        Ok(())
    }

    fn keep(&mut self, note: &str, number: Number, asked: &Asked, answer: &Value) {
        let Asked { method, path, body } = asked;
        let request = json!({"method": method, "path": path, "body": body, "target": self.members[number].name});
        self.steps.push(json!({"note": note, "request": request, "response": answer}));
    }

    /// One exchange, as it is recorded.
    fn ask(&self, number: Number, asked: &Asked, timeout: Duration) -> Value {
        let config = Agent::config_builder().timeout_global(Some(timeout)).http_status_as_error(false);
        let agent: Agent = config.proxy(None).build().into();
        let url = format!("{}{}", self.members[number].client_url, asked.path);
        let body = if asked.body.is_null() { String::new() } else { asked.body.to_string() };
        let request = Request::builder().method(asked.method).uri(url).header("Content-Type", "application/json");
        let sent = match request.body(body) {
            Ok(request) => agent.run(request),
            Err(error) => return no_response(&error.to_string()),
        };
        let answered = sent.and_then(|mut answer| {
            let text = answer.body_mut().read_to_string()?;
            let kind = answer.headers().get("Content-Type").and_then(|value| value.to_str().ok());
            Ok(answer_of(answer.status().as_u16(), kind, text))
        });
        answered.unwrap_or_else(|error| no_response(&why(&error)))
    }

    fn status(&self, number: Number) -> Value {
        let answer = self.ask(number, &post("/v3/maintenance/status", json!({})), TIMEOUT);
        if answer["code"] == 200 { answer["body"].clone() } else { Value::Null }
    }

    fn listed(&self) -> Vec<Value> {
        let answer = self.ask(0, &post("/v3/cluster/member/list", json!({})), TIMEOUT);
        answer["body"]["members"].as_array().cloned().unwrap_or_default()
    }

    /// Finds out a member's ID, by its peers' address.
    pub fn learn_id(&mut self, number: Number) -> Result<(), String> {
        let url = json!([self.members[number].peer_url]);
        let entry = self.listed().into_iter().find(|entry| entry["peerURLs"] == url);
        let id = entry.and_then(|entry| entry["ID"].as_str().map(str::to_owned));
        self.members[number].id = id.ok_or_else(|| format!("{} is not listed", self.members[number].name))?;
        Ok(())
    }

    /// Lets `wanted` lead, whoever won the first election.
    fn lead(&self, wanted: Number) -> Result<(), String> {
        wait(&format!("{} leads", self.members[wanted].name), || {
            let leads = |number: &Number| self.status(*number)["leader"] == self.members[*number].id.as_str();
            let leader = (0..self.members.len()).find(leads);
            if let Some(leader) = leader.filter(|leader| *leader != wanted) {
                let target = json!({"targetID": self.members[wanted].id});
                self.ask(leader, &post("/v3/maintenance/transfer-leadership", target), TIMEOUT);
            }
            leader == Some(wanted)
        })?;
        self.wait_for_leader(wanted, &[0, 1, 2])
    }

    pub fn wait_for_leader(&self, leader: Number, witnesses: &[Number]) -> Result<(), String> {
        let id = self.members[leader].id.as_str();
        wait(&format!("all see {} lead", self.members[leader].name), || {
            witnesses.iter().all(|witness| self.status(*witness)["leader"] == id)
        })
    }

    pub fn wait_for_no_leader(&self, witness: Number) -> Result<(), String> {
        wait("there is no leader", || {
            let status = self.status(witness);
            status.is_object() && status.get("leader").is_none_or(|leader| leader == "0")
        })
    }

    pub fn wait_for_name(&self, number: Number) -> Result<(), String> {
        let name = self.members[number].name.as_str();
        wait(&format!("{name} is listed"), || self.listed().iter().any(|entry| entry["name"] == name))
    }
}

pub fn get(path: &'static str) -> Asked {
    Asked { method: "GET", path, body: Value::Null }
}

pub fn post(path: &'static str, body: Value) -> Asked {
    Asked { method: "POST", path, body }
}

/// Waits until something holds.
fn wait(what: &str, mut holds: impl FnMut() -> bool) -> Result<(), String> {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        if Instant::now() > end {
            return Err(format!("{what}: not within {} s", PATIENCE.as_secs()));
        }
        sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Ports that were free a moment ago: both are held until the second is known, so that they differ.
fn free_ports() -> Result<[u16; 2], String> {
    let port = |listener: &TcpListener| listener.local_addr().map(|address| address.port());
    let held = (TcpListener::bind("127.0.0.1:0"), TcpListener::bind("127.0.0.1:0"));
    match held {
        (Ok(one), Ok(other)) => {
            Ok([port(&one).map_err(|error| error.to_string())?, port(&other).map_err(|error| error.to_string())?])
        }
        _ => Err("no port is free on loopback".to_owned()),
    }
}

fn answer_of(code: u16, content_type: Option<&str>, text: String) -> Value {
    let (kind, body) = match serde_json::from_str::<Value>(&text) {
        Ok(body) => ("json", body),
        Err(_) if text.is_empty() => ("empty", Value::Null),
        Err(_) => ("text", Value::from(text)),
    };
    json!({"code": code, "content_type": content_type, "body_kind": kind, "body": body})
}

fn no_response(why: &str) -> Value {
    json!({"code": null, "content_type": null, "body_kind": "no-response", "body": why})
}

fn why(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Timeout(_) => "timed out".to_owned(),
        ureq::Error::Io(error) if error.kind() == ErrorKind::TimedOut => "timed out".to_owned(),
        ureq::Error::Io(error) if error.kind() == ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_kept_by_what_it_is() {
        assert_eq!(answer_of(200, Some("application/json"), "{\"a\":1}".to_owned())["body"]["a"], 1);
        assert_eq!(answer_of(503, None, "no".to_owned())["body_kind"], "text");
        assert_eq!(answer_of(200, None, String::new())["body_kind"], "empty");
        assert_eq!(why(&ureq::Error::Io(ErrorKind::ConnectionRefused.into())), "connection refused");
        assert_eq!(why(&ureq::Error::Io(ErrorKind::TimedOut.into())), "timed out");
    }
}
