//! Questions whose answers are known.

use base64::prelude::{BASE64_STANDARD, Engine};

use crate::chance::Chance;

/// Users of each directory: `user0@well.example` and so on. There are as many who do not exist: `nobody0@…`.
pub(crate) const USERS: u64 = 500;

/// The password of them all.
pub(crate) const PASSWORD: &str = "correct horse battery staple";

/// The domains: of remotes that are well, and of remotes that are not.
pub(crate) const WELL: &str = "well.example";
pub(crate) const SICK: &str = "sick.example";

/// What a listener said, whatever its words for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    Yes,
    No,
    Later,
}

/// A listener, by the protocol that is spoken there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Listener {
    Policy,
    Auth,
    Userdb,
    Socketmap,
    Saslauthd,
}

/// A question and its answer.
pub(crate) struct Question {
    pub(crate) name: String,
    /// It is about a directory whose remote is well.
    pub(crate) well: bool,
    pub(crate) truth: Answer,
    password: &'static str,
}

impl Question {
    /// Any question at a listener.
    pub(crate) fn any(listener: Listener, chance: &Chance) -> Self {
        let well = chance.coin();
        let domain = if well { WELL } else { SICK };
        let number = chance.among(0, USERS - 1);
        let user = format!("user{number}@{domain}");
        let (name, truth, password) = if chance.once_in(700) {
            (user, Answer::Yes, PASSWORD)
        } else if listener.asks_logins() && chance.coin() {
            (user, Answer::No, "wrong")
        } else {
            (format!("nobody{number}@{domain}"), Answer::No, PASSWORD)
        };
        Self {
            name,
            well,
            truth,
            password,
        }
    }

    /// As it is asked; `id` tells it from others of the connection, `port` the SMTP session from others.
    pub(crate) fn bytes(&self, listener: Listener, id: u64, port: u16) -> Vec<u8> {
        let Self { name, password, .. } = self;
        let text = match listener {
            Listener::Policy => format!(
                "request=smtpd_access_policy\nprotocol_state=RCPT\nprotocol_name=ESMTP\nclient_address=127.0.0.1\n\
                 client_name=localhost\nclient_port={port}\nhelo_name=client.example.net\n\
                 sender=alice@example.net\nrecipient={name}\nrecipient_count=0\nqueue_id=\n\
                 instance=58d9.6b0369c5.{port}.0\nsize=12345\n\n"
            ),
            Listener::Auth => {
                let resp = BASE64_STANDARD.encode(format!("\0{name}\0{password}"));
                format!("AUTH\t{id}\tPLAIN\tservice=imap\trip=127.0.0.1\tsecured\tresp={resp}\n")
            }
            Listener::Userdb => format!("USER\t{id}\t{name}\tservice=lmtp\n"),
            Listener::Socketmap => {
                let asked = format!("recipients {name}");
                format!("{}:{asked},", asked.len())
            }
            Listener::Saslauthd => {
                let (user, realm) = name.rsplit_once('@').unwrap_or((name, ""));
                let strings = [user, password, "imap", realm];
                let counted = strings.map(|text| format!("\0{}{text}", text.len() as u8 as char));
                counted.concat()
            }
        };
        text.into_bytes()
    }
}

impl Listener {
    /// Each, with the name of its protocol, what it asks, and its keys; in the order of the enum. What is limited by client
    /// is not, since all clients here are one.
    pub(crate) const ALL: [(Self, &str, &str, &str); 5] = [
        (
            Self::Policy,
            "policy",
            "recipients",
            "limits = { rcpt = \"unlimited\", rcpt-errors = \"unlimited\" }\n",
        ),
        (
            Self::Auth,
            "auth",
            "logins",
            "limits.auth-errors = \"unlimited\"\ntempfail = \"fail\"\n",
        ),
        (
            Self::Userdb,
            "userdb",
            "recipients",
            "fields = { home = \"/srv/mail/{domain}/{local}\" }\n",
        ),
        (Self::Socketmap, "socketmap", "recipients", ""),
        (Self::Saslauthd, "saslauthd", "logins", ""),
    ];

    pub(crate) fn asks_logins(self) -> bool {
        Self::ALL[self as usize].2 == "logins"
    }

    /// Whether questions of a connection are answered one after the other.
    pub(crate) fn in_turn(self) -> bool {
        matches!(self, Self::Policy | Self::Socketmap)
    }

    /// Whether an answer is the end of its connection.
    pub(crate) fn ends(self) -> bool {
        self == Self::Saslauthd
    }

    /// What is said first on a connection.
    pub(crate) fn hello(self) -> &'static [u8] {
        match self {
            Self::Policy | Self::Socketmap | Self::Saslauthd => b"",
            Self::Auth => b"VERSION\t1\t2\nCPID\t4711\n",
            Self::Userdb => b"VERSION\t1\t1\n",
        }
    }

    /// The end of what is heard first.
    pub(crate) fn greeting_ends(self) -> Option<&'static str> {
        match self {
            Self::Policy | Self::Socketmap | Self::Saslauthd => None,
            Self::Auth => Some("DONE"),
            Self::Userdb => Some("SPID\t"),
        }
    }

    /// What a line of an answer means; `None` where it is none to the question `id`.
    pub(crate) fn answer(self, id: u64, line: &str) -> Option<Answer> {
        if self == Self::Policy {
            return Some(match line.strip_prefix("action=")? {
                "DUNNO" => Answer::Yes,
                no if no.starts_with("550 5.1.1 ") => Answer::No,
                _ => Answer::Later,
            });
        }
        if self == Self::Socketmap || self == Self::Saslauthd {
            return Some(match line.split(' ').next()? {
                "OK" => Answer::Yes,
                "NOTFOUND" | "NO" => Answer::No,
                // TEMP; nothing, where the listener hung up.
                _ => Answer::Later,
            });
        }
        let mut words = line.split('\t');
        let word = words.next()?;
        if words.next()?.parse() != Ok(id) {
            return None;
        }
        match word {
            "OK" | "USER" => Some(Answer::Yes),
            "NOTFOUND" => Some(Answer::No),
            "FAIL" if self == Self::Userdb || words.any(|word| word == "temp") => Some(Answer::Later),
            "FAIL" => Some(Answer::No),
            _ => None,
        }
    }
}
