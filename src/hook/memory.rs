//! What the hook remembers, and what follows from how its commands ended. Knows no clock and runs nothing.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::command::{Ended, How};

/// How long it waits after a failure before it prepares again; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_secs(2);

/// The longest that becomes.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// The exit code of a status command: not yet.
const NOT_YET: i32 = 1;

/// The exit code of a status command: what was prepared is lost, as after a restart of the application.
const LOST: i32 = 2;

/// How far it has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// Nothing was asked.
    #[default]
    Idle,
    /// The application is to be prepared.
    Preparing,
    /// `prepare` has ended well.
    Prepared,
    /// What was prepared is to be taken back.
    Undoing,
}

/// What outlives the container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// How far it has come.
    pub state: State,
    /// No pod will take this one's place.
    #[serde(default)]
    pub removal: bool,
}

/// What the contract answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// `Idle`, `Preparing` or `Prepared`.
    pub state: &'static str,
    /// How much is left, where that is counted.
    pub inflight: u64,
    /// Why it must not go yet, for people.
    pub blocked: String,
}

/// What is to be done before an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// It is known.
    Nothing,
    /// `prepare` is to be run, now or again.
    Prepare,
    /// The application is to be asked.
    Status,
}

/// What the hook remembers.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// What outlives the container.
    pub kept: Stored,
    /// A command that changes something is running.
    running: bool,
    /// How often `prepare` has failed since it last went well.
    failures: u32,
    /// When it may be tried again.
    again: Option<Instant>,
    /// Why the last command did not go well; empty where it did.
    trouble: String,
    left: u64,
    /// The application said last that it is ready.
    ready: bool,
    /// Counts what was wanted and not wanted any more, so that what ends late is told from what runs now.
    cycle: u64,
}

impl Memory {
    /// After a start, by what the container before this one kept.
    #[must_use]
    pub fn new(kept: Stored) -> Self {
        Memory { kept, ..Memory::default() }
    }

    /// Everything else begins anew.
    fn enter(&mut self, state: State, removal: bool) {
        *self = Memory { cycle: self.cycle + 1, ..Memory::new(Stored { state, removal }) };
    }

    /// What is to be done before the next answer; `asks` says whether there is a status command.
    #[must_use]
    pub fn due(&self, now: Instant, asks: bool) -> Due {
        match self.kept.state {
            State::Preparing if !self.running && self.again.is_none_or(|again| again <= now) => Due::Prepare,
            State::Prepared if asks => Due::Status,
            _ => Due::Nothing,
        }
    }

    /// The pod is to leave; whether that is news.
    pub fn wanted(&mut self, removal: bool) -> bool {
        let is_news = self.kept.state == State::Idle;
        if is_news {
            self.enter(State::Preparing, removal);
        }
        is_news
    }

    /// The pod is to stay; whether that is news. Without a command for it nothing is left to do.
    pub fn unwanted(&mut self, can_undo: bool) -> bool {
        let is_news = !matches!(self.kept.state, State::Idle | State::Undoing);
        if is_news {
            self.enter(if can_undo { State::Undoing } else { State::Idle }, self.kept.removal);
        }
        is_news
    }

    /// `prepare` is begun; in which cycle.
    pub fn begin(&mut self) -> u64 {
        self.running = true;
        self.cycle
    }

    /// Whether nobody wants any more what was begun in this cycle.
    #[must_use]
    pub fn is_given_up(&self, cycle: u64) -> bool {
        self.cycle != cycle
    }

    /// Whether `undo` is to be run now; then it counts as running.
    pub fn begins_to_undo(&mut self) -> bool {
        let begins = self.kept.state == State::Undoing && !self.running;
        self.running |= begins;
        begins
    }

    /// Why `undo` failed the last time, where it did and is not running again.
    #[must_use]
    pub fn undo_failed(&self) -> Option<String> {
        (self.kept.state == State::Undoing && !self.running && !self.trouble.is_empty()).then(|| self.trouble.clone())
    }

    /// How `prepare` ended that was begun in this cycle.
    pub fn prepared(&mut self, cycle: u64, ended: &Ended, now: Instant) {
        if self.is_given_up(cycle) {
            return;
        }
        self.running = false;
        if ended.how == How::Code(0) {
            self.enter(State::Prepared, self.kept.removal);
            return;
        }
        self.trouble = ended.sentence();
        self.again = Some(now + (FIRST_PAUSE * 2_u32.saturating_pow(self.failures)).min(LONGEST_PAUSE));
        self.failures = self.failures.saturating_add(1).min(10);
    }

    /// How `undo` ended.
    pub fn undone(&mut self, ended: &Ended) {
        self.running = false;
        if ended.how == How::Code(0) {
            self.enter(State::Idle, false);
        } else {
            self.trouble = ended.sentence();
        }
    }

    /// How `status` ended.
    pub fn told(&mut self, ended: &Ended) {
        if self.kept.state != State::Prepared {
            return;
        }
        (self.ready, self.left, self.trouble) = (false, 0, String::new());
        let number = ended.last_line.split_whitespace().next().and_then(|word| word.parse().ok());
        match (&ended.how, number) {
            (How::Code(0), _) => self.ready = true,
            (How::Code(NOT_YET), Some(left)) => self.left = left,
            (How::Code(NOT_YET), None) if !ended.last_line.is_empty() => self.trouble.clone_from(&ended.last_line),
            (How::Code(NOT_YET), None) => {}
            (How::Code(LOST), _) => self.enter(State::Idle, false),
            _ => self.trouble = ended.sentence(),
        }
    }

