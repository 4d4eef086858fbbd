use super::*;
use crate::settings::directory::{MAX_PHRASE, MAX_PHRASES};
use crate::settings::earlier::{EARLIER, Earlier};

/// Holds every key.
const FULL: &str = include_str!("../../../tests/configs/good/full.toml");

#[test]
fn no_text_makes_it_panic() {
    // Cut anywhere, and every byte changed into what TOML minds.
    for at in 0..FULL.len() {
        if let Some(cut) = FULL.get(..at) {
            let _ = parse(Path::new("cut.toml"), cut).map_err(|error| error.to_string());
        }
    }
    for noise in ["\"", "[", "]", "{", "=", ".", "\n", "0", "\u{fc}", "\u{0}"] {
        for at in (0..FULL.len()).step_by(7).filter(|at| FULL.is_char_boundary(*at)) {
            let (before, after) = FULL.split_at(at);
            let text = format!("{before}{noise}{after}");
            let _ = parse(Path::new("noise.toml"), &text).map_err(|error| error.to_string());
        }
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("vouch.toml");
    let error = load(&path).unwrap_err().to_string();
    assert_eq!(
        error,
        format!(
            "error: cannot read {}: No such file or directory (os error 2)",
            path.display()
        )
    );
    std::fs::write(&path, b"\xff").unwrap();
    assert!(load(&path).is_err());
    std::fs::write(&path, "").unwrap();
    assert!(load(&path).is_ok());
}

// Fills MOST_PROBLEMS.
#[test]
fn many_errors_are_told_in_part() {
    let text: String = (0..50).map(|number| format!("key-{number} = 1\n")).collect();
    let error = parse(Path::new("many.toml"), &text).unwrap_err().to_string();
    assert_eq!(error.matches("unknown key").count(), 20);
    assert!(error.ends_with("error: and 30 more"), "{error}");
}

// Fills domains::LONGEST_FILE.
#[test]
fn a_file_that_is_too_long_is_not_read_to_its_end() {
    let error = load(Path::new("/dev/zero")).unwrap_err().to_string();
    assert_eq!(error, "error: cannot read /dev/zero: longer than 64 MiB");
}

#[test]
fn nothing_in_a_file_reaches_a_terminal_as_an_order() {
    for text in [
        "\u{9b}2J = 1\n", "\"\\u009b2J\" = 1\n", "log.level = \"\\u009b2J\"\n", "a = \u{9b}\n",
    ] {
        let error = parse(Path::new("a\u{9b}b"), text).unwrap_err().to_string();
        assert!(
            !error.contains(|c: char| c.is_control() && c != '\n'),
            "{error:?}"
        );
    }
}

#[test]
fn each_says_what_to_write() {
    for Earlier { table, key, now, .. } in &EARLIER {
        let table = table.replace("NAME", "\"a b\"");
        let text = if table.is_empty() {
            format!("[{key}.x]\ny = 1\n")
        } else {
            format!("[{table}]\ntype = 'lmtp'\naddress = 'a.example'\n{key} = 1\n")
        };
        let error = parse(Path::new("old.toml"), &text).unwrap_err();
        let shown = error.to_string();
        assert!(
            shown.contains("a key of Stalwart") && shown.contains(now),
            "{shown}"
        );
        assert!(error.brief().contains(now), "{}", error.brief());
    }
}

/// `tests/configs/earlier` has a file with every key of each version that was released: none of them is lost
/// without a word.
#[test]
fn every_key_of_an_earlier_version_is_read_or_said_to_have_changed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/configs/earlier");
    let mut files = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        files += 1;
        let text = std::fs::read_to_string(&path).unwrap();
        let Err(error) = parse(&path, &text) else { continue };
        let shown = error.to_string();
        let unknown = shown.matches("error: unknown key").count();
        assert_eq!(unknown, shown.matches(" a key of ").count(), "{shown}");
    }
    assert!(files > 0);
}

#[test]
fn files_and_names_make_one_set() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("domains");
    std::fs::write(&path, "example.net\nexample.org\n").unwrap();
    let (head, file) = (
        "[directory.a]\ntype = 'lmtp'\naddress = 'a.example'\n",
        path.display(),
    );
    let text = format!("{head}lookup.domains = ['example.org', 'file://{file}']\n");
    let (config, _) = parse(Path::new("a.toml"), &text).unwrap();
    let domains = &config.directory[0].lookup.domains;
    assert_eq!(
        domains.all.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["example.net", "example.org"]
    );
    assert_eq!((domains.listed.len(), &domains.files), (1, &vec![path.clone()]));
    let alone = format!("{head}lookup.domains = 'file://{file}'\n");
    let (config, _) = parse(Path::new("a.toml"), &alone).unwrap();
    assert_eq!(config.directory[0].lookup.domains.all.len(), 2);
}

// Fills MAX_PHRASES, MAX_PHRASE.
#[test]
fn phrases_are_few_and_short() {
    let with = |phrases: &str| {
        let text = format!(
            "[directory.a]\ntype = 'lmtp'\naddress = 'a.example'\n[directory.a.replies]\nfull = {phrases}\n"
        );
        parse(Path::new("a.toml"), &text)
    };
    let list = |phrase: &str, count: usize| format!("['{}']", vec![phrase; count].join("', '"));
    assert!(with(&list("a * b", MAX_PHRASES)).is_ok());
    assert!(with(&list("a * b", MAX_PHRASES + 1)).is_err());
    assert!(with(&list(&"a".repeat(MAX_PHRASE), 1)).is_ok());
    for wrong in [
        list(&"a".repeat(MAX_PHRASE + 1), 1),
        list(" * ", 1),
        list("", 1),
        "1".into(),
    ] {
        assert!(with(&wrong).is_err(), "{wrong}");
    }
}
