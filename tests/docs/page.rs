//! A page of Markdown: its lines, and what each is part of.

use std::fs;
use std::path::{Path, PathBuf};

/// A page, by its path below the repository's root.
pub(crate) struct Page {
    pub(crate) path: PathBuf,
    pub(crate) lines: Vec<Line>,
}

/// A line, and where it stands.
pub(crate) struct Line {
    pub(crate) number: usize,
    pub(crate) text: String,
    pub(crate) place: Place,
}

/// What a line is part of.
#[derive(Clone, PartialEq)]
pub(crate) enum Place {
    Text,
    /// A block in fences: what stands behind the opening one, and which block of the page it is.
    Block(String, usize),
    Fence,
}

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The how-tos and the READMEs.
pub(crate) fn pages() -> Vec<Page> {
    let mut paths = vec![PathBuf::from("README.md"), PathBuf::from("protocol/README.md")];
    for entry in fs::read_dir(root().join("docs")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name.ends_with(".md") {
            paths.push(Path::new("docs").join(name));
        }
    }
    assert!(paths.len() > 10, "{paths:?}");
    paths.into_iter().map(page).collect()
}

pub(crate) fn page(path: PathBuf) -> Page {
    let text = fs::read_to_string(root().join(&path)).unwrap();
    let mut lines = Vec::new();
    let (mut block, mut blocks, mut indent) = (None, 0, 0);
    for (number, line) in (1..).zip(text.lines()) {
        let bare = line.trim_start();
        let place = match (bare.strip_prefix("```"), &block) {
            (Some(kind), None) => {
                blocks += 1;
                indent = line.len() - bare.len();
                block = Some(Place::Block(kind.to_owned(), blocks));
                Place::Fence
            }
            (Some(_), Some(_)) => {
                block = None;
                Place::Fence
            }
            (None, Some(block)) => block.clone(),
            (None, None) => Place::Text,
        };
        let inside = matches!(place, Place::Block(..));
        let text = if inside && line.len() >= indent {
            &line[indent..]
        } else {
            line
        };
        lines.push(Line {
            number,
            text: text.to_owned(),
            place,
        });
    }
    Page { path, lines }
}

impl Page {
    /// Where a line stands, for people.
    pub(crate) fn at(&self, number: usize) -> String {
        format!("{}:{number}", self.path.display())
    }

    /// The blocks of this kind: the line before each, and the text.
    pub(crate) fn blocks(&self, kind: &str) -> Vec<(usize, String)> {
        let mut found: Vec<(usize, usize, String)> = Vec::new();
        for line in &self.lines {
            let Place::Block(of, block) = &line.place else {
                continue;
            };
            if of != kind {
                continue;
            }
            match found.last_mut().filter(|(_, last, _)| last == block) {
                Some((_, _, text)) => text.push_str(&format!("{}\n", line.text)),
                None => found.push((line.number, *block, format!("{}\n", line.text))),
            }
        }
        found
            .into_iter()
            .map(|(number, _, text)| (number, text))
            .collect()
    }

    /// Code between backticks in the text. The manual's own page quotes messages, which hold backticks themselves.
    pub(crate) fn code(&self) -> Vec<(usize, String)> {
        let lines = self.lines.iter().filter(|line| line.place == Place::Text);
        let mut found = Vec::new();
        let mut rest = String::new();
        let mut began = 0;
        for line in lines {
            // A span may go over the end of a line.
            if rest.matches('`').count().is_multiple_of(2) {
                rest.clear();
                began = line.number;
            }
            rest.push_str(&format!("{} ", line.text.trim_start()));
            if rest.matches('`').count().is_multiple_of(2) {
                let spans = rest.split('`').skip(1).step_by(2);
                found.extend(spans.map(|span| (began, span.to_owned())));
            }
        }
        found
    }
}
