//! Tables whose headers are headers.

use super::html::Html;

/// How a row begins that somebody should do something about.
pub(super) const WARNING: &str = "<tr class=\"warning\">";

/// A table that grows row by row.
pub(super) struct Table(Html);

impl Table {
    /// One with a row for each fact. `caption` is for those who hear it.
    pub(super) fn facts(caption: &'static str) -> Self {
        let mut html = Html::default();
        html.markup("<table class=\"facts\"><caption class=\"heard\">")
            .markup(caption)
            .markup("</caption><tbody>");
        Self(html)
    }

    /// One with these columns of numbers, behind one of words.
    pub(super) fn numbers(caption: &'static str, columns: &[&'static str]) -> Self {
        let mut html = Html::default();
        html.markup("<div class=\"scroll\" tabindex=\"0\" role=\"group\" aria-label=\"")
            .markup(caption)
            .markup("\"><table class=\"numbers\"><caption>")
            .markup(caption)
            .markup("</caption><thead><tr>");
        for column in columns {
            html.markup("<th scope=\"col\">").markup(column).markup("</th>");
        }
        html.markup("</tr></thead><tbody>");
        Self(html)
    }

    /// Adds a fact.
    pub(super) fn fact(&mut self, name: &'static str, value: impl FnOnce(&mut Html)) {
        self.0.markup("<tr>");
        self.named(name, value);
    }

    /// Adds a fact that somebody should do something about.
    pub(super) fn warning(&mut self, name: &'static str, value: impl FnOnce(&mut Html)) {
        self.0.markup(WARNING);
        self.named(name, |html| {
            super::State::Troubled.sign(html);
            value(html);
        });
    }

    fn named(&mut self, name: &'static str, value: impl FnOnce(&mut Html)) {
        self.0
            .markup("<th scope=\"row\">")
            .markup(name)
            .markup("</th><td>");
        value(&mut self.0);
        self.0.markup("</td></tr>");
    }

    /// Adds a row of numbers, and what it is about.
    pub(super) fn row(&mut self, head: impl FnOnce(&mut Html), cells: &[String]) {
        self.0.markup("<tr><th scope=\"row\">");
        head(&mut self.0);
        self.0.markup("</th>");
        for cell in cells {
            self.0.markup("<td>").text(cell).markup("</td>");
        }
        self.0.markup("</tr>");
    }

    /// Appends a table of facts.
    pub(super) fn end(self, html: &mut Html) {
        html.piece(&self.0).markup("</tbody></table>");
    }

    /// Appends a table of numbers.
    pub(super) fn end_numbers(self, html: &mut Html) {
        html.piece(&self.0).markup("</tbody></table></div>");
    }
}
