//! `vouch probe login`: is this login good?

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use vouch_protocol::secret::Secret;
use zeroize::Zeroizing;

use super::super::{ConfigFile, failed, print, runtime, status};
use super::{Common, End, Reasons, Words, line, object};
use crate::config::Config;
use crate::settings::directory::LoginMethod;
use crate::verdict::{Kind, Proof, UserName, Verdict};

const WORDS: Words = Words {
    yes: "accepted",
    no: "refused",
    what: "logins",
};

/// Bound (commands, bytes): file with a password. Beyond: the rest is not read. Why: longer than any password that
/// can be sent.
const MAX_FILE: u64 = 64 * 1024;

/// Arguments of `vouch probe login`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The user name, as a client would send it
    user: String,
    /// Read the password from the first line of this file; - is standard input [default: ask on the terminal]
    #[arg(long, value_name = "F")]
    password_file: Option<PathBuf>,
    /// Send the password in this way only: PLAIN, LOGIN, or of imap login-command [default: as auth.mechanism says]
    #[arg(short, long, value_name = "M", value_parser = method)]
    mechanism: Option<LoginMethod>,
    #[command(flatten)]
    common: Common,
}

/// No way to send a password has that name.
#[derive(Debug, thiserror::Error)]
#[error("supported: auto, PLAIN, LOGIN and login-command")]
struct UnknownMethod;

fn method(name: &str) -> Result<LoginMethod, UnknownMethod> {
    let mut known = LoginMethod::ALL.iter();
    let method = known.find(|(word, _)| word.eq_ignore_ascii_case(name));
    let method = method.map(|(_, method)| *method);
    method.ok_or(UnknownMethod)
}

/// Asks, and prints the answer.
pub(crate) fn run(arguments: &Arguments, file: &ConfigFile) -> Result<(), ExitCode> {
    let asker = arguments.common.asker(file, arguments.mechanism)?;
    let password = password("probe login", &arguments.user, arguments.password_file.as_deref())?;
    let runtime = runtime()?;
    let answer = runtime.block_on(asker.ask(question(&arguments.user, password)));
    runtime.shutdown_background();
    let text = if arguments.common.json {
        format!("{}\n", object("user", &arguments.user, &answer))
    } else {
        line(&arguments.user, &answer, &WORDS, &mut Reasons::default())
    };
    print(&text)?;
    End::from(&answer).into_status()
}

/// Asks the only directory of a configuration about one login, for `vouch init`.
///
/// # Errors
/// When it cannot be asked, or there is no password.
pub(in crate::cli) fn once(
    config: &Config,
    user: &str,
    file: Option<&Path>,
) -> Result<(String, Verdict), ExitCode> {
    let password = password("init", user, file)?;
    super::once(config, user, question(user, password), &WORDS)
}

fn question(user: &str, password: Secret<[u8]>) -> Kind {
    Kind::Login {
        user: UserName::new(user.as_bytes()),
        proof: Proof::Password(password),
    }
}

/// The password, from a place that others cannot see: never from an argument,
/// which every user of the machine can read.
fn password(command: &str, user: &str, file: Option<&Path>) -> Result<Secret<[u8]>, ExitCode> {
    match file {
        Some(path) => read(path).map_err(|error| {
            failed(
                command,
                status::NO_INPUT,
                format_args!("{}: {error}", path.display()),
            )
        }),
        None => prompt(user).map_err(|error| {
            let why = match error.kind() {
                ErrorKind::Interrupted | ErrorKind::UnexpectedEof => "no password was typed".to_owned(),
                _ => format!(
                    "no terminal to ask for the password on ({error}): give --password-file F, where - is standard input"
                ),
            };
            failed(command, status::USAGE, why)
        }),
    }
}

/// Asks on the terminal, without echo.
///
/// The prompt answers Ctrl-C by raising SIGINT, and restores the terminal only after that. So the signal
/// is held back until then, and ends the process as usual.
fn prompt(user: &str) -> io::Result<Secret<[u8]>> {
    let mut interrupt = SigSet::empty();
    interrupt.add(Signal::SIGINT);
    let before = interrupt.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
    let typed = rpassword::prompt_password(format!("Password for {user}: "));
    before.thread_set_mask()?;
    typed.map(|password| Secret::from(password.into_bytes()))
}

/// The first line, without its end.
fn read(path: &Path) -> io::Result<Secret<[u8]>> {
    if path == Path::new("-") {
        // Not by way of `Stdin`, whose buffer would keep a copy.
        first_line(File::from(io::stdin().as_fd().try_clone_to_owned()?))
    } else {
        first_line(File::open(path)?)
    }
}

/// Nothing behind the line is waited for: a pipe may stay open.
fn first_line(mut input: File) -> io::Result<Secret<[u8]>> {
    let mut bytes = Zeroizing::new(vec![0; MAX_FILE as usize]);
    let mut filled = 0;
    let end = loop {
        let more = match input.read(&mut bytes[filled..]) {
            Ok(more) => more,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let new = &bytes[filled..filled + more];
        if let Some(at) = new.iter().position(|&byte| byte == b'\n') {
            break filled + at;
        }
        filled += more;
        // Its end, or no room.
        if more == 0 {
            break filled;
        }
    };
    let line = &bytes[..end];
    Ok(Secret::copy_from(line.strip_suffix(b"\r").unwrap_or(line)))
}

#[cfg(test)]
mod tests {
    use super::*;

    // Fills MAX_FILE.
    #[test]
    fn a_password_file_that_never_ends_is_not_read_to_its_end() {
        let password = read(Path::new("/dev/zero")).unwrap();
        assert_eq!(password.expose().len() as u64, MAX_FILE);
    }
}
