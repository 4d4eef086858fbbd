//! Which names a client of LIST wants.

/// A mask with `*` for any bytes and `?` for one, without case, as Dovecot's `wildcard_match_icase` has it. Dovecot 2.3's
/// `doveadm user` applies it to what it gets; that of 2.4 leaves it to the server (`auth/auth-master-connection.c`), and
/// prints all that it gets.
pub(super) struct Mask(Vec<u8>);

impl Mask {
    /// Without one, everybody is wanted.
    pub(super) fn new(mask: Option<Vec<u8>>) -> Self {
        Self(mask.unwrap_or_else(|| b"*".to_vec()))
    }

    /// Whether the name is one that is wanted. Takes no more steps than the product of both lengths.
    pub(super) fn matches(&self, name: &[u8]) -> bool {
        let mask = &self.0;
        let (mut at, mut seen) = (0, 0);
        // The last `*`, and how far of the name it reaches: it is made longer where what follows does not match.
        let mut star = None;
        while let Some(byte) = name.get(seen) {
            match mask.get(at) {
                Some(b'*') => {
                    star = Some((at, seen));
                    at += 1;
                }
                Some(wanted) if *wanted == b'?' || wanted.eq_ignore_ascii_case(byte) => {
                    at += 1;
                    seen += 1;
                }
                _ => match &mut star {
                    Some((place, reach)) => {
                        *reach += 1;
                        (at, seen) = (*place + 1, *reach);
                    }
                    None => return false,
                },
            }
        }
        mask.iter().skip(at).all(|wanted| *wanted == b'*')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_matched_as_dovecot_matches_them() {
        let matches = |mask: &str, name: &str| Mask::new(Some(mask.into())).matches(name.as_bytes());
        for (mask, name, expected) in [
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("k*", "known@example.org", true),
            ("K*", "known@example.org", true),
            ("k*", "unknown@example.org", false),
            ("*k", "known@example.org", false),
            ("*@example.org", "known@example.org", true),
            ("*@example.org", "known@mail.example.org", false),
            ("*no*ex*g", "known@example.org", true),
            ("?nown@*", "known@example.org", true),
            ("?", "", false),
            ("a?", "a", false),
            ("**a", "bba", true),
            ("*ab", "aab", true),
            ("*a*b*c", "abab", false),
        ] {
            assert_eq!(matches(mask, name), expected, "{mask:?} {name:?}");
        }
        assert!(Mask::new(None).matches(b"known@example.org"));
    }

    #[test]
    fn no_mask_takes_long() {
        let mask = Mask::new(Some(b"*a".repeat(8_000)));
        let began = std::time::Instant::now();
        assert!(!mask.matches(&b"a".repeat(320)));
        assert!(began.elapsed() < std::time::Duration::from_secs(5));
    }
}
