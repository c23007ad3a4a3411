//! The certificates that Castoff makes and keeps itself: what is in the Secret, and what is to become of it.
//!
//! The leader decides and writes ([`keep`]); every replica serves what the Secret holds ([`follow`]).
//!
//! A new authority is trusted for [`Lives::overlap`] before anything that it signed is served, and the former one as
//! long after that. All of this is read off the certificates' own dates, so that any leader goes on where the last
//! one was.

mod secret;

use std::fmt;

use jiff::{SignedDuration, Timestamp};

use crate::trust::authority::{self, Authority, Validity};

pub use secret::{Bundle, Place, follow, keep};

/// How long certificates live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lives {
    /// An authority's life. It is replaced after two thirds of it.
    pub authority: SignedDuration,
    /// A server certificate's life. It is renewed after two thirds of it.
    pub server: SignedDuration,
    /// For how long two authorities are trusted, before and after what is served changes from one to the other. It
    /// must be enough for the registration and every replica to follow.
    pub overlap: SignedDuration,
    /// How far a certificate's life begins before it is made, for callers whose clocks are behind.
    pub backdate: SignedDuration,
}

impl Default for Lives {
    /// An authority lives a year, so that its replacement is an everyday thing and a stolen key is worth no more than
    /// that; a server certificate 90 days, so that 30 are left for whoever finds that it was not renewed.
    fn default() -> Self {
        Lives {
            authority: SignedDuration::from_hours(365 * 24),
            server: SignedDuration::from_hours(90 * 24),
            overlap: SignedDuration::from_hours(24),
            backdate: SignedDuration::from_hours(1),
        }
    }
}

impl Lives {
    fn made(&self, validity: Validity) -> Timestamp {
        later(validity.from, self.backdate)
    }

    fn validity(&self, life: SignedDuration, now: Timestamp) -> Validity {
        Validity { from: later(now, -self.backdate), until: later(now, life) }
    }

    /// Whether two thirds of a life are over.
    fn is_due(&self, validity: Validity, now: Timestamp) -> bool {
        let made = self.made(validity);
        now >= later(made, validity.until.duration_since(made) * 2 / 3)
    }
}

/// What the Secret holds, all of it PEM.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Content {
    /// Every authority that callers trust, the newest first.
    pub bundle: String,
    /// The private key of the newest authority. That of a former one is not kept: it signs nothing any more.
    pub authority_key: String,
    /// The server's certificate.
    pub certificate: String,
    /// Its private key.
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

/// What was changed, and why; for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A new authority is trusted.
    Authority(String),
    /// A new server certificate.
    Server(String),
    /// An authority is trusted no longer.
    Dropped(&'static str),
}

impl fmt::Display for Change {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Change::Authority(why) => write!(formatter, "made a certificate authority: {why}"),
            Change::Server(why) => write!(formatter, "made a server certificate: {why}"),
            Change::Dropped(why) => write!(formatter, "a certificate authority is trusted no longer: {why}"),
        }
    }
}

