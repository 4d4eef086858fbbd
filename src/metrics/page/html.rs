//! HTML that grows: markup comes from the source alone, and all else is escaped.

use std::fmt::{self, Display, Write};

use crate::unseen::is_unseen;

/// A piece of a page.
#[derive(Debug, Default)]
pub(super) struct Html(String);

impl Html {
    /// Appends markup. What comes from outside is not `'static`, and cannot get here.
    pub(super) fn markup(&mut self, markup: &'static str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// Appends text, for an element or for an attribute between quotes.
    pub(super) fn text(&mut self, text: impl Display) -> &mut Self {
        // Writing to a string cannot fail.
        let _ = write!(Escaped(&mut self.0), "{text}");
        self
    }

    /// Appends a name of the configuration or a remote's words, whose direction of writing stays theirs.
    pub(super) fn outside(&mut self, text: impl Display) -> &mut Self {
        self.markup("<bdi>").text(text).markup("</bdi>")
    }

    /// The same for a path or an address, which may go on in the next line behind each part.
    pub(super) fn path(&mut self, path: &str) -> &mut Self {
        self.markup("<bdi>");
        for part in path.split_inclusive('/') {
            self.text(part).markup("<wbr>");
        }
        self.markup("</bdi>")
    }

    /// Appends another piece.
    pub(super) fn piece(&mut self, other: &Self) -> &mut Self {
        self.0.push_str(&other.0);
        self
    }

    /// How often it has this markup.
    pub(super) fn count(&self, markup: &'static str) -> usize {
        self.0.matches(markup).count()
    }

    /// All of it.
    pub(super) fn end(self) -> String {
        self.0
    }
}

/// Writes what has no meaning in HTML, and nothing that a reader cannot see.
struct Escaped<'a>(&'a mut String);

impl Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for letter in text.chars() {
            match letter {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                _ if is_unseen(letter) => self.0.push(char::REPLACEMENT_CHARACTER),
                _ => self.0.push(letter),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_outside_is_markup() {
        let mut html = Html::default();
        html.markup("<p title=\"")
            .text("\"><script>alert('1')</script>&amp;")
            .markup("\">")
            .outside("a\u{202e}b\0c\u{1b}[2J\r\n<b>")
            .markup("</p>");
        assert_eq!(
            html.end(),
            "<p title=\"&quot;&gt;&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&amp;amp;\"><bdi>a\u{fffd}b\u{fffd}c\
             \u{fffd}[2J\u{fffd}\u{fffd}&lt;b&gt;</bdi></p>"
        );
    }

    #[test]
    fn a_path_breaks_between_its_parts() {
        let mut html = Html::default();
        html.path("/run/<b>");
        assert_eq!(html.end(), "<bdi>/<wbr>run/<wbr>&lt;b&gt;<wbr></bdi>");
    }

    #[test]
    fn a_piece_is_not_escaped_twice() {
        let (mut inner, mut outer) = (Html::default(), Html::default());
        inner.text("<");
        outer.piece(&inner).text(7);
        assert_eq!(outer.end(), "&lt;7");
    }
}
