//! IMAP (RFC 3501) up to and a little beyond a login, with SASL-IR (RFC 4959), non-synchronizing literals
//! (RFC 7888), ID (RFC 2971) and UNAUTHENTICATE (RFC 8437).

use std::sync::Arc;

use crate::conn::{Conn, MAX_LITERAL, Never, Over};
use crate::log::End;
use crate::options::Security;
use crate::sasl::{self, Exchange, Mechanism};
use crate::session::Shared;
use crate::token::{Literal, is_tag, tokens};
use crate::verdict;

/// Bytes of a non-synchronizing literal under LITERAL- (RFC 7888 §5).
const MAX_LITERAL_MINUS: usize = 4096;

/// Literals in one command.
const MAX_LITERALS: usize = 8;

const VERBS: [&str; 11] = [
    "CAPABILITY", "NOOP", "LOGOUT", "STARTTLS", "AUTHENTICATE", "LOGIN", "ID", "LIST", "NAMESPACE",
    "UNAUTHENTICATE", "SELECT",
];

/// The server's side of one session, from the greeting on.
pub(crate) async fn dialog(conn: &mut Conn) -> Result<Never, Over> {
    let shared = Arc::clone(&conn.shared);
    let imap = Imap {
        conn,
        shared,
        authenticated: false,
    };
    let code = imap.capability_code();
    imap.conn
        .answer("GREETING", "*", format!("* OK {code}remote.test ready\r\n"))
        .await?;
    imap.run().await
}

struct Imap<'c> {
    conn: &'c mut Conn,
    shared: Arc<Shared>,
    authenticated: bool,
}

/// A command as it arrived: `tag SP verb *(SP argument)`.
struct Command {
    tag: String,
    verb: &'static str,
    /// What followed the verb on its first line.
    rest: String,
    arguments: Vec<Vec<u8>>,
}

/// What a tagged reply says: `OK`, `NO` or `BAD`, and the text.
type Status = String;

