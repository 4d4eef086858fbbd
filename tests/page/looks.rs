//! The page as a browser shows it.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::browser::{Browser, Eyes, program};
use crate::hour::{HOSTILE, Hour, Names, SENSIBLE};

const DESK: Eyes = Eyes {
    screen: (1280, 900),
    density: 1,
    dark: false,
    vision: "none",
};

const PHONE: Eyes = Eyes {
    screen: (360, 740),
    density: 2,
    ..DESK
};

/// What reaches out of the screen, but for what has a bar of its own to move it by; and that bar is for what is folded
/// up at first alone.
const OVERFLOWING: &str = "(() => {
    const width = document.documentElement.clientWidth;
    const wide = [...document.querySelectorAll('body *')].filter(it => !it.closest('.heard, defs'))
        .filter(it => !it.closest('details .scroll') && it.getBoundingClientRect().right > width + 0.5);
    const moved = [...document.querySelectorAll('.scroll')].filter(it => !it.closest('details'))
        .filter(it => it.scrollWidth > it.clientWidth);
    const whole = document.documentElement.scrollWidth > width ? ['the page'] : [];
    return whole.concat([...wide, ...moved].map(it => it.outerHTML.slice(0, 200)));
})()";

/// Letters and signs that are too much like their ground (WCAG 2.2, 1.4.3 and 1.4.11).
const PALE: &str = "(() => {
    const numbers = colour => colour.match(/[0-9.]+/g).map(Number);
    const light = colour => {
        const [red, green, blue] = numbers(colour).slice(0, 3).map(part => part / 255)
            .map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
    };
    const ground = it => {
        for (; it; it = it.parentElement) {
            const colour = getComputedStyle(it).backgroundColor;
            if (numbers(colour)[3] !== 0) return colour;
        }
        return 'rgb(255, 255, 255)';
    };
    const contrast = (one, other) => {
        const [low, high] = [light(one), light(other)].sort((a, b) => a - b);
        return (high + 0.05) / (low + 0.05);
    };
    const pale = [];
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
        const it = texts.currentNode.parentElement, style = getComputedStyle(it);
        if (!texts.currentNode.data.trim() || it.closest('.heard, title, desc')) continue;
        const ratio = contrast(it.closest('svg') ? style.fill : style.color, ground(it));
        if (ratio < 4.5) pale.push(`${texts.currentNode.data}: ${ratio}`);
    }
    const card = ground(document.querySelector('article'));
    for (const name of ['accept', 'reject-full', 'defer-full', 'abstain-full']) {
        const ratio = contrast(getComputedStyle(document.querySelector('.' + name)).fill, card);
        if (ratio < 3) pale.push(`${name}: ${ratio}`);
    }
    for (const name of ['half', 'most']) {
        const ratio = contrast(getComputedStyle(document.querySelector('.' + name)).stroke, card);
        if (ratio < 3) pale.push(`${name}: ${ratio}`);
    }
    return pale;
})()";

/// Rows of cards with a hole: of several heights, or not as wide as there is room.
const HOLES: &str = "[...document.querySelectorAll('.cards')].flatMap(cards => {
    const places = [...cards.children].map(it => it.getBoundingClientRect());
    const whole = cards.getBoundingClientRect();
    return [...new Set(places.map(it => it.top))].filter(top => {
        const row = places.filter(it => it.top === top);
        const right = Math.max(...row.map(it => it.right)), heights = row.map(it => it.height);
        return right < whole.right - 1 || Math.max(...heights) > Math.min(...heights) + 1;
    }).map(top => `${cards.parentElement.firstChild.textContent} at ${top}`);
})";

/// Areas and lines that can be seen, by their class.
const DRAWN: &str = "[...document.querySelectorAll('.chart rect[clip-path], .chart path')].filter(it => {
    const place = it.getBoundingClientRect();
    return place.width > 50 && place.height > 1;
}).map(it => it.getAttribute('class'))";

/// Where the pictures go. `docs/status-page.png` is `tablet-first`, made where the host's name is mx.example.org
/// (`unshare --uts`), in 64 colours (`pngquant 64`).
fn picture(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("page");
    fs::create_dir_all(&folder).unwrap();
    folder.join(format!("{name}.png"))
}

/// Has a browser look at a daemon after so many minutes, if there is a browser.
async fn look(names: Names, minutes: u64, at: impl FnOnce(&mut Browser, &str) + Send + 'static) {
    let Some(program) = program() else { return };
    let mut hour = Hour::new(&names).await;
    hour.pass(minutes).await;
    let url = format!("http://127.0.0.1:{}/", hour.serve().await);
    let looking = tokio::task::spawn_blocking(move || at(&mut Browser::start(&program), &url));
    looking.await.unwrap();
}

/// Nothing is too wide, no place is empty, nothing is pale, and nothing was fetched but the page.
fn is_well(browser: &mut Browser, url: &str) {
    assert_eq!(strings(&browser.evaluate(OVERFLOWING)), [""; 0]);
    assert_eq!(strings(&browser.evaluate(HOLES)), [""; 0]);
    assert_eq!(strings(&browser.evaluate(PALE)), [""; 0]);
    // By this picture the browser itself shows what others do not see.
    let filter =
        "data:image/svg+xml,<svg xmlns=\"http://www.w3.org/2000/svg\"><filter id=\"f\"><feColorMatrix";
    let requests = browser.requests();
    let requests: Vec<_> = requests.iter().filter(|it| !it.starts_with(filter)).collect();
    assert_eq!(requests, [url]);
    assert_eq!(browser.complaints(), [""; 0]);
}

