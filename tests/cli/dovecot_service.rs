//! `vouch dovecot-service` where Dovecot has not started it, or has not given what it should.

use crate::outside::{run, vouch};

#[test]
fn by_hand_it_says_who_starts_it() {
    let ran = run(["dovecot-service"], "").ended(64);
    ran.says_nothing()
        .complains(&["Dovecot starts this command", "`vouch serve`"]);
}

#[test]
fn what_dovecot_should_have_given_is_named() {
    let mut given = vec![("DOVECOT_CHILD_PROCESS", "1")];
    for (missing, value) in [
        ("GENERATION", "1"),
        ("CLIENT_LIMIT", "100"),
        ("SOCKET_COUNT", "1"),
    ] {
        complains(&given, &format!("no usable {missing} in the environment"));
        given.push((missing, "much"));
        complains(&given, &format!("no usable {missing} in the environment"));
        given.pop();
        given.push((missing, value));
    }
}

fn complains(environment: &[(&str, &str)], complaint: &str) {
    let mut command = vouch();
    command.arg("dovecot-service").envs(environment.iter().copied());
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(71), "{said}");
    assert!(said.contains(complaint), "{said}");
}
