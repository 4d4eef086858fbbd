//! What a page shows of a file in `contrib/`, line by line.

use std::fs;

/// The rules of Sendmail, without their comments.
#[test]
fn the_page_of_sendmail_has_the_rules() {
    let page = fs::read_to_string("docs/sendmail.md").unwrap();
    let shown: Vec<&str> = page.lines().map(str::trim_start).collect();
    let file = fs::read_to_string("contrib/sendmail/vouch.m4").unwrap();
    let rules = file.lines().filter(|line| !line.starts_with("dnl"));
    let rules: Vec<&str> = rules.collect();
    assert!(rules.len() > 9, "{rules:?}");
    assert!(
        shown.windows(rules.len()).any(|lines| lines == rules),
        "docs/sendmail.md shows other rules than contrib/sendmail/vouch.m4"
    );
}
