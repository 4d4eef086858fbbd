//! The action for Postfix.
//!
//! A text that Postfix does not understand is answered with a server error and
//! a notice to its postmaster, and a few that look like a refusal permit. So
//! an action is a type of its own, and only what means what it says becomes one.
//! The order of the tests is that of Postfix `smtpd/smtpd_check.c`,
//! `check_table_result`.

use std::borrow::Cow;

/// Bound (clients, bytes): action sent to Postfix. Beyond: a longer one is refused in the configuration. Why: Postfix
/// would cut the SMTP reply that it makes of the text (510 bytes in all, of which the address takes a part).
pub const ACTION_LIMIT: usize = 450;

/// Bound (clients, bytes): words of a mail server in an action ({reply}). Beyond: the rest is cut off. Why: the
/// operator's own words need room beside them.
pub const REPLY_LIMIT: usize = 200;

/// Stands in an operator's text for the remote's own words.
const PLACEHOLDER: &str = "{reply}";

/// An action that Postfix does as intended: a word or a reply code, and its text.
///
/// One line of printable ASCII, 1 to 450 bytes, no space in front.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action(Cow<'static, str>);

impl Action {
    /// The action that `text` spells.
    ///
    /// The text is a three-digit code 4xx or 5xx with words after it; one of
    /// `DUNNO`, `OK`, `REJECT`, `DEFER`, `DEFER_IF_PERMIT`, `DEFER_IF_REJECT`,
    /// `WARN`, `INFO`, `HOLD`, `DISCARD`, `PREPEND`, `FILTER`, `REDIRECT`, `BCC`
    /// in any case; or the name of a restriction, `permit…` or `reject…`.
    ///
    /// # Errors
    /// An [`ActionError`] that says what Postfix would make of the text.
    pub fn new(text: &str) -> Result<Self, ActionError> {
        if text.is_empty() {
            return Err(ActionError::Empty);
        }
        if text.len() > ACTION_LIMIT {
            return Err(ActionError::TooLong);
        }
        if !text.bytes().all(is_printable) {
            return Err(ActionError::Unprintable);
        }
        if text.starts_with(' ') {
            return Err(ActionError::LeadingSpace);
        }
        let (word, argument) = split(text);
        if word.bytes().all(|byte| byte.is_ascii_digit()) {
            check_code(word, argument)?;
        } else {
            check_word(word, argument)?;
        }
        Ok(Self(Cow::Owned(text.to_owned())))
    }

    /// `DUNNO`: the next restriction decides.
    pub const fn dunno() -> Self {
        Self(Cow::Borrowed("DUNNO"))
    }

    /// The text as it is sent after `action=`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first word in upper case, or the reply code.
    pub fn word(&self) -> String {
        split(&self.0).0.to_ascii_uppercase()
    }

    /// Whether it rejects permanently: a code 5xx, `REJECT`, or a `reject…`
    /// restriction, which may.
    pub fn is_permanent(&self) -> bool {
        let word = self.word();
        word.starts_with('5') || word.starts_with("REJECT")
    }

    /// This action with `{reply}` replaced by what the remote said.
    ///
    /// `remote` may be anything. Of it at most 200 bytes are used, each run of
    /// bytes that are not printable ASCII as one space; when nothing is left,
    /// a fixed text stands in, for a code without words would permit.
    #[must_use]
    pub fn with_reply(&self, remote: &str) -> Self {
        if !self.0.contains(PLACEHOLDER) {
            return self.clone();
        }
        let mut text = self.0.replace(PLACEHOLDER, &sanitised(remote));
        text.truncate(ACTION_LIMIT);
        Self(Cow::Owned(text))
    }
}

