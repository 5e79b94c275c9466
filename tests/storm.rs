//! Drives the binary: what a person or a CI job sees of a storm.
//!
//! What the real kernel does varies, so nothing here expects a tear or its absence: only that the
//! report, its figures and the exit code agree with each other.

mod common;

use common::{Dir, json, mapstorm, run, skip, testable, text};
use mapstorm::kernel::Loads;
use serde_json::Value;
use std::fs::File;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

/// A storm under way, both its streams in pipes.
fn started(args: &[&str]) -> Child {
    mapstorm(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Waits for the first line on stderr, which is printed after the signals are caught.
fn wait_for_first_line(storm: &mut Child) {
    let mut first = [0; 1];
    std::io::Read::read_exact(storm.stderr.as_mut().unwrap(), &mut first).unwrap();
}

/// Waits until the workers are there: what comes before them takes its time on a busy machine.
fn wait_for_workers(storm: &mut Child, workers: usize) {
    let tasks = format!("/proc/{}/task", storm.id());
    let works = |task: std::io::Result<std::fs::DirEntry>| {
        let name = task.and_then(|task| std::fs::read_to_string(task.path().join("comm")));
        name.is_ok_and(|name| name.starts_with("storm-"))
    };
    let there = || std::fs::read_dir(&tasks).unwrap().map(works).filter(|&works| works).count();
    while there() < workers {
        assert!(storm.try_wait().unwrap().is_none(), "it ended before it began");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Seconds of storms that go on until something is seen: each is tried when the one before was too
/// short for this machine.
const PATIENCE: [&str; 4] = ["0.5", "2", "8", "32"];

/// What a storm says that goes on for long enough to show what is asked for.
fn until(what: &str, args: &[&str], seen: impl Fn(&Output) -> bool) -> Output {
    let mut outputs =
        PATIENCE.iter().map(|seconds| run(args.iter().chain(&["--seconds", seconds])));
    outputs.find(seen).unwrap_or_else(|| panic!("{what}: never seen, in storms of up to 32 s"))
}

/// Whether the report has a violation.
fn has_violations(output: &Output) -> bool {
    !json(output)["violations"].as_array().unwrap().is_empty()
}

/// The exit code and the verdict say the same, and the figures bear it out.
fn agrees(output: &Output, report: &Value) {
    let alarming: u64 = report["violations"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|violation| violation["allowed"] == false)
        .map(|violation| violation["count"].as_u64().unwrap())
        .sum::<u64>()
        + report["violations_beyond"].as_u64().unwrap();
    let code = match report["verdict"].as_str().unwrap() {
        "upheld" | "allowed" => 0,
        "violated" => 1,
        "untestable" => 4,
        "undecided" => 5,
        other => panic!("verdict {other:?}"),
    };
    assert_eq!(output.status.code(), Some(code), "{report}");
    assert_eq!(code == 1, alarming > 0, "{report}");
    let allowed = report["allowed_violations"].as_u64().unwrap();
    let word = report["verdict"].as_str().unwrap();
    assert!(word != "upheld" || allowed == 0, "{report}");
    assert!(word != "allowed" || allowed > 0, "{report}");
    let broken: u64 = report["scorecard"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|score| score["asked"] == true)
        .map(|score| score["broken"].as_u64().unwrap())
        .sum();
    assert_eq!(broken > 0, !report["violations"].as_array().unwrap().is_empty(), "{report}");
}

/// Two kinds of users of VMA locks meet: faults are counted, some in an operation's window, and some
/// refused, because the lanes have holes.
#[test]
fn faulters_fault_while_operations_are_under_way() {
    if !testable() || !Loads::OFFERED {
        return;
    }
    let args = ["--threads", "2", "--faulters", "2", "--seconds", "6", "--seed", "1", "-q"];
    let output = run(args.iter().chain(&["--format", "json"]));
    let report = json(&output);
    let faulters = &report["faulters"];
    for field in ["slices", "loads", "faults", "refused", "met_operation"] {
        assert!(faulters[field].as_u64() > Some(0), "{field}: {faulters}");
    }
    assert!(faulters["faults"].as_u64() >= faulters["met_operation"].as_u64(), "{faulters}");
    assert_eq!(faulters["threads"], 2);
    assert_eq!(report["allocations_in_storm"], 0);
    assert_eq!(report["standstills"]["mismatches"], 0, "{}", report["standstills"]);
    let none = run(["--threads", "2", "--faulters", "0", "--seconds", "0.2", "--format", "json"]);
    assert_eq!(json(&none)["faulters"], Value::Null);
}

/// A load that is refused although its page could be read all the time is a violation.
#[test]
fn a_load_that_should_not_have_been_refused_is_told() {
    if !testable() || !Loads::OFFERED {
        return;
    }
    let args =
        ["--threads", "2", "--faulters", "1", "--inject", "hole-faulter", "--seed", "1", "-q"];
    let output = until("a refused load", &[&args[..], &["--format", "json"]].concat(), |output| {
        json(output)["faulters"]["refused_readable"].as_u64() > Some(0)
    });
    let report = json(&output);
    agrees(&output, &report);
    let faulters = &report["faulters"];
    let count = |field: &str| faulters[field].as_u64().unwrap();
    // What is planted is counted as a load that was refused, too.
    assert!(count("refused_readable") <= count("refused"), "{faulters}");
    let first = faulters["first_refused"].as_str().unwrap();
    assert!(first.contains("could be read at every instant"), "{first}");
    let found = report["violations"].as_array().unwrap();
    let of_faulters = |violation: &&Value| {
        let signature = violation["signature"].as_str().unwrap();
        signature.starts_with("hole/-/") && signature.ends_with("/-")
    };
    let told = found.iter().filter(of_faulters).map(|found| found["count"].as_u64().unwrap());
    assert_eq!(told.sum::<u64>(), count("refused_readable"), "{report}");
    let alone = run(["--threads", "2", "--faulters", "0", "--inject", "hole-faulter"]);
    assert_eq!(alone.status.code(), Some(64), "{}", text(&alone.stderr));
}

/// At the limit calls fail, what they left is known, and the kernel's layout at standstills is the oracle's.
#[test]
fn a_storm_at_the_limit_knows_what_failed_calls_leave() {
    if !testable() {
        return;
    }
    let args = ["--workload", "limit", "--threads", "4", "--seed", "1", "--format", "json", "-q"];
    let failed = |report: &Value, field: &str| {
        report["operations"]["failed_at_limit"][field].as_u64().unwrap_or(0)
    };
    let output = run(args.iter().chain(&["--seconds", "0.1"]));
    if output.status.code() == Some(4) {
        return skip(text(&output.stderr));
    }
    let output = until("failing calls", &args, |output| {
        let report = json(output);
        failed(&report, "unchanged") > 100
    });
    let report = json(&output);
    agrees(&output, &report);
    let all = report["operations"]["failed"].as_u64().unwrap();
    assert!(failed(&report, "unchanged") + failed(&report, "half_done") <= all, "{report}");
    assert_eq!(report["standstills"]["mismatches"], 0, "{}", report["standstills"]);
    assert_eq!(report["standstills"]["repaired"], 0, "each lane is emptied at once");
    assert_eq!(report["allocations_in_storm"], 0);
    let other =
        run(["--workload", "duel", "--threads", "2", "--seconds", "0.1", "--format", "json"]);
    assert_eq!(json(&other)["operations"]["failed_at_limit"], Value::Null);
}

#[test]
fn a_short_storm_reports_what_it_did() {
    if !testable() {
        return;
    }
    let output = run(["--threads", "4", "--seconds", "1", "--seed", "0x2a", "--format", "json"]);
    let report = json(&output);
    agrees(&output, &report);
    assert_eq!(report["schema_version"], 2);
    assert_eq!(report["program"], "mapstorm");
    let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    assert_eq!(report["boot_id"], boot_id.trim());
    assert_eq!(report["seed"], "0x2a");
    assert!(report["command"].as_str().unwrap().contains("--seed 0x2a"));
    assert!(report["operations"]["total"].as_u64().unwrap() > 0);
    assert_eq!(report["operations"]["failed"], 0, "{report}");
    assert!(report["reads"]["walks"].as_u64().unwrap() > 0);
    assert!(report["checked_lines"].as_u64().unwrap() > 100);
    assert_eq!(report["allocations_in_storm"], 0, "something allocates in mid-storm");
    assert_eq!(report["standstills"]["mismatches"], 0, "{report}");
    assert!(report["standstills"]["checked"].as_u64().unwrap() >= 1);
    // The mark that the issue sets: 64 MiB and one for each thread.
    assert!(report["peak_rss_bytes"].as_u64().unwrap() < (64 + 4) << 20, "{report}");
}

#[test]
fn only_the_operations_and_ways_asked_for_are_done() {
    if !testable() {
        return;
    }
    let asked = ["map", "protect"];
    let count = |report: &Value, kind: &str| {
        report["operations"]["by_kind"][kind].as_u64().unwrap_or_else(|| panic!("{kind}: {report}"))
    };
    let args = ["--ops", "map,protect", "--read", "pread", "--format", "json"];
    let output = until("operations of both kinds", &args, |output| {
        asked.iter().all(|kind| count(&json(output), kind) > 0)
    });
    let report = json(&output);
    agrees(&output, &report);
    for kind in report["operations"]["by_kind"].as_object().unwrap().keys() {
        assert_eq!(count(&report, kind) > 0, asked.contains(&&**kind), "{kind}: {report}");
    }
    for (mode, count) in report["reads"]["by_mode"].as_object().unwrap() {
        assert_eq!(count.as_u64().unwrap() > 0, mode == "pread", "{mode}: {report}");
    }
}

#[test]
fn one_of_a_kind_is_singular() {
    if !testable() {
        return;
    }
    // With one reader, one lane, and one violation of one signature.
    let output = run([
        "--threads",
        "2",
        "--lanes",
        "1",
        "--read",
        "walk",
        "--inject",
        "malformed",
        "--fail-fast",
        "--seconds",
        "60",
        "-v",
    ]);
    let report = text(&output.stdout);
    assert!(report.contains("2 threads (1 reader), 1 lane of 16 pages"), "{report}");
    for line in report.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        for pair in words.windows(2) {
            let one = pair[0].trim_start_matches('(') == "1";
            let noun = pair[1].trim_end_matches([',', '.', ':', ';', ')']);
            // A rate, such as 143/s, is no noun.
            let plural = noun.len() > 2 && noun.ends_with('s') && !noun.contains('/');
            assert!(!one || !plural, "{line}");
        }
    }
}

#[test]
fn what_is_allowed_does_not_fail_the_run() {
    if !testable() {
        return;
    }
    let classes = [
        "hole",
        "torn",
        "stale",
        "unknown",
        "disorder",
        "malformed",
        "truncated",
        "mismatch",
        "stall",
    ];
    let dir = Dir::new();
    let file = dir.file("allowed", &(classes.join("\n") + "\n# a comment\n"));
    let args = ["--allow-file", &file, "--read=walk", "--inject=hole", "--format=json"];
    let output = until("the planted hole", &args, has_violations);
    let report = json(&output);
    agrees(&output, &report);
    for violation in report["violations"].as_array().unwrap() {
        assert_eq!(violation["allowed"], true);
    }
}

/// A storm with a planted fault and every class allowed.
const ALL_ALLOWED: [&str; 11] = [
    "--threads=2",
    "--ops=resize",
    "--read=walk",
    "--inject=hole",
    "-q",
    "--allow=hole",
    "--allow=torn",
    "--allow=stale",
    "--allow=unknown",
    "--allow=disorder",
    "--allow=truncated",
];

#[test]
fn promises_that_were_broken_are_not_upheld_where_that_is_allowed() {
    if !testable() {
        return;
    }
    let args = [&ALL_ALLOWED[..], &["--format=json"]].concat();
    let output = until("the planted hole", &args, has_violations);
    let report = json(&output);
    agrees(&output, &report);
    assert_eq!((output.status.code(), &report["verdict"]), (Some(0), &"allowed".into()));
    let violations = report["violations"].as_array().unwrap();
    let count = |violation: &Value| violation["count"].as_u64().unwrap();
    assert_eq!(report["allowed_violations"], violations.iter().map(count).sum::<u64>());
    let output = until("the planted hole", &ALL_ALLOWED, |output| {
        text(&output.stdout).starts_with("ALLOWED")
    });
    let told = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(!told.to_lowercase().contains("upheld") && told.contains(" allowed:\n"), "{told}");
}

#[test]
fn the_first_signal_ends_it_with_a_report() {
    if !testable() {
        return;
    }
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        let mut storm = started(&["--seconds", "600", "--format", "json"]);
        wait_for_first_line(&mut storm);
        let pid = storm.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
        let output = storm.wait_with_output().unwrap();
        let report = json(&output);
        assert_eq!(output.status.code(), Some(code), "{report}");
        assert!(report["elapsed_ms"].as_u64().unwrap() < 600_000);
    }
}

#[test]
fn nonsense_is_refused_with_the_flag_and_the_code_64() {
    let missing = "/nonexistent/signatures";
    for (args, told) in [
        (&["--threads", "1"][..], "--threads"),
        (&["--threads", "0"], "--threads"),
        (&["--threads", "99999999999"], "--threads"),
        (&["--threads", "4", "--readers", "4"], "--readers"),
        (&["--readers", "0"], "--readers"),
        (&["--seconds", "0"], "--seconds"),
        (&["--seconds", "-3"], "--seconds"),
        (&["--seconds", "nan"], "--seconds"),
        (&["--lanes", "0"], "--lanes"),
        (&["--pages", "65"], "--pages"),
        (&["--ops", "map,frobnicate"], "frobnicate"),
        (&["--ops", ""], "--ops"),
        (&["--read", "telepathy"], "telepathy"),
        (&["--contract", "verbal"], "--contract"),
        (&["--seed", "0xyz"], "--seed"),
        (&["--allow", "holes/"], "did you mean \"hole\"?"),
        (&["--allow", "hole/replaced-in-fligth"], "did you mean \"replaced-in-flight\"?"),
        (
            &["--allow", "hole/-/map+rempa"],
            "\"rempa\"; did you mean \"remap\"? known are map, unmap",
        ),
        (&["--allow", "hole/-/-/wlak"], "did you mean \"walk\"?"),
        (&["--ops", "portect"], "did you mean \"protect\"?"),
        (&["--read", "smap"], "did you mean \"smaps\"?"),
        (&["--contract", "snapshots"], "did you mean \"snapshot\"?"),
        (&["--allow-file", missing], missing),
        (&["--no-such-flag"], "--no-such-flag"),
        (&["no-such-command"], "no-such-command"),
    ] {
        let output = run(args);
        let complaint = text(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{args:?}: {complaint}");
        assert!(complaint.contains(told), "{args:?}: {complaint}");
    }
}

#[test]
fn a_misspelt_signature_in_a_file_is_refused_with_its_line() {
    let dir = Dir::new();
    let content = "# known ones\nhole/skipped-after-merge\n\ntron # a comment\n";
    let output = run(["--allow-file", &dir.file("misspelt", content)]);
    let complaint = text(&output.stderr);
    assert_eq!(output.status.code(), Some(64), "{complaint}");
    for told in ["--allow-file", "line 4", "\"tron\"", "did you mean \"torn\"?"] {
        assert!(complaint.contains(told), "{told}: {complaint}");
    }
}

#[test]
fn flags_about_printing_may_stand_before_any_command() {
    let output = run(["-q", "storm", "--ops", "frobnicate"]);
    assert_eq!(output.status.code(), Some(64));
    assert!(text(&output.stderr).contains("frobnicate"), "{}", text(&output.stderr));
    let output = run(["--color", "never", "-q", "-v", "explain", "/nonexistent/tear.json"]);
    assert!(text(&output.stderr).contains("/nonexistent/tear.json"), "{}", text(&output.stderr));
    // One of the storm's would be heeded by nobody.
    for command in ["probe", "storm"] {
        let output = run(["--seconds", "3", "-q", command]);
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{told}");
        assert!(told.contains("--seconds") && told.contains(command), "{told}");
    }
}

#[test]
fn an_arena_of_more_vmas_than_allowed_is_refused() {
    let limit = std::fs::read_to_string("/proc/sys/vm/max_map_count").unwrap_or_default();
    if !limit.trim().parse::<u64>().is_ok_and(|limit| limit < 4096 * 64) {
        skip("vm.max_map_count allows the largest arena");
        return;
    }
    let output = run(["--lanes", "4096", "--pages", "64"]);
    let complaint = text(&output.stderr);
    assert_eq!(output.status.code(), Some(64), "{complaint}");
    assert!(complaint.contains("--lanes") && complaint.contains("vm.max_map_count"), "{complaint}");
}

/// A storm in which no address space is to be had from `tight` after its start for as long again.
fn short_of_room(tight: Duration) -> Output {
    use rustix::process::{Pid, Resource, Rlimit, prlimit};
    let seconds = (3 * tight + Duration::from_secs(1)).as_secs_f64().to_string();
    let args = ["--threads", "4", "--pause-every", "0.2", "--format", "json", "--seconds"];
    let mut storm = started(&[&args[..], &[&seconds]].concat());
    wait_for_workers(&mut storm, 4);
    std::thread::sleep(tight);
    // From here on every mmap into a hole fails with ENOMEM; what is there stays.
    let limit = |current| Rlimit { current, maximum: None };
    let pid = Pid::from_raw(storm.id() as i32);
    prlimit(pid, Resource::As, limit(Some(1 << 20))).unwrap();
    std::thread::sleep(tight);
    prlimit(pid, Resource::As, limit(None)).unwrap();
    storm.wait_with_output().unwrap()
}

#[test]
fn operations_that_fail_in_mid_storm_leave_doubt_and_no_violation() {
    if !testable() {
        return;
    }
    let failed = |output: &Output| json(output)["operations"]["failed"].as_u64().unwrap();
    let mut outputs = [500, 2000, 8000].into_iter().map(Duration::from_millis).map(short_of_room);
    let output = outputs.find(|output| failed(output) > 0);
    let output = output.expect("no operation failed in 8 s without address space");
    let report = json(&output);
    agrees(&output, &report);
    assert!(report["standstills"]["repaired"].as_u64().unwrap() > 0, "{report}");
    assert_eq!(report["standstills"]["mismatches"], 0, "{report}");
    let torn = ["torn", "unknown", "malformed", "truncated", "mismatch"];
    for violation in report["violations"].as_array().unwrap() {
        assert!(!torn.contains(&violation["class"].as_str().unwrap()), "{violation}");
    }
}

#[test]
fn the_old_name_of_a_flag_is_still_taken() {
    let output = run(["--shape", "no-such-workload"]);
    assert_eq!(output.status.code(), Some(64));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("--workload") && told.contains("duel"), "{told}");
}

#[test]
fn help_and_version_are_no_errors() {
    for (args, told) in [(&["--help"][..], "--threads"), (&["--version"], "mapstorm")] {
        let output = run(args);
        assert_eq!(output.status.code(), Some(0));
        assert!(text(&output.stdout).contains(told));
    }
}

#[test]
fn a_full_disk_is_told_and_the_report_goes_to_stderr() {
    if !testable() {
        return;
    }
    let Ok(full) = File::options().write(true).open("/dev/full") else {
        skip("no /dev/full");
        return;
    };
    let args = ["--seconds", "0.5", "--format", "json", "--quiet"];
    let output = mapstorm(args).stdout(full).output().unwrap();
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(70), "{told}");
    assert!(told.contains("schema_version") && told.contains("cannot write"), "{told}");
}

#[test]
fn a_closed_pipe_ends_quietly() {
    if !testable() {
        return;
    }
    let mut storm = started(&["--seconds", "0.5", "--quiet"]);
    drop(storm.stdout.take());
    let output = storm.wait_with_output().unwrap();
    assert_eq!(text(&output.stderr), "");
    assert!(matches!(output.status.code(), Some(0 | 1 | 5)), "{:?}", output.status);
}

#[test]
fn the_probe_says_the_same_in_words_and_in_json() {
    if !testable() {
        return;
    }
    let words = text(&run(["probe"]).stdout);
    let data = json(&run(["probe", "--format", "json"]));
    assert!(words.contains(data["kernel"].as_str().unwrap()));
    for operation in data["operations"].as_array().unwrap() {
        assert!(words.contains(operation.as_str().unwrap()));
    }
    for dropped in data["dropped"].as_array().unwrap() {
        assert!(words.contains(dropped[0].as_str().unwrap()));
    }
}
