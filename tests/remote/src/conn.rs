//! One session's stream: reads lines, writes replies. Faults, delays and limits all apply here.

use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use crate::fault::Fault;
use crate::log::{End, SessionLog, lock};
use crate::options::Protocol;
use crate::session::Shared;
use crate::tls::Identity;

/// Bytes in a line, more than any command or SASL message needs (RFC 4954 §4 asks for 12288).
pub(crate) const MAX_LINE: usize = 64 * 1024;

/// Bytes in a literal.
pub(crate) const MAX_LITERAL: usize = 64 * 1024;

/// Bytes that an endless fault sends before it gives up and closes.
const MAX_ENDLESS: usize = 16 * 1024 * 1024;

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(30);

/// How long the last bytes may take to leave.
const PARTING: Duration = Duration::from_secs(1);

/// Any stream of bytes.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// The session is over: how.
pub(crate) struct Over(pub(crate) End);

/// A session's stream and its log.
pub(crate) struct Conn {
    pub(crate) shared: Arc<Shared>,
    log: Arc<Mutex<SessionLog>>,
    stream: Box<dyn Stream>,
    input: Vec<u8>,
    output: Vec<u8>,
    hang_up: watch::Receiver<(u64, bool)>,
    group: u32,
    answered: u32,
}

/// A session has no other outcome than its end.
pub(crate) type Never = std::convert::Infallible;

impl Conn {
    pub(crate) fn new(shared: Arc<Shared>, log: Arc<Mutex<SessionLog>>, stream: Box<dyn Stream>) -> Self {
        let hang_up = shared.hang_up.subscribe();
        let (input, output) = (Vec::new(), Vec::new());
        Self {
            shared,
            log,
            stream,
            input,
            output,
            hang_up,
            group: 0,
            answered: 0,
        }
    }

    /// Sends what is left to say, and closes.
    pub(crate) async fn close(&mut self) {
        let parting = async {
            self.stream.write_all(&self.output).await?;
            self.stream.shutdown().await
        };
        // The client may be gone already.
        let _ = timeout(PARTING, parting).await;
    }

    /// The next line as a command of its own.
    pub(crate) async fn command(&mut self) -> Result<Vec<u8>, Over> {
        let line = self.line().await?;
        self.group += 1;
        let group = self.group;
        self.note(|log| log.largest_group = log.largest_group.max(group));
        Ok(line)
    }

