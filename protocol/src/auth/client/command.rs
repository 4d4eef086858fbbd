//! What a client says.

use zeroize::Zeroize;

use crate::auth::{Parameters, fields, id, next, number, parameter, text};
use crate::error::DecodeError;
use crate::sasl::{InvalidBase64, base64_decode};
use crate::secret::Secret;

/// A line from a client.
#[derive(Debug, Clone)]
pub enum Command {
    /// The version of the protocol that the client speaks; its first line.
    Version {
        /// 1; a codec reads no other.
        major: u32,
        /// What of version 1 it knows; see [`Auth::initial_response`].
        minor: u32,
    },
    /// The client's process id, not 0.
    Cpid(u32),
    /// A new request.
    Auth(Auth),
    /// The response to a challenge.
    Cont {
        /// The request it belongs to, not 0.
        id: u32,
        /// The response in base64, as it was sent: maybe empty, maybe invalid.
        data: Secret<[u8]>,
    },
    /// The client has lost interest in a request, which may be over already.
    Cancel {
        /// The request, not 0.
        id: u32,
    },
}

/// A request to check a login.
#[derive(Debug, Clone)]
pub struct Auth {
    /// Chosen by the client, not 0, and not its own while it is pending; that
    /// is for the server to check.
    pub id: u32,
    /// The SASL mechanism in upper case; maybe one that was not offered.
    pub mechanism: String,
    /// The service that asks, and the user.
    pub parameters: Box<Parameters>,
    /// The initial response in base64, as it was sent: maybe empty or invalid.
    pub resp: Option<Secret<[u8]>>,
}

impl Auth {
    /// The initial response, if there is one, for a client of version 1.`minor`.
    ///
    /// Before minor version 2 an empty `resp=` means that there is none (Exim
    /// sends it always); from then on it is an empty one, as `resp==` has
    /// always been.
    ///
    /// # Errors
    /// [`InvalidBase64`]: the request is to be failed at once, the connection lives.
    pub fn initial_response(&self, minor: u32) -> Result<Option<Secret<[u8]>>, InvalidBase64> {
        match &self.resp {
            Some(resp) if minor >= 2 || !resp.expose().is_empty() => base64_decode(resp.expose()).map(Some),
            _ => Ok(None),
        }
    }
}

impl Command {
    /// Reads one line, and overwrites it: it may hold a password.
    pub(super) fn parse(line: &mut [u8]) -> Result<Self, DecodeError> {
        let command = Self::parse_in_place(line);
        line.zeroize();
        command
    }

    /// ```text
    /// command = "VERSION" TAB number TAB number
    ///         / "CPID" TAB id
    ///         / "AUTH" TAB auth
    ///         / "CONT" TAB id TAB base64 *(TAB parameter)
    ///         / "CANCEL" TAB id
    /// ```
    fn parse_in_place(line: &mut [u8]) -> Result<Self, DecodeError> {
        if line.contains(&0) {
            return Err(DecodeError::Malformed("a NUL in a line"));
        }
        let mut fields = fields(line);
        let fields = &mut fields;
        let command = match fields.next() {
            Some(b"VERSION") => Self::Version {
                major: next(fields, number)?,
                minor: next(fields, number)?,
            },
            Some(b"CPID") => Self::Cpid(next(fields, id)?),
            Some(b"AUTH") => Self::Auth(auth(fields)?),
            Some(b"CONT") => {
                let id = next(fields, id)?;
                let data = fields.next().ok_or(DecodeError::Malformed("CONT without data"))?;
                // Later minor versions add parameters, which mean nothing to us.
                return Ok(Self::Cont {
                    id,
                    data: Secret::copy_from(data),
                });
            }
            Some(b"CANCEL") => Self::Cancel {
                id: next(fields, id)?,
            },
            _ => return Err(DecodeError::Malformed("an unknown command")),
        };
        match fields.next() {
            None => Ok(command),
            Some(_) => Err(DecodeError::Malformed("a field too many")),
        }
    }
}

