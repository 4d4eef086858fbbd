//! Builds directories from the configuration, and a listener's limit from what it says there.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use vouch_protocol::encryption::Encryption;
use vouch_protocol::imap::login::Method;
use vouch_protocol::sasl::Mechanism;
use vouch_protocol::smtp::Protocol as SmtpProtocol;

use super::DaemonError;
use crate::chance::Chance;
use crate::config::{self, Config};
use crate::directory::judge::recipient;
use crate::directory::judge::replies::{Means, Replies};
use crate::directory::smtp::Settings as SmtpSettings;
use crate::directory::{Directory, Username, health::Watched, imap::Imap, smtp::Smtp};
use crate::engine::CachedDirectory;
use crate::session::smtp::Hello;
use crate::settings::address::{Addresses, RemoteAddress};
use crate::settings::directory::{self as keys, LoginMethod, StartTls};
use crate::settings::kind::Kind;

use crate::session::{Remote, Servers, connect, imap::Options, lookup::Host, pool, tls};
use crate::template::Filling;

/// The directories of a configuration, each ready to be asked. Where there is a `method`, logins use it, whatever
/// `auth.mechanism` says.
///
/// # Errors
/// A certificate or key file that cannot be used.
pub fn members(
    config: &Config,
    method: Option<LoginMethod>,
) -> Result<Vec<Arc<CachedDirectory>>, DaemonError> {
    members_by(config, method, |_, _| ())
}

/// As [`members`], where `change` may change each remote first: tests have theirs in memory.
///
/// # Errors
/// As [`members`].
pub fn members_by(
    config: &Config,
    method: Option<LoginMethod>,
    change: impl Fn(&config::Directory, &mut Remote),
) -> Result<Vec<Arc<CachedDirectory>>, DaemonError> {
    let roots = tls::Roots::of_system();
    let member = |directory: &config::Directory| {
        let mut directory = directory.clone();
        directory.auth.mechanism = method.unwrap_or(directory.auth.mechanism);
        let servers = servers_by(&directory, &roots, |remote| change(&directory, remote))
            .map_err(|error| DaemonError::Directory(directory.name.clone(), error))?;
        let chance = servers.chance.clone();
        let member = CachedDirectory::new(
            (&directory).into(),
            Arc::new(Watched::new(build(&directory, Arc::new(servers)))),
            key(&chance)?,
            chance,
        );
        Ok(Arc::new(member))
    };
    config.directory.iter().map(member).collect()
}

/// A directory as it was built, and what it was built from.
pub(super) struct Built {
    pub(super) member: Arc<CachedDirectory>,
    /// Its file of recipients is not open yet.
    pub(super) is_new: bool,
    from: config::Directory,
    files: Vec<Option<Version>>,
}

/// What shows that a file has changed: its time of change, length and inode.
type Version = (SystemTime, u64, u64);

/// All directories of a configuration. Of `old` goes on what it makes no difference to: the sessions where nothing
/// is different but what is asked and remembered, the memory where the same server is asked and understood in the
/// same way.
///
/// # Errors
/// A certificate or key file that cannot be used.
pub(super) fn build_all(config: &Config, old: &[Built]) -> Result<Vec<Built>, DaemonError> {
    let (roots, chance) = (tls::Roots::of_system(), Chance::default());
    let built = |directory: &config::Directory| {
        let files = files_of(directory);
        let old = old.iter().find(|old| old.from.name == directory.name);
        let member = match old {
            Some(old) if old.from == *directory && old.files == files => old.member.clone(),
            Some(old) => Arc::new(succeed(old, directory, &files, (&roots, &chance))?),
            None => Arc::new(CachedDirectory::new(
                directory.into(),
                remote_of(directory, &roots)?,
                key(&chance)?,
                chance.clone(),
            )),
        };
        let goes_on = old.is_some_and(|old| old.member.remembers_with(&member));
        Ok(Built {
            is_new: !goes_on,
            member,
            from: directory.clone(),
            files,
        })
    };
    config.directory.iter().map(built).collect()
}

