//! Text to [`Script`].

use std::fmt;
use std::time::Duration;

/// A transcript.
pub(crate) struct Script {
    /// TOML, with as many lines as it has in the file.
    pub(crate) config: String,
    /// What happens, each with its line number.
    pub(crate) steps: Vec<(usize, Step)>,
}

/// Somebody at the other end of a pipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Party {
    /// At a listener.
    Client(usize),
    /// At the end of a session that vouch opened.
    Remote(usize),
}

/// One thing that happens.
#[derive(Debug)]
pub(crate) enum Step {
    /// Somebody does or hears something.
    Of(Party, Act),
    /// Time passes.
    Wait(Duration),
    /// The daemon is told to end.
    Drain,
    /// A line of the log, by its level and some of its words.
    Log(String, String),
}

/// What somebody does or hears.
#[derive(Debug)]
pub(crate) enum Act {
    Say(Vec<u8>),
    Hear(Pattern),
    EndHalf,
    HangUp,
    HearEnd,
    Connect {
        to: Option<String>,
        pid: Option<i32>,
        stranger: Option<u32>,
    },
    IsOf(String),
    TakeCall,
    RefuseCall,
    IgnoreCall,
    StartTls,
    FailTls,
}

/// A line that must be heard: literal parts with anything between them. What stands in a gap with a name is kept
/// under it.
#[derive(Debug)]
pub(crate) struct Pattern {
    first: Vec<u8>,
    rest: Vec<(Option<String>, Vec<u8>)>,
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(number) => write!(f, "client {number}"),
            Self::Remote(number) => write!(f, "remote {number}"),
        }
    }
}

impl Script {
    /// Reads a transcript.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut config = String::new();
        let mut lines = text.lines().enumerate();
        for (_, line) in lines.by_ref() {
            if line == "---" {
                break;
            }
            config.extend([line, "\n"]);
        }
        let mut script = Self {
            config,
            steps: Vec::new(),
        };
        let mut last = 0;
        for (number, line) in lines {
            let line = line.trim_end();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let steps = steps(line).map_err(|why| format!("line {}: {why}: {line}", number + 1))?;
            for step in steps {
                script.add(number + 1, step, last == number);
            }
            last = number + 1;
        }
        if script.steps.is_empty() {
            return Err("nothing happens: is there a line `---`?".into());
        }
        Ok(script)
    }

    fn add(&mut self, number: usize, step: Step, adjacent: bool) {
        if let Step::Of(party, Act::Say(more)) = &step
            && adjacent
            && let Some((_, Step::Of(before, Act::Say(said)))) = self.steps.last_mut()
            && before == party
        {
            said.extend_from_slice(more);
        } else {
            self.steps.push((number, step));
        }
    }
}

fn steps(line: &str) -> Result<Vec<Step>, String> {
    let (word, rest) = first(line);
    let (number, does) = match first(rest) {
        (number, does) if number.bytes().all(|byte| byte.is_ascii_digit()) && !number.is_empty() => {
            (number.parse().map_err(|_| "no such number")?, does)
        }
        _ => (1, rest),
    };
    let party = match word {
        "client" => Party::Client(number),
        "remote" => Party::Remote(number),
        "wait" => return Ok(vec![Step::Wait(duration(rest)?)]),
        "vouch" if rest == "drains" => return Ok(vec![Step::Drain]),
        "vouch" if rest.starts_with("logs ") => {
            let (level, words) = first(rest.split_at(5).1);
            return Ok(vec![Step::Log(level.to_owned(), words.to_owned())]);
        }
        _ => return Err("who is that?".into()),
    };
    let acts = acts(party, does)?;
    Ok(acts.into_iter().map(|act| Step::Of(party, act)).collect())
}

