#![allow(clippy::unwrap_used)]

use jiff::SignedDuration;

use super::*;

pub(crate) const LIVES: Lives = Lives {
    authority: SignedDuration::from_mins(90),
    server: SignedDuration::from_mins(30),
    path: SignedDuration::from_mins(60),
    overlap: SignedDuration::from_mins(5),
    backdate: SignedDuration::from_mins(1),
};

fn names() -> Vec<String> {
    vec!["castoff.castoff-system.svc".to_owned(), "castoff".to_owned()]
}

/// So many minutes after the beginning.
pub(crate) fn at(minutes: i64) -> Timestamp {
    "2030-01-01T00:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_mins(minutes)
}

fn step(held: &Content, minutes: i64) -> (Content, Vec<&'static str>) {
    let (content, changes) = renew(held, &names(), &LIVES, at(minutes)).unwrap();
    let words = changes.iter().map(|change| match change {
        Change::Authority(_) => "authority",
        Change::Server(_) => "server",
        Change::Dropped(_) => "dropped",
        Change::Path(_) => "path",
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
fn a_new_authority_signs_once_it_is_known_and_the_former_goes_when_unused() {
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
    assert_eq!(broken(|content, other| content.authority_key.clone_from(&other.authority_key)), (2, vec!["authority"]));
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
