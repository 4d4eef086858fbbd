//! The user in the messages of each mechanism.

use super::Unreadable;

pub(in crate::sasl) fn is_digest(digest: &[u8]) -> bool {
    digest.len() == 32 && digest.iter().all(u8::is_ascii_hexdigit)
}

/// `response = user SP digest`, `digest = 32HEXDIG` (RFC 2195 §2). A user may hold
/// spaces; Dovecot and Cyrus SASL look for the last one, and so do we.
pub(super) fn cram_user(message: &[u8]) -> Result<Vec<u8>, Unreadable> {
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
pub(super) fn scram_user(message: &[u8]) -> Result<Vec<u8>, Unreadable> {
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
pub(super) fn gs2_header(message: &[u8]) -> Result<(Option<Vec<u8>>, &[u8]), Unreadable> {
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
pub(super) fn digest_user(message: &[u8]) -> Result<Vec<u8>, Unreadable> {
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
pub(super) fn cut(bytes: &[u8], mark: u8) -> Option<(&[u8], &[u8])> {
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
