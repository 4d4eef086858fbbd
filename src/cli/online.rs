//! `vouch check --online`: opens a session to each directory and shows what it
//! offers.

use std::fmt::Write;
use std::future::ready;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use tokio::runtime::Runtime;
use x509_cert::Certificate;
use x509_cert::der::Decode;

use super::{failed, print, runtime, status};
use crate::config::{Config, Directory, Listener};
use crate::daemon;
use crate::session::imap::LoginSession;
use crate::session::smtp::Hello;
use crate::session::smtp::recipients::RecipientSession;
use crate::session::{Error, Servers, Session, tls};
use crate::settings::kind::Kind;
use crate::unseen::escaped;

/// Bound (commands): session of vouch check --online. Beyond: the directory is not reached. Why: a server that takes
/// longer is unreachable for users as well.
const PROBE_TIMEOUT: Duration = Duration::from_secs(30);

/// Bound (commands): goodbye of a session of vouch check --online. Beyond: the connection is closed. Why: nobody
/// waits for it.
const GOODBYE: Duration = Duration::from_secs(1);

/// Bound (commands): servers of a map that vouch check --online calls at once. Beyond: the others wait. Why: a map may have
/// thousands.
const AT_ONCE: usize = 64;

/// Servers of a map that are shown of those that cannot be used.
const MOST_SHOWN: usize = 20;

/// Tries each server of each directory in turn, and the stores of a fleet; status 69 if one cannot be reached.
pub fn run(config: &Config) -> Result<(), ExitCode> {
    let directories = look(config, "check")?;
    if stores(config)? && directories {
        Ok(())
    } else {
        Err(status::UNAVAILABLE.into())
    }
}

/// Tries the stores of the fleet, if there is one; whether all can be used.
fn stores(config: &Config) -> Result<bool, ExitCode> {
    let runtime = runtime()?;
    let tried = runtime.block_on(daemon::try_fleet(config));
    let tried = tried.map_err(|error| failed("check", status::CONFIG, error))?;
    for it in &tried {
        let text = match &it.trouble {
            None => format!(
                "\n{}: the store of the fleet answers, and keeps findings\n",
                it.store
            ),
            Some(why) => format!("\n{}: NOT USED\n  {}\n", it.store, escaped(why)),
        };
        print(&text)?;
    }
    runtime.shutdown_background();
    Ok(tried.iter().all(|it| it.trouble.is_none()))
}

/// The same for the command of that name; whether all were reached.
///
/// # Errors
/// When one cannot even be tried, or standard output is closed.
pub(super) fn look(config: &Config, command: &str) -> Result<bool, ExitCode> {
    let runtime = runtime()?;
    let roots = tls::Roots::of_system();
    let mut reachable = true;
    for directory in &config.directory {
        if directory.lookup.routes.is_some() {
            reachable &= look_at_map(config, directory, &roots, &runtime, command)?;
            continue;
        }
        let servers =
            daemon::servers(directory, &roots).map_err(|error| failed(command, status::CONFIG, error))?;
        let several = directory.address.only().is_none();
        let each =
            runtime.block_on(async { servers.each(tokio::time::Instant::now() + PROBE_TIMEOUT).await });
        let (each, not_called) = match each {
            Ok(each) => each,
            Err(error) => {
                reachable = false;
                print(&format!(
                    "\n{}: NO SERVER\n  {}",
                    directory.name,
                    described(&error)
                ))?;
                continue;
            }
        };
        for record in not_called {
            print(&format!(
                "\n{}: never asked: {}\n",
                directory.name,
                escaped(&record)
            ))?;
        }
        for server in each {
            let name = if several { &*server.peer } else { &directory.name };
            let began = Instant::now();
            let offered = runtime.block_on(open(directory, &server));
            let took = began.elapsed().as_millis();
            let text = match offered {
                Ok((offered, logins)) => {
                    let mut text = format!("\n{name}: reached in {took} ms\n{offered}");
                    if let Err(error) = logins
                        && is_asked_logins(config, directory)
                    {
                        reachable = false;
                        text.push_str("  NO LOGIN CAN BE TRIED: ");
                        text.push_str(&described(&error));
                    }
                    text
                }
                Err(error) => {
                    reachable = false;
                    format!("\n{name}: NOT REACHED after {took} ms\n  {}", described(&error))
                }
            };
            print(&text)?;
        }
    }
    runtime.shutdown_background();
    Ok(reachable)
}