/// Why a text is no [`Action`]: each says what Postfix would do with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ActionError {
    /// There is no text.
    #[error("the action is empty: Postfix would accept")]
    Empty,
    /// The text is longer than 450 bytes.
    #[error("the action is longer than {ACTION_LIMIT} bytes: Postfix would cut it")]
    TooLong,
    /// A control byte, a line end or a byte beyond ASCII.
    #[error("the action is not one line of printable ASCII: Postfix would garble it or not read it at all")]
    Unprintable,
    /// A space in front.
    #[error("the action starts with a space: Postfix would see no word and answer 451 4.3.5")]
    LeadingSpace,
    /// Digits alone. Holds them.
    #[error("`{0}` has no text after it: Postfix takes digits alone for OK and would accept")]
    BareCode(String),
    /// A number that is no code 4xx or 5xx. Holds it.
    #[error("`{0}` is not a code from 400 to 599: Postfix would answer 451 4.3.5 in its place")]
    NotRefusal(String),
    /// A code with a hyphen, as in a reply of many lines. Holds it.
    #[error("`{0}` begins a reply of many lines, and an action is one: Postfix would answer 451 4.3.5")]
    Continuation(String),
    /// A word with a colon, as in the name of a table. Holds it.
    #[error("`{0}` names a lookup table: Postfix takes none from a policy server and would answer 451 4.3.5")]
    Table(String),
    /// A word that is neither an action nor a restriction. Holds it.
    #[error(
        "`{0}` is not an action: Postfix answers what it does not know with 451 4.3.5 and a notice to its \
         postmaster"
    )]
    UnknownWord(String),
    /// Text after the name of a restriction. Holds the name.
    #[error("`{0}` is a restriction: Postfix would take each word after it for one more")]
    RestrictionText(String),
    /// An action whose argument is absent or of the wrong form.
    #[error("`{word}` needs {needs}: Postfix would log a warning and go on as after DUNNO")]
    Argument {
        /// The action, in upper case.
        word: String,
        /// The form of its argument.
        needs: &'static str,
    },
}

fn is_printable(byte: u8) -> bool {
    matches!(byte, b' '..=b'~')
}

/// The word, and its argument without the spaces around it.
fn split(text: &str) -> (&str, &str) {
    text.split_once(' ')
        .map_or((text, ""), |(word, argument)| (word, argument.trim()))
}

fn check_code(word: &str, argument: &str) -> Result<(), ActionError> {
    if argument.is_empty() {
        return Err(ActionError::BareCode(word.to_owned()));
    }
    if word.len() != 3 || !word.starts_with(['4', '5']) {
        return Err(ActionError::NotRefusal(word.to_owned()));
    }
    Ok(())
}

fn check_word(word: &str, argument: &str) -> Result<(), ActionError> {
    if let Some(code) = word.get(..3)
        && code.bytes().all(|byte| byte.is_ascii_digit())
        && word.get(3..4) == Some("-")
    {
        return Err(ActionError::Continuation(format!("{code}-")));
    }
    if word.contains(':') {
        return Err(ActionError::Table(word.to_owned()));
    }
    let upper = word.to_ascii_uppercase();
    // An address or a destination is the operator's to choose, not the remote's.
    let fixed = !argument.contains(PLACEHOLDER);
    let (good, needs) = match upper.as_str() {
        "DUNNO" | "OK" | "REJECT" | "DEFER" | "DEFER_IF_PERMIT" | "DEFER_IF_REJECT" | "WARN" | "INFO"
        | "HOLD" | "DISCARD" => (true, ""),
        "PREPEND" => (is_header(argument), "`Header: text`"),
        "FILTER" => (fixed && argument.contains(':'), "`transport:destination`"),
        "REDIRECT" | "BCC" => (fixed && argument.contains('@'), "`user@domain`"),
        _ => return check_restriction(word, argument),
    };
    if good {
        Ok(())
    } else {
        Err(ActionError::Argument { word: upper, needs })
    }
}

fn is_header(argument: &str) -> bool {
    argument.split_once(':').is_some_and(|(name, _)| {
        !name.is_empty()
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    })
}

