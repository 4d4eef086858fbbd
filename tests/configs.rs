//! Configurations, good and bad, each with what must be said about it: `NAME.toml` in `tests/configs/good`
//! and its description in `NAME.txt`; in `tests/configs/bad`, the message it must give.
//! `VOUCH_BLESS=1 cargo test --test configs` writes the texts anew; read the difference before you believe it.

use std::{fs, path::Path};

use vouch::config::{read, show};

fn same_as_kept(path: &Path, said: &str) -> datatest_stable::Result<()> {
    let kept = path.with_extension("txt");
    if std::env::var_os("VOUCH_BLESS").is_some_and(|value| value == "1") {
        fs::write(&kept, said)?;
        return Ok(());
    }
    let expected = fs::read_to_string(&kept).map_err(|why| format!("{}: {why}", kept.display()))?;
    if said == expected {
        return Ok(());
    }
    Err(format!("not as in {}; it said:\n{said}", kept.display()).into())
}

/// The name alone, so that no message depends on where the tests run.
fn name(path: &Path) -> &Path {
    path.file_name().map_or(path, Path::new)
}

fn good(path: &Path, text: String) -> datatest_stable::Result<()> {
    let (config, notes) = read::parse(name(path), &text)?;
    same_as_kept(path, &show::describe(&config, &notes, true))
}

fn bad(path: &Path, text: String) -> datatest_stable::Result<()> {
    match read::parse(name(path), &text) {
        Ok(_) => Err("was taken".into()),
        Err(error) => same_as_kept(path, &format!("{error}\n")),
    }
}

datatest_stable::harness! {
    { test = good, root = "tests/configs/good", pattern = r"\.toml$" },
    { test = bad, root = "tests/configs/bad", pattern = r"\.toml$" },
}
