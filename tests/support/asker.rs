//! Clients of the listeners: what a Postfix or a Dovecot asks, and bytes that neither would send.

use std::io;
use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

/// How long an answer may take before the test gives up: far more than any deadline that a test sets.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a listener said, whatever its words for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The login is good, the recipient exists.
    Yes,
    /// The remote says no.
    No,
    /// Nobody knows now.
    Later,
}

/// A connection to a listener.
#[derive(Debug)]
pub(crate) struct Client {
    stream: UnixStream,
    input: Vec<u8>,
}

impl Client {
    pub(crate) async fn connect(listener: &Path) -> Self {
        let stream = timeout(PATIENCE, UnixStream::connect(listener))
            .await
            .unwrap()
            .unwrap();
        let input = Vec::new();
        Self { stream, input }
    }

    /// Sends all of it. Fails where the daemon has closed.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        timeout(PATIENCE, self.stream.write_all(bytes.as_ref()))
            .await
            .unwrap()
    }

    /// The same, and takes in meanwhile what is said: two that only speak would wait for each other once their
    /// sockets are full.
    pub(crate) async fn send_hearing(&mut self, bytes: impl AsRef<[u8]>) {
        let (mut reader, mut writer) = self.stream.split();
        let mut sending = pin!(timeout(PATIENCE, writer.write_all(bytes.as_ref())));
        loop {
            tokio::select! {
                sent = &mut sending => return sent.unwrap().unwrap(),
                read = reader.read_buf(&mut self.input) => assert_ne!(read.unwrap(), 0, "hung up"),
            }
        }
    }

    /// Sends it again and again until the daemon takes nothing more: its socket and its patience are full.
    pub(crate) async fn send_until_full(&mut self, bytes: &[u8]) {
        while let Ok(sent) = timeout(Duration::from_millis(500), self.stream.write_all(bytes)).await {
            sent.unwrap();
        }
    }

    /// Says that nothing more will come.
    pub(crate) async fn half_close(&mut self) {
        self.stream.shutdown().await.unwrap();
    }

    /// The next line, without its end; `None` where the daemon hung up instead.
    pub(crate) async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.input.iter().position(|byte| *byte == b'\n') {
                let mut line: Vec<u8> = self.input.drain(..=end).collect();
                line.pop();
                return Some(String::from_utf8(line).unwrap());
            }
            if self.more().await == 0 {
                assert!(self.input.is_empty(), "cut off: {}", self.input.escape_ascii());
                return None;
            }
        }
    }

    /// Everything that comes until the daemon hangs up.
    pub(crate) async fn rest(&mut self) -> String {
        while self.more().await > 0 {}
        String::from_utf8(std::mem::take(&mut self.input)).unwrap()
    }

    /// The action that answers a policy request; `None` where the daemon hung up instead.
    pub(crate) async fn action(&mut self) -> Option<String> {
        let line = self.line().await?;
        assert_eq!(self.line().await.as_deref(), Some(""), "behind {line}");
        Some(line.strip_prefix("action=").unwrap().to_owned())
    }

    /// Asks a policy listener about a recipient.
    pub(crate) async fn recipient(&mut self, request: &Rcpt<'_>) -> String {
        self.send(request.bytes()).await.unwrap();
        self.action().await.expect("an answer before the end")
    }

    /// A connection to an auth listener, past the handshake.
    pub(crate) async fn auth(listener: &Path) -> Self {
        let mut client = Self::connect(listener).await;
        client
            .send(format!("VERSION\t1\t2\nCPID\t{}\n", std::process::id()))
            .await
            .unwrap();
        while client.line().await.expect("a whole greeting") != "DONE" {}
        client
    }

    /// Asks an auth listener about a login.
    pub(crate) async fn login(&mut self, login: &Login<'_>) -> Answer {
        self.send(login.bytes(1)).await.unwrap();
        login.answer(1, self.line().await.as_deref())
    }

    /// Asks a saslauthd listener about a login; `None` where the daemon hung up instead.
    pub(crate) async fn saslauthd(&mut self, user: &str, realm: &str, password: &str) -> Option<String> {
        self.send(counted(&[user, password, "imap", realm]))
            .await
            .unwrap();
        let said = self.rest().await;
        let (count, text) = said.as_bytes().split_first_chunk()?;
        assert_eq!(usize::from(u16::from_be_bytes(*count)), text.len(), "{said:?}");
        Some(String::from_utf8(text.to_vec()).unwrap())
    }

    /// Asks a socketmap listener.
    pub(crate) async fn look_up(&mut self, map: &str, key: &str) -> String {
        let asked = format!("{map} {key}");
        self.send(format!("{}:{asked},", asked.len())).await.unwrap();
        while !self.input.contains(&b',') {
            assert_ne!(self.more().await, 0, "an answer before the end");
        }
        let said = String::from_utf8(std::mem::take(&mut self.input)).unwrap();
        let (count, text) = said.split_once(':').unwrap();
        let text = text.strip_suffix(',').unwrap();
        assert_eq!(count.parse(), Ok(text.len()), "{said}");
        text.to_owned()
    }

    async fn more(&mut self) -> usize {
        let read = timeout(PATIENCE, self.stream.read_buf(&mut self.input)).await;
        match read.expect("an answer, or the end") {
            Ok(count) => count,
            // The daemon closed while bytes of ours were on their way.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => 0,
            Err(error) => panic!("{error}"),
        }
    }
}

