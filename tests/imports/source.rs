//! Paths in the source: what a file names of other modules, read without a compiler.

use std::fs;
use std::path::{Path, PathBuf};

/// One file of a crate.
pub(crate) struct Source {
    /// The modules that it is, from the crate's root; none for `lib.rs`.
    pub(crate) module: Vec<String>,
    /// Without comments, line for line.
    pub(crate) text: String,
    name: String,
}

/// One path, and where it stands.
pub(crate) struct Import {
    /// The modules that the file is, from the root.
    pub(crate) from: Vec<String>,
    /// What is imported, from the root.
    pub(crate) to: Vec<String>,
    /// The name that a `use` gives to it in the file; none for a path in an expression.
    pub(crate) name: Option<String>,
    /// Whether it is in the file's `mod tests`.
    pub(crate) in_tests: bool,
    pub(crate) place: String,
}

/// A path as it is written, and the name behind `as`, or its own last.
struct Leaf {
    path: Vec<String>,
    name: Option<String>,
}

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every `.rs` file below a folder.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The source without comments, line for line.
pub(crate) fn code(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap();
    let bare = |line: &str| {
        if line.trim_start().starts_with("//") {
            String::new()
        } else {
            line.to_owned()
        }
    };
    text.lines().map(|line| bare(line) + "\n").collect()
}

/// All files of the crate whose source is in `folder`.
pub(crate) fn sources(folder: &str) -> Vec<Source> {
    let base = root().join(folder);
    let source = |file: PathBuf| {
        let name = file.strip_prefix(&base).unwrap();
        let mut module: Vec<String> = name
            .with_extension("")
            .iter()
            .map(|part| part.to_str().unwrap().to_owned())
            .collect();
        if module.last().is_some_and(|last| last == "mod") || module == ["lib"] {
            module.pop();
        }
        Source {
            module,
            text: code(&file),
            name: format!("{folder}/{}", name.display()),
        }
    };
    files(&base).into_iter().map(source).collect()
}

impl Source {
    /// All its paths to other modules of ours, and to those directly below it.
    pub(crate) fn imports(&self) -> Vec<Import> {
        // Tests stand last in a file, as a module of their own.
        let tests = self.text.find("\nmod tests {").unwrap_or(self.text.len());
        let below: Vec<&str> = self.declared().into_iter().map(|(_, name)| name).collect();
        let mut found = Vec::new();
        for (at, start) in paths(&self.text, &below) {
            let mut base = self.module.clone();
            if at > tests {
                base.push("tests".into());
            }
            let line = self.text[..at].matches('\n').count() + 1;
            let in_use = self.text[..at].ends_with("use ");
            for leaf in expand(&self.text[at..]) {
                let to = absolute(&base, start, leaf.path);
                found.push(Import {
                    from: self.module.clone(),
                    place: format!("{}:{line}: {}", self.name, to.join("::")),
                    to,
                    name: leaf.name.filter(|_| in_use),
                    in_tests: at > tests,
                });
            }
        }
        found
    }

    /// The modules that it declares, each with whether it is built for tests alone.
    pub(crate) fn declared(&self) -> Vec<(bool, &str)> {
        let mut declared = Vec::new();
        let mut above = "";
        for line in self.text.lines().map(str::trim) {
            if let Some((before, name)) = line.strip_suffix(';').and_then(|line| line.rsplit_once("mod "))
                && (before.is_empty() || before.starts_with("pub"))
            {
                declared.push((above == "#[cfg(test)]", name));
            }
            above = line;
        }
        declared
    }
}

/// A path from the root, which is written in `base` and begins with `start`.
fn absolute(base: &[String], start: &str, mut path: Vec<String>) -> Vec<String> {
    match start {
        "vouch_protocol" => path,
        "crate" | "vouch" => path.split_off(1),
        "super" => {
            let ups = path.iter().take_while(|part| *part == "super").count();
            let above = &base[..base.len() - ups];
            above.iter().cloned().chain(path.drain(ups..)).collect()
        }
        _ => base.iter().cloned().chain(path).collect(),
    }
}

/// Where the paths of a text begin that can lead to another module, each with its first word: to another part, or to one of the
/// modules `below` this one.
fn paths<'b>(text: &str, below: &[&'b str]) -> Vec<(usize, &'b str)> {
    let mut found = Vec::new();
    for word in ["crate", "super", "vouch", "vouch_protocol"].iter().chain(below) {
        for (at, _) in text.match_indices(&format!("{word}::")) {
            let before = text[..at].chars().next_back();
            let inside = before.is_some_and(|before| before.is_alphanumeric() || "_:.\"".contains(before));
            if !inside {
                found.push((at, *word));
            }
        }
    }
    found
}

/// A path and the groups in it, `a::{b, c::d}`, as one list of words for each leaf.
fn expand(text: &str) -> Vec<Leaf> {
    let mut leaves = Vec::new();
    tree(text, &[], &mut leaves);
    leaves
}

/// Reads one tree; returns what follows it.
fn tree<'t>(text: &'t str, above: &[String], leaves: &mut Vec<Leaf>) -> &'t str {
    let text = text.trim_start();
    if let Some(mut rest) = text.strip_prefix('{') {
        loop {
            rest = rest.trim_start_matches([',', ' ', '\n']);
            if let Some(after) = rest.strip_prefix('}') {
                return after;
            }
            let after = tree(rest, above, leaves);
            assert!(
                after.len() < rest.len(),
                "cannot read {}",
                rest.lines().next().unwrap()
            );
            rest = after;
        }
    }
    let (word, rest) = text.split_at(end_of_word(text));
    let mut path = above.to_vec();
    if word != "self" {
        path.push(word.to_owned());
    }
    if let Some(below) = rest.strip_prefix("::").filter(|below| !below.starts_with('<')) {
        return tree(below, &path, leaves);
    }
    let (name, rest) = match rest.strip_prefix(" as ") {
        Some(renamed) => {
            let (name, rest) = renamed.split_at(end_of_word(renamed));
            (Some(name.to_owned()), rest)
        }
        None => (path.last().cloned(), rest),
    };
    leaves.push(Leaf { path, name });
    rest
}

fn end_of_word(text: &str) -> usize {
    text.find(|next: char| !next.is_alphanumeric() && next != '_' && next != '*')
        .unwrap_or(text.len())
}

#[test]
fn a_path_is_read_with_its_groups_and_names() {
    let read = |text: &str| {
        expand(text)
            .into_iter()
            .map(|leaf| (leaf.path.join("::"), leaf.name.unwrap()))
            .collect::<Vec<_>>()
    };
    let pair = |path: &str, name: &str| (path.to_owned(), name.to_owned());
    assert_eq!(read("crate::a::b;"), [pair("crate::a::b", "b")]);
    assert_eq!(read("crate::a::b(c)"), [pair("crate::a::b", "b")]);
    assert_eq!(
        read("crate::{\n    a::{self, B as C, d::*},\n    e,\n};"),
        [
            pair("crate::a", "a"),
            pair("crate::a::B", "C"),
            pair("crate::a::d::*", "*"),
            pair("crate::e", "e")
        ]
    );
}