fn succeed(
    old: &Built,
    directory: &config::Directory,
    files: &[Option<Version>],
    (roots, chance): (&tls::Roots, &Chance),
) -> Result<CachedDirectory, DaemonError> {
    let same_sessions = old.files == files
        && old.from
            == config::Directory {
                lookup: old.from.lookup.clone(),
                cache: old.from.cache.clone(),
                limits: keys::Limits {
                    unknown_rate: old.from.limits.unknown_rate,
                    ..directory.limits.clone()
                },
                ..directory.clone()
            };
    let asked = if same_sessions {
        old.member.directory().clone()
    } else {
        remote_of(directory, roots)?
    };
    let same_server = answers_of(&old.from) == answers_of(directory);
    if same_server && let Some(carried) = old.member.directory().relays() {
        // Else a client that connects now would be greeted without them, and could not log in.
        asked.note_offers(carried);
    }
    let same_answers = same_server && old.from.auth == directory.auth && old.from.cache == directory.cache;
    Ok(if same_answers {
        old.member.succeeded_by(directory.into(), asked)
    } else {
        let member = CachedDirectory::new(directory.into(), asked, key(chance)?, chance.clone());
        // A user whom the same server accepted goes first, however it is asked from now on.
        if same_server {
            member.with_trust_of(&old.member)
        } else {
            member
        }
    })
}

/// Whose answers are remembered, and how they were read: what another server said, or what was read by other rules,
/// is no answer of this directory.
pub(super) fn answers_of(directory: &config::Directory) -> String {
    let rcpt = &directory.rcpt;
    format!(
        "2 {} {} code-252={} policy={} microsoft={} replies={:?}",
        directory.kind,
        directory.endpoint(),
        rcpt.code_252,
        rcpt.policy,
        rcpt.microsoft,
        directory.replies
    )
}

/// The files that TLS reads.
fn files_of(directory: &config::Directory) -> Vec<Option<Version>> {
    let tls = &directory.tls;
    let files = [&tls.ca_file, &tls.cert_file, &tls.key_file];
    let version = |file: &PathBuf| {
        let metadata = fs::metadata(file).ok()?;
        Some((metadata.modified().ok()?, metadata.len(), metadata.ino()))
    };
    files.into_iter().flatten().map(version).collect()
}

fn remote_of(directory: &config::Directory, roots: &tls::Roots) -> Result<Arc<dyn Directory>, DaemonError> {
    let servers =
        servers(directory, roots).map_err(|error| DaemonError::Directory(directory.name.clone(), error))?;
    Ok(Arc::new(Watched::new(build(directory, Arc::new(servers)))))
}

/// A key for what is remembered of passwords.
fn key(chance: &Chance) -> Result<[u8; 32], DaemonError> {
    chance.bytes().ok_or(DaemonError::Random)
}

/// The servers of a directory and the ways to them.
///
/// # Errors
/// A certificate or key file that cannot be used.
pub fn servers(directory: &config::Directory, roots: &tls::Roots) -> Result<Servers, tls::SettingsError> {
    servers_by(directory, roots, |_| ())
}

/// As [`servers`], where `change` may change each first: tests have theirs in memory.
///
/// # Errors
/// As [`servers`].
pub fn servers_by(
    directory: &config::Directory,
    roots: &tls::Roots,
    change: impl Fn(&mut Remote),
) -> Result<Servers, tls::SettingsError> {
    let mut addresses = directory.address.servers().iter();
    let changed = |mut remote| {
        change(&mut remote);
        remote
    };
    let (first, others) = (addresses.next(), addresses);
    let nowhere = RemoteAddress::Socket(PathBuf::new());
    let first = first.unwrap_or(&nowhere);
    let client = tls::Client::new(&directory.tls, host(first), roots)?;
    let others = others.map(|address| Ok(changed(remote(directory, address, client.at(host(address))?))));
    let others: Result<Vec<_>, _> = others.collect();
    let others = others?;
    let first = changed(remote(directory, first, client));
    let peer = format!("{} ({})", directory.name, directory.endpoint());
    Ok(Servers::new(peer.into(), first, others))
}

/// The name in a server's certificate. A socket has none; without tls.server-name no TLS is started over it, see below.
fn host(address: &RemoteAddress) -> &str {
    address.host().unwrap_or("localhost")
}

/// One server of a directory, and the way to it.
fn remote(directory: &config::Directory, address: &RemoteAddress, client: tls::Client) -> Remote {
    let endpoint = match address {
        RemoteAddress::Host { name, port } => {
            let port = port.or(directory.port).unwrap_or_default();
            connect::Endpoint::Tcp(Host::new(name, port))
        }
        RemoteAddress::Socket(path) => connect::Endpoint::Unix(path.clone()),
    };
    let tls = &directory.tls;
    let encryption = match (tls.implicit, tls.starttls) {
        (true, _) => Encryption::AlreadyOn,
        // Nobody is between us and a socket, and its certificate could be for no name.
        (false, StartTls::IfAvailable)
            if matches!(address, RemoteAddress::Socket(_)) && tls.server_name.is_none() =>
        {
            Encryption::Never
        }
        (false, StartTls::IfAvailable) => Encryption::IfOffered,
        (false, StartTls::Required) => Encryption::Required,
        (false, StartTls::Never) => Encryption::Never,
    };
    Remote {
        peer: format!("{} ({})", directory.name, address.endpoint(directory.port)).into(),
        dial: Arc::new(endpoint),
        tls: Arc::new(client),
        encryption,
        timeout: directory.timeout,
        password_in_clear: directory.password_in_clear(address),
        chance: Chance::default(),
    }
}

