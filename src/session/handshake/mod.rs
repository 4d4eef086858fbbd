//! Why a handshake failed, in plain words, and what to do about it.
//!
//! What the TLS libraries print of their errors is for developers: names of Rust types, lists of numbers, links. None of it
//! is shown. What an operator can do something about has words here; all else has those of the step.

use rustls::pki_types::{ServerName, UnixTime};
use rustls::{AlertDescription, CertificateError, Error, InvalidMessage, OtherError};
use webpki::Error as ChainError;
use x509_cert::der::DateTime;

use super::chain::TooMuch;
use crate::unseen::escaped;

/// What went wrong, and what to do; `own_authority` tells that `tls.ca-file` is set.
pub(super) fn trouble(error: &Error, own_authority: bool) -> (String, &'static str) {
    let (detail, advice) = match error {
        Error::InvalidCertificate(error) => return certificate(error, own_authority),
        Error::AlertReceived(alert) => return alerted(*alert),
        Error::InvalidMessage(
            InvalidMessage::HandshakePayloadTooLarge | InvalidMessage::CertificatePayloadTooLarge,
        ) => ("one message of its handshake is longer than 64 KiB", TOO_MUCH),
        Error::InvalidMessage(_)
        | Error::InappropriateMessage { .. }
        | Error::InappropriateHandshakeMessage { .. }
        | Error::PeerMisbehaved(_)
        | Error::PeerSentOversizedRecord => ("what it sends breaks the rules of TLS", BROKEN),
        Error::DecryptError => ("what it sends cannot be decrypted", BROKEN),
        Error::PeerIncompatible(_) => ("it has no version or cipher of TLS in common with vouch", OLD),
        Error::NoCertificatesPresented => ("it sent no certificate", MEND),
        Error::FailedToGetCurrentTime => ("this host's clock cannot be read", CLOCK),
        Error::FailedToGetRandomBytes => ("this host has no random numbers", RANDOM),
        _ => ("it did not succeed", LOG),
    };
    (detail.to_owned(), advice)
}

fn certificate(error: &CertificateError, own_authority: bool) -> (String, &'static str) {
    #[expect(deprecated, reason = "the library still has it")]
    let (detail, advice) = match error {
        CertificateError::UnknownIssuer => (
            "no authority that this host trusts has signed its certificate",
            if own_authority {
                OTHER_AUTHORITY
            } else {
                NAME_AUTHORITY
            },
        ),
        // Of a chain it would be `UnknownIssuer`: see `verifier`.
        CertificateError::BadSignature => (
            "the signature of its handshake is not that of the key in its certificate",
            OTHER_KEY,
        ),
        CertificateError::NotValidForName => ("its certificate is for another name", OTHER_NAME),
        CertificateError::NotValidForNameContext { expected, presented } => {
            let detail = format!(
                "its certificate is {}, and not for {}",
                names(presented),
                called(expected)
            );
            return (detail, OTHER_NAME);
        }
        CertificateError::Expired => ("its certificate has ended", ENDED),
        CertificateError::ExpiredContext { not_after, .. } => {
            return (format!("its certificate ended on {}", day(*not_after)), ENDED);
        }
        CertificateError::NotValidYet => ("its certificate is not valid yet", NOT_YET),
        CertificateError::NotValidYetContext { not_before, .. } => {
            let detail = format!("its certificate is not valid before {}", day(*not_before));
            return (detail, NOT_YET);
        }
        CertificateError::Revoked => ("its certificate is revoked", MEND),
        CertificateError::BadEncoding => (UNREADABLE, MEND),
        CertificateError::UnhandledCriticalExtension => (UNKNOWN_EXTENSION, MEND),
        CertificateError::UnsupportedSignatureAlgorithm
        | CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => (
            "its certificate has a kind of key or signature that is not supported",
            KINDS,
        ),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            (OTHER_PURPOSE, MEND)
        }
        CertificateError::Other(OtherError(other)) => {
            if let Some(much) = other.downcast_ref::<TooMuch>() {
                return (much.to_string(), TOO_MUCH);
            }
            other.downcast_ref().map_or((NOT_GOOD, MEND), chain)
        }
        _ => (NOT_GOOD, MEND),
    };
    (detail.to_owned(), advice)
}

