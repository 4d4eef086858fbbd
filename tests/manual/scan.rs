//! What the sources have of bounds: the comments that describe them, the constants, and the tests that fill them.
//!
//! A paragraph of a comment describes a bound: `Bound (GROUP): WHAT. Beyond: WHAT HAPPENS THEN. Why: WHY THIS NUMBER.`
//! At a constant, that is the bound; `bytes` or `one in` behind the group tells how to write it. Elsewhere a key stands
//! there, or the bound itself. A line above a test, `Fills ONE, OTHER.`, names the bounds that it fills.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use vouch::config::{read, show};
use vouch::settings::scalar::duration_text;

/// A constant that is a number or a time.
pub(crate) struct Constant {
    /// Its path, `vouch_protocol::` before those of that crate.
    pub(crate) path: String,
    /// What stands behind the equals sign.
    value: String,
    is_time: bool,
}

/// One bound.
#[derive(Debug)]
pub(crate) struct Bound {
    /// The word for its group.
    pub(crate) group: String,
    /// The constant or the key that it is; else `what`.
    pub(crate) name: String,
    /// The key; empty if it is none.
    pub(crate) key: String,
    /// What is bounded.
    pub(crate) what: String,
    /// How much of it there may be: the number with its unit.
    pub(crate) limit: String,
    /// What happens beyond.
    pub(crate) beyond: String,
    /// Why it is this number.
    pub(crate) why: String,
}

/// The sources of the program and of the crate with the protocols.
pub(crate) struct Program {
    pub(crate) constants: Vec<Constant>,
    /// Each paragraph that describes a bound, with the index of its constant.
    paragraphs: Vec<(String, Option<usize>)>,
}

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every file with this ending below a folder.
pub(crate) fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, ending));
        } else if path.extension().is_some_and(|extension| extension == ending) {
            found.push(path);
        }
    }
    found.sort();
    found
}

impl Bound {
    /// Whether it may be called so: by its name, or by the end of its path.
    pub(crate) fn is_called(&self, name: &str) -> bool {
        self.name == name || self.name.ends_with(&format!("::{name}"))
    }
}

impl Program {
    pub(crate) fn read() -> Self {
        let mut program = Self {
            constants: Vec::new(),
            paragraphs: Vec::new(),
        };
        for (folder, krate) in [("protocol/src", "vouch_protocol::"), ("src", "")] {
            let folder = root().join(folder);
            for file in files(&folder, "rs") {
                let module = krate.to_owned() + &module(&folder, &file);
                if !module.split("::").any(|part| part == "tests") {
                    program.read_file(&module, &fs::read_to_string(&file).unwrap());
                }
            }
        }
        program
    }

    fn read_file(&mut self, module: &str, text: &str) {
        let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        // Those of the comment that was read last.
        let (mut paragraphs, mut open) = (Vec::<String>::new(), false);
        for line in text.lines().map(str::trim) {
            if let Some(comment) = line.strip_prefix("///").or_else(|| line.strip_prefix("//")) {
                let comment = comment.trim();
                if comment.starts_with("Bound (") {
                    paragraphs.push(comment.to_owned());
                    open = true;
                } else if open && !comment.is_empty() {
                    let paragraph = paragraphs.last_mut().unwrap();
                    *paragraph = format!("{paragraph} {comment}");
                } else {
                    open = false;
                }
                continue;
            }
            open = false;
            if line.starts_with("#[") {
                continue;
            }
            let constant = constant(module, line);
            let at = constant.is_some().then_some(self.constants.len());
            self.constants.extend(constant);
            self.paragraphs
                .extend(paragraphs.drain(..).map(|paragraph| (paragraph, at)));
        }
        self.paragraphs
            .extend(paragraphs.drain(..).map(|paragraph| (paragraph, None)));
    }

    /// Every bound, as the sources order them.
    pub(crate) fn bounds(&self) -> Vec<Bound> {
        let defaults = defaults();
        self.paragraphs
            .iter()
            .map(|(paragraph, at)| {
                let constant = at.map(|at| &self.constants[at]);
                self.bound(paragraph, constant, &defaults)
                    .unwrap_or_else(|| panic!("cannot read this bound: {paragraph}"))
            })
            .collect()
    }

