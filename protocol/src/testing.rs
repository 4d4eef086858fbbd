//! What the tests of codecs share.

use std::fmt::Debug;

use bytes::BytesMut;
use tokio_util::codec::Decoder;

use crate::error::DecodeError;

/// Everything that a codec reads of a stream that comes in these pieces, and then ends.
pub(crate) fn read<C>(mut codec: C, pieces: &[&[u8]]) -> Result<Vec<C::Item>, DecodeError>
where
    C: Decoder<Error = DecodeError>,
{
    let (mut buffer, mut read) = (BytesMut::new(), Vec::new());
    for piece in pieces {
        buffer.extend_from_slice(piece);
        while let Some(message) = codec.decode(&mut buffer)? {
            read.push(message);
        }
    }
    match codec.decode_eof(&mut buffer)? {
        None => Ok(read),
        Some(_) => panic!("a message came late"),
    }
}

/// What is read of `stream` is the same wherever it is cut in two, and byte by byte.
#[track_caller]
pub(crate) fn assert_cuts_read_alike<T, E>(stream: &[u8], read: impl Fn(&[&[u8]]) -> Result<T, E>)
where
    T: Debug + PartialEq,
    E: Debug,
{
    let whole = read(&[stream]).unwrap();
    for at in 0..=stream.len() {
        let (head, tail) = stream.split_at(at);
        assert_eq!(read(&[head, tail]).unwrap(), whole, "cut at {at}");
    }
    let single: Vec<&[u8]> = stream.chunks(1).collect();
    assert_eq!(read(&single).unwrap(), whole, "byte by byte");
}
