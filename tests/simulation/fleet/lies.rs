//! What a store says that lies or babbles.

use super::book::{RETENTIONS, bulk, integer};
use super::store::Store;

impl Store {
    /// Says something else than it should, or does not do what it says.
    pub(super) fn lie(&self, verb: &str, words: &[&[u8]]) -> Vec<u8> {
        match verb {
            "SET" => "+OK\r\n".into(),
            "EVAL" | "PFADD" | "PEXPIRE" => integer(1),
            "SETRANGE" => integer(256),
            "PFCOUNT" => integer(self.chance.one(&[0, 1, 5, 1000, i64::MAX])),
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
    pub(super) fn babble(&self) -> Vec<u8> {
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
