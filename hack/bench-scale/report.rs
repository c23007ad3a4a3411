//! What was measured, held against its bars.

use serde::{Deserialize, Serialize};

/// One figure.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Figure {
    pub what: String,
    pub value: f64,
    pub unit: String,
    /// The most that it may be; nothing where it is for people to see.
    pub at_most: Option<f64>,
}

impl Figure {
    pub fn new(what: impl Into<String>, value: f64, unit: &str) -> Figure {
        Figure { what: what.into(), value, unit: unit.to_owned(), at_most: None }
    }

    pub fn at_most(self, bar: f64) -> Figure {
        Figure { at_most: Some(bar), ..self }
    }

    pub fn holds(&self) -> bool {
        self.at_most.is_none_or(|most| self.value <= most)
    }
}

pub fn print(figures: &[Figure], as_json: bool) {
    if as_json {
        let all: Vec<_> = figures
            .iter()
            .map(|figure| {
                let mut shown = serde_json::to_value(figure).unwrap();
                shown["holds"] = figure.holds().into();
                shown
            })
            .collect();
        println!("{}", serde_json::to_string_pretty(&all).unwrap());
        return;
    }
    println!("{:76}{:>12}{:>12}", "", "measured", "at most");
    for figure in figures {
        let bar = figure.at_most.map_or_else(String::new, |most| format!("{most:.2}"));
        let missed = if figure.holds() { "" } else { "  MISSED" };
        println!("{:76}{:>12.2}{bar:>12} {}{missed}", figure.what, figure.value, figure.unit);
    }
}