    fn bound(&self, text: &str, constant: Option<&Constant>, defaults: &Defaults) -> Option<Bound> {
        let (head, text) = text.strip_prefix("Bound (")?.split_once("): ")?;
        let (group, kind) = head.split_once(", ").unwrap_or((head, ""));
        let (text, why) = text.split_once(" Why: ")?;
        let (what, beyond) = text.split_once(" Beyond: ").unwrap_or((text, "."));
        let [what, beyond, why] = [what, beyond, why].map(|text| text.strip_suffix('.').map(str::to_owned));
        let what = what?;
        let tables = ["listener.", "directory.", "fleet."];
        let is_key = tables.iter().any(|table| kind.starts_with(table));
        let (name, limit) = match constant {
            Some(constant) => (constant.path.clone(), self.written(constant, kind)),
            None if is_key => (kind.split(' ').next()?.to_owned(), default(kind, defaults)),
            None => (what.clone(), kind.to_owned()),
        };
        Some(Bound {
            group: group.to_owned(),
            key: if is_key { name.clone() } else { String::new() },
            name,
            what,
            limit,
            beyond: beyond?,
            why: why?,
        })
    }

    /// A constant's value, as the manual has it.
    fn written(&self, constant: &Constant, kind: &str) -> String {
        let value = self.value(&constant.value);
        match kind {
            "" if constant.is_time => duration_text(Duration::from_millis(value)),
            "" => value.to_string(),
            "one in" => format!("one in {value}"),
            "bytes" if value.is_multiple_of(1 << 20) => format!("{} MiB", value >> 20),
            "bytes" if value.is_multiple_of(1 << 10) => format!("{} KiB", value >> 10),
            "bytes" => format!("{value} bytes"),
            kind => panic!("{}: {kind}?", constant.path),
        }
    }

    /// What an expression is; a time in milliseconds. It knows those that constants have.
    fn value(&self, expression: &str) -> u64 {
        let within = |name: &str| expression.strip_prefix(name)?.strip_suffix(')');
        if let Some(seconds) = within("Duration::from_secs(") {
            self.value(seconds) * 1000
        } else if let Some(millis) = within("Duration::from_millis(") {
            self.value(millis)
        } else if let Some((number, bits)) = expression.split_once(" << ") {
            self.value(number) << self.value(bits)
        } else if let Some((number, times)) = expression.split_once(" * ") {
            self.value(number) * self.value(times)
        } else if let Ok(number) = expression.replace('_', "").parse() {
            number
        } else {
            let path = format!("::{expression}");
            let mut named = self.constants.iter().filter(|other| other.path.ends_with(&path));
            match (named.next(), named.next()) {
                (Some(one), None) => self.value(&one.value),
                _ => panic!("cannot tell what {expression} is"),
            }
        }
    }
}

/// The module that a file is, as a path.
fn module(root: &Path, file: &Path) -> String {
    let relative = file.strip_prefix(root).unwrap().with_extension("");
    let mut parts: Vec<_> = relative
        .iter()
        .map(|part| part.to_str().unwrap().to_owned())
        .collect();
    parts.retain(|part| !matches!(part.as_str(), "mod" | "lib"));
    parts.join("::")
}

/// The constant of a line, if it is a number or a time.
fn constant(module: &str, line: &str) -> Option<Constant> {
    let bare = ["pub ", "pub(crate) ", "pub(super) "]
        .iter()
        .find_map(|visibility| line.strip_prefix(visibility));
    let (name, rest) = bare.unwrap_or(line).strip_prefix("const ")?.split_once(": ")?;
    let kind = rest.split([' ', ';']).next()?;
    let counted = [
        "usize", "u8", "u16", "u32", "u64", "i32", "i64", "RawFd", "Duration",
    ];
    let path = format!("{module}::{name}");
    counted.contains(&kind).then(|| Constant {
        path: path.trim_start_matches("::").replace("::::", "::"),
        value: rest
            .split_once(" = ")
            .map_or("", |(_, value)| value)
            .trim_end_matches(';')
            .to_owned(),
        is_time: kind == "Duration",
    })
}

