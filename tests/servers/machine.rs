//! A daemon in front of the servers of a test.

use std::path::PathBuf;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};

use crate::asker::{Answer, Client, Login, Rcpt, meaning};
use crate::support::{Scratch, Vouch};

pub(crate) const JANE: &str = "jane@example.org";
pub(crate) const NOBODY: &str = "nobody@example.org";
pub(crate) const PASSWORD: &str = "s3cret-0f-jane";

/// How long a line may take to reach the log on a busy machine.
const PATIENCE: Duration = Duration::from_secs(40);

/// Nothing is remembered, so every question goes to a server.
pub(crate) const FORGETFUL: &str = "cache.credentials.negative = \"0s\"\n\
     cache.ttl = { positive = \"0s\", refresh = \"0s\", negative = \"0s\", stale = \"0s\" }\n";

/// A running daemon with a listener for recipients, and one for logins.
pub(crate) struct Machine {
    // Ends before its folder goes.
    vouch: Option<Vouch>,
    scratch: Scratch,
}

impl Machine {
    /// One whose directory, of type `smtp`, has these keys; with `logins` it is asked about these, too. It becomes the
    /// daemon at the end of `script`, which `outer` runs, see [`Vouch::serve_in`].
    pub(crate) async fn start(
        scratch: Scratch,
        keys: &str,
        logins: bool,
        outer: &[&str],
        script: &str,
    ) -> Self {
        let domains = if keys.contains("lookup.routes") {
            ""
        } else {
            "lookup.domains = [\"example.org\"]\n"
        };
        let mut config = format!(
            "[log]\nlevel = \"info\"\n[directory.mail]\ntype = \"smtp\"\n{domains}\
             pool.warm-sessions = 0\n{keys}\n\
             [listener.recipients]\nprotocol = \"policy\"\nsocket = \"{}\"\ndirectory = [\"mail\"]\n\
             deadline = \"5s\"\n",
            scratch.text("policy")
        );
        let mut sockets = vec![scratch.path("policy")];
        if logins {
            config.push_str(&format!(
                "[listener.logins]\nprotocol = \"auth\"\nsocket = \"{}\"\ndirectory = [\"mail\"]\npenalty = \"off\"\n\
                 deadline = \"5s\"\n",
                scratch.text("auth")
            ));
            sockets.push(scratch.path("auth"));
        }
        let outer: Vec<String> = outer.iter().map(ToString::to_string).collect();
        let script = script.to_owned();
        let starting = spawn_blocking(move || {
            let outer: Vec<&str> = outer.iter().map(String::as_str).collect();
            let sockets: Vec<_> = sockets.iter().map(PathBuf::as_path).collect();
            let vouch = Vouch::serve_in(&scratch, &config, &sockets, &outer, &script);
            Self {
                vouch: Some(vouch),
                scratch,
            }
        });
        starting.await.unwrap()
    }

    pub(crate) async fn recipient(&self, recipient: &str) -> Answer {
        let mut client = Client::connect(&self.scratch.path("policy")).await;
        meaning(&client.recipient(&Rcpt::to(recipient)).await)
    }

    pub(crate) async fn login(&self, user: &str, password: &str) -> Answer {
        let mut client = Client::auth(&self.scratch.path("auth")).await;
        client.login(&Login::of(user, password)).await
    }

    /// Waits for a line of the log with each of these parts.
    pub(crate) async fn logged(&self, parts: &[&str]) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            let log = std::fs::read_to_string(self.scratch.path("vouch.log")).unwrap();
            if let Some(line) = log
                .lines()
                .find(|line| parts.iter().all(|part| line.contains(part)))
            {
                return line.to_owned();
            }
            assert!(Instant::now() < end, "no line with {parts:?} in\n{log}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) async fn stop(mut self) {
        let vouch = self.vouch.take().expect("it runs");
        let status = spawn_blocking(move || vouch.stop()).await.unwrap();
        assert!(status.is_some_and(|status| status.success()), "{status:?}");
    }
}
