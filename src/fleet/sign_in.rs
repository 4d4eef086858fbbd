//! The password goes to a store by our own hand, before the client gets the stream: a copy in the client's memory would never
//! be overwritten.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use vouch_protocol::secret::Secret;
use zeroize::Zeroizing;

use super::wrong::{Step, Wrong};
use crate::wire::Stream;

/// Bound (cache, bytes): a store's answer to the password. Beyond: it is not understood. Why: it is one line, of a few
/// words.
const MOST_SAID: usize = 512;

/// The user of a store that has a password and no other name.
const DEFAULT: &str = "default";

/// Whom we are, and the proof.
#[derive(Clone, Copy)]
pub(super) struct Identity<'a> {
    pub(super) user: Option<&'a str>,
    pub(super) password: &'a Secret<[u8]>,
}

/// Signs in, by the one command `AUTH`.
///
/// # Errors
/// The store does not let us in.
pub(super) async fn sign_in(stream: &mut Stream, who: Identity<'_>) -> Result<(), Wrong> {
    let command = command(who.user.unwrap_or(DEFAULT), who.password.expose());
    // One that turns us away does so unasked, and reads nothing.
    let sent: io::Result<()> = async {
        stream.write_all(&command).await?;
        stream.flush().await
    }
    .await;
    let (mut said, mut length) = ([0; MOST_SAID], 0);
    loop {
        let room = said.get_mut(length..).unwrap_or_default();
        match stream.read(room).await {
            Ok(more @ 1..) => length += more,
            Ok(0) if length == said.len() => return Err(Wrong::Strange(Step::SignIn)),
            Ok(_) => return Err(Wrong::Ended),
            Err(_) => return Err(Wrong::Ended),
        }
        let said = said.get(..length).unwrap_or_default();
        if let Some(line) = said.strip_suffix(b"\r\n") {
            return answered(line).and_then(|()| sent.map_err(|_| Wrong::Ended));
        }
    }
}

/// `AUTH user password`, as RESP writes a command; in a buffer that never moves.
fn command(user: &str, password: &[u8]) -> Zeroizing<Vec<u8>> {
    let head = format!(
        "*3\r\n$4\r\nAUTH\r\n${}\r\n{user}\r\n${}\r\n",
        user.len(),
        password.len()
    );
    let mut command = Zeroizing::new(Vec::with_capacity(head.len() + password.len() + 2));
    for part in [head.as_bytes(), password, b"\r\n"] {
        command.extend_from_slice(part);
    }
    command
}

/// What an answer of one line means.
fn answered(line: &[u8]) -> Result<(), Wrong> {
    match (line, line.strip_prefix(b"-")) {
        (b"+OK", _) => Ok(()),
        (_, Some(error)) => {
            let error = String::from_utf8_lossy(error);
            let (code, detail) = error.split_once(' ').unwrap_or((&error, ""));
            Err(Wrong::by_code(Step::SignIn, code, detail))
        }
        _ => Err(Wrong::Strange(Step::SignIn)),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    /// What comes of an answer that comes in these parts, before the end of the stream.
    async fn after(parts: &[&[u8]]) -> Result<(), Wrong> {
        let (ours, mut theirs) = duplex(4 * MOST_SAID);
        let (mut ours, password): (Stream, _) = (Box::new(ours), Secret::copy_from(b"s3cret"));
        let user = Some("vouch");
        let answer = async {
            let mut heard = [0; 64];
            let wanted = b"*3\r\n$4\r\nAUTH\r\n$5\r\nvouch\r\n$6\r\ns3cret\r\n";
            let heard = &mut heard[..wanted.len()];
            theirs.read_exact(heard).await.unwrap();
            assert_eq!(heard, wanted);
            for part in parts {
                theirs.write_all(part).await.unwrap();
                tokio::task::yield_now().await;
            }
            drop(theirs);
        };
        let who = Identity {
            user,
            password: &password,
        };
        tokio::join!(sign_in(&mut ours, who), answer).0
    }

    // Fills MOST_SAID.
    #[tokio::test]
    async fn a_store_says_in_one_line_whether_it_lets_us_in() {
        let strange = Wrong::Strange(Step::SignIn);
        let longest = [&b"-"[..], &[b'x'; MOST_SAID - 3], b"\r\n"].concat();
        let longer = [b"-x", &longest[1..]].concat();
        for (parts, result) in [
            (&[&b"+OK\r\n"[..]][..], Ok(())),
            (&[b"+O", b"K\r", b"\n"], Ok(())),
            (&[b"+OK\r\n+OK\r\n"], Err(strange.clone())),
            (&[b"+OK"], Err(Wrong::Ended)),
            (&[], Err(Wrong::Ended)),
            (
                &[b"-WRONGPASS invalid username-password pair\r\n"],
                Err(Wrong::Password),
            ),
            (&[b"-ERR max number of clients reached\r\n"], Err(Wrong::Crowded)),
            (&[b"-\r\n"], Err(strange.clone())),
            (&[b"250 OK\r\n"], Err(strange.clone())),
            (&[&longest], Err(strange.clone())),
            (&[&longer], Err(strange.clone())),
        ] {
            assert_eq!(after(parts).await, result, "{parts:?}");
        }
    }

    #[tokio::test]
    async fn what_a_store_says_as_it_turns_us_away_is_heard() {
        let (ours, mut theirs) = duplex(1);
        let mut ours: Stream = Box::new(tokio::io::join(tokio::io::repeat(0).take(0), ours));
        let password = Secret::copy_from(b"s3cret");
        let who = Identity {
            user: None,
            password: &password,
        };
        theirs.shutdown().await.unwrap();
        drop(theirs);
        assert_eq!(sign_in(&mut ours, who).await, Err(Wrong::Ended));
        let (ours, theirs) = duplex(1);
        drop(theirs);
        let said = &b"-DENIED Redis is running in protected mode\r\n"[..];
        let mut ours: Stream = Box::new(tokio::io::join(said, ours));
        assert_eq!(sign_in(&mut ours, who).await, Err(Wrong::Protected));
    }
}
