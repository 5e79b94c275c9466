//! Drives the binary with threads that do not come back from a call: those that the kernel keeps are
//! stalls, and no others.

mod common;

use common::{mapstorm, skip, testable};
use serde_json::Value;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A storm in which only a stall is a violation: what else this kernel does is allowed.
fn storm(args: &[&str]) -> Command {
    let mut command = mapstorm(["--threads", "3", "--readers", "1", "--ops", "resize"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.args(["--pause-every", "60", "--format", "json", "-q"]);
    for class in ["hole", "torn", "stale", "unknown", "disorder", "malformed", "truncated"] {
        command.args(["--allow", class]);
    }
    command.args(args);
    command
}

/// Its report, and its exit code.
fn ended(child: Child) -> (Value, Option<i32>) {
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    let report = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("no JSON ({error}), {:?}: {told}", output.status));
    (report, output.status.code())
}

fn stalls(report: &Value) -> usize {
    let violations = report["violations"].as_array().unwrap().iter();
    violations.filter(|violation| violation["class"] == "stall").count()
}

#[test]
fn a_thread_that_spins_in_the_kernel_is_a_stall() {
    if !testable() {
        return;
    }
    let child = storm(&["--seconds", "600", "--stall", "0.5", "--inject", "stall-spinning"])
        .spawn()
        .unwrap();
    let (report, code) = ended(child);
    assert_eq!((stalls(&report), code), (1, Some(1)), "{}", report["ended"]);
}

#[test]
fn a_thread_that_a_signal_would_wake_is_undecided_and_the_storm_goes_on() {
    if !testable() {
        return;
    }
    let child =
        storm(&["--seconds", "2", "--stall", "0.5", "--inject", "stall-asleep"]).spawn().unwrap();
    let (report, code) = ended(child);
    assert_eq!((stalls(&report), code), (0, Some(5)), "{}", report["ended"]);
    assert_eq!(report["verdict"], "undecided");
    assert_eq!(report["overdue_calls"]["undecided"], 1);
    assert!(report["elapsed_ms"].as_u64() >= Some(2000));
    let why = report["ended"]["lost"].as_str().unwrap();
    assert!(why.contains("a signal would wake it"), "{why}");
}

#[test]
fn a_process_that_was_stopped_for_longer_than_a_call_may_take_has_no_stall() {
    if !testable() {
        return;
    }
    let child = storm(&["--seconds", "4", "--stall", "0.3"]).spawn().unwrap();
    let pid = child.id() as i32;
    for _ in 0..3 {
        std::thread::sleep(Duration::from_millis(400));
        // SAFETY: signals to a child that has not been waited for.
        unsafe { libc::kill(pid, libc::SIGSTOP) };
        std::thread::sleep(Duration::from_millis(1000));
        // SAFETY: as above.
        unsafe { libc::kill(pid, libc::SIGCONT) };
    }
    let (report, code) = ended(child);
    assert_eq!(stalls(&report), 0, "{}", report["ended"]);
    assert_ne!(code, Some(1));
}

/// The threads of the storm's workers, once all have begun.
fn workers(pid: u32) -> Vec<i32> {
    let is_worker = |task: &Path| {
        let name = std::fs::read_to_string(task.join("comm")).unwrap_or_default();
        name.starts_with("storm-")
    };
    loop {
        let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("the storm goes on");
        let tasks = tasks.map(|task| task.unwrap().path()).filter(|task| is_worker(task));
        let tids = tasks.map(|task| task.file_name().unwrap().to_str().unwrap().parse().unwrap());
        let tids: Vec<i32> = tids.collect();
        if tids.len() == 3 {
            return tids;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_thread_that_a_debugger_holds_is_no_stall() {
    if !testable() {
        return;
    }
    let mut child = storm(&["--seconds", "4", "--stall", "0.3"]).spawn().unwrap();
    let tids = workers(child.id());
    // Time for the storm to begin; held before, the threads would be held at rest.
    std::thread::sleep(Duration::from_millis(500));
    for &tid in &tids {
        let none = std::ptr::null_mut::<libc::c_void>();
        // SAFETY: these requests take no memory of this process.
        let held = unsafe {
            libc::ptrace(libc::PTRACE_SEIZE, tid, none, none) == 0
                && libc::ptrace(libc::PTRACE_INTERRUPT, tid, none, none) == 0
        };
        if !held {
            skip(format!("no ptrace here: {}", std::io::Error::last_os_error()));
            child.kill().and_then(|()| child.wait()).unwrap();
            return;
        }
        // SAFETY: waits for the thread to stop; no status is asked for.
        unsafe { libc::waitpid(tid, std::ptr::null_mut(), libc::__WALL) };
    }
    std::thread::sleep(Duration::from_secs(1));
    for &tid in &tids {
        let none = std::ptr::null_mut::<libc::c_void>();
        // SAFETY: as above.
        assert_eq!(unsafe { libc::ptrace(libc::PTRACE_DETACH, tid, none, none) }, 0);
    }
    let (report, code) = ended(child);
    assert_eq!(stalls(&report), 0, "{}", report["ended"]);
    assert_ne!(code, Some(1));
}
