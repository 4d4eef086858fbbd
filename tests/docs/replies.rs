//! What `docs/replies.md` shows is what `vouch probe reply` prints.

use std::path::PathBuf;
use std::process::Command;

use crate::commands::calls;
use crate::page::{Place, page};
use crate::settle;

#[test]
fn replies_are_read_as_the_page_shows() {
    let page = page(PathBuf::from("docs/replies.md"));
    let mut blocks: Vec<(String, String)> = Vec::new();
    let mut last = 0;
    for line in &page.lines {
        if let Place::Block(kind, number) = &line.place {
            if *number != last {
                blocks.push((kind.clone(), String::new()));
                last = *number;
            }
            let text = &mut blocks.last_mut().unwrap().1;
            text.push_str(&line.text);
            text.push('\n');
        }
    }
    let (mut looked_at, mut wrong) = (0, Vec::new());
    for pair in blocks.windows(2) {
        let [(sh, command), (text, shown)] = pair else {
            continue;
        };
        if sh != "sh" || text != "text" {
            continue;
        }
        for call in calls(command.trim()) {
            let output = Command::new(env!("CARGO_BIN_EXE_vouch"))
                .args(&call[1..])
                .output()
                .unwrap();
            looked_at += 1;
            let printed = String::from_utf8(output.stdout).unwrap();
            if printed != *shown {
                wrong.push(format!("{command}{printed}"));
            }
        }
    }
    settle(looked_at, 2, &wrong);
}
