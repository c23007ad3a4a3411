//! The real program, its memory, and what it logs.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use castoff::backend::client::Clients;
use castoff::backend::credentials::Secret;
use castoff::backend::dns::{GuardedDns, SystemDns};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Within this others are answered, whatever goes on.
const SOON: Duration = Duration::from_millis(50);

pub struct Guard {
    child: Child,
    address: String,
    admin: String,
    ca: Vec<u8>,
    client: reqwest::Client,
    log: Arc<Mutex<String>>,
    _directory: TempDir,
}

/// A review that a real API server sent.
pub fn review() -> Value {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/reviews/1.36/delete-by-statefulset-controller.json");
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

impl Guard {
    /// A guard that guards the pods of some of the captured reviews.
    pub fn start() -> Guard {
        let directory = tempfile::tempdir().unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_castoff"))
            .args(["serve", "--standalone", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"])
            .args(["--policies", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/policies")])
            .arg("--self-signed")
            .arg(directory.path())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let told = lines.find(|line| line.contains("address=")).expect("the guard has ended early");
        let [address, admin] =
            ["address=", "admin="].map(|key| told.split_once(key).unwrap().1.split(' ').next().unwrap().to_owned());
        let log = Arc::new(Mutex::new(String::new()));
        let kept = Arc::clone(&log);
        std::thread::spawn(move || lines.for_each(|line| kept.lock().unwrap().push_str(&(line + "\n"))));
        let ca = std::fs::read(directory.path().join("ca.crt")).unwrap();
        let secret: Secret = [("ca.crt".to_owned(), ca.clone())].into_iter().collect();
        let client = Clients::new(GuardedDns::new(Arc::new(SystemDns::new()), true)).with(&secret).unwrap();
        Guard { child, address, admin, ca, client, log, _directory: directory }
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    pub fn admin(&self) -> &str {
        &self.admin
    }

    /// What was logged so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Opens a connection and shakes hands.
    pub async fn connect(&self) -> TlsStream<TcpStream> {
        self.shake_hands(TcpStream::connect(&self.address).await.unwrap()).await.unwrap()
    }

    /// Shakes hands on a connection.
    pub async fn shake_hands(&self, stream: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(&self.ca).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").unwrap(), stream).await
    }

    /// POSTs a body; status and text of the answer.
    pub async fn post(&self, body: Vec<u8>) -> (u16, String) {
        let port = self.address.rsplit(':').next().unwrap();
        let request = self.client.post(format!("https://localhost:{port}/validate?timeout=10s"));
        let answer = request.header("content-type", "application/json").body(body).send().await.unwrap();
        let status = answer.status().as_u16();
        (status, String::from_utf8(answer.bytes().await.unwrap().to_vec()).unwrap())
    }

    /// Asks as others do, again and again, while `abuse` goes on and at least 20 times. Half of the answers, no more, must
    /// come soon: caller and machine have other things to do, and what holds all of them up is seen in the half too.
    pub async fn answers_others_during<T>(&self, abuse: impl Future<Output = T>) -> T {
        let body = review().to_string().into_bytes();
        let mut times = Vec::new();
        tokio::pin!(abuse);
        let mut done = None;
        while done.is_none() || times.len() < 20 {
            let began = Instant::now();
            let asked = self.post(body.clone());
            tokio::pin!(asked);
            let (status, _) = loop {
                tokio::select! {
                    biased;
                    answer = asked.as_mut() => break answer,
                    ended = abuse.as_mut(), if done.is_none() => done = Some(ended),
                }
            };
            times.push(began.elapsed());
            assert_eq!(status, 200);
        }
        times.sort();
        let half = times[times.len() / 2];
        assert!(half < SOON, "half of {} answers took longer than {half:?}", times.len());
        done.unwrap()
    }

    /// The process's resident memory, in mebibytes. It must still be the same process.
    pub fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("the process lives");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("the process lives");
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
