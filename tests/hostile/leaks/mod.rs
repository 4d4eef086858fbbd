//! What proves a login is nowhere once the login is over: in nothing that was written, in nothing that the system shows
//! of the process, and not in its memory.
//!
//! Run with `VOUCH_BINARY` it tests that binary: `contrib/test` has it test an optimised one too.

mod places;
mod remote;

use std::path::Path;
use std::process::{Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::asker::{Client, counted};
use crate::support::vouch::binary;
use crate::support::{Scratch, Vouch, skipped};
use remote::Remote;

const USER: &str = "jane@example.org";
const PASSWORD: &str = "s3cret-0f-jane";
const TOKEN: &str = "ya29.t0ken-of-jane";
const CRAM: &str = "b913a602c7eda7a495b4e6e7334d3890";
const DIGEST: &str = "d388dad90d4bbd760a152321f2143af7";
const PROOF: &str = "v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=";
const SECRETS: [&str; 5] = [PASSWORD, TOKEN, CRAM, DIGEST, PROOF];

/// How the remote ends a login that it has heard out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ends {
    Good,
    Bad,
    /// It hangs up.
    Midway,
}

/// Each mechanism, and the messages of its client in order.
fn mechanisms() -> Vec<(&'static str, Vec<String>)> {
    let end = "\u{1}\u{1}";
    let scram = || {
        let last = format!("c=biws,r=n0nceofitsown,p={PROOF}");
        vec![format!("n,,n={USER},r=n0nce"), last, String::new()]
    };
    vec![
        ("PLAIN", vec![format!("\0{USER}\0{PASSWORD}")]),
        ("LOGIN", vec![USER.into(), PASSWORD.into()]),
        (
            "XOAUTH2",
            vec![format!("user={USER}\u{1}auth=Bearer {TOKEN}{end}"), String::new()],
        ),
        (
            "OAUTHBEARER",
            vec![
                format!("n,a={USER},\u{1}host=mail\u{1}port=993\u{1}auth=Bearer {TOKEN}{end}"),
                "\u{1}".into(),
            ],
        ),
        ("CRAM-MD5", vec![format!("{USER} {CRAM}")]),
        (
            "DIGEST-MD5",
            vec![
                format!(
                    "username=\"{USER}\",realm=\"\",nonce=\"OA6MG9tEQGm2hh\",nc=00000001,cnonce=\"x\",digest-uri=\"imap/mx\",response={DIGEST},qop=auth"
                ),
                String::new(),
            ],
        ),
        ("SCRAM-SHA-1", scram()),
        ("SCRAM-SHA-256", scram()),
    ]
}

/// A daemon at the highest level, with every kind of listener that logins come in by.
struct Scene {
    vouch: Vouch,
    remote: Remote,
    scratch: Scratch,
}

impl Scene {
    async fn start(imap: bool) -> Self {
        let remote = Remote::start(imap).await;
        let scratch = Scratch::new();
        let names: Vec<String> = mechanisms()
            .iter()
            .map(|(name, _)| format!("\"{name}\""))
            .collect();
        let kind = if imap { "imap" } else { "smtp" };
        // The cache of recipients is what a daemon writes to disk.
        let mut config = format!(
            "[log]\nlevel = \"trace\"\n[directory.remote]\ntype = \"{kind}\"\naddress = \"127.0.0.1\"\nport = {}\n\
             lookup.domains = [\"example.org\"]\npool.warm-sessions = 0\n\
             cache.credentials = {{ positive = \"1h\", negative = \"0s\" }}\n",
            remote.port
        );
        if !imap {
            config += &format!("cache.file = \"{}\"\n", scratch.text("cache.redb"));
        }
        let mut listeners = Vec::new();
        for listener in ["auth", "login", "master", "saslauthd"] {
            let socket = scratch.path(listener);
            config += &format!(
                "[listener.{listener}]\nprotocol = \"{listener}\"\nsocket = \"{}\"\ndirectory = [\"remote\"]\n",
                socket.display()
            );
            config += &match listener {
                "master" => "exists = \"domain\"\n".to_owned(),
                "saslauthd" => String::new(),
                _ => format!(
                    "limits.auth-errors = \"unlimited\"\nmechanisms = [{}]\n",
                    names.join(", ")
                ),
            };
            listeners.push(socket);
        }
        let started = tokio::task::spawn_blocking(move || {
            let paths: Vec<&Path> = listeners.iter().map(std::path::PathBuf::as_path).collect();
            (Vouch::serve(&scratch, &config, &paths), scratch)
        });
        let (vouch, scratch) = started.await.unwrap();
        Self {
            vouch,
            remote,
            scratch,
        }
    }

