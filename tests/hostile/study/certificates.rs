//! Certificates: the study's T_1 to T_4, and what else makes one worth nothing. Each is shown by IMAP, SMTP and LMTP
//! remotes, by STARTTLS and from the first byte.

use std::path::{Path, PathBuf};

use remote::{Authority, Identity};
use tempfile::TempDir;

use super::{Case, Mode, Protocol, SECRETS, Stage, Then, paused};
use crate::traces::{find, holds};

const ADDRESS: &str = "192.0.2.25";

/// A certificate that is shown, and whether it is to be believed.
struct Shown {
    id: &'static str,
    identity: Identity,
    /// How the directory calls the remote.
    name: &'static str,
    /// Keys of the directory.
    keys: String,
    good: bool,
}

fn shown(id: &'static str, identity: Identity, good: bool) -> Shown {
    Shown {
        id,
        identity,
        name: super::NAME,
        keys: String::new(),
        good,
    }
}

impl Shown {
    fn by(self, name: &'static str) -> Self {
        Self { name, ..self }
    }

    fn with(self, keys: impl Into<String>) -> Self {
        Self {
            keys: keys.into(),
            ..self
        }
    }
}

fn play(authority: &Authority, shown: &[Shown]) {
    for protocol in [Protocol::Imap, Protocol::Smtp, Protocol::Lmtp] {
        for mode in [Mode::IfAvailable, Mode::Required, Mode::Implicit] {
            for one in shown {
                play_one(authority, one, protocol, mode);
            }
        }
    }
}

fn play_one(authority: &Authority, one: &Shown, protocol: Protocol, mode: Mode) {
    let (greeting, offers) = match protocol {
        Protocol::Imap => ("* OK hi", "IMAP4rev1 STARTTLS SASL-IR AUTH=PLAIN"),
        _ => ("220 hi", "STARTTLS;AUTH PLAIN"),
    };
    let mut case = Case::new(one.id, Then::PassedOver, greeting, offers);
    if mode == Mode::Implicit {
        // From the first byte the server inside is the one that speaks.
        case = case
            .reply("AUTHENTICATE", "{tag} NO [AUTHENTICATIONFAILED] no")
            .reply("AUTH", "535 5.7.8 no")
            .reply("RCPT", "550 5.1.1 no");
    }
    let keys = format!("address = \"{}\"\n{}", one.name, one.keys);
    let cases = [case];
    paused(async {
        let stage = Stage::new(protocol, mode, authority, &one.identity, &cases, &keys);
        let when = format!("{} {protocol:?} {mode:?}", one.id);
        let user = "jane@c0.example";
        if protocol != Protocol::Lmtp {
            let answer = stage
                .login(0, "PLAIN", &format!("\0{user}\0{}", super::PASSWORD))
                .await;
            let later = if one.good { "" } else { "\ttemp\tcode=temp_fail" };
            assert_eq!(answer, format!("FAIL\t1\tuser={user}{later}\n"), "{when}");
        }
        if protocol != Protocol::Imap {
            let answer = stage.recipient(0, user).await;
            assert_eq!(answer.contains("550 5.1.1"), one.good, "{when}: {answer}");
            assert_eq!(answer.contains("DEFER_IF_PERMIT"), !one.good, "{when}: {answer}");
        }
        let heard = stage.heard[0].lock().unwrap();
        assert!(heard.calls > 0, "{when}");
        assert_eq!(find(&heard.clear, &SECRETS), None, "{when}");
        let all = [heard.clear.as_slice(), &heard.inside].concat();
        if !one.good {
            assert_eq!(find(&all, &SECRETS), None, "{when}");
            assert!(!holds(&all, b"MAIL"), "{when}");
        }
    });
}

/// Files of PEM for a directory's keys.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// The keys by which a directory shows this certificate.
    fn own(&self, name: &str, identity: &Identity) -> String {
        let (certificate, key) = identity.pem();
        let file = |path: &Path| path.display().to_string();
        format!(
            "tls.cert-file = \"{}\"\ntls.key-file = \"{}\"\n",
            file(&self.write(&format!("{name}.pem"), certificate)),
            file(&self.write(&format!("{name}.key"), key))
        )
    }
}

