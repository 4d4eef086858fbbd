//! The configuration's text: paragraphs of `contrib/vouch.toml`, with the answers filled in.

use std::path::Path;

use super::answers::{Answers, Server};
use super::{Front, Tls};
use crate::settings::kind::Kind;
use crate::settings::scalar::quoted;

/// What the package installs, and where every key is explained.
pub(super) const EXAMPLE: &str = include_str!("../../../contrib/vouch.toml");

/// The name of the one directory.
const DIRECTORY: &str = "mailbox";

/// Where the remark on a key begins, as in the example.
const REMARK_COLUMN: usize = 44;

/// Users of the system as which Exim runs: on Debian, and elsewhere.
const EXIM: [&str; 2] = ["Debian-exim", "exim"];

/// The whole text; `path` is where it will be.
pub(super) fn draft(answers: &Answers, path: &Path) -> String {
    let mut text = format!(
        "# {}: written by vouch init. vouch.toml(5) describes every other key.\n#\n\
         # A key after a bare \"#\" is off, and shows its default, or an example if it has none (\"none by default\"). After\n\
         # a change, look at the outcome:\n#\n",
        path.display()
    );
    text.push_str(after("#     vouch check  "));
    text.push_str("\n\n");
    let mut parts = vec![section("Directories")];
    parts.extend(directory(answers));
    parts.push(section("Listeners"));
    for front in &answers.fronts {
        match front {
            Front::PostfixRecipients => parts.extend(recipients(answers)),
            Front::PostfixLogins => parts.extend(logins(answers, "logins", *front)),
            Front::Exim => parts.extend(logins(answers, "exim", *front)),
            Front::Dovecot => parts.extend(dovecot(answers)),
        }
    }
    parts.push(section("The daemon itself"));
    parts.extend(["metrics", "control", "log", "service"].map(Part::of));
    let parts: Vec<_> = parts.iter().map(|part| part.lines.join("\n")).collect();
    text.push_str(&parts.join("\n\n"));
    text.push('\n');
    text
}

fn directory(answers: &Answers) -> Vec<Part> {
    let kind = answers.kind;
    let name = |part: &str| format!("directory.\"{DIRECTORY}\"{part}");
    let mut main = Part::of(&name(""));
    if kind.knows_logins() {
        let knows_logins = Part::of("directory.\"imap\"").remark();
        main.say(&knows_logins, kind.knows_recipients());
    }
    main.set("type", &quoted(kind));
    let mut lookup = Part::of(&name(".lookup"));
    match &answers.server {
        Server::Host(host, port) => {
            main.set("address", &quoted(host));
            main.set("port", &port.to_string());
        }
        Server::Socket(path) => {
            main.set("address", &quoted(path));
            main.drop(&["port"]);
        }
        Server::Map(map) => {
            main.drop(&["address", "port"]);
            lookup.set("routes", &quoted(map));
        }
    }
    let mut tls = Part::of(&name(".tls"));
    match answers.tls {
        // A Unix socket has no TLS, so the table is left out.
        _ if matches!(answers.server, Server::Socket(_)) => {}
        Tls::Implicit => tls.set("implicit", "true"),
        Tls::Starttls => tls.set("starttls", "\"required\""),
        Tls::IfAvailable => tls.set("starttls", "\"if-available\""),
        Tls::None => tls.set("starttls", "\"never\""),
    }
    if let Some(file) = &answers.ca_file {
        tls.set("ca-file", &quoted(file.display()));
    }
    if let Some(name) = &answers.server_name {
        tls.set("server-name", &quoted(name));
    }
    let mut limits = Part::of(&name(".limits"));
    if answers.domains.is_empty() {
        lookup.drop(&["domains"]);
    } else {
        let domains: Vec<_> = answers.domains.iter().map(quoted).collect();
        lookup.set("domains", &format!("[{}]", domains.join(", ")));
    }
    let mut auth = Part::of("directory.\"imap\".auth");
    auth.rename("\"imap\"", &format!("\"{DIRECTORY}\""));
    if answers.allow_cleartext {
        auth.set("allow-cleartext", "true");
    }
    let mut pool = Part::of(&name(".pool"));
    let (rcpt, cache) = (Part::of(&name(".rcpt")), Part::of(&name(".cache")));
    match kind {
        Kind::Imap => {
            main.drop(&["ehlo-name"]);
            limits.drop(&["rcpt", "rcpt-errors"]);
            lookup.drop(&["canary", "catch-all"]);
            vec![main, tls, limits, lookup, auth, pool, cache]
        }
        Kind::Smtp => vec![main, tls, limits, lookup, rcpt, auth, pool, cache],
        Kind::Lmtp => {
            limits.drop(&["auth-errors"]);
            pool.drop(&["warm-sessions"]);
            vec![main, tls, limits, lookup, rcpt, pool, cache]
        }
    }
}

