//! What Postfix asks.

use bytes::Bytes;

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
    /// The SMTP client's verified host name, or `unknown`.
    pub client_name: Bytes,
    /// What the client said in HELO or EHLO.
    pub helo_name: Bytes,
    /// The sender in internal form: unquoted, empty for `<>`.
    pub sender: Bytes,
    /// The recipient in internal form: unquoted, so that the domain follows
    /// the last `@`.
    pub recipient: Bytes,
    /// The queue id; empty for the first recipient of a message.
    pub queue_id: Bytes,
    /// Names the message, the same for all its requests; empty outside a mail
    /// transaction.
    pub instance: Bytes,
    /// The login that the client authenticated with.
    pub sasl_username: Bytes,
    /// Free text of the operator, from `main.cf` (Postfix 3.1).
    pub policy_context: Bytes,
    /// Postfix has run out of processes and wants short answers (Postfix 2.5).
    pub stress: bool,
}

/// A request being collected: `None` until the attribute was seen, for of
/// duplicates the first counts, even when it is empty.
#[derive(Debug, Default)]
pub(super) struct Attributes {
    request: Option<Bytes>,
    protocol_state: Option<Bytes>,
    client_address: Option<Bytes>,
    client_port: Option<Bytes>,
    client_name: Option<Bytes>,
    helo_name: Option<Bytes>,
    sender: Option<Bytes>,
    recipient: Option<Bytes>,
    queue_id: Option<Bytes>,
    instance: Option<Bytes>,
    sasl_username: Option<Bytes>,
    policy_context: Option<Bytes>,
    stress: Option<Bytes>,
}

impl Attributes {
    /// ```text
    /// attribute = name "=" value LF
    /// name      = *<any byte except NUL, "=", LF>
    /// value     = *<any byte except NUL, LF>
    /// ```
    /// `line` is one attribute without its line end.
    pub(super) fn add(&mut self, mut line: Bytes) -> Result<(), DecodeError> {
        if line.contains(&0) {
            return Err(DecodeError::Malformed("a NUL in an attribute"));
        }
        let Some(at) = line.iter().position(|&byte| byte == b'=') else {
            return Err(DecodeError::Malformed("an attribute without \"=\""));
        };
        let name = line.split_to(at);
        if let Some(attribute) = self.named(&name)
            && attribute.is_none()
        {
            *attribute = Some(line.slice(1..));
        }
        Ok(())
    }

    /// The attribute of that name, if we use it.
    fn named(&mut self, name: &[u8]) -> Option<&mut Option<Bytes>> {
        Some(match name {
            b"request" => &mut self.request,
            b"protocol_state" => &mut self.protocol_state,
            b"client_address" => &mut self.client_address,
            b"client_port" => &mut self.client_port,
            b"client_name" => &mut self.client_name,
            b"helo_name" => &mut self.helo_name,
            b"sender" => &mut self.sender,
            b"recipient" => &mut self.recipient,
            b"queue_id" => &mut self.queue_id,
            b"instance" => &mut self.instance,
            b"sasl_username" => &mut self.sasl_username,
            b"policy_context" => &mut self.policy_context,
            b"stress" => &mut self.stress,
            _ => return None,
        })
    }

    /// The request, now that its empty line was read.
    pub(super) fn finish(self) -> Result<Request, DecodeError> {
        if self.request.as_deref() != Some(b"smtpd_access_policy") {
            return Err(DecodeError::Malformed("not a request=smtpd_access_policy"));
        }
        Ok(Request {
            protocol_state: self.protocol_state.unwrap_or_default(),
            client_address: self.client_address.unwrap_or_default(),
            client_port: self.client_port.unwrap_or_default(),
            client_name: self.client_name.unwrap_or_default(),
            helo_name: self.helo_name.unwrap_or_default(),
            sender: self.sender.unwrap_or_default(),
            recipient: self.recipient.unwrap_or_default(),
            queue_id: self.queue_id.unwrap_or_default(),
            instance: self.instance.unwrap_or_default(),
            sasl_username: self.sasl_username.unwrap_or_default(),
            policy_context: self.policy_context.unwrap_or_default(),
            stress: self.stress.as_deref() == Some(b"yes"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(lines: &[&'static str]) -> Request {
        let mut attributes = Attributes::default();
        attributes.add("request=smtpd_access_policy".into()).unwrap();
        for &line in lines {
            attributes.add(line.into()).unwrap();
        }
        attributes.finish().unwrap()
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
        let twice = request(&["sender=", "sender=b@example.com", "recipient=a", "recipient=b"]);
        assert_eq!(
            (twice.sender.as_ref(), twice.recipient.as_ref()),
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
        let mut attributes = Attributes::default();
        attributes.add("request=smtpd_access_policy".into()).unwrap();
        attributes
            .add(Bytes::from_static(b"recipient=\x01\xff\r@example.com"))
            .unwrap();
        assert_eq!(
            &attributes.finish().unwrap().recipient[..],
            b"\x01\xff\r@example.com"
        );
    }
}
