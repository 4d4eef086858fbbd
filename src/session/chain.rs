//! How much work a chain of certificates makes, counted before any of it is done.
//!
//! The verifier looks for a path from the server's certificate to an authority, and tries each certificate of the
//! chain that has the right name. Certificates that issue each other make ever more such ways: 150 of them are
//! seconds of work, which stand in the way of everybody's answers.

use rustls::pki_types::CertificateDer;
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::name::Name;

/// Bound (sessions): certificates that a server may send. Beyond: no answer, and none is verified. Why: an honest
/// chain has two to four.
const MAX_CERTIFICATES: usize = 10;

/// Bound (sessions): steps from a certificate to one that may have issued it. Beyond: no answer, and none is
/// verified. Why: certificates that issue each other would delay all answers.
///
/// Over all ways through a chain. A chain in one line has as many as it has certificates; each authority that is
/// there twice, as one that another has signed too, doubles those behind it.
const STEPS: usize = 50;

/// Why a chain is not verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum TooMuch {
    /// With so many certificates.
    #[error("it sent {0} certificates, and no more than {most} are verified", most = MAX_CERTIFICATES)]
    Certificates(usize),
    /// It has more ways than [`STEPS`] allows.
    #[error(
        "it sent {0} certificates that issue each other, and no more than {most} steps between them are tried",
        most = STEPS
    )]
    Ways(usize),
}

/// Counts what a chain would give to verify.
///
/// # Errors
/// It is more than [`MAX_CERTIFICATES`] or [`STEPS`] allows.
pub(super) fn bounded(own: &CertificateDer<'_>, others: &[CertificateDer<'_>]) -> Result<(), TooMuch> {
    let sent = others.len() + 1;
    if sent > MAX_CERTIFICATES {
        return Err(TooMuch::Certificates(sent));
    }
    let names: Vec<_> = std::iter::once(own).chain(others).map(|der| names(der)).collect();
    let issuers: Vec<Vec<usize>> = names
        .iter()
        .map(|issued| {
            (1..sent)
                .filter(|&other| may_issue(&names[other], issued))
                .collect()
        })
        .collect();
    match ways(&issuers, 0, &mut vec![false; sent], STEPS) {
        Some(_) => Ok(()),
        None => Err(TooMuch::Ways(sent)),
    }
}

/// Goes on from the certificate `at` to each that may have issued it and is not on the way already; the steps that
/// are left of `left`, or none if there are too few.
fn ways(issuers: &[Vec<usize>], at: usize, on_the_way: &mut [bool], mut left: usize) -> Option<usize> {
    for &issuer in &issuers[at] {
        if !on_the_way[issuer] {
            on_the_way[issuer] = true;
            left = ways(issuers, issuer, on_the_way, left.checked_sub(1)?)?;
            on_the_way[issuer] = false;
        }
    }
    Some(left)
}

/// A certificate's own name and its issuer's; none of one that cannot be read here, which another reader may do.
fn names(der: &CertificateDer<'_>) -> Option<(Name, Name)> {
    let certificate = Certificate::from_der(der).ok()?;
    let tbs = certificate.tbs_certificate();
    Some((tbs.subject().clone(), tbs.issuer().clone()))
}

fn may_issue(issuer: &Option<(Name, Name)>, issued: &Option<(Name, Name)>) -> bool {
    match (issuer, issued) {
        (Some((subject, _)), Some((_, wanted))) => subject == wanted,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::tls::tests::{crossed, line};

    // Fills MAX_CERTIFICATES.
    #[test]
    fn a_chain_of_too_many_certificates_is_refused_by_its_length() {
        let (own, others) = line(9);
        assert_eq!(bounded(&own, &others), Ok(()));
        for more in [10, 149] {
            let (own, others) = crossed(more);
            assert_eq!(bounded(&own, &others), Err(TooMuch::Certificates(more + 1)));
        }
    }

    // Fills chain::STEPS.
    #[test]
    fn certificates_that_issue_each_other_are_refused_by_their_ways() {
        // Three steps to the first, two to each next, one to the last: 3 + 6 + 6.
        let (own, others) = crossed(3);
        assert_eq!(bounded(&own, &others), Ok(()));
        for more in 4..=9 {
            let (own, others) = crossed(more);
            assert_eq!(bounded(&own, &others), Err(TooMuch::Ways(more + 1)));
        }
        // What cannot be read may be anybody's.
        let odd = CertificateDer::from(vec![0x30, 0]);
        assert_eq!(bounded(&odd, &vec![odd.clone(); 3]), Ok(()));
        assert_eq!(bounded(&odd, &vec![odd.clone(); 9]), Err(TooMuch::Ways(10)));
    }
}
