//! Who may see the page: whoever knows the token, and asks this machine by its own name. Pure.

use crate::server::same;

/// Names by which a browser of this machine, or of one that forwards a port here, asks for the page. Any other name is
/// that of a site which has turned its own name to this address, to read in the browser what is answered here.
const OWN_NAMES: [&str; 3] = ["127.0.0.1", "localhost", "[::1]"];

/// Knows the token.
pub(super) struct Access {
    token: String,
}

/// Why nothing is shown.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It is asked for by a name that is not this machine's.
    Host,
    /// The address has no token, or another.
    Token,
}

impl Access {
    /// By this token.
    pub fn by(token: String) -> Self {
        Access { token }
    }

    /// What is asked for behind the token.
    pub fn judge<'a>(&self, host: Option<&str>, path: &'a str) -> Result<&'a str, Refusal> {
        let name =
            host.map(|host| host.rsplit_once(':').filter(|(_, port)| is_port(port)).map_or(host, |(name, _)| name));
        if !name.is_some_and(|name| OWN_NAMES.contains(&name.to_ascii_lowercase().as_str())) {
            return Err(Refusal::Host);
        }
        let (token, rest) = path.strip_prefix('/').and_then(|path| path.split_once('/')).ok_or(Refusal::Token)?;
        if same(token.as_bytes(), self.token.as_bytes()) { Ok(rest) } else { Err(Refusal::Token) }
    }
}

fn is_port(text: &str) -> bool {
    text.parse::<u16>().is_ok()
}
