//! transport(5), line by line.

use super::super::map::Route;
use super::*;
use crate::address::Domain;

/// Server or way, for an address.
fn found(map: &Map, address: &str) -> String {
    let (local, domain) = address.rsplit_once('@').unwrap();
    match map.find(local.as_bytes(), &Domain::parse(domain).unwrap()) {
        Some(Route::Server(server)) => server.to_string(),
        Some(Route::Kept(kept)) => format!("kept {}", kept.way),
        None => "-".to_owned(),
    }
}

fn of_value(value: &str) -> String {
    found(&parse(&format!("d.example {value}\n")).unwrap(), "jane@d.example")
}

#[test]
fn results() {
    for (value, expected) in [
        ("smtp:[mail.example.org]", "smtp:mail.example.org"),
        ("smtp:[mail.example.org]:2525", "smtp:mail.example.org:2525"),
        ("relay:[192.0.2.7]", "smtp:192.0.2.7"),
        ("smtp:[IPv6:2001:db8::1]:587", "smtp:[2001:db8::1]:587"),
        ("smtp:[2001:db8::1]", "smtp:2001:db8::1"),
        (
            "smtp:[a.example], [b.example]:26 [c.example]", "smtp:a.example, b.example:26, c.example",
        ),
        (":[gateway.example.com]", "smtp:gateway.example.com"),
        ("relay:[mail.example.org]:submission", "smtp:mail.example.org:587"),
        ("lmtp:inet:mail.example.org:24", "lmtp:mail.example.org:24"),
        ("lmtp:inet:[mail.example.org]", "lmtp:mail.example.org"),
        ("lmtp:mail.example.org:2424", "lmtp:mail.example.org:2424"),
        ("lmtp:[::1]:24", "lmtp:[::1]:24"),
        ("lmtp:unix:/run/dovecot/lmtp", "lmtp:/run/dovecot/lmtp"),
        (
            "lmtp:unix:private/dovecot-lmtp", "lmtp:/var/spool/postfix/private/dovecot-lmtp",
        ),
        ("smtp:mail.example.org", "smtp:mx:mail.example.org"),
        ("relay:mail.example.org:2525", "smtp:mx:mail.example.org:2525"),
        ("smtp:192.0.2.7", "smtp:192.0.2.7"),
        ("smtp:", "smtp:mx:d.example"),
        ("relay", "smtp:mx:d.example"),
        (
            "smtp:[a.example], b.example", "kept smtp: with several next hops, one by its MX",
        ),
        ("lmtp:", "kept lmtp: with no next hop"),
        (":", "kept :"),
        ("local:", "kept local:"),
        ("local:$myhostname", "kept local:"),
        ("virtual:", "kept virtual:"),
        (
            "error:5.1.1 mail for *.example.com is not deliverable", "kept error:",
        ),
        ("discard:silently", "kept discard:"),
        ("retry:4.3.0 later", "kept retry:"),
        ("uucp:example", "kept uucp:"),
        ("dovecot-pipe:", "kept dovecot-pipe:"),
        ("SMTP:[a.example]", "kept SMTP:"),
    ] {
        assert_eq!(of_value(value), expected, "{value}");
    }
}

#[test]
fn nobody_is_called_by_the_mx_of_whatever_a_pattern_stands_for() {
    let map = parse("* smtp:\n.below.example relay:\njane@user.example smtp:\n").unwrap();
    for (address, expected) in [
        (
            "a@any.example", "kept smtp: with no next hop (each domain's own MX)",
        ),
        (
            "a@x.below.example", "kept relay: with no next hop (each domain's own MX)",
        ),
        ("jane@user.example", "smtp:mx:user.example"),
    ] {
        assert_eq!(found(&map, address), expected, "{address}");
    }
    assert_eq!(map.first_by_mx(), Some(1));
    let map = parse("a.example smtp:[a.example]\nb.example smtp:b.example\n").unwrap();
    assert_eq!(map.first_by_mx(), Some(2));
    assert_eq!(parse("a.example smtp:[a.example]\n").unwrap().first_by_mx(), None);
}