    /// What the contract answers now; `asks` as in [`due`](Self::due).
    #[must_use]
    pub fn answer(&self, asks: bool) -> Answer {
        let state = match self.kept.state {
            State::Idle => "Idle",
            State::Prepared if self.ready || !asks => "Prepared",
            State::Preparing | State::Prepared | State::Undoing => "Preparing",
        };
        Answer { state, inflight: self.left, blocked: self.trouble.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(how: How, last_line: &str) -> Ended {
        Ended { command: "do".to_owned(), how, last_line: last_line.to_owned() }
    }

    fn prepared() -> Memory {
        let mut memory = Memory::default();
        assert!(memory.wanted(false));
        let cycle = memory.begin();
        memory.prepared(cycle, &ended(How::Code(0), "done"), Instant::now());
        memory
    }

    fn told(how: How, last_line: &str) -> (&'static str, u64, String) {
        let mut memory = prepared();
        memory.told(&ended(how, last_line));
        let Answer { state, inflight, blocked } = memory.answer(true);
        (state, inflight, blocked)
    }

    #[test]
    fn it_is_prepared_once_its_command_has_ended_well() {
        let (mut memory, now) = (Memory::default(), Instant::now());
        assert_eq!((memory.answer(false).state, memory.due(now, false)), ("Idle", Due::Nothing));
        assert!(memory.wanted(true) && memory.kept.removal);
        assert_eq!((memory.answer(false).state, memory.due(now, false)), ("Preparing", Due::Prepare));
        assert!(!memory.wanted(false), "asked for again");
        let cycle = memory.begin();
        assert_eq!(memory.due(now, false), Due::Nothing, "one at a time");
        memory.prepared(cycle, &ended(How::Code(0), ""), now);
        assert_eq!(memory.answer(false).state, "Prepared");
        assert_eq!(memory.answer(true).state, "Preparing", "where there is a status command, it has the last word");
    }

    #[test]
    fn what_fails_is_told_and_tried_again_less_and_less_often() {
        let (mut memory, mut now) = (Memory::default(), Instant::now());
        memory.wanted(false);
        for pause in [2, 4, 8, 16, 32, 60, 60] {
            let cycle = memory.begin();
            memory.prepared(cycle, &ended(How::Code(3), "no primary"), now);
            assert_eq!(memory.answer(false).blocked, "do: exit code 3: no primary");
            now += Duration::from_millis(pause * 1000 - 1);
            assert_eq!(memory.due(now, false), Due::Nothing, "{pause}");
            now += Duration::from_millis(1);
            assert_eq!(memory.due(now, false), Due::Prepare, "{pause}");
        }
    }

    #[test]
    fn the_status_command_says_by_its_exit_code_and_last_line_how_things_stand() {
        assert_eq!(told(How::Code(0), "whatever"), ("Prepared", 0, String::new()));
        assert_eq!(told(How::Code(1), "17 leaders left"), ("Preparing", 17, String::new()));
        assert_eq!(told(How::Code(1), "no secondary is near"), ("Preparing", 0, "no secondary is near".to_owned()));
        assert_eq!(told(How::Code(1), ""), ("Preparing", 0, String::new()));
        assert_eq!(told(How::Code(2), "primary again"), ("Idle", 0, String::new()));
        let long = How::TooLong(Duration::from_secs(2));
        assert_eq!(told(long, "").2, "do: ended after 2s, which is all the time that it has");
        assert_eq!(told(How::Code(127), "").0, "Preparing");
    }

    #[test]
    fn what_was_given_up_has_no_say_when_it_ends() {
        let (mut memory, now) = (Memory::default(), Instant::now());
        memory.wanted(false);
        let cycle = memory.begin();
        assert!(memory.unwanted(false) && memory.is_given_up(cycle));
        memory.prepared(cycle, &ended(How::Code(0), ""), now);
        assert_eq!(memory.answer(false).state, "Idle");
        // Wanted again before that one has ended.
        memory.wanted(false);
        memory.begin();
        memory.prepared(cycle, &ended(How::Code(0), ""), now);
        assert_eq!((memory.answer(false).state, memory.due(now, false)), ("Preparing", Due::Nothing));
    }

    #[test]
    fn it_is_idle_again_only_once_its_undo_has_ended_well() {
        let mut memory = prepared();
        assert!(memory.unwanted(true) && memory.begins_to_undo() && !memory.begins_to_undo());
        assert!(!memory.wanted(false), "not before it is undone");
        memory.undone(&ended(How::Code(1), "no route"));
        assert_eq!(memory.undo_failed().as_deref(), Some("do: exit code 1: no route"));
        assert!(!memory.unwanted(true) && memory.begins_to_undo());
        assert_eq!((memory.answer(false).state, memory.undo_failed()), ("Preparing", None), "under way again");
        memory.undone(&ended(How::Code(0), ""));
        assert_eq!(memory.answer(false).state, "Idle");
    }

    #[test]
    fn the_next_container_goes_on_where_this_one_was() {
        for (state, due) in
            [(State::Idle, Due::Nothing), (State::Preparing, Due::Prepare), (State::Prepared, Due::Status)]
        {
            assert_eq!(Memory::new(Stored { state, removal: true }).due(Instant::now(), true), due);
        }
        assert!(Memory::new(Stored { state: State::Undoing, removal: false }).begins_to_undo());
    }
}