fn recipients(answers: &Answers) -> Vec<Part> {
    let name = |part: &str| format!("listener.\"recipients\"{part}");
    let mut main = Part::of(&name(""));
    main.set(
        "socket",
        &quoted(answers.socket(Front::PostfixRecipients).display()),
    );
    main.set("directory", &format!("[\"{DIRECTORY}\"]"));
    vec![main, Part::of(&name(".limits")), Part::of(&name(".action"))]
}

fn logins(answers: &Answers, called: &str, front: Front) -> Vec<Part> {
    let parts = ["", ".limits", ".penalty"].map(|part| {
        let mut part = Part::of(&format!("listener.\"logins\"{part}"));
        part.rename("\"logins\"", &format!("\"{called}\""));
        part
    });
    let [mut main, limits, penalty] = parts;
    main.set("socket", &quoted(answers.socket(front).display()));
    main.set("directory", &format!("[\"{DIRECTORY}\"]"));
    if let (Front::Exim, Some(user)) = (front, exim()) {
        // Any user may open the socket (others share the folder's group); the kernel names the user that connects.
        main.set("mode", "\"0666\"");
        main.set("peers", &format!("[\"{user}\"]"));
    }
    vec![main, limits, penalty]
}

/// The user as which this machine's Exim runs.
pub(super) fn exim() -> Option<&'static str> {
    let exists = |user: &&str| nix::unistd::User::from_name(user).is_ok_and(|user| user.is_some());
    EXIM.into_iter().find(exists)
}

fn dovecot(answers: &Answers) -> Vec<Part> {
    let (mut main, limits) = (Part::of("dovecot"), Part::of("dovecot.limits"));
    main.switch_on();
    let directory = format!("[\"{DIRECTORY}\"]");
    main.set("logins", &directory);
    main.set("users", &directory);
    if !answers.kind.knows_recipients() {
        main.set("exists", "\"domain\"");
    }
    vec![main, limits]
}

/// The line that parts the file where it begins so.
fn section(title: &str) -> Part {
    let start = format!("# --- {title}");
    let line = EXAMPLE.lines().find(|line| line.starts_with(&start));
    Part {
        lines: line.into_iter().map(str::to_owned).collect(),
    }
}

/// What stands in the example's head from there on.
fn after(start: &str) -> &'static str {
    let head = EXAMPLE.split("\n\n").next().unwrap_or_default();
    head.find(start).and_then(|at| head.get(at..)).unwrap_or_default()
}

/// A table of the example, with the remark above it.
struct Part {
    lines: Vec<String>,
}

impl Part {
    /// The one of this name, on or off.
    fn of(table: &str) -> Self {
        let heading = format!("[{table}]");
        let is_heading = |line: &str| line.strip_prefix('#').unwrap_or(line).starts_with(&heading);
        let part = EXAMPLE
            .split("\n\n")
            .find(|part| part.lines().any(is_heading))
            .unwrap_or_default();
        Self {
            lines: part.trim_end().lines().map(str::to_owned).collect(),
        }
    }

    /// The lines above the heading.
    fn remark(self) -> Vec<String> {
        let remark = self.lines.into_iter().take_while(|line| line.starts_with("# "));
        remark.collect()
    }

