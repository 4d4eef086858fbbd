//! What a refused login says about the credential, whatever the protocol.

use super::reading::{self, Reading};
use super::replies::{Means, Replies};
use super::statement::{About, Found, Statement, What};
use super::text::Asked;
use crate::verdict::Class;

/// What a refused login comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conclusion {
    /// The credential is wrong, the account closed, or the password expired.
    No(Class),
    /// The refusal says nothing about this credential.
    Later(Class),
}

/// How a refused login is read, and why.
#[derive(Debug, Clone)]
pub struct Explained {
    /// What it comes to.
    pub conclusion: Conclusion,
    /// What the words say.
    pub reading: Reading,
    /// What the code says.
    pub by_code: Option<Statement>,
    /// Which statement decided, if one did.
    pub decided: Option<Statement>,
}

/// Reads the lines of a refusal of a login as `user`, whose status says `by_code`.
pub(super) fn read(lines: &[&str], user: &[u8], replies: &Replies, by_code: Option<Statement>) -> Explained {
    if let Some((means, phrase)) = replies.find(lines) {
        return by_operator(means, phrase);
    }
    let reading = reading::read(lines, &Asked::new(user));
    conclude(reading, by_code)
}

fn by_operator(means: Means, phrase: &str) -> Explained {
    let (conclusion, about, what) = match means {
        Means::Wrong | Means::Unknown => (
            Conclusion::No(Class::BadCredentials),
            About::Credential,
            What::Wrong,
        ),
        // Of a login, `full` says nothing: it is for recipients.
        Means::Later | Means::Full => (Conclusion::Later(Class::Temporary), About::Remote, What::NotNow),
    };
    let found = Found::Operator(phrase.to_owned());
    Explained {
        conclusion,
        reading: Reading::default(),
        by_code: None,
        decided: Some(Statement { about, what, found }),
    }
}

/// The rule over the statements of one refusal.
fn conclude(reading: Reading, by_code: Option<Statement>) -> Explained {
    let words = &reading.statements;
    let first = |wanted: &dyn Fn(&Statement) -> bool| words.iter().find(|one| wanted(one));
    let code_refuses = by_code.as_ref().filter(|one| is_about_user(one));
    let code_otherwise = by_code.as_ref().filter(|one| !is_about_user(one));
    // A code for "not now" or "not this way" says more than words do; one for anything else says less.
    let code_decides = code_otherwise.filter(|one| one.what != What::Broken);
    // A mailbox that is full keeps nobody from logging in, but a broken server.
    let later = first(&|one| one.what == What::NotNow || one.what == What::Full)
        .or(first(&|one| matches!(one.about, About::Remote | About::Limit)))
        .or(first(&|one| explains(one, code_refuses.is_some())));
    let closed = first(&|one| matches!(one.what, What::Closed | What::Expired) && is_about_user(one));
    let wrong = first(&|one| is_about_user(one));

    let (conclusion, decided) = if let Some(one) = code_decides.or(later) {
        (Conclusion::Later(class_of(one)), Some(one))
    } else if reading.cut {
        (Conclusion::Later(Class::NotUnderstood), None)
    } else if let Some(one) = closed.or(code_refuses.filter(|one| one.what != What::Wrong)) {
        (Conclusion::No(class_of(one)), Some(one))
    } else if let Some(one) = wrong.or(code_refuses) {
        (Conclusion::No(class_of(one)), Some(one))
    } else if let Some(one) = code_otherwise {
        (Conclusion::Later(class_of(one)), Some(one))
    } else if reading.is_empty() {
        // Somebody who says no and nothing else says no to the one thing that was asked.
        (Conclusion::No(Class::BadCredentials), None)
    } else {
        (Conclusion::Later(Class::NotUnderstood), None)
    };
    Explained {
        conclusion,
        decided: decided.cloned(),
        by_code: by_code.clone(),
        reading,
    }
}

/// About the user, or what the user sent.
fn is_about_user(statement: &Statement) -> bool {
    matches!(statement.about, About::Recipient | About::Credential)
}

/// Whether words would explain a refusal without anything being wrong with the credential. Beside a code that refuses
/// the credential, rules and a protocol that is switched off do not.
fn explains(statement: &Statement, code_refuses: bool) -> bool {
    match (statement.about, statement.what) {
        (About::Recipient | About::Credential, _) => false,
        // That a login is wanted is no news in a reply to one.
        (About::Login, What::Required) => false,
        (About::Policy | About::Service, _) => !code_refuses,
        _ => true,
    }
}

fn class_of(statement: &Statement) -> Class {
    match (statement.about, statement.what) {
        (_, What::NotNow | What::Full) | (About::Remote | About::Limit, _) => Class::Temporary,
        (_, What::Expired) => Class::Expired,
        (About::Recipient | About::Credential, What::Closed) => Class::Disabled,
        (About::Recipient | About::Credential, _) => Class::BadCredentials,
        (About::Login, What::Broken) => Class::Protocol,
        _ => Class::Config,
    }
}
