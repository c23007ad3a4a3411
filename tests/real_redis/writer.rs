//! A client that writes all the time, stays connected as long as the server lets it, and remembers what was acknowledged.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use redis::Connection;

use crate::servers::{ask, connect};

/// What a writer has seen.
pub struct Written {
    pub acknowledged: Vec<u64>,
    /// The longest time without an acknowledgement.
    pub gap: Duration,
}

pub struct Writer {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Written>,
    prefix: String,
}

impl Writer {
    /// Writes keys that begin with `prefix` to the server that `find` names.
    pub fn start(prefix: &str, find: impl Fn() -> Option<String> + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, own) = (Arc::clone(&stop), prefix.to_owned());
        let thread = std::thread::spawn(move || {
            let mut written = Written { acknowledged: Vec::new(), gap: Duration::ZERO };
            let (mut connection, mut number, mut last): (Option<Connection>, _, _) = (None, 0, Instant::now());
            while !stopped.load(Ordering::Relaxed) {
                let Some(open) = &mut connection else {
                    std::thread::sleep(Duration::from_millis(20));
                    connection = find().and_then(|address| connect(&address, 6379).ok());
                    continue;
                };
                number += 1;
                match redis::cmd("SET").arg(format!("{own}{number}")).arg(number).exec(open) {
                    Ok(()) => {
                        written.acknowledged.push(number);
                        written.gap = written.gap.max(last.elapsed());
                        last = Instant::now();
                    }
                    Err(_) => connection = None,
                }
            }
            written
        });
        Writer { stop, thread, prefix: prefix.to_owned() }
    }

    /// Ends it, and counts what was acknowledged and is not at this server.
    pub fn lost_at(self, address: &str) -> (Written, usize) {
        self.stop.store(true, Ordering::Relaxed);
        let written = self.thread.join().unwrap();
        let lost = written.acknowledged.chunks(500).map(|numbers| {
            let keys: Vec<String> = numbers.iter().map(|number| format!("{}{number}", self.prefix)).collect();
            let words: Vec<&str> = std::iter::once("EXISTS").chain(keys.iter().map(String::as_str)).collect();
            numbers.len() - ask::<usize>(address, 6379, &words)
        });
        let lost = lost.sum();
        eprintln!("{} acknowledged, {lost} lost, longest gap {:?}", written.acknowledged.len(), written.gap);
        (written, lost)
    }
}
