//! The opening of an SMTP or LMTP session, with a server that says what it likes.

use bytes::BytesMut;
use tokio_util::codec::Encoder as _;
use vouch_protocol::encryption::Encryption;
use vouch_protocol::smtp::opening::{Opening, OpeningError, Settings, Step};
use vouch_protocol::smtp::{Capabilities, Codec, Command, Protocol, Reply};

use crate::imap_opening::encryption;
use crate::input;
use crate::remote::{Remote, SECURED, command_line};

/// The line of a command, as it leaves.
pub fn wire(command: &Command) -> Vec<u8> {
    let mut out = BytesMut::new();
    let written = Codec::default().encode(command, &mut out);
    assert!(written.is_ok(), "not written: {command}");
    command_line(&out).to_vec()
}

/// In the first line the setting for TLS, and `l` for LMTP; then what the server says.
pub fn run(input: &[u8]) {
    let (settings, said) = input::line(input);
    let encryption = encryption(settings);
    let (protocol, hello) = if settings.ends_with(b"l") {
        (Protocol::Lmtp, "LHLO mx.example.org")
    } else {
        (Protocol::Smtp, "EHLO mx.example.org")
    };
    let mut phases = input::parts(said, SECURED).into_iter();
    let mut remote = Remote::new(Codec::default(), phases.next().unwrap_or_default());
    let name = "mx.example.org".to_owned();
    let mut opening = Opening::new(Settings {
        protocol,
        name,
        encryption,
    });
    let (mut last, mut command, mut secured): (Option<Reply>, String, bool) = (None, String::new(), false);
    let code = |last: &Option<Reply>| last.as_ref().map(Reply::code);
    let mut step = opening.start();
    for read in 0.. {
        assert!(read <= 5, "reads on without an end");
        let wanted = !secured && matches!(encryption, Encryption::IfOffered | Encryption::Required);
        match step {
            Step::Read => assert_eq!(read, 0),
            Step::Send(next) => {
                let next = input::text(&wire(&next));
                let offered = last
                    .as_ref()
                    .is_some_and(|reply| Capabilities::from_reply(reply).starttls);
                match &*next {
                    "STARTTLS" => assert!(wanted && offered && command == hello && code(&last) == Some(250)),
                    other => assert!(other == hello && matches!(code(&last), Some(220) | None)),
                }
                command = next;
            }
            Step::StartTls => {
                assert!(wanted && command == "STARTTLS" && code(&last) == Some(220));
                secured = true;
                let Some(phase) = phases.next() else { return };
                remote = Remote::new(Codec::default(), phase);
                last = None;
                step = opening.on_secured();
                continue;
            }
            Step::Ready(offered) => {
                assert!(command == hello && code(&last) == Some(250));
                assert!(secured || encryption != Encryption::Required, "cleartext");
                assert!(!(wanted && offered.starttls), "cleartext although TLS is offered");
                // From this very reply, and from none before.
                assert_eq!(Some(offered), last.as_ref().map(Capabilities::from_reply));
                break;
            }
            Step::Failed(error) => {
                match error {
                    OpeningError::Refused { reply, .. } => assert_eq!(Some(reply), last),
                    OpeningError::StartTlsRefused(reply) => {
                        assert!(command == "STARTTLS" && Some(reply) == last);
                    }
                    OpeningError::StartTlsMissing => assert!(encryption == Encryption::Required && !secured),
                }
                break;
            }
        }
        let Some(reply) = remote.says() else { return };
        last = Some(reply.clone());
        step = opening.on_reply(reply);
    }
    while let Some(reply) = remote.says() {
        assert!(matches!(opening.on_reply(reply), Step::Failed(_)));
    }
}
