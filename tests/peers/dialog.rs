//! A client that speaks line by line, over TCP or TLS: enough SMTP, LMTP and IMAP to ask one thing at a time.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

/// How long one answer may take: above every deadline of `vouch` and every time limit of Postfix in the tests.
const PATIENCE: Duration = Duration::from_secs(40);

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

/// One connection to a server.
pub(crate) struct Dialog {
    stream: BufReader<Box<dyn Stream>>,
    /// The TCP connection below, kept to be wrapped in TLS.
    tcp: Option<TcpStream>,
}

impl Dialog {
    /// Connects to a port of 127.0.0.1.
    pub(crate) fn tcp(port: u16) -> Self {
        let tcp = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        tcp.set_write_timeout(Some(PATIENCE)).unwrap();
        Self {
            stream: BufReader::new(Box::new(tcp.try_clone().unwrap())),
            tcp: Some(tcp),
        }
    }

    /// Connects to a Unix socket.
    pub(crate) fn unix(path: &Path) -> Self {
        let socket = UnixStream::connect(path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        Self {
            stream: BufReader::new(Box::new(socket)),
            tcp: None,
        }
    }

    /// Changes to TLS, as the name `localhost`, before anything else is said.
    pub(crate) fn tls(mut self, config: &Arc<ClientConfig>) -> Self {
        assert!(self.stream.buffer().is_empty(), "the server spoke on before TLS");
        let tcp = self.tcp.take().unwrap();
        let client =
            ClientConnection::new(Arc::clone(config), ServerName::try_from("localhost").unwrap()).unwrap();
        Self {
            stream: BufReader::new(Box::new(StreamOwned::new(client, tcp))),
            tcp: None,
        }
    }

    /// Sends bytes as they are.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).unwrap();
        self.stream.get_mut().flush().unwrap();
    }

    /// One line without its end; empty when the server has closed.
    pub(crate) fn line(&mut self) -> String {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line).unwrap();
        String::from_utf8_lossy(&line)
            .trim_end_matches(['\r', '\n'])
            .to_owned()
    }

    /// The last line of an SMTP or LMTP reply.
    pub(crate) fn reply(&mut self) -> String {
        loop {
            let line = self.line();
            if line.as_bytes().get(3) != Some(&b'-') {
                return line;
            }
        }
    }

    /// Sends an SMTP or LMTP command, returns the last line of the reply.
    pub(crate) fn command(&mut self, command: &str) -> String {
        self.send(format!("{command}\r\n").as_bytes());
        self.reply()
    }

    /// Reads the greeting, says `EHLO` or `LHLO`, and goes through STARTTLS if given settings for it.
    pub(crate) fn hello(mut self, verb: &str, starttls: Option<&Arc<ClientConfig>>) -> Self {
        assert_starts(&self.reply(), "220 ");
        let hello = format!("{verb} client.example.net");
        assert_starts(&self.command(&hello), "250 ");
        if let Some(config) = starttls {
            assert_starts(&self.command("STARTTLS"), "220 ");
            self = self.tls(config);
            assert_starts(&self.command(&hello), "250 ");
        }
        self
    }

    /// The reply to `AUTH PLAIN` with its initial response.
    pub(crate) fn auth_plain(&mut self, name: &str, password: &[u8]) -> String {
        self.command(&format!("AUTH PLAIN {}", plain(name, password)))
    }

    /// The reply to `AUTH LOGIN`, name and password each after its challenge.
    pub(crate) fn auth_login(&mut self, name: &str, password: &[u8]) -> String {
        assert_starts(&self.command("AUTH LOGIN"), "334 ");
        assert_starts(&self.command(&BASE64_STANDARD.encode(name)), "334 ");
        self.command(&BASE64_STANDARD.encode(password))
    }

    /// The tagged reply to an IMAP `AUTHENTICATE PLAIN`.
    pub(crate) fn imap_login(&mut self, name: &str, password: &[u8]) -> String {
        self.imap(&format!("AUTHENTICATE PLAIN {}", plain(name, password)))
    }

    /// The tagged reply to an IMAP command.
    pub(crate) fn imap(&mut self, command: &str) -> String {
        self.send(format!("T {command}\r\n").as_bytes());
        loop {
            let line = self.line();
            if !line.starts_with("* ") {
                return line;
            }
        }
    }
}

/// The message of the mechanism PLAIN (RFC 4616 §2) in base64.
pub(crate) fn plain(name: &str, password: &[u8]) -> String {
    BASE64_STANDARD.encode([b"\0", name.as_bytes(), b"\0", password].concat())
}

/// Fails the test where a reply is not of the kind expected, and shows it.
#[track_caller]
pub(crate) fn assert_starts(reply: &str, start: &str) {
    assert!(reply.starts_with(start), "expected {start:?}, got {reply:?}");
}
