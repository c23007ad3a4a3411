//! What was measured, held against its bars.

/// What Castoff may cost; one that is missed is named.
#[derive(Clone, Copy)]
pub enum Bar {
    /// This is for people to see.
    None,
    /// So many times the floor, unguarded and denied.
    Ratios([f64; 2]),
    /// So much, both of them.
    AtMost(f64),
}

/// One figure of the floor, of Castoff unguarded, and of Castoff denying.
pub struct Row {
    pub what: String,
    pub values: [f64; 3],
    /// The ratios to the floor, where they were taken round by round.
    pub ratios: Option<[f64; 2]>,
    pub bar: Bar,
}

impl Row {
    fn ratios(&self) -> [f64; 2] {
        let [floor, unguarded, denied] = self.values;
        self.ratios.unwrap_or([unguarded / floor, denied / floor])
    }

    pub fn holds(&self) -> bool {
        match self.bar {
            Bar::None => true,
            Bar::Ratios(most) => self.ratios().iter().zip(most).all(|(ratio, most)| *ratio <= most),
            Bar::AtMost(most) => self.values[1..].iter().all(|value| *value <= most),
        }
    }
}

pub fn print(rows: &[Row], as_json: bool) {
    if as_json {
        let rows: Vec<_> = rows
            .iter()
            .map(|row| {
                let ([floor, unguarded, denied], ratios) = (row.values, row.ratios());
                serde_json::json!({
                    "what": row.what, "floor": floor, "unguarded": unguarded, "denied": denied,
                    "unguarded_to_floor": ratios[0], "denied_to_floor": ratios[1],
                    "at_most": match row.bar {
                        Bar::None => serde_json::Value::Null,
                        Bar::Ratios([unguarded, denied]) => {
                            serde_json::json!({"unguarded_to_floor": unguarded, "denied_to_floor": denied})
                        }
                        Bar::AtMost(most) => serde_json::json!({"unguarded": most, "denied": most}),
                    },
                    "holds": row.holds(),
                })
            })
            .collect();
        println!("{}", serde_json::to_string_pretty(&rows).unwrap());
        return;
    }
    println!("{:30}{:>9}{:>11}{:>9}{:>18}  at most", "", "floor", "unguarded", "denied", "ratios to floor");
    for row in rows {
        let ([floor, unguarded, denied], ratios) = (row.values, row.ratios());
        let bar = match row.bar {
            Bar::None => String::new(),
            Bar::Ratios([unguarded, denied]) => format!("  {unguarded:.2} {denied:.2} x floor"),
            Bar::AtMost(most) => format!("  {most}"),
        };
        let missed = if row.holds() { "" } else { "  MISSED" };
        println!(
            "{:30}{floor:>9.2}{unguarded:>11.2}{denied:>9.2}{:>11.2}{:>7.2}{bar}{missed}",
            row.what, ratios[0], ratios[1]
        );
    }
}