#[test]
fn a_kept_domain_never_falls_through() {
    let map = parse(
        "* smtp:[rest.example]\n.example.org smtp:[below.example]\nown.example.org local:\n.error.example error:no\n\
         jane@own.example.org smtp:[jane.example]\n",
    )
    .unwrap();
    for (address, expected) in [
        ("joe@own.example.org", "kept local:"),
        ("jane@own.example.org", "smtp:jane.example"),
        ("joe@a.own.example.org", "smtp:below.example"),
        ("joe@a.error.example", "kept error:"),
        ("joe@error.example", "smtp:rest.example"),
    ] {
        assert_eq!(found(&map, address), expected, "{address}");
    }
    let kept: Vec<_> = map
        .kept()
        .iter()
        .map(|kept| (kept.way.as_str(), kept.count, kept.line, kept.pattern.as_str()))
        .collect();
    assert_eq!(
        kept,
        [
            ("local:", 1, 3, "own.example.org"),
            ("error:", 1, 4, ".error.example")
        ]
    );
}

#[test]
fn lines_go_on_and_comments_do_not_count() {
    let map = parse(
        "# example\n  # indented\n\nexample.org\n# between\n   smtp:[a.example],\n\n\t[b.example]\nExample.NET\tlmtp:unix:/x # y\n\
         \"jane doe\"@example.org smtp:[c.example]\n\"joe \\\"doe@example.org\" smtp:[d.example]\n",
    );
    // A comment does not end a line: what stands behind the `#` is part of the value, as for Postfix.
    let faults: Vec<_> = map
        .unwrap_err()
        .into_iter()
        .map(|fault| (fault.line, fault.why.to_string()))
        .collect();
    assert_eq!(
        faults,
        [(9, "`#` is neither a host name nor an IP address".to_owned())]
    );
    let map = parse(
        "example.org\n# between\n   smtp:[a.example],\n\n\t[b.example]\n\"joe \\\"doe@example.org\" smtp:[d.example]\n",
    );
    let map = map.unwrap();
    assert_eq!(found(&map, "x@example.org"), "smtp:a.example, b.example");
    assert_eq!(found(&map, "Joe \"doe@example.org"), "smtp:d.example");
}

#[test]
fn what_has_no_effect_is_told_and_nothing_more() {
    let map = parse(
        "example.org smtp:[a.example]\nEXAMPLE.org smtp:[b.example]\n@example.org smtp:[c.example]\n\
         [192.0.2.1] smtp:[d.example]\njane@[192.0.2.1] local:\n",
    )
    .unwrap();
    assert_eq!(found(&map, "x@example.org"), "smtp:a.example");
    let unused: Vec<_> = map
        .unused
        .iter()
        .map(|it| (it.line, it.pattern.as_str(), it.why.as_str()))
        .collect();
    let nobody = "no recipient in a domain matches it";
    assert_eq!(
        unused,
        [
            (2, "example.org", "given on line 1 already, which Postfix uses"),
            (3, "@example.org", nobody),
            (4, "[192.0.2.1]", nobody),
            (5, "jane@[192.0.2.1]", nobody),
        ]
    );
    assert_eq!((map.len(), map.unused_count), (1, 4));
}

#[test]
fn every_wrong_line_is_told_with_its_number() {
    let text = "example.org\n/^.*$/ smtp:[a.example]\na.example smtp:[b.example]:70000\nb.example smtp:[b/c]\n\
                c.example lmtp:[a.example]:what\n\"d.example smtp:\n";
    let faults: Vec<_> = parse(text)
        .unwrap_err()
        .into_iter()
        .map(|fault| format!("{}: {}", fault.line, fault.why))
        .collect();
    assert_eq!(
        faults,
        [
            "1: `example.org` has no transport behind it",
            "2: `/^.*$/` is a line of a regular-expression table: only the text of an indexed one (hash, lmdb, texthash) \
             can be read",
            "3: `[b.example]:70000`: the port must be 1 to 65535",
            "4: `[b/c]` is neither a host name nor an IP address",
            "5: `[a.example]:what`: the port must be a number",
            "6: `\"d.example smtp:` has no closing quote",
        ]
    );
}
