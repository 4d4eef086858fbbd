//! Templates: text with placeholders such as `{user}` for parts of a user or a request.

use std::fmt;

/// A text with places to fill in.
///
/// ```text
/// template = *( text / place )
/// place    = "{user}" / "{local}" / "{domain}" / "{service}" / "{rip}" / "{session}"
/// text     = 1*<any character but "{" and "}">
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Template {
    parts: Vec<Part>,
}

/// One piece of a [`Template`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Part {
    Place(Place),
    /// Text as it is.
    Text(String),
}

/// A place to fill in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Place {
    /// The whole name; `%u` of Dovecot.
    User,
    /// What is left of the last `@`, or the whole name without one; `%n`.
    Local,
    /// What is right of the last `@`; `%d`.
    Domain,
    /// Who asks: `imap`, `lmtp`, …; `%s`.
    Service,
    /// The end user's address, as the client says; `%r`.
    Rip,
    /// Dovecot's session id; `%{session}`.
    Session,
}

impl Place {
    /// Those of a user's name, then those of a request.
    const ALL: [(&str, Self); 6] = [
        ("user", Self::User),
        ("local", Self::Local),
        ("domain", Self::Domain),
        ("service", Self::Service),
        ("rip", Self::Rip),
        ("session", Self::Session),
    ];

    const fn is_of_name(self) -> bool {
        matches!(self, Self::User | Self::Local | Self::Domain)
    }
}

/// What a template is filled in from.
#[derive(Debug, Clone, Copy, Default)]
pub struct Filling<'a> {
    /// The user's name.
    pub user: &'a [u8],
    /// The service that asks; empty if not given.
    pub service: &'a str,
    /// The end user's address; likewise.
    pub rip: &'a str,
    /// The session's id; likewise.
    pub session: &'a str,
}

/// `{domain}` is asked for, and the name has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it wants a domain, and the user's name has none")]
pub struct NoDomain;

/// Why a text is no template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// A brace closes nothing.
    #[error("{}", "a `}` without a `{` before it")]
    Unopened,
    /// A brace is never closed.
    #[error("{}", "a `{` without a `}` after it")]
    Unclosed,
    /// There is no such place.
    #[error("`{}{name}{}` is none of {known}", '{', '}')]
    Unknown {
        /// What stands between the braces.
        name: String,
        /// Those that there are.
        known: String,
    },
}

impl Template {
    /// Cuts a text for a user's name into its parts.
    ///
    /// # Errors
    /// An unknown place, or a brace without its partner.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        Self::parse_with(text, Place::is_of_name)
    }

    /// As [`Template::parse`], for a text that may hold what is known of a request, too.
    ///
    /// # Errors
    /// The same.
    pub fn parse_for_request(text: &str) -> Result<Self, TemplateError> {
        Self::parse_with(text, |_| true)
    }

    fn parse_with(text: &str, allowed: fn(Place) -> bool) -> Result<Self, TemplateError> {
        let known = || Place::ALL.iter().filter(|(_, place)| allowed(*place));
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, from) = rest.split_at(at);
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            let Some(inside) = from.strip_prefix('{') else {
                return Err(TemplateError::Unopened);
            };
            let Some((name, after)) = inside.split_once('}') else {
                return Err(TemplateError::Unclosed);
            };
            let Some((_, place)) = known().find(|(known, _)| *known == name) else {
                let names: Vec<_> = known().map(|(name, _)| format!("`{{{name}}}`")).collect();
                return Err(TemplateError::Unknown {
                    name: name.to_owned(),
                    known: names.join(", "),
                });
            };
            parts.push(Part::Place(*place));
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        Ok(Self { parts })
    }

    /// `{user}`: the name as it came.
    pub fn user() -> Self {
        Self {
            parts: vec![Part::Place(Place::User)],
        }
    }

    /// The text, if there is no place to fill in.
    pub fn as_text(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [] => Some(""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// Whether any of the user's name is filled in.
    pub fn holds_name(&self) -> bool {
        let of_name = |part: &Part| matches!(part, Part::Place(place) if place.is_of_name());
        self.parts.iter().any(of_name)
    }

    /// Fills in.
    ///
    /// # Errors
    /// [`NoDomain`]
    pub fn fill(&self, from: &Filling<'_>) -> Result<Vec<u8>, NoDomain> {
        let user = from.user;
        let mut halves = user.rsplitn(2, |byte| *byte == b'@');
        let (last, first) = (halves.next().unwrap_or_default(), halves.next());
        let (local, domain) = first.map_or((user, None), |local| (local, Some(last)));
        let mut filled = Vec::with_capacity(user.len());
        for part in &self.parts {
            filled.extend_from_slice(match part {
                Part::Text(text) => text.as_bytes(),
                Part::Place(Place::User) => user,
                Part::Place(Place::Local) => local,
                Part::Place(Place::Domain) => domain.ok_or(NoDomain)?,
                Part::Place(Place::Service) => from.service.as_bytes(),
                Part::Place(Place::Rip) => from.rip.as_bytes(),
                Part::Place(Place::Session) => from.session.as_bytes(),
            });
        }
        Ok(filled)
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts.iter().try_for_each(|part| match part {
            Part::Text(text) => f.write_str(text),
            Part::Place(place) => {
                let name = Place::ALL.iter().find(|(_, known)| known == place);
                write!(f, "{{{}}}", name.map_or("", |(name, _)| name))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_filled_from_the_name() {
        for (template, user, filled) in [
            ("{user}", "bob@example.org", Some("bob@example.org")),
            ("{user}", "bob", Some("bob")),
            ("{local}", "bob@example.org", Some("bob")),
            ("{local}", "a@b@example.org", Some("a@b")),
            ("{local}", "bob", Some("bob")),
            ("{local}@{domain}", "bob@example.org", Some("bob@example.org")),
            ("{local}@{domain}", "bob", None),
            ("{local}+{domain}", "bob@", Some("bob+")),
            (
                "/srv/{domain}/{local}/",
                "bob@example.org",
                Some("/srv/example.org/bob/"),
            ),
        ] {
            let parsed = Template::parse(template).unwrap();
            let from = Filling {
                user: user.as_bytes(),
                ..Filling::default()
            };
            assert_eq!(
                parsed.fill(&from).ok(),
                filled.map(|it| it.as_bytes().to_vec()),
                "{template} of {user}"
            );
            assert_eq!(parsed.to_string(), template);
        }
    }

    #[test]
    fn a_template_is_filled_from_the_request() {
        let text = "{service} {rip} {session} {user}";
        let parsed = Template::parse_for_request(text).unwrap();
        assert_eq!(parsed.to_string(), text);
        let from = Filling {
            user: b"{rip}",
            service: "imap",
            rip: "192.0.2.1",
            session: "{user}",
        };
        assert_eq!(parsed.fill(&from).unwrap(), b"imap 192.0.2.1 {user} {rip}");
    }

    #[test]
    fn a_template_that_cannot_be_filled_is_refused() {
        for text in [
            "{login}", "{user", "user}", "{}", "{{user}}", "{user}}", "{ user }", "{rip}", "{service}",
        ] {
            assert!(Template::parse(text).is_err(), "{text}");
        }
        assert!(Template::parse_for_request("{password}").is_err());
    }

    #[test]
    fn a_template_knows_what_it_holds() {
        let of = |text| Template::parse_for_request(text).unwrap();
        assert_eq!(of("/srv").as_text(), Some("/srv"));
        assert_eq!(of("/srv/{rip}").as_text(), None);
        assert!(of("/srv/{local}").holds_name() && !of("{rip}").holds_name() && !of("x").holds_name());
    }
}
