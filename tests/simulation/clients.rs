//! Clients of the listeners, in each protocol: one question or several at once, in pieces, over pipes that hold little.
//! Some close their half once they have asked, some break off in the middle of a word, or reset the connection.
//!
//! Each question has one reply, and nothing comes behind the last. What a reply means is held against the ledger.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf, duplex, split};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use vouch::config::{self, Config};
use vouch::daemon;
use vouch::engine::CachedDirectory;
use vouch::fleet::Fleet;
use vouch::server::handover::Handover;
use vouch::server::{Caller, Listener};
use vouch::settings::directory::Directory;
use vouch::settings::kind::Kind;
use vouch::settings::listener::{Any, AnyLogin};
use vouch::settings::protocol::Protocol;
use vouch::settings::socket::ListenAddress;

use crate::askers::{Answer, Tally, check_answer};
use crate::pipe::{PIPE, State, connection};
use crate::world::World;

/// All that a client waits for: longer than any deadline, as questions on one connection may be asked one after another.
const PATIENCE: Duration = Duration::from_secs(120);

/// The most questions of a client.
const QUESTIONS: u64 = 5;

/// The listeners of a world.
pub(crate) struct Listeners {
    all: Vec<(Protocol, Arc<dyn Listener>)>,
    connections: AtomicU64,
}

/// A listener for each protocol that a directory of this kind can answer. Where there are several, it asks each.
pub(crate) fn configured(kind: Kind, directories: &[Directory]) -> Vec<config::Listener> {
    let protocols = [
        Protocol::Policy,
        Protocol::Socketmap,
        Protocol::Userdb,
        Protocol::Auth,
        Protocol::Saslauthd,
    ];
    let listener = |protocol: Protocol| {
        let socket = ListenAddress::Path("/nowhere".into());
        let names = directories.iter().map(|directory| directory.name.clone());
        let mut listener = config::Listener::new("listener", protocol, socket, names.collect());
        if directories.len() > 1 {
            (listener.any, listener.any_login) = (Any::All, AnyLogin::InOrder);
        }
        // A penalty delays answers, and says no more about them.
        listener.penalty = None;
        listener
    };
    let listeners = protocols.into_iter().map(listener);
    listeners.filter(|listener| listener.can_ask(kind)).collect()
}

impl Listeners {
    pub(crate) fn open(config: &Config, members: &[Arc<CachedDirectory>]) -> Self {
        Self::open_at(config, members, None)
    }

    /// Those of an edge of a fleet.
    pub(crate) fn open_at(
        config: &Config,
        members: &[Arc<CachedDirectory>],
        fleet: Option<&Arc<Fleet>>,
    ) -> Self {
        let handover = Arc::new(Handover::new(1));
        let open = |keys: &config::Listener| {
            let listener = daemon::listener_of(keys, members, &handover, fleet);
            (keys.protocol, listener)
        };
        Self {
            all: config.listener.iter().map(open).collect(),
            connections: AtomicU64::new(1),
        }
    }
}

impl Listeners {
    /// A connection to the first that speaks this protocol.
    pub(crate) fn connect(&self, protocol: Protocol) -> Option<DuplexStream> {
        let (theirs, ours) = duplex(PIPE);
        let (_, listener) = self.all.iter().find(|(spoken, _)| *spoken == protocol)?;
        tokio::spawn(listener.clone().serve(Caller {
            stream: Box::new(theirs),
            connection: self.connections.fetch_add(1, Ordering::Relaxed),
            peer: None,
            draining: CancellationToken::new(),
            deaf: CancellationToken::new(),
        }));
        Some(ours)
    }
}

/// A question on its way.
struct Question {
    name: String,
    /// What the ledger calls it.
    subject: String,
    asked: Instant,
    bytes: Vec<u8>,
}

impl Question {
    fn new(world: &World, protocol: Protocol, id: u64) -> Self {
        let name = world.anybody();
        let password = world.some_password();
        let (subject, bytes) = match protocol {
            Protocol::Policy => {
                let bytes = format!(
                    "request=smtpd_access_policy\nprotocol_state=RCPT\nclient_address=192.0.2.{id}\ninstance=1.{id}\n\
                     recipient={name}\n\n"
                );
                (name.clone(), bytes)
            }
            Protocol::Socketmap => {
                let question = format!("recipients {name}");
                (name.clone(), format!("{}:{question},", question.len()))
            }
            Protocol::Userdb => (name.clone(), format!("USER\t{id}\t{name}\tservice=lmtp\n")),
            Protocol::Auth => {
                let response = STANDARD.encode(format!("\0{name}\0{password}"));
                let bytes = format!("AUTH\t{id}\tPLAIN\tservice=imap\tnologin\tresp={response}\n");
                (format!("{name} {password}"), bytes)
            }
            Protocol::Saslauthd => {
                let strings = [name.as_str(), password, "imap", ""];
                let counted = strings.map(|text| format!("\0{}{text}", text.len() as u8 as char));
                (format!("{name} {password}"), counted.concat())
            }
            Protocol::Login | Protocol::Master => panic!("not simulated: {protocol}"),
        };
        Self {
            name,
            subject,
            asked: Instant::now(),
            bytes: bytes.into_bytes(),
        }
    }
}

