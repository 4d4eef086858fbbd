//! Takes an input apart: settings in its first lines, the rest for a peer to say.

/// The first line, without its end, and what stands behind it.
pub fn line(input: &[u8]) -> (&[u8], &[u8]) {
    match input.iter().position(|&byte| byte == b'\n') {
        Some(at) => (&input[..at], &input[at + 1..]),
        None => (input, b""),
    }
}

/// The first lines, as many as are asked for; absent ones are empty.
pub fn lines<const N: usize>(input: &[u8]) -> ([&[u8]; N], &[u8]) {
    let mut found = [&b""[..]; N];
    let mut rest = input;
    for one in &mut found {
        (*one, rest) = line(rest);
    }
    (found, rest)
}

/// Whether a letter is among the settings.
pub fn has(settings: &[u8], letter: u8) -> bool {
    settings.contains(&letter)
}

/// Bytes as text; what is not UTF-8 has replacement characters.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The parts between lines that are `mark` alone.
pub fn parts<'a>(input: &'a [u8], mark: &[u8]) -> Vec<&'a [u8]> {
    let (mut parts, mut start, mut at) = (Vec::new(), 0, 0);
    for line in input.split_inclusive(|&byte| byte == b'\n') {
        if line.trim_ascii_end() == mark {
            parts.push(&input[start..at]);
            start = at + line.len();
        }
        at += line.len();
    }
    parts.push(&input[start..]);
    parts
}

/// Makes long inputs of short ones, so that limits are in reach: 0xff and a byte n behind
/// it stand for 64·n more of the byte in front, and for 0xff itself where n is 0. At most
/// `most` bytes.
pub fn stretched(input: &[u8], most: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(input.len());
    let mut bytes = input.iter();
    while out.len() < most
        && let Some(&byte) = bytes.next()
    {
        match (byte, out.last().copied()) {
            (0xff, last) => match (bytes.next().copied().unwrap_or(0), last) {
                (0, _) | (_, None) => out.push(0xff),
                (n, Some(last)) => out.resize(out.len() + 64 * usize::from(n), last),
            },
            (byte, _) => out.push(byte),
        }
    }
    out.truncate(most);
    out
}
