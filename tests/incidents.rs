//! Drives the binary from a planted mismatch or stall to its file, and with every command that
//! takes one.

mod common;

use common::{Dir, commands, run, testable, told};
use serde_json::{Value, json};
use std::path::PathBuf;

/// A storm with a mismatch or a stall planted, which ends with it: its report and the file.
/// Nothing where no storm can be.
fn planted(class: &str, dir: &Dir) -> Option<(String, String)> {
    if !testable() {
        return None;
    }
    let out = dir.join("out");
    let mut args = vec!["--threads", "3", "--readers", "1", "--seconds", "60", "--fail-fast"];
    args.extend(["--ops", "resize,protect", "--read", "walk", "--pause-every", "0.1"]);
    args.extend(["--stall", "2", "--inject", class, "--out", out.to_str().unwrap(), "-q"]);
    // What the kernel tears does not end it.
    for other in ["hole", "torn", "stale", "unknown", "disorder", "malformed", "truncated"] {
        args.extend(["--allow", other]);
    }
    let output = run(&args);
    let report = told(&output);
    assert_eq!(output.status.code(), Some(1), "{report}");
    let entries = std::fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().path());
    let of_class = |path: &PathBuf| {
        let class = class.split('-').next().unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        name.starts_with(&format!("{class}.")) && name.ends_with(".json")
    };
    let files: Vec<PathBuf> = entries.filter(of_class).collect();
    assert_eq!(files.len(), 1, "{files:?} {report}");
    Some((report, files[0].to_str().unwrap().to_owned()))
}

fn edited(file: &str, edit: impl FnOnce(&mut Value)) -> String {
    let mut value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    edit(&mut value);
    value.to_string()
}

#[test]
fn what_no_reader_finds_is_saved_and_every_command_printed_works() {
    for (class, verdict, words) in [
        ("mismatch", "proves mismatch/-/-/-", "maps did not show what the oracle has"),
        (
            "mismatch-at-calibration",
            "proves mismatch/-/-/-",
            "maps did not show what the oracle has",
        ),
        ("stall", "bears witness to stall/unknown/", "/proc/self/task"),
    ] {
        let dir = Dir::new();
        let Some((report, file)) = planted(class, &dir) else { return };
        let commands = commands(&report);
        let [explain, verify, _] = &commands[..] else { panic!("{class}: {commands:?} {report}") };
        assert_eq!((explain[0].as_str(), verify[0].as_str()), ("explain", "verify"), "{report}");
        let explained = run(explain);
        assert_eq!(explained.status.code(), Some(0), "{}", told(&explained));
        let verified = run(verify);
        assert_eq!(verified.status.code(), Some(0), "{}", told(&verified));
        assert!(told(&verified).contains(verdict), "{}", told(&verified));
        let html = dir.join("page.html");
        let explained = run(["explain", &file, "--html", html.to_str().unwrap()]);
        assert_eq!(explained.status.code(), Some(0), "{}", told(&explained));
        assert!(told(&explained).contains(words), "{}", told(&explained));
        let page = std::fs::read_to_string(&html).unwrap();
        let mismatch = class.starts_with("mismatch");
        assert_eq!(page.contains("<svg"), mismatch);
        assert!(page.contains("</html>") && !page.contains("<script"), "{class}");
        // The picture alone: of a stall there is none.
        let svg = dir.join("picture.svg");
        let drawn = run(["explain", &file, "--svg", svg.to_str().unwrap()]);
        if mismatch {
            assert_eq!(drawn.status.code(), Some(0), "{}", told(&drawn));
            let picture = std::fs::read_to_string(&svg).unwrap();
            assert!(picture.starts_with("<svg xmlns=") && picture.contains("class=\"hole\""));
        } else {
            assert_eq!(drawn.status.code(), Some(64), "{}", told(&drawn));
            assert!(told(&drawn).contains("--svg: a stall has no picture"), "{}", told(&drawn));
            assert!(!svg.exists());
        }
    }
}

#[test]
fn a_mismatch_is_told_with_the_vma_that_differs_first() {
    let dir = Dir::new();
    let Some((_, file)) = planted("mismatch", &dir) else { return };
    // The planted fault leaves a line out.
    let explained = told(&run(["explain", &file]));
    let lane = explained.split("in lane ").nth(1).and_then(|rest| rest.split(':').next()).unwrap();
    assert!(explained.contains(&format!("lane {lane}: its vmas")), "{explained}");
    assert!(explained.contains(">> nothing for 0x"), "{explained}");
    assert!(explained.contains("the oracle  "), "{explained}");
    let dir = Dir::new();
    let Some((_, file)) = planted("mismatch-at-calibration", &dir) else { return };
    let explained = told(&run(["explain", &file]));
    assert!(explained.contains("At calibration"), "{explained}");
}

