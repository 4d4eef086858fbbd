//! Clients as nobody should be. Each comes, is rude in one way, goes, and comes again.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::{sleep, timeout};

use crate::chance::Chance;
use crate::stage::Listeners;
use crate::tally::{Tally, one_more};
use crate::truth::{Listener, Question};

/// Questions that somebody sends who reads no answer: more than the daemon's and the kernel's buffers hold.
const UNREAD: u64 = 1000;

/// The same where the daemon works at many questions of one connection at once: they are not to fill the queue of a
/// directory, which is there for everybody.
const UNREAD_AT_ONCE: u64 = 20;

/// One client.
pub(crate) struct Client {
    listeners: Listeners,
    tally: Arc<Tally>,
    chance: Chance,
}

impl Client {
    pub(crate) fn new(listeners: Listeners, tally: Arc<Tally>, chance: Chance) -> Self {
        Self {
            listeners,
            tally,
            chance,
        }
    }

    /// Never ends.
    pub(crate) async fn bother(self) {
        sleep(self.chance.ms(0, 5000)).await;
        loop {
            one_more(&self.tally.rude);
            // That it is hung up on is what it asks for.
            let _ = self.come().await;
            sleep(self.chance.ms(500, 5000)).await;
        }
    }

    async fn come(&self) -> io::Result<()> {
        let listener = self.chance.one(&Listener::ALL).0;
        let mut stream = self.listeners.connect(listener).await?;
        match self.chance.among(0, 15) {
            0 => self.never_reads(&mut stream, listener).await,
            1..=3 => self.writes_slowly(&mut stream, listener).await,
            4..=7 => self.vanishes(&mut stream, listener).await,
            8..=10 => self.talks_garbage(&mut stream).await,
            11 => self.never_ends_its_line(&mut stream).await,
            12..=13 => self.says_nothing().await,
            _ => self.closes_half(&mut stream, listener).await,
        }
    }

    fn question(&self, listener: Listener, id: u64) -> Vec<u8> {
        Question::any(listener, &self.chance).bytes(listener, id, 60_001)
    }

    async fn never_reads(&self, stream: &mut UnixStream, listener: Listener) -> io::Result<()> {
        stream.write_all(listener.hello()).await?;
        let count = if listener.in_turn() {
            UNREAD
        } else {
            UNREAD_AT_ONCE
        };
        for id in 1..=count {
            let question = self.question(listener, id);
            match timeout(Duration::from_secs(5), stream.write_all(&question)).await {
                Ok(sent) => sent?,
                Err(_) => break,
            }
        }
        sleep(self.chance.ms(5000, 40_000)).await;
        Ok(())
    }

    async fn writes_slowly(&self, stream: &mut UnixStream, listener: Listener) -> io::Result<()> {
        let bytes = [listener.hello(), &self.question(listener, 1)].concat();
        for byte in bytes.iter().take(self.chance.among(5, 40) as usize) {
            stream.write_all(&[*byte]).await?;
            sleep(Duration::from_secs(1)).await;
        }
        Ok(())
    }

    async fn vanishes(&self, stream: &mut UnixStream, listener: Listener) -> io::Result<()> {
        let bytes = [listener.hello(), &self.question(listener, 1)].concat();
        let most = self.chance.among(1, bytes.len() as u64) as usize;
        let sent = if self.chance.coin() { bytes.len() } else { most };
        stream.write_all(&bytes[..sent]).await?;
        sleep(self.chance.ms(0, 50)).await;
        Ok(())
    }

    async fn talks_garbage(&self, stream: &mut UnixStream) -> io::Result<()> {
        let length = self.chance.among(1, 8000);
        let garbage: Vec<u8> = (0..length).map(|_| self.chance.among(0, 255) as u8).collect();
        stream.write_all(&garbage).await?;
        self.listens(stream).await
    }

    async fn never_ends_its_line(&self, stream: &mut UnixStream) -> io::Result<()> {
        for _ in 0..64 {
            stream.write_all(&[b'a'; 4096]).await?;
        }
        self.listens(stream).await
    }

    async fn says_nothing(&self) -> io::Result<()> {
        sleep(self.chance.ms(2000, 20_000)).await;
        Ok(())
    }

    async fn closes_half(&self, stream: &mut UnixStream, listener: Listener) -> io::Result<()> {
        stream.write_all(listener.hello()).await?;
        stream.write_all(&self.question(listener, 1)).await?;
        stream.shutdown().await?;
        self.listens(stream).await
    }

    /// For a while, or to the end.
    async fn listens(&self, stream: &mut UnixStream) -> io::Result<()> {
        let mut heard = Vec::new();
        match timeout(self.chance.ms(100, 5000), stream.read_to_end(&mut heard)).await {
            Ok(read) => read.map(drop),
            Err(_) => Ok(()),
        }
    }
}