/// One client, from its first word to its last.
pub(crate) async fn visit(world: Arc<World>, listeners: Arc<Listeners>, tally: Arc<Tally>) {
    sleep_until(world.moment(0, 20_000)).await;
    let number = world.chance.among(0, listeners.all.len() as u64 - 1) as usize;
    let (protocol, listener) = &listeners.all[number];
    let (protocol, questions) = match protocol {
        Protocol::Saslauthd => (Protocol::Saslauthd, 1),
        other => (*other, world.chance.among(1, QUESTIONS)),
    };
    let room = world.chance.one(&[7, 64, PIPE]);
    let (theirs, ours, state) = connection(&world, room);
    tokio::spawn(listener.clone().serve(Caller {
        stream: Box::new(theirs),
        connection: listeners.connections.fetch_add(1, Ordering::Relaxed),
        peer: None,
        draining: CancellationToken::new(),
        deaf: CancellationToken::new(),
    }));
    let mut client = Client {
        world: world.clone(),
        tally,
        protocol,
        waiting: BTreeMap::new(),
    };
    let mut bytes = match protocol {
        Protocol::Auth => b"VERSION\t1\t2\nCPID\t1\n".to_vec(),
        Protocol::Userdb => b"VERSION\t1\t1\n".to_vec(),
        _ => Vec::new(),
    };
    for id in 1..=questions {
        let question = Question::new(&world, protocol, id);
        world.note(|| format!("? {} at {protocol}, {id}", question.subject));
        client.tally.one_more_asked();
        bytes.extend(&question.bytes);
        client.waiting.insert(id, question);
    }
    let (reader, writer) = split(ours);
    if world.chance.once_in(50) {
        return client.break_off(reader, writer, &bytes, &state).await;
    }
    let leaves_half = world.chance.coin();
    let visit = async { tokio::join!(client.hear(reader), send(&world, writer, &bytes, leaves_half)) };
    match timeout(PATIENCE, visit).await {
        Ok(((), writer)) => drop(writer),
        Err(_) => world.broken(format!("a client at {protocol} waits for ever")),
    }
}

/// Sends in pieces, with pauses between them. The writing half, unless it was closed.
async fn send(
    world: &World,
    mut writer: WriteHalf<DuplexStream>,
    mut bytes: &[u8],
    leaves_half: bool,
) -> Option<WriteHalf<DuplexStream>> {
    while !bytes.is_empty() {
        let most = world.chance.one(&[1, 40, bytes.len()]).min(bytes.len());
        let (piece, rest) = bytes.split_at(most);
        if writer.write_all(piece).await.is_err() {
            // What the end of the conversation was, the other half hears.
            return Some(writer);
        }
        bytes = rest;
        if world.chance.once_in(100) {
            sleep(world.chance.ms(1, 500)).await;
        }
    }
    if leaves_half {
        let _ = writer.shutdown().await;
    }
    Some(writer)
}

struct Client {
    world: Arc<World>,
    tally: Arc<Tally>,
    protocol: Protocol,
    /// Questions without a reply, by their number.
    waiting: BTreeMap<u64, Question>,
}

impl Client {
    /// Sends a part, and is gone.
    async fn break_off(
        self,
        reader: ReadHalf<DuplexStream>,
        mut writer: WriteHalf<DuplexStream>,
        bytes: &[u8],
        state: &State,
    ) {
        let part = self.world.chance.among(0, bytes.len() as u64) as usize;
        let patience = self.world.chance.ms(0, 2000);
        let _ = timeout(patience, writer.write_all(&bytes[..part])).await;
        sleep(self.world.chance.ms(0, 1000)).await;
        if self.world.chance.coin() {
            state.reset(&self.world);
        }
        drop((reader, writer));
        self.tally.many_given_up(self.waiting.len() as u64);
    }

