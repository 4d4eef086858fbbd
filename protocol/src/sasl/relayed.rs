//! Mechanisms that we carry between a client and a remote: we read the name in
//! them, and prove nothing ourselves.
//!
//! XOAUTH2 and OAUTHBEARER (RFC 7628) bring a token. CRAM-MD5 (RFC 2195), DIGEST-MD5
//! (RFC 2831) and SCRAM (RFC 5802, RFC 7677) prove a password that we never see.
//! The `-PLUS` variants are not among them: they bind the proof to the client's TLS
//! channel, which ends before the remote.
//!
//! ```
//! use vouch_protocol::sasl::RelayedMechanism;
//! use vouch_protocol::sasl::relayed::Unreadable;
//!
//! let user = RelayedMechanism::CramMd5.user_in(b"jane b913a602c7eda7a495b4e6e7334d3890")?;
//! assert_eq!(user, b"jane");
//! assert_eq!(RelayedMechanism::CramMd5.user_in(b"jane"), Err(Unreadable::Malformed));
//! # Ok::<(), Unreadable>(())
//! ```

use crate::secret::Secret;

/// Bound (clients, bytes): message of a login dialog or token. Beyond: the login gets no answer, without asking; the
/// log has the reason. Why: its base64 is as long as an SMTP server takes (12,288 octets, RFC 4954 section 4).
pub const MESSAGE_LIMIT: usize = 9216;

/// Bound (questions, bytes): challenge of a mail server. Beyond: the session is closed, no answer. Why: its base64
/// fits a line that Exim reads (8,191); RFC 2831 section 2.1.1 ends at 2,048.
pub const CHALLENGE_LIMIT: usize = 4096;

/// Bound (questions): challenges in one dialog. Beyond: the session is closed, no answer. Why: DIGEST-MD5 and SCRAM
/// have two.
pub const CHALLENGES: usize = 8;

/// A mechanism that is carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RelayedMechanism {
    /// Google's form of a bearer token.
    XOauth2,
    /// A bearer token (RFC 7628).
    OAuthBearer,
    /// Challenge and response (RFC 2195).
    CramMd5,
    /// Challenge and response, with proof of the server (RFC 2831).
    DigestMd5,
    /// RFC 5802.
    ScramSha1,
    /// RFC 7677.
    ScramSha256,
}

/// Why a client's message cannot be carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It is no message of its mechanism.
    #[error("not a message of its mechanism")]
    Malformed,
    /// The client asks to act as somebody else, which we let nobody do.
    #[error("the authorization identity is not the authentication identity")]
    ForeignAuthzid,
    /// It names nobody.
    #[error("the user name is empty")]
    NoUser,
    /// It may be good; only we do not carry so much.
    #[error("the message is longer than {MESSAGE_LIMIT} bytes, the most that is sent to a remote")]
    TooLong,
    /// It is bound to the client's TLS channel, which is not the remote's.
    #[error("channel binding cannot be carried to another server")]
    ChannelBinding,
}

/// What a token message says.
#[derive(Debug, Clone)]
pub struct Bearer {
    /// The user; not empty.
    pub user: Vec<u8>,
    /// All that follows the name: the token and what belongs to it.
    pub rest: Secret<[u8]>,
}

