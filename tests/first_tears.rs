//! Drives `first-tears` and the workloads of slices. What the kernel tears varies: the table, its
//! figures and the exit code have to agree.

mod common;

use common::{json, mapstorm, run, skip, testable, told};
use rustix::process::{Resource, Rlimit, setrlimit};
use std::os::unix::process::CommandExt;
use std::process::Command;

#[test]
fn the_table_counts_its_storms_and_agrees_with_the_exit_code() {
    if !testable() {
        return;
    }
    let output = run([
        "first-tears",
        "--threads=2,5",
        "--runs=3",
        "--seconds=0.2",
        "--format=json",
        "-q",
        "--seed=7",
    ]);
    let table = json(&output);
    let rows = table["rows"].as_array().unwrap();
    let threads: Vec<u64> = rows.iter().map(|row| row["threads"].as_u64().unwrap()).collect();
    assert_eq!(threads, [2, 5]);
    let mut violations = 0;
    for row in rows {
        assert_eq!(row["storms"], 3);
        assert!(row["elapsed_ms"].as_f64().unwrap() >= 600.0, "{row}");
        assert!(row["windows"][0].as_u64().unwrap() > 0, "{row}");
        let here = row["violations"].as_u64().unwrap();
        let firsts = row["first_ms"].as_object().unwrap();
        assert_eq!(here > 0, !firsts.is_empty(), "{row}");
        for times in firsts.values() {
            let times: Vec<f64> =
                times.as_array().unwrap().iter().map(|ms| ms.as_f64().unwrap()).collect();
            assert!((1..=3).contains(&times.len()) && times.is_sorted(), "{row}");
        }
        violations += here;
    }
    assert_eq!(output.status.code(), Some(if violations > 0 { 1 } else { 0 }));
    assert!(table["command"].as_str().unwrap().contains("--seed=7"));
}

#[test]
fn a_storm_ends_when_all_it_waits_for_was_found_and_not_before() {
    if !testable() {
        return;
    }
    let until = ["--until", "hole", "--until", "no-such-class"];
    let args = ["first-tears", "--threads=2", "--runs=1", "--seconds=0.3", "--format=json", "-q"];
    let refused = run([&args[..], &until[..]].concat());
    assert_eq!(refused.status.code(), Some(64), "a class that does not exist can't be found");
    // No kernel prints lines that do not parse, so the time has to run out.
    let until = ["--until", "malformed", "--until", "hole", "--ops=resize"];
    let table = json(&run([&args[..], &until[..]].concat()));
    assert!(table["rows"][0]["elapsed_ms"].as_f64().unwrap() >= 300.0, "{table}");
}

#[test]
fn a_pinned_shape_is_played_alone_and_others_in_turn() {
    if !testable() {
        return;
    }
    let workloads = |more: &[&str]| {
        let args = ["--threads=6", "--seconds=0.6", "--format=json", "-q"];
        let report = json(&run([&args[..], more].concat()));
        let played = report["workloads"].as_array().unwrap().clone();
        let slices: u64 = played.iter().map(|workload| workload["slices"].as_u64().unwrap()).sum();
        assert_eq!(slices, report["slices"].as_u64().unwrap());
        played
            .iter()
            .map(|workload| workload["workload"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(workloads(&["--workload=pair-paused"]), ["pair-paused"]);
    assert!(workloads(&[]).len() > 1);
}

#[test]
fn nonsense_is_refused() {
    for (args, named) in [
        (vec!["first-tears", "--threads=1"], "--threads"),
        (vec!["first-tears", "--threads=2,x"], "--threads"),
        (vec!["first-tears", "--runs=0"], "--runs"),
        (vec!["first-tears", "--seconds=0"], "--seconds"),
        (vec!["first-tears", "--workload=round"], "--workload"),
        (vec!["first-tears", "--until=hole/replaced"], "did you mean \"replaced-in-flight\"?"),
        (vec!["first-tears", "--until=hole/-/remap/wlak"], "did you mean \"walk\"?"),
        (vec!["--workload=round"], "--workload"),
    ] {
        let output = run(&args);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{args:?}: {text}");
        assert!(text.contains(named), "{args:?}: {text}");
    }
}

/// A user whose threads are counted by RLIMIT_NPROC; root's are not.
const NOBODY: u32 = 65534;

#[test]
fn a_storm_that_fails_leaves_the_table_of_those_before() {
    if !testable() {
        return;
    }
    // Each of these takes one of the threads that the user may have, which no limit shows beforehand.
    let sleeps: Result<Vec<_>, _> =
        (0..6).map(|_| Command::new("sleep").arg("60").uid(NOBODY).spawn()).collect();
    let Ok(mut sleeps) = sleeps else { return skip("this takes root, to be somebody else") };
    let mut command = mapstorm([
        "first-tears",
        "--threads=2,8",
        "--runs=1",
        "--seconds=0.2",
        "--format=json",
        "--seed=7",
    ]);
    let most = Rlimit { current: Some(12), maximum: Some(12) };
    // SAFETY: one system call, which allocates nothing, between fork and exec.
    unsafe { command.uid(NOBODY).pre_exec(move || Ok(setrlimit(Resource::Nproc, most)?)) };
    let output = command.output();
    for sleep in &mut sleeps {
        sleep.kill().unwrap();
        sleep.wait().unwrap();
    }
    let Ok(output) = output else { return skip("somebody else may not run the binary") };
    assert_eq!(output.status.code(), Some(70), "{}", told(&output));
    let table = json(&output);
    assert_eq!(table["rows"][0]["storms"], 1, "{table}");
    assert!(table["failure"].as_str().unwrap().contains("thread"), "{table}");
}
