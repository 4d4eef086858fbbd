//! The remote's end of a connection, and all the ways in which it fails its caller.
//!
//! A remote lies by a reply that nobody asked for. It does so only while nothing is under way: alone, when no
//! command has come for a while, or along with the last reply that it owed. Replies in a pipelined group bear no
//! name, so an extra one in the middle of it could be told from the rest by nobody, and is not sent.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::{Instant, sleep, timeout_at};

use crate::pipe::{PIPE, State};
use crate::world::World;

/// The connection is over.
pub(crate) struct Over;

/// An answer, and what it says about whom.
pub(crate) struct Words<'a> {
    pub(crate) text: String,
    /// The remote's truthful word about somebody, if that is what it is.
    pub(crate) about: Option<(&'a str, bool)>,
}

/// What a remote of this protocol says when it says something else.
pub(crate) struct Manners {
    pub(crate) goodbye: &'static str,
    pub(crate) garbage: &'static [&'static str],
}

pub(crate) struct Line {
    stream: DuplexStream,
    state: Arc<State>,
    input: BytesMut,
    pub(crate) id: u64,
    pub(crate) world: Arc<World>,
    manners: Manners,
    /// The reply that the next command might get, should it be said too early.
    pub(crate) lies: Vec<String>,
}

impl Line {
    pub(crate) fn new(
        (stream, state): (DuplexStream, Arc<State>),
        id: u64,
        world: Arc<World>,
        manners: Manners,
    ) -> Self {
        let (input, lies) = (BytesMut::new(), Vec::new());
        Self {
            stream,
            state,
            input,
            id,
            world,
            manners,
            lies,
        }
    }

    fn fault(&self) -> bool {
        self.world.chance.once_in(self.world.rate)
    }

    /// The next command. Meanwhile the remote may lose patience, or its mind.
    pub(crate) async fn command(&mut self) -> Result<String, Over> {
        if self.fault() && self.is_idle() {
            let patience = self.world.moment(1, self.world.chance.one(&[100, 4000]));
            // When the time is over nothing has come, and what follows is said before anything can.
            if timeout_at(patience, self.more()).await.is_err() {
                self.speak_up().await?;
            }
        }
        self.data().await
    }

    /// The next line, in the middle of an exchange.
    pub(crate) async fn data(&mut self) -> Result<String, Over> {
        loop {
            if let Some(end) = self.input.windows(2).position(|two| two == b"\r\n") {
                let line = self.input.split_to(end);
                self.input.advance(2);
                let line = String::from_utf8_lossy(&line).into_owned();
                self.world.note(|| format!("session {} < {line}", self.id));
                return Ok(line);
            }
            self.more().await?;
        }
    }

    async fn more(&mut self) -> Result<(), Over> {
        // All of a group is read at once, so that an empty buffer means that nobody waits for a reply.
        self.input.reserve(PIPE);
        match self.stream.read_buf(&mut self.input).await {
            Ok(0) | Err(_) => Err(Over),
            Ok(_) => Ok(()),
        }
    }

    async fn write(&mut self, text: &str) -> Result<(), Over> {
        self.world
            .note(|| format!("session {} > {}", self.id, text.escape_debug()));
        self.stream.write_all(text.as_bytes()).await.map_err(|_| Over)
    }

    /// Says or does something that nobody asked for.
    async fn speak_up(&mut self) -> Result<(), Over> {
        let lie = self.lie();
        match self.world.chance.among(0, 5) {
            0 => Err(Over),
            4 => Err(self.reset()),
            5 => Err(self.close_half().await),
            1 => {
                self.write(self.manners.goodbye).await?;
                Err(Over)
            }
            2 => self.write(&lie).await,
            _ => {
                let part = self.world.chance.among(1, lie.len() as u64 - 2) as usize;
                self.write(&lie[..part]).await
            }
        }
    }

    fn lie(&self) -> String {
        let lies = &self.lies;
        let at = self.world.chance.among(0, lies.len().max(1) as u64 - 1) as usize;
        lies.get(at)
            .map_or(self.manners.garbage[0], String::as_str)
            .to_owned()
    }

    /// All commands have come, and have their answers.
    fn is_idle(&self) -> bool {
        self.input.is_empty() && !self.state.is_writing()
    }

    fn reset(&self) -> Over {
        self.world.note(|| format!("session {} is reset", self.id));
        self.state.reset(&self.world);
        Over
    }

    /// Says no more, and listens on.
    async fn close_half(&mut self) -> Over {
        self.world
            .note(|| format!("session {} is closed by half", self.id));
        let _ = self.stream.shutdown().await;
        self.stall().await
    }

    /// Hears nothing and says nothing until the other end gives up.
    pub(crate) async fn stall(&mut self) -> Over {
        self.world.note(|| format!("session {} stalls", self.id));
        loop {
            self.input.clear();
            if self.more().await.is_err() {
                return Over;
            }
        }
    }

    /// Answers, or fails to. What was said in full is on the ledger.
    pub(crate) async fn answer(&mut self, words: Words<'_>) -> Result<(), Over> {
        let (Words { text, about }, decided) = (words, Instant::now());
        if !self.fault() {
            return self.say(&text, about, decided).await;
        }
        let chance = &self.world.chance;
        match chance.among(0, 10) {
            0 => Err(self.stall().await),
            1 => Err(Over),
            9 => Err(self.reset()),
            10 => Err(self.close_half().await),
            2 => {
                // Without its last CRLF nothing was said.
                let part = chance.among(0, text.len() as u64 - 2) as usize;
                self.write(&text[..part]).await?;
                Err(Over)
            }
            3 => {
                self.write(self.manners.goodbye).await?;
                Err(Over)
            }
            4 => {
                let garbage = chance.one(self.manners.garbage);
                self.write(garbage).await
            }
            // Only behind the last command that came: see above.
            5 if self.is_idle() => {
                let lie = self.lie();
                self.say(&format!("{text}{lie}"), about, decided).await
            }
            6 => {
                let (part, pause) = (
                    chance.among(1, text.len() as u64 - 1) as usize,
                    chance.ms(1, 2000),
                );
                self.write(&text[..part]).await?;
                sleep(pause).await;
                self.say(&text[part..], about, decided).await
            }
            _ => {
                let pause: Duration = chance.ms(1, 6000);
                sleep(pause).await;
                self.say(&text, about, decided).await
            }
        }
    }

    /// Says what was decided `then`.
    async fn say(&mut self, text: &str, about: Option<(&str, bool)>, then: Instant) -> Result<(), Over> {
        self.write(text).await?;
        if let Some((subject, yes)) = about {
            self.world.said(subject, yes);
            if !yes {
                self.world.refuses(subject, then);
            }
        }
        Ok(())
    }

    /// Says something that is about nobody.
    pub(crate) async fn remark(&mut self, text: impl Into<String>) -> Result<(), Over> {
        let text = text.into();
        self.answer(Words { text, about: None }).await
    }
}