fn strings(list: &Value) -> Vec<&str> {
    list.as_array()
        .unwrap()
        .iter()
        .map(|it| it.as_str().unwrap())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn it_suits_desk_and_phone_day_and_night_and_all_eyes() {
    look(SENSIBLE, 65, |browser, url| {
        for (name, eyes) in [
            ("desk", DESK),
            ("desk-dark", Eyes { dark: true, ..DESK }),
            (
                "tablet",
                Eyes {
                    screen: (1024, 768),
                    ..DESK
                },
            ),
            ("phone", PHONE),
            ("phone-dark", Eyes { dark: true, ..PHONE }),
            (
                "deuteranopia",
                Eyes {
                    vision: "deuteranopia",
                    ..DESK
                },
            ),
            (
                "protanopia",
                Eyes {
                    vision: "protanopia",
                    ..DESK
                },
            ),
            (
                "tritanopia",
                Eyes {
                    vision: "tritanopia",
                    ..DESK
                },
            ),
            (
                "achromatopsia",
                Eyes {
                    vision: "achromatopsia",
                    ..DESK
                },
            ),
        ] {
            browser.open(url, &eyes);
            fs::write(picture(name), browser.picture(true)).unwrap();
            is_well(browser, url);
            let drawn = browser.evaluate(DRAWN);
            for class in [
                "accept", "reject", "defer", "abstain", "answered", "unanswered", "half", "most",
            ] {
                assert!(strings(&drawn).contains(&class), "no {class}: {drawn}");
            }
            let shown = browser.evaluate("document.body.innerText");
            for words in [
                "1 of 3 directories gives no answer: imap-berlin.", "mailboxes lmtp", "accept\t11,",
            ] {
                assert!(shown.as_str().unwrap().contains(words), "no {words:?} in {shown}");
            }
            browser.evaluate("document.querySelectorAll('details').forEach(it => it.open = true)");
            assert_eq!(strings(&browser.evaluate(OVERFLOWING)), [""; 0]);
            fs::write(picture(&format!("{name}-open")), browser.picture(true)).unwrap();
            // What is seen first.
            browser.evaluate("document.querySelectorAll('details').forEach(it => it.open = false)");
            fs::write(picture(&format!("{name}-first")), browser.picture(false)).unwrap();
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn names_are_shown_and_do_nothing() {
    look(HOSTILE, 25, |browser, url| {
        for (name, eyes) in [("hostile", DESK), ("hostile-phone", PHONE)] {
            browser.open(url, &eyes);
            fs::write(picture(name), browser.picture(true)).unwrap();
            is_well(browser, url);
            let foreign =
                "document.querySelectorAll('script, img, b, [onerror], [onmouseover], body style').length";
            assert_eq!(browser.evaluate(foreign), 0);
            let shown = browser.evaluate("document.body.innerText");
            for name in [
                HOSTILE.recipients, HOSTILE.logins, HOSTILE.mailboxes, HOSTILE.spare,
            ] {
                assert!(shown.as_str().unwrap().contains(name), "no {name:?} in {shown}");
            }
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn it_says_that_it_knows_nothing_yet() {
    look(SENSIBLE, 0, |browser, url| {
        browser.open(url, &PHONE);
        fs::write(picture("start"), browser.picture(true)).unwrap();
        assert_eq!(strings(&browser.evaluate(OVERFLOWING)), [""; 0]);
        let shown = browser.evaluate("document.body.innerText");
        assert!(
            shown.as_str().unwrap().contains("No history yet: it began "),
            "{shown}"
        );
    })
    .await;
}

/// Each chart has a name and a description, and each table headers of its rows and columns.
#[tokio::test(start_paused = true)]
async fn it_is_heard_as_well() {
    look(SENSIBLE, 65, |browser, url| {
        browser.open(url, &DESK);
        browser.evaluate("document.querySelectorAll('details').forEach(it => it.open = true)");
        let heard = browser.heard();
        let of = |role: &str| -> Vec<_> { heard.iter().filter(|it| it["role"]["value"] == role).collect() };
        let charts = of("image");
        assert_eq!(charts.len(), 8, "{charts:?}");
        for chart in charts {
            let (name, description) = (&chart["name"]["value"], &chart["description"]["value"]);
            assert!(
                name.as_str()
                    .is_some_and(|it| it.contains("Time") || it.contains("over time")),
                "{chart}"
            );
            assert!(
                description
                    .as_str()
                    .is_some_and(|it| it.contains("In all") || it.contains("questions")),
                "{chart}"
            );
        }
        let headings: Vec<_> = of("heading")
            .iter()
            .map(|it| it["name"]["value"].clone())
            .collect();
        let host = nix::unistd::gethostname().unwrap().into_string().unwrap();
        let title = format!("vouch on {host}");
        for heading in [
            &*title, "Listeners", "recipients policy", "Answers, by verdict", "imap-berlin imap",
        ] {
            assert!(headings.contains(&heading.into()), "no {heading} in {headings:?}");
        }
        for table in of("table") {
            assert!(
                table["name"]["value"].as_str().is_some_and(|it| !it.is_empty()),
                "{table}"
            );
        }
        assert!(of("rowheader").len() > 60 && of("columnheader").len() > 30);
        // A sign's meaning is in the words beside it.
        assert!(heard.iter().all(|it| it["role"]["value"] != "graphics-symbol"));
    })
    .await;
}
