//! What stands for all backends: a process of its own that answers at once, late, at length or never, and counts.

use std::convert::Infallible;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// How long a slow backend takes: an answer just in time for a round.
const SLOWNESS: Duration = Duration::from_millis(2800);

/// What was asked so far under `/prompt/`.
#[derive(Default)]
struct Seen {
    looks: AtomicU64,
    done: AtomicU64,
    /// Of one pod: when its looks came, in milliseconds.
    one: Mutex<Vec<u128>>,
    /// An answer of 2.3 MB whose items a plan compares with each other.
    long: Bytes,
}

/// Serves on a free port of every address of this machine; prints the port.
pub async fn serve() {
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap().port());
    let long = format!("{{\"left\": 5, \"items\": {:?}}}", vec![1; 770_000]).into();
    let (seen, began) = (Arc::new(Seen { long, ..Seen::default() }), Instant::now());
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let _ = stream.set_nodelay(true);
        let seen = Arc::clone(&seen);
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(request, Arc::clone(&seen), began));
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    seen: Arc<Seen>,
    began: Instant,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path();
    let left = if seen.done.load(Ordering::Relaxed) > 0 { 0 } else { 5 };
    let body: Bytes = match path.split('/').nth(1).unwrap_or_default() {
        "seen" => {
            let one = std::mem::take(&mut *seen.one.lock().unwrap());
            format!("{{\"looks\": {}, \"one\": {one:?}}}", seen.looks.load(Ordering::Relaxed)).into()
        }
        "done" => {
            seen.done.store(1, Ordering::Relaxed);
            "{}".into()
        }
        "prompt" => {
            seen.looks.fetch_add(1, Ordering::Relaxed);
            if path.ends_with("/p0-0") {
                seen.one.lock().unwrap().push(began.elapsed().as_millis());
            }
            format!("{{\"left\": {left}}}").into()
        }
        "long" => seen.long.clone(),
        kind => {
            if kind == "hang" {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(SLOWNESS).await;
            "{\"left\": 5}".into()
        }
    };
    Ok(Response::new(Full::new(body)))
}

/// The process, on a processor that Castoff has not.
pub struct Backend {
    child: Child,
    pub port: u16,
}

/// What it was asked so far.
#[derive(Debug, serde::Deserialize)]
pub struct Asked {
    pub looks: u64,
    pub one: Vec<u64>,
}

impl Backend {
    pub fn start() -> Backend {
        let program = std::env::current_exe().unwrap();
        let mut command = Command::new("taskset");
        command.args(["-c", "1"]).arg(program).arg("backend").stdout(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let port = BufReader::new(child.stdout.take().unwrap()).lines().next().unwrap().unwrap().parse().unwrap();
        Backend { child, port }
    }

    /// Its address in the eyes of a policy: a host for each.
    pub fn host(&self, policy: usize) -> String {
        let address = SocketAddr::from((
            [127, 1, u8::try_from(policy / 250).unwrap(), u8::try_from(policy % 250 + 1).unwrap()],
            self.port,
        ));
        format!("http://{address}")
    }

    pub async fn asked(&self) -> Asked {
        serde_json::from_str(&self.get("seen").await).unwrap()
    }

    /// From now on nothing is left at any of them.
    pub async fn done(&self) {
        self.get("done").await;
    }

    async fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        let request = format!("GET /{path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer.split_once("\r\n\r\n").unwrap().1.to_owned()
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
