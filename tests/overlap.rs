//! Drives the binary where readers and mutators can't run at once, and with another niceness.

mod common;

use common::{mapstorm, testable};
use serde_json::Value;
use std::process::{Output, Stdio};

const QUIET: [&str; 8] = ["--threads", "4", "--readers", "1", "--ops", "resize", "--seconds", "3"];

/// Runs it with the first of this process's CPUs alone. Nothing where nothing can be tested.
fn on_one_cpu(args: &[&str]) -> Option<Output> {
    if !testable() {
        return None;
    }
    Some(common::on_one_cpu(mapstorm(args).arg("-q")).output().unwrap())
}

#[test]
fn a_storm_on_one_cpu_is_no_clean_bill() {
    let args: Vec<&str> = QUIET.into_iter().chain(["--format", "json"]).collect();
    let Some(output) = on_one_cpu(&args) else { return };
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let overlap = &report["overlap"];
    assert_eq!(overlap["cpus"], 1, "{overlap}");
    assert_eq!((&overlap["overlap_ms"], &overlap["overlap_percent"]), (&0.into(), &0.0.into()));
    assert_eq!(overlap["hardly_tested"], true, "{overlap}");
    assert!(overlap["played_ms"].as_u64() > Some(0), "{overlap}");
    assert_eq!(report["allocations_in_storm"], 0);

    let Some(output) = on_one_cpu(&QUIET) else { return };
    let text = String::from_utf8_lossy(&output.stdout);
    // Beside a violation it is of no matter how much was tested.
    if output.status.code() == Some(0) {
        assert!(text.starts_with("UPHELD, BUT HARDLY TESTED"), "{text}");
        assert!(text.contains("all ran on one CPU, so only preemption was tested"), "{text}");
    }
}

#[test]
fn cases_on_one_cpu_say_so() {
    let args = ["cases", "--only", "5", "--interface", "read", "--format", "ktap"];
    let Some(output) = on_one_cpu(&args) else { return };
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.lines().any(|line| line.starts_with("# hardly tested: ")), "{text}");
    assert!(text.lines().last().unwrap().starts_with("# Totals: "), "{text}");
}

/// The niceness of a thread: proc_pid_stat(5), field 19.
fn niceness(stat: &str) -> Option<i32> {
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(16)?.parse().ok()
}

#[test]
fn the_workers_are_as_nice_as_asked_for_and_nobody_else() {
    if !testable() {
        return;
    }
    let own = niceness(&std::fs::read_to_string("/proc/self/stat").unwrap()).unwrap();
    // More is allowed to everybody.
    let nice = (own + 3).min(19);
    let mut command = mapstorm(QUIET);
    command.args(["-q", "--format", "json", "--nice", &nice.to_string()]).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut seen = Vec::new();
    while child.try_wait().unwrap().is_none() {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", child.id()));
        for task in tasks.into_iter().flatten().flatten() {
            let Ok(stat) = std::fs::read_to_string(task.path().join("stat")) else { continue };
            seen.extend(niceness(&stat).map(|nice| (stat.contains("(storm-"), nice)));
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert!(seen.contains(&(true, nice)), "no worker was ever seen with niceness {nice}");
    assert!(seen.iter().all(|&(worker, seen)| worker || seen == own), "{own}");
    let output = child.wait_with_output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["nice"], nice);
}

#[test]
fn a_niceness_that_does_not_exist_is_refused() {
    for nice in ["20", "-21", "low"] {
        let output = mapstorm(["--nice", nice]).output().unwrap();
        assert_eq!(output.status.code(), Some(64), "{nice}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("--nice"), "{nice}");
    }
}
