use std::sync::Arc;

use proptest::prelude::*;
use rustls::pki_types::alg_id;
use rustls::{
    CertRevocationListError, ContentType, EncryptedClientHelloError, ExtendedKeyPurpose, HandshakeType,
    InconsistentKeys, PeerIncompatible, PeerMisbehaved,
};
use webpki::{DerTypeId, InvalidNameContext, UnsupportedSignatureAlgorithmContext};

use super::*;

/// What is wrong with a text that is for operators: it has what only developers read.
fn for_developers(text: &str) -> Option<&str> {
    let marks = ["::", "{", "}", "[", "]", "://", "docs.rs", "Some(", "None", "0x"];
    let camel = |word: &str| {
        let letters: Vec<char> = word.chars().collect();
        let turns = |pair: &[char]| pair[0].is_lowercase() && pair[1].is_uppercase();
        word != "KiB" && letters.windows(2).any(turns)
    };
    let words = || text.split(|c: char| !c.is_alphanumeric());
    // Four numbers in a row are an address, and more an object identifier.
    let numbers: Vec<bool> = words()
        .filter(|word| !word.is_empty())
        .map(|word| word.parse::<u32>().is_ok())
        .collect();
    if numbers.windows(5).any(|row| row.iter().all(|&number| number)) {
        return Some("numbers");
    }
    marks
        .into_iter()
        .find(|mark| text.contains(mark))
        .or_else(|| words().find(|word| camel(word)))
}

fn time(seconds: u64) -> UnixTime {
    UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds))
}

/// Every kind of certificate error that can be made here.
fn certificate_errors() -> Vec<CertificateError> {
    let other = |error: ChainError| CertificateError::Other(OtherError(Arc::new(error)));
    #[expect(deprecated, reason = "the library still has it")]
    let mut errors = vec![
        CertificateError::BadEncoding,
        CertificateError::Expired,
        CertificateError::ExpiredContext {
            time: time(9),
            not_after: time(5),
        },
        CertificateError::NotValidYet,
        CertificateError::NotValidYetContext {
            time: time(5),
            not_before: time(9),
        },
        CertificateError::Revoked,
        CertificateError::UnhandledCriticalExtension,
        CertificateError::UnknownIssuer,
        CertificateError::UnknownRevocationStatus,
        CertificateError::ExpiredRevocationList,
        CertificateError::ExpiredRevocationListContext {
            time: time(9),
            next_update: time(5),
        },
        CertificateError::BadSignature,
        CertificateError::UnsupportedSignatureAlgorithm,
        CertificateError::UnsupportedSignatureAlgorithmContext {
            signature_algorithm_id: vec![6, 9, 42, 134, 72],
            supported_algorithms: vec![alg_id::ECDSA_SHA256, alg_id::RSA_PKCS1_SHA256],
        },
        CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext {
            signature_algorithm_id: vec![6, 9, 42, 134, 72],
            public_key_algorithm_id: vec![6, 9, 42, 134, 72],
        },
        CertificateError::NotValidForName,
        not_valid_for(&[
            "DnsName(\"mail.example.org\")", "IpAddress(192.0.2.7)", "DirectoryName",
        ]),
        CertificateError::InvalidPurpose,
        CertificateError::InvalidPurposeContext {
            required: ExtendedKeyPurpose::ServerAuth,
            presented: vec![ExtendedKeyPurpose::Other(vec![1, 3, 6, 1, 5, 5, 7, 3, 4])],
        },
        CertificateError::InvalidOcspResponse,
        CertificateError::ApplicationVerificationFailure,
        CertificateError::Other(OtherError(Arc::new(std::fmt::Error))),
        CertificateError::Other(OtherError(Arc::new(TooMuch::Certificates(11)))),
        CertificateError::Other(OtherError(Arc::new(TooMuch::Ways(9)))),
        other(ChainError::TrailingData(DerTypeId::CertRevocationListExtension)),
        other(ChainError::CertNotValidForName(InvalidNameContext {
            expected: ServerName::try_from("mail.example.org").unwrap(),
            presented: vec!["DnsName(\"a.example\")".into()],
        })),
        other(ChainError::UnsupportedCrlSignatureAlgorithmContext(
            UnsupportedSignatureAlgorithmContext {
                signature_algorithm_id: vec![6, 9, 42, 134, 72],
                supported_algorithms: vec![alg_id::ECDSA_SHA256],
            },
        )),
    ];
    errors.extend(CHAIN.map(other));
    errors
}

