//! How things look on a terminal: columns, colours, times, and what this program is called.

use std::path::Path;

use anstyle::AnsiColor;

/// How this program was called: as itself, or as a plugin of kubectl.
pub(super) fn program() -> &'static str {
    let called = std::env::args_os().next().unwrap_or_default();
    program_of(Path::new(&called))
}

fn program_of(called: &Path) -> &'static str {
    let is_plugin = called.file_stem().and_then(|name| name.to_str()).is_some_and(|name| name == "kubectl-castoff");
    if is_plugin { "kubectl castoff" } else { "castoff" }
}

/// A colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Paint {
    Plain,
    Good,
    Waiting,
    Bad,
}

/// A text in a colour. Whatever prints it takes the colour away where none is wanted.
pub(super) fn painted(text: &str, paint: Paint) -> String {
    let colour = match paint {
        Paint::Plain => return text.to_owned(),
        Paint::Good => AnsiColor::Green,
        Paint::Waiting => AnsiColor::Yellow,
        Paint::Bad => AnsiColor::Red,
    };
    let style = colour.on_default();
    format!("{style}{text}{style:#}")
}

/// How many columns and lines the terminal has that is written to; `None` where it is none.
pub(super) fn screen() -> Option<(usize, usize)> {
    let out = std::io::stdout();
    let (terminal_size::Width(columns), terminal_size::Height(lines)) = terminal_size::terminal_size_of(out)?;
    Some((columns.into(), lines.into()))
}

/// A text in at most so many columns, with an ellipsis where it is cut.
pub(super) fn cut(text: &str, columns: usize) -> String {
    if text.chars().count() <= columns {
        return text.to_owned();
    }
    let kept: String = text.chars().take(columns.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

/// Rows whose table has at most so many columns: the widest of their cells are cut.
pub(super) fn narrowed(rows: &mut [Vec<(String, Paint)>], columns: usize) {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width_of =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|(text, _)| text.chars().count()).max();
    let widths: Vec<usize> = (0..count).filter_map(width_of).collect();
    let room = columns.saturating_sub(2 * count.saturating_sub(1));
    let fits = |most: usize| widths.iter().map(|width| (*width).min(most)).sum::<usize>() <= room;
    let widest = widths.iter().copied().max().unwrap_or(0);
    let most = (1..=widest).rev().find(|most| fits(*most)).unwrap_or(1);
    for (text, _) in rows.iter_mut().flatten() {
        *text = cut(text, most);
    }
}

/// Columns, each as wide as its widest cell; the last one is as long as it is. Cells are measured without their paint.
pub(super) fn table(rows: &[Vec<(String, Paint)>]) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|(text, _)| text.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<(String, Paint)>| {
        let mut line = String::new();
        for ((text, colour), width) in row.iter().zip(&widths) {
            let room = width.saturating_sub(text.chars().count()) + 2;
            line.push_str(&painted(text, *colour));
            line.push_str(&" ".repeat(room));
        }
        line.trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// A time as kubectl shows it: `42s`, `3m5s`, `2h10m`, `4d`.
pub(super) fn span(seconds: i64) -> String {
    let seconds = seconds.max(0);
    match (seconds / 86_400, seconds / 3600, seconds / 60) {
        (0, 0, minutes) if minutes < 2 => format!("{seconds}s"),
        (0, 0, minutes) if minutes < 10 && seconds % 60 != 0 => format!("{minutes}m{}s", seconds % 60),
        (0, 0, minutes) => format!("{minutes}m"),
        (0, hours, minutes) if minutes % 60 != 0 => format!("{hours}h{}m", minutes % 60),
        (days, hours, _) if days < 2 => format!("{hours}h"),
        (days, ..) => format!("{days}d"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_a_plugin_of_kubectl_it_calls_itself_one() {
        assert_eq!(program_of(Path::new("/usr/local/bin/kubectl-castoff")), "kubectl castoff");
        for other in ["castoff", "./castoff", "", "kubectl"] {
            assert_eq!(program_of(Path::new(other)), "castoff");
        }
    }

    #[test]
    fn columns_line_up_by_what_is_seen_of_them() {
        let cell = |text: &str, paint| (text.to_owned(), paint);
        let rows = vec![
            vec![cell("POD", Paint::Plain), cell("PHASE", Paint::Plain), cell("WHY", Paint::Plain)],
            vec![cell("web-2", Paint::Plain), cell("Blocked", Paint::Bad), cell("another is away", Paint::Plain)],
        ];
        let painted = table(&rows);
        let plain: Vec<String> = painted.iter().map(|line| anstream::adapter::strip_str(line).to_string()).collect();
        assert_eq!(plain, ["POD    PHASE    WHY", "web-2  Blocked  another is away"]);
        assert_eq!(painted.last().map(String::as_str), Some("web-2  \u{1b}[31mBlocked\u{1b}[0m  another is away"));
    }

    #[test]
    fn what_does_not_fit_is_cut_with_an_ellipsis_the_widest_first() {
        assert_eq!(
            (cut("waits for db-1", 14), cut("waits for db-1", 10)),
            ("waits for db-1".to_owned(), "waits for…".to_owned())
        );
        let cell = |text: &str| (text.to_owned(), Paint::Plain);
        let rows = vec![vec![cell("a-pod-with-a-long-name-0"), cell("Draining"), cell("12 of 40 leaders")]];
        for columns in [60, 40, 30, 20, 10] {
            let mut rows = rows.clone();
            narrowed(&mut rows, columns);
            assert!(table(&rows)[0].chars().count() <= columns, "{rows:?}");
        }
        let mut rows = rows;
        narrowed(&mut rows, 40);
        assert_eq!(table(&rows), ["a-pod-with-a-…  Draining  12 of 40 lead…"]);
    }

    #[test]
    fn times_are_short() {
        let spans = [0, 119, 120, 185, 600, 3600, 7800, 90_000, 400_000].map(span);
        assert_eq!(spans, ["0s", "119s", "2m", "3m5s", "10m", "1h", "2h10m", "25h", "4d"]);
    }
}
