//! What Postfix asks.

use std::ops::Range;

use bytes::Bytes;
use memchr::memchr;

use crate::error::DecodeError;

/// One question, with those of its attributes that we use.
///
/// A value is bytes, not text: a recipient may hold any byte but NUL and LF.
/// An attribute that was not sent is empty. Meanings and the versions that
/// send each are in Postfix `SMTPD_POLICY_README`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// The SMTP command being judged: `RCPT`, `VRFY`, `DATA`, …; case-exact.
    pub protocol_state: Bytes,
    /// The SMTP client's IP address without brackets, or `unknown`.
    pub client_address: Bytes,
    /// The SMTP client's port in decimal, or `unknown` (Postfix 3.0).
    pub client_port: Bytes,
    /// What the client said in HELO or EHLO.
    pub helo_name: Bytes,
    /// The recipient in internal form: unquoted, so that the domain follows
    /// the last `@`.
    pub recipient: Bytes,
    /// Names the message, the same for all its requests; empty outside a mail
    /// transaction.
    pub instance: Bytes,
    /// Postfix has run out of processes and wants short answers (Postfix 2.5).
    pub stress: bool,
}

/// Where the attributes of a request stand in it: `None` until one was seen, for of
/// duplicates the first counts, even when it is empty.
#[derive(Debug, Default)]
pub(super) struct Attributes {
    request: Option<Range<usize>>,
    protocol_state: Option<Range<usize>>,
    client_address: Option<Range<usize>>,
    client_port: Option<Range<usize>>,
    helo_name: Option<Range<usize>>,
    recipient: Option<Range<usize>>,
    instance: Option<Range<usize>>,
    stress: Option<Range<usize>>,
}

impl Attributes {
    /// Notes an attribute and where its value stands in the request.
    ///
    /// ```text
    /// attribute = name "=" value LF
    /// name      = *<any byte except NUL, "=", LF>
    /// value     = *<any byte except NUL, LF>
    /// ```
    pub(super) fn add(&mut self, name: &[u8], value: Range<usize>) {
        if let Some(attribute) = self.named(name)
            && attribute.is_none()
        {
            *attribute = Some(value);
        }
    }

    /// The attribute of that name, if we use it.
    fn named(&mut self, name: &[u8]) -> Option<&mut Option<Range<usize>>> {
        Some(match name {
            b"request" => &mut self.request,
            b"protocol_state" => &mut self.protocol_state,
            b"client_address" => &mut self.client_address,
            b"client_port" => &mut self.client_port,
            b"helo_name" => &mut self.helo_name,
            b"recipient" => &mut self.recipient,
            b"instance" => &mut self.instance,
            b"stress" => &mut self.stress,
            _ => return None,
        })
    }

    /// The request, now that its empty line was read: `whole` is all of it.
    pub(super) fn of(self, whole: &Bytes) -> Result<Request, DecodeError> {
        if memchr(0, whole).is_some() {
            return Err(DecodeError::Malformed("a NUL in an attribute"));
        }
        let value = |place: Option<Range<usize>>| match place {
            // An empty value needs no share of the request.
            Some(place) if !place.is_empty() => whole.slice(place),
            _ => Bytes::new(),
        };
        if value(self.request) != "smtpd_access_policy" {
            return Err(DecodeError::Malformed("not a request=smtpd_access_policy"));
        }
        Ok(Request {
            protocol_state: value(self.protocol_state),
            client_address: value(self.client_address),
            client_port: value(self.client_port),
            helo_name: value(self.helo_name),
            recipient: value(self.recipient),
            instance: value(self.instance),
            stress: value(self.stress) == "yes",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(lines: &[&str]) -> Request {
        read(&lines.iter().map(|line| line.as_bytes()).collect::<Vec<_>>())
    }

    fn read(lines: &[&[u8]]) -> Request {
        let mut attributes = Attributes::default();
        let mut whole = Vec::new();
        for line in [b"request=smtpd_access_policy"]
            .into_iter()
            .map(|it| &it[..])
            .chain(lines.iter().copied())
        {
            let equals = line.iter().position(|&byte| byte == b'=').unwrap();
            attributes.add(
                &line[..equals],
                whole.len() + equals + 1..whole.len() + line.len(),
            );
            whole.extend_from_slice(line);
            whole.push(b'\n');
        }
        attributes.of(&whole.into()).unwrap()
    }

    #[test]
    fn splits_at_the_first_equals_sign() {
        assert_eq!(
            request(&["recipient=a=b=@example.com"]).recipient,
            "a=b=@example.com"
        );
        assert_eq!(request(&["recipient=="]).recipient, "=");
    }

    #[test]
    fn keeps_the_first_of_duplicates() {
        let twice = request(&["instance=", "instance=1.2", "recipient=a", "recipient=b"]);
        assert_eq!(
            (twice.instance.as_ref(), twice.recipient.as_ref()),
            (&b""[..], &b"a"[..])
        );
    }

    #[test]
    fn compares_whole_names_and_ignores_the_unknown() {
        let odd = request(&[
            "recipient_count=7", "Recipient=a", "=x", "recipient =b", "stress=no",
        ]);
        assert_eq!(odd, Request::default());
    }

    #[test]
    fn keeps_bytes_that_are_not_text() {
        let odd = read(&[b"recipient=\x01\xff\r@example.com"]);
        assert_eq!(&odd.recipient[..], b"\x01\xff\r@example.com");
    }
}
