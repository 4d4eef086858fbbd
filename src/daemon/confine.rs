//! Least privilege: whom the daemon becomes once its sockets are bound, and what it
//! keeps of the file system.

use std::env;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::unistd::{AccessFlags, Uid, access};

use super::DaemonError;
use crate::config::{self, Config};
use crate::service::landlock::{self, Landlock, Places};
use crate::service::privilege::{Account, account, become_user, no_new_privileges};
use crate::service::user;
use crate::settings::process::DEFAULT_USER;
use crate::telemetry::file::LogFile;

/// Why what an order asks for may fail, and a start would not: a file or folder that was none of ours at the start is
/// closed to us.
pub(super) const DENIED: &str = "; what its user and Landlock keep from a running vouch, a restart can open";

/// The user that the daemon runs as.
pub struct ServiceUser {
    /// The user to drop to; `None`: it stays who it is.
    pub(super) account: Option<Account>,
    remark: Option<String>,
}

impl ServiceUser {
    /// The current user.
    pub const fn ours() -> Self {
        Self {
            account: None,
            remark: None,
        }
    }

    /// The user to run as, by the configuration and the current user.
    ///
    /// # Errors
    /// When nobody has that name.
    pub fn of(config: &Config) -> Result<Self, DaemonError> {
        let named = config.service.user.as_deref();
        let ours = Uid::effective();
        if !ours.is_root() {
            let other = named.filter(|name| user::uid(name) != Ok(ours.as_raw()));
            let remark = other.map(|name| {
                format!("service.user = \"{name}\" is for a start as root: not being root, vouch stays user {ours}")
            });
            return Ok(Self {
                account: None,
                remark,
            });
        }
        let name = named.unwrap_or(DEFAULT_USER);
        let found = account(name).map_err(|error| DaemonError::User(error.to_string()))?;
        match (found, named) {
            (Some(account), _) if account.uid == 0 => Ok(Self::ours()),
            (Some(account), _) => Ok(Self {
                account: Some(account),
                remark: None,
            }),
            (None, Some(name)) => Err(DaemonError::User(format!(
                "there is no user {name}; make it by `useradd --system --no-create-home --shell /usr/sbin/nologin {name}`"
            ))),
            (None, None) => Ok(Self {
                account: None,
                remark: Some(format!(
                    "vouch stays root, as there is no user {DEFAULT_USER}: make it by `useradd --system --no-create-home \
                     --shell /usr/sbin/nologin {DEFAULT_USER}`, or name another by service.user (\"root\" to stay root)"
                )),
            }),
        }
    }

    /// What its administrator should know of it.
    pub fn remark(&self) -> Option<&str> {
        self.remark.as_deref()
    }

    /// Permanently drops privileges to that user.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn enter(&self) -> Result<(), DaemonError> {
        let Some(account) = &self.account else {
            return Ok(());
        };
        become_user(account).map_err(|error| {
            DaemonError::User(format!(
                "cannot become user {}: {error}; `service.user = \"root\"` stays root",
                account.name
            ))
        })
    }
}

/// Gives up what the daemon does not need once its sockets are bound. The caller
/// must have one thread only. What is in force, in words, and what is to be warned of.
///
/// # Errors
/// When the user cannot be become. What the kernel lacks beside is only told.
pub(super) fn confine(
    config: &Config,
    file: &Path,
    user: &ServiceUser,
    sockets: impl Iterator<Item = PathBuf>,
) -> Result<(String, Vec<String>), DaemonError> {
    user.enter()?;
    let mut remarks: Vec<String> = user.remark().map(str::to_owned).into_iter().collect();
    let mut force = match &user.account {
        Some(account) => format!("runs as user {}", account.name),
        None if Uid::effective().is_root() => "runs as root".to_owned(),
        None => format!("runs as user {}", Uid::effective()),
    };
    match no_new_privileges() {
        Ok(()) => force.push_str(", without new privileges"),
        Err(error) => remarks.push(format!("not without new privileges: {error}")),
    }
    if !config.service.landlock {
        force.push_str("; Landlock is switched off (service.landlock)");
        return Ok((force, remarks));
    }
    match landlock::restrict(&places(config, file, sockets)) {
        Ok(Landlock::Enforced) => force.push_str("; Landlock keeps it from all files but its own"),
        Ok(Landlock::InPart) => {
            force.push_str("; Landlock keeps it from all files but its own, as far as this kernel knows how");
        }
        Ok(Landlock::Absent) => force.push_str("; this kernel has no Landlock"),
        Err(error) => remarks.push(format!("Landlock is not in force: {error}")),
    }
    Ok((force, remarks))
}

/// The cache files that the current user could not write.
pub(super) fn unwritable(config: &Config) -> Vec<String> {
    let unwritable = |directory: &config::Directory| {
        let file = directory.cache.file.as_deref()?;
        let (place, wanted) = if file.exists() {
            (file, AccessFlags::R_OK | AccessFlags::W_OK)
        } else {
            (file.parent()?, AccessFlags::W_OK | AccessFlags::X_OK)
        };
        let error = access(place, wanted).err()?;
        let (name, file, place, us) = (&directory.name, file.display(), place.display(), Uid::effective());
        Some(format!(
            "directory \"{name}\": recipients will not survive a restart: cache.file {file} cannot be written, as \
             user {us} may not write to {place}: {error}"
        ))
    };
    let mut all: Vec<String> = config.directory.iter().filter_map(unwritable).collect();
    all.extend(config.log.file.as_deref().and_then(unwritable_log));
    all
}

