//! What a roll-out came to.

use std::time::Duration;

use clap::ValueEnum;
use serde_json::json;

use super::super::output;

/// How an outcome is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum DemoOutput {
    Text,
    Json,
}

/// What a roll-out came to. The last two are the simulated PD's own count.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub pods_rolled: u32,
    pub denials: u64,
    /// From being prepared to the delete that went through, for each pod.
    pub prepared_to_delete: Vec<Duration>,
    pub leaders_lost: u64,
    pub entries_left: usize,
}

impl Outcome {
    pub fn print(&self, output: DemoOutput) {
        match output {
            DemoOutput::Json => output::line(format_args!("{}", self.to_json())),
            DemoOutput::Text => self.print_table(),
        }
    }

    fn to_json(&self) -> serde_json::Value {
        json!({
            "pods_rolled": self.pods_rolled,
            "denials": self.denials,
            "leaders_lost": self.leaders_lost,
            "entries_left": self.entries_left,
            "prepared_to_delete_ms": self.median_milliseconds(),
        })
    }

    fn print_table(&self) {
        let prepared = self.median_milliseconds().map_or("-".to_owned(), |median| format!("{median} ms (median)"));
        output::line("");
        output::line(format_args!("pods rolled                                  {}", self.pods_rolled));
        output::line(format_args!("denials                                      {}", self.denials));
        output::line(format_args!("from prepared to the delete                  {prepared}"));
        output::line(format_args!("leaders on a store when its pod ended        {}", self.leaders_lost));
        output::line(format_args!("evict-leader entries left behind             {}", self.entries_left));
    }

    fn median_milliseconds(&self) -> Option<u64> {
        let mut sorted = self.prepared_to_delete.clone();
        sorted.sort();
        sorted.get(sorted.len() / 2).map(|median| u64::try_from(median.as_millis()).unwrap_or(u64::MAX))
    }
}
