//! A page for each built-in plan: what it is told, what it asks, and what each of its answers means.

use std::fmt::Write;
use std::path::Path;

use serde_json::Value;

use super::{are_kept, cell, printed};

/// What can come of a look, as words that stand before a case, and what that is for whoever waits.
const VERDICTS: [(&str, &str); 6] = [
    ("Done", "may go, as far as the backend is concerned"),
    ("Waiting", "under way; goes on by itself"),
    ("Act", "Castoff changes something now"),
    ("Blocked", "not now; goes on by itself once what it says is over: [runbook](../runbook.md#blocked)"),
    ("Unknown", "what the backend says is not believed, and nothing leaves on it"),
    ("Failed", "the backend can't be asked: [runbook](../runbook.md#backend-does-not-answer)"),
];

/// A plan, as the program tells of it.
struct Told {
    name: String,
    summary: String,
    checked_against: String,
    /// The plan as it is applied, with what it asks and changes as comments before it.
    text: String,
    cases: Vec<Value>,
}

fn all() -> Vec<Told> {
    let list: Vec<Value> = serde_json::from_str(&printed(&["plans", "-o", "json"])).unwrap();
    let text_of = |row: &Value, field: &str| row[field].as_str().unwrap().to_owned();
    let told = |row: &Value| {
        let name = text_of(row, "name");
        let text = printed(&["plans", &name]);
        let cases = serde_json::from_str(&printed(&["plans", &name, "--explain", "-o", "json"])).unwrap();
        let (summary, checked_against) = (text_of(row, "summary"), text_of(row, "checkedAgainst"));
        Told { name, summary, checked_against, text, cases }
    };
    list.iter().map(told).collect()
}

impl Told {
    fn page(&self) -> String {
        let Told { name, summary, checked_against, .. } = self;
        let mut page = format!("# {name}\n\n{summary}. Checked against {checked_against}. [All plans](../plans.md).\n");
        writeln!(page, "\n## Parameters\n\n```yaml\n{}```", self.parameters()).unwrap();
        writeln!(
            page,
            "\n## What it asks\n\nAll of it must be open to Castoff: an empty answer is not taken for none.\n"
        )
        .unwrap();
        self.comments("Reads").for_each(|line| writeln!(page, "- `{line}`").unwrap());
        page += "\n## What it changes\n\n";
        let changes: Vec<&str> = self.comments("Changes").collect();
        if changes.is_empty() {
            page += "Nothing.\n";
        }
        for line in changes {
            writeln!(page, "- `{line}`").unwrap();
        }
        page += "\n## What comes of it\n\n| when | verdict | what it says |\n|---|---|---|\n";
        self.cases.iter().for_each(|case| writeln!(page, "{}", row(case)).unwrap());
        page += "\nThese are its tests: `castoff plan test` plays them, and yours. ";
        page += &meanings(&self.cases);
        page + &self.recipes()
    }

    /// The plan's own lines on its parameters.
    fn parameters(&self) -> String {
        let lines = self.text.lines().skip_while(|line| *line != "  params:").skip(1);
        lines.take_while(|line| line.starts_with("    ")).flat_map(|line| [line.trim(), "\n"]).collect()
    }

    /// The lines below a heading in the comments before the plan.
    fn comments(&self, heading: &str) -> impl Iterator<Item = &str> {
        let head = format!("# {heading}");
        let lines = self.text.lines().skip_while(move |line| !line.starts_with(&head)).skip(1);
        lines.map_while(|line| line.strip_prefix("#   "))
    }

    fn recipes(&self) -> String {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests/recipes");
        let mut found: Vec<String> = Vec::new();
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let file = path.file_name().unwrap().to_str().unwrap().to_owned();
            let uses = format!("builtIn: {}}}", self.name);
            if std::fs::read_to_string(&path).is_ok_and(|text| text.contains(&uses)) {
                found.push(format!("[{file}](../../manifests/recipes/{file})"));
            }
        }
        found.sort();
        match found.as_slice() {
            [] => "\n".to_owned(),
            some => format!("\n\n## Recipes\n\n{}\n", some.join(", ")),
        }
    }
}

fn row(case: &Value) -> String {
    let text = |field: &str| case[field].as_str().map(cell);
    let said: Vec<String> = text("message").into_iter().chain(text("act").map(|act| format!("`{act}`"))).collect();
    let left = case["remaining"].as_u64().filter(|left| *left > 0).map(|left| format!("{left} left"));
    let said: Vec<String> = said.into_iter().chain(left).collect();
    format!("| {} | {} | {} |", text("case").unwrap(), text("verdict").unwrap(), said.join("; "))
}

/// What the verdicts of these cases mean.
fn meanings(cases: &[Value]) -> String {
    let met = VERDICTS.iter().filter(|(verdict, _)| cases.iter().any(|case| case["verdict"] == *verdict));
    let told: Vec<String> = met.map(|(verdict, means)| format!("*{verdict}*: {means}")).collect();
    format!("{}.", told.join(". "))
}

#[test]
fn each_built_in_plan_has_a_page_that_says_what_it_does() {
    let plans = all();
    assert!(plans.len() > 20, "{}", plans.len());
    let pages = plans.iter().map(|plan| (format!("backends/{}.md", plan.name), plan.page()));
    let pages: Vec<(String, String)> = pages.collect();
    are_kept(&pages);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/backends");
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), pages.len(), "a page of no plan is there");
}

#[test]
fn a_page_has_what_a_plan_is_told_asks_and_answers() {
    for plan in all() {
        let name = &plan.name;
        assert!(!plan.parameters().is_empty() || !plan.text.contains("params."), "{name}: no parameters");
        assert!(plan.comments("Reads").count() > 0, "{name}: asks nothing");
        for case in &plan.cases {
            assert!(VERDICTS.iter().any(|(verdict, _)| case["verdict"] == *verdict), "{name}: {case}");
        }
    }
}
