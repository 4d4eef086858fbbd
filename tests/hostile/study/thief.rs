//! The remote of the study: it says what its case tells it to, and beyond that takes whatever it is given. All that it
//! hears is kept, what came in the clear apart from what came inside TLS.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;
use vouch::wire::Stream;

/// What the remote of one case says. In its texts `{tag}` is the tag of the command, `{tls}` the handshake, `{pause}` a
/// moment, `{close}` the end, and `{cut}` stands at the end of a text that has no line end.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) imap: bool,
    pub(super) greeting: String,
    /// What it offers: words of IMAP, or lines of EHLO with `;` between.
    pub(super) offers: String,
    /// What it says to a verb instead of what a server would.
    pub(super) replies: Vec<(String, String)>,
}

/// What a remote heard, over all its sessions.
#[derive(Debug, Default)]
pub(super) struct Heard {
    pub(super) clear: Vec<u8>,
    /// What began as a TLS handshake, at a remote that goes on in the clear. Its bytes are random: now and then, some
    /// of them are a verb.
    pub(super) hello: Vec<u8>,
    pub(super) inside: Vec<u8>,
    pub(super) calls: usize,
}

/// A remote: what it says in the clear, and what the server behind it says once TLS is on.
pub(super) struct Thief {
    pub(super) clear: Part,
    pub(super) inside: Part,
    /// Said as soon as TLS is on.
    pub(super) first_inside: String,
    pub(super) acceptor: TlsAcceptor,
    /// TLS is on from the first byte; what is said in it is what others hear in the clear.
    pub(super) implicit: bool,
    pub(super) heard: Arc<Mutex<Heard>>,
}

/// How a record of a TLS handshake begins (RFC 8446, 5.1).
const HELLO: &[u8] = b"\x16\x03";

/// The session is over.
struct Over;

impl Thief {
    /// Serves one session to its end.
    pub(super) async fn serve(self: Arc<Self>, stream: Stream) {
        self.heard.lock().unwrap().calls += 1;
        let mut session = Session {
            thief: &self,
            stream: Some(stream),
            secured: false,
            greeted: false,
            input: Vec::new(),
        };
        let _ = session.run().await;
    }
}

struct Session<'a> {
    thief: &'a Thief,
    /// `None` once TLS has failed.
    stream: Option<Stream>,
    secured: bool,
    /// The client has begun a TLS handshake.
    greeted: bool,
    input: Vec<u8>,
}