/// The default of a key in each kind of directory, and at each kind of listener.
type Defaults = BTreeMap<String, Vec<(&'static str, String)>>;

/// As `vouch check --all` shows them.
fn defaults() -> Defaults {
    let mut defaults = Defaults::new();
    let directories = ["imap", "smtp", "lmtp"];
    let listeners = [
        ("policy", "lmtp"),
        ("auth", "imap"),
        ("userdb", "lmtp"),
        ("saslauthd", "imap"),
        ("socketmap", "lmtp"),
    ];
    let mut text = String::new();
    for kind in directories {
        text.push_str(&format!(
            "[directory.{kind}]\ntype = \"{kind}\"\naddress = \"a.example\"\n"
        ));
    }
    for (at, (kind, directory)) in listeners.iter().enumerate() {
        text.push_str(&format!(
            "[listener.{kind}]\nprotocol = \"{kind}\"\nsocket = \"/{at}\"\ndirectory = [\"{directory}\"]\n"
        ));
    }
    text.push_str("[fleet]\nstore = \"unix:/s\"\nkey-file = \"/k\"\n");
    let (config, notes) = read::parse(Path::new("a.toml"), &text).unwrap();
    let shown = show::describe(&config, &notes, true);
    let kinds = directories.into_iter().chain(listeners.map(|(kind, _)| kind));
    let kinds: Vec<_> = kinds.collect();
    let (mut table, mut of) = (String::new(), "");
    for line in shown
        .split("Every key, with its effective value:\n")
        .nth(1)
        .unwrap()
        .lines()
    {
        if let Some(name) = line.strip_prefix('[') {
            of = kinds
                .iter()
                .find(|kind| name.contains(&format!("\"{kind}\"")))
                .unwrap_or(&"");
            table = name
                .trim_end_matches(['.', ']'])
                .replace(&format!("\"{of}\""), "NAME");
        } else if let Some((key, value)) = line.trim_start_matches("# ").split_once(" = ") {
            let value = value.split(" # ").next().unwrap().trim().trim_matches('"');
            defaults
                .entry(format!("{table}.{key}"))
                .or_default()
                .push((of, value.to_owned()));
        } else if let Some((key, words)) = line.trim_start_matches("# ").split_once("# default: ") {
            let key = format!("{table}.{}", key.trim());
            defaults.entry(key).or_default().push((of, words.to_owned()));
        }
    }
    defaults
}

/// The default of a key: `KEY`, or `KEY of KIND` if it differs between kinds of listeners.
fn default(key: &str, defaults: &Defaults) -> String {
    let (key, of) = key.split_once(" of ").unwrap_or((key, ""));
    let defaults = defaults.get(key).unwrap_or_else(|| panic!("no key {key}"));
    let value = |kind: &str| {
        defaults
            .iter()
            .find(|(of, _)| *of == kind)
            .map(|(_, value)| value)
    };
    if let Some(value) = value(of) {
        return value.clone();
    }
    let first = &defaults[0].1;
    if defaults.iter().all(|(_, value)| value == first) {
        return first.clone();
    }
    match ["imap", "smtp", "lmtp"].map(|kind| value(kind).unwrap_or_else(|| panic!("{key} of which kind?"))) {
        [imap, smtp, lmtp] if imap == smtp => format!("{imap}, lmtp {lmtp}"),
        [imap, smtp, lmtp] if smtp == lmtp => format!("imap {imap}, else {smtp}"),
        [imap, smtp, lmtp] => format!("imap {imap}, smtp {smtp}, lmtp {lmtp}"),
    }
}

/// The names behind `Fills`, each with its file.
pub(crate) fn fills() -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    for (folder, ending) in [
        ("src", "rs"),
        ("protocol/src", "rs"),
        ("tests", "rs"),
        ("tests/transcripts", "txt"),
    ] {
        for file in files(&root().join(folder), ending) {
            let text = fs::read_to_string(&file).unwrap();
            let mut lines = text.lines().map(str::trim).peekable();
            while let Some(line) = lines.next() {
                let start = if ending == "rs" { "// Fills " } else { "# Fills " };
                let Some(names) = line.strip_prefix(start) else {
                    continue;
                };
                let next = lines.peek().unwrap_or(&"");
                let above_test = next.starts_with("#[") || next.starts_with(start) || ending == "txt";
                assert!(above_test, "{}: not above a test: {line}", file.display());
                let names = names.trim_end_matches('.').split(", ");
                found.extend(names.map(|name| (name.to_owned(), file.clone())));
            }
        }
    }
    found
}