impl RelayedMechanism {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::XOauth2,
        Self::OAuthBearer,
        Self::CramMd5,
        Self::DigestMd5,
        Self::ScramSha1,
        Self::ScramSha256,
    ];

    /// The registered name, in upper case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::XOauth2 => "XOAUTH2",
            Self::OAuthBearer => "OAUTHBEARER",
            Self::CramMd5 => "CRAM-MD5",
            Self::DigestMd5 => "DIGEST-MD5",
            Self::ScramSha1 => "SCRAM-SHA-1",
            Self::ScramSha256 => "SCRAM-SHA-256",
        }
    }

    /// The mechanism of that name in any case, if it is one of these.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|mechanism| mechanism.name().eq_ignore_ascii_case(name))
    }

    /// Whether it brings a token: one message that holds all. The others are dialogs.
    pub const fn is_token(self) -> bool {
        matches!(self, Self::XOauth2 | Self::OAuthBearer)
    }

    /// Whether the client speaks first.
    pub const fn client_first(self) -> bool {
        !matches!(self, Self::CramMd5 | Self::DigestMd5)
    }

    /// How many messages of the client a remote must have heard before its yes can be
    /// meant: SCRAM's proof is in the second.
    pub const fn proof_within(self) -> usize {
        match self {
            Self::ScramSha1 | Self::ScramSha256 => 2,
            Self::XOauth2 | Self::OAuthBearer | Self::CramMd5 | Self::DigestMd5 => 1,
        }
    }

    /// The user who is named in `message`, the first of the client.
    ///
    /// # Errors
    /// [`Unreadable`]; no part of the message is in it.
    pub fn user_in(self, message: &[u8]) -> Result<Vec<u8>, Unreadable> {
        if message.len() > MESSAGE_LIMIT {
            return Err(Unreadable::TooLong);
        }
        let user = match self {
            Self::XOauth2 | Self::OAuthBearer => self.bearer(message)?.user,
            Self::CramMd5 => cram_user(message)?,
            Self::DigestMd5 => digest_user(message)?,
            Self::ScramSha1 | Self::ScramSha256 => scram_user(message)?,
        };
        if user.is_empty() {
            return Err(Unreadable::NoUser);
        }
        Ok(user)
    }

    /// What a token message says.
    ///
    /// ```text
    /// xoauth2     = "user=" user %x01 rest
    /// oauthbearer = gs2-header rest                   ; RFC 7628 §3.1
    /// rest        = [%x01] *(key "=" value %x01) "auth=" value %x01 … %x01
    /// ```
    ///
    /// # Errors
    /// [`Unreadable`]; a message without a user is one: the token alone does not tell
    /// us whose it is.
    pub fn bearer(self, message: &[u8]) -> Result<Bearer, Unreadable> {
        if message.len() > MESSAGE_LIMIT {
            return Err(Unreadable::TooLong);
        }
        let (user, rest) = match self {
            Self::XOauth2 => {
                let named = message.strip_prefix(b"user=").ok_or(Unreadable::Malformed)?;
                let (user, _) = cut(named, 1).ok_or(Unreadable::Malformed)?;
                (user.to_vec(), named.get(user.len()..).unwrap_or_default())
            }
            Self::OAuthBearer => {
                let (authzid, rest) = gs2_header(message)?;
                (authzid.ok_or(Unreadable::NoUser)?, rest)
            }
            _ => return Err(Unreadable::Malformed),
        };
        let mut pairs = rest.split(|&byte| byte == 1);
        let has_token = rest.starts_with(b"\x01") && pairs.any(|pair| pair.starts_with(b"auth="));
        if !has_token || !rest.ends_with(b"\x01\x01") {
            return Err(Unreadable::Malformed);
        }
        if user.is_empty() {
            return Err(Unreadable::NoUser);
        }
        let rest = Secret::copy_from(rest);
        Ok(Bearer { user, rest })
    }

    /// A token message for `user`, with what followed the name in the client's. Empty
    /// for a mechanism that brings no token.
    pub fn bearer_message(self, user: &[u8], rest: &Secret<[u8]>) -> Secret<[u8]> {
        let rest = rest.expose();
        // Room for every byte of the name escaped: a vector that grows leaves a copy behind.
        let mut message = Vec::with_capacity(3 * user.len() + rest.len() + 8);
        match self {
            Self::XOauth2 => {
                message.extend_from_slice(b"user=");
                message.extend_from_slice(user);
            }
            Self::OAuthBearer => {
                message.extend_from_slice(b"n,a=");
                for &byte in user {
                    match byte {
                        b',' => message.extend_from_slice(b"=2C"),
                        b'=' => message.extend_from_slice(b"=3D"),
                        byte => message.push(byte),
                    }
                }
                message.push(b',');
            }
            _ => return Secret::copy_from(b""),
        }
        message.extend_from_slice(rest);
        Secret::from(message)
    }

    /// What a client answers to the challenge that says why its token is not good; only
    /// then the remote says no (RFC 7628 §3.2.3).
    pub const fn after_refusal(self) -> &'static [u8] {
        match self {
            Self::OAuthBearer => b"\x01",
            _ => b"",
        }
    }

    /// Whether a client that sent `message` first will have none of a remote that can
    /// bind channels: it could do so too, and was not offered it (RFC 5802 §6). The remote
    /// then takes what we left out for an attack.
    pub fn wants_no_binding_remote(self, message: &[u8]) -> bool {
        matches!(self, Self::ScramSha1 | Self::ScramSha256) && message.starts_with(b"y,")
    }
}