    /// Puts a remark above the heading, in place of the one there or behind it.
    fn say(&mut self, remark: &[String], keep: bool) {
        let own = self
            .lines
            .iter()
            .take_while(|line| line.starts_with("# "))
            .count();
        let from = if keep { own } else { 0 };
        self.lines.splice(from..own, remark.iter().cloned());
    }

    fn rename(&mut self, from: &str, to: &str) {
        for line in &mut self.lines {
            if line.contains(from) {
                let (code, remark) = split(line);
                *line = joined(&code.replacen(from, to, 1), remark);
            }
        }
    }

    /// Takes the heading out of its comment.
    fn switch_on(&mut self) {
        for line in &mut self.lines {
            if let Some(heading) = line.strip_prefix("#[") {
                *line = format!("[{heading}");
            }
        }
    }

    /// Switches a key on with this value; one that the table lacks stands first in it.
    fn set(&mut self, key: &str, value: &str) {
        let code = format!("{key} = {value}");
        if let Some(line) = self.lines.iter_mut().find(|line| is_key(line, key)) {
            *line = joined(&code, split(line).1);
            return;
        }
        let heading = self.lines.iter().position(|line| line.starts_with('['));
        self.lines.insert(heading.map_or(0, |at| at + 1), code);
    }

    /// Leaves keys out, and what is said of them below.
    fn drop(&mut self, keys: &[&str]) {
        let mut dropping = false;
        self.lines.retain(|line| {
            let more = line.starts_with(' ');
            dropping = (dropping && more) || keys.iter().any(|key| is_key(line, key));
            !dropping
        });
    }
}

fn is_key(line: &str, key: &str) -> bool {
    let rest = line.strip_prefix('#').unwrap_or(line).strip_prefix(key);
    rest.is_some_and(|rest| rest.starts_with(" = "))
}

/// A line's own part, and the remark behind it.
fn split(line: &str) -> (&str, &str) {
    // No value of the example holds these three characters.
    match line.find("  # ") {
        Some(at) => (line[..at].trim_end(), line[at..].trim_start()),
        None => (line, ""),
    }
}

fn joined(code: &str, remark: &str) -> String {
    if remark.is_empty() {
        return code.to_owned();
    }
    // Two spaces at least, as in the example.
    let wide = REMARK_COLUMN.max(code.chars().count() + 2);
    format!("{code:wide$}{remark}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_has_every_table_that_a_draft_is_made_of() {
        let names = ["", ".tls", ".limits", ".lookup", ".rcpt", ".pool", ".cache"]
            .map(|part| format!("directory.\"mailbox\"{part}"));
        let listeners = ["recipients\"", "recipients\".limits", "recipients\".action"]
            .into_iter()
            .chain(["logins\"", "logins\".limits", "logins\".penalty"])
            .map(|part| format!("listener.\"{part}"));
        let others = [
            "directory.\"imap\"", "directory.\"imap\".auth", "dovecot", "dovecot.limits", "metrics",
            "control", "log", "service",
        ];
        for name in names
            .into_iter()
            .chain(listeners)
            .chain(others.map(str::to_owned))
        {
            assert!(!Part::of(&name).lines.is_empty(), "{name}");
        }
        for title in ["Directories", "Listeners", "The daemon itself"] {
            assert_eq!(section(title).lines.len(), 1, "{title}");
        }
        assert!(after("#     vouch check  ").contains("--online"));
    }

    #[test]
    fn a_key_is_set_beside_its_remark_and_left_out_with_it() {
        let text = "# Says what.\n[a]                          # the table\n#b = 1                       # one\n                             # more\nc = 2  # two";
        let part = || Part {
            lines: text.lines().map(str::to_owned).collect(),
        };
        let mut set = part();
        set.set("b", "\"a value that is longer than the column of remarks\"");
        set.set("d", "3");
        assert_eq!(
            set.lines[1..4],
            [
                "[a]                          # the table",
                "d = 3",
                "b = \"a value that is longer than the column of remarks\"  # one",
            ]
        );
        let mut dropped = part();
        dropped.drop(&["b"]);
        assert_eq!(dropped.lines[2..], ["c = 2  # two"]);
    }
}
