//! The protocols of listeners' sockets, a row for each: the reader, `vouch check` and the daemon's defaults take all
//! that depends on the protocol from its row.

use std::time::Duration;

use super::{
    Limit, Listener,
    directory::Kind,
    listener::{ClientLimits, TempFail},
    words,
};

words! {
    /// The protocol of a listener's socket.
    Protocol {
        /// Postfix policy delegation: recipients.
        Policy = "policy",
        /// Dovecot auth-client: logins, with no master REQUEST after them.
        Auth = "auth",
        /// Dovecot auth-client, each login kept for a master REQUEST.
        Login = "login",
        /// Dovecot auth-userdb: users.
        Userdb = "userdb",
        /// Dovecot auth-master: users, and the REQUEST after a login.
        Master = "master",
        /// Cyrus SASL's saslauthd: logins.
        Saslauthd = "saslauthd",
        /// Postfix socketmap: recipients and domains, as tables.
        Socketmap = "socketmap",
    }
}

/// The kind of question that a protocol asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asks {
    /// Is this login good?
    Logins,
    /// Does this recipient exist?
    Recipients,
    /// Who is this user? One exists whose mailbox does.
    Users,
}

/// A protocol.
#[derive(Debug)]
pub struct Row {
    /// What is asked.
    pub asks: Asks,
    /// Which software asks for what.
    pub who: &'static str,
    /// The keys that not every listener has.
    pub keys: &'static [&'static str],
    /// Default of `deadline`, in seconds: where `service=smtp` asks, and where others do.
    pub deadline: (u64, u64),
    /// Seconds after which every client gives up, and what it does then; none where that is not known.
    pub patience: Option<(u64, &'static str)>,
    /// Whether it may be spoken on a network.
    pub on_networks: bool,
    /// Default of `limits`.
    pub limits: ClientLimits,
    /// How clients are identified, where they are limited.
    pub client: &'static str,
    /// Whether guesses are delayed by default.
    pub penalised: bool,
    /// The words of `tempfail`, the default first; none where it has no such key.
    pub tempfail: &'static [(&'static str, TempFail)],
    /// A further sentence of `vouch check` about a listener; may be empty.
    pub says: fn(&Listener) -> &'static str,
    /// The answer for a domain that no directory serves.
    pub not_ours: &'static str,
    /// The answer where `allow` or `deny` excludes the request.
    pub denied: &'static str,
    /// Postfix's side: `{socket}` is the path below its queue directory, and `{patience}` the time that it should
    /// wait. Empty where Postfix does not speak the protocol.
    pub postfix: &'static str,
}

static POLICY: Row = Row {
    asks: Asks::Recipients,
    who: "Postfix asks if recipients exist (policy delegation)",
    keys: &[
        "any", "limits", "penalty", "allow", "deny", "action", "vrfy", "dry-run",
    ],
    deadline: (20, 20),
    patience: Some((
        100,
        "Postfix gives up after `smtpd_policy_service_timeout`, by default 100s, and answers by itself",
    )),
    on_networks: true,
    limits: ClientLimits::USUAL,
    client: "client",
    // Each delayed answer there keeps a process of Postfix waiting.
    penalised: false,
    tempfail: &[],
    says: |_| "",
    not_ours: "DUNNO, the next restriction decides.",
    denied: "DUNNO",
    postfix: "In main.cf: check_policy_service { unix:{socket}, timeout={patience}, default_action=DEFER_IF_PERMIT }",
};

static AUTH: Row = Row {
    asks: Asks::Logins,
    who: "Postfix, Exim and others ask if logins are good (Dovecot auth)",
    keys: &[
        "limits", "penalty", "allow", "deny", "default-domain", "mechanisms", "tempfail", "ok",
    ],
    // Postfix gives up after 10 s (`src/xsasl/xsasl_dovecot_server.c`), Dovecot after 150 s.
    deadline: (8, 25),
    patience: None,
    on_networks: false,
    limits: ClientLimits::USUAL,
    client: "client",
    penalised: true,
    tempfail: &[
        ("auto", TempFail::Auto),
        ("close", TempFail::Close),
        ("fail", TempFail::Fail),
    ],
    says: |_| "",
    not_ours: "refused, as no directory serves it.",
    denied: "\"later\", as the password may be good",
    postfix: "In main.cf: smtpd_sasl_type = dovecot, smtpd_sasl_path = {socket}",
};

static LOGIN: Row = Row {
    who: "Dovecot's login processes ask if logins are good (Dovecot auth, with master requests)",
    keys: &[
        "limits", "penalty", "allow", "deny", "default-domain", "mechanisms", "tempfail", "ok", "fields",
    ],
    postfix: "",
    ..AUTH
};

static USERDB: Row = Row {
    asks: Asks::Users,
    who: "Dovecot asks for users (Dovecot userdb)",
    // Servers ask on behalf of many users on one connection, so there is no limit.
    keys: &["any", "default-domain", "exists", "fields"],
    deadline: (8, 60),
    patience: None,
    on_networks: false,
    limits: ClientLimits::USUAL,
    client: "",
    penalised: false,
    tempfail: &[],
    says: |_| "",
    not_ours: "no such user.",
    denied: "",
    postfix: "",
};

