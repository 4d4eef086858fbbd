//! vouch(8).

use clap::{Arg, Command};

use super::roff::{Page, sentence};

/// The contents of the page.
pub struct Program {
    /// The command line.
    pub command: Command,
    /// The exit statuses beyond 0, and what each means.
    pub statuses: Vec<(u8, &'static str)>,
}

/// Every bound, in groups: a title, then a line for each with what is bounded, its key, the bound, what happens beyond,
/// and why. `tests/manual` writes it from the comments at the constants.
const BOUNDS: &str = include_str!("bounds.txt");

/// Fields of the log line of each question, in their order.
pub const LOG_FIELDS: [(&str, &str); 14] = [
    ("listener", "the listener"),
    ("question", "`recipient`, `login`, `user` or `domain`"),
    ("about", "the address or the user's name"),
    (
        "verdict",
        "`accept`, `reject`, `defer` (no answer) or `abstain` (no directory serves the domain, or the server accepts \
         every address)",
    ),
    (
        "cause",
        "the kind of reason, such as `unknown-user`, `timeout` or `limit`",
    ),
    (
        "source",
        "what decided: `probe` (the mail server's answer), `shared` (the answer to an equal question), `cache` (an \
         earlier answer), `fleet` (that of another edge), `local` (no need to ask), `limit`, `penalty` (too many failures), `unknown-rate` (the \
         server has refused too many recipients) or `access` (`allow` and `deny`)",
    ),
    (
        "directory",
        "the directory that was asked, or would have been; of a login that several refused (`any-login`), all of them",
    ),
    ("us", "microseconds from the question to the verdict"),
    (
        "delayed_ms",
        "how long a penalty then delayed the answer; omitted without a delay",
    ),
    ("client", "the address of the mail client"),
    (
        "instance", "Postfix's name for the message, Dovecot's for the session",
    ),
    ("answer", "the answer as sent"),
    ("detail", "the mail server's status and text, or vouch's own"),
    ("-", "stands for a value that is not known"),
];

/// The page.
pub fn page(program: Program) -> String {
    let Program {
        mut command,
        statuses,
    } = program;
    command.build();
    let mut page = Page::new("vouch", 8, "System Manager's Manual");
    page.section("NAME");
    page.text("vouch - checks logins and recipients by asking the mail server that holds the accounts");
    let mut commands = Vec::new();
    leaves(&command, &mut Vec::new(), &mut commands);
    page.section("SYNOPSIS");
    let for_all: String = global(&command)
        .map(|argument| {
            format!(
                " [{}]",
                written(argument, names(argument).first().map_or("", String::as_str))
            )
        })
        .collect();
    page.text(&format!("`vouch`{for_all} COMMAND"));
    for (path, command) in &commands {
        page.text(&usage(path, command));
    }
    description(&mut page);
    page.section("OPTIONS");
    page.text("Global options may precede or follow the command.");
    for argument in command
        .get_arguments()
        .filter(|argument| argument.is_global_set())
    {
        option(&mut page, argument);
    }
    page.section("COMMANDS");
    for (path, command) in &commands {
        describe(&mut page, path, command);
    }
    page.section("EXIT STATUS");
    page.item("`0`", "Done; the answer was yes.");
    for (status, meaning) in statuses {
        page.item(&format!("`{status}`"), meaning);
    }
    signals_and_files(&mut page);
    log(&mut page);
    super::replies::write(&mut page);
    super::report::write(&mut page);
    limits(&mut page);
    security(&mut page);
    examples(&mut page);
    page.section("SEE ALSO");
    page.text("`vouch.toml`(5), postconf(5), access(5), doveconf(1), systemd.exec(5)");
    page.into_text()
}

/// The commands that do something, each with the words that name it.
fn leaves<'c>(command: &'c Command, path: &mut Vec<&'c str>, found: &mut Vec<(String, &'c Command)>) {
    path.push(command.get_name());
    let mut below = command
        .get_subcommands()
        .filter(|command| command.get_name() != "help")
        .peekable();
    if below.peek().is_none() {
        found.push((path.join(" "), command));
    }
    below.for_each(|command| leaves(command, path, found));
    path.pop();
}

/// The arguments that people give; `--help` is the same everywhere, and options of all commands are described once.
fn arguments(command: &Command) -> impl Iterator<Item = &Arg> {
    command.get_arguments().filter(|argument| {
        !matches!(argument.get_id().as_str(), "help" | "version") && !argument.is_global_set()
    })
}