const CHAIN: [ChainError; 36] = [
    ChainError::BadDer,
    ChainError::BadDerTime,
    ChainError::CaUsedAsEndEntity,
    ChainError::CertDistrusted,
    ChainError::CertRevoked,
    ChainError::EmptyEkuExtension,
    ChainError::EndEntityUsedAsCa,
    ChainError::ExtensionValueInvalid,
    ChainError::InvalidCertValidity,
    ChainError::InvalidCrlNumber,
    ChainError::InvalidNetworkMaskConstraint,
    ChainError::InvalidSerialNumber,
    ChainError::InvalidCrlSignatureForPublicKey,
    ChainError::InvalidSignatureForPublicKey,
    ChainError::IssuerNotCrlSigner,
    ChainError::MalformedDnsIdentifier,
    ChainError::MalformedExtensions,
    ChainError::MalformedNameConstraint,
    ChainError::MaximumNameConstraintComparisonsExceeded,
    ChainError::MaximumPathBuildCallsExceeded,
    ChainError::MaximumPathDepthExceeded,
    ChainError::MaximumSignatureChecksExceeded,
    ChainError::NameConstraintViolation,
    ChainError::PathLenConstraintViolated,
    ChainError::SignatureAlgorithmMismatch,
    ChainError::UnknownIssuer,
    ChainError::UnknownRevocationStatus,
    ChainError::UnsupportedCertVersion,
    ChainError::UnsupportedCriticalExtension,
    ChainError::UnsupportedCrlIssuingDistributionPoint,
    ChainError::UnsupportedCrlVersion,
    ChainError::UnsupportedDeltaCrl,
    ChainError::UnsupportedIndirectCrl,
    ChainError::UnsupportedNameType,
    ChainError::UnsupportedRevocationReason,
    ChainError::UnsupportedRevocationReasonsPartitioning,
];

