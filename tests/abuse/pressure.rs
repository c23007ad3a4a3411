//! Thousands of connections that ask for nothing, and bodies as long as they may be, on both ports at once.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

use crate::harness::{Guard, review};

/// What a kubelet waits for a probe, by the manifests.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// Where it gives up, by the manifests.
const PROBES_MISSED: usize = 2;

/// Connections that ask for nothing, half of them on each port.
const IDLE: usize = 2000;

/// Bodies that are sent at the same time.
const BODIES: usize = 100;

/// From how many addresses all that comes: more than have a share of a port.
const ADDRESSES: usize = 20;

/// Mebibytes that the process may take meanwhile.
const MEMORY: u64 = 128;

/// Just short of what is refused by its length.
const BODY: usize = 8 * 1024 * 1024;

/// A connection from one of the many addresses.
async fn connect(number: usize, to: &str) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    let last = u8::try_from(10 + number % ADDRESSES).unwrap();
    socket.bind(SocketAddr::from(([127, 0, 1, last], 0)))?;
    socket.connect(to.parse().unwrap()).await
}

/// How long whoever idles waits before it opens a connection anew.
const PAUSE: Duration = Duration::from_secs(5);

/// Holds a connection that asks for nothing, and takes a new one soon after it was closed; every eighth that speaks to
/// the webhook shakes hands first.
async fn idle(guard: Arc<Guard>, number: usize, opened: Arc<AtomicUsize>) {
    let to_webhook = number.is_multiple_of(2);
    loop {
        let address = if to_webhook { guard.address() } else { guard.admin() };
        let Ok(mut stream) = connect(number, address).await else { continue };
        opened.fetch_add(1, Ordering::Relaxed);
        if to_webhook && number.is_multiple_of(16) {
            if let Ok(mut stream) = guard.shake_hands(stream).await {
                until_closed(&mut stream).await;
            }
        } else {
            until_closed(&mut stream).await;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn until_closed(stream: &mut (impl AsyncRead + Unpin)) {
    let _ = stream.read(&mut [0; 1]).await;
}

/// Sends a body of which the last byte never comes, to its end or until it is refused; what was answered.
async fn send_body(guard: Arc<Guard>, number: usize, body: Arc<Vec<u8>>) -> String {
    if number.is_multiple_of(10) {
        return send(connect(number, guard.admin()).await.unwrap(), "/readyz", &body).await;
    }
    let stream = connect(number, guard.address()).await.unwrap();
    match guard.shake_hands(stream).await {
        Ok(stream) => send(stream, "/validate", &body).await,
        Err(_) => String::new(),
    }
}

async fn send(mut stream: impl AsyncRead + AsyncWrite + Unpin, path: &str, body: &[u8]) -> String {
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len() + 1
    );
    // Whoever is closed in the midst of it has made room for others.
    if stream.write_all(head.as_bytes()).await.is_ok() {
        let _ = stream.write_all(body).await;
        let _ = stream.flush().await;
    }
    let mut answer = vec![0; 64];
    let read = stream.read(&mut answer).await.unwrap_or(0);
    String::from_utf8_lossy(&answer[..read]).lines().next().unwrap_or_default().to_owned()
}

/// One probe as a kubelet makes it, on a connection of its own; what was answered.
async fn probe(guard: &Guard, path: &str) -> String {
    let asked = async {
        let mut stream = TcpStream::connect(guard.admin()).await?;
        stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await?;
        let mut answer = vec![0; 64];
        let read = stream.read(&mut answer).await?;
        std::io::Result::Ok(String::from_utf8_lossy(&answer[..read]).into_owned())
    };
    let answer = tokio::time::timeout(PROBE_TIMEOUT, asked).await;
    answer.map_or_else(|_| "none in time".to_owned(), |answer| answer.unwrap_or_else(|error| error.to_string()))
}

/// Asks as a kubelet and an API server do, until `done`; the most memory that was seen.
async fn ask_until(guard: &Guard, done: &AtomicBool) -> u64 {
    let (mut most, mut missed) = (0, 0);
    while !done.load(Ordering::Relaxed) {
        for path in ["/livez", "/readyz"] {
            let answer = probe(guard, path).await;
            missed = if answer.starts_with("HTTP/1.1 200") { 0 } else { missed + 1 };
            assert!(missed < PROBES_MISSED, "{path}: {answer}");
        }
        let (status, text) = guard.post(review().to_string().into_bytes()).await;
        assert_eq!(status, 200, "{text}");
        most = most.max(guard.memory());
    }
    most
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn probes_and_reviews_are_answered_while_connections_and_bodies_press() {
    let guard = Arc::new(Guard::start());
    let (mut idlers, mut bodies, opened) = (JoinSet::new(), JoinSet::new(), Arc::new(AtomicUsize::new(0)));
    for number in 0..IDLE {
        idlers.spawn(idle(Arc::clone(&guard), number, Arc::clone(&opened)));
    }
    while opened.load(Ordering::Relaxed) < IDLE {
        tokio::task::yield_now().await;
    }
    let body = Arc::new(vec![b' '; BODY - 1]);
    for number in 0..BODIES {
        bodies.spawn(send_body(Arc::clone(&guard), number, Arc::clone(&body)));
    }
    // On a thread of its own: what all those here have to do is not to count as the guard's.
    let done = Arc::new(AtomicBool::new(false));
    let (asked, until) = (Arc::clone(&guard), Arc::clone(&done));
    let asking = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(ask_until(&asked, &until))
    });
    let answers = bodies.join_all().await;
    done.store(true, Ordering::Relaxed);
    let most = asking.join().unwrap();
    assert!(most <= MEMORY, "{most} MiB");
    // Those that found room were waited for, those that did not were told, and the admin port takes no bodies.
    for status in ["408", "429", "405"] {
        assert!(answers.iter().any(|answer| answer.contains(status)), "{status}: {answers:?}");
    }
}
