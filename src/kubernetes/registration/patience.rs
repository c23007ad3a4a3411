//! How soon what somebody else has written is put back.

use std::time::Duration;

use tokio::time::Instant;

/// How soon an edit is put back: at once, but ever later where edits go on, as another controller's would.
#[derive(Debug, Default)]
pub(super) struct Patience {
    last: Option<Instant>,
    wait: Duration,
}

impl Patience {
    const FIRST: Duration = Duration::from_secs(1);
    const LONGEST: Duration = Duration::from_mins(1);
    /// After such a time without an edit the next is put back at once.
    const FORGOTTEN: Duration = Duration::from_mins(10);

    pub(super) fn left(&self, now: Instant) -> Duration {
        self.last.map_or(Duration::ZERO, |last| self.wait.saturating_sub(now.duration_since(last)))
    }

    pub(super) fn spend(&mut self, now: Instant) {
        let again = self.last.is_some_and(|last| now.duration_since(last) < Self::FORGOTTEN);
        self.wait = if again { (self.wait * 2).min(Self::LONGEST) } else { Self::FIRST };
        self.last = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edit_is_put_back_at_once_and_edits_that_go_on_ever_later() {
        let begin = Instant::now();
        let (mut patience, mut now, mut waits) = (Patience::default(), begin, Vec::new());
        for _ in 0..9 {
            let left = patience.left(now);
            waits.push(left.as_secs());
            now += left;
            patience.spend(now);
        }
        assert_eq!(waits, [0, 1, 2, 4, 8, 16, 32, 60, 60]);
        now += Patience::FORGOTTEN;
        assert_eq!(patience.left(now), Duration::ZERO);
        patience.spend(now);
        assert_eq!(patience.left(now), Patience::FIRST);
    }
}
