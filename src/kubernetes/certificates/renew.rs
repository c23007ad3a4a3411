//! When certificates are made, renewed and dropped. Pure but for keys.

use std::fmt;

use jiff::Timestamp;

use crate::trust::TrustError;
use crate::trust::authority::{self, Authority, Validity};

use super::lives::{Lives, later};

/// What the Secret holds of certificates, all of it PEM.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Content {
    /// Every authority that callers trust, the newest first.
    pub bundle: String,
    /// The private key of the newest authority. That of a former one is not kept: it signs nothing any more.
    pub authority_key: String,
    pub certificate: String,
    pub key: String,
}

impl fmt::Debug for Content {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Content { bundle, certificate, authority_key: _, key: _ } = self;
        formatter
            .debug_struct("Content")
            .field("bundle", bundle)
            .field("certificate", certificate)
            .finish_non_exhaustive()
    }
}

/// Why something is made anew.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Due {
    #[error("there was none")]
    Missing,
    #[error("two thirds of the former one's life are over, until {0:.0}")]
    Old(Timestamp),
    #[error("the new authority is known everywhere")]
    MovedOver,
    #[error(transparent)]
    Unusable(#[from] TrustError),
}

/// What was changed in the Secret, and why; for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Authority(Due),
    Server(Due),
    Dropped(&'static str),
    /// The paths that are answered, or which of them is to be used. Never the path itself.
    Path(&'static str),
}

impl fmt::Display for Change {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Change::Authority(why) => write!(formatter, "made a certificate authority: {why}"),
            Change::Server(why) => write!(formatter, "made a server certificate: {why}"),
            Change::Dropped(why) => write!(formatter, "a certificate authority is trusted no longer: {why}"),
            Change::Path(why) => write!(formatter, "the path of the webhook has changed: {why}"),
        }
    }
}

/// What certificates the Secret is to hold from `now` on, and how that differs from what it holds.
pub fn renew(
    held: &Content,
    names: &[String],
    lives: &Lives,
    now: Timestamp,
) -> Result<(Content, Vec<Change>), TrustError> {
    let mut changes = Vec::new();
    let mut trusted = Vec::new();
    for certificate in authority::split(&held.bundle) {
        match Validity::of(&certificate) {
            Ok(validity) if validity.holds(now) => trusted.push((certificate, validity)),
            Ok(_) => changes.push(Change::Dropped("its time is over, or has not begun")),
            Err(_) => changes.push(Change::Dropped("it can't be read")),
        }
    }

    let newest = match usable(trusted.first(), &held.authority_key, lives, now) {
        Ok(newest) => newest,
        Err(why) => {
            let made = Authority::make(&format!("castoff CA {now:.0}"), Some(lives.validity(lives.authority, now)))?;
            trusted.insert(0, (made.certificate().to_owned(), lives.validity(lives.authority, now)));
            changes.push(Change::Authority(why));
            made
        }
    };
    let life = trusted.first().map_or(lives.validity(lives.authority, now), |(_, validity)| *validity);

    let mut content = Content { authority_key: held.authority_key.clone(), ..held.clone() };
    if changes.iter().any(|change| matches!(change, Change::Authority(_))) {
        content.authority_key = newest.key();
    }
    if let Some(why) = reason_to_sign(held, &trusted, names, lives, now) {
        let mut validity = lives.validity(lives.server, now);
        validity.until = validity.until.min(life.until);
        let pair = newest.issue(names, Some(validity))?;
        (content.certificate, content.key) = (pair.certificate, pair.key);
        changes.push(Change::Server(why));
    }
    if trusted.len() > 1 && is_moved_over(&content, &trusted, names, lives, now) {
        trusted.truncate(1);
        changes.push(Change::Dropped("nothing that it signed is served any more"));
    }
    if !changes.is_empty() {
        content.bundle = trusted.into_iter().map(|(certificate, _)| certificate).collect();
    }
    Ok((content, changes))
}

/// The newest authority, if it may go on signing.
fn usable(newest: Option<&(String, Validity)>, key: &str, lives: &Lives, now: Timestamp) -> Result<Authority, Due> {
    let (certificate, validity) = newest.ok_or(Due::Missing)?;
    if lives.is_due(*validity, now) {
        return Err(Due::Old(validity.until));
    }
    Ok(Authority::read(certificate, key)?)
}

/// Why a new server certificate is to be made now, by the newest authority.
fn reason_to_sign(
    held: &Content,
    trusted: &[(String, Validity)],
    names: &[String],
    lives: &Lives,
    now: Timestamp,
) -> Option<Due> {
    if let Err(error) = serves(held, trusted, names, now) {
        return Some(if held.certificate.is_empty() { Due::Missing } else { error.into() });
    }
    let server = Validity::of(&held.certificate).ok()?;
    let by_newest = serves(held, &trusted[..1], names, now).is_ok();
    let known = later(lives.made(trusted.first()?.1), lives.overlap);
    if !by_newest && now >= known {
        return Some(Due::MovedOver);
    }
    // Rather an authority that is not known everywhere yet than a certificate that is over.
    let pressing = server.until <= known.max(now);
    (lives.is_due(server, now) && (now >= known || by_newest || pressing)).then_some(Due::Old(server.until))
}

/// Whether all replicas have had the time to serve what the newest authority signed.
fn is_moved_over(
    content: &Content,
    trusted: &[(String, Validity)],
    names: &[String],
    lives: &Lives,
    now: Timestamp,
) -> bool {
    let made = Validity::of(&content.certificate).map(|validity| lives.made(validity));
    serves(content, &trusted[..1], names, now).is_ok() && made.is_ok_and(|made| now >= later(made, lives.overlap))
}

/// Whether callers that trust these authorities accept what is served now.
fn serves(
    content: &Content,
    trusted: &[(String, Validity)],
    names: &[String],
    now: Timestamp,
) -> Result<(), TrustError> {
    crate::trust::Certificates::none_yet().serve(content.certificate.as_bytes(), content.key.as_bytes())?;
    let trusted: Vec<String> = trusted.iter().map(|(certificate, _)| certificate.clone()).collect();
    authority::accepted(&trusted, &content.certificate, names, now)
}

#[cfg(test)]
pub(super) mod tests;
