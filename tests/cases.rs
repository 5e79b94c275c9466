//! `mapstorm cases` as its users and the kernel's test runners see it.
//!
//! What a kernel tears is its own affair: these tests ask that evidence, verdict and exit code
//! agree.

mod common;

use common::{mapstorm, skip};
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn cases(args: &[&str]) -> Output {
    mapstorm(["cases"])
        .args(args)
        .env_remove("DURATION")
        .env_remove("VERBOSE")
        .output()
        .expect("the binary runs")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn what_cannot_be_meant_is_refused() {
    for (args, word) in [
        (&["--only", "11"][..], "unknown case \"11\""),
        (&["--only", "1,slpit"], "did you mean \"split\"?"),
        (&["--seconds-per-case", "0"], "above 0"),
        (&["--seconds-per-case=-1"], "above 0"),
        (&["--interface", "telepathy"], "known are read, pread, query, smaps"),
        (&["--boundary", "beside"], "known are page, before, inside, after"),
        (&["--threads", "2000"], "0..=1024"),
    ] {
        let output = cases(args);
        assert_eq!(output.status.code(), Some(64), "{args:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(word), "{args:?}: {}", stderr(&output));
        assert!(output.stdout.is_empty());
    }
    let output = mapstorm(["cases", "--format", "ktap"])
        .env("DURATION", "none")
        .output()
        .expect("the binary runs");
    assert_eq!(output.status.code(), Some(64));
    assert!(stderr(&output).contains("DURATION"));
}

#[test]
fn evidence_verdict_and_exit_code_agree() {
    let output = cases(&[
        "--only=1,replace,split-file",
        "--seconds-per-case=1",
        "--threads=2",
        "--format=json",
        "--seed=7",
    ]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one object");
    let cases = report["cases"].as_array().expect("cases");
    assert_eq!(cases.len(), 3);
    for case in cases {
        let runs = case["runs"].as_array().expect("runs");
        let violated = runs.iter().any(|run| !run["violations"].as_array().unwrap().is_empty());
        assert_eq!(case["verdict"] == "violated", violated, "{}", case["name"]);
        for run in runs {
            assert_eq!(run["failed"], 0);
            for violation in run["violations"].as_array().unwrap() {
                assert!(violation["count"].as_u64().unwrap() > 0);
                // What proves a violation may be gone before it is copied; never silently.
                let example = !violation["example"].as_array().unwrap().is_empty();
                assert_eq!(example, violation["no_example"].is_null(), "{violation}");
            }
            if run["verdict"] == "undecided" || run["verdict"] == "untestable" {
                assert!(run["why"].is_string());
            }
        }
    }
    let code = match report["verdict"].as_str().expect("a verdict") {
        "upheld" => 0,
        "violated" => 1,
        "untestable" => 4,
        "undecided" => 5,
        other => panic!("{other}"),
    };
    assert_eq!(output.status.code(), Some(code));
    assert_eq!(report["allocations_in_runs"], 0);
}

/// What tap.py makes of KTAP: it reads TAP, to which the version line is a remark.
const READ_TAP: &str = r"
import sys
try:
    from tap.parser import Parser
except ImportError:
    sys.exit(77)
plan, results, ok, skipped = None, 0, 0, 0
for line in Parser().parse_text(sys.stdin.read()):
    if line.category == 'plan':
        plan = line.expected_tests
    elif line.category == 'test':
        results += 1
        ok += line.ok and not line.skip
        skipped += bool(line.skip)
print(plan, results, ok, skipped)
";

/// The exit code that says the same as the results: a skip is no trouble, all of them are one.
fn code_of(results: &[&&str]) -> i32 {
    let skipped = results.iter().filter(|line| line.ends_with("# SKIP")).count();
    match results.iter().any(|line| line.starts_with("not ok")) {
        true => 1,
        false if skipped == results.len() => 4,
        false => 0,
    }
}

#[test]
fn what_ktap_leaves_undecided_is_a_skip_to_the_exit_code_too() {
    // So short that hardly any test judges enough, if one does; the exit code goes by what is told.
    let args = ["--only=1,2", "--seconds-per-case=0.0001", "--format=ktap", "-q"];
    let output = cases(&args);
    let text = String::from_utf8(output.stdout).expect("text");
    let lines: Vec<&str> = text.lines().collect();
    let results: Vec<&&str> = lines
        .iter()
        .filter(|line| line.starts_with("ok ") || line.starts_with("not ok "))
        .collect();
    assert_eq!(output.status.code(), Some(code_of(&results)), "{text}");
    assert_eq!(lines[3], "# 14 tests of 0.0 s: 0.0 s in all, and what it takes to begin each");
}

#[test]
fn how_long_it_takes_is_told_before_it_begins() {
    let run = |duration: Option<&str>| {
        let mut command =
            mapstorm(["cases", "--only=1", "--interface=query", "--format=ktap", "-q"]);
        command.env_remove("DURATION");
        duration.map(|seconds| command.env("DURATION", seconds));
        String::from_utf8(command.output().expect("the binary runs").stdout).expect("text")
    };
    let told = |text: &str| text.lines().nth(3).expect("four lines").to_owned();
    let timed = "# 1 test of 0.5 s: 0.5 s in all, and what it takes to begin each";
    assert_eq!(told(&run(Some("0.5"))), timed);
    assert_eq!(told(&run(None)), "# 1 test: at most 30 s in all");
}

#[test]
fn ktap_is_read_by_tap_py() {
    let output = cases(&["--only=2,resize", "--seconds-per-case=0.5", "--format=ktap", "-q"]);
    let text = String::from_utf8(output.stdout).expect("text");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "KTAP version 1");
    assert_eq!(lines[1], "1..14");
    let result = |line: &&&str| line.starts_with("ok ") || line.starts_with("not ok ");
    let results: Vec<&&str> = lines.iter().filter(result).collect();
    assert_eq!(results.len(), 14, "{text}");
    let totals = lines.last().expect("totals");
    assert!(totals.starts_with("# Totals: pass:"), "{totals}");
    let failed = results.iter().filter(|line| line.starts_with("not ok")).count();
    assert!(totals.contains(&format!(" fail:{failed} ")), "{totals}");
    assert_eq!(output.status.code(), Some(code_of(&results)), "{text}");
    for line in &results {
        assert!(!line.contains('#') || line.ends_with(" # SKIP"), "{line}");
    }

    // Debian's own has Debian's packages, whichever comes first in PATH.
    let own = "/usr/bin/python3";
    let python = if Path::new(own).exists() { own } else { "python3" };
    let python = Command::new(python)
        .args(["-c", READ_TAP])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let Ok(mut python) = python else {
        return skip("there is no python3");
    };
    use std::io::Write;
    // A parser that is not there has gone without reading.
    let _ = python.stdin.take().expect("piped").write_all(text.as_bytes());
    let read = python.wait_with_output().expect("python ends");
    if read.status.code() == Some(77) {
        return skip("python3 has no tap.py");
    }
    let skipped = results.iter().filter(|line| line.ends_with("# SKIP")).count();
    let passed = results.len() - failed - skipped;
    let expected = format!("14 14 {passed} {skipped}");
    assert_eq!(String::from_utf8_lossy(&read.stdout).trim(), expected);
}
