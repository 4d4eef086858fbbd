//! What a configuration will do, in words, for `vouch check`.

use std::fmt::Write;

use super::{
    Config, Directory, Endpoint, Limit, ListenAddress, Listener,
    directory::{CatchAll, Code252, KeyExchange, Kind, Policy, StartTls},
    duration_text, keys,
    listener::{Protocol, TempFail},
    read::Note,
};

/// Domains named one by one; of more, the number is told.
const MOST_DOMAINS: usize = 8;

/// Says what will happen: each listener, each directory, the effective value of every key, and the notes.
/// Plain text of whole lines; the keys read back as TOML to the same configuration.
pub fn describe(config: &Config, notes: &[Note]) -> String {
    let mut text = Text::default();
    for listener in &config.listener {
        listener_words(&mut text, config, listener);
    }
    for directory in &config.directory {
        directory_words(&mut text, config, directory);
    }
    text.head("Every key, with its effective value:");
    text.out.push_str(&keys::all(config));
    if notes.is_empty() {
        text.head("Notes: none.");
    } else {
        text.head("Notes:");
        for note in notes {
            match note.line {
                Some(line) => text.say(format!("line {line}: {}", note.text)),
                None => text.say(note.text.as_str()),
            }
        }
    }
    text.out
}

/// Headings, each with indented lines below.
#[derive(Default)]
struct Text {
    out: String,
}

impl Text {
    fn head(&mut self, line: impl std::fmt::Display) {
        let gap = if self.out.is_empty() { "" } else { "\n" };
        // Writing to a string cannot fail.
        let _ = writeln!(self.out, "{gap}{line}");
    }

    fn say(&mut self, line: impl std::fmt::Display) {
        let _ = writeln!(self.out, "  {line}");
    }
}

fn listener_words(text: &mut Text, config: &Config, listener: &Listener) {
    let protocol = listener.protocol;
    let asks = match protocol {
        Protocol::Policy => "Postfix asks if recipients exist (policy delegation)",
        Protocol::Auth => "Postfix, Exim and others ask if logins are good (Dovecot auth)",
        Protocol::Login => {
            "Dovecot's login processes ask if logins are good (Dovecot auth, with master requests)"
        }
        Protocol::Userdb => "Dovecot asks for users (Dovecot userdb)",
        Protocol::Master => "Dovecot's services ask for users and logins (Dovecot auth-master)",
        Protocol::Saslauthd => "Cyrus SASL asks if logins are good (saslauthd)",
        Protocol::Socketmap => "Postfix asks if recipients exist (socketmap)",
    };
    text.head(format!("Listener \"{}\": {asks}.", listener.name));
    if !matches!(protocol, Protocol::Policy | Protocol::Auth) {
        text.say("NOT IN THIS VERSION: the socket is not opened.");
    }
    socket_words(text, listener);
    routes(text, config, listener);
    match listener.deadline {
        Some(deadline) => text.say(format!("Every answer comes within {}.", duration_text(deadline))),
        None if protocol.asks_logins() => {
            let (smtp, other) = (listener.deadline_for(Some(b"smtp")), listener.deadline_for(None));
            let (smtp, other) = (duration_text(smtp), duration_text(other));
            text.say(format!(
                "Every answer comes within {smtp} for service=smtp, within {other} for others."
            ));
        }
        None => text.say(format!(
            "Every answer comes within {}.",
            duration_text(listener.deadline_for(None))
        )),
    }
    match protocol {
        Protocol::Policy => action_words(text, listener),
        Protocol::Auth | Protocol::Login | Protocol::Saslauthd => login_words(text, listener),
        Protocol::Userdb | Protocol::Master | Protocol::Socketmap => {}
    }
    let limits = &listener.limits;
    let session = if protocol.asks_logins() {
        format!("may fail {} logins in ten minutes", at_most(limits.auth_errors))
    } else {
        let (rcpt, errors) = (at_most(limits.rcpt), at_most(limits.rcpt_errors));
        format!("may ask for {rcpt} recipients in one session, {errors} unknown ones among them")
    };
    text.say(format!(
        "One client {session}; beyond, nobody is asked and the answer is \"later\"."
    ));
}

