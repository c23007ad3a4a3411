//! HTML whose markup is ours, and whose texts are anybody's. Pure.

use crate::printable::printable;

/// A piece of a page.
#[derive(Default)]
pub(super) struct Html(String);

impl Html {
    /// Markup. It stands in the source of this program: nothing that comes from elsewhere lives for so long.
    pub fn tag(&mut self, markup: &'static str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// A text from anywhere, between tags or within the quotes of an attribute.
    pub fn text(&mut self, text: &str) -> &mut Self {
        for letter in printable(text).chars() {
            match letter {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                other => self.0.push(other),
            }
        }
        self
    }

    /// The whole of it.
    pub fn finish(self) -> String {
        self.0
    }
}