#[test]
fn a_file_that_was_changed_is_no_evidence() {
    let dir = Dir::new();
    let Some((_, mismatch)) = planted("mismatch", &dir) else { return };
    let line = edited(&mismatch, |file| {
        let line = &mut file["account"]["mismatch"]["lines"][0];
        *line = line.as_str().unwrap().replacen('0', "1", 1).into();
    });
    let mended = edited(&mismatch, |file| {
        let mismatch = &mut file["account"]["mismatch"];
        let (lane, read) = (
            mismatch["differences"][0]["lane"].clone(),
            mismatch["differences"][0]["read"].clone(),
        );
        let lanes = mismatch["lanes"].as_array_mut().unwrap();
        let saved = lanes.iter_mut().find(|saved| saved["lane"] == lane).unwrap();
        saved["versions"].as_array_mut().unwrap().last_mut().unwrap()["layout"] = read;
    });
    let Some((_, stall)) = planted("stall", &dir) else { return };
    let shorter = edited(&stall, |file| file["account"]["stall"]["waited_ns"] = 1.into());
    for (name, content) in [("line", line), ("mended", mended), ("shorter", shorter)] {
        let file = dir.file(name, &content);
        let verified = run(["verify", &file]);
        assert_eq!(verified.status.code(), Some(1), "{name}: {}", told(&verified));
        assert!(told(&verified).contains("DOES NOT PROVE"), "{name}: {}", told(&verified));
    }
}

/// Every command that takes a file, with `out` for what it would write.
fn every_command<'a>(file: &'a str, out: &'a str) -> [Vec<&'a str>; 5] {
    [
        vec!["verify", file],
        vec!["explain", file],
        vec!["replay", file],
        vec!["minimize", file, "-o", out],
        vec!["emit-c", file, "-o", out],
    ]
}

#[test]
fn there_is_nothing_to_run_again_and_files_that_are_no_good_are_refused() {
    for class in ["mismatch", "stall"] {
        let dir = Dir::new();
        let Some((_, file)) = planted(class, &dir) else { return };
        let saved = std::fs::read_to_string(&file).unwrap();
        let out = dir.join("never");
        let out = out.to_str().unwrap();
        let command = serde_json::from_str::<Value>(&saved).unwrap()["command"].to_string();
        for args in &every_command(&file, out)[2..] {
            let output = run(args);
            assert_eq!(output.status.code(), Some(64), "{args:?}: {}", told(&output));
            assert!(told(&output).contains(command.trim_matches('"')), "{}", told(&output));
        }
        let half = (0..saved.len() / 2).rev().find(|at| saved.is_char_boundary(*at)).unwrap();
        let cut = dir.file("cut.json", &saved[..half]);
        let version =
            dir.file("version.json", &edited(&file, |file| file["schema_version"] = 7.into()));
        let page = dir.file("page.json", &edited(&file, |file| file["page_size"] = 12288.into()));
        let arena = dir.file("arena.json", &edited(&file, |f| f["geometry"]["pages"] = 200.into()));
        for (file, reason) in
            [(&cut, "cut off"), (&version, "version 7"), (&page, "page size"), (&arena, "arena")]
        {
            for args in every_command(file, out) {
                let output = run(&args);
                assert_eq!(output.status.code(), Some(64), "{args:?}: {}", told(&output));
                let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
                assert!(stderr.contains(reason), "{args:?}: {stderr}");
            }
        }
        let left = std::fs::read_dir(dir.path()).unwrap().count();
        assert_eq!(left, 5, "something was written: the four files and the directory are there");
    }
}

#[test]
fn a_mismatch_of_other_pages_is_proved() {
    let base = 0x7000_0000_0000u64;
    let shift = 16;
    let file = json!({
        "schema_version": 1, "kind": "incident", "signature": "mismatch/-/-/-",
        "contract": "series", "mapstorm": "0", "kernel": "test", "arch": "test",
        "page_size": 1 << shift, "seed": "0x1", "generator": "none", "command": "mapstorm --seed 1",
        "geometry":
            {"base": base, "page_shift": shift, "stride_shift": shift + 2, "lanes": 1, "pages": 3},
        "files": [], "found_ns": 5,
        "account": {"mismatch": {
            "standstill": 1,
            "differences": [{"lane": 0, "expected": "[0..3 rw-p anon]", "read": "[0..1 rw-p anon]"}],
            "lines": ["700000000000-700000010000 rw-p 00000000 00:00 0 "],
            "lanes": [{"lane": 0, "first": 4, "versions":
                [{"invoked": 0, "closed": null, "layout": "[0..3 rw-p anon]", "worker": 0}]}],
        }},
    });
    let dir = Dir::new();
    let file = dir.file("pages.json", &file.to_string());
    for (command, code) in [("verify", 0), ("explain", 0), ("replay", 64)] {
        let output = run([command, &file]);
        assert_eq!(output.status.code(), Some(code), "{command}: {}", told(&output));
    }
}
