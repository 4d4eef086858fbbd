//! A store in memory: what it has, for how long, and what it says to each command.
//!
//! Its script is not run: what it does is done here, and `tests/fleet` holds the script itself against a real store.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::weather::{Event, Mood, Weather};
use crate::chance::Chance;
use crate::world::World;

/// How long a value may be kept, by the low half of its fourth byte.
const RETENTIONS: [u64; 16] = [
    5, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14_400, 43_200, 86_400, 259_200, 604_800, 2_592_000,
];

/// A store that all edges share.
pub(crate) struct Store {
    pub(crate) weather: Weather,
    pub(crate) chance: Chance,
    /// The remote as each edge meets it, which takes down what is wrong.
    worlds: Vec<Arc<World>>,
    /// How far ahead the clock of each edge is, in seconds.
    clocks: Vec<i64>,
    book: Mutex<Book>,
    pub(crate) connections: AtomicUsize,
    pub(crate) noes: AtomicU64,
    /// Values of a yes that were kept against a no.
    pub(crate) kept_out: AtomicU64,
}

#[derive(Default)]
struct Book {
    values: BTreeMap<Vec<u8>, Value>,
    copy: BTreeMap<Vec<u8>, Value>,
    /// Events that were.
    happened: usize,
}

#[derive(Clone)]
struct Value {
    bytes: Vec<u8>,
    until: Instant,
    /// Who wrote it.
    edge: usize,
}

impl Value {
    /// Whether it is a yes or a no of an edge; `None` where it is neither.
    fn verdict(&self) -> Option<bool> {
        match *self.bytes.first().filter(|_| self.bytes.len() == 12)? {
            0x11 | 0x14 => Some(true),
            0x12 | 0x13 => Some(false),
            _ => None,
        }
    }

    fn stamp(&self) -> i64 {
        stamp(&self.bytes)
    }

    fn left(&self) -> u64 {
        (self.until - Instant::now()).as_millis() as u64
    }

    /// How old it is by the time for which it is still kept, in milliseconds.
    fn age(&self) -> u64 {
        let kept = RETENTIONS[usize::from(self.bytes[3] & 15)] * 1000;
        kept.saturating_sub(self.left())
    }
}

/// When the probe of a value began, in seconds by the clock of the edge that wrote it.
fn stamp(value: &[u8]) -> i64 {
    let stamp = value[4..8].try_into().unwrap_or_default();
    i64::from(u32::from_be_bytes(stamp))
}