fn socket_words(text: &mut Text, listener: &Listener) {
    let connections = listener.max_connections;
    match &listener.socket {
        ListenAddress::Path(path) => {
            let owner = listener
                .owner
                .as_ref()
                .map_or(String::new(), |owner| format!(", owner {owner}"));
            let group = listener
                .group
                .as_ref()
                .map_or("group of its directory".to_owned(), |it| format!("group {it}"));
            text.say(format!(
                "Unix socket {}, mode {:04o}{owner}, {group}; at most {connections} connections.",
                path.display(),
                listener.mode
            ));
            // Postfix takes a path relative to its queue directory, inside a chroot as well.
            let Some(relative) = path
                .to_str()
                .and_then(|path| path.strip_prefix("/var/spool/postfix/"))
            else {
                return;
            };
            match listener.protocol {
                Protocol::Policy => {
                    let patience =
                        duration_text(listener.deadline_for(None) + std::time::Duration::from_secs(5));
                    text.say(format!(
                        "In main.cf: check_policy_service {{ unix:{relative}, timeout={patience}, default_action=DEFER_IF_PERMIT }}"
                    ));
                }
                Protocol::Auth => {
                    text.say(format!(
                        "In main.cf: smtpd_sasl_type = dovecot, smtpd_sasl_path = {relative}"
                    ));
                }
                _ => {}
            }
        }
        ListenAddress::Tcp(address) => text.say(format!("TCP {address}; at most {connections} connections.")),
        ListenAddress::Systemd(name) => {
            text.say(format!(
                "Socket \"{name}\" of systemd; at most {connections} connections."
            ));
            text.say("NOT IN THIS VERSION: handed-over sockets are not taken.");
        }
    }
}

/// Which directory is asked for which domain, in the listener's order.
fn routes(text: &mut Text, config: &Config, listener: &Listener) {
    let logins = listener.protocol.asks_logins();
    let mut everything = false;
    for name in &listener.directory {
        let Some(directory) = config.directory(name).filter(|it| listener.can_ask(it.kind)) else {
            text.say(format!("Never asks \"{name}\": it does not know the answers."));
            continue;
        };
        let domains = &directory.lookup.domains.all;
        if domains.is_empty() && logins {
            everything = true;
            text.say(format!("Asks \"{name}\" for every login."));
        } else if domains.is_empty() {
            text.say(format!(
                "Never asks \"{name}\": it has no lookup.domains, so no recipient is its own."
            ));
        } else if domains.len() > MOST_DOMAINS {
            text.say(format!("Asks \"{name}\" for its {} domains.", domains.len()));
        } else {
            let domains: Vec<_> = domains.iter().map(ToString::to_string).collect();
            text.say(format!("Asks \"{name}\" for {}.", domains.join(", ")));
        }
    }
    if listener.protocol == Protocol::Policy {
        text.say("Any other domain: DUNNO, the next restriction decides.");
    } else if !everything && logins {
        text.say("Any other domain: refused, as nobody here knows it.");
    }
    if let Some(domain) = &listener.default_domain {
        text.say(format!("A name without a domain is one of {domain}."));
    } else if logins {
        text.say(if listener.directory.len() == 1 {
            "A name without a domain is asked as it is."
        } else {
            "A name without a domain belongs nowhere: set default-domain."
        });
    }
}

fn action_words(text: &mut Text, listener: &Listener) {
    let action = &listener.action;
    if action.dry_run {
        text.say("DRY RUN: answers DUNNO always, and logs what it would have answered:");
    }
    text.say(format!("recipient exists    -> {}", action.accept.as_str()));
    text.say(format!("recipient unknown   -> {}", action.reject.as_str()));
    text.say(format!("mailbox disabled    -> {}", action.disabled.as_str()));
    text.say(format!("no answer           -> {}", action.defer.as_str()));
    text.say(format!("client over a limit -> {}", action.limit.as_str()));
    text.say(if action.vrfy {
        "VRFY is answered too."
    } else {
        "VRFY is not answered: DUNNO."
    });
}

