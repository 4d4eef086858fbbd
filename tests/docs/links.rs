//! Where people are sent.

use std::fs;

use crate::page::{Place, pages, root};
use crate::settle;

#[test]
fn each_link_leads_somewhere() {
    let (mut seen, mut wrong) = (0, Vec::new());
    for page in pages() {
        let folder = page.path.parent().unwrap();
        for line in page.lines.iter().filter(|line| line.place == Place::Text) {
            for link in line
                .text
                .split("](")
                .skip(1)
                .filter_map(|rest| rest.split(')').next())
            {
                if link.contains("://") {
                    continue;
                }
                seen += 1;
                let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
                let target = if file.is_empty() {
                    page.path.clone()
                } else {
                    folder.join(file)
                };
                let there = fs::read_to_string(root().join(&target));
                let anchors = || {
                    there
                        .iter()
                        .flat_map(|text| text.lines())
                        .any(|line| slug(line) == anchor)
                };
                if !root().join(&target).exists() || !anchor.is_empty() && !anchors() {
                    wrong.push(format!("{}: {link}", page.at(line.number)));
                }
            }
        }
        for (number, code) in page.code() {
            let is_path = ["contrib/", "docs/", "src/", "tests/", "benches/", "protocol/"]
                .iter()
                .any(|start| code.starts_with(start));
            // Arguments, and `{a,b}`, are for a shell.
            if is_path && !code.contains([' ', '{', '*', '<']) {
                seen += 1;
                if !root().join(code.trim_end_matches('/')).exists() {
                    wrong.push(format!("{}: {code}", page.at(number)));
                }
            }
        }
    }
    settle(seen, 60, &wrong);
}

/// The name by which a heading is linked to.
fn slug(heading: &str) -> String {
    let text = heading.trim_start_matches('#');
    if text.len() == heading.len() {
        return String::new();
    }
    let kept = text
        .trim()
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

#[test]
fn each_page_is_in_the_index() {
    let index = fs::read_to_string(root().join("docs/README.md")).unwrap();
    for page in pages() {
        let name = page.path.file_name().unwrap().to_str().unwrap();
        assert!(
            name == "README.md" || index.contains(&format!("]({name})")),
            "{name}"
        );
    }
}