const MISBEHAVED: [PeerMisbehaved; 78] = [
    PeerMisbehaved::AttemptedDowngradeToTls12WhenTls13IsSupported,
    PeerMisbehaved::BadCertChainExtensions,
    PeerMisbehaved::CipherSuiteDifferedOnRetry,
    PeerMisbehaved::DisallowedEncryptedExtension,
    PeerMisbehaved::DuplicateClientHelloExtensions,
    PeerMisbehaved::DuplicateEncryptedExtensions,
    PeerMisbehaved::DuplicateHelloRetryRequestExtensions,
    PeerMisbehaved::DuplicateNewSessionTicketExtensions,
    PeerMisbehaved::DuplicateServerHelloExtensions,
    PeerMisbehaved::DuplicateServerNameTypes,
    PeerMisbehaved::EarlyDataAttemptedInSecondClientHello,
    PeerMisbehaved::EarlyDataExtensionWithoutResumption,
    PeerMisbehaved::EarlyDataOfferedWithVariedCipherSuite,
    PeerMisbehaved::EchAcceptanceVariedAfterRetry,
    PeerMisbehaved::HandshakeHashVariedAfterRetry,
    PeerMisbehaved::IllegalHelloRetryRequestWithEmptyCookie,
    PeerMisbehaved::IllegalHelloRetryRequestWithNoChanges,
    PeerMisbehaved::IllegalHelloRetryRequestWithOfferedGroup,
    PeerMisbehaved::IllegalHelloRetryRequestWithUnofferedCipherSuite,
    PeerMisbehaved::IllegalHelloRetryRequestWithUnofferedNamedGroup,
    PeerMisbehaved::IllegalHelloRetryRequestWithUnsupportedVersion,
    PeerMisbehaved::IllegalHelloRetryRequestWithWrongSessionId,
    PeerMisbehaved::IllegalHelloRetryRequestWithInvalidEch,
    PeerMisbehaved::IllegalMiddleboxChangeCipherSpec,
    PeerMisbehaved::IllegalTlsInnerPlaintext,
    PeerMisbehaved::IncorrectBinder,
    PeerMisbehaved::InvalidCertCompression,
    PeerMisbehaved::InvalidMaxEarlyDataSize,
    PeerMisbehaved::InvalidKeyShare,
    PeerMisbehaved::KeyEpochWithPendingFragment,
    PeerMisbehaved::KeyUpdateReceivedInQuicConnection,
    PeerMisbehaved::MessageInterleavedWithHandshakeMessage,
    PeerMisbehaved::MissingBinderInPskExtension,
    PeerMisbehaved::MissingKeyShare,
    PeerMisbehaved::MissingPskExtensionInSecondClientHello,
    PeerMisbehaved::MissingPskModesExtension,
    PeerMisbehaved::MissingQuicTransportParameters,
    PeerMisbehaved::OfferedDuplicateCertificateCompressions,
    PeerMisbehaved::OfferedDuplicateKeyShares,
    PeerMisbehaved::OfferedEarlyDataWithOldProtocolVersion,
    PeerMisbehaved::OfferedEmptyApplicationProtocol,
    PeerMisbehaved::OfferedIncorrectCompressions,
    PeerMisbehaved::PskExtensionMustBeLast,
    PeerMisbehaved::PskExtensionWithMismatchedIdsAndBinders,
    PeerMisbehaved::RefusedToFollowHelloRetryRequest,
    PeerMisbehaved::RejectedEarlyDataInterleavedWithHandshakeMessage,
    PeerMisbehaved::ResumptionAttemptedWithVariedEms,
    PeerMisbehaved::ResumptionOfferedWithVariedCipherSuite,
    PeerMisbehaved::ResumptionOfferedWithVariedEms,
    PeerMisbehaved::ResumptionOfferedWithIncompatibleCipherSuite,
    PeerMisbehaved::SelectedDifferentCipherSuiteAfterRetry,
    PeerMisbehaved::SelectedInvalidPsk,
    PeerMisbehaved::SelectedTls12UsingTls13VersionExtension,
    PeerMisbehaved::SelectedUnofferedApplicationProtocol,
    PeerMisbehaved::SelectedUnofferedCertCompression,
    PeerMisbehaved::SelectedUnofferedCipherSuite,
    PeerMisbehaved::SelectedUnofferedCompression,
    PeerMisbehaved::SelectedUnofferedKxGroup,
    PeerMisbehaved::SelectedUnofferedPsk,
    PeerMisbehaved::SelectedUnusableCipherSuiteForVersion,
    PeerMisbehaved::ServerEchoedCompatibilitySessionId,
    PeerMisbehaved::ServerHelloMustOfferUncompressedEcPoints,
    PeerMisbehaved::ServerNameDifferedOnRetry,
    PeerMisbehaved::ServerNameMustContainOneHostName,
    PeerMisbehaved::SignedKxWithWrongAlgorithm,
    PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme,
    PeerMisbehaved::TooManyEmptyFragments,
    PeerMisbehaved::TooManyKeyUpdateRequests,
    PeerMisbehaved::TooManyRenegotiationRequests,
    PeerMisbehaved::TooManyWarningAlertsReceived,
    PeerMisbehaved::TooMuchEarlyDataReceived,
    PeerMisbehaved::UnexpectedCleartextExtension,
    PeerMisbehaved::UnsolicitedCertExtension,
    PeerMisbehaved::UnsolicitedEncryptedExtension,
    PeerMisbehaved::UnsolicitedSctList,
    PeerMisbehaved::UnsolicitedServerHelloExtension,
    PeerMisbehaved::WrongGroupForKeyShare,
    PeerMisbehaved::UnsolicitedEchExtension,
];

const INCOMPATIBLE: [PeerIncompatible; 21] = [
    PeerIncompatible::EcPointsExtensionRequired,
    PeerIncompatible::ExtendedMasterSecretExtensionRequired,
    PeerIncompatible::IncorrectCertificateTypeExtension,
    PeerIncompatible::KeyShareExtensionRequired,
    PeerIncompatible::NamedGroupsExtensionRequired,
    PeerIncompatible::NoCertificateRequestSignatureSchemesInCommon,
    PeerIncompatible::NoCipherSuitesInCommon,
    PeerIncompatible::NoEcPointFormatsInCommon,
    PeerIncompatible::NoKxGroupsInCommon,
    PeerIncompatible::NoSignatureSchemesInCommon,
    PeerIncompatible::NullCompressionRequired,
    PeerIncompatible::ServerDoesNotSupportTls12Or13,
    PeerIncompatible::ServerSentHelloRetryRequestWithUnknownExtension,
    PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
    PeerIncompatible::SignatureAlgorithmsExtensionRequired,
    PeerIncompatible::SupportedVersionsExtensionRequired,
    PeerIncompatible::Tls12NotOffered,
    PeerIncompatible::Tls12NotOfferedOrEnabled,
    PeerIncompatible::Tls13RequiredForQuic,
    PeerIncompatible::UncompressedEcPointsRequired,
    PeerIncompatible::UnsolicitedCertificateTypeExtension,
];

