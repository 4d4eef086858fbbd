//! The client cases of the study "Why TLS is better without STARTTLS" (Poddebniak et al., USENIX Security 2021), as
//! remotes of our own; the names are those of its toolkit, Email-Analysis-Toolkit/fake-mail-server.
//!
//! Each case is played in process, with pipes in memory that pass for a connection to another machine, under each
//! setting of `tls.starttls`, with a good certificate behind STARTTLS and with one that nobody has reason to trust, and
//! inside TLS where that makes sense. Whatever happens:
//!
//! - no secret is in what the remote heard in the clear, in no form: a password, a token, and the first message of a
//!   dialog with the remote are tried each time;
//! - the client hears one of our own lines, byte for byte: nothing that the remote said;
//! - the answer to a login is "later", unless TLS with a good certificate is on and the server inside has said no.
//!   In the clear every remote here says yes to everything.

mod certificates;
mod imap;
mod smtp;
mod stage;
mod thief;

use std::future::Future;

use remote::{Authority, Identity};

use stage::Stage;

const PASSWORD: &str = "s3cret-0f-jane";
const TOKEN: &str = "ya29.t0ken-of-jane";
const NONCE: &str = "n0nce-of-janes-phone";
const SECRETS: [&str; 3] = [PASSWORD, TOKEN, NONCE];

/// The name by which every directory calls its remote.
const NAME: &str = "mail.example.org";
const ADDRESSED: &str = "address = \"mail.example.org\"";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Imap,
    Smtp,
    Lmtp,
}

/// What is to come of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// The remote is of no use, with TLS or without.
    Useless,
    /// STARTTLS is asked for, and TLS does not come of it.
    Refused,
    /// STARTTLS is not offered: recipients may do without where it is optional, secrets may not.
    NotOffered,
    /// What was said before TLS makes no difference: the server inside is asked.
    PassedOver,
    /// The server inside is asked, and gives no answer.
    AskedInVain,
}

/// One case: its name in the study, or, in brackets, a variant that the study leaves out.
#[derive(Clone, Debug)]
struct Case {
    id: String,
    then: Then,
    greeting: String,
    /// What is offered in the clear.
    offers: String,
    /// Replies in the clear other than a server's.
    replies: Vec<(String, String)>,
    /// Said inside TLS before anything else.
    first_inside: String,
    /// Replies inside TLS other than a no.
    inside: Vec<(String, String)>,
}

impl Case {
    fn new(id: impl Into<String>, then: Then, greeting: &str, offers: &str) -> Self {
        Self {
            id: id.into(),
            then,
            greeting: greeting.into(),
            offers: offers.into(),
            replies: Vec::new(),
            first_inside: String::new(),
            inside: Vec::new(),
        }
    }

    fn reply(mut self, verb: &str, reply: impl Into<String>) -> Self {
        self.replies.push((verb.into(), reply.into()));
        self
    }

    fn inside(mut self, verb: &str, reply: &str) -> Self {
        self.inside.push((verb.into(), reply.into()));
        self
    }

    fn first_inside(mut self, said: &str) -> Self {
        self.first_inside = said.into();
        self
    }

    /// What the answer to a password must be; `None` is "later".
    fn login(&self, mode: Mode, good: bool) -> Option<()> {
        let asked = self.then == Then::PassedOver && good;
        (asked && matches!(mode, Mode::IfAvailable | Mode::Required)).then_some(())
    }

    /// What the answer about a recipient must be: that of who speaks in the clear, that from inside, or "later".
    fn recipient(&self, mode: Mode, good: bool) -> &'static str {
        const YES: &str = "action=DUNNO\n\n";
        const NO: &str = "action=550 5.1.1 User unknown\n\n";
        const LATER: &str = "action=DEFER_IF_PERMIT 4.4.3 Recipient lookup failed, try again later\n\n";
        match (self.then, mode) {
            (Then::Useless, _) | (_, Mode::Implicit) => LATER,
            (_, Mode::Never) | (Then::NotOffered, Mode::IfAvailable) => YES,
            (Then::PassedOver, _) if good => NO,
            _ => LATER,
        }
    }
}

/// The settings under which a case is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    IfAvailable,
    Required,
    Never,
    Implicit,
}

impl Mode {
    fn keys(self) -> &'static str {
        match self {
            Self::IfAvailable => "tls.starttls = \"if-available\"",
            Self::Required => "tls.starttls = \"required\"",
            Self::Never => "tls.starttls = \"never\"",
            Self::Implicit => "tls.implicit = true",
        }
    }
}

/// Plays the cases under every setting.
fn play(protocol: Protocol, cases: &[Case]) {
    let authority = Authority::new().unwrap();
    let good = authority.issue(&[NAME]).unwrap();
    let bad = Identity::self_signed(&[NAME]).unwrap();
    for mode in [Mode::IfAvailable, Mode::Required, Mode::Never, Mode::Implicit] {
        for (trusted, identity) in [(true, &good), (false, &bad)] {
            let fit = |case: &&Case| mode != Mode::Implicit || case.then == Then::Useless;
            let cases: Vec<Case> = cases.iter().filter(fit).cloned().collect();
            paused(async {
                let stage = Stage::new(protocol, mode, &authority, identity, &cases, ADDRESSED);
                for case in 0..cases.len() {
                    stage.play(case, trusted).await;
                }
            });
        }
    }
}

fn paused(played: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(played);
}
