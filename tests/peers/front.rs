//! A Dovecot with no auth service of its own: its login processes, mail processes, LMTP and `doveadm` ask `vouch`.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::language::Language;
use crate::support::{Process, Scratch, free_port, program};

/// A running Dovecot without auth.
#[derive(Debug)]
pub(crate) struct Front {
    _process: Process,
    /// IMAP, without TLS.
    pub(crate) imap: u16,
    /// LMTP, without TLS.
    pub(crate) lmtp: u16,
    /// Its configuration file; `doveadm -c` wants one.
    pub(crate) config: PathBuf,
}

impl Front {
    /// Starts it in the folder `name` of the scratch directory. `login`, `master` and `userdb` are sockets of
    /// `vouch`. Its mailboxes are where the userdb says. `more` is more of its configuration.
    pub(crate) fn start(
        scratch: &Scratch,
        name: &str,
        [login, master, userdb]: [&Path; 3],
        more: &str,
    ) -> Self {
        let [imap, lmtp] = [(); 2].map(|()| free_port());
        let folder = scratch.folder(name);
        let config = scratch.write(
            &format!("{name}.conf"),
            config(&folder, [login, master, userdb], [imap, lmtp]) + more,
        );
        let mut command = Command::new(program("dovecot").unwrap());
        command.arg("-F").arg("-c").arg(&config);
        let mut process = Process::start(scratch, &format!("{name}-master"), &mut command);
        for port in [imap, lmtp] {
            process.wait_for_port(port);
        }
        Self {
            _process: process,
            imap,
            lmtp,
            config,
        }
    }

    /// What `doveadm` prints, and whether it succeeds.
    pub(crate) fn doveadm(&self, arguments: &[&str]) -> (bool, String) {
        let output = Command::new(program("doveadm").unwrap())
            .arg("-c")
            .arg(&self.config)
            .args(arguments)
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        (
            output.status.success(),
            String::from_utf8_lossy(&text).into_owned(),
        )
    }
}

/// The configuration. A brace must end its line.
fn config(folder: &Path, sockets: [&Path; 3], [imap, lmtp]: [u16; 2]) -> String {
    let language = Language::installed();
    let folder = folder.display();
    format!(
        "{head}protocols = imap lmtp
{maildir}ssl = no
{asking}service imap-login {{
  chroot =
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service lmtp {{
  inet_listener lmtp {{
    port = {lmtp}
  }}
}}
",
        head = language.head(&folder, format!("{folder}.log")),
        maildir = language.maildir(),
        asking = language.asking(sockets),
    )
}
