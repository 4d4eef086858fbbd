//! Two Dovecots share a domain behind one Postfix: `vouch` asks both.

use crate::available;
use crate::dialog::assert_starts;
use crate::dovecot::Dovecot;
use crate::people::{KNOWN, NOBODY};
use crate::postfix::Postfix;
use crate::recipient::{NEW, mail, rcpt};
use crate::support::{Authority, Scratch, Vouch};

/// Nobody asks about this one until a server is down, so that no memory can help.
const ALSO_NOBODY: &str = "nobody-else@example.org";

#[test]
fn a_recipient_of_either_server_exists_and_one_of_neither_does_not() {
    if !available(&["postfix"]) {
        return;
    }
    let (scratch, other_scratch) = (Scratch::new(), Scratch::new());
    let authority = Authority::new(&scratch, "remote");
    let one = Dovecot::remote(&scratch, &authority);
    let mut other = Dovecot::remote(&other_scratch, &authority);
    // The other has moved users alone.
    other_scratch.write("users", format!("{NEW}:{{PLAIN}}x::::::\n"));

    let directory = |name: &str, port: u16| {
        format!(
            "[directory.{name}]\ntype = \"lmtp\"\naddress = \"127.0.0.1\"\nport = {port}\n\
             lookup.domains = [\"example.org\"]\ntls = {{ starttls = \"required\", ca-file = \"{}\" }}\n",
            authority.ca.display()
        )
    };
    let policy = scratch.path("policy");
    let config = format!(
        "{}{}[listener.recipients]\nprotocol = \"policy\"\nsocket = \"{}\"\nmode = \"0666\"\n\
         directory = [\"one\", \"other\"]\nany = \"all\"\n",
        directory("one", one.lmtp),
        directory("other", other.lmtp),
        policy.display()
    );
    let _vouch = Vouch::serve(&scratch, &config, &[&policy]);
    let front = Postfix::front(&scratch, Some(&policy), None);

    let mut dialog = mail(&front);
    assert_starts(&rcpt(&mut dialog, KNOWN), "250 2.1.5");
    assert_starts(&rcpt(&mut dialog, NEW), "250 2.1.5");
    assert_starts(&rcpt(&mut dialog, NOBODY), "550 5.1.1");

    // The one that is down may know the recipient.
    other.stop();
    assert_starts(&rcpt(&mut dialog, ALSO_NOBODY), "450 4.4.3");
    assert_starts(&rcpt(&mut dialog, KNOWN), "250 2.1.5");
}
