//! What a store has, for how long, and what its commands do to that; in the words of Redis 7.0.15.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

/// How long a value may be kept, by the low half of its fourth byte.
pub(super) const RETENTIONS: [u64; 16] = [
    5, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14_400, 43_200, 86_400, 259_200, 604_800, 2_592_000,
];

const NO_COUNT: &str = "-WRONGTYPE Key is not a valid HyperLogLog string value.\r\n";

/// Names and what is under them.
pub(super) type Values = BTreeMap<Vec<u8>, Value>;

#[derive(Clone)]
pub(super) struct Value {
    pub(super) bytes: Vec<u8>,
    /// Of a count, what was put in: it counts exactly, as a HyperLogLog does as long as there are few.
    marks: Option<BTreeSet<Vec<u8>>>,
    /// For ever, where it is `None`.
    pub(super) until: Option<Instant>,
    /// The edge that wrote it.
    pub(super) edge: usize,
}

impl Value {
    pub(super) fn new(bytes: &[u8], time: u64, edge: usize) -> Self {
        Self {
            bytes: bytes.to_vec(),
            marks: None,
            until: Some(Instant::now() + Duration::from_millis(time)),
            edge,
        }
    }

    /// Whether it is a yes or a no of an edge; `None` where it is neither.
    pub(super) fn verdict(&self) -> Option<bool> {
        match *self.bytes.first().filter(|_| self.bytes.len() == 12)? {
            0x11 | 0x14 => Some(true),
            0x12 | 0x13 => Some(false),
            _ => None,
        }
    }

    pub(super) fn stamp(&self) -> i64 {
        stamp(&self.bytes)
    }

    /// In milliseconds; -1 where it is kept for ever.
    pub(super) fn left(&self) -> i64 {
        self.until
            .map_or(-1, |until| (until - Instant::now()).as_millis() as i64)
    }

    /// How old it is by the time for which it is still kept, in milliseconds.
    pub(super) fn age(&self) -> u64 {
        let kept = RETENTIONS[usize::from(self.bytes[3] & 15)] * 1000;
        kept.saturating_sub(self.left() as u64)
    }
}

/// When the probe of a value began, in seconds by the clock of the edge that wrote it.
pub(super) fn stamp(value: &[u8]) -> i64 {
    let stamp = value[4..8].try_into().unwrap_or_default();
    i64::from(u32::from_be_bytes(stamp))
}

/// What all but writers of findings do.
pub(super) fn answer(values: &mut Values, edge: usize, verb: &str, words: &[&[u8]]) -> Vec<u8> {
    match (verb, words) {
        ("PING", [_]) => "+PONG\r\n".into(),
        ("GET", [_, name]) => values
            .get(*name)
            .map_or_else(|| "_\r\n".into(), |value| bulk(&value.bytes)),
        ("PTTL", [_, name]) => integer(values.get(*name).map_or(-2, Value::left)),
        ("PEXPIRE", [_, name, time]) => match values.get_mut(*name) {
            Some(value) => {
                value.until = Some(Instant::now() + Duration::from_millis(number(time)));
                integer(1)
            }
            None => integer(0),
        },
        ("SET", [_, name, value, b"NX", b"PX", time]) => {
            if values.contains_key(*name) {
                return "_\r\n".into();
            }
            values.insert(name.to_vec(), Value::new(value, number(time), edge));
            "+OK\r\n".into()
        }
        ("SETRANGE", [_, name, from, part]) => put_part(values, edge, name, number(from) as usize, part),
        ("PFADD", [_, name, mark]) => put_mark(values, edge, name, mark),
        ("PFCOUNT", [_, names @ ..]) => count(values, names),
        // By the kind of its arguments: that of the record of purges, which is changed if it still ends so.
        ("EVAL", [_, _, b"1", name, end, record, time]) if is_number(time) => {
            let known = values.get(*name).map_or(&[][..], |value| &value.bytes);
            if known.get(known.len().saturating_sub(16)..) != Some(*end) {
                return integer(0);
            }
            values.insert(name.to_vec(), Value::new(record, number(time), edge));
            integer(1)
        }
        _ => unknown(verb, words),
    }
}

