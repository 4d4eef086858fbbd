//! What is read of a certificate besides its being good.

use x509_cert::Certificate;
use x509_cert::der::Decode;

/// The end of the validity of a certificate in DER, in seconds since 1970; `None` where it
/// cannot be read.
pub fn end_of(der: &[u8]) -> Option<u64> {
    let certificate = Certificate::from_der(der).ok()?;
    let end = certificate.tbs_certificate().validity().not_after;
    Some(end.to_unix_duration().as_secs())
}
