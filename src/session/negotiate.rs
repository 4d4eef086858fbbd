//! A TLS handshake whose work is done off the event loop.
//!
//! What a server sends makes keys to agree on, certificates to verify and signatures to check. One remote is given a
//! bounded number of threads for it, so its worst delays none but itself.

use std::io;
use std::sync::Arc;

use rustls::ClientConnection;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::beginning::shown;
use crate::wire::Stream;

/// Bound (sessions): handshakes of one directory that are computed at a time. Beyond: the next waits, within its own
/// time. Why: one remote's data cannot delay another's answers.
pub(super) const AT_ONCE: usize = 1;

/// What a server says in place of TLS begins so.
#[derive(Debug, thiserror::Error)]
#[error("it begins with \"{0}\", which is not TLS")]
pub(super) struct Cleartext(pub(super) String);

/// Brings the handshake to its end; `turns` has [`AT_ONCE`] permits for the directory.
///
/// # Errors
/// The stream's, or in one of [`io::ErrorKind::InvalidData`] what is wrong with the handshake: a [`rustls::Error`] or
/// [`Cleartext`].
pub(super) async fn negotiate(
    mut tls: ClientConnection,
    stream: &mut Stream,
    turns: &Arc<Semaphore>,
) -> io::Result<ClientConnection> {
    // As long as a record of TLS.
    let mut chunk = vec![0; 16 << 10];
    let mut begun = false;
    loop {
        send(&mut tls, stream).await?;
        if !tls.is_handshaking() {
            return Ok(tls);
        }
        let length = stream.read(&mut chunk).await?;
        if length == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "in the handshake"));
        }
        let mut unread = &chunk[..length];
        if !begun && !is_record(unread) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                Cleartext(shown(unread)),
            ));
        }
        begun = true;
        while !unread.is_empty() {
            tls.read_tls(&mut unread)?;
            let turn = turns.clone().acquire_owned().await.map_err(io::Error::other)?;
            let work = spawn_blocking(move || {
                let done = tls.process_new_packets().map(|_| ());
                drop(turn);
                (tls, done)
            });
            let (worked, done) = work.await.map_err(io::Error::other)?;
            tls = worked;
            if let Err(error) = done {
                // The alert tells the server why; what is wrong is known without it.
                let _ = send(&mut tls, stream).await;
                return Err(io::Error::new(io::ErrorKind::InvalidData, error));
            }
        }
    }
}

/// Whether what a server says begins as a record of TLS (RFC 8446 section 5.1): with the number of a content type, none of
/// which is a letter.
fn is_record(beginning: &[u8]) -> bool {
    beginning
        .first()
        .is_some_and(|first| (0x14..=0x18).contains(first))
}

async fn send(tls: &mut ClientConnection, stream: &mut Stream) -> io::Result<()> {
    let mut records = Vec::new();
    while tls.wants_write() {
        tls.write_tls(&mut records)?;
    }
    stream.write_all(&records).await?;
    stream.flush().await
}