fn acts(party: Party, does: &str) -> Result<Vec<Act>, String> {
    let end = if matches!(party, Party::Client(_)) {
        "\\n"
    } else {
        "\\r\\n"
    };
    if let Some(text) = does.strip_prefix("->") {
        return Ok(vec![Act::Say(line(text.strip_prefix(' ').unwrap_or(text), end)?)]);
    }
    if let Some(text) = does.strip_prefix("<-") {
        return Ok(vec![hear(text.strip_prefix(' ').unwrap_or(text), end)?]);
    }
    let act = match (party, does) {
        (_, "says no more") => Act::EndHalf,
        (_, "hangs up") => Act::HangUp,
        (_, "is hung up on") => Act::HearEnd,
        (Party::Client(_), "is greeted") => return greeting(),
        (Party::Client(_), _) => return client_acts(does),
        (Party::Remote(_), "takes the call") => Act::TakeCall,
        (Party::Remote(_), "refuses the call") => Act::RefuseCall,
        (Party::Remote(_), "never takes the call") => Act::IgnoreCall,
        (Party::Remote(_), "starts TLS") => Act::StartTls,
        (Party::Remote(_), "cannot start TLS") => Act::FailTls,
        (Party::Remote(_), _) => {
            let name = does.strip_prefix("is ").ok_or("does what?")?;
            Act::IsOf(name.to_owned())
        }
    };
    Ok(vec![act])
}

fn client_acts(does: &str) -> Result<Vec<Act>, String> {
    let (verb, rest) = first(does);
    match verb {
        "asks" => {
            let mut request = line("request=smtpd_access_policy", "\\n")?;
            for attribute in rest.split_whitespace() {
                request.extend(line(attribute, "\\n")?);
            }
            request.push(b'\n');
            Ok(vec![Act::Say(request)])
        }
        "is" => {
            let action = rest.strip_prefix("told ").ok_or("is what?")?;
            Ok(vec![hear(&format!("action={action}"), "\\n")?, hear("", "\\n")?])
        }
        "says" | "hears" => {
            let (kind, text) = rest.split_once(' ').unwrap_or((rest, ""));
            let bytes = match kind {
                "string" | "strings" => {
                    let strings: Result<Vec<_>, _> = text.split('|').map(counted).collect();
                    strings?.concat()
                }
                "netstring" => {
                    let text = unescape(&repeated(text)?)?;
                    [text.len().to_string().as_bytes(), b":", &text, b","].concat()
                }
                _ => return Err("says or hears what?".into()),
            };
            Ok(vec![if verb == "says" {
                Act::Say(bytes)
            } else {
                let (first, rest) = (bytes, Vec::new());
                Act::Hear(Pattern { first, rest })
            }])
        }
        "connects" => {
            let (mut to, mut pid, mut stranger) = (None, None, None);
            let mut words = rest.split_whitespace();
            while let Some(word) = words.next() {
                match (word, words.next()) {
                    ("to", Some(name)) => to = Some(name.to_owned()),
                    ("as", Some("process")) => {
                        let number = words.next().and_then(|number| number.parse().ok());
                        pid = Some(number.ok_or("which process?")?);
                    }
                    ("as", Some("stranger")) => {
                        let number = words.next().and_then(|number| number.parse().ok());
                        stranger = Some(number.ok_or("which user?")?);
                    }
                    _ => return Err("connects how?".into()),
                }
            }
            Ok(vec![Act::Connect { to, pid, stranger }])
        }
        _ => Err("does what?".into()),
    }
}

/// A string behind its length in two bytes.
fn counted(text: &str) -> Result<Vec<u8>, String> {
    let text = unescape(&repeated(text)?)?;
    let count = u16::try_from(text.len()).map_err(|_| "too long a string")?;
    Ok([&count.to_be_bytes()[..], &text].concat())
}

