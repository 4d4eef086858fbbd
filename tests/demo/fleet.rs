//! The demo of a fleet: what it shows happens, what it prints can be typed, and nothing of it stays.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};

use super::{Demo, program, skip};

/// What the demo has printed.
#[derive(Default)]
struct Shown {
    /// Each line for the shell, and what came of it.
    ran: Vec<(String, String)>,
    folder: String,
    /// `HOST:PORT` of each status page.
    pages: Vec<String>,
}

impl Shown {
    fn read(out: impl BufRead) -> Self {
        let mut shown = Self::default();
        for line in out.lines().map(Result::unwrap) {
            if line.starts_with("Serving until Ctrl-C") {
                return shown;
            }
            let Some(line) = line.strip_prefix("   ") else {
                continue;
            };
            if let Some(command) = line.strip_prefix("$ ") {
                shown.ran.push((command.to_owned(), String::new()));
            } else if let Some(folder) = line.strip_prefix("cd ") {
                shown.folder = folder.to_owned();
            } else if let Some((_, page)) = line.split_once(": http://") {
                shown.pages.push(page.trim_end_matches('/').to_owned());
            } else if let Some((_, printed)) = shown.ran.last_mut() {
                *printed += &format!("{line}\n");
            }
        }
        panic!("the demo ended before it served: {:?}", shown.ran);
    }

    /// What has come of the questions, in their order: whom they asked, about whom, the answer and its source.
    fn asked(&self) -> Vec<[&str; 4]> {
        let asked = self.ran.iter().filter_map(|(line, printed)| {
            let (edge, address) = line.strip_prefix("./ask ")?.split_once(' ')?;
            let (_, answer) = printed.split_once("action=")?;
            let (_, source) = printed.split_once(" source=")?;
            let word = |text: &'_ str| text.split([' ', '\n']).next().unwrap().len();
            Some([
                edge,
                address.trim_end_matches("@example.org"),
                &answer[..word(answer)],
                &source[..word(source)],
            ])
        });
        asked.collect()
    }

    /// Types a line for the shell, in the folder.
    fn typed(&self, line: &str) -> String {
        let mut shell = Command::new("sh");
        let ran = shell
            .args(["-c", line])
            .current_dir(&self.folder)
            .output()
            .unwrap();
        assert!(ran.status.success(), "{line}: {ran:?}");
        String::from_utf8(ran.stdout).unwrap()
    }
}

/// Whether it has a store to start. If not, says so, or fails.
fn has_store() -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_there = |name| std::env::split_paths(&path).any(|folder| folder.join(name).is_file());
    let any = ["redis-server", "valkey-server"].into_iter().any(is_there);
    let required = std::env::var("VOUCH_PEERS").is_ok_and(|peers| peers == "required");
    assert!(any || !required, "redis-server is not installed");
    if !any {
        skip::skipped("not installed: redis-server");
    }
    any
}

#[test]
fn the_edges_do_what_the_demo_shows() {
    if !has_store() {
        return;
    }
    let mut command = Command::new(program("fleet"));
    let child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut demo = Demo(child);
    let shown = Shown::read(BufReader::new(demo.0.stdout.take().unwrap()));
    assert_eq!(
        shown.asked(),
        [
            ["a", "jane", "DUNNO", "probe"],
            ["b", "jane", "DUNNO", "fleet"],
            ["c", "jane", "DUNNO", "fleet"],
            ["c", "bob", "DEFER_IF_PERMIT", "probe"],
            ["b", "jane", "DUNNO", "probe"],
            ["a", "bob", "DUNNO", "probe"],
            ["a", "user1", "DUNNO", "probe"],
            ["b", "user1", "DUNNO", "fleet"],
        ],
        "{:?}",
        shown.ran
    );

    for (line, _) in shown.ran.iter().filter(|(line, _)| !line.starts_with("kill ")) {
        // The store is well by now, of which there is nothing to be said.
        if !line.contains("| grep") {
            assert!(!shown.typed(line).is_empty(), "{line}");
        }
    }
    let refused = shown.typed("./ask b nobody@example.org");
    assert!(refused.starts_with("action=550 "), "{refused}");
    assert_eq!(shown.pages.len(), 3);
    for page in &shown.pages {
        let mut stream = TcpStream::connect(page).unwrap();
        write!(stream, "GET / HTTP/1.0\r\nHost: {page}\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        assert!(
            text.starts_with("HTTP/1.0 200 ") && text.contains("<bdi>mailboxes</bdi>"),
            "{text}"
        );
    }

    let running = |line: &&str| Path::new("/proc").join(line).exists();
    let pids = || {
        shown
            .ran
            .iter()
            .filter_map(|(line, _)| line.strip_prefix("kill -STOP ")?.split(' ').next())
    };
    assert_eq!(pids().filter(running).count(), 2);
    assert!(demo.interrupted().success());
    assert_eq!(pids().filter(running).count(), 0);
    assert!(!Path::new(&shown.folder).exists(), "{}", shown.folder);
}

#[test]
fn where_there_is_no_store_the_demo_says_what_to_install() {
    let ran = Command::new(program("fleet"))
        .env("PATH", "/nowhere")
        .output()
        .unwrap();
    let said = String::from_utf8(ran.stderr).unwrap();
    assert!(ran.stdout.is_empty() && ran.status.code() == Some(1), "{said}");
    assert!(
        said.contains("redis-server is not installed") && said.contains("apt-get install"),
        "{said}"
    );
}
