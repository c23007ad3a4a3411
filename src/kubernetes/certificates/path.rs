//! The path that the API server asks on, which nobody else knows: an API server shows webhooks no certificate unless it
//! is told to, so this is what tells its reviews from those that anybody could send.
//!
//! A new path is answered everywhere before it is registered, and the former one until nobody uses it any more. It
//! costs nothing to replace, and is replaced often: where a call fails, the API server shows the whole URL to whoever
//! asked for the delete.

use std::fmt;

use jiff::Timestamp;
use rustls::crypto::ring;

use super::lives::{Lives, later};
use super::renew::Change;

/// What every path begins with, for those who read a registration.
const BEGINNING: &str = "/validate/";

/// What an installation of before answers on.
const FORMER: &str = "/validate";

/// As many random bytes as a key has.
const RANDOM: usize = 32;

/// The paths that reviews are answered on, the one that is to be registered first.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Paths(Vec<Known>);

#[derive(Clone, PartialEq, Eq)]
struct Known {
    path: String,
    made: Timestamp,
}

impl fmt::Debug for Paths {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} paths", self.0.len())
    }
}

impl Paths {
    /// From the Secret: a path and a time a line. A line that can't be read is left out.
    pub fn read(text: &str) -> Self {
        let known = text.lines().filter_map(|line| {
            let (path, made) = line.split_once(' ')?;
            let made = made.parse().ok()?;
            path.starts_with('/').then(|| Known { path: path.to_owned(), made })
        });
        Paths(known.collect())
    }

    pub fn write(&self) -> String {
        let lines: Vec<String> = self.0.iter().map(|Known { path, made }| format!("{path} {made}\n")).collect();
        lines.concat()
    }

    /// All of them, the one that is to be registered first.
    pub fn all(&self) -> Vec<String> {
        self.0.iter().map(|known| known.path.clone()).collect()
    }

    /// Those of an installation that has had no path of its own so far.
    pub(super) fn of_before() -> Self {
        Paths(vec![Known { path: FORMER.to_owned(), made: Timestamp::UNIX_EPOCH }])
    }

    /// What they are to be from `now` on; nothing for "keep them".
    pub fn renew(&self, lives: &Lives, now: Timestamp) -> Result<(Paths, Option<Change>), rustls::Error> {
        let Some(newest) = self.0.iter().max_by_key(|known| known.made) else {
            let first = Known { path: random()?, made: now };
            return Ok((Paths(vec![first]), Some(Change::Path("there was none"))));
        };
        let mut paths = self.clone();
        if now >= later(newest.made, lives.path) {
            paths.0.push(Known { path: random()?, made: now });
            return Ok((paths, Some(Change::Path("the former one is old"))));
        }
        let is_registered = self.0.first() == Some(newest);
        if !is_registered && now >= later(newest.made, lives.overlap) {
            paths.0.retain(|known| known != newest);
            paths.0.insert(0, newest.clone());
            return Ok((paths, Some(Change::Path("the new one is known everywhere, and is to be used"))));
        }
        if is_registered && self.0.len() > 1 && now >= later(newest.made, lives.overlap * 2) {
            paths.0.truncate(1);
            return Ok((paths, Some(Change::Path("nobody uses the former one any more"))));
        }
        Ok((paths, None))
    }
}

fn random() -> Result<String, rustls::Error> {
    Ok(format!("{BEGINNING}{}", nobody_guesses()?))
}

/// Random letters that nobody guesses.
pub(crate) fn nobody_guesses() -> Result<String, rustls::Error> {
    let mut bytes = [0; RANDOM];
    let provider = ring::default_provider();
    provider.secure_random.fill(&mut bytes)?;
    Ok(bytes.iter().fold(String::new(), |letters, byte| format!("{letters}{byte:02x}")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::renew::tests::{LIVES, at};
    use super::*;

    fn step(held: &Paths, minutes: i64) -> (Paths, bool) {
        let (paths, change) = held.renew(&LIVES, at(minutes)).unwrap();
        (paths, change.is_some())
    }

    #[test]
    fn a_path_can_not_be_guessed() {
        let paths: Vec<String> = (0..100).map(|_| step(&Paths::default(), 0).0.all().concat()).collect();
        let distinct: std::collections::BTreeSet<&String> = paths.iter().collect();
        assert_eq!(distinct.len(), 100);
        for path in &paths {
            let random = path.strip_prefix("/validate/").unwrap();
            assert!(random.len() >= 32 && random.bytes().all(|byte| byte.is_ascii_hexdigit()), "{path}");
        }
    }

    /// Whoever lags by less than the overlap is answered, on either side.
    #[test]
    fn callers_and_replicas_that_lag_by_less_than_the_overlap_always_agree() {
        let mut history = vec![step(&Paths::default(), 0).0];
        for minute in 1..300 {
            history.push(step(history.last().unwrap(), minute).0);
            let now = history.len() - 1;
            for (replica, caller) in [(0, 4), (4, 0)] {
                let at = |lag: usize| &history[now.saturating_sub(lag)];
                let asked = &at(caller).all()[0];
                assert!(at(replica).all().contains(asked), "minute {minute}");
            }
            assert!(history[now].all().len() <= 2);
        }
        let used: std::collections::BTreeSet<String> = history.iter().map(|paths| paths.all()[0].clone()).collect();
        assert!(used.len() >= 4, "{} were used", used.len());
    }

    #[test]
    fn a_path_is_written_only_when_something_is_due() {
        let mut paths = step(&Paths::default(), 0).0;
        let mut changed = Vec::new();
        for minute in 1..80 {
            let (next, is_changed) = step(&paths, minute);
            changed.extend(is_changed.then(|| (minute, next.all().len(), next.all()[0] == paths.all()[0])));
            paths = next;
        }
        assert_eq!(changed, [(60, 2, true), (65, 2, false), (70, 1, true)], "made, used, alone");
    }

    #[test]
    fn an_installation_of_before_is_answered_until_every_replica_knows_the_new_path() {
        let (paths, _) = step(&Paths::of_before(), 0);
        assert_eq!(paths.all()[0], "/validate", "replicas of before know no other");
        let (used, _) = step(&paths, 5);
        assert_eq!(used.all(), [paths.all()[1].clone(), "/validate".to_owned()]);
        assert!(!step(&used, 10).0.all().contains(&"/validate".to_owned()));
    }

    #[test]
    fn what_is_written_is_read_and_what_is_damaged_is_made_anew() {
        let (paths, _) = step(&step(&Paths::default(), 0).0, 60);
        assert_eq!(Paths::read(&paths.write()), paths);
        for damaged in ["", "nonsense", "/validate/x yesterday", "no-path 2030-01-01T00:00:00Z"] {
            assert_eq!(Paths::read(damaged), Paths::default(), "{damaged}");
        }
    }

    #[test]
    fn no_path_is_shown_by_debug() {
        let (paths, change) = Paths::default().renew(&LIVES, at(0)).unwrap();
        let shown = format!("{paths:?} {change:?} {}", change.clone().unwrap());
        assert!(!shown.contains("/validate/"), "{shown}");
    }
}