/// Whether the current user could reopen a log that logrotate has renamed: the file, if it exists, else its folder.
fn unwritable_log(file: &Path) -> Option<String> {
    let (place, wanted) = if file.exists() {
        (file, AccessFlags::W_OK)
    } else {
        (file.parent()?, AccessFlags::W_OK | AccessFlags::X_OK)
    };
    let error = access(place, wanted).err()?;
    let (file, place, us) = (file.display(), place.display(), Uid::effective());
    Some(format!(
        "log.file {file} cannot be opened at SIGHUP, as user {us} may not write to {place}: {error}; make it for that user \
         (install -m 640 -o {us} /dev/null {file}), or give it a folder of theirs"
    ))
}

/// Opens `log.file` for the user that the daemon will run as: before it drops privileges, and before anything is logged.
pub fn log_file(config: &Config) -> Option<LogFile> {
    let path = config.log.file.as_deref()?;
    // The start reports what is wrong with the user.
    let user = ServiceUser::of(config).ok();
    let account = user.as_ref().and_then(|user| user.account.as_ref());
    Some(LogFile::open(
        path,
        account.map(|account| (account.uid, account.gid)),
    ))
}

/// What to change so that the current user may read the configuration again.
pub(super) fn unreadable(file: &Path) -> Option<String> {
    (access(file, AccessFlags::R_OK) == Err(Errno::EACCES)).then(|| {
        let (file, us) = (file.display(), Uid::effective());
        format!("a running vouch may not read {file}, as user {us}: give the file to a group of theirs (chgrp, chmod 640)")
    })
}

/// What the resolver and the certificate store read, on any distribution. The files
/// that change at run time are replaced and not rewritten, and Landlock knows a file by
/// what it is and not by its name: so it is their folders that are named.
const SYSTEM: [&str; 24] = [
    // resolv.conf, hosts, nsswitch.conf, gai.conf, services, ld.so.cache, certificates, and /etc/vouch.
    "/etc", // The resolver loads its modules when they are first needed.
    "/lib", "/lib32", "/lib64", "/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/local/lib", "/nix/store",
    "/gnu/store", // What links in /etc/ssl/certs lead to.
    "/usr/share/ca-certificates", "/usr/local/share/ca-certificates", "/usr/share/pki",
    "/var/lib/ca-certificates",
    // What /etc/resolv.conf leads to, and what modules of the resolver read.
    "/run/systemd/resolve", "/run/systemd/machines", "/run/resolvconf", "/run/NetworkManager", "/run/nscd",
    "/var/cache/nscd", "/var/lib/sss/mc",
    // How many processors there are for us, which decides on the number of threads.
    "/proc/self", "/sys/fs/cgroup", "/sys/devices/system/cpu",
];

/// All that the daemon opens by name from here on.
fn places(config: &Config, file: &Path, sockets: impl Iterator<Item = PathBuf>) -> Places {
    let mut places = Places {
        read: SYSTEM.map(PathBuf::from).to_vec(),
        write: vec!["/dev/null".into()],
        ..Places::default()
    };
    // Where getrandom(2) is not to be had, and in a static program, random bytes are read here, once the first is ready.
    places
        .read
        .extend(["/dev/random", "/dev/urandom"].map(PathBuf::from));
    let mut read = |file: &Path| places.read.extend(around(file));
    for file in [
        "/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/ssl/certs/ca-certificates.crt",
    ] {
        read(Path::new(file));
    }
    // The administrator's other store, which OpenSSL and rustls look into.
    env::var_os("SSL_CERT_FILE")
        .iter()
        .for_each(|file| read(Path::new(file)));
    read(file);
    for directory in &config.directory {
        let tls = &directory.tls;
        let files = [&tls.ca_file, &tls.cert_file, &tls.key_file];
        files.into_iter().flatten().for_each(|file| read(file));
        directory.lookup.domains.files.iter().for_each(|file| read(file));
        directory
            .lookup
            .routes
            .iter()
            .for_each(|routes| read(&routes.path));
    }
    config
        .fleet
        .iter()
        .flat_map(config::Fleet::files)
        .for_each(|file| read(file));
    let folders = env::var_os("SSL_CERT_DIR");
    places.read.extend(folders.iter().flat_map(env::split_paths));
    let caches = config
        .directory
        .iter()
        .filter_map(|directory| directory.cache.file.as_deref());
    places
        .own
        .extend(caches.filter_map(Path::parent).map(Path::to_path_buf));
    let log = config.log.file.as_deref().and_then(Path::parent);
    places.logs.extend(log.map(Path::to_path_buf));
    places
        .sockets
        .extend(sockets.filter_map(|socket| Some(socket.parent()?.to_path_buf())));
    places
}

/// The folder of a file, and of what it is a link to; the file itself in the root
/// folder, which is everything's.
fn around(file: &Path) -> impl Iterator<Item = PathBuf> {
    let of = |file: &Path| match file.parent() {
        Some(folder) if folder.parent().is_some() => folder.to_path_buf(),
        _ => file.to_path_buf(),
    };
    let target = file.canonicalize().ok();
    [Some(of(file)), target.as_deref().map(of)].into_iter().flatten()
}
