//! The lines of Dovecot's protocols, read and written a second time.

/// A field as it is written: TAB, LF, CR, NUL and 0x01 escaped by 0x01.
fn escaped(value: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for &byte in value {
        match byte {
            0 => out.extend(b"\x010"),
            1 => out.extend(b"\x011"),
            b'\t' => out.extend(b"\x01t"),
            b'\r' => out.extend(b"\x01r"),
            b'\n' => out.extend(b"\x01n"),
            byte => out.push(byte),
        }
    }
    out
}

/// A line of these fields, with its end.
pub fn line(fields: &[&[u8]]) -> Vec<u8> {
    let fields: Vec<_> = fields.iter().map(|field| escaped(field)).collect();
    let mut line = fields.join(&b'\t');
    line.push(b'\n');
    line
}

/// The fields of what was written, which must be one whole line that holds no byte
/// that has to be escaped.
pub fn fields(line: &[u8]) -> Vec<Vec<u8>> {
    let Some((b'\n', line)) = line.split_last() else {
        panic!("no line: {line:?}");
    };
    line.split(|&byte| byte == b'\t').map(unescaped).collect()
}

fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut bytes = field.iter();
    while let Some(&byte) = bytes.next() {
        assert!(!b"\0\r\n".contains(&byte), "not escaped: {field:?}");
        out.push(match byte {
            1 => match bytes.next() {
                Some(b'0') => 0,
                Some(b'1') => 1,
                Some(b't') => b'\t',
                Some(b'r') => b'\r',
                Some(b'n') => b'\n',
                other => panic!("no escape: {other:?} in {field:?}"),
            },
            byte => byte,
        });
    }
    out
}
