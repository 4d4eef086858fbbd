//! The systemd journal, by its native protocol
//! (<https://systemd.io/JOURNAL_NATIVE_PROTOCOL/>): one datagram an event, each field one of its own.

use std::fmt::{self, Debug, Write as _};
use std::io::{self, ErrorKind, Write};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use tracing::field::{Field, Visit};
use tracing::{Event, Level};

use super::addresses;
use super::line::{self, MESSAGE, OneLine};
use super::plain::{Stderr, priority};

/// Where journald reads.
pub(super) const SOCKET: &str = "/run/systemd/journal/socket";

/// Bound (process, bytes): value of a field in the journal. Beyond: the rest is cut off. Why: all fields of a verdict
/// fit into one datagram, which may have 208 KiB (`net.core.wmem_default`, less some overhead).
const MAX_FIELD_BYTES: usize = 8 * 1024;

/// Appends an event's record, which ends in an empty line. `MESSAGE` is the whole plain
/// line, as `journalctl` shows nothing else; no value holds a line feed, so that none
/// needs the protocol's binary form.
pub(super) fn record(text: &mut String, event: &Event<'_>) {
    let metadata = event.metadata();
    let priority = priority(*metadata.level());
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "PRIORITY={priority}\nSYSLOG_IDENTIFIER=vouch\nVOUCH_TARGET={}",
        metadata.target()
    );
    value(text, MESSAGE_FIELD, |text| line::write(text, event));
    addresses::record(event, &mut Fields { text });
    text.push('\n');
}

const MESSAGE_FIELD: &str = "MESSAGE=";

/// Appends a field whose value is what `write` appends, cut to its bound.
fn value(text: &mut String, name: &str, write: impl FnOnce(&mut String)) {
    text.push_str(name);
    let start = text.len();
    write(text);
    if text.len() - start > MAX_FIELD_BYTES {
        let mut end = start + MAX_FIELD_BYTES;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push('…');
    }
    text.push('\n');
}

struct Fields<'a> {
    text: &'a mut String,
}

impl Fields<'_> {
    fn add(&mut self, field: &Field, shown: fmt::Arguments<'_>) {
        if field.name() != MESSAGE {
            // Capital letters, digits and underscores; ours are ASCII identifiers.
            let name = format!("VOUCH_{}=", field.name().to_ascii_uppercase());
            value(self.text, &name, |text| {
                // Writing to a string cannot fail.
                let _ = OneLine(text).write_fmt(shown);
            });
        }
    }
}

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        if !line::says_nothing(value) {
            self.add(field, format_args!("{value}"));
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.add(field, format_args!("{value:?}"));
    }
}

/// Writes records to journald. While it cannot be reached, their lines go to `otherwise`:
/// standard error, that is.
pub(super) struct Journal<W> {
    socket: UnixDatagram,
    path: PathBuf,
    otherwise: W,
    stderr: Stderr,
    /// It was logged that the journal cannot be reached.
    lost: bool,
}

impl<W: Write> Journal<W> {
    /// For the journald at `path`. The socket belongs to nobody else and is never connected,
    /// so that a journald that starts anew is found again.
    ///
    /// # Errors
    /// The system gives no socket.
    pub(super) fn at(path: impl AsRef<Path>, otherwise: W, stderr: Stderr) -> io::Result<Self> {
        Ok(Self {
            socket: UnixDatagram::unbound()?,
            path: path.as_ref().to_owned(),
            otherwise,
            stderr,
            lost: false,
        })
    }

    /// Waits while journald's queue is full: on the thread of the log, where nobody else does.
    fn send(&self, record: &[u8]) -> io::Result<()> {
        loop {
            match self.socket.send_to(record, &self.path) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                sent => return sent.map(drop),
            }
        }
    }

    fn line(&mut self, level: Level, line: &str) -> io::Result<()> {
        let mut text = String::new();
        self.stderr.head(&mut text, level);
        text.push_str(line);
        text.push('\n');
        self.otherwise.write_all(text.as_bytes())
    }

    /// Standard error gets the line that the journal did not.
    fn fall_back(&mut self, record: &[u8], why: &io::Error) -> io::Result<()> {
        if !std::mem::replace(&mut self.lost, true) {
            let path = self.path.display();
            let told = format!(
                "{path}: the journal cannot be reached ({why}): the log goes to standard error until it can; does \
                 systemd-journald run? [log] format = \"plain\" asks for this without a warning"
            );
            self.line(Level::WARN, &told)?;
        }
        let record = String::from_utf8_lossy(record);
        let field = |name| record.lines().find_map(|line| line.strip_prefix(name));
        let level = match field("PRIORITY=") {
            Some("3") => Level::ERROR,
            Some("4") => Level::WARN,
            Some("6") => Level::INFO,
            _ => Level::DEBUG,
        };
        self.line(level, field(MESSAGE_FIELD).unwrap_or_default())
    }
}