/// Tries each server of a map, and shows those that cannot be used.
fn look_at_map(
    config: &Config,
    directory: &Directory,
    roots: &tls::Roots,
    runtime: &Runtime,
    command: &str,
) -> Result<bool, ExitCode> {
    let servers =
        daemon::routed_servers(directory, roots).map_err(|error| failed(command, status::CONFIG, error))?;
    let (all, logins, began) = (servers.len(), is_asked_logins(config, directory), Instant::now());
    let tried = stream::iter(servers).map(|(at, servers)| async move {
        let unusable = match open(&at, &servers).await {
            Ok((_, Err(error))) if logins => Some(("NO LOGIN CAN BE TRIED", error)),
            Ok(_) => None,
            Err(error) => Some(("NOT REACHED", error)),
        };
        Some((servers.peer.clone(), unusable?))
    });
    let unusable: Vec<_> = runtime.block_on(tried.buffer_unordered(AT_ONCE).filter_map(ready).collect());
    let took = began.elapsed().as_millis();
    let reached = all - unusable.len();
    print(&format!(
        "\n{}: {reached} of {all} servers reached in {took} ms\n",
        directory.name
    ))?;
    for (peer, (what, error)) in unusable.iter().take(MOST_SHOWN) {
        print(&format!("\n{peer}: {what}\n  {}", described(error)))?;
    }
    if unusable.len() > MOST_SHOWN {
        print(&format!("\nand {} more\n", unusable.len() - MOST_SHOWN))?;
    }
    Ok(unusable.is_empty())
}

/// What went wrong, and in a line of its own what to do.
fn described(error: &Error) -> String {
    let (error, advice) = (escaped(&error.to_string()), error.advice());
    if advice.is_empty() {
        format!("{error}\n")
    } else {
        format!("{error}\n  What to do: {advice}\n")
    }
}

/// Whether a listener sends it passwords; without any listener, whether it knows nothing but logins.
fn is_asked_logins(config: &Config, directory: &Directory) -> bool {
    let takes_passwords = |asker: &&Listener| {
        let mut mechanisms = asker.mechanisms.iter();
        asker.protocol.asks_logins() && mechanisms.any(|it| !it.is_relayed() && !it.is_challenge_response())
    };
    let by_listeners = config.listener.iter().filter(takes_passwords);
    let by_dovecot = config.dovecot.iter().filter(|it| takes_passwords(&&it.keys));
    let mut asked = by_listeners
        .flat_map(|it| &it.directory)
        .chain(by_dovecot.flat_map(|it| &it.logins));
    let nobody = config.listener.is_empty() && config.dovecot.is_none();
    let is_asked = asked.any(|name| *name == directory.name);
    directory.knows_logins() && (is_asked || (nobody && directory.kind == Kind::Imap))
}

/// What it offers, and what keeps passwords from being sent.
async fn open(directory: &Directory, servers: &Servers) -> Result<(String, Result<(), Error>), Error> {
    let deadline = tokio::time::Instant::now() + PROBE_TIMEOUT;
    if directory.kind == Kind::Imap {
        let session = LoginSession::open(servers, &directory.auth, deadline).await?;
        let (capabilities, tls) = session.offered();
        let text = describe(tls, &capabilities.to_string());
        let logins = session.takes_passwords();
        let _ = tokio::time::timeout(GOODBYE, session.close()).await;
        return Ok((text, logins));
    }
    let hello = Arc::new(Hello::from(directory));
    let session = RecipientSession::open(servers, &hello, Arc::default(), Arc::default(), deadline).await?;
    let (capabilities, tls) = session.offered();
    let text = describe(tls, &capabilities.to_string());
    let logins = session.takes_passwords(directory.auth.mechanism);
    let _ = tokio::time::timeout(GOODBYE, session.close()).await;
    Ok((text, logins))
}

fn describe(tls: Option<&tls::Details>, capabilities: &str) -> String {
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
        None => writeln!(text, "  TLS: none"),
    };
    let capabilities = if capabilities.is_empty() {
        "nothing that vouch uses"
    } else {
        capabilities
    };
    let _ = writeln!(text, "  offers: {}", escaped(capabilities));
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
        escaped(&certificate.subject().to_string()),
        escaped(&certificate.issuer().to_string()),
        validity.not_before,
        validity.not_after
    )
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair};

    use super::*;

    #[test]
    fn what_a_certificate_is_called_steers_no_terminal() {
        let mut params = CertificateParams::default();
        let name = "mail\u{202e}gro.elpmaxe\u{9b}2J";
        params.distinguished_name.push(DnType::CommonName, name);
        let made = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let shown = certificate(made.der());
        assert!(
            shown.contains("subject CN=mail\\u{202e}gro.elpmaxe\\u{9b}2J"),
            "{shown:?}"
        );
        let text = describe(None, "AUTH=\u{202e}");
        assert!(text.contains("AUTH=\\u{202e}"), "{text:?}");
    }
}
