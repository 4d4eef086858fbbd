//! SMTP (RFC 5321) and LMTP (RFC 2033) up to RCPT, with STARTTLS (RFC 3207) and AUTH (RFC 4954).

use std::sync::Arc;

use crate::address::{mailbox, path_and_parameters};
use crate::conn::{Conn, Never, Over};
use crate::log::End;
use crate::options::{Protocol, Security};
use crate::sasl::{self, Exchange, Mechanism};
use crate::session::Shared;
use crate::verdict;

/// Bytes of a command line with its CRLF (RFC 5321 §4.5.3.1.4); parameters of MAIL and RCPT may add to it.
const MAX_COMMAND: usize = 512;

const VERBS: [&str; 13] = [
    "EHLO", "LHLO", "XCLIENT", "STARTTLS", "AUTH", "MAIL", "RCPT", "RSET", "NOOP", "QUIT", "VRFY", "EXPN",
    "DATA",
];

/// The server's side of one session, from the greeting on.
pub(crate) async fn dialog(conn: &mut Conn) -> Result<Never, Over> {
    let shared = Arc::clone(&conn.shared);
    let kind = if shared.options.protocol == Protocol::Lmtp {
        "LMTP"
    } else {
        "ESMTP"
    };
    conn.answer("GREETING", "", format!("220 mx.remote.test {kind} ready\r\n"))
        .await?;
    Smtp {
        conn,
        shared,
        greeted: false,
        authenticated: false,
        transaction: None,
        transactions: 0,
    }
    .run()
    .await
}

struct Smtp<'c> {
    conn: &'c mut Conn,
    shared: Arc<Shared>,
    /// EHLO or LHLO was said since the session, or TLS, began.
    greeted: bool,
    authenticated: bool,
    transaction: Option<Transaction>,
    transactions: u32,
}

/// What MAIL began.
struct Transaction {
    /// `SMTPUTF8` was said.
    utf8: bool,
    recipients: u32,
}