pub(super) fn is_digest(digest: &[u8]) -> bool {
    digest.len() == 32 && digest.iter().all(u8::is_ascii_hexdigit)
}

/// `response = user SP digest`, `digest = 32HEXDIG` (RFC 2195 §2). A user may hold
/// spaces; Dovecot and Cyrus SASL look for the last one, and so do we.
fn cram_user(message: &[u8]) -> Result<Vec<u8>, Unreadable> {
    let space = message.iter().rposition(|&byte| byte == b' ');
    let (user, digest) = space
        .and_then(|at| Some((message.get(..at)?, message.get(at + 1..)?)))
        .ok_or(Unreadable::Malformed)?;
    if !is_digest(digest) || user.contains(&0) {
        return Err(Unreadable::Malformed);
    }
    Ok(user.to_vec())
}

/// `client-first-message = gs2-header [reserved-mext ","] "n=" saslname "," "r=" c-nonce
/// ["," extensions]` (RFC 5802 §7). A mandatory extension is one that we do not know.
fn scram_user(message: &[u8]) -> Result<Vec<u8>, Unreadable> {
    let (authzid, bare) = gs2_header(message)?;
    let named = bare.strip_prefix(b"n=").ok_or(Unreadable::Malformed)?;
    let (name, behind) = cut(named, b',').ok_or(Unreadable::Malformed)?;
    if !behind.starts_with(b"r=") {
        return Err(Unreadable::Malformed);
    }
    let user = saslname(name)?;
    match authzid {
        Some(authzid) if !authzid.is_empty() && authzid != user => Err(Unreadable::ForeignAuthzid),
        _ => Ok(user),
    }
}

/// The authorization identity, and what stands behind the header.
///
/// `gs2-header = gs2-cbind-flag "," ["a=" saslname] ","`, `gs2-cbind-flag = "p=" cb-name / "n" /
/// "y"` (RFC 5801 §4, RFC 5802 §7)
fn gs2_header(message: &[u8]) -> Result<(Option<Vec<u8>>, &[u8]), Unreadable> {
    let (flag, behind) = cut(message, b',').ok_or(Unreadable::Malformed)?;
    match flag {
        b"n" | b"y" => {}
        _ if flag.starts_with(b"p=") => return Err(Unreadable::ChannelBinding),
        _ => return Err(Unreadable::Malformed),
    }
    let (authzid, behind) = cut(behind, b',').ok_or(Unreadable::Malformed)?;
    let authzid = match authzid.strip_prefix(b"a=") {
        Some(name) => Some(saslname(name)?),
        None if authzid.is_empty() => None,
        None => return Err(Unreadable::Malformed),
    };
    Ok((authzid, behind))
}

/// `saslname = 1*(value-safe-char / "=2C" / "=3D")` (RFC 5802 §7), here also an empty one.
fn saslname(escaped: &[u8]) -> Result<Vec<u8>, Unreadable> {
    let mut name = Vec::with_capacity(escaped.len());
    let mut rest = escaped;
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        name.push(match byte {
            b'=' => {
                let (code, behind) = rest.split_at_checked(2).ok_or(Unreadable::Malformed)?;
                rest = behind;
                match code {
                    b"2C" => b',',
                    b"3D" => b'=',
                    _ => return Err(Unreadable::Malformed),
                }
            }
            0 => return Err(Unreadable::Malformed),
            byte => byte,
        });
    }
    Ok(name)
}

