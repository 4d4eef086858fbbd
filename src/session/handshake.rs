//! Why a handshake failed, in words, and what to do about it.

use rustls::pki_types::{ServerName, UnixTime};
use rustls::{AlertDescription, CertificateError, Error, OtherError};
use x509_cert::der::DateTime;

use super::chain::TooMuch;

/// What went wrong, and what to do; `own_authority` tells that `tls.ca-file` is set.
pub(super) fn trouble(error: &Error, own_authority: bool) -> (String, &'static str) {
    match error {
        Error::InvalidCertificate(error) => certificate(error, own_authority),
        Error::InvalidMessage(_) => (
            format!("what it says is not TLS ({error})"),
            "its port does not begin with TLS: set directory.NAME.tls.implicit = false, or directory.NAME.port to one \
             that does",
        ),
        Error::AlertReceived(AlertDescription::HandshakeFailure | AlertDescription::ProtocolVersion) => (
            error.to_string(),
            "a remote with TLS 1.1 or older, or without elliptic curves, needs a TLS proxy beside it",
        ),
        Error::AlertReceived(AlertDescription::CertificateRequired | AlertDescription::UnknownCA) => (
            error.to_string(),
            "it wants a certificate of ours: give one that it trusts in directory.NAME.tls.cert-file and key-file",
        ),
        _ => (error.to_string(), "its own log says more"),
    }
}

fn certificate(error: &CertificateError, own_authority: bool) -> (String, &'static str) {
    match error {
        // Of an authority that was made anew under its old name, the signature alone is another.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => (
            format!("nobody whom this host trusts has signed its certificate ({error})"),
            if own_authority {
                "the authority in directory.NAME.tls.ca-file is not the one that signed it: name that one there"
            } else {
                "if its authority is your own, name the authority's certificate in directory.NAME.tls.ca-file"
            },
        ),
        CertificateError::NotValidForName => ("its certificate is for another name".into(), OTHER_NAME),
        CertificateError::NotValidForNameContext { expected, presented } => {
            let names = names(presented);
            (
                format!("its certificate is {names}, and not for {}", called(expected)),
                OTHER_NAME,
            )
        }
        CertificateError::Expired => ("its certificate has ended".into(), ENDED),
        CertificateError::ExpiredContext { not_after, .. } => {
            (format!("its certificate ended on {}", day(*not_after)), ENDED)
        }
        CertificateError::NotValidYet => ("its certificate is not valid yet".into(), NOT_YET),
        CertificateError::NotValidYetContext { not_before, .. } => (
            format!("its certificate is not valid before {}", day(*not_before)),
            NOT_YET,
        ),
        CertificateError::Other(OtherError(other)) => match other.downcast_ref::<TooMuch>() {
            Some(much) => (much.to_string(), TOO_MUCH),
            None => not_good(error),
        },
        _ => not_good(error),
    }
}

fn not_good(error: &CertificateError) -> (String, &'static str) {
    (
        format!("its certificate is not good: {error}"),
        "its administrator must mend the certificate",
    )
}

const TOO_MUCH: &str = "it is to send its own certificate and those between it and its authority, each once, and no \
                        others";
const OTHER_NAME: &str = "if it is the server that you mean, set directory.NAME.tls.server-name to the name in the \
                          certificate, or directory.NAME.address to that name";
const ENDED: &str = "its administrator must renew it, and the server read it; or is this host's clock wrong?";
const NOT_YET: &str = "is this host's clock wrong? else its administrator must mend the certificate";

/// Names of a certificate that are shown; of the others, how many there are.
pub(crate) const NAMES: usize = 10;

/// Whom a certificate is for.
fn names(presented: &[String]) -> String {
    let shown: Vec<_> = presented.iter().take(NAMES).map(|name| bare(name)).collect();
    match (shown.as_slice(), presented.len() - shown.len()) {
        ([], _) => "for no name".to_owned(),
        (_, 0) => format!("for {}", shown.join(", ")),
        (_, more) => format!("for {} and {more} names more", shown.join(", ")),
    }
}

/// A name as rustls prints what a certificate has: `DnsName("mail.example.org")`, `IpAddress(192.0.2.7)`.
fn bare(name: &str) -> &str {
    let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    inner.unwrap_or(name).trim_matches('"')
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
mod tests {
    use super::*;

    #[test]
    fn of_a_certificate_with_thousands_of_names_a_few_are_shown() {
        let named = |number: usize| format!("DnsName(\"{number}.example\")");
        let of = |number| names(&(0..number).map(named).collect::<Vec<_>>());
        assert_eq!(of(0), "for no name");
        assert_eq!(of(2), "for 0.example, 1.example");
        assert!(of(NAMES).ends_with(", 9.example"));
        assert!(
            of(2300).ends_with(", 9.example and 2290 names more"),
            "{}",
            of(2300)
        );
    }

    #[test]
    fn names_and_days_are_those_that_people_write() {
        assert_eq!(bare("DnsName(\"mail.example.org\")"), "mail.example.org");
        assert_eq!(bare("IpAddress(192.0.2.7)"), "192.0.2.7");
        assert_eq!(bare("mail.example.org"), "mail.example.org");
        let at = |seconds| {
            day(UnixTime::since_unix_epoch(std::time::Duration::from_secs(
                seconds,
            )))
        };
        assert_eq!(at(0), "1970-01-01");
        assert_eq!(at(1_609_459_200), "2021-01-01");
        assert_eq!(at(u64::MAX), format!("second {} of 1970", u64::MAX));
    }
}
