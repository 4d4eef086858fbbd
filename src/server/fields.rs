//! Fields that a listener adds to its answers, by templates of the configuration.

use vouch_protocol::auth::master::Field;

use crate::settings::fields::Fields;
use crate::template::Filling;
use crate::verdict::Client;

/// Why a field cannot be filled in: for the log.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` cannot be filled in: {why}")]
pub struct Unfilled {
    field: String,
    why: String,
}

/// The values for a user, told to `client`.
///
/// # Errors
/// See [`Unfilled`].
pub(super) fn fill(fields: &Fields, user: &[u8], client: &Client) -> Result<Vec<Field>, Unfilled> {
    let rip = client.address.map(|address| address.to_string());
    let from = Filling {
        user,
        service: client.service.as_deref().unwrap_or_default(),
        rip: rip.as_deref().unwrap_or_default(),
        session: client.session.as_deref().unwrap_or_default(),
    };
    let filled = fields.iter().map(|(name, template)| match template.fill(&from) {
        Ok(value) => Ok((name.clone(), value)),
        Err(error) => Err(Unfilled {
            field: name.clone(),
            why: error.to_string(),
        }),
    });
    filled.collect()
}

/// As [`fill`], for what Dovecot may take for a path or expand once more
/// (`lib-storage/mail-storage-service.c`): a name could lead to another's files.
///
/// # Errors
/// See [`Unfilled`]; also where a name that has no place in a path would be filled
/// in.
pub(super) fn fill_paths(fields: &Fields, user: &[u8], client: &Client) -> Result<Vec<Field>, Unfilled> {
    let named = fields.iter().find(|(_, template)| template.holds_name());
    match named {
        Some((name, _)) if !is_plain(user) => Err(Unfilled {
            field: name.clone(),
            why: "the user's name holds `/` or `%`, or a part of it is `.` or `..` or begins with `~`"
                .to_owned(),
        }),
        _ => fill(fields, user, client),
    }
}

/// Whether a name, and each part of it, can be a part of a path.
fn is_plain(user: &[u8]) -> bool {
    let mut parts = user.rsplitn(2, |byte| *byte == b'@');
    !user.iter().any(|byte| matches!(byte, b'/' | b'%'))
        && parts.all(|part| part != b"." && part != b".." && !part.starts_with(b"~"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::Template;

    fn fields(pairs: &[(&str, &str)]) -> Fields {
        let read = |text| Template::parse_for_request(text).unwrap();
        pairs
            .iter()
            .map(|(name, text)| ((*name).to_owned(), read(text)))
            .collect()
    }

    #[test]
    fn they_are_filled_in() {
        let client = Client {
            service: Some("imap".into()),
            ..Client::default()
        };
        let fields = fields(&[
            ("uid", "5000"),
            ("home", "/srv/{domain}/{local}"),
            ("x", "{service}{rip}"),
        ]);
        let filled = fill_paths(&fields, b"bob@example.org", &client).unwrap();
        let expected = [("home", "/srv/example.org/bob"), ("uid", "5000"), ("x", "imap")];
        let expected: Vec<Field> = expected
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()))
            .collect();
        assert_eq!(filled, expected);
    }

    #[test]
    fn no_name_leads_out_of_its_folder() {
        let (home, fixed) = (fields(&[("home", "/srv/{local}")]), fields(&[("uid", "1")]));
        for user in [
            "../x@e.org", "..@e.org", ".@e.org", "a/b@e.org", "a%h@e.org", "~root@e.org", "bob@..", "..",
        ] {
            let client = Client::default();
            assert!(fill_paths(&home, user.as_bytes(), &client).is_err(), "{user}");
            assert!(fill_paths(&fixed, user.as_bytes(), &client).is_ok(), "{user}");
        }
        for user in [
            "bob@e.org", "b..b@e.org", ".bob@e.org", "bob", "o'brien+x~y@e.org",
        ] {
            assert!(
                fill_paths(&home, user.as_bytes(), &Client::default()).is_ok(),
                "{user}"
            );
        }
    }

    #[test]
    fn a_domain_that_is_wanted_must_be_there() {
        let fields = fields(&[("home", "/srv/{domain}")]);
        let error = fill(&fields, b"bob", &Client::default()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "`home` cannot be filled in: it wants a domain, and the user's name has none"
        );
    }
}
