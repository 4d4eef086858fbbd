//! Templates: text in which `{user}`, `{local}` and `{domain}` stand for parts of a user's name.

use std::fmt;

/// A text with places to fill in.
///
/// ```text
/// template = *( text / "{user}" / "{local}" / "{domain}" )
/// text     = 1*<any character but "{" and "}">
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Template {
    parts: Vec<Part>,
}

/// One piece of a [`Template`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Part {
    /// `{user}`: the whole name.
    User,
    /// `{local}`: what is left of the last `@`, or the whole name without one.
    Local,
    /// `{domain}`: what is right of the last `@`.
    Domain,
    /// Text as it is.
    Text(String),
}

impl Template {
    /// Cuts a text into its parts.
    ///
    /// # Errors
    /// A sentence for the operator: an unknown place, or a brace without its partner.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, from) = rest.split_at(at);
            if !before.is_empty() {
                parts.push(Part::Text(before.to_owned()));
            }
            let Some(inside) = from.strip_prefix('{') else {
                return Err("a `}` without a `{` before it".to_owned());
            };
            let Some((name, after)) = inside.split_once('}') else {
                return Err("a `{` without a `}` after it".to_owned());
            };
            parts.push(match name {
                "user" => Part::User,
                "local" => Part::Local,
                "domain" => Part::Domain,
                _ => {
                    return Err(format!(
                        "`{{{name}}}` is none of `{{user}}`, `{{local}}`, `{{domain}}`"
                    ));
                }
            });
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
            parts: vec![Part::User],
        }
    }

    /// The parts in their order.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Fills in a user's name; `None` when `{domain}` is asked for and the name has none.
    pub fn apply(&self, user: &[u8]) -> Option<Vec<u8>> {
        let mut halves = user.rsplitn(2, |byte| *byte == b'@');
        let (last, first) = (halves.next().unwrap_or_default(), halves.next());
        let (local, domain) = first.map_or((user, None), |local| (local, Some(last)));
        let mut filled = Vec::with_capacity(user.len());
        for part in &self.parts {
            filled.extend_from_slice(match part {
                Part::User => user,
                Part::Local => local,
                Part::Domain => domain?,
                Part::Text(text) => text.as_bytes(),
            });
        }
        Some(filled)
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts.iter().try_for_each(|part| {
            f.write_str(match part {
                Part::User => "{user}",
                Part::Local => "{local}",
                Part::Domain => "{domain}",
                Part::Text(text) => text,
            })
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
            assert_eq!(
                parsed.apply(user.as_bytes()),
                filled.map(|it| it.as_bytes().to_vec()),
                "{template} of {user}"
            );
            assert_eq!(parsed.to_string(), template);
        }
    }

    #[test]
    fn a_template_that_cannot_be_filled_is_refused() {
        for text in [
            "{login}", "{user", "user}", "{}", "{{user}}", "{user}}", "{ user }",
        ] {
            assert!(Template::parse(text).is_err(), "{text}");
        }
    }
}
