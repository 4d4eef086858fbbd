//! Clients as mail software is: they ask, wait for the answer, and ask again.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufStream};
use tokio::net::UnixStream;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::chance::Chance;
use crate::stage::{DEADLINE, Listeners};
use crate::tally::Tally;
use crate::truth::{Answer, Listener, Question};

/// A question that has no answer so long after its deadline is lost.
const GRACE: Duration = Duration::from_secs(30);

/// So long a client thinks between two questions.
const THINKS: (u64, u64) = (1000, 7000);

/// One client.
pub(crate) struct Client {
    listener: Listener,
    port: u16,
    listeners: Listeners,
    tally: Arc<Tally>,
    chance: Chance,
}

impl Client {
    pub(crate) fn new(number: usize, listeners: Listeners, tally: Arc<Tally>, chance: Chance) -> Self {
        Self {
            listener: [
                Listener::Policy,
                Listener::Auth,
                Listener::Socketmap,
                Listener::Userdb,
                Listener::Policy,
                Listener::Saslauthd,
            ][number % 6],
            port: u16::try_from(number % 60_000).unwrap(),
            listeners,
            tally,
            chance,
        }
    }

    /// Asks until the evening; the last question is waited for.
    pub(crate) async fn ask_until(self, evening: CancellationToken) {
        let mut connection: Option<(BufStream<UnixStream>, u64)> = None;
        loop {
            tokio::select! {
                () = sleep(self.chance.ms(THINKS.0, THINKS.1)) => {}
                () = evening.cancelled() => return,
            }
            // Now and then somebody new comes in its place.
            if self.chance.once_in(50) {
                connection = None;
            }
            let question = Question::any(self.listener, &self.chance);
            self.tally.asked();
            let asked = Instant::now();
            let asking = async {
                let mut used = match connection.take() {
                    Some(used) => used,
                    None => (self.connect().await?, 0),
                };
                used.1 += 1;
                let answer = self.ask(&mut used.0, &question, used.1).await?;
                connection = Some(used).filter(|_| !self.listener.ends());
                io::Result::Ok(answer)
            };
            match timeout(DEADLINE + GRACE, asking).await {
                Ok(Ok(answer)) => self
                    .tally
                    .answered(self.listener, &question, answer, asked.elapsed()),
                Ok(Err(error)) => self.lost(&question, &error.to_string()),
                Err(_) => self.lost(&question, "no answer"),
            }
        }
    }

    fn lost(&self, question: &Question, how: &str) {
        self.tally
            .lost(format!("{} ({:?}): {how}", question.name, self.listener));
    }

    async fn connect(&self) -> io::Result<BufStream<UnixStream>> {
        let mut stream = BufStream::new(self.listeners.connect(self.listener).await?);
        stream.write_all(self.listener.hello()).await?;
        stream.flush().await?;
        if let Some(end) = self.listener.greeting_ends() {
            while !line(&mut stream).await?.starts_with(end) {}
        }
        Ok(stream)
    }

    async fn ask(
        &self,
        stream: &mut BufStream<UnixStream>,
        question: &Question,
        id: u64,
    ) -> io::Result<Answer> {
        stream
            .write_all(&question.bytes(self.listener, id, self.port))
            .await?;
        stream.flush().await?;
        let answer = loop {
            let text = match self.listener {
                Listener::Socketmap => netstring(stream).await?,
                Listener::Saslauthd => string(stream).await?,
                _ => line(stream).await?,
            };
            if let Some(answer) = self.listener.answer(id, &text) {
                break answer;
            }
        };
        if self.listener == Listener::Policy {
            line(stream).await?;
        }
        Ok(answer)
    }
}

/// A netstring.
async fn netstring(stream: &mut BufStream<UnixStream>) -> io::Result<String> {
    let mut count = Vec::new();
    stream.read_until(b':', &mut count).await?;
    count.pop();
    let count = str::from_utf8(&count)
        .ok()
        .and_then(|count| count.parse::<usize>().ok());
    let mut text = vec![0; count.ok_or_else(|| io::Error::other("hung up on"))? + 1];
    stream.read_exact(&mut text).await?;
    text.pop();
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// A counted string; empty where the listener hangs up instead, which is its word for "later".
async fn string(stream: &mut BufStream<UnixStream>) -> io::Result<String> {
    let count = match stream.read_u16().await {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(String::new()),
        count => count?,
    };
    let mut text = vec![0; usize::from(count)];
    stream.read_exact(&mut text).await?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// A line without its end.
async fn line(stream: &mut BufStream<UnixStream>) -> io::Result<String> {
    let mut line = String::new();
    if stream.read_line(&mut line).await? == 0 {
        return Err(io::Error::other("hung up on"));
    }
    line.pop();
    Ok(line)
}
