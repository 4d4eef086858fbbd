//! A remote by script: who says what, in order, while how much time passes.
//!
//! One step a line; blank lines and lines that begin with `#` are passed over.
//!
//! | line | step |
//! |---|---|
//! | `S: text` | says text and CRLF; `S-` the same without the line end |
//! | `C: text` | expects exactly this line; `C~` a line that begins so |
//! | `TLS` | shakes hands now |
//! | `WAIT 500ms` | lets time pass (tokio's); `s` and `ms` |
//! | `CLOSE` | closes, and the script is over |
//! | `END` | expects that the client closes |
//! | `HANG` | says nothing more until the client closes |
//!
//! In texts `\r`, `\n`, `\s` (a space that an editor would strip), `\\` and `\xNN` are bytes. Consecutive
//! `S` lines leave in one write: what stands behind a STARTTLS reply arrives with it.

use std::fmt;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use crate::conn::{MAX_LINE, Stream};
use crate::tls::Identity;

/// How long the script waits for anything that the client should do.
const PATIENCE: Duration = Duration::from_secs(60);

/// A parsed script. It may be played any number of times.
#[derive(Clone, Debug)]
pub struct Script {
    steps: Vec<(usize, Step)>,
    identity: Option<Identity>,
}

/// Where the client did not do as the script said; lines count from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// The line of the script.
    pub line: usize,
    /// What it wanted.
    pub wanted: String,
    /// What came instead.
    pub came: String,
}

/// A line of a script that is no step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// The line, from 1.
    pub line: usize,
    /// What it says.
    pub text: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Say(Vec<u8>),
    Expect(Vec<u8>),
    ExpectPrefix(Vec<u8>),
    Tls,
    Wait(Duration),
    Close,
    End,
    Hang,
}

impl Script {
    /// Reads a script.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let mut steps = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim_start();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let step = step(line).ok_or_else(|| ParseError {
                line: number + 1,
                text: line.to_owned(),
            })?;
            steps.push((number + 1, step));
        }
        Ok(Self {
            steps,
            identity: None,
        })
    }

    /// The same script, able to do its `TLS` steps.
    pub fn with_tls(mut self, identity: &Identity) -> Self {
        self.identity = Some(identity.clone());
        self
    }

    /// Plays the server's part on a stream, to the end of the script; then closes.
    pub async fn play<S>(&self, stream: S) -> Result<(), Mismatch>
    where
        S: tokio::io::AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut player = Player {
            stream: Box::new(stream),
            input: Vec::new(),
        };
        let mut output = Vec::new();
        for (at, (line, step)) in self.steps.iter().enumerate() {
            if let Step::Say(bytes) = step {
                output.extend_from_slice(bytes);
                if matches!(self.steps.get(at + 1), Some((_, Step::Say(_)))) {
                    continue;
                }
            }
            let done = if output.is_empty() {
                player.play(step, self.identity.as_ref()).await
            } else {
                player.write(&std::mem::take(&mut output)).await
            };
            done.map_err(|came| Mismatch {
                line: *line,
                wanted: step.to_string(),
                came,
            })?;
            if *step == Step::Close {
                break;
            }
        }
        // A client that is gone already has what it wanted.
        let _ = timeout(Duration::from_secs(1), player.stream.shutdown()).await;
        Ok(())
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "line {} of the script wants {}, but {}",
            self.line, self.wanted, self.came
        )
    }
}

impl std::error::Error for Mismatch {}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {} of the script is no step: {}", self.line, self.text)
    }
}

impl std::error::Error for ParseError {}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Say(bytes) => write!(f, "to say \"{}\"", bytes.escape_ascii()),
            Self::Expect(bytes) => write!(f, "\"{}\"", bytes.escape_ascii()),
            Self::ExpectPrefix(bytes) => write!(f, "a line that begins \"{}\"", bytes.escape_ascii()),
            Self::Tls => f.write_str("a TLS handshake"),
            Self::Wait(time) => write!(f, "to wait {time:?}"),
            Self::Close => f.write_str("to close"),
            Self::End | Self::Hang => f.write_str("the client to close"),
        }
    }
}

/// The stream while a script is played on it. Errors are what came instead.
struct Player {
    stream: Box<dyn Stream>,
    input: Vec<u8>,
}