    /// Asks the listener `listener`. A login that is good there is asked for at the master listener. The last line told.
    async fn login(&self, listener: &str, mechanism: &str, messages: &[String]) -> String {
        let mut client = Client::connect(&self.scratch.path(listener)).await;
        client
            .send(format!("VERSION\t1\t2\nCPID\t{}\n", std::process::id()))
            .await
            .unwrap();
        let mut cookie = String::new();
        loop {
            let line = client.line().await.unwrap();
            if let Some(said) = line.strip_prefix("COOKIE\t") {
                cookie = said.to_owned();
            }
            if line == "DONE" {
                break;
            }
        }
        let mut messages = messages.iter().map(|message| STANDARD.encode(message));
        let mut line = format!("AUTH\t1\t{mechanism}\tservice=imap\trip=192.0.2.1");
        if !matches!(mechanism, "LOGIN" | "CRAM-MD5" | "DIGEST-MD5") {
            line += &format!("\tresp={}", messages.next().unwrap());
        }
        let answer = loop {
            client.send(format!("{line}\n")).await.unwrap();
            let answer = client.line().await.unwrap();
            if !answer.starts_with("CONT\t") {
                break answer;
            }
            line = format!("CONT\t1\t{}", messages.next().unwrap_or_default());
        };
        if listener == "login" && answer.starts_with("OK") {
            let mut master = Client::connect(&self.scratch.path("master")).await;
            let us = std::process::id();
            let request = format!(
                "VERSION\t1\t1\nREQUEST\t9\t{us}\t1\t{cookie}\tsession_pid={us}\trequest_auth_token\n"
            );
            master.send(request).await.unwrap();
            let told = async {
                loop {
                    let line = master.line().await.unwrap();
                    if line.starts_with("USER\t9")
                        || line.starts_with("FAIL\t9")
                        || line.starts_with("NOTFOUND\t9")
                    {
                        break line;
                    }
                }
            };
            let told = told.await;
            assert!(told.starts_with("USER\t9"), "{told}");
        }
        answer
    }

    /// Asks the saslauthd listener, and sends it what is no question.
    async fn saslauthd(&self, ends: Ends) {
        let connect = async || Client::connect(&self.scratch.path("saslauthd")).await;
        let answer = connect().await.saslauthd(USER, "", PASSWORD).await;
        let expected = match ends {
            Ends::Good => Some("OK authenticated"),
            Ends::Bad => Some("NO authentication failed"),
            Ends::Midway => None,
        };
        assert_eq!(answer.as_deref(), expected, "{ends:?}");
        let whole = counted(&[USER, PASSWORD, "imap", "", "192.0.2.1;25"]);
        let cut = &whole[..whole.len() - 20];
        let too_long = [&whole[..34], b"\xff\xff"].concat();
        for broken in [cut, &too_long] {
            let mut client = connect().await;
            client.send(broken).await.unwrap();
            client.half_close().await;
            let _ = client.rest().await;
        }
    }

    /// Drives every mechanism to every end, at both listeners.
    async fn drive(&self) {
        for ends in [Ends::Bad, Ends::Midway, Ends::Good] {
            self.remote.end(ends);
            self.saslauthd(ends).await;
            for (mechanism, messages) in mechanisms() {
                for listener in ["auth", "login"] {
                    let answer = self.login(listener, mechanism, &messages).await;
                    let fits = match ends {
                        Ends::Good => answer.starts_with("OK\t1"),
                        Ends::Bad => answer.starts_with("FAIL\t1") && !answer.contains("temp"),
                        Ends::Midway => answer.contains("temp"),
                    };
                    assert!(
                        fits || ends == Ends::Midway && answer.starts_with("FAIL"),
                        "{ends:?} {mechanism}: {answer}"
                    );
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_in_nothing_that_is_written_or_shown() {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        skipped(
            "only root may read the environment of a daemon and see which files it has open; all else is read",
        );
    }
    for imap in [true, false] {
        let scene = Scene::start(imap).await;
        scene.drive().await;
        scene.probe(imap).await;
        places::assert_written_nowhere(&scene.scratch, &SECRETS);
        places::assert_shown_to_nobody(scene.vouch.id(), &SECRETS);
        if root {
            places::assert_shown_nowhere(scene.vouch.id(), &SECRETS);
        }
        assert!(scene.vouch.stop().is_some_and(|status| status.success()));
        places::assert_written_nowhere(&scene.scratch, &SECRETS);
    }
}

impl Scene {
    /// `vouch probe login --trace` with both mechanisms that take a password, to every end.
    async fn probe(&self, imap: bool) {
        let password = self.scratch.write("password", format!("{PASSWORD}\n"));
        for ends in [Ends::Good, Ends::Bad, Ends::Midway] {
            self.remote.end(ends);
            for mechanism in ["PLAIN", "LOGIN"] {
                let mut command = Command::new(binary());
                command
                    .args(["probe", "login", USER, "--trace", "--mechanism", mechanism, "-c"])
                    .arg(self.scratch.path("vouch.toml"))
                    .arg("--password-file")
                    .arg(&password)
                    .stdin(Stdio::null());
                let ran = tokio::task::spawn_blocking(move || command.output().unwrap())
                    .await
                    .unwrap();
                let said = [ran.stdout, ran.stderr].concat();
                let text = String::from_utf8_lossy(&said).into_owned();
                assert!(text.contains(" C: "), "imap: {imap}: {text}");
                assert_eq!(crate::traces::find(&said, &SECRETS), None, "{text}");
                let status = [0, 1, 75][ends as usize];
                assert_eq!(ran.status.code(), Some(status), "{ends:?} {mechanism}: {text}");
            }
        }
        std::fs::remove_file(password).unwrap();
    }
}

/// Core files would hold what is in memory while a login lasts.
#[tokio::test(flavor = "multi_thread")]
async fn no_core_is_dumped() {
    let scene = Scene::start(true).await;
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", scene.vouch.id())).unwrap();
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"))
        .unwrap();
    assert_eq!(
        core.split_whitespace().filter(|word| *word == "0").count(),
        2,
        "{core}"
    );
}

/// Over a connection without TLS: rustls does not overwrite what it has encrypted.
#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_not_left_in_memory() {
    if !nix::unistd::geteuid().is_root() {
        skipped("only root may read the memory of a daemon");
        return;
    }
    for imap in [true, false] {
        let scene = Scene::start(imap).await;
        scene.drive().await;
        places::assert_forgotten(scene.vouch.id(), &SECRETS);
    }
}