/// What the Secret is to hold from `now` on, and how that differs from what it holds; nothing for "keep it".
///
/// # Errors
/// When something can't be made.
pub fn renew(
    held: &Content,
    names: &[String],
    lives: &Lives,
    now: Timestamp,
) -> Result<(Content, Vec<Change>), String> {
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
fn usable(newest: Option<&(String, Validity)>, key: &str, lives: &Lives, now: Timestamp) -> Result<Authority, String> {
    let (certificate, validity) = newest.ok_or("there was none")?;
    if lives.is_due(*validity, now) {
        return Err(format!("two thirds of the former one's life are over, until {:.0}", validity.until));
    }
    Authority::read(certificate, key)
}

/// Why a new server certificate is to be made now, by the newest authority.
fn reason_to_sign(
    held: &Content,
    trusted: &[(String, Validity)],
    names: &[String],
    lives: &Lives,
    now: Timestamp,
) -> Option<String> {
    if let Err(error) = serves(held, trusted, names, now) {
        return Some(if held.certificate.is_empty() { "there was none".to_owned() } else { error });
    }
    let server = Validity::of(&held.certificate).ok()?;
    let by_newest = serves(held, &trusted[..1], names, now).is_ok();
    let known = later(lives.made(trusted.first()?.1), lives.overlap);
    if !by_newest && now >= known {
        return Some("the new authority is known everywhere".to_owned());
    }
    // Rather an authority that is not known everywhere yet than a certificate that is over.
    let pressing = server.until <= known.max(now);
    (lives.is_due(server, now) && (now >= known || by_newest || pressing))
        .then(|| format!("two thirds of the former one's life are over, until {:.0}", server.until))
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
fn serves(content: &Content, trusted: &[(String, Validity)], names: &[String], now: Timestamp) -> Result<(), String> {
    crate::trust::Certificates::none_yet().serve(content.certificate.as_bytes(), content.key.as_bytes())?;
    let trusted: Vec<String> = trusted.iter().map(|(certificate, _)| certificate.clone()).collect();
    authority::accepted(&trusted, &content.certificate, names, now)
}

/// `time` and `duration` later, or as late as can be written.
fn later(time: Timestamp, duration: SignedDuration) -> Timestamp {
    time.saturating_add(duration).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const LIVES: Lives = Lives {
        authority: SignedDuration::from_mins(90),
        server: SignedDuration::from_mins(30),
        overlap: SignedDuration::from_mins(5),
        backdate: SignedDuration::from_mins(1),
    };

    fn names() -> Vec<String> {
        vec!["castoff.castoff-system.svc".to_owned(), "castoff".to_owned()]
    }

    /// So many minutes after the beginning.
    fn at(minutes: i64) -> Timestamp {
        "2030-01-01T00:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_mins(minutes)
    }

    fn step(held: &Content, minutes: i64) -> (Content, Vec<&'static str>) {
        let (content, changes) = renew(held, &names(), &LIVES, at(minutes)).unwrap();
        let words = changes.iter().map(|change| match change {
            Change::Authority(_) => "authority",
            Change::Server(_) => "server",
            Change::Dropped(_) => "dropped",
        });
        (content, words.collect())
    }

    fn authorities(content: &Content) -> Vec<String> {
        authority::split(&content.bundle)
    }

    #[test]
    fn makes_all_where_there_is_nothing_and_keeps_it_until_two_thirds_of_its_life() {
        let (content, changes) = step(&Content::default(), 0);
        assert_eq!(changes, ["authority", "server"]);
        assert_eq!(authorities(&content).len(), 1);
        for minute in 0..20 {
            assert_eq!(step(&content, minute), (content.clone(), vec![]), "minute {minute}");
        }
        let (renewed, changes) = step(&content, 20);
        assert_eq!(changes, ["server"]);
        assert_eq!((&renewed.bundle, &renewed.authority_key), (&content.bundle, &content.authority_key));
        assert_ne!(renewed.certificate, content.certificate);
    }

    /// Callers and replicas that lag behind the Secret by less than the overlap never meet a certificate that they do
    /// not accept, over three lives of an authority.
    #[test]
    fn whoever_lags_by_less_than_the_overlap_always_accepts_what_is_served() {
        let mut history = vec![step(&Content::default(), 0).0];
        let mut replaced = 0;
        for minute in 1..300 {
            let (content, changes) = step(history.last().unwrap(), minute);
            replaced += usize::from(changes.contains(&"authority"));
            assert!(authorities(&content).len() <= 2);
            let now = usize::try_from(minute).unwrap();
            let seen = |lag: usize| history.get(now.saturating_sub(lag)).unwrap_or(&content);
            for (server, caller) in [(0, 4), (4, 0)] {
                let (served, trusted) = (&seen(server).certificate, authorities(seen(caller)));
                authority::accepted(&trusted, served, &names(), at(minute)).unwrap();
            }
            history.push(content);
        }
        assert!(replaced >= 3, "{replaced} authorities were replaced");
        assert_eq!(authorities(history.last().unwrap()).len(), 1, "the former authority is dropped in the end");
    }

    #[test]
    fn a_new_authority_signs_once_it_is_known_and_the_former_goes_once_nothing_needs_it() {
        let mut content = step(&Content::default(), 0).0;
        let mut seen = Vec::new();
        for minute in 1..80 {
            let (next, changes) = step(&content, minute);
            seen.extend(changes.into_iter().map(|change| (minute, change)));
            content = next;
        }
        assert_eq!(
            seen,
            [(20, "server"), (40, "server"), (60, "authority"), (65, "server"), (70, "dropped")],
            "at minute 60 the server certificate is due, and waits for the new authority"
        );
    }

    #[test]
    fn a_leader_that_was_away_for_long_makes_what_serves_at_once() {
        let first = step(&Content::default(), 0).0;
        let (content, changes) = step(&first, 29);
        assert_eq!(changes, ["server"]);
        authority::accepted(&authorities(&first), &content.certificate, &names(), at(29)).unwrap();
        assert_eq!(step(&first, 31).1, ["server"], "it is over");
        assert_eq!(step(&first, 95).1, ["dropped", "authority", "server"], "all is over");
        // The authority is due, and so pressing is the server certificate that the overlap can't be waited for.
        let mut late = first.clone();
        let old = Authority::read(&authorities(&first)[0], &first.authority_key).unwrap();
        let pair = old.issue(&names(), Some(Validity { from: at(40), until: at(64) })).unwrap();
        (late.certificate, late.key) = (pair.certificate, pair.key);
        let (content, changes) = step(&late, 61);
        assert_eq!(changes, ["authority", "server"]);
        assert_eq!(authorities(&content).len(), 2);
    }

    #[test]
    fn whatever_is_broken_is_made_anew_and_what_is_trusted_stays_trusted() {
        let good = step(&Content::default(), 0).0;
        let other = step(&Content::default(), 0).0;
        let broken = |change: fn(&mut Content, &Content)| {
            let mut content = good.clone();
            change(&mut content, &other);
            let (mended, changes) = step(&content, 1);
            authority::accepted(&authorities(&mended), &mended.certificate, &names(), at(1)).unwrap();
            Authority::read(&authorities(&mended)[0], &mended.authority_key).unwrap();
            assert_eq!(step(&mended, 2), (mended.clone(), vec![]), "mended at once");
            (authorities(&mended).len(), changes)
        };
        assert_eq!(broken(|content, _| content.key.clear()), (1, vec!["server"]));
        assert_eq!(broken(|content, other| content.key.clone_from(&other.key)), (1, vec!["server"]));
        assert_eq!(broken(|content, _| content.certificate = "nonsense".to_owned()), (1, vec!["server"]));
        assert_eq!(broken(|content, _| content.authority_key.clear()), (2, vec!["authority"]));
        assert_eq!(
            broken(|content, other| content.authority_key.clone_from(&other.authority_key)),
            (2, vec!["authority"])
        );
        assert_eq!(broken(|content, _| content.bundle.clear()), (1, vec!["authority", "server"]));
        assert_eq!(broken(|content, other| content.bundle.clone_from(&other.bundle)), (2, vec!["authority", "server"]));
    }

    #[test]
    fn another_namespace_or_service_gets_a_certificate_under_its_own_name() {
        let content = step(&Content::default(), 0).0;
        let elsewhere = ["castoff.elsewhere.svc".to_owned()];
        let (content, changes) = renew(&content, &elsewhere, &LIVES, at(1)).unwrap();
        assert!(matches!(changes[..], [Change::Server(_)]), "{changes:?}");
        authority::accepted(&authorities(&content), &content.certificate, &elsewhere, at(1)).unwrap();
    }

    #[test]
    fn what_a_clock_ahead_of_time_made_is_replaced() {
        let content = step(&Content::default(), 600).0;
        assert_eq!(step(&content, 0).1, ["dropped", "authority", "server"]);
    }

    #[test]
    fn no_key_is_shown_by_debug() {
        let (content, changes) = renew(&Content::default(), &names(), &LIVES, at(0)).unwrap();
        let shown = format!("{content:?} {changes:?}");
        assert!(shown.contains("CERTIFICATE") && !shown.contains("PRIVATE"), "{shown}");
    }
}
