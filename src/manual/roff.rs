//! Text for man(1), in the macros of man(7), with a table of tbl(1). mandoc and groff read it.

/// The day on which the pages were last looked through.
const DATE: &str = "2026-11-25";

/// A page, growing.
#[derive(Debug)]
pub(super) struct Page(String);

impl Page {
    /// An empty page `name`(`section`).
    pub(super) fn new(name: &str, section: u8, volume: &str) -> Self {
        let (name, version) = (name.to_uppercase(), env!("CARGO_PKG_VERSION"));
        // The first line says that there are tables, the last that lines are not stretched: in columns they could not be.
        Self(format!(
            "'\\\" t\n.TH {name} {section} {DATE} \"vouch {version}\" \"{volume}\"\n.ad l\n"
        ))
    }

    /// Begins a section.
    pub(super) fn section(&mut self, title: &str) {
        self.line(&format!(".SH \"{}\"", escaped(title)));
    }

    /// Begins a part of a section.
    pub(super) fn part(&mut self, title: &str) {
        self.line(&format!(".SS \"{}\"", escaped(title)));
    }

    /// A paragraph. What stands between backticks is bold.
    pub(super) fn text(&mut self, text: &str) {
        self.paragraph();
        self.line(&marked(text));
    }

    /// Something with its explanation below it.
    pub(super) fn item(&mut self, what: &str, text: &str) {
        self.line(".TP");
        self.line(&marked(what));
        self.line(&marked(text));
    }

    /// A word that what was explained last may be, with what it means, further in.
    pub(super) fn word(&mut self, word: &str, meaning: &str) {
        self.line(".RS\n.TP");
        self.line(&marked(&format!("`{word}`")));
        self.line(&marked(meaning));
        self.line(".RE");
    }

    /// Lines that are shown as they are.
    pub(super) fn example(&mut self, lines: &str) {
        self.paragraph();
        self.line(".RS 4\n.nf");
        lines.lines().for_each(|line| self.line(&escaped(line)));
        self.line(".fi\n.RE");
    }

    /// A table: its heads, then its rows. `widths` are those of all columns but the last.
    pub(super) fn table<const N: usize>(&mut self, widths: &[u8], heads: [&str; N], rows: &[[String; N]]) {
        let columns = |modifier: &str| {
            let width = |at: usize| {
                let width = widths.get(at).map(|width| format!("w({width}n)"));
                format!("l{modifier}{}", width.unwrap_or_else(|| "x".to_owned()))
            };
            (0..N).map(width).collect::<Vec<_>>().join(" ")
        };
        // Without adjustment, which in narrow cells leaves holes, and of which groff complains.
        self.line(".na\n.TS");
        self.line(&format!("{}\n{}.", columns("b"), columns("")));
        self.line(&heads.map(escaped).join("\t"));
        for row in rows {
            let cell = |text: &String| format!("T{{\n{}\nT}}", marked(text));
            self.line(&row.iter().map(cell).collect::<Vec<_>>().join("\t"));
        }
        self.line(".TE\n.ad");
    }

    /// The whole page.
    pub(super) fn into_text(self) -> String {
        self.0
    }

    /// Begins a paragraph; a section begins with one anyway.
    fn paragraph(&mut self) {
        if !self.0.lines().last().is_some_and(|line| line.starts_with(".S")) {
            self.line(".PP");
        }
    }

    fn line(&mut self, line: &str) {
        self.0.push_str(line);
        self.0.push('\n');
    }
}

/// Text in which nothing steers the typesetter, and every character is ASCII.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\\' => out.push_str("\\e"),
            // A hyphen is what people copy; without this some show a longer one.
            '-' => out.push_str("\\-"),
            // A typographic quote could not be copied either.
            '\'' => out.push_str("\\(aq"),
            '"' => out.push_str("\\(dq"),
            '…' => out.push_str("..."),
            '§' => out.push_str("section "),
            character => out.push(character),
        }
    }
    // Only a line that begins with one of these is a command.
    if out.starts_with('.') {
        out.insert_str(0, "\\&");
    }
    out
}

/// Escaped text of one line, with what stands between backticks in bold.
fn marked(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut out = String::new();
    for (number, part) in text.split('`').enumerate() {
        if number % 2 == 1 {
            // A long key may be broken behind its dots.
            let part = escaped(part).replace('.', ".\\:");
            out.push_str(&format!("\\fB{part}\\fR"));
        } else if number == 0 {
            out.push_str(&escaped(part));
        } else {
            out.push_str(escaped(part).trim_start_matches("\\&"));
        }
    }
    out
}

/// With a capital letter, where it begins with a word of English.
pub(super) fn sentence(text: &str) -> String {
    let first = text.split(' ').next().unwrap_or_default();
    if first == "vouch"
        || !first
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b',')
    {
        return text.to_owned();
    }
    let mut characters = text.chars();
    let capital = characters.next().map(|first| first.to_ascii_uppercase());
    capital.into_iter().chain(characters).collect()
}
