//! The command line's side of the control socket.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

/// Bound (commands): wait for the answer to vouch status. Beyond: it is no answer. Why: a later answer shows a busy
/// daemon.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// Bound (commands, bytes): answer to vouch status. Beyond: it is no answer. Why: the report of thousands of
/// directories fits.
const LONGEST_ANSWER: u64 = 16 << 20;

/// Why a daemon closes a connection unasked.
const HUNG_UP: &str = "it hung up; only root and the user of vouch may ask";

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ControlError {
    /// Nobody listens there.
    #[error(
        "no vouch is running that listens at {0}: {1}; start it (systemctl start vouch, or vouch serve), or name its \
         configuration by -c, if that is another"
    )]
    NotRunning(PathBuf, io::Error),
    /// Only root and the daemon's user may ask.
    #[error("only root and the user of vouch may ask at {0}")]
    NotAllowed(PathBuf),
    /// The connection broke, or the answer is none.
    #[error("no answer at {0}: {1}")]
    NoAnswer(PathBuf, String),
    /// The daemon cannot answer this.
    #[error("vouch answers: {0}")]
    Refused(String),
}

/// Asks the daemon that listens at `socket`. Blocks, within a bound.
///
/// # Errors
/// Why there is no answer.
pub(crate) fn ask(socket: &Path, request: &Value) -> Result<Value, ControlError> {
    ask_within(socket, request, ANSWER_TIMEOUT)
}

fn ask_within(socket: &Path, request: &Value, patience: Duration) -> Result<Value, ControlError> {
    let no_answer = |why: String| ControlError::NoAnswer(socket.into(), why);
    let mut stream = UnixStream::connect(socket).map_err(|error| match error.kind() {
        ErrorKind::PermissionDenied => ControlError::NotAllowed(socket.into()),
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => ControlError::NotRunning(socket.into(), error),
        _ => no_answer(error.to_string()),
    })?;
    let mut exchange = || -> io::Result<Vec<u8>> {
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        stream.write_all(format!("{request}\n").as_bytes())?;
        let mut answer = Vec::new();
        BufReader::new((&mut stream).take(LONGEST_ANSWER)).read_until(b'\n', &mut answer)?;
        Ok(answer)
    };
    let answer = exchange().map_err(|error| match error.kind() {
        ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => no_answer(HUNG_UP.into()),
        ErrorKind::WouldBlock => no_answer(format!("within {} s", patience.as_secs())),
        _ => no_answer(error.to_string()),
    })?;
    if answer.is_empty() {
        return Err(no_answer(HUNG_UP.into()));
    }
    let answer: Value = serde_json::from_slice(&answer).map_err(|error| no_answer(error.to_string()))?;
    match answer.get("error").and_then(Value::as_str) {
        Some(error) => Err(ControlError::Refused(error.to_owned())),
        None => Ok(answer),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::thread;

    use super::*;

    #[test]
    fn a_daemon_that_says_nothing_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control");
        let _listener = UnixListener::bind(&path).unwrap();
        let error = ask_within(&path, &Value::Null, Duration::from_millis(50)).unwrap_err();
        assert!(error.to_string().ends_with("within 0 s"), "{error}");
    }

    // Fills LONGEST_ANSWER, ANSWER_TIMEOUT.
    #[test]
    fn an_answer_that_never_ends_is_not_read_to_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control");
        let listener = UnixListener::bind(&path).unwrap();
        let talking = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut said = 0;
            while stream.write_all(&[b' '; 1 << 16]).is_ok() {
                said += 1 << 16;
            }
            said
        });
        let error = ask(&path, &Value::Null).unwrap_err();
        assert!(matches!(error, ControlError::NoAnswer(..)), "{error}");
        assert!(talking.join().unwrap() >= LONGEST_ANSWER - (1 << 16));
    }
}
