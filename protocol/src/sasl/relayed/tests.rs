//! Messages of clients, as each mechanism has them.

use proptest::prelude::*;

use super::Unreadable::{ChannelBinding, ForeignAuthzid, Malformed, NoUser};
use super::*;

fn user(mechanism: RelayedMechanism, message: &str) -> Result<String, Unreadable> {
    let user = mechanism.user_in(message.as_bytes())?;
    Ok(String::from_utf8(user).unwrap())
}

#[test]
fn names_are_read_back() {
    for mechanism in RelayedMechanism::ALL {
        assert_eq!(RelayedMechanism::from_name(mechanism.name()), Some(mechanism));
        assert_eq!(
            RelayedMechanism::from_name(&mechanism.name().to_ascii_lowercase()),
            Some(mechanism)
        );
    }
    assert_eq!(RelayedMechanism::from_name("SCRAM-SHA-256-PLUS"), None);
    assert_eq!(RelayedMechanism::from_name("PLAIN"), None);
}

#[test]
fn scram() {
    use RelayedMechanism::ScramSha256;
    for (message, expected) in [
        ("n,,n=user,r=rOprNGfwEbeRWgbNEkqO", Ok("user")),
        ("y,,n=user,r=x", Ok("user")),
        ("n,a=user,n=user,r=x", Ok("user")),
        ("n,,n=a=2Cb=3Dc,r=x,t=1", Ok("a,b=c")),
        ("n,a=a=2Cb,n=a=2Cb,r=x", Ok("a,b")),
        ("n,a=,n=user,r=x", Ok("user")),
        ("n,a=root,n=user,r=x", Err(ForeignAuthzid)),
        ("p=tls-unique,,n=user,r=x", Err(ChannelBinding)),
        ("p=tls-exporter,a=root,n=user,r=x", Err(ChannelBinding)),
        ("n,,n=,r=x", Err(NoUser)),
        ("n,,m=new,n=user,r=x", Err(Malformed)),
        ("n,,n=a=2cb,r=x", Err(Malformed)),
        ("n,,n=a=,r=x", Err(Malformed)),
        ("n,,n=a=4,r=x", Err(Malformed)),
        ("n,,n=user", Err(Malformed)),
        ("n,,n=user,s=x", Err(Malformed)),
        ("n,b=user,n=user,r=x", Err(Malformed)),
        ("n=user,r=x", Err(Malformed)),
        ("n,n=user,r=x", Err(Malformed)),
        ("n,,n=us\0er,r=x", Err(Malformed)),
        ("x,,n=user,r=x", Err(Malformed)),
        ("", Err(Malformed)),
    ] {
        assert_eq!(
            user(ScramSha256, message),
            expected.map(str::to_owned),
            "{message}"
        );
    }
    assert!(ScramSha256.wants_no_binding_remote(b"y,,n=user,r=x"));
    assert!(!ScramSha256.wants_no_binding_remote(b"n,,n=user,r=x"));
}

#[test]
fn cram_md5() {
    let digest = "b913a602c7eda7a495b4e6e7334d3890";
    let read = |name: &str| user(RelayedMechanism::CramMd5, &format!("{name} {digest}"));
    assert_eq!(read("tim"), Ok("tim".to_owned()));
    assert_eq!(read("quoted local@e.org"), Ok("quoted local@e.org".to_owned()));
    assert_eq!(read(""), Err(NoUser));
    assert_eq!(read("t\0im"), Err(Malformed));
    for message in [
        "tim", "tim b913", digest, "tim b913a602c7eda7a495b4e6e7334d389x", "",
    ] {
        assert_eq!(
            user(RelayedMechanism::CramMd5, message),
            Err(Malformed),
            "{message}"
        );
    }
}

