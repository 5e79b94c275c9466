//! Texts for parsers: a right parser is right on all of them, and what is wrong is told from each other.

mod common;

use common::{Dir, run, skip};
use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use std::process::Output;

/// The storm's own parser as a program. cargo builds examples beside tests, unless one test is named.
fn own_parser() -> Option<String> {
    let test = std::env::current_exe().unwrap();
    let built: PathBuf = test.ancestors().nth(2).unwrap().join("examples/parser_own");
    if !built.exists() {
        skip("the example parser_own is not built: cargo build --examples");
        return None;
    }
    Some(built.to_str().unwrap().to_owned())
}

fn consumer(flags: &[&str], command: &[&str]) -> Output {
    run([&["consumer"], flags, &["--"], command].concat())
}

/// What became of each text, by its name.
fn outcomes(output: &Output) -> Vec<(String, String)> {
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let report: Value = serde_json::from_slice(&output.stdout).expect(&told);
    let word = |text: &Value, key: &str| text[key].as_str().unwrap().to_owned();
    let texts = report["texts"].as_array().unwrap();
    texts.iter().map(|text| (word(text, "name"), word(text, "outcome"))).collect()
}

#[test]
fn the_storms_own_parser_is_right_on_all_of_them() {
    let Some(own) = own_parser() else { return };
    let output = consumer(&["--smaps", "--format", "json"], &[&own]);
    let wrong: Vec<_> = outcomes(&output).into_iter().filter(|(_, word)| word != "right").collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn what_a_parser_gets_wrong_is_told_in_its_word() {
    let Some(own) = own_parser() else { return };
    let dir = Dir::new();
    let made = run(["corpus", dir.path().to_str().unwrap()]);
    assert_eq!(made.status.code(), Some(0), "{}", String::from_utf8_lossy(&made.stderr));
    let corpus = dir.path().to_str().unwrap();
    let of_special = |script: &str| {
        let script = script.replace("OWN", &own);
        let output = consumer(
            &["--corpus", corpus, "--format", "json", "--timeout", "1"],
            &["sh", "-c", &script],
        );
        assert_eq!(output.status.code(), Some(1), "{script}");
        let mut found = outcomes(&output).into_iter();
        found.find(|(name, _)| name == "special-names").unwrap().1
    };
    assert_eq!(of_special("OWN | sed 2d"), "lost");
    assert_eq!(of_special("OWN | sed '2s/\tr/\t-/'"), "altered");
    assert_eq!(of_special("OWN | tr 'a-f' 'b-g'"), "altered");
    assert_eq!(of_special("grep -q SYSV && { echo cannot >&2; exit 3; }; true"), "error");
    assert_eq!(of_special("kill -SEGV $$"), "crash");
    assert_eq!(of_special("grep -q SYSV && exec sleep 60"), "crash");
}

#[test]
fn each_text_lies_beside_what_is_in_it() {
    let dir = Dir::new();
    run(["corpus", dir.path().to_str().unwrap()]);
    let names = |ext: &str| {
        let files = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path());
        files.filter(|path| path.extension().is_some_and(|own| own == ext)).count()
    };
    assert!(names("json") > 20, "{}", names("json"));
    assert_eq!(names("json"), names("maps") + names("smaps"));
    let newline = fs::read_to_string(dir.join("newline.maps")).unwrap();
    assert!(newline.contains(r"one\012two"), "{newline}");
}

#[test]
fn what_cannot_be_tried_is_refused() {
    let none = consumer(&[], &["/nowhere/parser"]);
    assert_eq!(none.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&none.stderr).contains("/nowhere/parser"));
    let dir = Dir::new();
    let empty = consumer(&["--corpus", dir.path().to_str().unwrap()], &["cat"]);
    assert_eq!(empty.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&empty.stderr).contains("mapstorm corpus"));
    fs::write(dir.join("cut.json"), "{").unwrap();
    let cut = consumer(&["--corpus", dir.path().to_str().unwrap()], &["cat"]);
    assert!(String::from_utf8_lossy(&cut.stderr).contains("cut.json"));
}