/// Counted strings, as clients of saslauthd send them.
pub(crate) fn counted(strings: &[&str]) -> Vec<u8> {
    let counted = strings.iter().flat_map(|text| {
        let count = u16::try_from(text.len()).unwrap().to_be_bytes();
        [&count[..], text.as_bytes()].concat()
    });
    counted.collect()
}

/// A policy request of Postfix.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rcpt<'a> {
    /// In Postfix's internal form: without quotes.
    pub(crate) recipient: &'a [u8],
    /// Names the message.
    pub(crate) instance: &'a str,
    /// Tells the SMTP client from others.
    pub(crate) port: u16,
}

impl<'a> Rcpt<'a> {
    pub(crate) fn to<T: AsRef<[u8]> + ?Sized>(recipient: &'a T) -> Self {
        Self {
            recipient: recipient.as_ref(),
            instance: "58d9.6b0369c5.90a1c.0",
            port: 50918,
        }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let (instance, port) = (self.instance, self.port);
        let mut bytes = format!(
            "request=smtpd_access_policy\nprotocol_state=RCPT\nprotocol_name=ESMTP\nclient_address=192.0.2.1\n\
             client_port={port}\nhelo_name=client.example.net\nsender=alice@example.net\ninstance={instance}\n\
             recipient="
        )
        .into_bytes();
        bytes.extend_from_slice(self.recipient);
        bytes.extend_from_slice(b"\n\n");
        bytes
    }
}

/// What an action means.
pub(crate) fn meaning(action: &str) -> Answer {
    match action {
        "DUNNO" => Answer::Yes,
        "550 5.1.1 User unknown" => Answer::No,
        "DEFER_IF_PERMIT 4.4.3 Recipient lookup failed, try again later" => Answer::Later,
        other => panic!("an action that was not configured: {other}"),
    }
}

/// A login, asked with PLAIN in one line.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Login<'a> {
    pub(crate) user: &'a str,
    pub(crate) password: &'a str,
    /// `smtp` is Postfix, which is told "later" by hanging up.
    pub(crate) service: &'a str,
    /// The end user's address.
    pub(crate) rip: &'a str,
    /// The end user's session, as Dovecot names it; none where it is empty.
    pub(crate) session: &'a str,
}

impl<'a> Login<'a> {
    pub(crate) fn of(user: &'a str, password: &'a str) -> Self {
        Self {
            user,
            password,
            service: "imap",
            rip: "192.0.2.1",
            session: "",
        }
    }

    pub(crate) fn bytes(&self, id: u32) -> String {
        let Self {
            user,
            password,
            service,
            rip,
            session,
        } = self;
        let session = match *session {
            "" => String::new(),
            named => format!("\tsession={named}"),
        };
        let resp = STANDARD.encode(format!("\0{user}\0{password}"));
        format!("AUTH\t{id}\tPLAIN\tservice={service}\trip={rip}{session}\tnologin\tresp={resp}\n")
    }

    /// What the listener's whole answer to this login means.
    pub(crate) fn answer(&self, id: u32, line: Option<&str>) -> Answer {
        let Some(line) = line else {
            assert_eq!(self.service, "smtp", "only Postfix is told by hanging up");
            return Answer::Later;
        };
        let user = self.user;
        if line == format!("OK\t{id}\tuser={user}") {
            Answer::Yes
        } else if line == format!("FAIL\t{id}\tuser={user}") {
            Answer::No
        } else if line == format!("FAIL\t{id}\tuser={user}\ttemp\tcode=temp_fail") {
            Answer::Later
        } else {
            panic!("no answer to {user}: {line}");
        }
    }
}