/// What rustls has no words for.
fn chain(error: &ChainError) -> (&'static str, &'static str) {
    match error {
        ChainError::CaUsedAsEndEntity => (
            "its certificate is that of an authority (CA:TRUE), and not that of a server",
            AUTHORITY_ITSELF,
        ),
        ChainError::EndEntityUsedAsCa => (
            "its certificate was signed with one that is not an authority's (CA:FALSE)",
            MEND,
        ),
        ChainError::PathLenConstraintViolated => (
            "there are more authorities between its certificate and the root than one of them allows",
            MEND,
        ),
        ChainError::NameConstraintViolation => (
            "its authority may not sign for the names in its certificate (name constraints)",
            MEND,
        ),
        ChainError::UnsupportedCertVersion => (
            "its certificate is of X.509 version 1 or 2, where 3 is wanted",
            MEND,
        ),
        ChainError::UnsupportedCriticalExtension => (UNKNOWN_EXTENSION, MEND),
        ChainError::EmptyEkuExtension => (OTHER_PURPOSE, MEND),
        ChainError::MaximumNameConstraintComparisonsExceeded
        | ChainError::MaximumPathBuildCallsExceeded
        | ChainError::MaximumPathDepthExceeded
        | ChainError::MaximumSignatureChecksExceeded => (
            "its certificates take more work to verify than is spent on them",
            TOO_MUCH,
        ),
        ChainError::ExtensionValueInvalid
        | ChainError::InvalidSerialNumber
        | ChainError::MalformedDnsIdentifier
        | ChainError::MalformedExtensions
        | ChainError::MalformedNameConstraint
        | ChainError::InvalidNetworkMaskConstraint
        | ChainError::SignatureAlgorithmMismatch => (UNREADABLE, MEND),
        _ => (NOT_GOOD, MEND),
    }
}

/// The remote ended the handshake with an alert, named as RFC 8446 section 6 does.
fn alerted(alert: AlertDescription) -> (String, &'static str) {
    let number = u8::from(alert);
    let name = ALERTS.iter().find(|(known, _)| *known == number);
    let detail = match name {
        Some((_, name)) => format!("it refused with the TLS alert {name}"),
        None => format!("it refused with the TLS alert {number}"),
    };
    let advice = match number {
        40 | 70 | 71 => OLD,
        41..=46 | 48 | 116 => OUR_CERTIFICATE,
        112 => {
            "it has no certificate for the name that it was called by: set directory.NAME.tls.server-name to one that it has"
        }
        _ => LOG,
    };
    (detail, advice)
}

const ALERTS: [(u8, &str); 35] = [
    (0, "close_notify"),
    (10, "unexpected_message"),
    (20, "bad_record_mac"),
    (21, "decryption_failed"),
    (22, "record_overflow"),
    (30, "decompression_failure"),
    (40, "handshake_failure"),
    (41, "no_certificate"),
    (42, "bad_certificate"),
    (43, "unsupported_certificate"),
    (44, "certificate_revoked"),
    (45, "certificate_expired"),
    (46, "certificate_unknown"),
    (47, "illegal_parameter"),
    (48, "unknown_ca"),
    (49, "access_denied"),
    (50, "decode_error"),
    (51, "decrypt_error"),
    (60, "export_restriction"),
    (70, "protocol_version"),
    (71, "insufficient_security"),
    (80, "internal_error"),
    (86, "inappropriate_fallback"),
    (90, "user_canceled"),
    (100, "no_renegotiation"),
    (109, "missing_extension"),
    (110, "unsupported_extension"),
    (111, "certificate_unobtainable"),
    (112, "unrecognized_name"),
    (113, "bad_certificate_status_response"),
    (114, "bad_certificate_hash_value"),
    (115, "unknown_psk_identity"),
    (116, "certificate_required"),
    (120, "no_application_protocol"),
    (121, "ech_required"),
];

/// Why our own certificate and key cannot be used.
pub(super) fn own_identity(error: &Error) -> &'static str {
    match error {
        Error::InconsistentKeys(_) => "the key is not that of the certificate",
        Error::InvalidCertificate(_) | Error::NoCertificatesPresented => "the certificate cannot be read",
        _ => "the key is of a kind that TLS does not take, or too short (RSA has 2048 bits at least)",
    }
}

