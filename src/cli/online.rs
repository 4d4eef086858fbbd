//! `vouch check --online`: opens a session to each directory and shows what it
//! offers.

use std::fmt::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use x509_cert::Certificate;
use x509_cert::der::Decode;

use super::{fail, print, runtime, status};
use crate::config::{Config, Directory, directory::Kind};
use crate::daemon;
use crate::session::imap::{LoginSession, Options};
use crate::session::smtp::recipients::RecipientSession;
use crate::session::{Error, Session, tls};

/// A remote that has not answered by then is unreachable to people too.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A polite goodbye is waited for this long.
pub(crate) const GOODBYE: Duration = Duration::from_secs(1);

/// Tries each directory in turn; status 69 if one cannot be reached.
pub fn run(config: &Config) -> ExitCode {
    match look(config, "check") {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(status::UNAVAILABLE),
        Err(status) => status,
    }
}

/// The same for the command of that name; whether all were reached.
///
/// # Errors
/// When one cannot even be tried, or nobody reads what is found.
pub(super) fn look(config: &Config, command: &str) -> Result<bool, ExitCode> {
    let runtime = runtime()?;
    let roots = tls::Roots::of_system();
    let mut reachable = true;
    for directory in &config.directory {
        let remote = daemon::remote(directory, &roots)
            .map_err(|error| fail(status::CONFIG, &format!("vouch {command}: {error}")))?;
        let remote = Arc::new(remote);
        let began = Instant::now();
        let offered = runtime.block_on(open(directory, remote));
        let took = began.elapsed().as_millis();
        let text = match offered {
            Ok(offered) => format!("\n{}: reached in {took} ms\n{offered}", directory.name),
            Err(error) => {
                reachable = false;
                format!("\n{}: NOT REACHED after {took} ms\n  {error}\n", directory.name)
            }
        };
        print(&text)?;
    }
    runtime.shutdown_background();
    Ok(reachable)
}

async fn open(directory: &Directory, remote: Arc<crate::session::Remote>) -> Result<String, Error> {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    if directory.kind == Kind::Imap {
        let session = LoginSession::open(remote, Options::default(), deadline).await?;
        let (capabilities, tls) = session.offered();
        let text = describe(directory, tls, &capabilities.to_string());
        let _ = tokio::time::timeout(GOODBYE, session.close()).await;
        return Ok(text);
    }
    let hello = Arc::new(daemon::hello(directory));
    let session = RecipientSession::open(remote, hello, Arc::default(), Arc::default(), deadline).await?;
    let (capabilities, tls) = session.offered();
    let text = describe(directory, tls, &capabilities.to_string());
    let _ = tokio::time::timeout(GOODBYE, session.close()).await;
    Ok(text)
}

fn describe(directory: &Directory, tls: Option<&tls::Details>, capabilities: &str) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = match tls {
        Some(details) => writeln!(
            text,
            "  TLS: {}, {}, key exchange {}{}",
            // As its standard writes it; the library has it as TLSv1_3.
            details.version.replace("TLSv1_", "TLS 1."),
            details.suite,
            details.key_exchange,
            certificate(&details.certificate)
        ),
        None if directory.password_in_clear() || !directory.kind.knows_logins() => {
            writeln!(text, "  TLS: none")
        }
        None => writeln!(text, "  TLS: none, so no password will be sent to it"),
    };
    let capabilities = if capabilities.is_empty() {
        "nothing that we use"
    } else {
        capabilities
    };
    let _ = writeln!(text, "  offers: {capabilities}");
    text
}

fn certificate(der: &[u8]) -> String {
    let Ok(certificate) = Certificate::from_der(der) else {
        return "\n  certificate: cannot be read".into();
    };
    let certificate = certificate.tbs_certificate();
    let validity = certificate.validity();
    format!(
        "\n  certificate: subject {}, issuer {}, valid from {} to {}",
        certificate.subject(),
        certificate.issuer(),
        validity.not_before,
        validity.not_after
    )
}
