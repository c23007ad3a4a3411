//! A connection to a Redis server, open for one exchange.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use redis::{Parser, Value};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::Host;

use super::reply::NoReply;
use crate::backend::dns::GuardedDns;
use crate::backend::exchange::BODY_LIMIT;
use crate::backend::guard::Target;
use crate::backend::means::ByResp;
use crate::backend::trouble::Trouble;

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// A connection; each is closed after its answers.
pub struct Connection {
    stream: Box<dyn Stream>,
    parser: Parser,
    /// What was read and not yet parsed.
    unparsed: Unparsed,
    /// So many bytes may still come.
    left: usize,
}

impl Connection {
    /// Connects to the target's host at an address that is not forbidden; it is looked up once, here.
    pub async fn open(dns: &GuardedDns, url: &str, target: &Target, means: &ByResp) -> Result<Self, Trouble> {
        let trusted = means.trusted.as_str();
        let broken = |error: io::Error| Trouble::of_cause(url, &error, trusted);
        let addresses = match &target.host {
            Host::Domain(name) => {
                let found = dns.clone().addresses(name.clone()).await;
                found
                    .map_err(|error| Trouble::of_cause(url, error.as_ref(), trusted))?
                    .map(|found| found.ip())
                    .collect()
            }
            Host::Ipv4(address) => vec![(*address).into()],
            Host::Ipv6(address) => vec![(*address).into()],
        };
        let addresses: Vec<SocketAddr> = addresses.into_iter().map(|ip| SocketAddr::new(ip, target.port)).collect();
        let stream = TcpStream::connect(&addresses[..]).await.map_err(broken)?;
        let stream: Box<dyn Stream> = match &means.transport {
            None => Box::new(stream),
            Some(config) => {
                let name = server_name(&target.host).map_err(broken)?;
                Box::new(TlsConnector::from(Arc::clone(config)).connect(name, stream).await.map_err(broken)?)
            }
        };
        Ok(Self { stream, parser: Parser::new(), unparsed: Unparsed::default(), left: BODY_LIMIT })
    }

    /// Sends commands, all at once, and reads as many replies.
    pub async fn ask(&mut self, commands: &[Vec<String>]) -> Result<Vec<Value>, NoReply> {
        let packed: Vec<u8> = commands.iter().flat_map(|words| packed(words)).collect();
        self.stream.write_all(&packed).await?;
        self.stream.flush().await?;
        let mut replies = Vec::with_capacity(commands.len());
        while replies.len() < commands.len() {
            match self.parser.parse_value(&mut self.unparsed) {
                Ok(reply) => replies.push(reply),
                Err(error) if error.is_io_error() => self.read().await?,
                Err(error) => return Err(NoReply::Garbage(error.to_string())),
            }
        }
        Ok(replies)
    }

    async fn read(&mut self) -> Result<(), NoReply> {
        if self.left == 0 {
            return Err(NoReply::TooLong);
        }
        let most = self.left.min(64 << 10);
        let mut bytes = vec![0; most];
        let count = self.stream.read(&mut bytes).await?;
        if count == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        self.left -= count;
        bytes.truncate(count);
        self.unparsed = Unparsed(io::Cursor::new(bytes));
        Ok(())
    }
}

/// Bytes for the parser. When they are used up, more may come: the parser keeps what it has and is asked again.
#[derive(Default)]
struct Unparsed(io::Cursor<Vec<u8>>);

impl io::Read for Unparsed {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match io::Read::read(&mut self.0, into)? {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            count => Ok(count),
        }
    }
}

/// A command as it is sent.
fn packed(words: &[String]) -> Vec<u8> {
    let words: Vec<Vec<u8>> = words.iter().map(|word| word.as_bytes().to_vec()).collect();
    redis::pack_command(&words)
}

/// The name that the server's certificate is to bear.
fn server_name(host: &Host<String>) -> io::Result<ServerName<'static>> {
    match host {
        Host::Domain(name) => {
            let name = name.trim_end_matches('.').to_owned();
            ServerName::try_from(name).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))
        }
        Host::Ipv4(address) => Ok(ServerName::from(std::net::IpAddr::V4(*address))),
        Host::Ipv6(address) => Ok(ServerName::from(std::net::IpAddr::V6(*address))),
    }
}
