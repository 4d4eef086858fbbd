//! PLAIN (RFC 4616) and LOGIN, as IMAP and SMTP both carry them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::conn::{Conn, Over};

/// Bytes of one encoded message (RFC 4954 §4).
const MAX_MESSAGE: usize = 12288;

/// The mechanisms spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mechanism {
    Plain,
    Login,
}

impl Mechanism {
    pub(crate) fn parse(name: &str) -> Option<Self> {
        match name.to_ascii_uppercase().as_str() {
            "PLAIN" => Some(Self::Plain),
            "LOGIN" => Some(Self::Login),
            _ => None,
        }
    }
}

/// How an exchange came out.
pub(crate) enum Exchange {
    /// The client's words: user and password.
    Credentials(Vec<u8>, Vec<u8>),
    /// The client wants to be someone else than the user whose password it gave.
    OtherIdentity,
    /// The client sent `*`.
    Cancelled,
    /// No base64, or no message of the mechanism.
    Malformed,
    /// A message over 12288 bytes.
    TooLong,
}

/// Holds the exchange. `initial` is the initial response as it was sent, `prompt` what stands before a
/// challenge: `334 ` or `+ `.
pub(crate) async fn exchange(
    conn: &mut Conn,
    mechanism: Mechanism,
    initial: Option<&str>,
    prompt: &str,
) -> Result<Exchange, Over> {
    let first = match (initial, mechanism) {
        (Some("="), _) => Ok(Vec::new()),
        (Some(initial), _) => decode(initial.as_bytes()),
        (None, Mechanism::Plain) => ask(conn, prompt, "").await?,
        (None, Mechanism::Login) => ask(conn, prompt, "VXNlcm5hbWU6").await?,
    };
    let first = match first {
        Ok(first) => first,
        Err(failed) => return Ok(failed),
    };
    match mechanism {
        Mechanism::Plain => Ok(plain(&first)),
        Mechanism::Login => match ask(conn, prompt, "UGFzc3dvcmQ6").await? {
            Ok(password) => Ok(Exchange::Credentials(first, password)),
            Err(failed) => Ok(failed),
        },
    }
}

async fn ask(conn: &mut Conn, prompt: &str, challenge: &str) -> Result<Result<Vec<u8>, Exchange>, Over> {
    conn.answer("CHALLENGE", "", format!("{prompt}{challenge}\r\n"))
        .await?;
    let line = conn.line().await?;
    Ok(if line == b"*" {
        Err(Exchange::Cancelled)
    } else {
        decode(&line)
    })
}

fn decode(line: &[u8]) -> Result<Vec<u8>, Exchange> {
    if line.len() > MAX_MESSAGE {
        return Err(Exchange::TooLong);
    }
    STANDARD.decode(line).map_err(|_| Exchange::Malformed)
}

/// `message = [authzid] UTF8NUL authcid UTF8NUL passwd` (RFC 4616 §2)
fn plain(message: &[u8]) -> Exchange {
    let parts: Vec<&[u8]> = message.split(|&byte| byte == 0).collect();
    match parts.as_slice() {
        [_, user, password] if user.is_empty() || password.is_empty() => Exchange::Malformed,
        [identity, user, password] if identity.is_empty() || identity == user => {
            Exchange::Credentials(user.to_vec(), password.to_vec())
        }
        [_, _, _] => Exchange::OtherIdentity,
        _ => Exchange::Malformed,
    }
}