const UNREADABLE: &str = "its certificate is malformed";
const NOT_GOOD: &str = "its certificate is not good";
const OTHER_PURPOSE: &str = "its certificate is not for servers (extended key usage)";
const UNKNOWN_EXTENSION: &str = "its certificate has a critical extension that is not known here";
const LOG: &str = "see the server's log";
const BROKEN: &str =
    "its TLS is broken, or a proxy or firewall between changes what it sends: see the server's log";
const CLOCK: &str = "see `date` here";
const RANDOM: &str = "does a system call filter forbid getrandom?";
const OLD: &str = "a remote with TLS 1.1 or older, or without elliptic curves, needs a TLS proxy beside it";
const OUR_CERTIFICATE: &str = "the server requires a client certificate: name one that it trusts in \
directory.NAME.tls.cert-file and key-file";
const MEND: &str = "its administrator must fix the certificate";
const KINDS: &str = "its administrator must replace the certificate: RSA of 2048 bits or more, ECDSA or Ed25519, signed \
                     with SHA-256 or better";
const NAME_AUTHORITY: &str =
    "if its authority is your own, name the authority's certificate in directory.NAME.tls.ca-file";
const OTHER_AUTHORITY: &str =
    "the authority in directory.NAME.tls.ca-file is not the one that signed it: name that one there";
const OTHER_KEY: &str = "its certificate and its key do not belong together, or something in between answers in its place: \
                         its administrator must find out which";
const AUTHORITY_ITSELF: &str = "if it is that server's own, name it in directory.NAME.tls.ca-file, where it counts as itself; \
                                else its administrator must have one made for the server (CA:FALSE)";
const TOO_MUCH: &str = "it is to send its own certificate and those between it and its authority, each once, and no \
                        others";
const OTHER_NAME: &str = "if it is the server that you mean, set directory.NAME.tls.server-name to the name in the \
                          certificate, or directory.NAME.address to that name";
const ENDED: &str = "its administrator must renew it, and the server read it; or is this host's clock wrong?";
const NOT_YET: &str = "is this host's clock wrong? else its administrator must fix the certificate";

/// Bound (sessions): names of a certificate that a message shows. Beyond: the number of the others is shown. Why: a
/// certificate may have thousands.
const NAMES: usize = 5;

/// Bound (sessions): characters of a name in a certificate that a message shows. Beyond: the rest is cut. Why: a
/// certificate may have one of many thousands.
const NAME_LENGTH: usize = 100;

/// The hosts that a certificate is for.
fn names(presented: &[String]) -> String {
    let mut hosts = presented.iter().filter_map(|name| host(name));
    let shown: Vec<_> = hosts.by_ref().take(NAMES).collect();
    match (shown.as_slice(), hosts.count()) {
        ([], _) => "for no name".to_owned(),
        (_, 0) => format!("for {}", shown.join(", ")),
        (_, more) => format!("for {} and {more} names more", shown.join(", ")),
    }
}

/// The host in a name as rustls prints it, `DnsName("mail.example.org")` or `IpAddress(192.0.2.7)`; what else a certificate
/// has is no host. It may hold anything.
fn host(name: &str) -> Option<String> {
    let quoted = name
        .strip_prefix("DnsName(\"")
        .and_then(|rest| rest.strip_suffix("\")"));
    let bare = || {
        name.strip_prefix("IpAddress(")
            .and_then(|rest| rest.strip_suffix(')'))
    };
    let shown: String = quoted.or_else(bare)?.chars().take(NAME_LENGTH).collect();
    Some(escaped(&shown))
}

fn called(name: &ServerName<'_>) -> String {
    name.to_str().into_owned()
}

/// The day, as a calendar of UTC has it.
fn day(time: UnixTime) -> String {
    let date = DateTime::from_unix_duration(std::time::Duration::from_secs(time.as_secs()));
    date.map_or_else(
        |_| format!("second {} of 1970", time.as_secs()),
        |date| format!("{}-{:02}-{:02}", date.year(), date.month(), date.day()),
    )
}

#[cfg(test)]
mod tests;
