//! Clients as Postfix is: they ask, wait for the answer, and ask again.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufStream};
use tokio::net::UnixStream;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::site::{MOVERS, STEADY, Site, USERS, mover};
use super::tally::Tally;
use crate::chance::Chance;
use crate::stage::DEADLINE;
use crate::truth::{Answer, Listener};

/// A question that has no answer so long after its deadline is lost.
const GRACE: Duration = Duration::from_secs(30);

/// So many milliseconds a client thinks between two questions, at most.
const THINKS: u64 = 50;

/// One client, of one edge.
pub(super) struct Client {
    number: usize,
    site: Arc<Site>,
    tally: Arc<Tally>,
    chance: Chance,
}

/// What is asked, and which answer is the truth.
enum Question {
    Steady(String, Answer),
    Moving(u64),
}

impl Client {
    pub(super) fn new(number: usize, site: Arc<Site>, tally: Arc<Tally>, chance: Chance) -> Self {
        Self {
            number,
            site,
            tally,
            chance,
        }
    }

    fn question(&self) -> Question {
        let number = self.chance.among(0, USERS - 1);
        match self.chance.among(0, 99) {
            0..45 => Question::Steady(format!("user{number}@{STEADY}"), Answer::Yes),
            45..75 => Question::Steady(format!("nobody{number}@{STEADY}"), Answer::No),
            _ => Question::Moving(number % MOVERS),
        }
    }

    /// Asks until the evening; the last question is waited for.
    pub(super) async fn ask_until(self, evening: CancellationToken) {
        let edge = &self.site.edges[self.number % self.site.edges.len()];
        let (listener, mut stream) = (edge.listener(), None);
        while !evening.is_cancelled() {
            sleep(self.chance.ms(0, THINKS)).await;
            let question = self.question();
            let name = match &question {
                Question::Steady(name, _) => name.clone(),
                Question::Moving(number) => mover(*number),
            };
            let asked = Instant::now();
            let asking = async {
                let mut connected = match stream.take() {
                    Some(connected) => connected,
                    None => BufStream::new(UnixStream::connect(&listener).await?),
                };
                let answer = ask(&mut connected, &name, self.number).await?;
                stream = Some(connected);
                io::Result::Ok(answer)
            };
            match timeout(DEADLINE + GRACE, asking).await {
                Ok(Ok(answer)) => self.judge(&question, &name, answer, asked.elapsed()),
                Ok(Err(error)) => self.tally.lost(format!("{name}: {error}")),
                Err(_) => self.tally.lost(format!("{name}: no answer")),
            }
        }
    }

    fn judge(&self, question: &Question, name: &str, answer: Answer, took: Duration) {
        let is_wrong = match question {
            Question::Steady(_, truth) => answer != *truth,
            Question::Moving(number) => self.site.is_outdated(*number, answer, took),
        };
        self.tally.answered(answer == Answer::Later, took);
        if is_wrong {
            let edge = self.number % self.site.edges.len();
            self.tally
                .wrong(format!("{answer:?} about {name} at edge {edge} after {took:?}"));
        }
    }
}

async fn ask(stream: &mut BufStream<UnixStream>, name: &str, number: usize) -> io::Result<Answer> {
    let request = format!(
        "request=smtpd_access_policy\nprotocol_state=RCPT\nclient_address=127.0.0.1\nclient_port={number}\n\
         recipient={name}\ninstance=58d9.{number}\n\n"
    );
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    let answer = Listener::Policy.answer(0, line.trim_end());
    stream.read_line(&mut line).await?;
    answer.ok_or_else(|| io::Error::other(format!("{line:?} is no answer")))
}