    /// Reads until each question has its reply, and a while longer.
    async fn hear(&mut self, mut reader: ReadHalf<DuplexStream>) {
        let mut input = Vec::new();
        while !self.waiting.is_empty() {
            let mut piece = vec![0; self.world.chance.one(&[1, 4096])];
            let count = reader.read(&mut piece).await.unwrap_or_default();
            if count == 0 {
                return self.is_hung_up_on(&input);
            }
            input.extend(&piece[..count]);
            while let Some(reply) = cut(self.protocol, &mut input) {
                self.take(&reply);
            }
        }
        let mut rest = [0; 1];
        let more = timeout(Duration::from_secs(40), reader.read(&mut rest)).await;
        if matches!(more, Ok(Ok(1..))) || !input.is_empty() {
            let protocol = self.protocol;
            self.world
                .broken(format!("{protocol}: more than the answers was said"));
        }
    }

    /// A process that asks saslauthd hears "later" so; nobody else does.
    fn is_hung_up_on(&mut self, input: &[u8]) {
        let protocol = self.protocol;
        if protocol != Protocol::Saslauthd || !input.is_empty() {
            let left = self.waiting.len();
            self.world.broken(format!(
                "{protocol}: hung up, with {left} questions unanswered and {:?} said",
                input.escape_ascii().to_string()
            ));
        }
        while let Some((_, question)) = self.waiting.pop_first() {
            self.settle(&question, Answer::Later);
        }
    }

    /// One reply: to which question, and what it means there.
    fn take(&mut self, reply: &str) {
        let (id, answer) = match self.protocol {
            Protocol::Policy => (self.first(), meaning(reply, "DUNNO", "550 ", "DEFER_IF_PERMIT ")),
            Protocol::Socketmap => (self.first(), meaning(reply, "OK ", "NOTFOUND ", "TEMP ")),
            Protocol::Saslauthd => (self.first(), meaning(reply, "OK", "NO", "-")),
            _ => {
                let mut fields = reply.split('\t');
                let (word, id) = (
                    fields.next().unwrap_or_default(),
                    fields.next().unwrap_or_default(),
                );
                let temporary = reply.ends_with("\ttemp\tcode=temp_fail");
                let answer = match (self.protocol, word) {
                    (Protocol::Auth, "OK") | (Protocol::Userdb, "USER") => Some(Answer::Yes),
                    (Protocol::Auth, "FAIL") if !temporary => Some(Answer::No),
                    (Protocol::Userdb, "NOTFOUND") => Some(Answer::No),
                    (_, "FAIL") => Some(Answer::Later),
                    // Greetings.
                    (_, "VERSION" | "SPID" | "CUID" | "COOKIE" | "MECH" | "DONE") => return,
                    _ => None,
                };
                (id.parse().ok(), answer)
            }
        };
        let question = id.and_then(|id| self.waiting.remove(&id));
        match question.zip(answer) {
            Some((question, answer)) => self.settle(&question, answer),
            None => self.world.broken(format!(
                "{}: {reply:?} is no reply to a question that waits",
                self.protocol
            )),
        }
    }

    fn first(&self) -> Option<u64> {
        self.waiting.first_key_value().map(|(id, _)| *id)
    }

    fn settle(&self, question: &Question, answer: Answer) {
        let Question {
            name, subject, asked, ..
        } = question;
        self.world
            .note(|| format!("= {subject}: {answer:?} at {}", self.protocol));
        check_answer(&self.world, &self.tally, name, subject, *asked, answer);
    }
}

fn meaning(reply: &str, yes: &str, no: &str, later: &str) -> Option<Answer> {
    let means = [(yes, Answer::Yes), (no, Answer::No), (later, Answer::Later)];
    let mut means = means.into_iter();
    means.find_map(|(start, answer)| reply.starts_with(start).then_some(answer))
}

/// Takes the next whole reply off the input, without what is around it.
pub(crate) fn cut(protocol: Protocol, input: &mut Vec<u8>) -> Option<String> {
    let text = String::from_utf8_lossy(input).into_owned();
    let (end, reply) = match protocol {
        Protocol::Policy => {
            let end = text.find("\n\n")?;
            (end + 2, text[..end].strip_prefix("action=")?.to_owned())
        }
        Protocol::Socketmap => {
            let (count, rest) = text.split_once(':')?;
            let reply = rest.get(..count.parse().ok()?)?.to_owned();
            let end = count.len() + 1 + reply.len();
            (text.as_bytes().get(end) == Some(&b',')).then_some((end + 1, reply))?
        }
        Protocol::Saslauthd => {
            let (count, rest) = input.split_first_chunk()?;
            let count = usize::from(u16::from_be_bytes(*count));
            (
                2 + count,
                String::from_utf8_lossy(rest.get(..count)?).into_owned(),
            )
        }
        _ => {
            let end = text.find('\n')?;
            (end + 1, text[..end].to_owned())
        }
    };
    input.drain(..end);
    Some(reply)
}