/// The arguments of all commands.
fn global(command: &Command) -> impl Iterator<Item = &Arg> {
    command
        .get_arguments()
        .filter(|argument| argument.is_global_set())
}

/// A command in one line, each argument by its shorter name.
fn usage(path: &str, command: &Command) -> String {
    let mut usage = format!("`{path}`");
    for argument in arguments(command) {
        let names = names(argument);
        let form = written(argument, names.first().map_or("", String::as_str));
        usage.push_str(&if argument.is_required_set() {
            format!(" {form}")
        } else {
            format!(" [{form}]")
        });
    }
    usage
}

/// The names of an argument, the shorter first.
fn names(argument: &Arg) -> Vec<String> {
    let short = argument.get_short().map(|short| format!("-{short}"));
    let long = argument.get_long().map(|long| format!("--{long}"));
    [short, long].into_iter().flatten().collect()
}

/// An argument under this name, with what stands for its value.
fn written(argument: &Arg, name: &str) -> String {
    if !argument.get_action().takes_values() {
        return name.to_owned();
    }
    let value = argument.get_value_names().and_then(|names| names.first());
    let value = value.map_or_else(|| argument.get_id().as_str().to_uppercase(), ToString::to_string);
    let count = argument.get_num_args();
    let many = count.is_some_and(|count| count.max_values() > 1);
    let value = if many { format!("{value}...") } else { value };
    let needless = count.is_some_and(|count| count.min_values() == 0);
    let value = if needless { format!("[{value}]") } else { value };
    format!("{name} {value}").trim_start().to_owned()
}

fn describe(page: &mut Page, path: &str, command: &Command) {
    page.part(path);
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    page.text(&format!("{about}."));
    for argument in arguments(command) {
        option(page, argument);
    }
    if let Some(more) = command.get_after_help() {
        page.text(&more.to_string());
    }
}

/// An argument, with its values and its default.
fn option(page: &mut Page, argument: &Arg) {
    let takes_value = argument.get_action().takes_values();
    let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
    let default = argument.get_default_values().first().filter(|_| takes_value);
    let default = default.map(|value| format!(" [default: {}]", value.to_string_lossy()));
    let values: Vec<_> = argument
        .get_possible_values()
        .iter()
        .map(|value| value.get_name().to_owned())
        .collect();
    let values = (takes_value && !values.is_empty()).then(|| format!(": one of {}", values.join(", ")));
    page.item(
        &format!("`{}`", written(argument, &names(argument).join(", "))),
        &format!(
            "{help}{}{}",
            values.unwrap_or_default(),
            default.unwrap_or_default()
        ),
    );
}

fn description(page: &mut Page) {
    page.section("DESCRIPTION");
    page.text(
        "Mail software asks vouch over a socket whether a recipient exists or a login is good: Postfix by policy \
         delegation or socketmap; Postfix, Exim, Dovecot and others by the protocol of Dovecot's auth service; software \
         built with Cyrus SASL by that of saslauthd. vouch asks a remote mail server by IMAP, SMTP or LMTP, and returns \
         accept, reject or try-again-later. It caches answers for a while; equal questions share one answer.",
    );
    page.text(
        "If anything prevents an answer about this user or mailbox - a server that is down, a limit, a bad \
         certificate - the answer is \"later\", never a \"no\". The exception is a saslauthd listener with \
         `tempfail = \"no\"`, since that protocol cannot express \"later\".",
    );
    page.text("`vouch.toml`(5) describes the servers to ask and the sockets to listen on.");
}

