//! What is wrong with a file, shown beside its lines.

use std::{borrow::Cow, fmt, io, ops::Range, path::Path};

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

use crate::unseen::is_unseen;

/// Bound (process): mistakes in the configuration that are reported at once. Beyond: the others are counted. Why: a
/// file with more is corrected in rounds.
const MOST_PROBLEMS: usize = 20;

/// Words that hint at a secret: a line with one of them as a key is shown without its value.
const SECRET_WORDS: [&str; 3] = ["secret", "pass", "token"];

/// A configuration that cannot be used.
///
/// Its text names the file, the lines and columns, shows these lines, and says what would be right.
/// It ends without a line feed. What may be a secret is masked in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    rendered: String,
    brief: String,
    denied: bool,
}

impl Error {
    /// An error about the file as a whole.
    pub(crate) fn whole_file(path: &Path, why: &io::Error) -> Self {
        let brief = harmless(&format!("cannot read {}: {why}", path.display()));
        Self {
            rendered: format!("error: {brief}"),
            brief,
            denied: is_denied(why),
        }
    }

    /// The problems in one line, each with its line in the file.
    pub fn brief(&self) -> &str {
        &self.brief
    }

    /// Whether the system did not let us read the file, or one that it names.
    pub fn is_denied(&self) -> bool {
        self.denied
    }

    /// Shows every problem beside its lines, in the order of the file.
    pub(crate) fn render(path: &Path, text: &str, mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|problem| problem.place().start);
        let more = problems.len().saturating_sub(MOST_PROBLEMS);
        let shown = mask(text);
        let path = path.display().to_string();
        let mut rendered: Vec<String> = problems
            .iter()
            .take(MOST_PROBLEMS)
            .map(|problem| problem.render(&path, &shown))
            .collect();
        let in_brief = |problem: &Problem| {
            let before = text.get(..problem.place().start).unwrap_or_default();
            let line = 1 + before.matches('\n').count();
            let label = Some(&problem.label).filter(|label| !label.is_empty());
            let label = label.map_or(String::new(), |label| format!(": {label}"));
            let help = problem.help.as_ref().filter(|_| problem.help_in_brief);
            let help = help.map_or(String::new(), |help| format!("; {help}"));
            format!("line {line}: {}{label}{help}", problem.title)
        };
        let mut brief: Vec<String> = problems.iter().take(MOST_PROBLEMS).map(in_brief).collect();
        if more > 0 {
            rendered.push(format!("error: and {more} more"));
            brief.push(format!("and {more} more"));
        }
        Self {
            rendered: harmless(&rendered.join("\n\n")),
            brief: harmless(&format!("{path}: {}", brief.join("; "))),
            denied: problems.iter().any(|problem| problem.denied),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rendered)
    }
}

impl std::error::Error for Error {}

/// One thing that is wrong: a sentence, the places it is about, and what to do.
#[derive(Debug)]
pub(crate) struct Problem {
    title: String,
    place: Range<usize>,
    label: String,
    others: Vec<(Range<usize>, String)>,
    help: Option<String>,
    /// The summary in one line includes the help.
    help_in_brief: bool,
    denied: bool,
}

impl Problem {
    /// A problem at one place.
    pub(crate) fn new(title: impl Into<String>, place: Range<usize>, label: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            place,
            label: label.into(),
            others: Vec::new(),
            help: None,
            help_in_brief: false,
            denied: false,
        }
    }

    /// Names another place that has to do with it.
    pub(crate) fn also(mut self, place: Range<usize>, label: impl Into<String>) -> Self {
        self.others.push((place, label.into()));
        self
    }

    /// Says what would be right.
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Has what would be right told where there is one line for each problem, too.
    pub(crate) fn with_help_in_brief(mut self) -> Self {
        self.help_in_brief = true;
        self
    }

    /// Notes whether the system did not let us read a file.
    pub(crate) fn denied(mut self, denied: bool) -> Self {
        self.denied = denied;
        self
    }

    fn place(&self) -> &Range<usize> {
        &self.place
    }

    fn render(&self, path: &str, text: &str) -> String {
        let mut snippet = Snippet::source(text).path(path).annotation(
            AnnotationKind::Primary
                .span(self.place.clone())
                .label(self.label.as_str()),
        );
        for (place, label) in &self.others {
            snippet = snippet.annotation(AnnotationKind::Context.span(place.clone()).label(label.as_str()));
        }
        let mut group = Level::ERROR.primary_title(self.title.as_str()).element(snippet);
        if let Some(help) = &self.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        Renderer::plain().render(&[group])
    }
}

/// Whether the system did not let us.
pub(crate) fn is_denied(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied
}

/// The text without what a terminal might obey.
fn harmless(text: &str) -> String {
    text.replace(|c: char| is_unseen(c) && c != '\n', "?")
}

/// The text with what may be a secret overwritten, every byte in its old place.
fn mask(text: &str) -> Cow<'_, str> {
    let lower = text.to_ascii_lowercase();
    if !SECRET_WORDS.iter().any(|word| lower.contains(word)) {
        return Cow::Borrowed(text);
    }
    let mut masked = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let lower = line.to_ascii_lowercase();
        let word = SECRET_WORDS.iter().filter_map(|word| lower.find(word)).min();
        let value = word.and_then(|at| Some(at + line.get(at..)?.find('=')? + 1));
        let (kept, hidden) = line
            .split_at_checked(value.unwrap_or(line.len()))
            .unwrap_or((line, ""));
        masked.push_str(kept);
        masked.extend(hidden.bytes().map(|byte| {
            if byte.is_ascii_whitespace() {
                char::from(byte)
            } else {
                '*'
            }
        }));
    }
    Cow::Owned(masked)
}

/// The known word that a wrong one was most likely meant to be; `None` if none is near.
pub(crate) fn nearest<'k>(wrong: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let wrong = wrong.to_lowercase().replace('_', "-");
    // One slip in three letters: `prot` is `port`, `timeout` is not `type`.
    let allowed = (wrong.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|word| (strsim::damerau_levenshtein(&wrong, &word.to_lowercase()), word))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_one_slip_in_three_letters_away() {
        let known = ["type", "address", "port", "timeout", "ehlo-name", "tls"];
        for (wrong, near) in [
            ("adress", Some("address")),
            ("prot", Some("port")),
            ("TimeOut", Some("timeout")),
            ("ehlo_name", Some("ehlo-name")),
            ("tsl", Some("tls")),
            ("hello", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(nearest(wrong, known), near, "{wrong}");
        }
    }

    #[test]
    fn what_may_be_a_secret_is_masked_in_place() {
        let text = "type = \"imap\"\nauth.Secret = \"hünter2\"\nx = { password = 'a', b = 1 }\n# ticket\n";
        let masked = mask(text);
        assert_eq!(masked.len(), text.len());
        assert_eq!(
            masked,
            "type = \"imap\"\nauth.Secret = **********\nx = { password = **** * * * *\n# ticket\n"
        );
        assert_eq!(mask("a = 1\n"), "a = 1\n");
    }
}
