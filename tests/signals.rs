//! Drives every command that takes its time with the signals that end it.

mod common;

use common::{BINARY, Dir, SCENARIO, testable};
use rustix::process::{Pid, Signal, kill_process};
use std::process::{Child, Command, Stdio};

/// Commands that would go on for long, and words that are in their results.
const ROWS: [(&str, &str); 8] = [
    ("--seconds 600 --allow hole", "promise"),
    ("cases --only 1 --seconds-per-case 600 --interface read --boundary page", "maps is read"),
    ("cases --only 1 --seconds-per-case 600 --interface read --format ktap", "# Totals"),
    ("first-tears --threads 2 --runs 1 --seconds 600", "median"),
    ("replay FILE --seconds 600", " walk"),
    ("minimize FILE -o FILE.least --seconds 600", "shown"),
    ("latency --nsamples 1000 --duration 1 --mb 8", "region"),
    ("selfcheck --seconds 600", "seed"),
];

fn started(words: &str, nohup: bool) -> Child {
    let script = if nohup { "trap '' HUP; exec \"$@\"" } else { "exec \"$@\"" };
    Command::new("sh")
        .args(["-c", script, "sh", BINARY, "--quiet"])
        .args(words.split(' '))
        .stdin(Stdio::null())
        .current_dir(std::env::temp_dir())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("there is a shell")
}

fn pid(child: &Child) -> Pid {
    Pid::from_child(child)
}

/// A set of signals in /proc/PID/status.
fn signals(child: &Child, which: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(which)).unwrap();
    u64::from_str_radix(line.trim_start_matches(':').trim(), 16).unwrap()
}

fn has(set: u64, signal: Signal) -> bool {
    set & (1 << (signal.as_raw() - 1)) != 0
}

/// Waits until SIGTERM is caught, which is caught together with the others; by mapstorm, not by the
/// shell that starts it.
fn wait_until_caught(child: &mut Child) {
    while !has(signals(child, "SigCgt"), Signal::XFSZ) {
        let ended = child.try_wait().unwrap();
        assert!(ended.is_none(), "{ended:?} before a signal came");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

#[test]
fn a_dropped_session_ends_every_command_with_its_result() {
    if !testable() {
        return;
    }
    let dir = Dir::new();
    let file = dir.file("scenario.json", SCENARIO);
    for (words, result) in ROWS {
        let mut child = started(&words.replace("FILE", &file), false);
        wait_until_caught(&mut child);
        assert!(has(signals(&child, "SigCgt"), Signal::HUP), "{words}");
        // From the shell, and from the kernel when the shell ends.
        kill_process(pid(&child), Signal::HUP).unwrap();
        kill_process(pid(&child), Signal::HUP).unwrap();
        let output = child.wait_with_output().unwrap();
        let told = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(129), "{words}: {told}");
        assert!(told.contains(result), "{words}: {told}");
    }
}

#[test]
fn the_first_signal_gives_the_code() {
    if !testable() {
        return;
    }
    // As systemd ends what is in a session.
    let mut child = started("--seconds 600 --allow hole", false);
    wait_until_caught(&mut child);
    kill_process(pid(&child), Signal::TERM).unwrap();
    kill_process(pid(&child), Signal::HUP).unwrap();
    let output = child.wait_with_output().unwrap();
    // Two signals that wait for the same thread are delivered in any order; both leave a report.
    assert!(matches!(output.status.code(), Some(129 | 143)), "{:?}", output.status);
    assert!(String::from_utf8_lossy(&output.stdout).contains("promise"));
}

#[test]
fn what_was_started_with_nohup_goes_on() {
    if !testable() {
        return;
    }
    let dir = Dir::new();
    let file = dir.file("scenario.json", SCENARIO);
    for (words, result) in ROWS {
        let mut child = started(&words.replace("FILE", &file), true);
        wait_until_caught(&mut child);
        assert!(has(signals(&child, "SigIgn"), Signal::HUP), "{words}");
        kill_process(pid(&child), Signal::HUP).unwrap();
        kill_process(pid(&child), Signal::TERM).unwrap();
        let output = child.wait_with_output().unwrap();
        let told = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(143), "{words}: {told}");
        assert!(told.contains(result), "{words}: {told}");
    }
}

#[test]
fn the_second_signal_kills() {
    if !testable() {
        return;
    }
    let mut child = started("--seconds 600", false);
    wait_until_caught(&mut child);
    // Stopped, so that both are there before it can end by itself.
    kill_process(pid(&child), Signal::STOP).unwrap();
    kill_process(pid(&child), Signal::HUP).unwrap();
    kill_process(pid(&child), Signal::INT).unwrap();
    kill_process(pid(&child), Signal::TERM).unwrap();
    kill_process(pid(&child), Signal::CONT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(matches!(output.status.code(), Some(130 | 143)), "{:?}", output.status);
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(!told.contains("promise"), "it reported in spite of two signals: {told}");
}
