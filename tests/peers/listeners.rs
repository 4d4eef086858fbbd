//! Dovecot's login processes, mail processes, LMTP and `doveadm` ask the login, master and userdb listeners.

use std::path::PathBuf;

use crate::available;
use crate::dialog::{Dialog, assert_starts};
use crate::dovecot::Dovecot;
use crate::front::Front;
use crate::language::Language;
use crate::people::{FAILING_LOGIN, FAILING_MAILBOX, KNOWN, NAMES, NOBODY, RIGHT, logins};
use crate::postfix::Postfix;
use crate::support::{Authority, Scratch, Vouch};

/// `vouch` in front of a Dovecot that knows both logins and mailboxes.
struct Listeners {
    login: PathBuf,
    master: PathBuf,
    userdb: PathBuf,
    _vouch: Vouch,
}

impl Listeners {
    /// `keys` are more of the login listener.
    fn open(scratch: &Scratch, authority: &Authority, remote: &Dovecot, keys: &str) -> Self {
        let [login, master, userdb] =
            ["login", "master", "userdb"].map(|name| scratch.path(&format!("v-{name}")));
        let (uid, gid) = scratch.folder_of("home", "mail");
        let (imap, lmtp, ca) = (remote.imap, remote.lmtp, authority.ca.display());
        let fields = format!(
            "fields = {{ uid = \"{uid}\", gid = \"{gid}\", home = \"{}/{{domain}}/{{local}}\" }}",
            scratch.text("home")
        );
        let domains = "lookup.domains = [\"example.org\", \"mail.example.org\", \"failing.example.org\"]";
        let config = format!(
            "[directory.imap]
type = \"imap\"
address = \"127.0.0.1\"
port = {imap}
tls.ca-file = \"{ca}\"
{domains}
[directory.lmtp]
type = \"lmtp\"
address = \"127.0.0.1\"
port = {lmtp}
tls.ca-file = \"{ca}\"
lookup.recipient-delimiter = \"+\"
{domains}
[listener.login]
protocol = \"login\"
socket = \"{}\"
mode = \"0666\"
directory = [\"imap\"]
default-domain = \"example.org\"
{keys}
[listener.master]
protocol = \"master\"
socket = \"{}\"
mode = \"0600\"
directory = [\"lmtp\"]
default-domain = \"example.org\"
{fields}
[listener.userdb]
protocol = \"userdb\"
socket = \"{}\"
mode = \"0600\"
directory = [\"lmtp\"]
default-domain = \"example.org\"
{fields}
[control]
socket = \"{}\"
",
            login.display(),
            master.display(),
            userdb.display(),
            scratch.text("control"),
        );
        let vouch = Vouch::serve(scratch, &config, &[&login, &master, &userdb]);
        Self {
            login,
            master,
            userdb,
            _vouch: vouch,
        }
    }

    fn front(&self, scratch: &Scratch) -> Front {
        self.front_with(scratch, "")
    }

    /// `more` is more of its configuration.
    fn front_with(&self, scratch: &Scratch, more: &str) -> Front {
        Front::start(scratch, "front", [&self.login, &self.master, &self.userdb], more)
    }
}

fn imap(front: &Front) -> Dialog {
    let mut dialog = Dialog::tcp(front.imap);
    assert_starts(&dialog.line(), "* OK");
    dialog
}

#[test]
fn dovecot_logs_in_and_delivers_through_our_listeners() {
    if !available(&[]) {
        return;
    }
    let scratch = Scratch::new();
    let authority = Authority::new(&scratch, "remote");
    let mut remote = Dovecot::remote(&scratch, &authority);
    let listeners = Listeners::open(&scratch, &authority, &remote, "");
    let front = listeners.front(&scratch);

    let mut lmtp = Dialog::tcp(front.lmtp).hello("LHLO", None);
    assert_starts(&lmtp.command("MAIL FROM:<sender@example.net>"), "250 ");
    assert_starts(&lmtp.command(&format!("RCPT TO:<{NOBODY}>")), "550 5.1.1");
    assert_starts(&lmtp.command(&format!("RCPT TO:<{FAILING_MAILBOX}>")), "451 4.");
    assert_starts(&lmtp.command(&format!("RCPT TO:<{KNOWN}>")), "250 ");
    assert_starts(&lmtp.command("DATA"), "354 ");
    assert_starts(
        &lmtp.command("Subject: through our listeners\r\n\r\nHello.\r\n."),
        "250 ",
    );

    let mut dialog = imap(&front);
    assert_starts(&dialog.imap_login(KNOWN, b"wrong"), "T NO [AUTHENTICATIONFAILED]");
    assert_starts(&dialog.imap_login(NOBODY, RIGHT), "T NO [AUTHENTICATIONFAILED]");
    assert_starts(&dialog.imap_login(FAILING_LOGIN, RIGHT), "T NO [UNAVAILABLE]");
    assert_starts(&dialog.imap_login(KNOWN, RIGHT), "T OK");
    dialog.send(b"S SELECT INBOX\r\n");
    let mut lines = std::iter::from_fn(|| Some(dialog.line()));
    assert!(
        lines
            .by_ref()
            .take_while(|line| !line.starts_with("S "))
            .any(|line| line == "* 1 EXISTS")
    );
    assert!(
        scratch.path("home/example.org/known/Maildir/cur").is_dir(),
        "the home is the userdb listener's"
    );
    for (name, password) in logins().iter().filter(|(name, _)| *name != "local") {
        let said = imap(&front).imap_login(name, password);
        if name.contains('/') {
            // A good login, and no home for such a name: the mail process says so, or the login process does.
            assert!(!said.starts_with("T OK"), "{said}");
            continue;
        }
        assert_starts(&said, "T OK");
        assert_starts(
            &imap(&front).imap_login(name, &[password, b"x".as_slice()].concat()),
            "T NO [AUTHENTICATIONFAILED]",
        );
    }

    remote.stop();
    assert_starts(&imap(&front).imap_login(KNOWN, RIGHT), "T NO [UNAVAILABLE]");
    let mut lmtp = Dialog::tcp(front.lmtp).hello("LHLO", None);
    assert_starts(&lmtp.command("MAIL FROM:<sender@example.net>"), "250 ");
    assert_starts(&lmtp.command("RCPT TO:<new@example.org>"), "451 4.");
    // A recipient that was known all along still gets mail.
    assert_starts(&lmtp.command(&format!("RCPT TO:<{KNOWN}>")), "250 ");
}

/// One process of Dovecot asks for everybody over one connection, and all clients have one address: whoever guesses
/// from there is answered late, and nobody is put off for it.
#[test]
fn sixty_wrong_passwords_in_sessions_of_their_own_put_nobody_off() {
    if !available(&[]) {
        return;
    }
    let scratch = Scratch::new();
    let authority = Authority::new(&scratch, "remote");
    let remote = Dovecot::remote(&scratch, &authority);
    // All come from loopback here, which is exempt by default.
    let keys = "penalty = { exempt = [], delay = \"1ms\", max-delay = \"10ms\" }";
    let listeners = Listeners::open(&scratch, &authority, &remote, keys);
    let one_process = format!(
        "service imap-login {{\n  {}\n  process_min_avail = 1\n  process_limit = 1\n}}\n",
        Language::installed().many_clients()
    );
    let front = listeners.front_with(&scratch, &one_process);
    for guess in 0..60 {
        let said = imap(&front).imap_login(KNOWN, format!("guess {guess}").as_bytes());
        assert_starts(&said, "T NO [AUTHENTICATIONFAILED]");
    }
    assert_starts(&imap(&front).imap_login(KNOWN, RIGHT), "T OK");
    // In one session it is guessing. Dovecot ends it of its own accord, sooner or later.
    let mut dialog = imap(&front);
    for guess in 0..20 {
        let said = dialog.imap_login(KNOWN, format!("guess {guess} in one session").as_bytes());
        if !said.starts_with("T NO [AUTHENTICATIONFAILED]") {
            return assert!(said.starts_with("* BYE") || said.is_empty(), "{said}");
        }
    }
    assert_starts(&dialog.imap_login(KNOWN, RIGHT), "T NO [UNAVAILABLE]");
}

#[test]
fn doveadm_asks_our_listeners() {
    if !available(&[]) {
        return;
    }
    let scratch = Scratch::new();
    let authority = Authority::new(&scratch, "remote");
    let remote = Dovecot::remote(&scratch, &authority);
    let listeners = Listeners::open(&scratch, &authority, &remote, "");
    let front = listeners.front(&scratch);

    let home = format!("{}/example.org/known", scratch.text("home"));
    let said = front.doveadm(&["user", "-f", "home", KNOWN]);
    assert_eq!(said, (true, format!("{home}\n")));
    // Names of one mailbox have one home.
    for name in ["known", "known+detail@EXAMPLE.ORG"] {
        let (good, text) = front.doveadm(&["user", name]);
        assert!(good && text.contains(&format!("home\t{home}\n")), "{text}");
    }
    let (good, text) = front.doveadm(&["user", NOBODY]);
    assert!(!good && text.contains("doesn't exist"), "{text}");
    let (good, text) = front.doveadm(&["user", FAILING_MAILBOX]);
    assert!(
        !good && text.contains("user lookup failed") || text.contains("failed"),
        "{text}"
    );

    let userdb = listeners.userdb.to_str().unwrap();
    let (good, text) = front.doveadm(&["auth", "lookup", "-a", userdb, KNOWN]);
    assert!(good && text.contains(KNOWN), "{text}");
    let (good, text) = front.doveadm(&["auth", "lookup", "-a", userdb, NOBODY]);
    assert!(!good && text.contains("doesn't exist"), "{text}");

    let login = listeners.login.to_str().unwrap();
    let (good, text) = front.doveadm(&["auth", "test", "-a", login, KNOWN, "right"]);
    assert!(good && text.contains("auth succeeded"), "{text}");
    let (good, text) = front.doveadm(&["auth", "test", "-a", login, KNOWN, "wrong"]);
    assert!(!good && text.contains("auth failed"), "{text}");

    let (good, text) = front.doveadm(&["user", "*"]);
    assert!(good && text == format!("{KNOWN}\n"), "who is remembered: {text}");
    for name in NAMES.iter().filter(|name| !name.contains(['*', '?', '/'])) {
        let (good, text) = front.doveadm(&["user", name]);
        assert!(good, "{name}: {text}");
    }
    let master = listeners.master.to_str().unwrap();
    let (good, text) = front.doveadm(&["auth", "cache", "flush", "-a", master, KNOWN]);
    assert!(good && text.contains('1'), "{text}");
    let (good, text) = front.doveadm(&["user", "k*"]);
    assert!(good && text.is_empty(), "who was forgotten: {text}");
}

#[test]
fn a_proxying_listener_hands_users_on_and_lets_nobody_else_in() {
    if !available(&["postfix"]) {
        return;
    }
    let scratch = Scratch::new();
    let authority = Authority::new(&scratch, "remote");
    let mut remote = Dovecot::remote(&scratch, &authority);
    let ok = format!(
        "ok = {{ proxy = \"y\", host = \"127.0.0.1\", port = \"{}\", pass = \"{{password}}\" }}",
        remote.imap
    );
    let listeners = Listeners::open(&scratch, &authority, &remote, &ok);
    let dovecot = listeners.front(&scratch);
    let postfix = Postfix::front(&scratch, None, Some(&listeners.login));

    for (name, password) in logins().iter().filter(|(name, _)| *name != "local") {
        let mut dialog = imap(&dovecot);
        assert_starts(
            &dialog.imap_login(name, &[password, b"x".as_slice()].concat()),
            "T NO [AUTHENTICATIONFAILED]",
        );
        assert_starts(&dialog.imap_login(name, password), "T OK");
        assert_starts(&dialog.imap("SELECT INBOX"), "T OK");
    }
    assert!(
        !scratch.path("home/example.org").exists(),
        "no mail process of the front was started"
    );

    // A Dovecot that proxies answers OK before any password was checked, and Postfix would let everyone in.
    let session = || Dialog::tcp(postfix.smtp).hello("EHLO", None);
    for (name, password) in logins().iter().filter(|(name, _)| *name != "local") {
        assert_starts(&session().auth_plain(name, b"wrong"), "535 5.7.8");
        assert_starts(&session().auth_plain(name, password), "235 2.7.0");
    }
    assert_starts(&session().auth_plain(NOBODY, RIGHT), "535 5.7.8");
    assert_starts(&session().auth_plain(FAILING_LOGIN, RIGHT), "454 4.7.0");
    remote.stop();
    assert_starts(&session().auth_plain(KNOWN, RIGHT), "454 4.7.0");
    assert_starts(&imap(&dovecot).imap_login(KNOWN, RIGHT), "T NO [UNAVAILABLE]");
}
