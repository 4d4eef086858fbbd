//! `vouch init` on a terminal: what it asks, and what it makes of the answers.

use std::fs;
use std::process::Stdio;

use remote::{Protocol, Security};
use vouch::settings::directory::StartTls;
use vouch::settings::kind::Kind;

use crate::init::{configured, remote, written};
use crate::outside::{Bounded, World, directory, people, wait_until};
use crate::terminal::{Terminal, logged_in_at, read_all};

/// A dialog with `vouch init` on a terminal that controls it.
struct Typed<'a> {
    terminal: Terminal,
    child: Bounded,
    world: &'a World,
    seen: usize,
}

impl<'a> Typed<'a> {
    fn start(world: &'a World, more: &[&str]) -> Option<Self> {
        let terminal = Terminal::new();
        let mut command = logged_in_at(&terminal)?;
        command
            .args(["init", "--output"])
            .arg(written(world))
            .arg("--sockets")
            .arg(world.scratch.path("sockets"))
            .args(more)
            .stdout(Stdio::piped())
            .stderr(terminal.stream());
        let child = Bounded(command.spawn().unwrap());
        Some(Self {
            terminal,
            child,
            world,
            seen: 0,
        })
    }

    /// Waits for a prompt that ends so, and answers it.
    fn answers(&mut self, prompt: &str, answer: &str) {
        let mut end = 0;
        wait_until(&format!("the prompt {prompt:?}"), || {
            let shown = self.terminal.shown();
            let at = shown.get(self.seen..).and_then(|new| new.find(prompt));
            end = self.seen + at.unwrap_or(0) + prompt.len();
            at.is_some()
        });
        self.seen = end;
        self.terminal.types(answer);
    }

    /// Its exit status, and what it printed.
    fn ends(mut self) -> (Option<i32>, String) {
        let status = self.child.ended();
        let out = read_all(self.child.0.stdout.take());
        println!("{}{out}", self.terminal.shown());
        (status.code(), out)
    }

    fn nothing_is_written(&self) -> bool {
        !written(self.world).exists()
    }
}

#[test]
fn on_a_terminal_it_asks_and_a_wrong_answer_is_asked_for_again() {
    let world = World::new();
    let remote = remote(&world, Protocol::Imap, Security::StartTls);
    let ca = world.scratch.text("ca.pem");
    let Some(mut typed) = Typed::start(&world, &[]) else {
        return;
    };
    typed.answers("Which: ", "pop3\n");
    typed.answers("enter one of these words, not \"pop3\"", "");
    typed.answers("Which: ", "imap\n");
    // Only software that asks about logins can be in front of it.
    typed.answers("Which [postfix-logins]: ", "postfix-recipients\n");
    typed.answers("Which [postfix-logins]: ", "postfix-logins, exim\n");
    typed.answers("IP address of that server: ", "a b\n");
    typed.answers("IP address of that server: ", "127.0.0.1\n");
    typed.answers("Which [if-available]: ", "starttls\n");
    typed.answers("Port [143]: ", "0\n");
    typed.answers("Port [143]: ", &format!("{}\n", remote.port()));
    typed.answers("none: every login [none]: ", "example.org, example.net\n");
    typed.answers("[none]: ", "/no/such/file\n");
    typed.answers("[none]: ", &format!("{ca}\n"));
    let (status, out) = typed.ends();
    assert_eq!(status, Some(0), "{out}");
    assert!(
        out.contains("\nmailbox: reached in ") && out.contains("\nWritten: "),
        "{out}"
    );
    let (config, notes) = configured(&world);
    assert_eq!(notes, [""; 0]);
    assert_eq!(config.directory[0].kind, Kind::Imap);
    assert_eq!(config.directory[0].tls.starttls, StartTls::Required);
    assert_eq!(config.directory[0].lookup.domains.all.len(), 2);
    let names: Vec<_> = config
        .listener
        .iter()
        .map(|listener| listener.name.as_str())
        .collect();
    assert_eq!(names, ["logins", "exim"]);
}

#[test]
fn on_a_terminal_who_sees_the_server_fail_decides() {
    for (answer, status) in [("no", 69), ("yes", 0)] {
        let world = World::new();
        let remote = world.remote(people(Protocol::Lmtp));
        world.stop(&remote);
        let port = remote.port().to_string();
        let arguments = [
            "--behind", "lmtp", "--host", "127.0.0.1", "--port", &port, "--tls", "none", "--domain",
            "example.org", "--front", "postfix-recipients",
        ];
        let Some(mut typed) = Typed::start(&world, &arguments) else {
            return;
        };
        typed.answers("Write the file anyway? [no]: ", "what?\n");
        typed.answers("yes or no, please", "");
        typed.answers("Write the file anyway? [no]: ", &format!("{answer}\n"));
        if answer == "no" {
            // What was typed or given is there to be changed.
            let again = format!(
                "  vouch init --behind lmtp --front postfix-recipients --host 127.0.0.1 --port {port} --tls none --domain \
                 example.org --sockets {} --output {}\r\n",
                world.scratch.path("sockets").display(),
                written(&world).display()
            );
            wait_until("the options", || typed.terminal.shown().contains(&again));
        }
        let (ended, out) = typed.ends();
        assert_eq!(ended, Some(status), "{out}");
        assert!(out.contains("\nmailbox: NOT REACHED after "), "{out}");
        assert_eq!(written(&world).exists(), status == 0);
    }
}

#[test]
fn on_a_terminal_a_file_that_is_there_is_overwritten_only_by_who_agrees() {
    let world = World::new();
    let config = directory("own", "imap", 143);
    world.scratch.write("new.toml", &config);
    let more = [
        "--offline", "--behind", "imap", "--host", "192.0.2.7", "--tls", "none", "--front", "exim",
    ];
    let Some(mut typed) = Typed::start(&world, &more) else {
        return;
    };
    typed.answers("new.toml exists already. Overwrite it? [no]: ", "\n");
    let (ended, out) = typed.ends();
    assert_eq!((ended, out.as_str()), (Some(73), ""));
    assert_eq!(fs::read_to_string(written(&world)).unwrap(), config);

    let mut typed = Typed::start(&world, &more).unwrap();
    typed.answers("Overwrite it? [no]: ", "y\n");
    typed.answers("Port [143]: ", "\n");
    typed.answers("Send them anyway? [no]: ", "y\n");
    typed.answers("none: every login [none]: ", "\n");
    assert_eq!(typed.ends().0, Some(0));
    let (config, notes) = configured(&world);
    assert!(config.directory[0].auth.allow_cleartext);
    // Both were chosen.
    assert_eq!(notes.len(), 2, "{notes:?}");
}

#[test]
fn the_end_of_what_is_typed_writes_nothing() {
    let world = World::new();
    let Some(mut typed) = Typed::start(&world, &[]) else {
        return;
    };
    typed.answers("Which: ", "\u{4}");
    wait_until("its last word", || {
        typed
            .terminal
            .shown()
            .contains("the input has ended; nothing is written")
    });
    assert!(typed.nothing_is_written());
    assert_eq!(typed.ends(), (Some(64), String::new()));
}
