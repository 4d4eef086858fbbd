//! The protocol of a store: its commands are read, and its connections served.

use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, sleep_until};
use vouch::session::connect::{Dial, Dialled};
use vouch::session::{Error, Kind};

use super::store::Store;
use super::weather::Mood;
use crate::pipe::PIPE;

/// What is said to those who have subscribed.
const MESSAGE: &[u8] = b">3\r\n$7\r\nmessage\r\n$13\r\nvouch1:purges\r\n$0\r\n\r\n";

/// The way of an edge to a store.
pub(crate) struct Way {
    pub(crate) store: Arc<Store>,
    pub(crate) edge: usize,
}

impl Dial for Way {
    fn dial<'a>(
        &'a self,
        peer: &'a Arc<str>,
        deadline: Instant,
    ) -> Pin<Box<dyn Future<Output = Result<Dialled, Error>> + Send + 'a>> {
        Box::pin(async move {
            match self.store.weather.now(self.edge).0 {
                Mood::Ends => return Err(Error::new(Kind::Unreachable, peer, "connect", "refused")),
                Mood::Deaf => {
                    sleep_until(deadline).await;
                    return Err(Error::new(Kind::Timeout, peer, "connect", "no answer in time"));
                }
                _ => {}
            }
            let (ours, theirs) = duplex(PIPE);
            tokio::spawn(serve(self.store.clone(), self.edge, theirs));
            Ok(Dialled {
                stream: Box::new(ours),
                reached: None,
            })
        })
    }
}

/// Answers what comes, in its order, until the other end is gone or the store ends it.
async fn serve(store: Arc<Store>, edge: usize, mut stream: DuplexStream) {
    let _here = Here::new(&store);
    let (mut input, mut published, mut hears) = (BytesMut::new(), store.published.subscribe(), false);
    loop {
        let (mood, until) = store.weather.now(edge);
        let change = async {
            match until {
                Some(until) => sleep_until(until).await,
                None => pending().await,
            }
        };
        match mood {
            Mood::Ends => return,
            // It reads nothing, and notices nobody who leaves.
            Mood::Hangs => {
                change.await;
                continue;
            }
            _ => {}
        }
        tokio::select! {
            biased;
            () = change => continue,
            Ok(()) = published.changed(), if hears => {
                let _ = say(&store, &mut stream, MESSAGE).await;
                continue;
            }
            read = stream.read_buf(&mut input) => if !matches!(read, Ok(1..)) {
                return;
            }
        }
        if let Mood::Far(away) = mood {
            sleep(away).await;
        }
        while let Some((words, length)) = command(&input) {
            input.advance(length);
            let reply = store.answer(edge, mood, &words);
            hears |= reply.starts_with(b">3\r\n$9\r\nsubscribe\r\n");
            // What has come is done even if nobody waits for the reply any more.
            let _ = say(&store, &mut stream, &reply).await;
        }
    }
}

/// Says it at once, or in two parts.
async fn say(store: &Store, stream: &mut DuplexStream, reply: &[u8]) -> std::io::Result<()> {
    if !store.chance.once_in(20) {
        return stream.write_all(reply).await;
    }
    let part = store.chance.among(0, reply.len() as u64) as usize;
    stream.write_all(&reply[..part]).await?;
    yield_now().await;
    stream.write_all(&reply[part..]).await
}

/// A connection that counts until its end.
struct Here(Arc<Store>);

impl Here {
    fn new(store: &Arc<Store>) -> Self {
        store.connections.fetch_add(1, Ordering::Relaxed);
        Self(store.clone())
    }
}

impl Drop for Here {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The words of the first command, and how long it was; `None` where it is not all there.
fn command(input: &[u8]) -> Option<(Vec<Vec<u8>>, usize)> {
    let mut at = 0;
    let many = number(input, &mut at, b'*')?;
    let mut words = Vec::with_capacity(many);
    for _ in 0..many {
        let length = number(input, &mut at, b'$')?;
        words.push(input.get(at..at + length)?.to_vec());
        at += length + 2;
    }
    (at <= input.len()).then_some((words, at))
}

/// The number in the line at that place, behind its sign.
fn number(input: &[u8], at: &mut usize, sign: u8) -> Option<usize> {
    let line = input.get(*at..)?;
    let end = line.windows(2).position(|two| two == b"\r\n")?;
    assert_eq!(
        line[0],
        sign,
        "no command: {:?}",
        line[..end].escape_ascii().to_string()
    );
    *at += end + 2;
    let text = std::str::from_utf8(&line[1..end]).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("no number: {text:?}")))
}

#[test]
fn a_command_is_read_when_it_is_whole() {
    let text = b"*2\r\n$3\r\nGET\r\n$4\r\na\r\nb\r\n*1\r\n";
    let whole = text.len() - 4;
    for end in 0..whole {
        assert_eq!(command(&text[..end]), None, "{end}");
    }
    let words = vec![b"GET".to_vec(), b"a\r\nb".to_vec()];
    assert_eq!(command(text), Some((words, whole)));
}
