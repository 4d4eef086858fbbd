//! The first bytes of a remote, where they are not what its protocol begins with.

use crate::unseen::printable;

/// What a greeting is shown by, at most, in characters.
pub(crate) const BEGINNING: usize = 60;

/// The beginning of a first line, harmless to terminals and logs.
pub(super) fn shown(bytes: &[u8]) -> String {
    let line = bytes.split(|byte| matches!(byte, b'\r' | b'\n')).next();
    printable(
        String::from_utf8_lossy(line.unwrap_or_default()).chars(),
        BEGINNING,
    )
}

/// What begins so.
pub(super) fn kind_of(beginning: &str) -> &'static str {
    let known = [
        ("220", "that is an SMTP or LMTP server: "),
        ("* ", "that is an IMAP server: "),
        ("+OK", "that is a POP3 server: "),
        ("HTTP", "that is a web server: "),
        ("SSH-", "that is an SSH server: "),
    ];
    let kind = known.iter().find(|(start, _)| beginning.starts_with(start));
    kind.map_or("that is another kind of server: ", |(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_greeting_a_line_is_shown_at_most_and_nothing_that_a_terminal_obeys() {
        assert_eq!(
            shown(b"220 mail \x1b[2J ready\r\n250 more"),
            "220 mail ?[2J ready"
        );
        assert_eq!(shown(&[b'x'; 10 * BEGINNING]).len(), BEGINNING);
        assert_eq!(shown(b"\xff\xfe"), "\u{fffd}\u{fffd}");
        assert_eq!(kind_of("* OK ready"), "that is an IMAP server: ");
        assert_eq!(kind_of("hello"), "that is another kind of server: ");
    }
}
