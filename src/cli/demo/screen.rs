//! What the demo shows while it runs: one live line a pod on a terminal, plain lines elsewhere.

use std::collections::BTreeMap;
use std::io::IsTerminal;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::lifecycle::Phase;

use super::api_server::Denial;
use super::stores::{LEADERS, PARTITION, REPLICAS};

/// One line of the screen.
struct Line {
    bar: Option<ProgressBar>,
    denials: u64,
    phase: String,
    /// The denial that was last printed, so that an equal one is not.
    last_denial: String,
}

/// The screen.
pub(super) struct Screen {
    bars: Option<MultiProgress>,
    lines: BTreeMap<u32, Line>,
    speaks: bool,
    unguarded: bool,
}

impl Screen {
    /// A screen that shows something only if it `speaks`.
    pub fn new(speaks: bool, unguarded: bool) -> Self {
        let live = speaks && std::io::stdout().is_terminal();
        Screen { bars: live.then(MultiProgress::new), lines: BTreeMap::new(), speaks, unguarded }
    }

    pub fn begin(&mut self) {
        let guard = if self.unguarded { "no guard is asked" } else { "each delete is asked of the guard over HTTPS" };
        self.say(&format!(
            "A StatefulSet of {REPLICAS} TiKV pods with {LEADERS} leaders each rolls {} of them; {guard}.",
            REPLICAS - PARTITION
        ));
        for ordinal in (PARTITION..REPLICAS).rev() {
            let bar = self.bars.as_ref().map(|bars| {
                let bar = bars.add(ProgressBar::new(LEADERS));
                // The template is a constant that is well-formed.
                if let Ok(style) = ProgressStyle::with_template("{prefix}  {msg:40}  {bar:30} {pos:>3} leaders") {
                    bar.set_style(style);
                }
                bar.set_prefix(name(ordinal));
                bar
            });
            let line = Line { bar, denials: 0, phase: String::new(), last_denial: String::new() };
            self.lines.insert(ordinal, line);
        }
    }

    /// Shows where a pod stands.
    pub fn show(&mut self, ordinal: u32, phase: Option<Phase>, leaders: u64) {
        let Some(line) = self.lines.get_mut(&ordinal) else { return };
        let phase = phase.map_or("-", Phase::as_str).to_owned();
        let changed = line.phase != phase;
        line.phase.clone_from(&phase);
        let denials = line.denials;
        if let Some(bar) = &line.bar {
            bar.set_length(bar.length().unwrap_or(LEADERS).max(leaders));
            bar.set_position(leaders);
            bar.set_message(format!("{phase}, {denials} denials"));
        } else if changed && phase != "-" {
            self.say(&format!("{}: {phase}, {leaders} leaders on its store, {denials} denials so far", name(ordinal)));
        }
    }

    /// Prints a denial, unless the last one of this pod said the same.
    pub fn denied(&mut self, ordinal: u32, denial: &Denial) {
        let Some(line) = self.lines.get_mut(&ordinal) else { return };
        line.denials += 1;
        if line.last_denial != denial.message {
            line.last_denial.clone_from(&denial.message);
            self.say(&format!("{}{}", denial.warnings, denial.message));
        }
    }

    pub fn allowed(&self, ordinal: u32) {
        self.say(&format!("pod \"{}\" deleted", name(ordinal)));
    }

    pub fn rolled(&self, ordinal: u32) {
        self.say(&format!("pod \"{}\" is back, with the new revision, and Ready", name(ordinal)));
    }

    pub fn end(&self) {
        for line in self.lines.values() {
            if let Some(bar) = &line.bar {
                bar.abandon();
            }
        }
    }

    pub fn say(&self, text: &str) {
        match &self.bars {
            Some(bars) => {
                let _ = bars.println(text);
            }
            None if self.speaks => super::super::output::line(format_args!("{text}")),
            None => {}
        }
    }
}

fn name(ordinal: u32) -> String {
    format!("basic-tikv-{ordinal}")
}