/// As a Dovecot of minor version 2 greets; see `auth/greeting.txt`.
fn greeting() -> Result<Vec<Act>, String> {
    let lines = [
        "VERSION\\t1\\t2", "MECH\\tPLAIN\\tplaintext", "MECH\\tLOGIN\\tplaintext", "SPID\\t{any}",
        "CUID\\t{any}", "COOKIE\\t{any:cookie}", "DONE",
    ];
    lines.iter().map(|line| hear(line, "\\n")).collect()
}

fn hear(text: &str, end: &str) -> Result<Act, String> {
    let text = format!("{text}{end}");
    let mut parts = text.split("{any");
    let first = unescape(parts.next().unwrap_or_default())?;
    let gap = |part: &str| {
        let (name, text) = part.split_once('}').ok_or("`{any` has no end")?;
        let name = name.strip_prefix(':').map(str::to_owned);
        Ok((name, unescape(text)?))
    };
    let rest: Result<_, String> = parts.map(gap).collect();
    Ok(Act::Hear(Pattern { first, rest: rest? }))
}

/// The bytes of a line with its end, or without it where it ends in `\c`.
fn line(text: &str, end: &str) -> Result<Vec<u8>, String> {
    let text = &repeated(text)?;
    match text.strip_suffix("\\c") {
        Some(text) => unescape(text),
        None => unescape(&format!("{text}{end}")),
    }
}

/// `{x*100}` is a hundred times `x`.
fn repeated(text: &str) -> Result<String, String> {
    let Some((before, (inside, after))) = text
        .split_once('{')
        .and_then(|(before, rest)| Some((before, rest.split_once('}')?)))
    else {
        return Ok(text.to_owned());
    };
    let Some((what, count)) = inside.rsplit_once('*') else {
        return Ok(text.to_owned());
    };
    let count = count.parse().map_err(|_| "how often?")?;
    Ok([before, &what.repeat(count), after].concat())
}

fn unescape(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        bytes.push(match rest.next() {
            Some(b't') => b'\t',
            Some(b'r') => b'\r',
            Some(b'n') => b'\n',
            Some(b's') => b' ',
            Some(b'0') => 0,
            Some(b'\\') => b'\\',
            Some(b'x') => {
                let digits: String = rest.by_ref().take(2).map(char::from).collect();
                u8::from_str_radix(&digits, 16).map_err(|_| "`\\x` wants two hex digits")?
            }
            _ => return Err("an unknown escape".into()),
        });
    }
    Ok(bytes)
}

/// The first word, and what follows it.
fn first(text: &str) -> (&str, &str) {
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    (word, rest.trim_start())
}

fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: f64 = digits.parse().map_err(|_| "how long?")?;
    let unit = match &text[digits.len()..] {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        _ => return Err("how long?".into()),
    };
    Ok(Duration::from_secs_f64(number * unit))
}

impl Pattern {
    /// How many bytes it is, where it is no line.
    pub(crate) fn length(&self) -> Option<usize> {
        (self.rest.is_empty() && !self.first.ends_with(b"\n")).then_some(self.first.len())
    }

    /// Whether a line, with its end, is the one; if so, what stands in the gaps that have a name.
    pub(crate) fn matches(&self, line: &[u8]) -> Option<Vec<(&str, Vec<u8>)>> {
        let mut rest = line.strip_prefix(self.first.as_slice())?;
        let mut kept = Vec::new();
        for (number, (name, part)) in self.rest.iter().enumerate() {
            let at = if number + 1 == self.rest.len() {
                rest.len().checked_sub(part.len())?
            } else {
                let mut windows = rest.windows(part.len().max(1));
                windows.position(|window| window.starts_with(part))?
            };
            let (gap, found) = rest.split_at(at);
            rest = found.strip_prefix(part.as_slice())?;
            kept.extend(name.as_deref().map(|name| (name, gap.to_vec())));
        }
        rest.is_empty().then_some(kept)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.first.escape_ascii())?;
        let mut rest = self.rest.iter();
        rest.try_for_each(|(_, part)| write!(f, "{{any}}{}", part.escape_ascii()))
    }
}