fn login_words(text: &mut Text, listener: &Listener) {
    if listener.protocol != Protocol::Saslauthd {
        let names: Vec<_> = listener
            .mechanisms
            .iter()
            .map(|mechanism| mechanism.as_str())
            .collect();
        text.say(format!("Offers {}.", names.join(", ")));
    }
    text.say(match listener.tempfail {
        TempFail::Auto => {
            "No answer: hangs up when service=smtp asked alone (Postfix then says 454), else FAIL with temp_fail."
        }
        TempFail::Close => "No answer: hangs up (Postfix then says 454).",
        TempFail::Fail => "No answer: FAIL with temp_fail (Postfix takes it for a wrong password).",
    });
}

fn directory_words(text: &mut Text, config: &Config, directory: &Directory) {
    let knows = match directory.kind {
        Kind::Imap => "logins",
        Kind::Smtp => "recipients and logins",
        Kind::Lmtp => "recipients",
    };
    text.head(format!("Directory \"{}\": knows {knows}.", directory.name));
    let kind = directory.kind.as_str().to_ascii_uppercase();
    match &directory.address {
        Endpoint::Host { .. } => text.say(format!("{kind} to {}.", directory.address)),
        Endpoint::Socket(path) => text.say(format!("{kind} over the Unix socket {}.", path.display())),
    }
    if !config
        .listener
        .iter()
        .any(|listener| listener.directory.contains(&directory.name))
    {
        text.say("No listener asks it.");
    }
    tls_words(text, directory);
    text.say(format!(
        "Connecting and each command may take {}.",
        duration_text(directory.timeout)
    ));
    let (limits, pool) = (&directory.limits, &directory.pool);
    if directory.kind.knows_logins() {
        password_words(text, directory);
        text.say(format!(
            "One session sees {} failed logins.",
            at_most(limits.auth_errors)
        ));
    }
    if directory.kind.knows_recipients() {
        recipient_words(text, directory);
        let (rcpt, errors) = (at_most(limits.rcpt), at_most(limits.rcpt_errors));
        text.say(format!(
            "One session sees {rcpt} recipients, {errors} refused ones among them."
        ));
    }
    text.say(format!(
        "At most {} sessions, each for at most {}, unused for at most {}; {} questions may wait.",
        pool.max_sessions,
        duration_text(pool.max_age),
        duration_text(pool.idle_timeout),
        pool.queue
    ));
    memory_words(text, directory);
}

fn memory_words(text: &mut Text, directory: &Directory) {
    let (cache, kind) = (&directory.cache, directory.kind);
    if kind.knows_recipients() {
        let ttl = &cache.ttl;
        let [positive, refresh, negative, stale] =
            [ttl.positive, ttl.refresh, ttl.negative, ttl.stale].map(duration_text);
        text.say(format!(
            "Remembers at most {} recipients: a known one for {positive}, asked again in the background after \
             {refresh}, and up to {stale} while the remote gives no answer; an unknown one for {negative}.",
            cache.entries
        ));
        if let Some(file) = cache.file.as_ref().filter(|_| cache.entries > 0) {
            text.say(format!(
                "Keeps them in {} as well, so that they survive a restart.",
                file.display()
            ));
        }
    }
    if kind.knows_logins() {
        let (positive, negative) = (cache.credentials.positive, cache.credentials.negative);
        let kept = |time: std::time::Duration| match time.is_zero() {
            true => "not at all".to_owned(),
            false => format!("for {}", duration_text(time)),
        };
        text.say(format!(
            "Remembers an accepted login {}, a refused one {}; in memory only, under a keyed hash.",
            kept(positive),
            kept(negative)
        ));
        text.say(format!(
            "Keeps {} sessions ready while logins come.",
            directory.pool.warm_sessions
        ));
    }
}

