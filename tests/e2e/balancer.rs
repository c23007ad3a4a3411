//! What a Service does for the webhook: one address before several replicas, those that don't answer left out.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

pub struct Balancer {
    pub port: u16,
    task: JoinHandle<()>,
}

impl Balancer {
    /// Before replicas on this machine, by their ports.
    pub async fn start(replicas: Vec<u16>) -> Balancer {
        Balancer::before(replicas.into_iter().map(|port| SocketAddr::from(([127, 0, 0, 1], port))).collect()).await
    }

    pub async fn before(replicas: Vec<SocketAddr>) -> Balancer {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let turn = Arc::new(AtomicUsize::new(0));
        let task = tokio::spawn(async move {
            while let Ok((mut caller, _)) = listener.accept().await {
                let (replicas, turn) = (replicas.clone(), Arc::clone(&turn));
                tokio::spawn(async move {
                    let first = turn.fetch_add(1, Ordering::Relaxed);
                    for offset in 0..replicas.len() {
                        let replica = replicas[(first + offset) % replicas.len()];
                        if let Ok(mut server) = TcpStream::connect(replica).await {
                            let _ = (caller.set_nodelay(true), server.set_nodelay(true));
                            let _ = copy_bidirectional(&mut caller, &mut server).await;
                            return;
                        }
                    }
                });
            }
        });
        Balancer { port, task }
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.task.abort();
    }
}