impl<W: Write> Write for Journal<W> {
    /// Takes one record off the front of what waits.
    fn write(&mut self, records: &[u8]) -> io::Result<usize> {
        let end = records
            .windows(2)
            .position(|two| two == b"\n\n")
            .map_or(records.len(), |end| end + 2);
        let record = records.get(..end).unwrap_or(records).trim_ascii_end();
        match self.send(&[record, b"\n"].concat()) {
            Ok(()) => {
                if std::mem::take(&mut self.lost) {
                    self.line(Level::INFO, "the journal is reached again: the log goes there")?;
                }
            }
            Err(error) => self.fall_back(record, &error)?,
        }
        Ok(end)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::log::tests::{answer, logged};
    use super::*;

    /// A journald of our own, in a folder of its own.
    fn journald() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        (folder, path)
    }

    fn listen(path: &Path) -> UnixDatagram {
        let socket = UnixDatagram::bind(path).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(40))).unwrap();
        socket
    }

    fn read(socket: &UnixDatagram) -> Vec<String> {
        let mut datagram = vec![0; 1 << 18];
        let length = socket.recv(&mut datagram).unwrap();
        let text = String::from_utf8(datagram[..length].to_vec()).unwrap();
        assert!(text.ends_with('\n'));
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn an_event_is_a_datagram_with_fields() {
        let (_folder, path) = journald();
        let socket = listen(&path);
        let mut journal = Journal::at(&path, Vec::new(), Stderr::Journal).unwrap();
        let records = logged(record, || {
            answer();
            tracing::error!(listener = "in", remote = %"a\nb", "broken\nin two");
        });
        journal.write_all(records.as_bytes()).unwrap();
        let verdict = read(&socket);
        for field in [
            "PRIORITY=6", "SYSLOG_IDENTIFIER=vouch", "VOUCH_LISTENER=in", "VOUCH_VERDICT=defer",
            "VOUCH_SOURCE=limit", "VOUCH_US=1500", "VOUCH_DETAIL=so many\\r\\nFAKE=x",
        ] {
            assert!(verdict.iter().any(|line| line == field), "{field}: {verdict:#?}");
        }
        assert!(
            verdict
                .iter()
                .any(|line| line.starts_with("MESSAGE=listener=in question=recipient "))
        );
        assert!(!verdict.iter().any(|line| line.starts_with("VOUCH_DIRECTORY")));
        assert_eq!(
            read(&socket)[3..],
            [
                "MESSAGE=broken\\nin two listener=in remote=a\\nb", "VOUCH_LISTENER=in", "VOUCH_REMOTE=a\\nb"
            ]
        );
        assert!(journal.otherwise.is_empty());
    }

    // Fills MAX_FIELD_BYTES.
    #[test]
    fn what_is_too_long_for_a_datagram_is_cut() {
        let (_folder, path) = journald();
        let socket = listen(&path);
        let mut journal = Journal::at(&path, Vec::new(), Stderr::Journal).unwrap();
        let long = "ü".repeat(1 << 19);
        let records = logged(record, || tracing::info!(value = long, "{long}"));
        journal.write_all(records.as_bytes()).unwrap();
        let lines = read(&socket);
        let value = lines.last().unwrap();
        assert!(
            value.starts_with("VOUCH_VALUE=üü") && value.ends_with('…'),
            "{}",
            value.len()
        );
        assert!(journal.otherwise.is_empty());
    }

    #[test]
    fn a_journal_that_is_not_there_costs_no_line() {
        let (_folder, path) = journald();
        let mut journal = Journal::at(&path, Vec::new(), Stderr::Journal).unwrap();
        let mut log = |number: u32| {
            let records = logged(record, || tracing::warn!(number, "kept"));
            journal.write_all(records.as_bytes()).unwrap();
            String::from_utf8(std::mem::take(&mut journal.otherwise)).unwrap()
        };
        let (first, second) = (log(1), log(2));
        let first: Vec<&str> = first.lines().collect();
        assert!(first[0].starts_with("<4>WARN ") && first[0].contains("the journal cannot be reached"));
        assert_eq!(first[1..], ["<4>WARN kept number=1"]);
        assert_eq!(second, "<4>WARN kept number=2\n");
        let socket = listen(&path);
        assert_eq!(
            log(3),
            "<6>INFO the journal is reached again: the log goes there\n"
        );
        assert!(read(&socket).contains(&"VOUCH_NUMBER=3".to_owned()));
        drop(socket);
        assert!(log(4).contains("the journal cannot be reached"));
    }
}
