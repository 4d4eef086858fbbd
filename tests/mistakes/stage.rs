//! Makes a mistake, asks all who may tell of it, and compares.

use std::fs;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine};

use crate::outside::{PASSWORD, World, plain, vouch, wait_until};
use crate::support::Process;
use crate::support::another::binary_for_all;
use crate::support::vouch::staying_root;

/// Somebody whom the remotes of the tests know.
pub(crate) const JANE: &str = "jane@example.org";

/// What is asked of the daemon while the mistake is in force.
#[derive(Clone, Copy)]
pub(crate) enum Asked {
    /// Nothing: it does not start, or needs no question.
    Nothing,
    /// Whether this recipient exists, at the socket `policy`.
    Recipient(&'static str),
    /// Whether the login of [`JANE`] is good, at the socket `auth`.
    Login,
}

/// A mistake on the stage.
pub(crate) struct Mistake<'a> {
    pub(crate) world: &'a World,
    /// The configuration, but for `[control]`, `[log]` and, where it has none, `[service]`.
    pub(crate) config: String,
    pub(crate) asked: Asked,
    /// What differs from one run to the next, and what stands for it: ports, above all.
    pub(crate) replaced: Vec<(String, &'static str)>,
    /// What a shell does before it becomes `vouch`, by which program.
    pub(crate) shell: Option<(&'static [&'static str], String)>,
}

impl<'a> Mistake<'a> {
    pub(crate) fn new(world: &'a World, config: impl Into<String>, asked: Asked) -> Self {
        Self {
            world,
            config: config.into(),
            asked,
            replaced: Vec::new(),
            shell: None,
        }
    }

    /// The same with a port that is another one in each run.
    pub(crate) fn port(mut self, port: u16) -> Self {
        self.replaced.push((port.to_string(), "PORT"));
        self
    }

    /// Fails the test unless all is said as in `said/NAME.txt`.
    #[track_caller]
    pub(crate) fn told(self, name: &str) {
        self.told_after(name, || {});
    }

    /// The same, where the daemon is asked again after something has happened.
    #[track_caller]
    pub(crate) fn told_after(self, name: &str, happens: impl FnOnce()) {
        self.write_config();
        let mut said = String::new();
        let mut happens = Some(happens);
        let (serve, status) = self.serve(&mut happens);
        // Now it is in force for them as well.
        let (code, out, err) = self.run(&["check"]);
        said += &section("vouch check", code, &format!("{err}{}", notes(&out)));
        let (code, out, err) = self.run(&["check", "--online"]);
        let online = out.split("\n\n").filter(|part| {
            let first = part.trim_start().lines().next().unwrap_or_default();
            first.contains(": reached in ") || first.contains(": NOT REACHED after ")
        });
        let online: Vec<_> = online.map(str::trim).collect();
        said += &section(
            "vouch check --online",
            code,
            &format!("{err}{}", online.join("\n")),
        );
        said += &serve;
        said += &status;
        self.compare(name, &said);
    }

    fn write_config(&self) {
        let control = self.world.scratch.path("control");
        let own = if self.config.contains("[control]") {
            String::new()
        } else {
            format!("[control]\nsocket = \"{}\"\n", control.display())
        };
        let text = format!("{}{own}[log]\nformat = \"plain\"\n", self.config);
        self.world.scratch.write("vouch.toml", staying_root(&text));
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = match &self.shell {
            None => vouch(),
            Some((outer, script)) => {
                let words = [outer, &["/bin/sh", "-ec"][..]].concat();
                let mut command = plain(Command::new(words[0]));
                command
                    .args(&words[1..])
                    .arg(format!("{script}\nexec \"$@\""))
                    .arg("sh")
                    .arg(binary_for_all(&self.world.scratch));
                command
            }
        };
        command
            .args(arguments)
            .arg("-c")
            .arg(self.world.scratch.path("vouch.toml"));
        command
    }

    fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        let output = self.command(arguments).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let code = output.status.code().unwrap_or(-1);
        (code, text(&output.stdout), text(&output.stderr))
    }

    /// What the daemon logs, and what `vouch status` shows meanwhile.
    fn serve(&self, happens: &mut Option<impl FnOnce()>) -> (String, String) {
        let mut process = Process::start(&self.world.scratch, "serve", &mut self.command(&["serve"]));
        let log = || fs::read_to_string(self.world.scratch.path("serve.log")).unwrap();
        let mut ended = None;
        wait_until("the daemon", || {
            ended = process.ended();
            ended.is_some() || log().contains(" ready ")
        });
        if ended.is_none() {
            self.ask();
            if let Some(happens) = happens.take() {
                happens();
            }
            self.ask();
        }
        let (code, out, err) = self.run(&["status"]);
        let status = section("vouch status", code, &format!("{err}{}", attention(&out)));
        let code = process.stop().and_then(|status| status.code()).unwrap_or(-1);
        (section("vouch serve", code, &complaints(&log())), status)
    }

    fn ask(&self) {
        let socket = |name: &str| self.world.scratch.path(name);
        match self.asked {
            Asked::Nothing => {}
            Asked::Recipient(recipient) => {
                let request =
                    format!("request=smtpd_access_policy\nprotocol_state=RCPT\nrecipient={recipient}\n\n");
                exchange(&socket("policy"), &request);
            }
            Asked::Login => {
                let response = BASE64_STANDARD.encode(format!("\0{JANE}\0{PASSWORD}"));
                let request =
                    format!("VERSION\t1\t2\nCPID\t7\nAUTH\t1\tPLAIN\tservice=imap\tresp={response}\n");
                exchange(&socket("auth"), &request);
            }
        }
    }

    #[track_caller]
    fn compare(&self, name: &str, said: &str) {
        let mut said = said.replace(&self.world.scratch.text(""), "/test/");
        for (once, always) in &self.replaced {
            said = said.replace(once, always);
        }
        for (before, after) in [
            (" after ", " ms"),
            (" in ", " ms"),
            (" us=", " "),
            (" process ", " ("),
            ("question, ", " s ago"),
            ("the last, ", " s ago"),
            (" questions for ", " s;"),
        ] {
            said = without_number(&said, before, after);
        }
        let kept = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/mistakes/said")
            .join(format!("{name}.txt"));
        if std::env::var_os("VOUCH_BLESS").is_some_and(|value| value == "1") {
            fs::write(kept, said).unwrap();
            return;
        }
        let expected = fs::read_to_string(&kept).unwrap_or_default();
        assert!(
            said == expected,
            "not as in {}, which says\n{expected}\n--- but\n{said}",
            kept.display()
        );
    }
}

/// The command and how it ended, and what it printed; `-` for nothing.
fn section(who: &str, code: i32, said: &str) -> String {
    let said = said.trim();
    let said = if said.is_empty() { "-" } else { said };
    format!("== {who}: status {code}\n{said}\n\n")
}

/// Asks at a socket, half-closes, and reads to the end.
fn exchange(socket: &PathBuf, request: &str) {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    println!("{request:?} => {answer:?}");
}

/// Of what `vouch check` says: who is asked about what, the notes, and what it says of this machine.
fn notes(out: &str) -> String {
    let routes = out.lines().filter(|line| {
        ["  Asks \"", "  Never asks \"", "  Any other domain"]
            .iter()
            .any(|start| line.starts_with(start))
    });
    let routes: String = routes.map(|line| format!("{}\n", line.trim())).collect();
    let behind = out.split_once("\nNotes").map_or("", |(_, notes)| notes);
    let parts = behind.trim_start_matches(':').split("\n\n").map(str::trim);
    // A test's daemon stays who it is, which is the mistake of none of them.
    let matters = |part: &&str| !["none.", ""].contains(part) && !part.contains("is for a start as root");
    routes + &parts.filter(matters).collect::<Vec<_>>().join("\n")
}

/// The lines of a log that complain, and those of the questions; without their times.
fn complaints(log: &str) -> String {
    let told = log.lines().filter_map(|line| {
        let (time, rest) = line.split_once(' ')?;
        let is_dated = time.ends_with('Z') && time.contains('T');
        let line = if is_dated { rest.trim_start() } else { line };
        let matters = !is_dated || !line.starts_with("INFO ") || line.contains(" verdict=");
        matters.then_some(line)
    });
    told.collect::<Vec<_>>().join("\n")
}

/// What `vouch status` puts first, each sentence in one line.
fn attention(report: &str) -> String {
    let mut told: Vec<String> = Vec::new();
    let mut inside = false;
    for line in report.lines() {
        match line.strip_prefix("! ") {
            Some(line) => {
                told.push(line.to_owned());
                inside = true;
            }
            None => match (inside, line.strip_prefix("  "), told.last_mut()) {
                (true, Some(more), Some(last)) => {
                    last.push(' ');
                    last.push_str(more);
                }
                _ => inside = false,
            },
        }
    }
    told.join("\n")
}

/// The text with N for each number that stands between these.
fn without_number(text: &str, before: &str, after: &str) -> String {
    let mut parts = text.split(before);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out.push_str(before);
        let digits = part.bytes().take_while(u8::is_ascii_digit).count();
        match part.split_at(digits) {
            (number, rest) if !number.is_empty() && rest.starts_with(after) => {
                out.push('N');
                out.push_str(rest);
            }
            _ => out.push_str(part),
        }
    }
    out
}

#[test]
fn what_differs_is_replaced_and_nothing_else() {
    assert_eq!(
        without_number("us after 12 ms, after 7 s, after 3 ms", " after ", " ms"),
        "us after N ms, after 7 s, after N ms"
    );
    assert_eq!(
        attention("vouch\n\n! one\n  two\n! three\n\nLISTENER\n  x\n"),
        "one two\nthree"
    );
    assert_eq!(
        complaints("2026-01-01T00:00:00Z  WARN bad\n2026-01-01T00:00:00Z  INFO fine\nerror: x\n  --> y"),
        "WARN bad\nerror: x\n  --> y"
    );
}