impl Store {
    pub(crate) fn new(weather: Weather, chance: Chance, worlds: &[Arc<World>], clocks: Vec<i64>) -> Self {
        Self {
            weather,
            chance,
            worlds: worlds.to_vec(),
            clocks,
            book: Mutex::default(),
            connections: AtomicUsize::new(0),
            noes: AtomicU64::new(0),
            kept_out: AtomicU64::new(0),
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((at, event)) = self.weather.events.get(book.happened)
            && *at <= Instant::now()
        {
            book.happened += 1;
            match event {
                Event::Flush => book.values.clear(),
                Event::Copy => book.copy = book.values.clone(),
                Event::Restore => book.values = book.copy.clone(),
            }
        }
        let now = Instant::now();
        book.values.retain(|_, value| value.until > now);
        book
    }

    /// What it says to a command of an edge.
    pub(crate) fn answer(&self, edge: usize, mood: Mood, words: &[Vec<u8>]) -> Vec<u8> {
        let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        let verb = String::from_utf8_lossy(words[0]).to_ascii_uppercase();
        let (writes, hello) = (matches!(&*verb, "SET" | "EVAL"), verb == "HELLO");
        let refusal = match mood {
            Mood::Full if writes => "-OOM command not allowed when used memory > 'maxmemory'.\r\n",
            Mood::Replica if writes => "-READONLY You can't write against a read only replica.\r\n",
            Mood::NoRight if !hello => "-NOPERM this user has no permissions to run this command\r\n",
            Mood::Loads if !hello => "-LOADING Redis is loading the dataset in memory\r\n",
            Mood::Babbles if self.chance.coin() => return self.babble(),
            Mood::Lies if self.chance.coin() => return self.lie(&verb, &words),
            _ => return self.answer_well(edge, &verb, &words),
        };
        refusal.into()
    }

    fn answer_well(&self, edge: usize, verb: &str, words: &[&[u8]]) -> Vec<u8> {
        match (verb, words) {
            ("HELLO", _) => "%3\r\n+server\r\n+redis\r\n+mode\r\n+standalone\r\n+role\r\n+master\r\n".into(),
            ("PING", [_]) => "+PONG\r\n".into(),
            ("GET", [_, name]) => match self.book().values.get(*name) {
                Some(value) => bulk(&value.bytes),
                None => "_\r\n".into(),
            },
            ("PTTL", [_, name]) => match self.book().values.get(*name) {
                Some(value) => integer(value.left() as i64),
                None => integer(-2),
            },
            ("SET", [_, name, value, b"PX", time]) => {
                self.put(edge, name, value, number(time));
                "+OK\r\n".into()
            }
            ("SET", [_, name, value, b"NX", b"PX", time]) => {
                if self.book().values.contains_key(*name) {
                    return "_\r\n".into();
                }
                self.put(edge, name, value, number(time));
                "+OK\r\n".into()
            }
            // By the number and kind of its arguments: that of a no, which gives way to a younger yes.
            ("EVAL", [_, _, b"1", name, value, time, age]) if value.len() == 12 && is_number(time) => {
                integer(i64::from(self.put_unless(
                    edge,
                    name,
                    value,
                    number(time),
                    number(age),
                )))
            }
            _ => format!("-ERR unknown command '{verb}'\r\n").into(),
        }
    }

    /// Does what the script for a no does.
    fn put_unless(&self, edge: usize, name: &[u8], value: &[u8], time: u64, age: u64) -> bool {
        let present = self.book().values.get(name).cloned();
        let yes = present.filter(|present| present.verdict() == Some(true));
        if yes.is_some_and(|yes| yes.age() <= age || yes.stamp() >= stamp(value)) {
            self.kept_out.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        self.put(edge, name, value, time);
        true
    }

    fn put(&self, edge: usize, name: &[u8], bytes: &[u8], time: u64) {
        let value = Value {
            bytes: bytes.to_vec(),
            until: Instant::now() + Duration::from_millis(time),
            edge,
        };
        let mut book = self.book();
        if value.verdict() == Some(false) {
            self.noes.fetch_add(1, Ordering::Relaxed);
            // By the clocks of those who wrote them, set right: they tell whole seconds.
            let began = |value: &Value| value.stamp() - self.clocks[value.edge];
            let replaced = book.values.get(name);
            let yes = replaced.filter(|replaced| replaced.verdict() == Some(true));
            if let Some(yes) = yes.filter(|yes| began(yes) > began(&value) + 1) {
                let (yes, no) = (began(yes), began(&value));
                self.worlds[edge].broken(format!(
                    "a no of edge {edge} that was asked for at {no} s takes the place of a yes from {yes} s"
                ));
            }
        }
        book.values.insert(name.to_vec(), value);
    }

    /// Says something else than it should, or does not do what it says.
    fn lie(&self, verb: &str, words: &[&[u8]]) -> Vec<u8> {
        match verb {
            "SET" => "+OK\r\n".into(),
            "EVAL" => integer(1),
            "GET" => self.altered(words[1]),
            "PTTL" if !self.weather.is_punctual => {
                let times = [-2, -1, 0, 1, i64::MAX, self.chance.among(0, 3_000_000_000) as i64];
                let whole = RETENTIONS.map(|seconds| seconds as i64 * 1000);
                integer(self.chance.one(&[&times[..], &whole[..]].concat()))
            }
            _ => "_\r\n".into(),
        }
    }

    fn altered(&self, name: &[u8]) -> Vec<u8> {
        let book = self.book();
        let value = book.values.get(name).map(|value| value.bytes.clone());
        let mut value = value.unwrap_or_else(|| self.random(12));
        match self.chance.among(0, 5) {
            // Yes for no, no for yes.
            0 | 1 if !value.is_empty() => value[0] ^= 3,
            2 if !value.is_empty() => {
                let at = self.chance.among(0, value.len() as u64 - 1) as usize;
                value[at] ^= 1 << self.chance.among(0, 7);
            }
            // What is true of another.
            3 => {
                let at = self.chance.among(0, book.values.len() as u64) as usize;
                value = book
                    .values
                    .values()
                    .nth(at)
                    .map_or(value, |other| other.bytes.clone());
            }
            4 => value = self.random(self.chance.among(0, 40)),
            _ => return "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n".into(),
        }
        bulk(&value)
    }

    fn random(&self, many: u64) -> Vec<u8> {
        (0..many).map(|_| self.chance.among(0, 255) as u8).collect()
    }

    /// Anything that might come over a wire.
    fn babble(&self) -> Vec<u8> {
        let texts = [
            "\r\n", "*-1\r\n", "*2147483647\r\n", "$99999999999\r\n", "$-1\r\n", "%1\r\n_\r\n_\r\n",
            ">2\r\n+message\r\n+x\r\n", ":nothing\r\n", "+OK\r\n+OK\r\n", "HTTP/1.1 400 Bad Request\r\n\r\n",
        ];
        match self.chance.among(0, 12) {
            0 => self.random(100),
            1 => "*1\r\n".repeat(5000).into(),
            2 => vec![b'x'; 50_000],
            _ => self.chance.one(&texts).into(),
        }
    }
}

fn is_number(text: &[u8]) -> bool {
    text.iter().all(u8::is_ascii_digit)
}

fn number(text: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(text);
    text.parse().unwrap_or_else(|_| panic!("no number: {text:?}"))
}

fn integer(number: i64) -> Vec<u8> {
    format!(":{number}\r\n").into()
}

fn bulk(bytes: &[u8]) -> Vec<u8> {
    [format!("${}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}
