//! Templates, against a second way to fill them in.

use vouch::template::{Filling, Template};

use crate::input;

/// The template in the first line, then name, service, address and session, one a line.
pub fn run(input: &[u8]) {
    let ([text, user, service, rip, session], _) = input::lines(input);
    let text = input::text(text);
    let (service, rip, session) = (input::text(service), input::text(rip), input::text(session));
    let name = Template::parse(&text);
    let request = Template::parse_for_request(&text);
    if let Ok(template) = &name {
        assert_eq!(request.as_ref(), Ok(template));
    }
    let Ok(template) = request else { return };
    assert_eq!(template.to_string(), text);
    assert_eq!(template.as_text(), (!text.contains('{')).then_some(&*text));

    let at = user.iter().rposition(|&byte| byte == b'@');
    let (local, domain) = at.map_or((user, None), |at| (&user[..at], Some(&user[at + 1..])));
    let mut expected = Some(Vec::new());
    let mut named = false;
    for (at, part) in text.split(['{', '}']).enumerate() {
        let value = match (at % 2, part) {
            (0, text) => Some(text.as_bytes()),
            (_, "user") => Some(user),
            (_, "local") => Some(local),
            (_, "domain") => domain,
            (_, "service") => Some(service.as_bytes()),
            (_, "rip") => Some(rip.as_bytes()),
            (_, "session") => Some(session.as_bytes()),
            (_, other) => panic!("an unknown place: {other}"),
        };
        named |= at % 2 == 1 && matches!(part, "user" | "local" | "domain");
        expected = expected
            .zip(value)
            .map(|(filled, value)| [&*filled, value].concat());
    }
    let filling = Filling {
        user,
        service: &service,
        rip: &rip,
        session: &session,
    };
    assert_eq!(template.fill(&filling).ok(), expected);
    assert_eq!(template.holds_name(), named);
    assert_eq!(
        name.is_ok(),
        !["{service}", "{rip}", "{session}"]
            .iter()
            .any(|place| text.contains(place))
    );
}