impl Imap<'_> {
    async fn run(mut self) -> Result<Never, Over> {
        loop {
            let Some(command) = self.command().await? else {
                continue;
            };
            self.shared.ledger.add(command.verb);
            match command.verb {
                "LOGOUT" => {
                    let text = "OK Logged out".to_owned();
                    self.say(&command, "* BYE Logging out\r\n", text).await?;
                    return Err(Over(End::Goodbye));
                }
                "STARTTLS" => self.starttls(&command).await?,
                "AUTHENTICATE" => self.authenticate(&command).await?,
                "LOGIN" => self.login_command(&command).await?,
                "UNAUTHENTICATE" => self.unauthenticate(&command).await?,
                _ => self.simple(&command).await?,
            }
        }
    }

    /// Reads a command with its literals. A malformed one is answered here.
    async fn command(&mut self) -> Result<Option<Command>, Over> {
        let line = self.conn.command().await?;
        let text = String::from_utf8_lossy(&line).into_owned();
        let mut words = text.splitn(3, ' ');
        let (tag, verb) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
        let rest = words.next().unwrap_or("").to_owned();
        if !is_tag(tag) {
            self.conn.violation("a tag that is none");
            self.conn
                .answer("?", "*", "* BAD Invalid tag\r\n".to_owned())
                .await?;
            return Ok(None);
        }
        let word = verb.to_ascii_uppercase();
        let verb = VERBS.into_iter().find(|known| *known == word).unwrap_or("?");
        let arguments_at = line.len().min(tag.len() + 1 + word.len());
        let mut command = Command {
            tag: tag.to_owned(),
            verb,
            rest,
            arguments: Vec::new(),
        };
        let mut line = line.get(arguments_at..).unwrap_or_default().to_vec();
        for _ in 0..=MAX_LITERALS {
            match tokens(&line, &mut command.arguments) {
                Ok(None) => return Ok(Some(command)),
                Ok(Some(literal)) => match self.literal(&command, literal).await? {
                    Some(bytes) => command.arguments.push(bytes),
                    None => return Ok(None),
                },
                Err(()) => break,
            }
            line = self.conn.line().await?;
        }
        self.conn.violation("a command that cannot be parsed");
        self.say(&command, "", "BAD Cannot parse that".to_owned()).await?;
        Ok(None)
    }

    /// Reads a literal, or refuses it.
    async fn literal(&mut self, command: &Command, literal: Literal) -> Result<Option<Vec<u8>>, Over> {
        let allowed = literal.synchronizing
            || self.offers("LITERAL+")
            || (self.offers("LITERAL-") && literal.size <= MAX_LITERAL_MINUS);
        if !allowed || (literal.size > MAX_LITERAL && !literal.synchronizing) {
            // The client has sent the bytes already: there is no way to go on.
            self.conn
                .violation("a non-synchronizing literal that was not allowed");
            return Err(self.conn.part("Literal not allowed"));
        }
        if literal.size > MAX_LITERAL {
            self.say(command, "", "NO [TOOBIG] Literal too big".to_owned())
                .await?;
            return Ok(None);
        }
        if literal.synchronizing {
            self.conn
                .answer("CHALLENGE", &command.tag, "+ go\r\n".to_owned())
                .await?;
        }
        let bytes = self.conn.exact(literal.size).await?;
        if bytes.contains(&0) {
            self.conn.violation("a NUL in a literal");
        }
        Ok(Some(bytes))
    }

    async fn simple(&mut self, command: &Command) -> Result<(), Over> {
        let capability = format!("* CAPABILITY {}\r\n", self.capabilities().join(" "));
        let (untagged, status) = match command.verb {
            "CAPABILITY" => (capability.as_str(), "OK Done"),
            "NOOP" => ("", "OK Done"),
            "ID" if !self.offers("ID") => ("", "BAD ID is not offered"),
            // A later one is not believed, as with Dovecot.
            "ID" if self.authenticated => ("", "BAD Too late"),
            "ID" => ("* ID (\"name\" \"remote\")\r\n", "OK Done"),
            "LIST" | "NAMESPACE" | "SELECT" if !self.authenticated => ("", "BAD Log in first"),
            "LIST" => ("* LIST (\\Noselect) \"/\" \"\"\r\n", "OK Done"),
            "NAMESPACE" => ("* NAMESPACE ((\"\" \"/\")) NIL NIL\r\n", "OK Done"),
            "SELECT" => ("", "NO [NONEXISTENT] No mailboxes here"),
            _ => ("", "BAD Unknown command"),
        };
        self.say(command, untagged, status.to_owned()).await?;
        Ok(())
    }

    async fn starttls(&mut self, command: &Command) -> Result<(), Over> {
        let Security::StartTls(identity) = self.shared.options.security.clone() else {
            return self.out_of_place(command, "BAD STARTTLS is not offered").await;
        };
        if self.conn.tls() {
            return self.out_of_place(command, "BAD TLS is on already").await;
        }
        if self.authenticated {
            return self.out_of_place(command, "BAD Too late").await;
        }
        if self.conn.more_waits() {
            self.conn.violation("cleartext behind STARTTLS");
            return Err(self.conn.part("Improper pipelining"));
        }
        let said = self.say(command, "", "OK Begin TLS".to_owned()).await?;
        if accepted(&said, &command.tag) {
            self.conn.start_tls(&identity).await?;
        }
        Ok(())
    }

    /// `"AUTHENTICATE" SP auth-type [SP initial-resp]` (RFC 4959 §7)
    async fn authenticate(&mut self, command: &Command) -> Result<(), Over> {
        let mut words = command.rest.splitn(2, ' ');
        let name = words.next().unwrap_or("").to_ascii_uppercase();
        let initial = words.next();
        let offered = self
            .capabilities()
            .iter()
            .any(|known| known.eq_ignore_ascii_case(&format!("AUTH={name}")));
        if let Some(refusal) = self.login_refusal() {
            return self.out_of_place(command, refusal).await;
        }
        let Some(mechanism) = Mechanism::parse(&name).filter(|_| offered) else {
            return self
                .out_of_place(command, "NO [CANNOT] Mechanism not offered")
                .await;
        };
        if initial.is_some() && !self.offers("SASL-IR") && !self.offers("IMAP4rev2") {
            return self.out_of_place(command, "BAD SASL-IR is not offered").await;
        }
        let refusal = match sasl::exchange(self.conn, mechanism, initial, "+ ").await? {
            Exchange::Credentials(user, password) => return self.login(command, &user, &password).await,
            Exchange::OtherIdentity => "NO [AUTHORIZATIONFAILED] Not authorized to be someone else",
            Exchange::Cancelled => "BAD Authentication cancelled",
            Exchange::Malformed | Exchange::TooLong => "BAD Cannot decode that",
        };
        self.say(command, "", refusal.to_owned()).await?;
        Ok(())
    }

    /// `"LOGIN" SP userid SP password`
    async fn login_command(&mut self, command: &Command) -> Result<(), Over> {
        if let Some(refusal) = self.login_refusal() {
            return self.out_of_place(command, refusal).await;
        }
        match command.arguments.as_slice() {
            [user, password] => self.login(command, user, password).await,
            _ => {
                self.out_of_place(command, "BAD LOGIN takes a user and a password")
                    .await
            }
        }
    }

    /// Why a login may not even begin.
    fn login_refusal(&self) -> Option<&'static str> {
        if self.authenticated {
            Some("BAD Already authenticated")
        } else if !self.shared.options.cleartext_login && !self.conn.tls() {
            Some("NO [PRIVACYREQUIRED] TLS first")
        } else {
            None
        }
    }

    async fn login(&mut self, command: &Command, user: &[u8], password: &[u8]) -> Result<(), Over> {
        let (login, delay) = self.shared.directory.login(user, password);
        self.conn.pause(delay).await?;
        let status = verdict::imap_login(login, || self.code_after_login());
        if !status.starts_with("OK") {
            self.conn.pause(self.shared.options.delays.failed_login).await?;
        }
        let said = self.say(command, "", status).await?;
        self.authenticated = accepted(&said, &command.tag);
        self.conn.count_login(self.authenticated)
    }

    async fn unauthenticate(&mut self, command: &Command) -> Result<(), Over> {
        let knows = |word: &String| word.eq_ignore_ascii_case("UNAUTHENTICATE");
        if !self.authenticated || !self.shared.options.capabilities_after_login.iter().any(knows) {
            return self.out_of_place(command, "BAD Unknown command").await;
        }
        let said = self.say(command, "", "OK As new".to_owned()).await?;
        self.authenticated = !accepted(&said, &command.tag);
        Ok(())
    }

    /// What is offered in the present state.
    fn capabilities(&self) -> Vec<String> {
        let options = &self.shared.options;
        let mut offered = options.capabilities.clone();
        if self.authenticated {
            offered.retain(|word| !word.to_ascii_uppercase().starts_with("AUTH="));
            offered.extend(options.capabilities_after_login.iter().cloned());
            return offered;
        }
        if !self.conn.tls() {
            if matches!(options.security, Security::StartTls(_)) {
                offered.push("STARTTLS".to_owned());
            }
            if !options.cleartext_login {
                offered.retain(|word| !word.to_ascii_uppercase().starts_with("AUTH="));
                offered.push("LOGINDISABLED".to_owned());
            }
        }
        offered
    }

    fn capability_code(&self) -> String {
        if self.shared.options.capability_codes {
            format!("[CAPABILITY {}] ", self.capabilities().join(" "))
        } else {
            String::new()
        }
    }

    fn code_after_login(&mut self) -> String {
        self.authenticated = true;
        let code = self.capability_code();
        self.authenticated = false;
        code
    }

    fn offers(&self, capability: &str) -> bool {
        self.shared
            .options
            .capabilities
            .iter()
            .any(|word| word.eq_ignore_ascii_case(capability))
    }

    /// Refuses what a well-made client does not ask.
    async fn out_of_place(&mut self, command: &Command, status: &str) -> Result<(), Over> {
        self.conn.violation(&format!("{} out of place", command.verb));
        self.say(command, "", status.to_owned()).await?;
        Ok(())
    }

    async fn say(&mut self, command: &Command, untagged: &str, status: Status) -> Result<String, Over> {
        let tag = &command.tag;
        let status = if self.shared.options.status_codes {
            status
        } else {
            verdict::without_response_code(&status)
        };
        self.conn
            .answer(command.verb, tag, format!("{untagged}{tag} {status}\r\n"))
            .await
    }
}

/// Whether a reply that was really sent ends in the tagged OK.
fn accepted(said: &str, tag: &str) -> bool {
    let last = said.trim_end().rsplit('\n').next().unwrap_or(said);
    last.strip_prefix(tag).is_some_and(|rest| rest.starts_with(" OK"))
}
