//! An IMAP remote: logins.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use tokio::time::Instant;

use crate::line::{Line, Manners, Over, Words};
use crate::stale::Down;
use crate::world::Use;

pub(crate) const MANNERS: Manners = Manners {
    goodbye: "* BYE closing\r\n",
    garbage: &[
        "%%%%\r\n", "* \r\n", "+ more?\r\n", "v999 OK who?\r\n", "\r\n", "\0\u{1}\u{2}\r\n",
    ],
};

/// One session, and what it has heard.
pub(crate) struct Imap {
    line: Line,
    /// PLAIN with its initial response, or the LOGIN command alone.
    plain: bool,
    refused: u32,
    logged_in: bool,
}

impl Imap {
    pub(crate) fn new(line: Line) -> Self {
        let plain = line.world.chance.coin();
        Self {
            line,
            plain,
            refused: 0,
            logged_in: false,
        }
    }

    pub(crate) async fn serve(mut self) {
        // The end of the connection is the end of the session, however it came.
        let _ = self.talk().await;
    }

    fn capability(&self) -> String {
        let login = if self.plain {
            "AUTH=PLAIN SASL-IR LOGINDISABLED"
        } else {
            "ID"
        };
        let back = if self.line.world.unauthenticate {
            " UNAUTHENTICATE"
        } else {
            ""
        };
        format!("CAPABILITY IMAP4rev1 {login}{back}")
    }

    async fn talk(&mut self) -> Result<(), Over> {
        if self.line.world.is_shut() {
            return self.line.remark("* BYE shut\r\n").await;
        }
        self.foresee("v0");
        let greeting = if self.line.world.chance.coin() {
            format!("* OK [{}] ready\r\n", self.capability())
        } else {
            "* OK ready\r\n".to_owned()
        };
        self.line.remark(greeting).await?;
        loop {
            let command = self.line.command().await?;
            let (tag, rest) = command.split_once(' ').unwrap_or((&command, ""));
            self.foresee(tag);
            let (verb, rest) = rest.split_once(' ').unwrap_or((rest, ""));
            match verb {
                "CAPABILITY" => {
                    let reply = format!("* {}\r\n{tag} OK done\r\n", self.capability());
                    self.line.remark(reply).await?;
                }
                "LOGIN" => {
                    let mut quoted = rest.split('"').filter(|part| !part.trim().is_empty());
                    let (user, password) = (quoted.next(), quoted.next());
                    self.login(tag, user.unwrap_or_default(), password.unwrap_or_default())
                        .await?;
                }
                "AUTHENTICATE" => {
                    let plain = rest.split_once(' ').map_or("", |(_, initial)| initial);
                    let plain = BASE64_STANDARD.decode(plain).unwrap_or_default();
                    let plain = String::from_utf8_lossy(&plain).into_owned();
                    let mut parts = plain.split('\0').skip(1);
                    let (user, password) = (parts.next(), parts.next());
                    self.login(tag, user.unwrap_or_default(), password.unwrap_or_default())
                        .await?;
                }
                "UNAUTHENTICATE" if self.logged_in => {
                    self.logged_in = false;
                    self.line.remark(format!("{tag} OK goodbye, user\r\n")).await?;
                }
                "LOGOUT" => return self.line.remark(format!("* BYE bye\r\n{tag} OK done\r\n")).await,
                _ => self.line.remark(format!("{tag} BAD what?\r\n")).await?,
            }
        }
    }

    /// Lies in advance: answers to the command that will come next.
    fn foresee(&mut self, tag: &str) {
        let next = tag[1..].parse::<u64>().map_or(1, |number| number + 1);
        self.line.lies = vec![
            format!("v{next} OK logged in\r\n"),
            format!("v{next} NO [AUTHENTICATIONFAILED] bad credentials\r\n"),
            "* OK still here\r\n".to_owned(),
        ];
    }

    async fn login(&mut self, tag: &str, user: &str, password: &str) -> Result<(), Over> {
        let world = self.line.world.clone();
        let id = self.line.id;
        world.is_used(id, Use::Logins);
        if self.refused >= world.auth_errors {
            world.broken(format!("session {id}: a login after {} refusals", self.refused));
        }
        if self.logged_in {
            world.broken(format!("session {id}: a login after a login"));
        }
        let subject = format!("{user} {password}");
        world.hears(&subject, Instant::now()).await;
        if world.is_down(Down::is_silent) {
            return Err(self.line.stall().await);
        }
        let right = world.is_right(user, password);
        let evasive = world.chance.once_in(world.rate);
        self.refused += u32::from(evasive || !right);
        if evasive {
            let evasions = [
                "NO [UNAVAILABLE] later", "NO internal server error", "NO [LIMIT] too many of you",
                "BAD what?",
            ];
            let evasion = world.chance.one(&evasions);
            self.line.remark(format!("{tag} {evasion}\r\n")).await?;
            world.replied();
            return Ok(());
        }
        self.logged_in |= right;
        let text = match (right, world.chance.coin()) {
            (true, true) => format!("{tag} OK [{}] welcome\r\n", self.capability()),
            (true, false) => format!("* OK hello\r\n{tag} OK welcome\r\n"),
            (false, true) => format!("{tag} NO [AUTHENTICATIONFAILED] bad credentials\r\n"),
            (false, false) => format!("{tag} NO LOGIN failed\r\n"),
        };
        let about = Some((subject.as_str(), right));
        self.line.answer(Words { text, about }).await?;
        world.replied();
        Ok(())
    }
}