/// ```text
/// auth = id TAB mechanism *(TAB parameter) [TAB "resp=" base64]
/// ```
/// One of the parameters is `service=` or `protocol=`; unknown ones are
/// passed over. `resp=` ends the reading: what follows it is the caller's to refuse.
fn auth<'a>(fields: &mut impl Iterator<Item = &'a [u8]>) -> Result<Auth, DecodeError> {
    let id = next(fields, id)?;
    let mechanism = fields
        .next()
        .ok_or(DecodeError::Malformed("AUTH without a mechanism"))?;
    let mut auth = Auth {
        id,
        mechanism: text(mechanism).to_ascii_uppercase(),
        parameters: Box::default(),
        resp: None,
    };
    let mut has_service = false;
    for field in fields.by_ref() {
        let (name, value) = parameter(field);
        let value = value.unwrap_or_default();
        if name == b"resp" {
            auth.resp = Some(Secret::copy_from(value));
            break;
        }
        has_service |= auth.parameters.note(name, value);
    }
    if !has_service {
        return Err(DecodeError::Malformed("AUTH without a service"));
    }
    Ok(auth)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn auth(line: &[u8]) -> Auth {
        match Command::parse(&mut line.to_vec()).unwrap() {
            Command::Auth(auth) => auth,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn reads_what_dovecot_sends() {
        let found = auth(
            b"AUTH\t1\tPLAIN\tservice=imap\tsecured\tsession=vuek2uRgYpV/AAAB\tlip=127.0.0.1\trip=127.0.0.1\t\
              lport=14143\trport=38242\tresp=AGJvYkBleGFtcGxlLmNvbQBvaw==",
        );
        let said = &found.parameters;
        assert_eq!(
            (found.id, &*found.mechanism, &*said.service),
            (1, "PLAIN", "imap")
        );
        assert_eq!(said.remote_ip.as_deref(), Some("127.0.0.1"));
        assert_eq!(
            (said.remote_port, said.session.as_deref()),
            (Some(38242), Some("vuek2uRgYpV/AAAB"))
        );
        assert!(!said.no_penalty && !said.nologin);
        let response = found.initial_response(2).unwrap().unwrap();
        assert_eq!(response.expose(), b"\0bob@example.com\0ok");

        let newer =
            auth(b"AUTH\t1\tPLAIN\tprotocol=imap\tfinal-resp-ok\tsecured=tls\tresp=AGJvYgBvaw==").parameters;
        assert_eq!(newer.service, "imap");
    }

    #[test]
    fn reads_what_others_send() {
        let exim = auth(b"AUTH\t1\tPLAIN\tservice=smtp\trip=192.0.2.7\tlip=NULL\tnologin\tresp=");
        assert!(exim.parameters.nologin);
        assert!(exim.initial_response(0).unwrap().is_none());
        let chasquid = auth(b"AUTH\t4294967295\tlogin\tservice=smtp\tno-penalty");
        assert!(chasquid.parameters.no_penalty && chasquid.resp.is_none());
        assert_eq!((chasquid.id, &*chasquid.mechanism), (u32::MAX, "LOGIN"));
        assert_eq!(auth(b"AUTH\t01\tPLAIN\tservice=smtp").id, 1);
    }

    #[test]
    fn an_empty_response_depends_on_the_version() {
        let initial = |resp: &str, minor| {
            let found = auth(format!("AUTH\t1\tPLAIN\tservice=x{resp}").as_bytes());
            let response = found.initial_response(minor);
            response.map(|response| response.map(|bytes| bytes.expose().to_vec()))
        };
        for minor in [0, 1, 2, 4] {
            assert_eq!(initial("", minor), Ok(None));
            assert_eq!(initial("\tresp==", minor), Ok(Some(vec![])));
            assert_eq!(initial("\tresp=YQ==", minor), Ok(Some(b"a".to_vec())));
            assert_eq!(initial("\tresp=!", minor), Err(InvalidBase64));
            let empty = if minor < 2 { None } else { Some(vec![]) };
            assert_eq!(initial("\tresp=", minor), Ok(empty));
        }
    }

    #[test]
    fn compares_whole_names_and_unescapes_values() {
        let found =
            auth(b"AUTH\t1\tPLAIN\tservice=a\x01tresp=x\treal_rip=1\tsecuredly\trespond=YQ==\t\tdebug");
        assert_eq!(found.parameters.service, "a\tresp=x");
        assert!(found.parameters.remote_ip.is_none() && found.resp.is_none());
        let odd = auth(b"AUTH\t1\tPLAIN\tservice=\xff").parameters;
        assert_eq!(odd.service, "\u{fffd}");
    }

    #[test]
    fn reads_the_small_ones() {
        for (line, printed) in [
            ("VERSION\t1\t2", "Version { major: 1, minor: 2 }"),
            ("CPID\t28528", "Cpid(28528)"),
            ("CANCEL\t7", "Cancel { id: 7 }"),
            ("CONT\t4\tAGJvYgBiYWQ=", "Cont { id: 4, data: [secret] }"),
            ("CONT\t4\t", "Cont { id: 4, data: [secret] }"),
            (
                "CONT\t4\tYQ==\tchannel_binding=x", "Cont { id: 4, data: [secret] }",
            ),
        ] {
            let command = Command::parse(&mut line.as_bytes().to_vec()).unwrap();
            assert_eq!(format!("{command:?}"), printed);
        }
        let cont = Command::parse(&mut b"CONT\t4\tYm9i\tx".to_vec()).unwrap();
        assert!(matches!(cont, Command::Cont { data, .. } if data.expose() == b"Ym9i"));
    }

    #[test]
    fn overwrites_what_it_has_read() {
        for line in ["CONT\t4\tYm9i", "AUTH\t1\tPLAIN\tresp=Ym9i", "Ym9i"] {
            let mut line = line.as_bytes().to_vec();
            let _ = Command::parse(&mut line);
            assert!(line.iter().all(|&byte| byte == 0));
        }
    }

    #[test]
    fn refuses_what_breaks_the_grammar() {
        for line in [
            "", "\t", "auth\t1\tPLAIN\tservice=x", "VERSION", "VERSION\t1", "VERSION\t1\tx",
            "VERSION\t1\t2\t3", "CPID", "CPID\t0", "CPID\t-1", "CPID\t1\t2", "AUTH", "AUTH\t1",
            "AUTH\t1\tPLAIN", "AUTH\t0\tPLAIN\tservice=x", "AUTH\t4294967296\tPLAIN\tservice=x",
            "AUTH\tx\tPLAIN\tservice=x", "AUTH\t1\tPLAIN\tresp=YQ==",
            "AUTH\t1\tPLAIN\tservice=x\tresp=YQ==\tsecured", "AUTH\t1\tPLAIN\tservice=x\tresp=\t",
            "AUTH\t1\tPLAIN\tservice=x\0", "CONT", "CONT\t1", "CONT\t0\tYQ==", "CANCEL", "CANCEL\t0",
            "CANCEL\t1\t1", "USER\t1\tbob\tservice=x",
        ] {
            let read = Command::parse(&mut line.as_bytes().to_vec());
            assert!(
                matches!(read, Err(DecodeError::Malformed(_))),
                "{line:?}: {read:?}"
            );
        }
    }
}
