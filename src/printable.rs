//! Texts from outside, fit for a terminal and for a log.

use std::borrow::Cow;

/// The most of a foreign text that is shown, in characters.
const LONGEST: usize = 400;

/// A text from outside, fit for a terminal: control characters and marks that turn the direction of writing become
/// harmless ones, and what is longer than a screen is cut. Nothing is copied when there is nothing to change.
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    if text.len() <= LONGEST && !text.chars().any(is_harmful) {
        return Cow::Borrowed(text);
    }
    let mut safe: String = text.chars().take(LONGEST).map(harmless).collect();
    if text.chars().nth(LONGEST).is_some() {
        safe.push('…');
    }
    Cow::Owned(safe)
}

/// An error with what caused it, in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let said = cause.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        source = cause.source();
    }
    text
}

fn is_harmful(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn harmless(character: char) -> char {
    match character {
        '\n' | '\r' | '\t' | '\u{2028}' | '\u{2029}' => ' ',
        other if is_harmful(other) => '\u{fffd}',
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_and_direction_marks_never_reach_a_terminal() {
        let shown = printable("a\u{1b}[2Jb\nc\u{202e}d\u{9b}");
        assert_eq!(shown, "a\u{fffd}[2Jb c\u{fffd}d\u{fffd}");
    }

    #[test]
    fn what_is_harmless_is_not_copied_and_what_is_endless_is_cut() {
        assert!(matches!(printable("größer"), Cow::Borrowed("größer")));
        assert_eq!(printable(&"ä".repeat(100_000)).chars().count(), LONGEST + 1);
    }
}