fn tls_words(text: &mut Text, directory: &Directory) {
    let tls = &directory.tls;
    if let (Endpoint::Socket(_), None) = (&directory.address, &tls.server_name) {
        text.say("No TLS: nobody is between us and a socket, and its certificate could be for no name.");
        return;
    }
    let when = match (tls.implicit, tls.starttls) {
        (true, _) => "TLS from the first byte",
        (false, StartTls::Required) => "TLS by STARTTLS; without it no answer",
        (false, StartTls::IfAvailable) => "TLS by STARTTLS when the remote offers it, else without TLS",
        (false, StartTls::Never) => {
            text.say("No TLS.");
            return;
        }
    };
    let name = match (&tls.server_name, &directory.address) {
        (Some(name), _) | (None, Endpoint::Host { host: name, .. }) => name.as_str(),
        // Returned above.
        (None, Endpoint::Socket(_)) => "",
    };
    let trust = match (&tls.ca_file, tls.allow_invalid_certs) {
        (_, true) => "ANY certificate is taken, from whoever answers".to_owned(),
        (Some(file), false) => {
            format!(
                "the certificate must be {name}'s, by the system's authorities or those in {}",
                file.display()
            )
        }
        (None, false) => format!("the certificate must be {name}'s, by the system's authorities"),
    };
    text.say(format!("{when}; {trust}."));
    if let Some(file) = &tls.cert_file {
        text.say(format!("Shows the certificate in {}.", file.display()));
    }
    if tls.key_exchange == KeyExchange::Classic {
        text.say("Key exchange by elliptic curves alone.");
    }
}

fn password_words(text: &mut Text, directory: &Directory) {
    let tls_certain = directory.tls.implicit || directory.tls.starttls == StartTls::Required;
    text.say(
        match (
            tls_certain,
            directory.address.is_local(),
            directory.auth.allow_cleartext,
        ) {
            (true, _, _) => "A password goes over TLS only.",
            (false, true, _) => "A password may go without TLS: it does not leave this machine.",
            (false, false, true) => "A password MAY CROSS THE NETWORK WITHOUT TLS (auth.allow-cleartext).",
            (false, false, false) => "A password goes over TLS only; without TLS there is no answer.",
        },
    );
    text.say(format!("Sent as the user's name: {}.", directory.auth.username));
    if directory.auth.confirm && directory.kind == Kind::Imap {
        text.say("A good login is confirmed by one more command.");
    }
}

fn recipient_words(text: &mut Text, directory: &Directory) {
    let (lookup, rcpt) = (&directory.lookup, &directory.rcpt);
    let delimiter = &lookup.recipient_delimiter;
    if !delimiter.is_empty() {
        text.say(format!("name{delimiter}detail is asked as name."));
    }
    let case = if lookup.fold_case { "do not tell" } else { "tell" };
    text.say(format!("Capitals and small letters {case} local parts apart."));
    let code_252 = match rcpt.code_252 {
        Code252::Exists => "it exists",
        Code252::Defer => "no answer",
    };
    let policy = match rcpt.policy {
        Policy::Defer => "no answer",
        Policy::Unknown => "UNKNOWN",
    };
    text.say(format!(
        "Asks as sender <{}>; reads 252 as \"{code_252}\", a refusal for reasons of policy as \"{policy}\".",
        rcpt.mail_from
    ));
    if !lookup.canary.is_empty() {
        let canaries: Vec<_> = lookup.canary.iter().map(ToString::to_string).collect();
        let canaries = canaries.join(", ");
        text.say(format!(
            "Must exist: {canaries}. While one is refused, no refusal of its domain is believed: no answer."
        ));
    }
    if lookup.catch_all == CatchAll::Detect {
        text.say(
            "Asks now and then for an address that nobody has; where that one exists too, it has no opinion.",
        );
    }
    if rcpt.microsoft {
        text.say("Reads 550 5.4.1 as \"unknown\" (Microsoft).");
    }
}

fn at_most(limit: Limit) -> String {
    match limit {
        Limit::Unlimited => "any number of".to_owned(),
        Limit::At(most) => format!("at most {most}"),
    }
}