impl Session<'_> {
    async fn run(&mut self) -> Result<(), Over> {
        if self.thief.implicit {
            self.shake_hands().await?;
        }
        self.say(&self.thief.clear.greeting.clone(), "").await?;
        loop {
            let line = self.line().await?;
            let mut words = line.split(' ');
            let tag = if self.part().imap {
                words.next().unwrap_or_default()
            } else {
                ""
            };
            let verb = words.next().unwrap_or_default().to_ascii_uppercase();
            let rest: Vec<&str> = words.collect();
            let told = self.part().replies.iter().find(|(to, _)| *to == verb);
            let reply = match told {
                Some((_, reply)) => reply.clone(),
                None if self.part().imap => self.imap(&verb, &rest).await?,
                None => self.smtp(&verb, &rest).await?,
            };
            self.say(&reply, tag).await?;
        }
    }

    fn part(&self) -> &Part {
        if self.secured && !self.thief.implicit {
            &self.thief.inside
        } else {
            &self.thief.clear
        }
    }

    async fn imap(&mut self, verb: &str, rest: &[&str]) -> Result<String, Over> {
        Ok(match verb {
            "CAPABILITY" => format!("* CAPABILITY {}\r\n{{tag}} OK done", self.part().offers),
            "STARTTLS" => "{tag} OK go{tls}".into(),
            "AUTHENTICATE" | "LOGIN" => {
                if (verb == "AUTHENTICATE" && rest.len() < 2)
                    || rest.last().is_some_and(|word| word.ends_with('}'))
                {
                    self.say("+ go on", "").await?;
                    self.line().await?;
                }
                "{tag} OK welcome".into()
            }
            "LOGOUT" => "* BYE bye\r\n{tag} OK bye{close}".into(),
            _ => "{tag} BAD what".into(),
        })
    }

    async fn smtp(&mut self, verb: &str, rest: &[&str]) -> Result<String, Over> {
        Ok(match verb {
            "EHLO" | "LHLO" => {
                let offers = self.part().offers.split(';').filter(|line| !line.is_empty());
                let lines: String = offers.map(|line| format!("250-{line}\r\n")).collect();
                format!("250-eve\r\n{lines}250 HELP")
            }
            "HELO" | "MAIL" | "RCPT" | "RSET" => "250 yes".into(),
            "STARTTLS" => "220 go{tls}".into(),
            "AUTH" => {
                for _ in 0..(if rest.len() > 1 {
                    0
                } else if rest == ["LOGIN"] {
                    2
                } else {
                    1
                }) {
                    self.say("334 ", "").await?;
                    self.line().await?;
                }
                "235 welcome".into()
            }
            "QUIT" => "221 bye{close}".into(),
            _ => "500 what".into(),
        })
    }

    async fn say(&mut self, text: &str, tag: &str) -> Result<(), Over> {
        let text = text.replace("{tag}", tag);
        let mut rest = text.as_str();
        while !rest.is_empty() {
            let at = ["{tls}", "{pause}", "{close}", "{cut}"]
                .iter()
                .filter_map(|order| Some((rest.find(order)?, *order)))
                .min();
            let (said, order) = match at {
                Some((at, order)) => (&rest[..at], order),
                None => (rest, ""),
            };
            rest = &rest[said.len() + order.len()..];
            let end = if said.is_empty() || order == "{cut}" {
                ""
            } else {
                "\r\n"
            };
            self.write(format!("{said}{end}").as_bytes()).await?;
            match order {
                "{tls}" => self.shake_hands().await?,
                "{pause}" => sleep(Duration::from_millis(100)).await,
                "{close}" => return Err(Over),
                _ => {}
            }
        }
        Ok(())
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Over> {
        let stream = self.stream.as_mut().ok_or(Over)?;
        stream.write_all(bytes).await.map_err(|_| Over)?;
        stream.flush().await.map_err(|_| Over)
    }

    async fn line(&mut self) -> Result<String, Over> {
        loop {
            if let Some(end) = self.input.windows(2).position(|pair| pair == b"\r\n") {
                let line: Vec<u8> = self.input.drain(..end + 2).collect();
                return Ok(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            let mut chunk = [0; 4096];
            let stream = self.stream.as_mut().ok_or(Over)?;
            let count = stream.read(&mut chunk).await.map_err(|_| Over)?;
            if count == 0 {
                return Err(Over);
            }
            self.input.extend_from_slice(&chunk[..count]);
            self.note(&chunk[..count]);
        }
    }

    fn note(&mut self, bytes: &[u8]) {
        let mut heard = self.thief.heard.lock().unwrap();
        if self.secured {
            heard.inside.extend_from_slice(bytes);
            return;
        }
        let begins = bytes.windows(HELLO.len()).position(|part| part == HELLO);
        let (clear, hello) = bytes.split_at(if self.greeted {
            0
        } else {
            begins.unwrap_or(bytes.len())
        });
        self.greeted |= begins.is_some();
        heard.clear.extend_from_slice(clear);
        heard.hello.extend_from_slice(hello);
    }

    async fn shake_hands(&mut self) -> Result<(), Over> {
        let stream = self.stream.take().ok_or(Over)?;
        let stream = self.thief.acceptor.accept(stream).await.map_err(|_| Over)?;
        self.stream = Some(Box::new(stream));
        self.secured = true;
        let first = if self.thief.implicit {
            ""
        } else {
            &self.thief.first_inside
        };
        self.write(first.as_bytes()).await
    }
}
