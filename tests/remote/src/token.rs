//! Words of an IMAP command (RFC 3501 §9): tags, atoms, quoted strings, and where literals begin.

/// `tag = 1*<any ASTRING-CHAR except "+">`
pub(crate) fn is_tag(tag: &str) -> bool {
    let special = |byte: u8| byte.is_ascii_control() || br#"(){%*"\+ "#.contains(&byte);
    !tag.is_empty() && tag.bytes().all(|byte| byte.is_ascii() && !special(byte))
}

/// `literal = "{" number ["+"] "}" CRLF *CHAR8`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Literal {
    pub(crate) size: usize,
    pub(crate) synchronizing: bool,
}

/// Cuts the rest of a command line into arguments: atoms and quoted strings, parentheses passed over.
/// `Some` if a literal follows the line.
pub(crate) fn tokens(line: &[u8], arguments: &mut Vec<Vec<u8>>) -> Result<Option<Literal>, ()> {
    let mut rest = line;
    while let Some((&first, tail)) = rest.split_first() {
        rest = match first {
            b' ' | b'(' | b')' => tail,
            b'"' => {
                let (argument, tail) = quoted(tail)?;
                arguments.push(argument);
                tail
            }
            b'{' => return literal(tail).map(Some),
            _ => {
                let end = rest
                    .iter()
                    .position(|byte| b" ()\"{".contains(byte))
                    .unwrap_or(rest.len());
                let (atom, tail) = rest.split_at(end);
                if !atom.iter().all(u8::is_ascii_graphic) {
                    return Err(());
                }
                arguments.push(atom.to_vec());
                tail
            }
        };
    }
    Ok(None)
}

/// `quoted = DQUOTE *QUOTED-CHAR DQUOTE`, behind its first quote. Seven bits only; a backslash stands before
/// a quote or a backslash and nothing else.
fn quoted(mut rest: &[u8]) -> Result<(Vec<u8>, &[u8]), ()> {
    let mut argument = Vec::new();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match byte {
            b'"' => return Ok((argument, rest)),
            b'\\' => {
                let (&escaped, tail) = rest
                    .split_first()
                    .filter(|(byte, _)| b"\"\\".contains(byte))
                    .ok_or(())?;
                argument.push(escaped);
                rest = tail;
            }
            1..=127 => argument.push(byte),
            _ => return Err(()),
        }
    }
    Err(())
}

fn literal(rest: &[u8]) -> Result<Literal, ()> {
    let text = std::str::from_utf8(rest)
        .map_err(drop)?
        .strip_suffix('}')
        .ok_or(())?;
    let (digits, synchronizing) = text
        .strip_suffix('+')
        .map_or((text, true), |digits| (digits, false));
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(());
    }
    Ok(Literal {
        size: digits.parse().map_err(drop)?,
        synchronizing,
    })
}
