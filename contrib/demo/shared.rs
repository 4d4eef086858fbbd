//! What both demos need: `contrib/demo.rs` and `contrib/fleet.rs`.

use std::error::Error;
use std::io::{self, Read, Write, stdout};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

/// Why a demo does not go on.
pub(crate) type Failed = Box<dyn Error + Send + Sync>;

/// Long enough for a debug build on a busy machine to start, or to answer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until somebody wants the end.
pub(crate) async fn end() -> io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
    Ok(())
}

/// Sends all of a question to a socket, and takes what is answered.
pub(crate) fn exchange(socket: &Path, question: &mut impl Read, answer: &mut impl Write) -> io::Result<()> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    io::copy(question, &mut stream)?;
    stream.shutdown(Shutdown::Write)?;
    io::copy(&mut stream, answer)?;
    answer.flush()
}

/// Prints at once.
pub(crate) fn say(text: &str) -> io::Result<()> {
    let mut out = stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}