impl Player {
    async fn play(&mut self, step: &Step, identity: Option<&Identity>) -> Result<(), String> {
        match step {
            Step::Say(_) | Step::Close => Ok(()),
            Step::Expect(wanted) => self.expect(|line| line == wanted).await,
            Step::ExpectPrefix(prefix) => self.expect(|line| line.starts_with(prefix)).await,
            Step::Wait(time) => {
                sleep(*time).await;
                Ok(())
            }
            Step::Tls => self.shake_hands(identity).await,
            Step::End if self.input.is_empty() && self.read_more().await? == 0 => Ok(()),
            Step::End => Err(format!("\"{}\" came", self.input.escape_ascii())),
            Step::Hang => {
                while self.read_more().await? > 0 {
                    self.input.clear();
                }
                Ok(())
            }
        }
    }

    async fn expect(&mut self, fits: impl Fn(&[u8]) -> bool) -> Result<(), String> {
        let end = loop {
            if let Some(end) = self.input.windows(2).position(|pair| pair == b"\r\n") {
                break end;
            }
            if self.input.len() > MAX_LINE {
                return Err("a line of more than 64 KiB came".to_owned());
            }
            if self.read_more().await? == 0 {
                return Err(match self.input.as_slice() {
                    [] => "the client closed".to_owned(),
                    rest => format!("\"{}\" came and the client closed", rest.escape_ascii()),
                });
            }
        };
        let mut line: Vec<u8> = self.input.drain(..end + 2).collect();
        line.truncate(end);
        if fits(&line) {
            Ok(())
        } else {
            Err(format!("\"{}\" came", line.escape_ascii()))
        }
    }

    /// Reads into the input; 0 at the end.
    async fn read_more(&mut self) -> Result<usize, String> {
        let mut chunk = [0; 4096];
        match timeout(PATIENCE, self.stream.read(&mut chunk)).await {
            Err(_) => Err("nothing came".to_owned()),
            // A reset, or a close without the goodbye of TLS, is a close.
            Ok(Err(_)) => Ok(0),
            Ok(Ok(count)) => {
                self.input.extend(chunk.iter().take(count));
                Ok(count)
            }
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        let wrote = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        match timeout(PATIENCE, wrote).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err("the client closed".to_owned()),
            Err(_) => Err("the client does not read".to_owned()),
        }
    }

    async fn shake_hands(&mut self, identity: Option<&Identity>) -> Result<(), String> {
        let identity = identity.ok_or("the script has no certificate")?;
        if !self.input.is_empty() {
            return Err(format!("\"{}\" came in cleartext", self.input.escape_ascii()));
        }
        let plain = std::mem::replace(&mut self.stream, Box::new(tokio::io::empty()));
        match timeout(PATIENCE, TlsAcceptor::from(identity.config()).accept(plain)).await {
            Ok(Ok(stream)) => {
                self.stream = Box::new(stream);
                Ok(())
            }
            Ok(Err(error)) => Err(format!("it failed: {error}")),
            Err(_) => Err("nothing came".to_owned()),
        }
    }
}

fn step(line: &str) -> Option<Step> {
    match line.trim_end() {
        "TLS" => return Some(Step::Tls),
        "CLOSE" => return Some(Step::Close),
        "END" => return Some(Step::End),
        "HANG" => return Some(Step::Hang),
        _ => {}
    }
    if let Some(time) = line.strip_prefix("WAIT ") {
        let time = time.trim();
        return match time.strip_suffix("ms") {
            Some(millis) => millis
                .parse()
                .ok()
                .map(|millis| Step::Wait(Duration::from_millis(millis))),
            None => time
                .strip_suffix('s')?
                .parse()
                .ok()
                .map(|secs| Step::Wait(Duration::from_secs(secs))),
        };
    }
    let (kind, text) = line.split_at_checked(2)?;
    let mut bytes = unescape(text.strip_prefix(' ').or(text.is_empty().then_some(text))?)?;
    match kind {
        "S:" => {
            bytes.extend_from_slice(b"\r\n");
            Some(Step::Say(bytes))
        }
        "S-" => Some(Step::Say(bytes)),
        "C:" => Some(Step::Expect(bytes)),
        "C~" => Some(Step::ExpectPrefix(bytes)),
        _ => None,
    }
}

fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'\\' => match rest.next()? {
                b'r' => b'\r',
                b'n' => b'\n',
                b's' => b' ',
                b'\\' => b'\\',
                b'x' => {
                    let digits = [rest.next()?, rest.next()?];
                    u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
                }
                _ => return None,
            },
            _ => byte,
        });
    }
    Some(bytes)
}
