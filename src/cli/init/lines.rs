//! The lines for the software in front, from the files in `contrib`, and the next steps.

use std::env;
use std::fmt::Write;
use std::path::Path;

use nix::unistd::User;

use super::answers::{Answers, RUN};
use super::draft::exim;
use super::{Front, OUTPUT};

const MAIN_CF: &str = include_str!("../../../contrib/postfix/main.cf");
const SERVICE_CONF: &str = include_str!("../../../contrib/dovecot/service.conf");
const EXIM_CONF: &str = include_str!("../../../contrib/exim/vouch.conf");

/// The lines for each front, ready to be pasted.
pub(super) fn of(answers: &Answers, path: &Path) -> String {
    let mut text = String::new();
    for front in &answers.fronts {
        let (head, lines) = match front {
            Front::PostfixRecipients => (
                "Postfix, in main.cf. If main.cf already has such a list, append the last line to it.",
                replaced(
                    &paragraph(MAIN_CF, "check_policy_service"),
                    &[(
                        "unix:vouch/policy",
                        &format!("unix:{}", in_queue(answers, *front)),
                    )],
                ),
            ),
            Front::PostfixLogins => (
                "Postfix, in main.cf, or better with -o below submission in master.cf. Clients can log in once TLS is on.",
                replaced(
                    &paragraph(MAIN_CF, "smtpd_sasl_path"),
                    &[(
                        "smtpd_sasl_path = vouch/auth",
                        &format!("smtpd_sasl_path = {}", in_queue(answers, *front)),
                    )],
                ),
            ),
            Front::Exim => (
                "Exim, after \"begin authenticators\"; with Debian's split files, as /etc/exim4/conf.d/auth/50_vouch.",
                replaced(
                    &all(EXIM_CONF),
                    &[(
                        "/run/vouch/exim/auth",
                        &answers.socket(*front).display().to_string(),
                    )],
                ),
            ),
            Front::Dovecot => (
                "Dovecot, in /etc/dovecot/conf.d/99-vouch.conf.",
                replaced(
                    &all(SERVICE_CONF),
                    &[
                        ("/usr/bin/vouch", &ourselves()),
                        (OUTPUT, &path.display().to_string()),
                    ],
                ),
            ),
        };
        // Writing to a string cannot fail.
        let _ = write!(text, "\n{head}\n\n{lines}");
    }
    text
}

/// The commands that remain.
pub(super) fn next(answers: &Answers, path: &Path) -> String {
    let option = if path == Path::new(OUTPUT) {
        String::new()
    } else {
        format!(" -c {}", path.display())
    };
    let mut commands = Vec::new();
    if !User::from_name("vouch").is_ok_and(|user| user.is_some()) {
        commands.push("useradd --system --no-create-home --shell /usr/sbin/nologin vouch".to_owned());
    }
    let serves = answers.fronts.iter().any(|front| *front != Front::Dovecot);
    let folder = answers.sockets.display();
    if serves && !answers.sockets.is_dir() {
        if answers.fronts.iter().any(|front| front.is_postfix()) {
            commands.push(format!("install -d -o vouch -g postfix -m 2750 {folder}"));
        } else if answers.sockets != Path::new(RUN) || !under_systemd() {
            commands.push(format!("install -d -o vouch {folder}"));
        }
    }
    commands.push(format!("vouch check --online{option}"));
    if serves && under_systemd() && option.is_empty() {
        commands.push("systemctl restart vouch".to_owned());
    } else if serves {
        commands.push(format!("vouch serve{option}"));
    }
    for (fronts, command) in [
        ([Front::PostfixRecipients, Front::PostfixLogins], "postfix reload"),
        (
            [Front::Exim; 2],
            "update-exim4.conf && systemctl reload exim4   # Debian's way",
        ),
        ([Front::Dovecot; 2], "doveconf -n >/dev/null && doveadm reload"),
    ] {
        if fronts.iter().any(|front| answers.fronts.contains(front)) {
            commands.push(command.to_owned());
        }
    }
    let mut text = "\nNext, as root:\n\n".to_owned();
    for command in commands {
        let _ = writeln!(text, "  {command}");
    }
    if answers.fronts.contains(&Front::Exim) && exim().is_none() {
        text.push_str(
            "\nThis machine has no user Debian-exim or exim: name the user that Exim runs as in listener.\"exim\".peers, with \
             mode = \"0666\".\n",
        );
    }
    text
}

/// A socket as Postfix's configuration names it: relative to the queue directory if below it, since Postfix may run in a
/// chroot there.
fn in_queue(answers: &Answers, front: Front) -> String {
    let socket = answers.socket(front);
    let relative = answers
        .queue
        .as_ref()
        .and_then(|queue| socket.strip_prefix(queue).ok());
    relative.unwrap_or(&socket).display().to_string()
}

/// The program that runs.
fn ourselves() -> String {
    env::current_exe().map_or_else(|_| "/usr/bin/vouch".to_owned(), |path| path.display().to_string())
}

fn under_systemd() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

/// The lines of a file that are no remarks, without empty ones at its ends.
fn all(file: &str) -> String {
    let mut lines: Vec<&str> = Vec::new();
    for line in file.lines().filter(|line| !line.trim_start().starts_with('#')) {
        let twice = line.is_empty() && lines.last().is_none_or(|last| last.is_empty());
        if !twice {
            lines.push(line);
        }
    }
    lines.join("\n").trim_end().to_owned()
}

/// The lines of one paragraph that are no remarks: of the first that sets this.
fn paragraph(file: &str, holds: &str) -> String {
    file.split("\n\n")
        .map(all)
        .find(|paragraph| paragraph.contains(holds))
        .unwrap_or_default()
}

fn replaced(text: &str, changes: &[(&str, &str)]) -> String {
    let changed = changes
        .iter()
        .fold(text.to_owned(), |text, (from, to)| text.replace(from, to));
    changed + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_hold_what_is_taken_from_them_and_filled_in() {
        assert!(paragraph(MAIN_CF, "check_policy_service").starts_with("smtpd_recipient_restrictions ="));
        for (text, holds) in [
            (paragraph(MAIN_CF, "check_policy_service"), "unix:vouch/policy,"),
            (
                paragraph(MAIN_CF, "smtpd_sasl_path"),
                "smtpd_sasl_path = vouch/auth",
            ),
            (all(EXIM_CONF), "= /run/vouch/exim/auth"),
            (
                all(SERVICE_CONF),
                "= /usr/bin/vouch dovecot-service -c /etc/vouch/vouch.toml",
            ),
        ] {
            assert!(text.contains(holds), "no {holds} in {text}");
            assert!(!text.contains('#'), "{text}");
        }
    }
}