const INVALID: [InvalidMessage; 22] = [
    InvalidMessage::CertificatePayloadTooLarge,
    InvalidMessage::HandshakePayloadTooLarge,
    InvalidMessage::InvalidCcs,
    InvalidMessage::InvalidContentType,
    InvalidMessage::InvalidCertificateStatusType,
    InvalidMessage::InvalidCertRequest,
    InvalidMessage::InvalidDhParams,
    InvalidMessage::InvalidEmptyPayload,
    InvalidMessage::InvalidKeyUpdate,
    InvalidMessage::InvalidServerName,
    InvalidMessage::MessageTooLarge,
    InvalidMessage::MessageTooShort,
    InvalidMessage::MissingKeyExchange,
    InvalidMessage::NoSignatureSchemes,
    InvalidMessage::UnknownProtocolVersion,
    InvalidMessage::UnsupportedCompression,
    InvalidMessage::UnsupportedCurveType,
    InvalidMessage::EmptyTicketValue,
    InvalidMessage::IllegalEmptyValue,
    InvalidMessage::PreSharedKeyIsNotFinalExtension,
    InvalidMessage::UnknownHelloRetryRequestExtension,
    InvalidMessage::UnknownCertificateExtension,
];

fn not_valid_for(presented: &[&str]) -> CertificateError {
    CertificateError::NotValidForNameContext {
        expected: ServerName::try_from("imap.example.org").unwrap(),
        presented: presented.iter().map(|&name| name.to_owned()).collect(),
    }
}

/// Every kind of error of a handshake that can be made here.
fn errors() -> Vec<Error> {
    let mut errors = vec![
        Error::InappropriateMessage {
            expect_types: vec![ContentType::Handshake, ContentType::Unknown(99)],
            got_type: ContentType::ApplicationData,
        },
        Error::InappropriateHandshakeMessage {
            expect_types: vec![HandshakeType::ServerHello],
            got_type: HandshakeType::Finished,
        },
        Error::InvalidEncryptedClientHello(EncryptedClientHelloError::SniRequired),
        Error::NoCertificatesPresented,
        Error::UnsupportedNameType,
        Error::DecryptError,
        Error::EncryptError,
        Error::InvalidCertRevocationList(CertRevocationListError::ParseError),
        Error::General("see https://docs.rs/rustls, Err(BadThing { at: 5 })".into()),
        Error::FailedToGetCurrentTime,
        Error::FailedToGetRandomBytes,
        Error::HandshakeNotComplete,
        Error::PeerSentOversizedRecord,
        Error::NoApplicationProtocol,
        Error::BadMaxFragmentSize,
        Error::InconsistentKeys(InconsistentKeys::KeyMismatch),
        Error::InconsistentKeys(InconsistentKeys::Unknown),
        Error::Other(OtherError(Arc::new(ChainError::UnsupportedNameType))),
        Error::PeerIncompatible(PeerIncompatible::ServerRejectedEncryptedClientHello(None)),
        Error::InvalidMessage(InvalidMessage::MissingData("CertificateEntry")),
        Error::InvalidMessage(InvalidMessage::TrailingData("ServerHelloPayload")),
        Error::InvalidMessage(InvalidMessage::UnexpectedMessage("HelloRetryRequest")),
        Error::InvalidMessage(InvalidMessage::IllegalEmptyList("ProtocolNames")),
        Error::InvalidMessage(InvalidMessage::DuplicateExtension(51)),
    ];
    errors.extend((0..=255).map(|number| Error::AlertReceived(AlertDescription::from(number))));
    errors.extend(MISBEHAVED.map(Error::PeerMisbehaved));
    errors.extend(INCOMPATIBLE.map(Error::PeerIncompatible));
    errors.extend(INVALID.map(Error::InvalidMessage));
    errors.extend(certificate_errors().into_iter().map(Error::InvalidCertificate));
    errors
}

