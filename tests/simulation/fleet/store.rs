//! A store in memory: what it says to each command, in each mood.
//!
//! Its scripts are not run: what they do is done here, and `tests/fleet` holds the scripts themselves against a real store.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio::time::Instant;

use super::book::{self, Value, Values, bulk, integer, is_number, number, stamp};
use super::weather::{Event, Mood, Weather};
use crate::chance::Chance;
use crate::world::World;

/// A store that all edges share.
pub(crate) struct Store {
    pub(crate) weather: Arc<Weather>,
    pub(crate) chance: Chance,
    /// The remote as each edge meets it, which takes down what is wrong.
    worlds: Vec<Arc<World>>,
    /// How far ahead the clock of each edge is, in seconds.
    clocks: Vec<i64>,
    book: Mutex<Book>,
    pub(crate) connections: AtomicUsize,
    /// Something was published.
    pub(super) published: watch::Sender<()>,
    pub(crate) noes: AtomicU64,
    /// Values of a yes that were kept against a no.
    pub(crate) kept_out: AtomicU64,
}

#[derive(Default)]
pub(super) struct Book {
    pub(super) values: Values,
    copy: Values,
    /// Events that were.
    happened: usize,
}

impl Store {
    pub(crate) fn new(
        weather: Arc<Weather>,
        chance: Chance,
        worlds: &[Arc<World>],
        clocks: Vec<i64>,
    ) -> Self {
        Self {
            weather,
            chance,
            worlds: worlds.to_vec(),
            clocks,
            book: Mutex::default(),
            connections: AtomicUsize::new(0),
            published: watch::Sender::default(),
            noes: AtomicU64::new(0),
            kept_out: AtomicU64::new(0),
        }
    }

    pub(super) fn book(&self) -> MutexGuard<'_, Book> {
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
        book.values
            .retain(|_, value| value.until.is_none_or(|until| until > now));
        book
    }

    /// What it says to a command of an edge.
    pub(crate) fn answer(&self, edge: usize, mood: Mood, words: &[Vec<u8>]) -> Vec<u8> {
        let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        let verb = String::from_utf8_lossy(words[0]).to_ascii_uppercase();
        let (hello, grows) = (
            verb == "HELLO",
            matches!(&*verb, "SET" | "EVAL" | "PFADD" | "SETRANGE"),
        );
        let writes = grows || verb == "PEXPIRE";
        let refusal = match mood {
            Mood::Babbles if self.chance.coin() => return self.babble(),
            // As the command is known, and whoever gives it.
            _ if words.len() == 1 && !hello => "-ERR wrong number of arguments for this command\r\n",
            Mood::Lies if self.chance.coin() => return self.lie(&verb, &words),
            Mood::Replica if hello => return introduction("replica"),
            _ if hello => return introduction("master"),
            Mood::Full if grows => "-OOM command not allowed when used memory > 'maxmemory'.\r\n",
            Mood::Replica if writes => "-READONLY You can't write against a read only replica.\r\n",
            Mood::NoRight => {
                let verb = verb.to_ascii_lowercase();
                return format!("-NOPERM this user has no permissions to run the '{verb}' command\r\n")
                    .into();
            }
            Mood::Loads => "-LOADING Redis is loading the dataset in memory\r\n",
            _ => return self.answer_well(edge, &verb, &words),
        };
        refusal.into()
    }

    fn answer_well(&self, edge: usize, verb: &str, words: &[&[u8]]) -> Vec<u8> {
        match (verb, words) {
            ("SET", [_, name, value, b"PX", time]) => {
                self.put(edge, name, value, number(time));
                "+OK\r\n".into()
            }
            // By the number and kind of its arguments: that of a no, which gives way to a younger yes.
            ("EVAL", [_, _, b"1", name, value, time, age])
                if value.len() == 12 && is_number(time) && is_number(age) =>
            {
                integer(i64::from(self.put_unless(
                    edge,
                    name,
                    value,
                    number(time),
                    number(age),
                )))
            }
            ("SUBSCRIBE", [_, channel]) => {
                [b">3\r\n$9\r\nsubscribe\r\n", &*bulk(channel), b":1\r\n"].concat()
            }
            ("PUBLISH", [_, _, _]) => {
                self.published.send_replace(());
                integer(1)
            }
            _ => book::answer(&mut self.book().values, edge, verb, words),
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
        let value = Value::new(bytes, time, edge);
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
}

fn introduction(role: &str) -> Vec<u8> {
    let length = role.len();
    let about = "%7\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$6\r\n7.0.15\r\n$5\r\nproto\r\n:3\r\n$2\r\nid\r\n:3\r\n\
                 $4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n";
    format!("{about}${length}\r\n{role}\r\n$7\r\nmodules\r\n*0\r\n").into()
}
