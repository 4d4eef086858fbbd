//! vouch(8).

use super::bounds::{Bound, Group};
use super::roff::Page;

/// The page, with these bounds.
pub fn page(bounds: &[Group]) -> String {
    let mut page = Page::new("vouch", 8, "System Manager's Manual");
    page.section("NAME");
    page.text("vouch - vouches for a login or a recipient by asking the mail server that knows");
    limits(&mut page, bounds);
    page.into_text()
}

fn limits(page: &mut Page, bounds: &[Group]) {
    page.section("LIMITS");
    page.text(
        "Everything that could grow or wait has a bound. Where a key is named, it is the key of `vouch.toml`(5) that \
         changes it, and the number is its default; else the number is fixed. A question that meets a bound gets no \
         answer, which the client hears as \"later\"; never a no.",
    );
    for Group { title, bounds } in bounds {
        page.part(title);
        let rows: Vec<_> = bounds.iter().map(columns).collect();
        page.table(
            &[24, 18],
            ["What", "Bound", "Beyond it, and why this much"],
            &rows,
        );
    }
}

fn columns(bound: &Bound) -> [String; 3] {
    let limit = &bound.limit;
    let what = if limit.key.is_empty() {
        sentence(bound.what)
    } else {
        format!("{} (`{}`)", sentence(bound.what), limit.key)
    };
    let beyond = [bound.beyond, bound.why]
        .into_iter()
        .filter(|text| !text.is_empty());
    let beyond: String = beyond.map(|text| format!("{}. ", sentence(text))).collect();
    [what, limit.text.clone(), beyond]
}

/// With a capital letter.
fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(characters).collect()
}
