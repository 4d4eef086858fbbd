//! Odd but legal: passwords, user names and recipients that reach the remote byte for byte.

use remote::{Account, Options, Protocol};

use crate::asker::Answer::{self, Later, No, Yes};
use crate::scene::{Scene, Setup, options};

fn passwords() -> Vec<String> {
    let mut passwords: Vec<String> = [
        "two words", " spaces around ", "a \"quoted\" word", "\"", "back\\slash", "\\", "trailing\\",
        "100% of %s and %n", "p\u{e4}ssw\u{f6}rd", "\u{5bc6}\u{7801}\u{1f511}", "tab\there", "{5}", "{5+}",
        "NIL", "*", "=", "(a b)", "user\u{a0}name",
    ]
    .map(str::to_owned)
    .into();
    passwords.push("x".repeat(200));
    passwords.push("\u{e9}".repeat(200));
    passwords.push("y".repeat(1024));
    passwords
}

const USERS: [&str; 4] = [
    "j\u{fc}rgen@example.org", "o'brien+tag@example.org", "a \"b\"@example.org", "back\\slash@example.org",
];

/// Each password is accepted as it is, and nothing that is only like it.
async fn every_password_arrives(options: Options) {
    let what = format!("{:?} with {:?}", options.protocol, options.capabilities);
    let mut options = options;
    let passwords = passwords();
    let plain = |number: usize| format!("user{number}@example.org");
    for (number, password) in passwords.iter().enumerate() {
        options.accounts.push(Account::new(&plain(number), password));
    }
    for user in USERS {
        options.accounts.push(Account::new(user, "s3cret"));
    }
    let scene = Setup::new(options)
        .listeners("limits.auth-errors = \"unlimited\"")
        .start()
        .await;
    for (number, password) in passwords.iter().enumerate() {
        let user = plain(number);
        assert_eq!(scene.login(&user, password).await, Yes, "{what}: {password:?}");
        let longer = format!("{}.", password.trim_end_matches('y'));
        assert_eq!(scene.login(&user, &longer).await, No, "{what}: {longer:?}");
        if password.trim() != password {
            assert_eq!(scene.login(&user, password.trim()).await, No, "{what}: trimmed");
        }
    }
    for user in USERS {
        assert_eq!(scene.login(user, "s3cret").await, Yes, "{what}: {user}");
        assert_eq!(scene.login(user, "s3cret.").await, No, "{what}: {user}");
    }
    assert!(
        scene.remote.violations().is_empty(),
        "{what}: {:?}",
        scene.remote.violations()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords_arrive_by_authenticate_plain() {
    every_password_arrives(options(Protocol::Imap)).await;
    every_password_arrives(options(Protocol::Imap).offering(&["IMAP4rev1", "AUTH=PLAIN"])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords_arrive_by_the_login_command() {
    for literals in ["LITERAL+", "LITERAL-", "IDLE"] {
        every_password_arrives(options(Protocol::Imap).offering(&["IMAP4rev1", literals])).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords_arrive_by_smtp_plain() {
    every_password_arrives(options(Protocol::Smtp).offering(&["PIPELINING", "AUTH PLAIN"])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords_arrive_by_smtp_login() {
    every_password_arrives(options(Protocol::Smtp).offering(&["PIPELINING", "AUTH LOGIN"])).await;
}

/// A remote that takes every letter for itself: neither case nor detail is folded there.
fn exact(protocol: Protocol) -> Options {
    let mut options = options(protocol);
    options.fold_case = false;
    options.subaddress = false;
    options
}

/// Asks for each, and compares what the remote was asked with how it looks on the wire.
async fn assert_asked(scene: &Scene, asked: &[(&str, Answer, &str)]) {
    for (recipient, answer, wire) in asked {
        assert_eq!(scene.recipient(recipient).await, *answer, "{recipient}");
        assert_eq!(scene.remote.recipients().last().map(String::as_str), Some(*wire));
    }
    assert!(
        scene.remote.violations().is_empty(),
        "{:?}",
        scene.remote.violations()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn recipients_arrive_as_they_are() {
    for protocol in [Protocol::Smtp, Protocol::Lmtp] {
        let mut options = exact(protocol);
        for user in [
            "a b@example.org", "quo\"te@example.org", "back\\slash@example.org", "at@home@example.org",
            "x..y@example.org", "j\u{fc}rgen@example.org", "Mixed.Case@example.org", "o'brien@example.org",
            "sales+eu@example.org", "user%relay@example.org", "a!b@example.org",
        ] {
            options.accounts.push(Account::new(user, "x"));
        }
        let long = format!("{}@example.org", "l".repeat(64));
        options.accounts.push(Account::new(&long, "x"));
        let scene = Setup::new(options)
            .listeners("limits.rcpt-errors = \"unlimited\"")
            .start()
            .await;
        let asked = [
            ("a b@example.org", Yes, r#""a b"@example.org"#),
            ("a  b@example.org", No, r#""a  b"@example.org"#),
            ("quo\"te@example.org", Yes, r#""quo\"te"@example.org"#),
            ("back\\slash@example.org", Yes, r#""back\\slash"@example.org"#),
            ("at@home@example.org", Yes, r#""at@home"@example.org"#),
            ("x..y@example.org", Yes, r#""x..y"@example.org"#),
            ("j\u{fc}rgen@example.org", Yes, "j\u{fc}rgen@example.org"),
            ("j\u{fc}rg@example.org", No, "j\u{fc}rg@example.org"),
            ("Mixed.Case@EXAMPLE.org", Yes, "Mixed.Case@example.org"),
            ("mixed.case@example.org", No, "mixed.case@example.org"),
            ("o'brien@example.org", Yes, "o'brien@example.org"),
            ("sales+eu@example.org", Yes, "sales+eu@example.org"),
            ("jane+eu@example.org", No, "jane+eu@example.org"),
            ("user%relay@example.org", Yes, "user%relay@example.org"),
            ("a!b@example.org", Yes, "a!b@example.org"),
            (long.as_str(), Yes, long.as_str()),
        ];
        assert_asked(&scene, &asked).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn detail_and_case_are_cut_where_configured() {
    let mut options = exact(Protocol::Lmtp);
    options.accounts.push(Account::new("+odd@example.org", "x"));
    let scene = Setup::new(options)
        .directory("lookup.fold-case = true\nlookup.recipient-delimiter = \"+\"")
        .start()
        .await;
    let asked = [
        ("jane+eu@example.org", Yes, "jane@example.org"),
        ("JANE+a+b@Example.Org", Yes, "jane@example.org"),
        ("nobody+eu@example.org", No, "nobody@example.org"),
        ("+odd@example.org", Yes, "+odd@example.org"),
    ];
    assert_asked(&scene, &asked).await;
}

/// A mailbox that cannot be asked for is not an unknown one.
#[tokio::test(flavor = "multi_thread")]
async fn without_smtputf8_an_internationalized_recipient_is_put_off() {
    for protocol in [Protocol::Smtp, Protocol::Lmtp] {
        let mut options = exact(protocol).offering(&["PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES"]);
        options
            .accounts
            .push(Account::new("j\u{fc}rgen@example.org", "x"));
        let scene = Setup::new(options).start().await;
        assert_eq!(scene.recipient("j\u{fc}rgen@example.org").await, Later);
        assert_eq!(
            scene.recipient(&b"j\xfcrgen@example.org"[..]).await,
            Later,
            "Latin-1"
        );
        assert_eq!(scene.remote.count("RCPT"), 0);
        assert_eq!(scene.recipient("jane@example.org").await, Yes);
        assert_eq!(scene.recipient("j\u{fc}rgen@example.org").await, Later);
        assert!(scene.remote.violations().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ascii_and_internationalized_recipients_share_a_session() {
    let mut options = exact(Protocol::Smtp);
    options
        .accounts
        .push(Account::new("j\u{fc}rgen@example.org", "x"));
    let scene = Setup::new(options).start().await;
    for _ in 0..2 {
        assert_eq!(scene.recipient("jane@example.org").await, Yes);
        assert_eq!(scene.recipient("j\u{fc}rgen@example.org").await, Yes);
        assert_eq!(scene.recipient("nobody@example.org").await, No);
    }
    assert!(
        scene.remote.violations().is_empty(),
        "{:?}",
        scene.remote.violations()
    );
}