#[test]
fn only_a_certificate_of_the_right_name_date_and_issuer_is_believed() {
    let authority = Authority::new().unwrap();
    let name = [super::NAME];
    let stranger = Authority::new().unwrap();
    play(
        &authority,
        &[
            shown("a good one", authority.issue(&name).unwrap(), true),
            shown("T_1 self-signed", Identity::self_signed(&name).unwrap(), false),
            shown("T_2 unknown root", stranger.issue(&name).unwrap(), false),
            shown(
                "T_3 wrong name",
                authority.issue(&["other.example.org"]).unwrap(),
                false,
            ),
            shown(
                "[a name above]",
                authority.issue(&["example.org"]).unwrap(),
                false,
            ),
            shown(
                "[a name below]",
                authority.issue(&["a.mail.example.org"]).unwrap(),
                false,
            ),
            shown("[a wildcard]", authority.issue(&["*.example.org"]).unwrap(), true),
            shown(
                "[a wildcard for all]",
                authority.issue(&["*.org"]).unwrap(),
                false,
            ),
            shown(
                "[a name in the subject alone]",
                authority.unnamed(super::NAME).unwrap(),
                false,
            ),
            shown("T_4 expired", authority.expired(&name).unwrap(), false),
            shown("[not valid yet]", authority.not_yet_valid(&name).unwrap(), false),
            shown(
                "[for clients alone]",
                authority.for_clients(&name).unwrap(),
                false,
            ),
            shown(
                "[somebody else's, with another key]",
                authority.issue(&name).unwrap().stolen().unwrap(),
                false,
            ),
            shown(
                "[the name that it is to have]",
                authority.issue(&["mx.example.net"]).unwrap(),
                true,
            )
            .with("tls.server-name = \"mx.example.net\""),
            shown(
                "[the name of the address instead]",
                authority.issue(&name).unwrap(),
                false,
            )
            .with("tls.server-name = \"mx.example.net\""),
        ],
    );
}

/// A remote called by its address must have that in its certificate, as an address (RFC 9525 §6.5: a name that looks
/// like one is none).
#[test]
fn an_address_must_be_in_the_certificate_as_an_address() {
    let authority = Authority::new().unwrap();
    play(
        &authority,
        &[
            shown("[iPAddress]", authority.issue(&[ADDRESS]).unwrap(), true).by(ADDRESS),
            shown(
                "[iPAddress, IPv6]",
                authority.issue(&["2001:db8::25"]).unwrap(),
                true,
            )
            .by("2001:db8::25"),
            shown(
                "[another iPAddress]",
                authority.issue(&["192.0.2.26"]).unwrap(),
                false,
            )
            .by(ADDRESS),
            shown(
                "[dNSName of these digits]",
                authority.named(ADDRESS).unwrap(),
                false,
            )
            .by(ADDRESS),
            shown("[dNSName]", authority.issue(&[super::NAME]).unwrap(), false).by(ADDRESS),
            shown(
                "[iPAddress for a name]",
                authority.issue(&[ADDRESS]).unwrap(),
                false,
            ),
            shown(
                "[dNSName, and it is to be that]",
                authority.issue(&[super::NAME]).unwrap(),
                true,
            )
            .by(ADDRESS)
            .with(format!("tls.server-name = \"{}\"", super::NAME)),
        ],
    );
}

/// Also where any certificate will do, who shows it must own it.
#[test]
fn any_certificate_is_still_one_that_its_owner_shows() {
    let authority = Authority::new().unwrap();
    let any = "tls.allow-invalid-certs = true";
    play(
        &authority,
        &[
            shown("[self-signed]", Identity::self_signed(&["x.test"]).unwrap(), true).with(any),
            shown(
                "[stolen]",
                authority.issue(&[super::NAME]).unwrap().stolen().unwrap(),
                false,
            )
            .with(any),
        ],
    );
}

#[test]
fn a_remote_that_asks_for_our_certificate_gets_the_one_we_have() {
    let authority = Authority::new().unwrap();
    let stranger = Authority::new().unwrap();
    let files = Files::new();
    let own = files.own("own", &authority.issue(&["vouch.example.net"]).unwrap());
    let wrong = files.own("wrong", &stranger.issue(&["vouch.example.net"]).unwrap());
    let remote = authority.issue(&[super::NAME]).unwrap();
    let demanding = remote.demanding(&authority).unwrap();
    play(
        &authority,
        &[
            shown("[asked for, and we have it]", demanding.clone(), true).with(own.clone()),
            shown("[asked for, and we have none]", demanding.clone(), false),
            shown("[asked for, and ours is another authority's]", demanding, false).with(wrong),
            shown("[not asked for]", remote, true).with(own),
        ],
    );
}
