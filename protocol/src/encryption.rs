//! When a session that did not start with TLS is to turn it on.

/// What an opening dialog has to do about STARTTLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encryption {
    /// TLS was on before the first byte; an offer of STARTTLS is ignored.
    AlreadyOn,
    /// STARTTLS when it is offered, else go on in cleartext. Offered and then
    /// refused is a failure all the same.
    IfOffered,
    /// STARTTLS or nothing.
    Required,
    /// Never STARTTLS.
    Never,
}