#[test]
fn no_error_of_a_library_is_shown_as_it_prints_itself() {
    let all = errors();
    assert!(all.len() > 400, "{}", all.len());
    for error in all {
        for own_authority in [false, true] {
            let (detail, advice) = trouble(&error, own_authority);
            for text in [&detail, advice, own_identity(&error)] {
                assert_eq!(for_developers(text), None, "{error:?}: {text}");
                assert!(text.contains(' '), "{error:?}: {text}");
            }
        }
    }
    // The test finds what it is for.
    let printed = |error: &Error| for_developers(&error.to_string()).is_some();
    for error in [
        Error::PeerMisbehaved(PeerMisbehaved::MissingKeyShare),
        Error::InvalidCertificate(CertificateError::BadSignature),
        Error::InvalidCertificate(certificate_errors()[13].clone()),
        Error::InvalidCertificate(certificate_errors()[18].clone()),
        Error::General("https://docs.rs".into()),
    ] {
        assert!(printed(&error), "{error}");
    }
}

#[test]
fn what_an_operator_can_mend_is_told_apart() {
    let said = |error: CertificateError| certificate(&error, true);
    let (detail, advice) = said(CertificateError::BadSignature);
    assert!(
        detail.contains("handshake") && !advice.contains("ca-file"),
        "{detail}; {advice}"
    );
    assert!(
        said(CertificateError::UnknownIssuer)
            .1
            .contains("ca-file is not the one")
    );
    let of_authority = CertificateError::Other(OtherError(Arc::new(ChainError::CaUsedAsEndEntity)));
    assert!(said(of_authority).0.contains("CA:TRUE"));
    let long = trouble(&InvalidMessage::HandshakePayloadTooLarge.into(), false);
    assert!(
        long.0.contains("64 KiB") && !long.1.contains("implicit"),
        "{long:?}"
    );
    let old = trouble(&Error::AlertReceived(AlertDescription::ProtocolVersion), false);
    assert!(
        old.0.ends_with("alert protocol_version") && old.1 == OLD,
        "{old:?}"
    );
    let unknown = trouble(&Error::AlertReceived(AlertDescription::Unknown(200)), false);
    assert!(unknown.0.ends_with("alert 200"), "{unknown:?}");
}

// Fills handshake::NAMES.
#[test]
fn of_a_certificate_with_thousands_of_names_a_few_are_shown() {
    let named = |number: usize| format!("DnsName(\"{number}.example\")");
    let of = |number| names(&(0..number).map(named).collect::<Vec<_>>());
    assert_eq!(of(0), "for no name");
    assert_eq!(of(2), "for 0.example, 1.example");
    assert!(of(NAMES).ends_with(", 4.example"));
    let many = of(2300);
    assert!(many.ends_with(", 4.example and 2295 names more"), "{many}");
    // Names of persons and folders are none of hosts.
    let others = [
        "DirectoryName", "Unsupported(0x81)", "UniformResourceIdentifier(\"x:y\")",
    ];
    assert_eq!(names(&others.map(str::to_owned)), "for no name");
}

// Fills NAME_LENGTH.
#[test]
fn a_long_name_is_cut() {
    let long = format!("DnsName(\"{}\")", "x".repeat(60_000));
    assert_eq!(names(&[long]).len(), "for ".len() + NAME_LENGTH);
}

proptest! {
    #[test]
    fn whatever_a_certificate_is_called_steers_no_terminal(names in prop::collection::vec(".*", 0..9)) {
        let presented: Vec<String> = names.iter().map(|name| format!("DnsName(\"{name}\")")).collect();
        let (detail, _) = certificate(
            &CertificateError::NotValidForNameContext {
                expected: ServerName::try_from("imap.example.org").unwrap(),
                presented,
            },
            false,
        );
        prop_assert!(!detail.contains(crate::unseen::is_unseen), "{detail:?}");
    }
}

#[test]
fn days_are_those_that_people_write() {
    let at = |seconds| day(time(seconds));
    assert_eq!(at(0), "1970-01-01");
    assert_eq!(at(1_609_459_200), "2021-01-01");
    assert_eq!(at(u64::MAX), format!("second {} of 1970", u64::MAX));
}