/// How an SMTP or LMTP remote is greeted.
pub fn hello(directory: &config::Directory) -> Hello {
    let protocol = if directory.kind == Kind::Lmtp {
        SmtpProtocol::Lmtp
    } else {
        SmtpProtocol::Smtp
    };
    let name = directory.ehlo_name.clone().unwrap_or_else(host_name);
    Hello { protocol, name }
}

/// The host's name; an address literal where it has none (RFC 5321 §4.1.1.1).
fn host_name() -> String {
    let name = nix::unistd::gethostname()
        .ok()
        .and_then(|name| name.into_string().ok());
    name.filter(|name| !name.is_empty())
        .unwrap_or_else(|| "[127.0.0.1]".into())
}

fn build(directory: &config::Directory, servers: Arc<Servers>) -> Arc<dyn Directory> {
    let template = directory.auth.username.clone();
    let username: Username = Arc::new(move |login| {
        // A template that wants a domain where the login has none would make a name of nobody.
        let from = Filling {
            user: login.as_bytes(),
            ..Filling::default()
        };
        template.fill(&from).unwrap_or_else(|_| login.as_bytes().to_vec())
    });
    let pool = &directory.pool;
    let logins = pool::Limits {
        max_sessions: pool.max_sessions.logins as usize,
        keys: *pool,
        timeout: directory.timeout,
        questions: None,
        refusals: directory.limits.auth_errors.most(),
    };
    if directory.kind == Kind::Imap {
        let replies = replies(&directory.replies);
        return Arc::new(Imap::new(
            servers,
            options(directory),
            username,
            logins,
            directory.auth.forward_client,
            replies,
        ));
    }
    let recipients = pool::Limits {
        questions: directory.limits.rcpt.most(),
        refusals: directory.limits.rcpt_errors.most(),
        max_sessions: pool.max_sessions.recipients as usize,
        keys: keys::Pool {
            warm_sessions: 0,
            ..*pool
        },
        ..logins
    };
    let rcpt = &directory.rcpt;
    let settings = SmtpSettings {
        hello: hello(directory),
        mail_from: rcpt.mail_from.clone().into_bytes(),
        reading: reading(directory),
        mechanism: mechanism(directory),
        username,
        forward_client: directory.auth.forward_client,
    };
    Arc::new(Smtp::new(servers, settings, recipients, logins))
}

/// How logins are tried by IMAP.
pub fn options(directory: &config::Directory) -> Options {
    let method = match directory.auth.mechanism {
        LoginMethod::Auto => None,
        LoginMethod::Plain => Some(Method::AuthenticatePlain),
        LoginMethod::Login => Some(Method::AuthenticateLogin),
        LoginMethod::LoginCommand => Some(Method::LoginCommand),
    };
    Options {
        method,
        confirm: directory.auth.confirm,
    }
}

/// The only mechanism that logins use by SMTP AUTH, if there is to be one.
pub fn mechanism(directory: &config::Directory) -> Option<Mechanism> {
    match directory.auth.mechanism {
        // The reader of the configuration and `vouch probe` refuse the command, which is of IMAP.
        LoginMethod::Auto | LoginMethod::LoginCommand => None,
        LoginMethod::Plain => Some(Mechanism::Plain),
        LoginMethod::Login => Some(Mechanism::Login),
    }
}

/// How the replies of a directory's remote are read.
pub fn reading(directory: &config::Directory) -> recipient::Settings {
    recipient::Settings {
        rcpt: directory.rcpt.clone(),
        replies: replies(&directory.replies),
    }
}

/// How replies are read where no key says otherwise.
pub fn plain_reading() -> recipient::Settings {
    reading(&config::Directory::new("", Kind::Smtp, Addresses::nowhere()))
}

/// The operator's phrases, as the judges take them.
fn replies(given: &keys::Replies) -> Replies {
    let lists = [
        (Means::Later, &given.later),
        (Means::Full, &given.full),
        (Means::Unknown, &given.unknown),
        (Means::Wrong, &given.wrong),
    ];
    Replies::new(
        lists
            .into_iter()
            .flat_map(|(means, phrases)| phrases.iter().map(move |phrase| (means, phrase.clone()))),
    )
}