fn signals_and_files(page: &mut Page) {
    page.section("SIGNALS");
    page.item(
        "`TERM`, `INT`",
        "Accept no new connections, answer the pending questions, and end: at the latest a second after the longest deadline.",
    );
    page.item(
        "`HUP`",
        "Read the configuration again, and the files of domains and TLS that it names. Whatever it does not change is kept: \
         sockets, connections, sessions, cached answers. A configuration that cannot be served as a whole changes nothing, \
         and the log has the reason. Clients stay connected when their listener, or a directory of it, changes: pending \
         questions are answered as before, later ones by the new configuration. Only a changed `protocol` closes their \
         connections, once they are answered. `control.socket`, `metrics.listen`, `log.format`, `[service]`, and a \
         socket's `mode`, `owner` and `group` take effect at the next start.",
    );
    page.item(
        "`USR1`, `USR2`",
        "Raise the log level by one; restore the configured level. `vouch log level` does both.",
    );
    page.item(
        "`QUIT`",
        "`vouch dovecot-service`: end at once. Dovecot sends this signal when it stops waiting.",
    );
    page.section("ENVIRONMENT");
    page.item("`VOUCH_CONFIG`", "The configuration file, if `-c` names none.");
    page.section("FILES");
    page.item(
        "`/etc/vouch/vouch.toml`", "The configuration, if no other is named.",
    );
    page.item(
        "`/var/spool/postfix/vouch/`",
        "A usual folder for Postfix's sockets, which it looks for below its queue directory.",
    );
    page.item(
        "`cache.file` of a directory",
        "Cached recipients that survive a restart. The files hold no passwords. A damaged one is renamed, with the ending \
         `.corrupt-` and a number.",
    );
}

fn log(page: &mut Page) {
    page.section("LOG");
    page.text(
        "`vouch serve` logs to standard error, which systemd passes to the journal; `vouch dovecot-service` to Dovecot's \
         log. Each question produces one line at level `info`, with these fields as key=value, in this order:",
    );
    for (field, meaning) in LOG_FIELDS {
        page.item(&format!("`{field}`"), meaning);
    }
    page.text(
        "A value that is not a plain word is in double quotes. No line contains passwords or tokens, at any level; \
         level `trace` shows the dialogs with mail servers, with these masked.",
    );
}

fn limits(page: &mut Page) {
    page.section("LIMITS");
    page.text(
        "Everything that could grow or wait has a bound. If a key of `vouch.toml`(5) is named, it changes the bound, \
         and the number is its default; else the number is fixed. A question that reaches a bound gets no answer, \
         which the client receives as \"later\", never as a \"no\".",
    );
    for group in BOUNDS.split("# ").skip(1) {
        let (title, rows) = group.split_once('\n').unwrap_or_default();
        page.part(title);
        let rows: Vec<_> = rows.lines().map(columns).collect();
        page.table(
            &[24, 10],
            ["What (and its key)", "Bound", "Beyond it. Why"],
            &rows,
        );
    }
}

/// A line of [`BOUNDS`] as a row of the table.
fn columns(bound: &str) -> [String; 3] {
    let mut columns = bound.split('\t');
    let mut next = || columns.next().unwrap_or_default();
    let (what, key, limit) = (sentence(next()), next(), next().to_owned());
    let what = if key.is_empty() {
        what
    } else {
        format!("{what} (`{key}`)")
    };
    let beyond = columns.filter(|text| !text.is_empty());
    let beyond = beyond.map(|text| format!("{}. ", sentence(text)));
    [what, limit, beyond.collect()]
}

fn security(page: &mut Page) {
    page.section("SECURITY");
    page.text(
        "Any process that can connect to a socket can ask: give the socket the group of the software that asks, and mode \
         0660. A listener on a network address is for policy requests only, and reveals to everyone who can reach it which \
         recipients exist.",
    );
    page.text(
        "Passwords are sent only over TLS, except to this machine or with `auth.allow-cleartext`. Certificates are \
         checked against the system's authorities and `tls.ca-file`, but not for revocation. Passwords are overwritten \
         in memory after use, and are never written to a file.",
    );
}

fn examples(page: &mut Page) {
    page.section("EXAMPLES");
    page.text("See what a configuration will do, and whether the mail servers can be reached:");
    page.example("vouch check --online");
    page.text("Ask about a recipient, and see the dialog with the mail server:");
    page.example("vouch probe recipient jane@example.org --trace");
    page.text("Have Postfix refuse unknown recipients (main.cf; the timeout is longer than the listener's deadline):");
    page.example(
        "smtpd_recipient_restrictions =\n    reject_unauth_destination,\n    check_policy_service { \
         unix:vouch/policy, timeout=25s, default_action=DEFER_IF_PERMIT }",
    );
    page.text("Have Postfix ask about logins (main.cf):");
    page.example("smtpd_sasl_auth_enable = yes\nsmtpd_sasl_type = dovecot\nsmtpd_sasl_path = vouch/auth");
    page.text("Have Dovecot start vouch as its own auth service (dovecot.conf):");
    page.example("service auth {\n  executable = /usr/bin/vouch dovecot-service\n}");
}
