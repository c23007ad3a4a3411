//! Requests, one after the other on each of some connections.

use std::sync::Arc;
use std::time::Instant;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::servers::Server;

/// What one round brought.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    /// The server's processor time a request.
    pub cpu_microseconds: f64,
    /// What half of the answers took at most.
    pub p50_milliseconds: f64,
    /// What 99 of 100 answers took at most.
    pub p99_milliseconds: f64,
}

pub struct Client<'a> {
    server: &'a Server,
    connector: TlsConnector,
    /// What every answer must say.
    allowed: &'static str,
}

impl<'a> Client<'a> {
    pub fn new(server: &'a Server) -> Client<'a> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(&server.ca).unwrap()).unwrap();
        let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let allowed = if server.allows { "\"allowed\":true" } else { "\"allowed\":false" };
        Client { server, connector: TlsConnector::from(Arc::new(config)), allowed }
    }

    pub async fn load(&self, body: &[u8], connections: usize, requests: usize) -> Measured {
        let mut request = format!(
            "POST /validate?timeout=10s HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        )
        .into_bytes();
        request.extend_from_slice(body);
        // The first requests make threads and drains: they are not what is measured, but when they are.
        if requests > 1 {
            self.connection(&request, 20).await;
        }
        let before = self.server.cpu();
        let each = requests / connections;
        let all = (0..connections).map(|_| self.connection(&request, each));
        let mut times: Vec<f64> = futures_util::future::join_all(all).await.into_iter().flatten().collect();
        let cpu = self.server.cpu() - before;
        times.sort_by(f64::total_cmp);
        let (p50, p99) = (times[times.len() / 2], times[times.len() * 99 / 100]);
        #[allow(clippy::cast_precision_loss)] // Some thousand requests.
        let answered = times.len() as f64;
        Measured { cpu_microseconds: cpu / answered, p50_milliseconds: p50, p99_milliseconds: p99 }
    }

    /// Milliseconds that each answer took.
    async fn connection(&self, request: &[u8], requests: usize) -> Vec<f64> {
        let stream = TcpStream::connect(&self.server.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let mut stream = self.connector.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap();
        let (mut times, mut answer) = (Vec::with_capacity(requests), Vec::with_capacity(4096));
        for _ in 0..requests {
            let began = Instant::now();
            stream.write_all(request).await.unwrap();
            stream.flush().await.unwrap();
            answer.clear();
            while !is_whole(&answer) {
                assert!(stream.read_buf(&mut answer).await.unwrap() > 0, "the server closed the connection");
            }
            times.push(began.elapsed().as_secs_f64() * 1000.0);
            assert!(String::from_utf8_lossy(&answer).contains(self.allowed), "{}", String::from_utf8_lossy(&answer));
        }
        times
    }
}

fn is_whole(answer: &[u8]) -> bool {
    let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    answer.len() >= end + 4 + length.map_or(0, |length| length.parse::<usize>().unwrap())
}
