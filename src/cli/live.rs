//! What changes while one looks: lines that are drawn anew on a terminal, plain lines elsewhere.

use std::io::IsTerminal;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// Lines that change.
pub(super) struct Live {
    screen: Option<MultiProgress>,
    bars: Vec<ProgressBar>,
    last: Vec<String>,
}

impl Live {
    /// On this terminal, if it is one.
    pub fn new() -> Self {
        let screen = std::io::stdout().is_terminal().then(MultiProgress::new);
        Live { screen, bars: Vec::new(), last: Vec::new() }
    }

    /// Whether lines are drawn anew; else only what is new is printed.
    pub fn is_drawn(&self) -> bool {
        self.screen.is_some()
    }

    /// Shows these lines in place of those before.
    pub fn show(&mut self, lines: Vec<String>) {
        let Some(screen) = &self.screen else {
            for line in lines.iter().filter(|line| !self.last.contains(line)) {
                super::output::line(line);
            }
            self.last = lines;
            return;
        };
        while self.bars.len() > lines.len() {
            if let Some(bar) = self.bars.pop() {
                bar.finish_and_clear();
                screen.remove(&bar);
            }
        }
        while self.bars.len() < lines.len() {
            let bar = screen.add(ProgressBar::no_length());
            // The template is a constant that is well-formed.
            if let Ok(style) = ProgressStyle::with_template("{wide_msg}") {
                bar.set_style(style);
            }
            self.bars.push(bar);
        }
        for (bar, line) in self.bars.iter().zip(&lines) {
            bar.set_message(super::output::in_wanted_colour(line));
            bar.tick();
        }
        self.last = lines;
    }

    /// Takes away what is drawn.
    pub fn end(&mut self) {
        if let Some(screen) = &self.screen {
            // A terminal that does not take it is none to tidy up.
            let _ = screen.clear();
        }
        self.bars.clear();
    }

    /// Leaves what was shown last where it is.
    pub fn leave(&mut self) {
        self.end();
        if self.is_drawn() {
            self.last.iter().for_each(super::output::line);
        }
    }
}
