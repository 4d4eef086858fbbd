//! An SMTP or LMTP remote: recipients, and logins by AUTH.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use tokio::time::Instant;
use vouch::settings::kind::Kind;

use crate::line::{Line, Manners, Over, Words};
use crate::stale::Down;
use crate::world::Use;

/// Refusals that are about everything but the mailbox.
const EVASIONS: [&str; 7] = [
    "451 4.3.0 try again later\r\n", "450 4.7.1 greylisted\r\n", "550 5.7.1 blocked by our policy\r\n",
    "554 5.7.1 relay access denied\r\n", "550 relay not permitted\r\n", "452 4.5.3 too many recipients\r\n",
    "550 5.5.3 one recipient for each message\r\n",
];

pub(crate) const MANNERS: Manners = Manners {
    goodbye: "421 4.3.2 closing\r\n",
    garbage: &[
        "%%%%\r\n", "999 what\r\n", "25\r\n", "2500 long\r\n", "\r\n", "\0\u{1}\u{2}\r\n",
    ],
};

/// One session, and what it has heard.
pub(crate) struct Smtp {
    line: Line,
    transaction: bool,
    /// Recipients of the open transaction.
    together: u32,
    recipients: u32,
    refused_recipients: u32,
    refused_logins: u32,
    logged_in: bool,
}

impl Smtp {
    pub(crate) fn new(mut line: Line) -> Self {
        line.lies = vec!["250 2.1.5 ok\r\n".into(), "550 5.1.1 no such user\r\n".into()];
        Self {
            line,
            transaction: false,
            together: 0,
            recipients: 0,
            refused_recipients: 0,
            refused_logins: 0,
            logged_in: false,
        }
    }

    pub(crate) async fn serve(mut self) {
        // The end of the connection is the end of the session, however it came.
        let _ = self.talk().await;
    }

    async fn talk(&mut self) -> Result<(), Over> {
        if self.line.world.is_shut() {
            return self.line.remark("421 4.3.2 shut\r\n").await;
        }
        self.line.remark("220 sim.test ready\r\n").await?;
        loop {
            let command = self.line.command().await?;
            let (verb, rest) = command.split_once(' ').unwrap_or((&command, ""));
            match verb {
                "EHLO" | "LHLO" => self.hello().await?,
                "MAIL" => self.mail().await?,
                "RCPT" => self.recipient(rest).await?,
                "AUTH" => self.auth(rest).await?,
                "RSET" => {
                    self.transaction = false;
                    self.line.remark("250 2.0.0 ok\r\n").await?;
                }
                "QUIT" => return self.line.remark("221 2.0.0 bye\r\n").await,
                _ => self.line.remark("500 5.5.1 what?\r\n").await?,
            }
        }
    }

    async fn hello(&mut self) -> Result<(), Over> {
        let world = &self.line.world;
        let mut reply = "250-sim.test\r\n".to_owned();
        if world.pipelining {
            reply += "250-PIPELINING\r\n";
        }
        if let Some(most) = world.rcpt_max {
            reply += &format!("250-LIMITS RCPTMAX={most}\r\n");
        }
        if world.directory.kind == Kind::Smtp {
            reply += "250-AUTH PLAIN LOGIN\r\n";
        }
        self.line.remark(reply + "250 8BITMIME\r\n").await
    }

    async fn mail(&mut self) -> Result<(), Over> {
        let world = &self.line.world;
        world.is_used(self.line.id, Use::Recipients);
        if world.chance.once_in(world.rate / 2) {
            let refusals = [
                "550 5.7.1 sender refused\r\n", "451 4.3.0 later\r\n", "550 5.1.1 unknown address\r\n",
            ];
            let refusal = world.chance.one(&refusals);
            return self.line.remark(refusal).await;
        }
        (self.transaction, self.together) = (true, 0);
        self.line.remark("250 2.1.0 ok\r\n").await
    }

    async fn recipient(&mut self, rest: &str) -> Result<(), Over> {
        let world = self.line.world.clone();
        let id = self.line.id;
        self.recipients += 1;
        self.together += 1;
        if self.recipients > world.rcpt {
            world.broken(format!(
                "session {id}: RCPT number {} of {}",
                self.recipients, world.rcpt
            ));
        }
        if self.refused_recipients >= world.rcpt_errors {
            world.broken(format!(
                "session {id}: RCPT after {} refusals",
                self.refused_recipients
            ));
        }
        if !self.transaction {
            self.refused_recipients += 1;
            return self.line.remark("503 5.5.1 MAIL first\r\n").await;
        }
        if world.rcpt_max.is_some_and(|most| self.together > most) {
            world.broken(format!("session {id}: more RCPT than LIMITS says"));
        }
        if world.chance.once_in(world.rate) {
            self.refused_recipients += 1;
            return self.line.remark(world.chance.one(&EVASIONS)).await;
        }
        let address = rest
            .trim_start_matches("TO:<")
            .split('>')
            .next()
            .unwrap_or_default();
        let exists = world.exists(address) && !world.has_lost_its_users();
        self.refused_recipients += u32::from(!exists);
        let text = if exists {
            world
                .chance
                .one(&["250 2.1.5 ok\r\n", "250 ok\r\n", "251 will forward\r\n"])
                .to_owned()
        } else if world.chance.coin() {
            format!("550 5.1.1 <{address}>: no such user\r\n")
        } else {
            "550 no such user here\r\n".to_owned()
        };
        let about = Some((address, exists));
        self.line.answer(Words { text, about }).await
    }

    async fn auth(&mut self, rest: &str) -> Result<(), Over> {
        let world = self.line.world.clone();
        let id = self.line.id;
        world.is_used(id, Use::Logins);
        if self.refused_logins >= world.auth_errors {
            world.broken(format!(
                "session {id}: AUTH after {} refusals",
                self.refused_logins
            ));
        }
        if self.logged_in {
            world.broken(format!("session {id}: AUTH after a login"));
        }
        let began = Instant::now();
        let plain = match rest.split_once(' ') {
            Some(("PLAIN", initial)) => initial.to_owned(),
            _ => {
                self.line.remark("334 \r\n").await?;
                self.line.data().await?
            }
        };
        let plain = BASE64_STANDARD.decode(plain).unwrap_or_default();
        let plain = String::from_utf8_lossy(&plain).into_owned();
        let mut parts = plain.split('\0').skip(1);
        let (user, password) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let subject = format!("{user} {password}");
        world.hears(&subject, began).await;
        if world.is_down(Down::is_silent) {
            return Err(self.line.stall().await);
        }
        let right = world.is_right(user, password);
        let evasive = world.chance.once_in(world.rate);
        self.refused_logins += u32::from(evasive || !right);
        if evasive {
            let evasions = [
                "454 4.7.0 temporary authentication failure\r\n", "535 5.7.8 internal server error\r\n",
                "451 4.3.0 later\r\n", "503 5.5.1 not now\r\n",
            ];
            self.line.remark(world.chance.one(&evasions)).await?;
            world.replied();
            return Ok(());
        }
        self.logged_in |= right;
        let text = if right {
            "235 2.7.0 welcome\r\n"
        } else {
            "535 5.7.8 bad credentials\r\n"
        };
        let text = text.to_owned();
        let about = Some((subject.as_str(), right));
        self.line.answer(Words { text, about }).await?;
        world.replied();
        Ok(())
    }
}
