//! Paths and mailboxes of SMTP (RFC 5321 §4.1.2), internationalized or not (RFC 6531 §3.3).

/// Bytes of a local part, a domain, a path with its `<>` (RFC 5321 §4.5.3.1).
const MAX_LOCAL: usize = 64;
const MAX_DOMAIN: usize = 255;
const MAX_PATH: usize = 256;

/// Cuts `FROM:<path> parameters` into path and parameters, minding quotes. No space follows the colon.
pub(crate) fn path_and_parameters<'a>(args: &'a str, prefix: &str) -> Option<(&'a str, &'a str)> {
    let named = args.get(..prefix.len())?;
    let rest = args.get(prefix.len()..)?.strip_prefix('<')?;
    let (mut quoted, mut escaped) = (false, false);
    let end = rest.char_indices().find_map(|(at, char)| {
        let ends = char == '>' && !quoted;
        if char == '"' && !escaped {
            quoted = !quoted;
        }
        escaped = quoted && char == '\\' && !escaped;
        ends.then_some(at)
    })?;
    let parameters = rest.get(end + 1..)?;
    let divided = parameters.is_empty() || parameters.starts_with(' ');
    (named.eq_ignore_ascii_case(prefix) && divided).then_some((rest.get(..end)?, parameters))
}

/// `Mailbox = Local-part "@" Domain` (RFC 5321 §4.1.2), the local part without its quotes. No source routes.
pub(crate) fn mailbox(path: &str) -> Option<(String, String)> {
    let (local, domain) = path.rsplit_once('@')?;
    let domain_char =
        |char: char| char.is_ascii_alphanumeric() || matches!(char, '-' | '.') || !char.is_ascii();
    let fits = path.len() + 2 <= MAX_PATH && local.len() <= MAX_LOCAL && domain.len() <= MAX_DOMAIN;
    let labels = domain.split('.').all(|label| !label.is_empty());
    if !fits || !labels || !domain.chars().all(domain_char) {
        return None;
    }
    Some((local_part(local)?, domain.to_owned()))
}

/// `Local-part = Dot-string / Quoted-string`
fn local_part(local: &str) -> Option<String> {
    let Some(quoted) = local.strip_prefix('"') else {
        let atext = |char: char| {
            char.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(char) || !char.is_ascii()
        };
        let atoms = local
            .split('.')
            .all(|atom| !atom.is_empty() && atom.chars().all(atext));
        return atoms.then(|| local.to_owned());
    };
    let mut plain = String::new();
    let mut chars = quoted.strip_suffix('"')?.chars();
    while let Some(char) = chars.next() {
        let char = match char {
            '\\' => chars.next()?,
            '"' => return None,
            _ => char,
        };
        if char.is_ascii_control() {
            return None;
        }
        plain.push(char);
    }
    Some(plain)
}
