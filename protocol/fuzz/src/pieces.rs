//! Feeds a codec the same bytes in different pieces, and wants the same messages of it.

use std::fmt::Display;

use bytes::BytesMut;
use tokio_util::codec::Decoder;

/// What a codec made of an input: its messages, and what ended it, if something did.
#[derive(Debug)]
pub struct Read<T> {
    /// In the order in which they were read.
    pub messages: Vec<T>,
    /// What ended the reading, if something did.
    pub error: Option<String>,
}

/// Reads `input` whole, byte by byte and in two rows of pieces of chance lengths; what it reads
/// when it comes whole.
///
/// `held` bounds what may wait in the buffer while a message is incomplete, and `wiped` wants the buffer
/// overwritten when reading fails.
pub fn read<D>(
    new: impl Fn() -> D,
    input: &[u8],
    held: usize,
    wiped: bool,
    show: impl Fn(&D::Item) -> String,
) -> Read<D::Item>
where
    D: Decoder<Error: Display>,
{
    let feed = |lengths: &mut dyn FnMut() -> usize| feed(&mut new(), input, held, wiped, lengths);
    let whole = feed(&mut || input.len().max(1));
    let shown = |read: &Read<D::Item>| read.messages.iter().map(&show).collect::<Vec<_>>();
    let expected = (shown(&whole), whole.error.clone());
    let mut chance = Chance::of(input);
    let mut short = Chance::of(input);
    let lengths: [&mut dyn FnMut() -> usize; 3] = [&mut || 1, &mut || 1 + chance.below(8), &mut || {
        1 + short.below(64)
    }];
    for lengths in lengths {
        let cut = feed(lengths);
        assert_eq!(
            (shown(&cut), cut.error),
            expected,
            "cut into pieces, it reads otherwise"
        );
    }
    whole
}

fn feed<D>(
    codec: &mut D,
    input: &[u8],
    held: usize,
    wiped: bool,
    lengths: &mut dyn FnMut() -> usize,
) -> Read<D::Item>
where
    D: Decoder<Error: Display>,
{
    let mut buffer = BytesMut::new();
    let mut messages = Vec::new();
    let mut rest = input;
    loop {
        let (piece, behind) = rest.split_at(lengths().min(rest.len()));
        buffer.extend_from_slice(piece);
        rest = behind;
        loop {
            let read = if rest.is_empty() {
                codec.decode_eof(&mut buffer)
            } else {
                codec.decode(&mut buffer)
            };
            match read {
                Ok(Some(message)) => messages.push(message),
                Ok(None) if rest.is_empty() => {
                    assert!(buffer.is_empty(), "bytes are left over at the end");
                    return Read {
                        messages,
                        error: None,
                    };
                }
                Ok(None) => break,
                Err(error) => {
                    assert!(
                        !wiped || buffer.iter().all(|&byte| byte == 0),
                        "left in the buffer"
                    );
                    let error = Some(error.to_string());
                    return Read { messages, error };
                }
            }
        }
        assert!(buffer.len() <= held, "{} bytes wait in the buffer", buffer.len());
    }
}

/// Numbers that look like chance and come out the same for the same input (xorshift).
pub struct Chance(u64);

impl Chance {
    /// Seeded by FNV-1a of the input.
    pub fn of(input: &[u8]) -> Self {
        let hash = input.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        Self(hash | 1)
    }

    /// The next one, below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}
