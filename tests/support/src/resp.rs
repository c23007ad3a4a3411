//! A stand-in for a Redis server: it answers commands by what a test gives it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

/// What is answered to a command, in bytes; without any the connection is closed.
pub type Answers = Arc<dyn Fn(&[String]) -> Option<Vec<u8>> + Send + Sync>;

/// A server on loopback until the test ends.
pub struct RespServer {
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<Vec<String>>>>,
}

impl RespServer {
    pub async fn start(answers: impl Fn(&[String]) -> Option<Vec<u8>> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        let answers: Answers = Arc::new(move |words| {
            log.lock().unwrap().push(words.to_vec());
            answers(words)
        });
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&answers)));
            }
        });
        RespServer { address, asked }
    }

    /// The commands that it was sent, one text each.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().iter().map(|words| words.join(" ")).collect()
    }
}

/// Answers the commands of one connection.
pub async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, answers: Answers) {
    let mut stream = BufReader::new(stream);
    while let Some(words) = command(&mut stream).await {
        let Some(answer) = answers(&words) else { return };
        if stream.write_all(&answer).await.is_err() || stream.flush().await.is_err() {
            return;
        }
    }
}

async fn command(stream: &mut (impl AsyncBufReadExt + Unpin)) -> Option<Vec<String>> {
    let mut words = Vec::new();
    for _ in 0..number(stream, '*').await? {
        let mut word = vec![0; number(stream, '$').await? + 2];
        stream.read_exact(&mut word).await.ok()?;
        words.push(String::from_utf8(word).ok()?.trim_end_matches("\r\n").to_owned());
    }
    Some(words)
}

async fn number(stream: &mut (impl AsyncBufReadExt + Unpin), sign: char) -> Option<usize> {
    let mut line = String::new();
    stream.read_line(&mut line).await.ok()?;
    line.strip_prefix(sign)?.trim_end().parse().ok()
}

/// A value as RESP 3 has it; `{"error": text}` is an error of the server.
pub fn wire(value: &Value) -> Vec<u8> {
    match value {
        Value::Null => b"_\r\n".to_vec(),
        Value::Bool(truth) => if *truth { "#t\r\n" } else { "#f\r\n" }.into(),
        Value::Number(number) => format!(":{number}\r\n").into_bytes(),
        Value::String(text) => format!("${}\r\n{text}\r\n", text.len()).into_bytes(),
        Value::Array(items) => {
            let parts = items.iter().flat_map(wire);
            format!("*{}\r\n", items.len()).into_bytes().into_iter().chain(parts).collect()
        }
        Value::Object(fields) => match fields.get("error").and_then(Value::as_str) {
            Some(error) => format!("-{error}\r\n").into_bytes(),
            None => {
                let parts = fields.iter().flat_map(|(name, value)| [wire(&Value::from(name.as_str())), wire(value)]).flatten();
                format!("%{}\r\n", fields.len()).into_bytes().into_iter().chain(parts).collect()
            }
        },
    }
}
