//! Drives `mapstorm latency` and `mapstorm compare` as a user would.

mod common;

use common::{Dir, mapstorm, text};
use mapstorm::latency::{Ended, Outcome, Role, SCHEMA_VERSION};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

fn run(words: &str) -> Output {
    common::run(words.split_whitespace())
}

/// A short run saved to `path`.
fn saved(path: &str, more: &str) {
    let words = format!("latency --nsamples 2 --duration 0.05 --mb 8 --save {path} {more}");
    let output = run(&words);
    assert!(done(&output), "{}", text(&output.stderr));
}

/// 0, or 5 where a scanner got no CPU in so short a run: luck that these tests do not depend on.
fn done(output: &Output) -> bool {
    matches!(output.status.code(), Some(0 | 5))
}

#[test]
fn wrong_command_lines_exit_64_and_name_the_flag() {
    for (words, flag) in [
        ("latency --duration 0", "--duration"),
        ("latency --nsamples 0", "--nsamples"),
        ("latency --busyduration x", "--busyduration"),
        ("latency --scanners 5000", "--scanners"),
        ("latency --procfile ../stat", "--procfile"),
        ("latency --against no/file", "--against"),
        ("latency --mapper-cpu 1023", "--mapper-cpu"),
        ("latency --scanner-cpus 1023", "--scanner-cpus"),
        ("latency --scanner-cpus 0-100000", "--scanner-cpus"),
        ("latency --gb 1048576", "--gb"),
        ("latency --mb 0", "--mb"),
        ("latency --hang-seconds 9999", "--hang-seconds"),
        ("latency --rawdata --format json", "--rawdata"),
        ("latency --save /nonexistent/dir/r.json", "--save"),
        ("latency --procfile task", "--procfile task"),
        ("latency --nonsense", "--nonsense"),
        ("compare", "FILE"),
        ("compare /nonexistent/r.json", "/nonexistent/r.json"),
    ] {
        let output = run(words);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{words}: {error}");
        assert!(error.contains(flag), "{words}: {error}");
        assert!(output.stdout.is_empty(), "{words}");
    }
}

#[test]
fn a_file_that_is_not_there_exits_4_and_says_what_to_do() {
    let output = run("latency --procfile no_such_file");
    assert_eq!(output.status.code(), Some(4));
    let error = text(&output.stderr);
    assert!(error.contains("--procfile no_such_file: this kernel has no /proc/self/no_such_file"));
    assert!(error.contains("choose another"), "{error}");
    let output = run("latency --against none,no_such_file");
    assert!(text(&output.stderr).contains("--against no_such_file"));
}

#[test]
fn a_short_run_agrees_with_itself() {
    let words = "latency --nsamples 2 --duration 0.3 --mb 16 --scanners 1 --seed 7 \
                 --against none,smaps --format json";
    let output = run(words);
    assert!(done(&output), "{}", text(&output.stderr));
    let outcome: Outcome = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((outcome.schema_version, outcome.header.seed_word()), (SCHEMA_VERSION, "0x7"));
    assert_eq!(outcome.ended, Ended::Complete);
    assert!(outcome.overhead.loop_ns > outcome.overhead.clock_ns);
    let labels: Vec<&str> = outcome.columns.iter().map(|c| &*c.label).collect();
    assert_eq!(labels, ["control", "maps", "none", "smaps"]);
    for column in &outcome.columns {
        assert_eq!(column.samples.len(), 2);
        let beside = if column.reader == "none" { 0 } else { 1 };
        for sample in &column.samples {
            assert!(sample.complete && sample.elapsed_ms >= 300.0);
            assert_eq!(sample.scanners.len(), beside);
            for series in [&sample.tally.mmap, &sample.tally.munmap] {
                assert!(series.calls > 0 && series.is_whole());
                assert_eq!(series.failed, 0);
                // The exact sum lies within the histogram's three digits.
                let sum = series.histogram.mean() * series.calls as f64;
                assert!((sum / series.sum_ns as f64 - 1.0).abs() < 0.01);
            }
        }
    }
    // Round 0 forwards, round 1 backwards.
    let places = |column: usize| outcome.columns[column].samples.iter().map(|s| s.place);
    assert_eq!(places(0).collect::<Vec<_>>(), [0, 7]);
    assert_eq!(places(1).collect::<Vec<_>>(), [1, 6]);
}

#[test]
fn the_table_counts_every_call_and_ends_with_the_command() {
    let output = run("latency --nsamples 1 --duration 0.05 --mb 8 --scanners 0 --seed 3");
    assert_eq!(output.status.code(), Some(0));
    let table = text(&output.stdout);
    let command = "mapstorm latency --nsamples 1 --duration 0.05 --mb 8 --scanners 0 --seed 3";
    assert_eq!(table.lines().next().unwrap(), format!("# {command}"));
    let last = table.lines().last().unwrap();
    assert!(last.starts_with("# complete, ") && last.ends_with(&format!("seed 0x3: {command}")));
    for word in ["p50", "p90", "p99", "p99.9", "max", "calls", "hangs", "(limit 100)"] {
        assert!(table.contains(word), "{word}:\n{table}");
    }
}

