//! Redis' protocol, RESP 3: commands over a connection of their own, made to an address that the guard allowed.
//!
//! An answer becomes JSON, so that limits, sharing and evaluating are those of HTTP. Code 200 stands for an answer, 500
//! for an error of the server, 0 (as by HTTP) for none.

mod connection;
mod reply;

use bytes::Bytes;
use redis::Value;

use super::Backend;
use super::credentials::{Hidden, Login};
use super::exchange::Exchange;
use super::guard::Target;
use super::means::ByResp;
use super::metrics::Outcome;
use super::trouble::{Trouble, excerpt, words};
use crate::plan::{Commands, Request};
use crate::remedy::Kind;
use connection::Connection;
use reply::NoReply;

/// The codes of an answer and of an error, where HTTP has its statuses.
const ANSWER: u16 = 200;
const ERROR: u16 = 500;

/// Errors after which people ask for whom the server took them.
const NOT_LET_IN: [&str; 3] = ["NOAUTH", "WRONGPASS", "NOPERM"];

/// Sends the commands of `request` and reads the answers.
pub async fn send(
    backend: &Backend,
    request: &Request,
    commands: &Commands,
    target: &Target,
    means: &ByResp,
) -> Result<Exchange, Trouble> {
    let hidden = means.auth.as_ref().map(Login::hidden).unwrap_or_default();
    let asked = Asked { request, means, hidden: &hidden };
    let mut connection = Connection::open(backend.clients.dns(), &request.url, target, means).await?;
    let hello = hello(means.auth.as_ref());
    let greeted = connection.ask(&[hello]).await.map_err(|why| asked.no_reply(why))?;
    if let Some(error) = greeted.iter().find_map(reply::error_of) {
        return Err(asked.refused("HELLO", &error));
    }
    let replies = connection.ask(&commands.list).await.map_err(|why| asked.no_reply(why))?;
    if let Some(error) = replies.iter().find_map(reply::error_of) {
        if request.ok.takes(ERROR) {
            let body = serde_json::Value::String(hidden.redact(&error)).to_string();
            return Ok(Exchange { code: ERROR, body: body.into(), hidden });
        }
        return Err(asked.refused(&request.method, &error));
    }
    let body = asked.body(replies, commands.one)?;
    Ok(Exchange { code: ANSWER, body, hidden })
}

/// The first command of each connection: RESP 3, and who asks. Without a user name it is Redis' `default`.
fn hello(login: Option<&Login>) -> Vec<String> {
    let mut words = vec!["HELLO".to_owned(), "3".to_owned()];
    if let Some(login) = login {
        words.extend(["AUTH".to_owned(), login.username.clone(), login.password.clone()]);
    }
    words
}

struct Asked<'a> {
    request: &'a Request,
    means: &'a ByResp,
    hidden: &'a Hidden,
}

impl Asked<'_> {
    /// The server said an error: its first word is constant for a cause, the rest is for the log and for people.
    fn refused(&self, command: &str, error: &str) -> Trouble {
        let error = self.hidden.redact(error);
        let code = error.split(' ').next().unwrap_or_default();
        let (unsigned, kind) = match &self.means.unsigned {
            unsigned if NOT_LET_IN.contains(&code) => (unsigned.words.as_str(), unsigned.kind),
            _ => ("", Kind::Other),
        };
        let predicate = format!("answers {} to {command}{unsigned}", excerpt(code.as_bytes()));
        let trouble = Trouble::new(Outcome::Status, &self.request.url, &predicate, excerpt(error.as_bytes()));
        trouble.because(kind).with_words(words(&error))
    }

    fn no_reply(&self, why: NoReply) -> Trouble {
        let url = &self.request.url;
        match why {
            NoReply::Broken(error) => Trouble::of_cause(url, &error, &self.means.trusted),
            NoReply::TooLong => {
                Trouble::new(Outcome::Garbage, url, "answers more than 4 MiB", "the answer goes on beyond that")
            }
            NoReply::Garbage(why) => {
                let detail = excerpt(self.hidden.redact(&why).as_bytes());
                Trouble::new(Outcome::Garbage, url, "does not speak Redis' protocol", detail)
            }
        }
    }

    /// The answers as JSON.
    fn body(&self, replies: Vec<Value>, one: bool) -> Result<Bytes, Trouble> {
        let replies = replies.into_iter().map(reply::to_json).collect::<Result<Vec<_>, _>>();
        let unfit = |why: &str| Trouble::new(Outcome::Garbage, &self.request.url, "answers what can't be read", why);
        let mut replies = replies.map_err(unfit)?;
        let body = if one { replies.pop().unwrap_or_default() } else { serde_json::Value::Array(replies) };
        Ok(body.to_string().into())
    }
}