    /// The next line without its end.
    pub(crate) async fn line(&mut self) -> Result<Vec<u8>, Over> {
        let mut scanned = 0;
        let end = loop {
            if let Some(found) = self.input.iter().skip(scanned).position(|byte| *byte == b'\n') {
                break scanned + found;
            }
            scanned = self.input.len();
            if scanned > MAX_LINE {
                self.violation("a line of more than 64 KiB");
                return Err(self.part("Line too long"));
            }
            self.fill().await?;
        };
        let mut line: Vec<u8> = self.input.drain(..=end).collect();
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        } else {
            self.violation("a line that ends in a bare LF");
        }
        self.record(&line);
        Ok(line)
    }

    /// The next `count` bytes, at most [`MAX_LITERAL`].
    pub(crate) async fn exact(&mut self, count: usize) -> Result<Vec<u8>, Over> {
        while self.input.len() < count {
            self.fill().await?;
        }
        let bytes: Vec<u8> = self.input.drain(..count).collect();
        self.record(&bytes);
        Ok(bytes)
    }

    /// Whether the client sent more than the line just read.
    pub(crate) fn more_waits(&self) -> bool {
        !self.input.is_empty()
    }

    /// Answers a command. Returns what was really said: faults may replace it, and the session believes it.
    /// Replies leave together, when nothing more of the client waits.
    pub(crate) async fn answer(&mut self, verb: &str, tag: &str, text: String) -> Result<String, Over> {
        self.pause(self.shared.options.delays.reply).await?;
        if verb != "CHALLENGE" && verb != "GREETING" {
            self.answered += 1;
        }
        let mut said = text;
        match self.strike(verb) {
            Fault::None | Fault::At(..) => self.output.extend_from_slice(said.as_bytes()),
            Fault::ReplyWith { text, .. } => {
                said = text.replace("{tag}", tag);
                if !said.ends_with('\n') {
                    said.push_str("\r\n");
                }
                self.output.extend_from_slice(said.as_bytes());
            }
            Fault::CloseAfter(_) => {
                self.output.extend_from_slice(said.as_bytes());
                return Err(Over(End::ServerClosed));
            }
            Fault::CloseMidReply(bytes) => {
                let bytes = said.as_bytes().iter().take(bytes);
                self.output.extend(bytes);
                return Err(Over(End::ServerClosed));
            }
            Fault::Bye => return Err(self.part("Shutting down")),
            Fault::HangBeforeReply | Fault::HangAfterAccept => {
                self.flush().await?;
                return Err(self.hang().await);
            }
            Fault::Garbage => self
                .output
                .extend_from_slice(b"\x00\xff\xfe)~{ no such protocol \x80\x07\r\n"),
            Fault::EndlessLine => return Err(self.endless(b"250-AUTH * BYE no line end in sight ").await),
            Fault::EndlessReply if self.shared.options.protocol == Protocol::Imap => {
                return Err(self.endless(b"* 23 EXISTS\r\n").await);
            }
            Fault::EndlessReply => return Err(self.endless(b"250-X-AND-SO-ON\r\n").await),
            Fault::Late(time) => {
                self.pause(time).await?;
                self.output.extend_from_slice(said.as_bytes());
            }
            Fault::OneByteAtATime => {
                self.flush().await?;
                for byte in said.bytes() {
                    self.output.push(byte);
                    self.write_out().await?;
                    sleep(Duration::from_millis(1)).await;
                }
            }
        }
        self.count_refusal(&said)?;
        Ok(said)
    }

    /// Leaves: a 421 or BYE, and the end of the session.
    pub(crate) fn part(&mut self, why: &str) -> Over {
        let farewell = match self.shared.options.protocol {
            Protocol::Imap => format!("* BYE {why}\r\n"),
            Protocol::Smtp | Protocol::Lmtp => format!("421 4.7.0 {why}, closing\r\n"),
        };
        self.output.extend_from_slice(farewell.as_bytes());
        Over(End::ServerClosed)
    }

    /// Waits; what was said before leaves first.
    pub(crate) async fn pause(&mut self, time: Duration) -> Result<(), Over> {
        if !time.is_zero() {
            self.flush().await?;
            sleep(time).await;
        }
        Ok(())
    }

    /// Sends what was said, then shakes hands. The dialogs have refused cleartext behind STARTTLS before.
    pub(crate) async fn start_tls(&mut self, identity: &Identity) -> Result<(), Over> {
        self.flush().await?;
        let plain = std::mem::replace(&mut self.stream, Box::new(tokio::io::empty()));
        let handshake = TlsAcceptor::from(identity.config()).accept(plain);
        let Ok(Ok(stream)) = timeout(HANDSHAKE, handshake).await else {
            return Err(Over(End::TlsFailed));
        };
        let name = stream.get_ref().1.server_name().map(str::to_owned);
        self.note(|log| {
            log.tls = true;
            log.server_name = name;
        });
        self.stream = Box::new(stream);
        Ok(())
    }

    pub(crate) fn tls(&self) -> bool {
        lock(&self.log).tls
    }

    pub(crate) fn note(&self, change: impl FnOnce(&mut SessionLog)) {
        change(&mut lock(&self.log));
    }

    pub(crate) fn violation(&self, what: &str) {
        self.note(|log| log.violation(what));
    }

    /// Counts a login that was answered; the one too many ends the session.
    pub(crate) fn count_login(&mut self, accepted: bool) -> Result<(), Over> {
        let mut failed = 0;
        self.note(|log| {
            if accepted {
                log.auth_ok += 1;
            } else {
                log.auth_failed += 1;
                failed = log.auth_failed;
            }
        });
        let limits = self.shared.options.limits;
        if limits.failed_logins.is_some_and(|most| failed >= most) {
            return Err(self.part("Too many failed logins"));
        }
        Ok(())
    }

    fn count_refusal(&mut self, said: &str) -> Result<(), Over> {
        let last = said.trim_end().rsplit('\n').next().unwrap_or(said);
        let refused = match self.shared.options.protocol {
            Protocol::Imap => matches!(last.split(' ').nth(1), Some("NO" | "BAD")),
            Protocol::Smtp | Protocol::Lmtp => last.starts_with(['4', '5']),
        };
        if refused {
            let mut errors = 0;
            self.note(|log| {
                log.errors += 1;
                errors = log.errors;
            });
            if self
                .shared
                .options
                .limits
                .errors
                .is_some_and(|most| errors >= most)
            {
                return Err(self.part("Too many errors"));
            }
        }
        Ok(())
    }

    fn record(&self, line: &[u8]) {
        if self.shared.options.record {
            self.note(|log| log.record(line));
        }
    }

    pub(crate) fn strike(&self, verb: &str) -> Fault {
        lock(&self.shared.fault).strike(verb, self.answered)
    }

    /// Reads more, after everything said has left.
    async fn fill(&mut self) -> Result<(), Over> {
        self.flush().await?;
        self.group = 0;
        let mut chunk = [0; 4096];
        let idle = self.shared.options.limits.idle;
        let read = tokio::select! {
            read = self.stream.read(&mut chunk) => read,
            goodbye = hung_up(&mut self.hang_up) => {
                return Err(if goodbye { self.part("Shutting down") } else { Over(End::ServerClosed) });
            }
            () = sleep_if(idle) => return Err(self.part("Idle for too long")),
        };
        match read {
            Ok(0) if self.input.is_empty() => Err(Over(End::ClientClosed)),
            Ok(0) => Err(Over(End::ClientBroke)),
            // Closed without the goodbye of TLS, as many clients do.
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Err(Over(End::ClientClosed)),
            Err(_) => Err(Over(End::ClientBroke)),
            Ok(count) => {
                self.input.extend(chunk.iter().take(count));
                Ok(())
            }
        }
    }

    async fn flush(&mut self) -> Result<(), Over> {
        if self.output.is_empty() {
            return Ok(());
        }
        sleep_for(self.shared.options.delays.latency).await;
        self.write_out().await
    }

    async fn write_out(&mut self) -> Result<(), Over> {
        let wrote = async {
            self.stream.write_all(&self.output).await?;
            self.stream.flush().await
        };
        wrote.await.map_err(|_| Over(End::ClientBroke))?;
        self.output.clear();
        Ok(())
    }

    /// Says nothing more; ends when the client leaves or the server hangs up.
    pub(crate) async fn hang(&mut self) -> Over {
        let mut chunk = [0; 4096];
        loop {
            tokio::select! {
                read = self.stream.read(&mut chunk) => {
                    if !matches!(read, Ok(1..)) {
                        return Over(End::ClientClosed);
                    }
                }
                _ = hung_up(&mut self.hang_up) => return Over(End::ServerClosed),
            }
        }
    }

    async fn endless(&mut self, part: &[u8]) -> Over {
        let mut sent = 0;
        while sent < MAX_ENDLESS {
            self.output = part.repeat(64);
            sent += self.output.len();
            if let Err(over) = self.write_out().await {
                self.output.clear();
                return over;
            }
        }
        Over(End::ServerClosed)
    }
}

/// Waits until the server hangs up; whether with a goodbye.
async fn hung_up(signal: &mut watch::Receiver<(u64, bool)>) -> bool {
    match signal.changed().await {
        Ok(()) => signal.borrow_and_update().1,
        Err(_) => pending().await,
    }
}

async fn sleep_for(time: Duration) {
    if !time.is_zero() {
        sleep(time).await;
    }
}

async fn sleep_if(time: Option<Duration>) {
    match time {
        Some(time) => sleep(time).await,
        None => pending().await,
    }
}