#[test]
fn raw_data_are_three_columns_in_ms_sorted() {
    let output = run("latency --nsamples 5 --duration 0.02 --mb 8 --busyduration 1 --rawdata");
    assert!(done(&output), "{}", text(&output.stderr));
    let raw = text(&output.stdout);
    let rows: Vec<Vec<f64>> = raw
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let words = line.split(' ');
            words
                .map(|word| {
                    assert_eq!(word.split_once('.').unwrap().1.len(), 3, "{line}");
                    word.parse().unwrap()
                })
                .collect()
        })
        .collect();
    assert_eq!(rows.len(), 5);
    let mut averages: Vec<f64> = rows.iter().map(|row| row[1]).collect();
    averages.sort_by(f64::total_cmp);
    assert!(rows.iter().all(|row| row.len() == 3 && row[0] == averages[2]));
    assert!(rows.is_sorted_by(|a, b| a[2] <= b[2]));
    let control = raw.lines().filter(|line| line.starts_with("# control "));
    assert_eq!(control.count(), 5);
}

#[test]
fn a_signal_ends_it_with_what_is_there() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let place = Dir::new();
        let file = place.name("r.json");
        let child = mapstorm(
            "latency --nsamples 100000 --duration 0.05 --mb 8 --format json".split_whitespace(),
        )
        .args(["--save", &file])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
        wait_for(Path::new(&file));
        kill_process(Pid::from_child(&child), signal).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(code));
        let printed: Outcome = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(printed.ended, Ended::Interrupted);
        assert!(!printed.columns[1].samples.is_empty());
        let kept: Outcome = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
        assert_eq!(kept, printed, "the file holds what was printed");
    }
}

/// Waits until the first round has been saved.
fn wait_for(file: &Path) {
    let began = Instant::now();
    while !file.exists() {
        assert!(began.elapsed() < Duration::from_secs(60), "nothing saved");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_planted_hang_is_reported_saved_and_ends_the_run() {
    for (fault, thread) in [("hang-mapper", "mapper"), ("hang-scanner", "scanner 0")] {
        let place = Dir::new();
        let words = "latency --nsamples 9 --duration 0.3 --mb 8 --hang-seconds 4 --format json";
        let output = mapstorm(words.split_whitespace())
            .args(["--inject", fault, "--hang-dir", &place.name("")])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
        let outcome: Outcome = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(outcome.ended, Ended::Hang);
        let main = outcome.column(Role::Main).unwrap();
        assert_eq!(main.hangs.len(), 1);
        let hang = &main.hangs[0];
        assert_eq!((hang.thread.as_str(), hang.completed_calls), (thread, 99));
        let files: Vec<_> =
            fs::read_dir(place.path()).unwrap().map(|f| f.unwrap().path()).collect();
        assert_eq!(files.len(), 1);
        let evidence = fs::read_to_string(&files[0]).unwrap();
        for word in [thread, "stack:", "wchan:", "syscall:"] {
            assert!(evidence.contains(word), "{word}: {evidence}");
        }
        assert!(text(&output.stderr).contains("evidence in"));
    }
}

#[test]
fn a_closed_pipe_is_quiet_and_a_full_disk_is_not() {
    let words = "latency --nsamples 1 --duration 0.02 --mb 8 --scanners 0";
    let mut child = mapstorm(words.split_whitespace())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()));
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = mapstorm(words.split_whitespace()).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(70));
    assert!(text(&output.stderr).contains("No space left"));
}

#[test]
fn results_compare_side_by_side_with_a_page() {
    let place = Dir::new();
    let (a, b, page) = (place.name("a.json"), place.name("b.json"), place.name("p.html"));
    saved(&a, "--scanners 1");
    saved(&b, "--scanners 2");
    let output = run(&format!("compare {a} {b} --html {page}"));
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let table = text(&output.stdout);
    assert!(table.contains("confounder: scanners: 1 in"), "{table}");
    for word in ["control", "maps", "p99.9", "to first", "to control", "hangs"] {
        assert!(table.contains(word), "{word}:\n{table}");
    }
    let html = fs::read_to_string(&page).unwrap();
    assert!(html.starts_with("<!DOCTYPE html>") && html.matches("<svg ").count() == 3);
    let output = run(&format!("compare {a} {b} --format json"));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["lines"].as_array().unwrap().len(), 2);
}

#[test]
fn runs_of_one_setup_merge() {
    let place = Dir::new();
    let (a, b) = (place.name("a.json"), place.name("b.json"));
    saved(&a, "--seed 1");
    saved(&b, "--seed 2");
    let output = run(&format!("compare {a},{b} --format json"));
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["lines"][1]["cells"][0]["samples"], 4);
    let output = run(&format!("compare {a},{a}"));
    assert_eq!(output.status.code(), Some(64));
    assert!(text(&output.stderr).contains("cannot be merged: they are the same run"));
}

#[test]
fn damaged_files_and_other_versions_are_refused_by_name() {
    let place = Dir::new();
    let (good, bad) = (place.name("good.json"), place.name("bad.json"));
    saved(&good, "");
    let content = fs::read_to_string(&good).unwrap();
    let version = content.replacen("\"schema_version\":2", "\"schema_version\":7", 1);
    let flipped = content.replacen("HISTF", "HISTX", 1);
    for (broken, word) in [
        (&content[..content.len() / 2], "is not a result"),
        ("", "is not a result"),
        (&version, "schema version 7"),
        (&flipped, "is damaged"),
    ] {
        fs::write(&bad, broken).unwrap();
        let output = run(&format!("compare {good} {bad}"));
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{error}");
        assert!(error.contains("bad.json") && error.contains(word), "{error}");
    }
}