impl Smtp<'_> {
    async fn run(mut self) -> Result<Never, Over> {
        loop {
            let line = self.conn.command().await?;
            let line = String::from_utf8_lossy(&line).into_owned();
            let (word, args) = line.split_once(' ').unwrap_or((&line, ""));
            let verb = word.to_ascii_uppercase();
            let verb = VERBS.into_iter().find(|known| *known == verb).unwrap_or("?");
            self.shared.ledger.add(verb);
            self.check_pipelining(verb)?;
            let longest = if matches!(verb, "MAIL" | "RCPT") {
                2 * MAX_COMMAND
            } else {
                MAX_COMMAND
            };
            if line.len() + 2 > longest {
                self.conn.violation("a command line that is too long");
                let code = if verb == "AUTH" { "5.5.6" } else { "5.5.2" };
                self.say(verb, format!("500 {code} Line too long")).await?;
                continue;
            }
            match verb {
                "AUTH" => self.auth(args).await?,
                "RCPT" => self.rcpt(args).await?,
                "QUIT" => {
                    self.say(verb, "221 2.0.0 Bye".to_owned()).await?;
                    return Err(Over(End::Goodbye));
                }
                _ => self.simple(verb, args).await?,
            }
        }
    }

    /// A command that is answered from the state alone, and what it changes if the answer is 2yz.
    async fn simple(&mut self, verb: &'static str, args: &str) -> Result<(), Over> {
        let mut utf8 = false;
        let answer = match verb {
            "EHLO" | "LHLO" => self.hello(verb, args),
            "STARTTLS" => self.starttls(args),
            "MAIL" => {
                self.transactions += 1;
                if self
                    .shared
                    .options
                    .limits
                    .transactions
                    .is_some_and(|most| self.transactions > most)
                {
                    return Err(self.conn.part("Too many messages"));
                }
                self.mail(args).map(|said_utf8| {
                    utf8 = said_utf8;
                    "250 2.1.0 Ok".to_owned()
                })
            }
            "RSET" | "NOOP" => Ok("250 2.0.0 Ok".to_owned()),
            "XCLIENT" => self.xclient(args),
            "VRFY" => Ok("252 2.5.2 Cannot verify, but send it".to_owned()),
            _ => Err("502 5.5.1 Command not implemented".to_owned()),
        };
        let (Ok(answer) | Err(answer)) = answer;
        let said = self.say(verb, answer).await?;
        if !said.starts_with('2') {
            return Ok(());
        }
        match verb {
            "EHLO" | "LHLO" => (self.greeted, self.transaction) = (true, None),
            "RSET" => self.transaction = None,
            "MAIL" => self.transaction = Some(Transaction { utf8, recipients: 0 }),
            // The session begins anew, on behalf of someone else (Postfix XCLIENT_README).
            "XCLIENT" => (self.greeted, self.authenticated) = (false, false),
            "STARTTLS" => {
                if let Security::StartTls(identity) = &self.shared.options.security {
                    self.conn.start_tls(identity).await?;
                    // Everything from before is forgotten (RFC 3207 §4.2).
                    (self.greeted, self.authenticated, self.transaction) = (false, false, None);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// `"XCLIENT" 1*(SP attribute "=" value)`, each attribute one that is offered (Postfix `XCLIENT_README`).
    fn xclient(&self, args: &str) -> Result<String, String> {
        let offered = self.shared.options.capabilities.iter();
        let offered = offered
            .map(String::as_str)
            .find(|line| keyword(line).eq_ignore_ascii_case("XCLIENT"));
        let takes = |name: &str| offered.is_some_and(|line| line.split(' ').skip(1).any(|it| it == name));
        let fits = |pair: &str| match pair.split_once('=') {
            Some((name, _)) if !takes(name) => false,
            Some(("ADDR", text)) => match text.strip_prefix("IPV6:") {
                Some(text) => text.parse::<std::net::Ipv6Addr>().is_ok(),
                None => text.parse::<std::net::Ipv4Addr>().is_ok(),
            },
            Some(("PORT", text)) => text.parse::<u16>().is_ok(),
            pair => pair.is_some(),
        };
        let error = if offered.is_none() {
            "502 5.5.1 XCLIENT is not offered"
        } else if self.transaction.is_some() {
            "503 5.5.1 MAIL transaction in progress"
        } else if args.is_empty() || !args.split(' ').all(fits) {
            "501 5.5.4 Bad XCLIENT"
        } else {
            return Ok("220 mx.remote.test ready".to_owned());
        };
        self.conn.violation("XCLIENT out of place");
        Err(error.to_owned())
    }

    fn hello(&self, verb: &str, args: &str) -> Result<String, String> {
        let lmtp = self.shared.options.protocol == Protocol::Lmtp;
        if lmtp != (verb == "LHLO") {
            self.conn.violation("a greeting of the other protocol");
            return Err("500 5.5.1 Command unrecognized".to_owned());
        }
        if args.is_empty() || args.contains(' ') {
            self.conn.violation("a greeting without a name");
            return Err("501 5.5.4 Say who you are".to_owned());
        }
        let mut lines = vec!["mx.remote.test".to_owned()];
        lines.extend(self.offered());
        let last = lines.pop().unwrap_or_default();
        let mut reply: String = lines.iter().map(|line| format!("250-{line}\r\n")).collect();
        reply.push_str(&format!("250 {last}"));
        Ok(reply)
    }

    /// What EHLO lists in the present state.
    fn offered(&self) -> Vec<String> {
        let options = &self.shared.options;
        let hides_auth = !options.cleartext_login && !self.conn.tls();
        let mut offered: Vec<String> = options
            .capabilities
            .iter()
            .filter(|line| !(hides_auth && keyword(line).eq_ignore_ascii_case("AUTH")))
            .cloned()
            .collect();
        if matches!(options.security, Security::StartTls(_)) && !self.conn.tls() {
            offered.push("STARTTLS".to_owned());
        }
        offered
    }

    fn offers(&self, extension: &str) -> bool {
        self.shared
            .options
            .capabilities
            .iter()
            .any(|line| keyword(line).eq_ignore_ascii_case(extension))
    }

    fn starttls(&self, args: &str) -> Result<String, String> {
        let error = if !matches!(self.shared.options.security, Security::StartTls(_)) {
            "502 5.5.1 STARTTLS is not offered"
        } else if self.conn.tls() {
            "503 5.5.1 TLS is on already"
        } else if !self.greeted {
            "503 5.5.1 EHLO first"
        } else if !args.is_empty() {
            "501 5.5.4 No parameters allowed"
        } else {
            return Ok("220 2.0.0 Go ahead".to_owned());
        };
        self.conn.violation("STARTTLS out of place");
        Err(error.to_owned())
    }

    /// `"AUTH" SP sasl-mech [SP initial-response]` (RFC 4954 §4)
    async fn auth(&mut self, args: &str) -> Result<(), Over> {
        let (name, initial) = match args.split_once(' ') {
            Some((name, initial)) => (name, Some(initial)),
            None => (args, None),
        };
        let mechanism = match self.auth_allowed(name) {
            Ok(mechanism) => mechanism,
            Err(refusal) => {
                self.conn.violation("AUTH out of place");
                self.say("AUTH", refusal.to_owned()).await?;
                return Ok(());
            }
        };
        let refusal = match sasl::exchange(self.conn, mechanism, initial, "334 ").await? {
            Exchange::Credentials(user, password) => return self.login(&user, &password).await,
            Exchange::OtherIdentity => "535 5.7.8 Not authorized to be someone else",
            Exchange::Cancelled => "501 5.7.0 Authentication cancelled",
            Exchange::Malformed => "501 5.5.2 Cannot decode that",
            Exchange::TooLong => "500 5.5.6 Authentication exchange line is too long",
        };
        self.say("AUTH", refusal.to_owned()).await?;
        Ok(())
    }

    fn auth_allowed(&self, mechanism: &str) -> Result<Mechanism, &'static str> {
        let offered = self.offered();
        let mechanisms = offered
            .iter()
            .find(|line| keyword(line).eq_ignore_ascii_case("AUTH"));
        if !self.greeted {
            Err("503 5.5.1 EHLO first")
        } else if self.authenticated {
            Err("503 5.5.1 Already authenticated")
        } else if self.transaction.is_some() {
            Err("503 5.5.1 Not inside a mail transaction")
        } else if !self.shared.options.cleartext_login && !self.conn.tls() {
            Err("538 5.7.11 Encryption required")
        } else if let Some(mechanisms) = mechanisms {
            let known = mechanisms
                .split([' ', '='])
                .skip(1)
                .any(|name| name.eq_ignore_ascii_case(mechanism));
            Mechanism::parse(mechanism)
                .filter(|_| known)
                .ok_or("504 5.5.4 Mechanism not offered")
        } else {
            Err("502 5.5.1 AUTH is not offered")
        }
    }

    async fn login(&mut self, user: &[u8], password: &[u8]) -> Result<(), Over> {
        let (login, delay) = self.shared.directory.login(user, password);
        self.conn.pause(delay).await?;
        let answer = verdict::smtp_login(login);
        if !answer.starts_with('2') {
            self.conn.pause(self.shared.options.delays.failed_login).await?;
        }
        let said = self.say("AUTH", answer).await?;
        self.authenticated = said.starts_with('2');
        self.conn.count_login(self.authenticated)
    }

    /// `"MAIL FROM:" Reverse-path [SP Mail-parameters]`; whether SMTPUTF8 was said.
    fn mail(&self, args: &str) -> Result<bool, String> {
        if !self.greeted {
            self.conn.violation("MAIL before EHLO");
            return Err("503 5.5.1 Say hello first".to_owned());
        }
        if self.transaction.is_some() {
            self.conn.violation("MAIL inside a transaction");
            return Err("503 5.5.1 Nested MAIL".to_owned());
        }
        let Some((path, parameters)) = path_and_parameters(args, "FROM:") else {
            self.conn.violation("MAIL that cannot be parsed");
            return Err("501 5.5.4 Syntax: MAIL FROM:<address>".to_owned());
        };
        let mut utf8 = false;
        for parameter in parameters.split_whitespace() {
            match keyword(parameter).to_ascii_uppercase().as_str() {
                "SMTPUTF8" if self.offers("SMTPUTF8") => utf8 = true,
                "SIZE" if self.offers("SIZE") => {}
                "BODY" if self.offers("8BITMIME") => {}
                _ => return Err(self.not_offered()),
            }
        }
        if !path.is_empty() {
            self.check_address(path, utf8)?;
        }
        Ok(utf8)
    }

    /// `"RCPT TO:" Forward-path [SP Rcpt-parameters]`
    async fn rcpt(&mut self, args: &str) -> Result<(), Over> {
        let address = path_and_parameters(args, "TO:").map_or(args, |(path, _)| path);
        let mut kept = false;
        self.conn
            .note(|log| kept = log.recipient_asked(address, self.shared.options.record));
        let answer = match self.check_recipient(args) {
            Ok((local, domain, ignore_quota)) => {
                let (found, delay) = self.shared.directory.recipient(&local, &domain);
                self.conn.pause(delay).await?;
                verdict::recipient(found, ignore_quota)
            }
            Err(refusal) => refusal,
        };
        let said = self.say("RCPT", answer).await?;
        let code = said.get(..3).and_then(|code| code.parse().ok()).unwrap_or(0);
        self.conn.note(|log| log.recipient_answered(code, kept));
        Ok(())
    }

    /// The local part without quotes, the domain, and whether IGNOREQUOTA was said.
    fn check_recipient(&mut self, args: &str) -> Result<(String, String, bool), String> {
        let Some(transaction) = &mut self.transaction else {
            // Behind a refused MAIL in one group this is no fault of the client's.
            return Err("503 5.5.1 MAIL first".to_owned());
        };
        transaction.recipients += 1;
        let (utf8, asked) = (transaction.utf8, transaction.recipients);
        if self
            .shared
            .options
            .limits
            .recipients
            .is_some_and(|most| asked > most)
        {
            return Err("452 4.5.3 Too many recipients".to_owned());
        }
        let Some((path, parameters)) = path_and_parameters(args, "TO:") else {
            self.conn.violation("RCPT that cannot be parsed");
            return Err("501 5.5.4 Syntax: RCPT TO:<address>".to_owned());
        };
        let mut ignore_quota = false;
        for parameter in parameters.split_whitespace() {
            if !parameter.eq_ignore_ascii_case("IGNOREQUOTA") || !self.offers("IGNOREQUOTA") {
                return Err(self.not_offered());
            }
            ignore_quota = true;
        }
        let (local, domain) = self.check_address(path, utf8)?;
        Ok((local, domain, ignore_quota))
    }

    fn check_address(&self, path: &str, utf8: bool) -> Result<(String, String), String> {
        let Some((local, domain)) = mailbox(path) else {
            self.conn.violation("an address that is none");
            return Err("501 5.1.3 Bad address syntax".to_owned());
        };
        if !path.is_ascii() && !utf8 {
            self.conn
                .violation("an internationalized address without SMTPUTF8");
            return Err("553 5.6.7 Address needs SMTPUTF8".to_owned());
        }
        Ok((local, domain))
    }

    fn not_offered(&self) -> String {
        self.conn.violation("a parameter that was not offered");
        "555 5.5.4 Unsupported parameter".to_owned()
    }

    /// What must be the last of a group (RFC 2920 §3.1), or alone if there is no PIPELINING, is: servers in
    /// the field close on a client that errs here.
    fn check_pipelining(&mut self, verb: &str) -> Result<(), Over> {
        let last = matches!(verb, "EHLO" | "LHLO" | "XCLIENT" | "STARTTLS" | "AUTH");
        if self.conn.more_waits() && (last || !self.offers("PIPELINING")) {
            self.conn.violation("improper pipelining");
            return Err(self.conn.part("Improper pipelining"));
        }
        Ok(())
    }

    async fn say(&mut self, verb: &str, reply: String) -> Result<String, Over> {
        let reply = if self.shared.options.status_codes {
            reply
        } else {
            verdict::without_enhanced_codes(&reply)
        };
        self.conn.answer(verb, "", reply + "\r\n").await
    }
}

/// The part of a line before the first space or `=`.
fn keyword(line: &str) -> &str {
    line.split([' ', '=']).next().unwrap_or(line)
}