/// `digest-response = 1#(username / realm / nonce / … / authzid / auth-param)` (RFC 2831 §2.1.2).
///
/// A name without a domain belongs to its realm: two users whom the realm alone tells
/// apart must not become one. Dovecot puts them together in the same way.
fn digest_user(message: &[u8]) -> Result<Vec<u8>, Unreadable> {
    let (mut username, mut realm, mut authzid) = (None, None, None);
    let mut rest = message;
    loop {
        rest = trim(rest, b", \t\r\n");
        if rest.is_empty() {
            break;
        }
        let (name, behind) = cut(rest, b'=').ok_or(Unreadable::Malformed)?;
        let (value, behind) = digest_value(trim(behind, b" \t\r\n"))?;
        rest = trim(behind, b" \t\r\n");
        if !rest.is_empty() && !rest.starts_with(b",") {
            return Err(Unreadable::Malformed);
        }
        let slot = match name.trim_ascii_end().to_ascii_lowercase().as_slice() {
            b"username" => &mut username,
            b"realm" => &mut realm,
            b"authzid" => &mut authzid,
            _ => continue,
        };
        // Which of two counts is for each server to choose: there must be one.
        if slot.replace(value).is_some() {
            return Err(Unreadable::Malformed);
        }
    }
    let mut user = username.ok_or(Unreadable::Malformed)?;
    let alone = user.clone();
    if let Some(realm) = realm.filter(|realm| !realm.is_empty())
        && !user.is_empty()
        && !user.contains(&b'@')
    {
        user.push(b'@');
        user.extend_from_slice(&realm);
    }
    match authzid {
        Some(authzid) if !authzid.is_empty() && authzid != user && authzid != alone => {
            Err(Unreadable::ForeignAuthzid)
        }
        _ if user.contains(&0) => Err(Unreadable::Malformed),
        _ => Ok(user),
    }
}

/// `value = token / quoted-string`; in the latter a backslash makes the next byte stand
/// for itself (RFC 2616 §2.2). Gives what stands behind it, too.
fn digest_value(input: &[u8]) -> Result<(Vec<u8>, &[u8]), Unreadable> {
    let Some(quoted) = input.strip_prefix(b"\"") else {
        let end = input.iter().position(|byte| b", \t\r\n\"".contains(byte));
        let (token, behind) = input.split_at(end.unwrap_or(input.len()));
        return Ok((token.to_vec(), behind));
    };
    let mut value = Vec::new();
    let mut bytes = quoted.iter().enumerate();
    while let Some((at, &byte)) = bytes.next() {
        match byte {
            b'"' => return Ok((value, quoted.get(at + 1..).unwrap_or_default())),
            b'\\' => value.push(*bytes.next().ok_or(Unreadable::Malformed)?.1),
            byte => value.push(byte),
        }
    }
    Err(Unreadable::Malformed)
}

/// What stands before and behind the first `mark`.
fn cut(bytes: &[u8], mark: u8) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|&byte| byte == mark)?;
    Some((bytes.get(..at)?, bytes.get(at + 1..)?))
}

