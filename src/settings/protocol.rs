//! The protocols of listeners' sockets, a row for each: the reader, `vouch check` and the daemon's defaults take all
//! that depends on the protocol from its row.

use super::kind::Kind;
use super::words::words;

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
    /// Default of `deadline`, in seconds: where `service=smtp` asks, and where others do.
    pub deadline: (u64, u64),
    /// Seconds after which every client gives up, and what it does then; none where that is not known.
    pub patience: Option<(u64, &'static str)>,
    /// Whether it may be spoken on a network.
    pub on_networks: bool,
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
    deadline: (20, 20),
    patience: Some((
        100,
        "Postfix gives up after `smtpd_policy_service_timeout`, by default 100s, and answers by itself",
    )),
    on_networks: true,
    not_ours: "DUNNO, the next restriction decides.",
    denied: "DUNNO",
    postfix: "In main.cf: check_policy_service { unix:{socket}, timeout={patience}, default_action=DEFER_IF_PERMIT }",
};

static AUTH: Row = Row {
    asks: Asks::Logins,
    who: "Postfix, Exim and others ask if logins are good (Dovecot auth)",
    // Postfix gives up after 10 s (`src/xsasl/xsasl_dovecot_server.c`), Dovecot after 150 s.
    deadline: (8, 25),
    patience: None,
    on_networks: false,
    not_ours: "refused, as no directory serves it.",
    denied: "\"later\", as the password may be good",
    postfix: "In main.cf: smtpd_sasl_type = dovecot, smtpd_sasl_path = {socket}",
};

static LOGIN: Row = Row {
    who: "Dovecot's login processes ask if logins are good (Dovecot auth, with master requests)",
    postfix: "",
    ..AUTH
};

static USERDB: Row = Row {
    asks: Asks::Users,
    who: "Dovecot asks for users (Dovecot userdb)",
    deadline: (8, 60),
    patience: None,
    on_networks: false,
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
    // The clients have no timeout of their own: this is how long a person waits.
    deadline: (20, 20),
    patience: None,
    on_networks: false,
    not_ours: AUTH.not_ours,
    denied: "",
    postfix: "In smtpd.conf of a Postfix in its chroot: pwcheck_method: saslauthd, saslauthd_path: /{socket}",
};

static SOCKETMAP: Row = Row {
    asks: Asks::Recipients,
    who: "Postfix looks up recipients and domains as in a table (socketmap)",
    deadline: (20, 20),
    patience: Some((100, "Postfix waits 100s for a table, then answers its client 451")),
    on_networks: false,
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

    /// Whether it asks if a login is good; else it asks if a recipient exists.
    pub fn asks_logins(self) -> bool {
        self.row().asks == Asks::Logins
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