/// `restriction = ("permit" / "reject") ["_" 1*(ALPHA / DIGIT / "_")]`
fn check_restriction(word: &str, argument: &str) -> Result<(), ActionError> {
    let lower = word.to_ascii_lowercase();
    let rest = lower
        .strip_prefix("permit")
        .or_else(|| lower.strip_prefix("reject"));
    let is_name = rest.is_some_and(|rest| {
        rest.is_empty()
            || rest.len() > 1
                && rest.starts_with('_')
                && rest
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    });
    if !is_name {
        return Err(ActionError::UnknownWord(word.to_owned()));
    }
    if !argument.is_empty() {
        return Err(ActionError::RestrictionText(word.to_owned()));
    }
    Ok(())
}

/// The remote's words in a form that is safe inside an action; never empty.
fn sanitised(remote: &str) -> String {
    let mut text = String::new();
    for byte in remote.bytes() {
        if text.len() == REPLY_LIMIT {
            break;
        }
        if is_printable(byte) && byte != b' ' {
            text.push(char::from(byte));
        } else if !text.is_empty() && !text.ends_with(' ') {
            text.push(' ');
        }
    }
    text.truncate(text.trim_end().len());
    if text.is_empty() {
        text.push_str("no reason given");
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn takes_what_postfix_does_as_intended() {
        for text in [
            "DUNNO",
            "dunno",
            "OK",
            "550 5.1.1 User unknown",
            "550 User unknown",
            "450 4.2.0 later",
            "421 4.3.2 bye",
            "REJECT",
            "REJECT 5.1.1 User unknown",
            "DEFER 4.4.2 later",
            "DEFER_IF_PERMIT 4.4.3 Recipient lookup failed, try again later",
            "Defer_If_Reject 4.4.1 later",
            "WARN note: this",
            "INFO",
            "HOLD",
            "DISCARD quietly",
            "PREPEND X-Vouch: asked",
            "FILTER smtp:[192.0.2.1]:10025",
            "REDIRECT bob@example.com",
            "BCC bob@example.com",
            "permit",
            "permit_mynetworks",
            "reject_unauth_destination",
            "550 {reply}",
        ] {
            assert_eq!(Action::new(text).unwrap().as_str(), text);
        }
    }

    // Fills ACTION_LIMIT.
    #[test]
    fn refuses_the_rest_and_says_why() {
        let argument = |word: &str, needs| ActionError::Argument {
            word: word.into(),
            needs,
        };
        for (text, error) in [
            ("", ActionError::Empty),
            (" 550 x", ActionError::LeadingSpace),
            (" ", ActionError::LeadingSpace),
            ("550", ActionError::BareCode("550".into())),
            ("450 ", ActionError::BareCode("450".into())),
            ("1234567", ActionError::BareCode("1234567".into())),
            ("250 ok", ActionError::NotRefusal("250".into())),
            ("650 5.1.1 x", ActionError::NotRefusal("650".into())),
            ("55 x", ActionError::NotRefusal("55".into())),
            ("5500 x", ActionError::NotRefusal("5500".into())),
            ("550-5.1.1 x", ActionError::Continuation("550-".into())),
            ("550- x", ActionError::Continuation("550-".into())),
            ("5xx no", ActionError::UnknownWord("5xx".into())),
            ("FOO", ActionError::UnknownWord("FOO".into())),
            ("DUNNO, OK", ActionError::UnknownWord("DUNNO,".into())),
            ("HANGUP", ActionError::UnknownWord("HANGUP".into())),
            ("permit_", ActionError::UnknownWord("permit_".into())),
            ("rejected", ActionError::UnknownWord("rejected".into())),
            ("{reply}", ActionError::UnknownWord("{reply}".into())),
            ("static:x", ActionError::Table("static:x".into())),
            ("OK:", ActionError::Table("OK:".into())),
            ("permit all", ActionError::RestrictionText("permit".into())),
            ("REDIRECT", argument("REDIRECT", "`user@domain`")),
            ("redirect {reply}@x", argument("REDIRECT", "`user@domain`")),
            ("BCC bob", argument("BCC", "`user@domain`")),
            ("FILTER smtp", argument("FILTER", "`transport:destination`")),
            ("PREPEND text", argument("PREPEND", "`Header: text`")),
            ("PREPEND {reply}: x", argument("PREPEND", "`Header: text`")),
            ("550 a\nb", ActionError::Unprintable),
            ("550 a\r", ActionError::Unprintable),
            ("550\ta", ActionError::Unprintable),
            ("550 a\0", ActionError::Unprintable),
            ("550 Käse", ActionError::Unprintable),
        ] {
            assert_eq!(Action::new(text), Err(error), "{text:?}");
        }
        assert!(Action::new(&format!("550 {}", "x".repeat(446))).is_ok());
        assert_eq!(
            Action::new(&format!("550 {}", "x".repeat(447))),
            Err(ActionError::TooLong)
        );
    }

    #[test]
    fn an_error_says_what_postfix_would_do() {
        let bare = Action::new("550").unwrap_err().to_string();
        assert_eq!(
            bare,
            "`550` has no text after it: Postfix takes digits alone for OK and would accept"
        );
    }

    #[test]
    fn knows_its_word_and_what_is_permanent() {
        for (text, word, permanent) in [
            ("550 5.1.1 x", "550", true),
            ("450 4.1.1 x", "450", false),
            ("Reject no", "REJECT", true),
            ("reject_unverified_recipient", "REJECT_UNVERIFIED_RECIPIENT", true),
            ("defer_if_permit 5.1.1 x", "DEFER_IF_PERMIT", false),
            ("DUNNO 550", "DUNNO", false),
        ] {
            let action = Action::new(text).unwrap();
            assert_eq!((action.word().as_str(), action.is_permanent()), (word, permanent));
        }
        assert_eq!(Action::new("DUNNO"), Ok(Action::dunno()));
    }

    // Fills action::REPLY_LIMIT.
    #[test]
    fn passes_on_the_remotes_words_made_safe() {
        let action = Action::new("550 5.1.1 {reply}").unwrap();
        for (remote, text) in [
            ("<bob> unknown", "550 5.1.1 <bob> unknown"),
            ("one\r\ntwo\0\u{7f} three", "550 5.1.1 one two three"),
            ("\r\nKäse ", "550 5.1.1 K se"),
            (" \r\n", "550 5.1.1 no reason given"),
            ("", "550 5.1.1 no reason given"),
            ("{reply}", "550 5.1.1 {reply}"),
        ] {
            assert_eq!(action.with_reply(remote).as_str(), text);
        }
        assert_eq!(action.with_reply(&"x".repeat(5000)).as_str().len(), 10 + 200);
        let long = Action::new(&format!("550 {} {{reply}}", "x".repeat(400))).unwrap();
        assert_eq!(long.with_reply(&"y".repeat(200)).as_str().len(), ACTION_LIMIT);
        let plain = Action::new("550 no").unwrap();
        assert_eq!(plain.with_reply("anything"), plain);
    }

    proptest! {
        #[test]
        fn any_reply_leaves_an_action_that_means_the_same(
            before in "[ -~]{0,300}", after in "[ -~]{0,140}", remote in any::<String>(),
        ) {
            let Ok(action) = Action::new(&format!("550 {before}{{reply}}{after}")) else {
                return Ok(());
            };
            let told = action.with_reply(&remote);
            prop_assert_eq!(Action::new(told.as_str()), Ok(told.clone()));
            prop_assert_eq!(told.word(), "550");
        }

        #[test]
        fn no_text_breaks_it(text in any::<String>()) {
            let _ = Action::new(&text);
        }
    }
}
