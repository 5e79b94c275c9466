//! Drives the binary with faults planted on the real kernel: every class of violation, in every
//! way of reading in which it can come, has to reach the report and the exit code.
//!
//! The kernel may tear, too: only the planted class fails the run, all others are allowed. So the
//! run ends as soon as that class is found, and the exit code is about it alone.

mod common;

use common::{Dir, json, run, skip, text};
use mapstorm::engine::Mode;
use mapstorm::kernel::Loads;
use serde_json::Value;

const CLASSES: [&str; 9] =
    ["hole", "torn", "stale", "unknown", "disorder", "malformed", "truncated", "mismatch", "stall"];

/// What this sandbox can test, as `mapstorm probe` says; `None`, with a word, when nothing.
fn probe() -> Option<Value> {
    let output = run(["probe", "--format", "json"]);
    if output.status.code() == Some(0) {
        return serde_json::from_slice(&output.stdout).ok();
    }
    skip(text(&output.stderr));
    None
}

/// The report of a storm that reads in one way, with a fault planted and every other class allowed.
fn planted(class: &str, way: &str) -> Value {
    planted_as(class, class, way)
}

/// The same, where the fault is not called after its class.
fn planted_as(fault: &str, class: &str, way: &str) -> Value {
    let mut args = vec!["--threads", "3", "--readers", "2", "--seconds", "60", "--fail-fast"];
    // Two dozen lanes take more than a page of output, which a truncation needs. A resized VMA
    // tears on no kernel known.
    args.extend(["--lanes", "24", "--ops", "resize", "--pause-every", "0.2", "--stall", "2"]);
    args.extend(["--read", way, "--inject", fault, "--format", "json", "-q"]);
    CLASSES.iter().filter(|other| **other != class).for_each(|other| {
        args.extend(["--allow", other]);
    });
    let output = run(&args);
    let (report, told) = (&output.stdout, String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(report).unwrap_or_else(|error| {
        panic!("{class} in {way}: stdout is no JSON ({error}): {:?} {told}", output.status)
    });
    assert_eq!(output.status.code(), Some(1), "{class} in {way}: {} {told}", brief(&report));
    assert_eq!(report["verdict"], "violated", "{class} in {way}");
    report
}

/// As much of a report as fits on a screen.
fn brief(report: &Value) -> String {
    format!("{} {} {}", report["verdict"], report["ended"], report["violations"])
}

/// The violations that fail the run.
fn alarming(report: &Value) -> Vec<&Value> {
    let all = report["violations"].as_array().unwrap().iter();
    all.filter(|violation| violation["allowed"] == false).collect()
}

/// The promise that a class breaks was broken.
fn broken(report: &Value, promise: &str) -> u64 {
    let scores = report["scorecard"].as_array().unwrap();
    let score = scores.iter().find(|score| score["promise"] == promise);
    score.unwrap_or_else(|| panic!("{promise:?} in {scores:?}"))["broken"].as_u64().unwrap()
}

#[test]
fn a_fault_in_what_is_read_is_found_in_every_way_of_reading() {
    let Some(probe) = probe() else { return };
    let dropped = probe["dropped"].to_string();
    for (way, classes) in [
        ("walk", &CLASSES[..7]),
        ("pread", &CLASSES[..7]),
        // Small calls hardly ever end with a line, where alone a file can end early.
        ("short", &CLASSES[..6]),
        // A call on a shared descriptor is judged by itself: it has no end of file.
        ("shared", &CLASSES[..6]),
        // An answer is one VMA: it can be missing, or none that ever was.
        ("query", &["hole", "unknown"]),
    ] {
        if way == "query" && dropped.contains("query") {
            skip("no PROCMAP_QUERY");
            continue;
        }
        for class in classes {
            let report = planted(class, way);
            let alarming = alarming(&report);
            assert!(!alarming.is_empty(), "{class} in {way}: {}", brief(&report));
            for violation in alarming {
                assert_eq!(violation["class"], *class, "{way}: {}", brief(&report));
                assert_eq!(violation["reader"], way, "{class}: {}", brief(&report));
            }
        }
    }
}

/// What is planted below the arena is decided at the next standstill only.
#[test]
fn a_line_outside_of_the_arena_is_missed_and_known_in_every_way_of_reading() {
    if probe().is_none() {
        return;
    }
    for way in ["walk", "pread", "short", "shared", "smaps", "thread"] {
        for (word, class) in [("hole-outside", "hole"), ("unknown-outside", "unknown")] {
            let report = planted_as(word, class, way);
            let signature = format!("{class}/-/-/{way}");
            let all = report["violations"].as_array().unwrap();
            let found = all.iter().find(|violation| violation["signature"] == *signature);
            let found = found.unwrap_or_else(|| panic!("{word} in {way}: {}", brief(&report)));
            assert!(found["example"][0].as_str().unwrap().contains("outside of the arena"));
            assert_eq!(found["kept"][0]["second_checker"], "proved", "{way}: {found}");
            assert!(report["outside"]["lines"].as_u64() > Some(0), "{}", report["outside"]);
        }
    }
}

#[test]
fn a_layout_that_differs_at_a_standstill_is_a_mismatch() {
    if probe().is_none() {
        return;
    }
    let report = planted("mismatch", "walk");
    let alarming = alarming(&report);
    assert_eq!(alarming.len(), 1, "{}", brief(&report));
    assert_eq!(alarming[0]["class"], "mismatch");
    let standstills = &report["standstills"];
    let mismatches = standstills["mismatches"].as_u64().unwrap();
    assert!(mismatches > 0, "{standstills}");
    assert_eq!(standstills["repaired"], standstills["mismatches"], "{standstills}");
    assert_eq!(broken(&report, "at a standstill maps is the oracle's"), mismatches);
    let differences = standstills["differences"].as_array().unwrap();
    assert!(differences.iter().all(|text| text.as_str().unwrap().contains("maps shows")));
}

/// What the kernel says of itself goes the same way, and can be allowed by its place.
#[test]
fn what_the_kernel_says_of_itself_is_a_violation() {
    if probe().is_none() {
        return;
    }
    let dir = Dir::new();
    let signature = "splat/warning/planted_by_mapstorm/-";
    let storm = |more: &[&str]| {
        let args = ["--threads", "2", "--seconds", "2", "--stall", "5", "-q", "--format", "json"];
        let plant = ["--inject", "splat", "--ops", "resize", "--allow", "hole"];
        run(args.iter().chain(&plant).chain(more))
    };
    let output = storm(&["--out", dir.to_str().unwrap()]);
    let report = json(&output);
    assert_eq!(output.status.code(), Some(1), "{}", brief(&report));
    let alarming = alarming(&report);
    assert_eq!((alarming.len(), &alarming[0]["signature"]), (1, &Value::from(signature)));
    assert_eq!(broken(&report, "the kernel finds nothing wrong"), 1);
    let file = alarming[0]["kept"][0]["file"].as_str().unwrap();
    let verified = run(["verify", file]);
    assert_eq!(verified.status.code(), Some(0));
    assert!(text(&verified.stdout).contains(&format!("bears witness to {signature}")));
    let explained = run(["explain", file]);
    assert!(text(&explained.stdout).contains("WARNING: CPU: 0 PID: 1 at mm/mmap_lock.c:1"));
    let saved = std::fs::read_to_string(file).unwrap();
    let harmless = dir.file("harmless.json", &saved.replace("WARNING: ", "NOTICE: "));
    assert_eq!(run(["verify", &harmless]).status.code(), Some(1));
    let allowed = storm(&["--allow", "splat/warning/planted_by_mapstorm"]);
    assert_eq!(allowed.status.code(), Some(0), "{}", brief(&json(&allowed)));
}

/// A faulter that does not come back is watched like every worker, and its load is told.
#[test]
fn a_load_that_does_not_come_back_is_a_stall() {
    if probe().is_none() || !Loads::OFFERED {
        return;
    }
    let dir = Dir::new();
    let args = ["--threads", "2", "--faulters", "1", "--seconds", "60", "--stall", "2", "-q"];
    let more = ["--inject", "stall-faulter", "--format", "json", "--allow", "hole", "--out"];
    let output = run(args.iter().chain(&more).chain(&[dir.to_str().unwrap()]));
    let report = json(&output);
    assert_eq!(output.status.code(), Some(1), "{}", brief(&report));
    let alarming = alarming(&report);
    assert_eq!((alarming.len(), &alarming[0]["class"]), (1, &Value::from("stall")));
    let file = alarming[0]["kept"][0]["file"].as_str().unwrap();
    let saved: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let stall = &saved["account"]["stall"];
    let address = stall["call"]["load"].as_u64().unwrap();
    let base = saved["geometry"]["base"].as_u64().unwrap();
    assert!((base..base + (1 << 30)).contains(&address), "{stall}");
    assert_eq!(stall["worker"], 2, "behind the workers: {stall}");
    let explained = run(["explain", file]);
    assert!(text(&explained.stdout).contains(&format!("a load from {address:#x}")));
}

/// The call never comes back: that there is a report at all shows that nobody waits for it.
#[test]
fn a_call_that_does_not_come_back_is_a_stall() {
    if probe().is_none() {
        return;
    }
    for way in Mode::ALL.map(Mode::word) {
        if way.parse::<Mode>().unwrap().offered().is_err() {
            skip(format!("no {way}"));
            continue;
        }
        let report = planted("stall", way);
        let alarming = alarming(&report);
        assert_eq!(alarming.len(), 1, "{way}: {}", brief(&report));
        assert_eq!(alarming[0]["class"], "stall", "{way}: {}", brief(&report));
        assert!(report["ended"]["stall"]["tid"].as_u64().is_some(), "{way}: {}", brief(&report));
        assert_eq!(broken(&report, "every call comes back"), 1, "{way}");
        assert!(report["reads"]["by_mode"][way].as_u64().unwrap() > 0, "{way}");
    }
}
