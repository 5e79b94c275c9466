//! Saved violations of real kernels, and what `verify` and `explain` have to say of each.
//!
//! tests/tears/ has each as NAME.json, and beside it NAME.expected. A file that was saved by an
//! earlier version stays as it is: it has to load for ever. NAME begins with the kernel; one with
//! `injected` in it was planted by `--inject`. After a change of what is said, run
//! `REWRITE=1 cargo test --test tears`, and read the difference.

mod common;

use common::{Dir, mapstorm, run, text};
use mapstorm::engine::Mode;
use mapstorm::oracle::Mechanism;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Output;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tears")
}

/// The names of the saved files, without their endings.
fn names(ending: &str) -> BTreeSet<String> {
    let files = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name());
    let files = files.map(|name| name.to_str().unwrap().to_owned());
    files.filter_map(|name| name.strip_suffix(ending).map(str::to_owned)).collect()
}

/// What a command says of a file, and how it ends.
fn said(command: &str, name: &str) -> (String, Option<i32>) {
    let mut command = mapstorm([command, &format!("{name}.json")]);
    let Output { status, stdout, stderr } = command.current_dir(folder()).output().unwrap();
    assert_eq!(text(&stderr), "", "{name}");
    (text(&stdout), status.code())
}

/// All that `verify` says, and the paragraphs of `explain` that come before the text that was read:
/// what it is, where it is from, the rule, and the mechanism.
fn account(name: &str) -> String {
    let (verdict, code) = said("verify", name);
    assert_eq!(code, Some(0), "{name}: {verdict}");
    let (story, code) = said("explain", name);
    assert_eq!(code, Some(0), "{name}: {story}");
    let paragraphs: Vec<&str> = story.split("\n\n").take(3).collect();
    format!("{verdict}\n{}\n", paragraphs.join("\n\n"))
}

#[test]
fn each_is_judged_and_told_as_is_written_beside_it() {
    let rewrite = std::env::var_os("REWRITE").is_some();
    let mut different = Vec::new();
    for name in names(".json") {
        let (account, file) = (account(&name), folder().join(format!("{name}.expected")));
        if rewrite {
            std::fs::write(&file, &account).unwrap();
        }
        let expected = std::fs::read_to_string(&file).unwrap_or_default();
        if account != expected {
            different.push(format!("{name}: expected\n{expected}\nbut is\n{account}"));
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
    assert_eq!(names(".json"), names(".expected"), "an expectation of nothing");
}

/// A part of the saved signature: 1 is the mechanism, 3 the way of reading.
fn part(name: &str, at: usize) -> String {
    let saved = std::fs::read_to_string(folder().join(format!("{name}.json"))).unwrap();
    let saved: serde_json::Value = serde_json::from_str(&saved).unwrap();
    saved["signature"].as_str().unwrap().split('/').nth(at).unwrap().to_owned()
}

#[test]
fn there_is_one_of_every_mechanism_seen_and_of_every_way_of_reading() {
    let real: Vec<String> =
        names(".json").into_iter().filter(|name| !name.contains("injected")).collect();
    assert!(real.len() >= 12, "{real:?}");
    let parts = |at| real.iter().map(|name| part(name, at)).collect::<BTreeSet<String>>();
    let (mechanisms, ways) = (parts(1), parts(3));
    for mechanism in [
        Mechanism::ReplacedInFlight,
        Mechanism::SkippedAfterMerge,
        Mechanism::SkippedAfterSplit,
        Mechanism::ToldTwice,
        Mechanism::GapThenVma,
        Mechanism::LineByLine,
    ] {
        assert!(mechanisms.contains(mechanism.word()), "none of {}", mechanism.word());
    }
    for mode in Mode::ALL {
        assert!(ways.contains(mode.word()), "none of {}", mode.word());
    }
}

/// Each stands on the layouts that it has: without them nothing is proved.
#[test]
fn none_is_proved_when_nothing_was_mapped() {
    let dir = common::Dir::new();
    for name in names(".json").into_iter().filter(|name| !name.contains("injected")) {
        let saved = std::fs::read_to_string(folder().join(format!("{name}.json"))).unwrap();
        let mut tear: serde_json::Value = serde_json::from_str(&saved).unwrap();
        for lane in tear["lanes"].as_array_mut().unwrap() {
            for version in lane["versions"].as_array_mut().unwrap() {
                version["layout"] = "empty".into();
            }
        }
        let output = common::run(["verify", &dir.file("emptied.json", &tear.to_string())]);
        assert_eq!(output.status.code(), Some(1), "{name}: {}", common::told(&output));
    }
}

#[test]
fn a_folder_is_verified_and_explained_file_by_file() {
    let dir = Dir::new();
    let tear = include_str!("tears/6.18-hole.replaced-in-flight.remap.walk.json");
    let stall = include_str!("tears/6.18-injected-stall.json");
    dir.file("hole.replaced-in-flight.remap.walk-1.json", tear);
    dir.file("stall.-.-.--1.json", stall);
    dir.file("report.json", "{}");
    let folder = dir.path().to_str().unwrap();
    for (command, words) in [("verify", "proves hole"), ("explain", "the longest explanation")] {
        let output = run([command, folder]);
        let told = text(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{told}");
        assert!(told.contains(words) && told.contains("stall"), "{command}: {told}");
    }
    let output = run(["explain", folder, "--html", &dir.name("page.html")]);
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(64), "{told}");
    assert!(told.contains("--html") && told.contains("holds 2"), "{told}");
    assert!(!dir.join("page.html").exists());
}