#[test]
fn digest_md5() {
    let tail =
        r#"nonce="OA6MG9tEQGm2hh",nc=00000001,cnonce="x",digest-uri="imap/e.org",response=d3,qop=auth"#;
    for (head, expected) in [
        (
            r#"charset=utf-8,username="chris",realm="elwood.innosoft.com""#,
            Ok("chris@elwood.innosoft.com"),
        ),
        (r#"username="chris""#, Ok("chris")),
        (r#"username="chris",realm="""#, Ok("chris")),
        (r#"username="chris@e.org",realm="other""#, Ok("chris@e.org")),
        (r#"Username = "chris" , realm="""#, Ok("chris")),
        (r#"username="a\"b\\c,d""#, Ok(r#"a"b\c,d"#)),
        (r#"username=chris"#, Ok("chris")),
        (r#"username="chris",authzid="chris""#, Ok("chris")),
        (r#"username="chris",authzid="""#, Ok("chris")),
        (r#"username="chris",authzid="root""#, Err(ForeignAuthzid)),
        (r#"username="chris",AUTHZID="root""#, Err(ForeignAuthzid)),
        (r#"username="chris",username="root""#, Err(Malformed)),
        (
            r#"username="chris",authzid="chris",authzid="root""#,
            Err(Malformed),
        ),
        (r#"username="chris"#, Err(Malformed)),
        (r#"username="chris"x"#, Err(Malformed)),
        (r#"realm="e.org""#, Err(Malformed)),
        (r#"username="",realm="e.org""#, Err(NoUser)),
        ("username=\"a\0\"", Err(Malformed)),
    ] {
        let message = format!("{head},{tail}");
        let expected = expected.map(str::to_owned);
        assert_eq!(user(RelayedMechanism::DigestMd5, &message), expected, "{head}");
    }
    // What looks like a directive inside a string is none.
    let hidden = r#"cnonce="x,username=root",username="chris""#;
    assert_eq!(user(RelayedMechanism::DigestMd5, hidden), Ok("chris".to_owned()));
    assert_eq!(user(RelayedMechanism::DigestMd5, ""), Err(Malformed));
}

#[test]
fn tokens() {
    use RelayedMechanism::{OAuthBearer, XOauth2};
    let token = "\x01auth=Bearer tok\x01\x01";
    let hosted = "\x01host=imap.e.org\x01port=993\x01auth=Bearer tok\x01\x01";
    for (mechanism, message, expected) in [
        (XOauth2, format!("user=jane@e.org{token}"), Ok("jane@e.org")),
        (XOauth2, format!("user={token}"), Err(NoUser)),
        (XOauth2, "user=jane@e.org\x01\x01".into(), Err(Malformed)),
        (
            XOauth2,
            "user=jane@e.org\x01auth=Bearer tok\x01".into(),
            Err(Malformed),
        ),
        (XOauth2, format!("n,a=jane,{token}"), Err(Malformed)),
        (OAuthBearer, format!("n,a=jane@e.org,{hosted}"), Ok("jane@e.org")),
        (OAuthBearer, format!("y,a=a=2Cb=3Dc,{token}"), Ok("a,b=c")),
        (OAuthBearer, format!("n,,{token}"), Err(NoUser)),
        (OAuthBearer, format!("n,a=,{token}"), Err(NoUser)),
        (OAuthBearer, format!("p=x,a=jane,{token}"), Err(ChannelBinding)),
        (
            OAuthBearer,
            "n,a=jane,auth=Bearer tok\x01\x01".into(),
            Err(Malformed),
        ),
        (OAuthBearer, format!("user=jane{token}"), Err(Malformed)),
    ] {
        let shown = message.escape_default();
        assert_eq!(user(mechanism, &message), expected.map(str::to_owned), "{shown}");
    }
}

#[test]
fn a_token_message_is_the_clients_with_the_name_that_the_remote_knows() {
    let rest = Secret::copy_from(b"\x01auth=Bearer tok\x01\x01");
    let message = |mechanism: RelayedMechanism, user: &[u8]| {
        let message = mechanism.bearer_message(user, &rest);
        String::from_utf8(message.expose().to_vec()).unwrap()
    };
    assert_eq!(
        message(RelayedMechanism::XOauth2, b"jane"),
        "user=jane\x01auth=Bearer tok\x01\x01"
    );
    assert_eq!(
        message(RelayedMechanism::OAuthBearer, b"a,b=c"),
        "n,a=a=2Cb=3Dc,\x01auth=Bearer tok\x01\x01"
    );
    assert_eq!(message(RelayedMechanism::CramMd5, b"jane"), "");
}

// Fills MESSAGE_LIMIT.
#[test]
fn long_messages_are_told_from_bad_ones() {
    let long = format!("n,,n={},r=x", "u".repeat(MESSAGE_LIMIT));
    assert_eq!(user(RelayedMechanism::ScramSha1, &long), Err(Unreadable::TooLong));
    let long = format!("user=jane\x01auth=Bearer {}\x01\x01", "t".repeat(MESSAGE_LIMIT));
    assert_eq!(user(RelayedMechanism::XOauth2, &long), Err(Unreadable::TooLong));
}

proptest! {
    #[test]
    fn a_bearer_message_reads_back(name in "[ -~é]{1,40}", token in "[!-~]{1,60}") {
        let rest = Secret::from(format!("\x01auth=Bearer {token}\x01\x01").into_bytes());
        for mechanism in [RelayedMechanism::XOauth2, RelayedMechanism::OAuthBearer] {
            let message = mechanism.bearer_message(name.as_bytes(), &rest);
            let read = mechanism.bearer(message.expose()).unwrap();
            prop_assert_eq!(read.user, name.as_bytes());
            prop_assert_eq!(read.rest.expose(), rest.expose());
        }
    }

    #[test]
    fn any_bytes_are_read(message in prop::collection::vec(prop_oneof![
        any::<u8>(),
        prop::sample::select(&b"nya=,r\x01user\"\\ "[..]),
    ], 0..200)) {
        for mechanism in RelayedMechanism::ALL {
            let _ = mechanism.user_in(&message);
        }
    }
}
