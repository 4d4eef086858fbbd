//! Tables: a line that follows one without an empty line between them is shown as a row of it.

use crate::page::{Place, pages};
use crate::settle;

#[test]
fn a_table_ends_and_begins_at_an_empty_line() {
    let (mut rows, mut wrong) = (0, Vec::new());
    for page in pages() {
        let text = page.lines.iter().filter(|line| line.place == Place::Text);
        let lines: Vec<_> = text.collect();
        for [line, next] in lines.array_windows() {
            let is_row = |text: &str| text.trim_start().starts_with('|');
            rows += usize::from(is_row(&line.text));
            let are_apart = line.text.trim().is_empty() || next.text.trim().is_empty();
            if is_row(&line.text) != is_row(&next.text) && !are_apart && next.number == line.number + 1 {
                wrong.push(format!("{}:{}: {}", page.path.display(), next.number, next.text));
            }
        }
    }
    settle(rows, 500, &wrong);
}
