//! `[dovecot]`, in words.

use super::{Text, listener};
use crate::config::Config;
use crate::settings::dovecot::Dovecot;
use crate::settings::protocol::Protocol;

pub(super) fn words(text: &mut Text, config: &Config, dovecot: &Dovecot) {
    for (asks, protocol) in [
        ("Dovecot and its clients ask if logins are good", Protocol::Login),
        ("Dovecot's services ask for users", Protocol::Master),
    ] {
        text.head(format!("As Dovecot's auth service: {asks}."));
        // Dovecot's configuration sets how many clients may connect, so that is not shown here.
        listener::answers(text, config, &dovecot.listener("dovecot", protocol, u32::MAX));
    }
}