/// An argument is shown as it is, up to its first zero, and in one line.
fn unknown(verb: &str, words: &[&[u8]]) -> Vec<u8> {
    let mut reply = format!("-ERR unknown command '{verb}', with args beginning with: ").into_bytes();
    for word in words.iter().skip(1) {
        let shown = word.iter().take_while(|byte| **byte != 0);
        let shown = shown.map(|byte| if b"\r\n".contains(byte) { b' ' } else { *byte });
        reply.push(b'\'');
        reply.extend(shown);
        reply.extend(b"' ");
    }
    reply.extend(b"\r\n");
    reply
}

fn put_part(values: &mut Values, edge: usize, name: &[u8], from: usize, part: &[u8]) -> Vec<u8> {
    if part.is_empty() {
        return integer(values.get(name).map_or(0, |value| value.bytes.len() as i64));
    }
    let value = values.entry(name.to_vec()).or_insert_with(|| blank(edge));
    let length = value.bytes.len().max(from + part.len());
    value.bytes.resize(length, 0);
    value.bytes[from..from + part.len()].copy_from_slice(part);
    integer(length as i64)
}

fn put_mark(values: &mut Values, edge: usize, name: &[u8], mark: &[u8]) -> Vec<u8> {
    let value = values.entry(name.to_vec()).or_insert_with(|| Value {
        bytes: b"HYLL".to_vec(),
        marks: Some(BTreeSet::new()),
        ..blank(edge)
    });
    match &mut value.marks {
        Some(marks) => integer(i64::from(marks.insert(mark.to_vec()))),
        None => NO_COUNT.into(),
    }
}

fn count(values: &Values, names: &[&[u8]]) -> Vec<u8> {
    let mut all = BTreeSet::new();
    for value in names.iter().filter_map(|name| values.get(*name)) {
        match &value.marks {
            Some(marks) => all.extend(marks),
            None => return NO_COUNT.into(),
        }
    }
    integer(all.len() as i64)
}

fn blank(edge: usize) -> Value {
    Value {
        bytes: Vec::new(),
        marks: None,
        until: None,
        edge,
    }
}

pub(super) fn is_number(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(u8::is_ascii_digit)
}

pub(super) fn number(text: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(text);
    text.parse().unwrap_or_else(|_| panic!("no number: {text:?}"))
}

pub(super) fn integer(number: i64) -> Vec<u8> {
    format!(":{number}\r\n").into()
}

pub(super) fn bulk(bytes: &[u8]) -> Vec<u8> {
    [format!("${}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}

/// As Redis 7.0.15 was seen to answer, in this order.
#[tokio::test(start_paused = true)]
async fn commands_are_answered_as_redis_answers_them() {
    let mut values = Values::new();
    let mut say = |line: &str| {
        let words: Vec<&[u8]> = line
            .split(' ')
            .map(|word| word.trim_matches('"').as_bytes())
            .collect();
        let verb = line.split(' ').next().unwrap_or_default();
        let reply = answer(&mut values, 0, verb, &words);
        reply.escape_ascii().to_string().replace("\\r\\n", "|")
    };
    for (line, reply) in [
        ("GET x", "_|"),
        ("PTTL x", ":-2|"),
        ("PEXPIRE x 5", ":0|"),
        ("SETRANGE b 0 \"\"", ":0|"),
        ("SETRANGE b 4 ab", ":6|"),
        ("GET b", "$6|\\x00\\x00\\x00\\x00ab|"),
        ("PTTL b", ":-1|"),
        ("SETRANGE b 0 \"\"", ":6|"),
        ("PEXPIRE b 100000", ":1|"),
        ("SETRANGE b 1 z", ":6|"),
        ("PTTL b", ":100000|"),
        ("PFADD h m", ":1|"),
        ("PFADD h m", ":0|"),
        ("PFADD h n", ":1|"),
        ("PFCOUNT h k", ":2|"),
        (
            "PFADD b m", "-WRONGTYPE Key is not a valid HyperLogLog string value.|",
        ),
        (
            "PFCOUNT b k", "-WRONGTYPE Key is not a valid HyperLogLog string value.|",
        ),
        ("PFCOUNT q k", ":0|"),
        ("PTTL h", ":-1|"),
        ("SET l \"\" NX PX 1000", "+OK|"),
        ("SET l \"\" NX PX 1000", "_|"),
        ("PING", "+PONG|"),
        (
            "NOSUCH a b",
            "-ERR unknown command \\'NOSUCH\\', with args beginning with: \\'a\\' \\'b\\' |",
        ),
    ] {
        assert_eq!(say(line), reply, "{line}");
    }
}
