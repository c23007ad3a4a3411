//! What a Service does for the webhook: one address before several replicas, those that don't answer left out.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, RwLock};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

pub struct Balancer {
    pub port: u16,
    replicas: Arc<RwLock<Vec<SocketAddr>>>,
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
        let replicas = Arc::new(RwLock::new(replicas));
        let behind = Arc::clone(&replicas);
        let task = tokio::spawn(async move {
            while let Ok((mut caller, _)) = listener.accept().await {
                let (replicas, turn) = (behind.read().unwrap().clone(), Arc::clone(&turn));
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
        Balancer { port, replicas, task }
    }

    /// New connections go to these from now on; those that are open stay where they are.
    pub fn set(&self, replicas: Vec<SocketAddr>) {
        *self.replicas.write().unwrap() = replicas;
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.task.abort();
    }
}
