//! PLAIN (RFC 4616), LOGIN, CRAM-MD5 (RFC 2195), SCRAM (RFC 5802, RFC 7677), XOAUTH2 and OAUTHBEARER (RFC 7628),
//! as IMAP and SMTP both carry them. An account's token is its password.

mod md5;
mod scram;

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
    CramMd5,
    ScramSha1,
    ScramSha256,
    XOauth2,
    OAuthBearer,
}

impl Mechanism {
    pub(crate) fn parse(name: &str) -> Option<Self> {
        match name.to_ascii_uppercase().as_str() {
            "PLAIN" => Some(Self::Plain),
            "LOGIN" => Some(Self::Login),
            "CRAM-MD5" => Some(Self::CramMd5),
            "SCRAM-SHA-1" => Some(Self::ScramSha1),
            "SCRAM-SHA-256" => Some(Self::ScramSha256),
            "XOAUTH2" => Some(Self::XOauth2),
            "OAUTHBEARER" => Some(Self::OAuthBearer),
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
    let challenge = format!("<{}@remote.test>", conn.shared.options.nonce());
    let first = match (initial, mechanism) {
        (Some(_), Mechanism::CramMd5) => {
            conn.violation("an initial response where the mechanism has none");
            return Ok(Exchange::Malformed);
        }
        (None, Mechanism::CramMd5) => ask(conn, prompt, &STANDARD.encode(&challenge)).await?,
        (Some("="), _) => Ok(Vec::new()),
        (Some(initial), _) => decode(initial.as_bytes()),
        (None, Mechanism::Login) => ask(conn, prompt, "VXNlcm5hbWU6").await?,
        (None, _) => ask(conn, prompt, "").await?,
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
        Mechanism::CramMd5 => Ok(cram_md5(conn, &challenge, &first)),
        Mechanism::ScramSha1 => scram::exchange(conn, scram::Hash::sha_1(), &first, prompt).await,
        Mechanism::ScramSha256 => scram::exchange(conn, scram::Hash::sha_256(), &first, prompt).await,
        Mechanism::XOauth2 => token(conn, xoauth2(&first), b"", prompt).await,
        Mechanism::OAuthBearer => token(conn, oauthbearer(&first), b"\x01", prompt).await,
    }
}

/// `response = user SP digest` (RFC 2195 §2); the user may hold spaces.
fn cram_md5(conn: &Conn, challenge: &str, response: &[u8]) -> Exchange {
    let response = String::from_utf8_lossy(response);
    let Some((user, digest)) = response.rsplit_once(' ') else {
        return Exchange::Malformed;
    };
    let password = conn.shared.directory.password(user);
    let right = password.filter(|password| md5::hmac_md5(password, challenge.as_bytes()) == digest);
    Exchange::Credentials(user.as_bytes().to_vec(), right.unwrap_or_else(|| b"\0".to_vec()))
}

/// Judges a user's token: of a bad one the client is told by a challenge, to which it must answer `sorry`.
async fn token(
    conn: &mut Conn,
    said: Option<(String, String)>,
    sorry: &[u8],
    prompt: &str,
) -> Result<Exchange, Over> {
    let Some((user, token)) = said else {
        return Ok(Exchange::Malformed);
    };
    let good = conn
        .shared
        .directory
        .password(&user)
        .is_some_and(|right| right == token.as_bytes());
    if !good {
        let why = STANDARD.encode(r#"{"status":"invalid_token"}"#);
        match ask(conn, prompt, &why).await? {
            Ok(answer) if answer == sorry => {}
            Ok(_) => conn.violation("a refused token with another answer than the mechanism's"),
            Err(failed) => return Ok(failed),
        }
    }
    Ok(Exchange::Credentials(user.into_bytes(), token.into_bytes()))
}

/// `"user=" user %x01 "auth=Bearer " token %x01 %x01`
fn xoauth2(message: &[u8]) -> Option<(String, String)> {
    let message = std::str::from_utf8(message).ok()?;
    let (user, rest) = message.strip_prefix("user=")?.split_once('\u{1}')?;
    let token = rest.strip_prefix("auth=Bearer ")?.strip_suffix("\u{1}\u{1}")?;
    Some((user.to_owned(), token.to_owned()))
}

/// `gs2-header kvsep *kvpair kvsep` (RFC 7628 §3.1)
fn oauthbearer(message: &[u8]) -> Option<(String, String)> {
    let message = std::str::from_utf8(message).ok()?;
    let (header, rest) = message.strip_suffix("\u{1}\u{1}")?.split_once('\u{1}')?;
    let user = header.strip_prefix("n,a=")?.strip_suffix(',')?;
    let token = rest
        .split('\u{1}')
        .find_map(|pair| pair.strip_prefix("auth=Bearer "))?;
    Some((user.replace("=2C", ",").replace("=3D", "="), token.to_owned()))
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