fn trim<'a>(mut bytes: &'a [u8], what: &[u8]) -> &'a [u8] {
    while let Some((first, rest)) = bytes.split_first()
        && what.contains(first)
    {
        bytes = rest;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Unreadable::{ChannelBinding, ForeignAuthzid, Malformed, NoUser};
    use super::*;

    fn user(mechanism: RelayedMechanism, message: &str) -> Result<String, Unreadable> {
        let user = mechanism.user_in(message.as_bytes())?;
        Ok(String::from_utf8(user).unwrap())
    }

    #[test]
    fn names_are_read_back() {
        for mechanism in RelayedMechanism::ALL {
            assert_eq!(RelayedMechanism::from_name(mechanism.name()), Some(mechanism));
            assert_eq!(
                RelayedMechanism::from_name(&mechanism.name().to_ascii_lowercase()),
                Some(mechanism)
            );
        }
        assert_eq!(RelayedMechanism::from_name("SCRAM-SHA-256-PLUS"), None);
        assert_eq!(RelayedMechanism::from_name("PLAIN"), None);
    }

    #[test]
    fn scram() {
        use RelayedMechanism::ScramSha256;
        for (message, expected) in [
            ("n,,n=user,r=rOprNGfwEbeRWgbNEkqO", Ok("user")),
            ("y,,n=user,r=x", Ok("user")),
            ("n,a=user,n=user,r=x", Ok("user")),
            ("n,,n=a=2Cb=3Dc,r=x,t=1", Ok("a,b=c")),
            ("n,a=a=2Cb,n=a=2Cb,r=x", Ok("a,b")),
            ("n,a=,n=user,r=x", Ok("user")),
            ("n,a=root,n=user,r=x", Err(ForeignAuthzid)),
            ("p=tls-unique,,n=user,r=x", Err(ChannelBinding)),
            ("p=tls-exporter,a=root,n=user,r=x", Err(ChannelBinding)),
            ("n,,n=,r=x", Err(NoUser)),
            ("n,,m=new,n=user,r=x", Err(Malformed)),
            ("n,,n=a=2cb,r=x", Err(Malformed)),
            ("n,,n=a=,r=x", Err(Malformed)),
            ("n,,n=a=4,r=x", Err(Malformed)),
            ("n,,n=user", Err(Malformed)),
            ("n,,n=user,s=x", Err(Malformed)),
            ("n,b=user,n=user,r=x", Err(Malformed)),
            ("n=user,r=x", Err(Malformed)),
            ("n,n=user,r=x", Err(Malformed)),
            ("n,,n=us\0er,r=x", Err(Malformed)),
            ("x,,n=user,r=x", Err(Malformed)),
            ("", Err(Malformed)),
        ] {
            assert_eq!(
                user(ScramSha256, message),
                expected.map(str::to_owned),
                "{message}"
            );
        }
        assert!(ScramSha256.wants_no_binding_remote(b"y,,n=user,r=x"));
        assert!(!ScramSha256.wants_no_binding_remote(b"n,,n=user,r=x"));
    }

    #[test]
    fn cram_md5() {
        let digest = "b913a602c7eda7a495b4e6e7334d3890";
        let read = |name: &str| user(RelayedMechanism::CramMd5, &format!("{name} {digest}"));
        assert_eq!(read("tim"), Ok("tim".to_owned()));
        assert_eq!(read("quoted local@e.org"), Ok("quoted local@e.org".to_owned()));
        assert_eq!(read(""), Err(NoUser));
        assert_eq!(read("t\0im"), Err(Malformed));
        for message in [
            "tim", "tim b913", digest, "tim b913a602c7eda7a495b4e6e7334d389x", "",
        ] {
            assert_eq!(
                user(RelayedMechanism::CramMd5, message),
                Err(Malformed),
                "{message}"
            );
        }
    }

    #[test]
    fn digest_md5() {
        let tail =
            r#"nonce="OA6MG9tEQGm2hh",nc=00000001,cnonce="x",digest-uri="imap/e.org",response=d3,qop=auth"#;
        for (head, expected) in [
            (
                r#"charset=utf-8,username="chris",realm="elwood.innosoft.com""#,
                Ok("chris@elwood.innosoft.com"),
            ),
            (r#"username="chris""#, Ok("chris")),
            (r#"username="chris",realm="""#, Ok("chris")),
            (r#"username="chris@e.org",realm="other""#, Ok("chris@e.org")),
            (r#"Username = "chris" , realm="""#, Ok("chris")),
            (r#"username="a\"b\\c,d""#, Ok(r#"a"b\c,d"#)),
            (r#"username=chris"#, Ok("chris")),
            (r#"username="chris",authzid="chris""#, Ok("chris")),
            (r#"username="chris",authzid="""#, Ok("chris")),
            (r#"username="chris",authzid="root""#, Err(ForeignAuthzid)),
            (r#"username="chris",AUTHZID="root""#, Err(ForeignAuthzid)),
            (r#"username="chris",username="root""#, Err(Malformed)),
            (
                r#"username="chris",authzid="chris",authzid="root""#,
                Err(Malformed),
            ),
            (r#"username="chris"#, Err(Malformed)),
            (r#"username="chris"x"#, Err(Malformed)),
            (r#"realm="e.org""#, Err(Malformed)),
            (r#"username="",realm="e.org""#, Err(NoUser)),
            ("username=\"a\0\"", Err(Malformed)),
        ] {
            let message = format!("{head},{tail}");
            let expected = expected.map(str::to_owned);
            assert_eq!(user(RelayedMechanism::DigestMd5, &message), expected, "{head}");
        }
        // What looks like a directive inside a string is none.
        let hidden = r#"cnonce="x,username=root",username="chris""#;
        assert_eq!(user(RelayedMechanism::DigestMd5, hidden), Ok("chris".to_owned()));
        assert_eq!(user(RelayedMechanism::DigestMd5, ""), Err(Malformed));
    }

    #[test]
    fn tokens() {
        use RelayedMechanism::{OAuthBearer, XOauth2};
        let token = "\x01auth=Bearer tok\x01\x01";
        let hosted = "\x01host=imap.e.org\x01port=993\x01auth=Bearer tok\x01\x01";
        for (mechanism, message, expected) in [
            (XOauth2, format!("user=jane@e.org{token}"), Ok("jane@e.org")),
            (XOauth2, format!("user={token}"), Err(NoUser)),
            (XOauth2, "user=jane@e.org\x01\x01".into(), Err(Malformed)),
            (
                XOauth2,
                "user=jane@e.org\x01auth=Bearer tok\x01".into(),
                Err(Malformed),
            ),
            (XOauth2, format!("n,a=jane,{token}"), Err(Malformed)),
            (OAuthBearer, format!("n,a=jane@e.org,{hosted}"), Ok("jane@e.org")),
            (OAuthBearer, format!("y,a=a=2Cb=3Dc,{token}"), Ok("a,b=c")),
            (OAuthBearer, format!("n,,{token}"), Err(NoUser)),
            (OAuthBearer, format!("n,a=,{token}"), Err(NoUser)),
            (OAuthBearer, format!("p=x,a=jane,{token}"), Err(ChannelBinding)),
            (
                OAuthBearer,
                "n,a=jane,auth=Bearer tok\x01\x01".into(),
                Err(Malformed),
            ),
            (OAuthBearer, format!("user=jane{token}"), Err(Malformed)),
        ] {
            let shown = message.escape_default();
            assert_eq!(user(mechanism, &message), expected.map(str::to_owned), "{shown}");
        }
    }

    #[test]
    fn a_token_message_is_the_clients_with_the_name_that_the_remote_knows() {
        let rest = Secret::copy_from(b"\x01auth=Bearer tok\x01\x01");
        let message = |mechanism: RelayedMechanism, user: &[u8]| {
            let message = mechanism.bearer_message(user, &rest);
            String::from_utf8(message.expose().to_vec()).unwrap()
        };
        assert_eq!(
            message(RelayedMechanism::XOauth2, b"jane"),
            "user=jane\x01auth=Bearer tok\x01\x01"
        );
        assert_eq!(
            message(RelayedMechanism::OAuthBearer, b"a,b=c"),
            "n,a=a=2Cb=3Dc,\x01auth=Bearer tok\x01\x01"
        );
        assert_eq!(message(RelayedMechanism::CramMd5, b"jane"), "");
    }

    // Fills MESSAGE_LIMIT.
    #[test]
    fn long_messages_are_told_from_bad_ones() {
        let long = format!("n,,n={},r=x", "u".repeat(MESSAGE_LIMIT));
        assert_eq!(user(RelayedMechanism::ScramSha1, &long), Err(Unreadable::TooLong));
        let long = format!("user=jane\x01auth=Bearer {}\x01\x01", "t".repeat(MESSAGE_LIMIT));
        assert_eq!(user(RelayedMechanism::XOauth2, &long), Err(Unreadable::TooLong));
    }

    proptest! {
        #[test]
        fn a_bearer_message_reads_back(name in "[ -~é]{1,40}", token in "[!-~]{1,60}") {
            let rest = Secret::from(format!("\x01auth=Bearer {token}\x01\x01").into_bytes());
            for mechanism in [RelayedMechanism::XOauth2, RelayedMechanism::OAuthBearer] {
                let message = mechanism.bearer_message(name.as_bytes(), &rest);
                let read = mechanism.bearer(message.expose()).unwrap();
                prop_assert_eq!(read.user, name.as_bytes());
                prop_assert_eq!(read.rest.expose(), rest.expose());
            }
        }

        #[test]
        fn any_bytes_are_read(message in prop::collection::vec(prop_oneof![
            any::<u8>(),
            prop::sample::select(&b"nya=,r\x01user\"\\ "[..]),
        ], 0..200)) {
            for mechanism in RelayedMechanism::ALL {
                let _ = mechanism.user_in(&message);
            }
        }
    }
}