static MASTER: Row = Row {
    who: "Dovecot's services ask for users and logins (Dovecot auth-master)",
    ..USERDB
};

static SASLAUTHD: Row = Row {
    asks: Asks::Logins,
    who: "Cyrus SASL, Exim and others ask if logins are good (saslauthd)",
    keys: &["limits", "default-domain", "tempfail", "join-realm"],
    // The clients have no timeout of their own: this is how long a person waits.
    deadline: (20, 20),
    patience: None,
    on_networks: false,
    // With a limit, one user would lock out all users of a server that has one process for all.
    limits: ClientLimits {
        auth_errors: Limit::Unlimited,
        ..ClientLimits::USUAL
    },
    client: "process",
    penalised: false,
    tempfail: &[("close", TempFail::Close), ("no", TempFail::No)],
    says: |listener| {
        if listener.join_realm {
            "A login with a realm is login@realm, as with saslauthd -r."
        } else {
            "A login's realm is ignored, as with saslauthd without -r."
        }
    },
    not_ours: AUTH.not_ours,
    denied: "",
    postfix: "In smtpd.conf of a Postfix in its chroot: pwcheck_method: saslauthd, saslauthd_path: /{socket}",
};

static SOCKETMAP: Row = Row {
    asks: Asks::Recipients,
    who: "Postfix looks up recipients and domains as in a table (socketmap)",
    keys: &["any", "limits", "action"],
    deadline: (20, 20),
    patience: Some((100, "Postfix waits 100s for a table, then answers its client 451")),
    on_networks: false,
    // A request does not name the SMTP client, and one connection serves many of them.
    limits: ClientLimits {
        rcpt: Limit::Unlimited,
        rcpt_errors: Limit::Unlimited,
        ..ClientLimits::USUAL
    },
    client: "connection",
    penalised: false,
    tempfail: &[],
    says: |_| "Maps: recipients (OK ok, NOTFOUND, or TEMP where there is no answer), domains (the same), access (the actions below).",
    not_ours: "NOTFOUND.",
    denied: "",
    postfix: "In main.cf: relay_recipient_maps = socketmap:unix:{socket}:recipients",
};

impl Protocol {
    /// The row of this protocol.
    pub fn row(self) -> &'static Row {
        match self {
            Self::Policy => &POLICY,
            Self::Auth => &AUTH,
            Self::Login => &LOGIN,
            Self::Userdb => &USERDB,
            Self::Master => &MASTER,
            Self::Saslauthd => &SASLAUTHD,
            Self::Socketmap => &SOCKETMAP,
        }
    }

    /// Whether a listener of it has that key.
    pub fn has(self, key: &str) -> bool {
        self.row().keys.contains(&key)
    }

    /// Whether it asks if a login is good; else it asks if a recipient exists.
    pub fn asks_logins(self) -> bool {
        self.row().asks == Asks::Logins
    }

    /// The time that an answer may take by default.
    pub fn deadline_for(self, service: Option<&[u8]>) -> Duration {
        let (smtp, other) = self.row().deadline;
        Duration::from_secs(if service == Some(b"smtp") { smtp } else { other })
    }

    /// Whether a request names the service that asks: some wait less long than others.
    pub fn depends_on_service(self) -> bool {
        let (smtp, other) = self.row().deadline;
        smtp != other
    }

    /// Whether a directory of that kind can answer what it asks.
    pub fn is_answered_by(self, kind: Kind) -> bool {
        if self.asks_logins() {
            kind.knows_logins()
        } else {
            kind.knows_recipients()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn protocols() -> impl Iterator<Item = Protocol> {
        Protocol::ALL.iter().map(|(_, protocol)| *protocol)
    }

    /// What the manual says of a key ends in the protocols that have it: "`auth` and `login` only."
    #[test]
    fn the_manual_says_which_listeners_have_a_key() {
        let mut checked = 0;
        for text in Listener::DESCRIBED.keys {
            let Some((names, said)) = text.trim().split_once(": ") else {
                continue;
            };
            let keys = names.split('`').skip(1).step_by(2);
            let keys: Vec<_> = keys.map(|key| key.trim_matches(['[', ']', '…', '.'])).collect();
            let only = said.strip_suffix(" only.").map(|said| {
                let last = said.rsplit_once(['.', ';']).map_or(said, |(_, last)| last);
                let mut names: Vec<_> = last.split('`').skip(1).step_by(2).collect();
                names.sort_unstable();
                names
            });
            for key in keys {
                let mut having: Vec<_> = protocols()
                    .filter(|it| it.has(key))
                    .map(Protocol::as_str)
                    .collect();
                having.sort_unstable();
                checked += usize::from(!having.is_empty());
                assert_eq!(only.clone().unwrap_or_default(), having, "{key}");
            }
        }
        assert_eq!(checked, 13);
    }

    #[test]
    fn a_row_has_what_belongs_to_its_keys() {
        for protocol in protocols() {
            let row = protocol.row();
            assert_eq!(protocol.has("tempfail"), !row.tempfail.is_empty(), "{protocol}");
            assert_eq!(protocol.has("limits"), !row.client.is_empty(), "{protocol}");
            assert_eq!(protocol.has("allow"), !row.denied.is_empty(), "{protocol}");
            assert!(protocol.has("penalty") || !row.penalised, "{protocol}");
        }
    }
}
