//! Drives the binary from a planted fault to its file, and with every command it prints.
//!
//! What the real kernel tears varies, so faults are planted with `--inject`; nothing here expects
//! a tear of the kernel or its absence.

mod common;

use common::{BINARY, Dir, commands, run, skip, testable, text, told};
use mapstorm::evidence::{Saved, decode, load};
use mapstorm::kernel::parse;
use mapstorm::latency::Outcome;
use rustix::process::{Resource, Rlimit};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A storm with a planted fault, its report, and the files of the planted class. It goes on for as
/// long as this machine needs.
fn planted(class: &str, dir: &Dir) -> (Output, Vec<PathBuf>) {
    let out = dir.to_str().unwrap();
    // Some ten thousand calls a second, a fault in one of 64 that deliver lines of the arena. With
    // so many lanes these take more than a page of output, which a truncation needs.
    let args = ["--threads", "2", "--lanes", "24", "--read", "walk", "-q", "--out", out];
    for seconds in ["2", "8", "32"] {
        let output = run(args.iter().chain(&["--inject", class, "--seconds", seconds]));
        let files = files_of(class, dir);
        if !files.is_empty() {
            return (output, files);
        }
        assert!(matches!(output.status.code(), Some(0 | 1 | 5)), "{class}: {}", told(&output));
    }
    panic!("{class}: planted for 32 s, and nothing kept");
}

/// What was kept of a class.
fn files_of(class: &str, dir: &Dir) -> Vec<PathBuf> {
    let files = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path());
    let of_class = |path: &PathBuf| {
        path.file_name().unwrap().to_str().unwrap().starts_with(&format!("{class}."))
    };
    files.filter(of_class).collect()
}

#[test]
fn every_planted_class_is_found_reported_saved_and_proved() {
    if !testable() {
        return;
    }
    for class in ["hole", "torn", "stale", "unknown", "disorder", "malformed", "truncated"] {
        let dir = Dir::new();
        let (output, _) = planted(class, &dir);
        let report = told(&output);
        assert_eq!(output.status.code(), Some(1), "{class}: {report}");
        assert!(report.contains(&format!("{class} ")), "{class}: {report}");
        assert!(!report.contains("DISAGREE"), "{class}: {report}");
        let commands = commands(&report);
        let [explain, verify, _] = &commands[..] else { panic!("{class}: {commands:?} {report}") };
        assert_eq!((explain[0].as_str(), verify[0].as_str()), ("explain", "verify"), "{report}");
        let verified = run(verify);
        assert_eq!(verified.status.code(), Some(0), "{class}: {}", told(&verified));
        let explained = run(explain);
        assert_eq!(explained.status.code(), Some(0), "{class}: {}", told(&explained));
        assert!(text(&explained.stdout).contains("the longest explanation"), "{class}");
    }
}

/// A saved file says which merge rules the report has.
#[test]
fn a_saved_tear_says_how_its_kernel_merges() {
    if !testable() {
        return;
    }
    let dir = Dir::new();
    let (_, files) = planted("hole", &dir);
    let Ok(Saved::Tear(tear)) = load(&files[0]) else { panic!("{} is a tear", files[0].display()) };
    let saved = serde_json::to_value(&tear.merge_rules).unwrap();
    let probe: Value = serde_json::from_slice(&run(["probe", "--format", "json"]).stdout).unwrap();
    let mut found = probe["merge_rules"].as_object().unwrap().clone();
    found.retain(|_, has| !has.is_null());
    assert_eq!(saved.as_object().unwrap(), &found);
    assert!(!tear.merge_rules.is_empty());
}

#[test]
fn a_changed_byte_that_matters_no_longer_proves_it() {
    if !testable() {
        return;
    }
    let dir = Dir::new();
    let (_, files) = planted("hole", &dir);
    let saved = std::fs::read_to_string(&files[0]).unwrap();
    let tear: Value = serde_json::from_str(&saved).unwrap();
    // The line behind the hole: its first address.
    let start = tear["found"]["line"][0].as_u64().unwrap();
    let (right, wrong) = (format!("{start:x}-"), format!("{:x}-", start ^ 0x1000));
    let line = dir.file("line.json", &saved.replace(&right, &wrong));
    let mut emptied = tear.clone();
    for lane in emptied["lanes"].as_array_mut().unwrap() {
        for version in lane["versions"].as_array_mut().unwrap() {
            version["layout"] = "empty".into();
        }
    }
    let lanes = dir.file("lanes.json", &emptied.to_string());
    let mut later = tear.clone();
    later["found"]["class"] = "torn".into();
    let class = dir.file("class.json", &later.to_string());
    for file in [line, lanes, class] {
        let output = run(["verify", &file]);
        assert_eq!(output.status.code(), Some(1), "{}", told(&output));
        assert!(told(&output).contains("DOES NOT PROVE"), "{}", told(&output));
    }
}

/// What proves that a line outside of the arena is missing: that line, and those that were read.
#[test]
fn a_line_outside_of_the_arena_is_proved_by_what_the_standstills_have() {
    if !testable() {
        return;
    }
    for (fault, class) in [("hole-outside", "hole.-.-"), ("unknown-outside", "unknown.-.-")] {
        let dir = Dir::new();
        let out = dir.to_str().unwrap();
        let args = ["--threads", "2", "--ops", "resize", "--read", "walk", "-q", "--out", out];
        run(args.iter().chain(&["--inject", fault, "--seconds", "20", "--fail-fast"]));
        let files = files_of(class, &dir);
        let saved = std::fs::read_to_string(&files[0]).unwrap();
        let verified = run(["verify", files[0].to_str().unwrap()]);
        assert_eq!(verified.status.code(), Some(0), "{}", told(&verified));
        let explained = run(["explain", files[0].to_str().unwrap()]);
        assert_eq!(explained.status.code(), Some(0), "{}", told(&explained));
        assert!(told(&explained).contains("before and after: "), "{}", told(&explained));
        let tear: Value = serde_json::from_str(&saved).unwrap();
        let lines = tear["outside"].as_array().unwrap();
        let found = &tear["found"];
        let (from, to) = match found["missing"].as_u64() {
            Some(missing) => (missing, missing + 1),
            None => (found["line"][0].as_u64().unwrap(), found["line"][1].as_u64().unwrap()),
        };
        // Without the lines where it breaks nothing is proved, and nothing else than it says.
        let there = |line: &&Value| {
            let line = parse(line.as_str().unwrap().as_bytes()).unwrap();
            line.start < to && from < line.end
        };
        let elsewhere = lines.iter().filter(|line| !there(line)).cloned();
        let mut without = tear.clone();
        without["outside"] = elsewhere.collect();
        let mut class = tear.clone();
        class["found"]["class"] = "stale".into();
        for changed in [without, class] {
            let file = dir.file("changed.json", &changed.to_string());
            let verified = run(["verify", &file]);
            assert_ne!(verified.status.code(), Some(0), "{}", told(&verified));
        }
    }
}

#[test]
fn a_file_of_version_1_still_loads_and_says_what_it_does_not_know() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/version1/tear.json");
    let old: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(old["schema_version"], 1);
    assert_eq!(run(["verify", path]).status.code(), Some(0));
    assert_eq!(run(["explain", path]).status.code(), Some(0));
    let Ok(Saved::Tear(tear)) = load(path.as_ref()) else {
        panic!("{path} is a tear");
    };
    assert_eq!((tear.header.version.as_str(), tear.header.boot_id.as_str()), ("0.1.0", "unknown"));
    assert_eq!(tear.header.seed.as_deref(), old["seed"].as_str());
    // What writes it again writes the header's fields of today, and loses nothing.
    let again = serde_json::to_vec(&tear).unwrap();
    assert_eq!(decode(&again).unwrap(), Saved::Tear(tear));
}

#[test]
fn a_scenario_of_version_1_still_loads_and_keeps_what_was_counted() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/version1/scenario.json");
    let Ok(Saved::Scenario(scenario)) = load(path.as_ref()) else {
        panic!("{path} is a scenario");
    };
    assert_eq!(scenario.schema_version, 1);
    let place = scenario.measured.as_ref().unwrap().place();
    assert_eq!(place, "Linux 6.18.44-fc-v657 (#1 SMP PREEMPT_DYNAMIC @0), 2026-11-28T12:06:45Z");
    let emitted = run(["emit-c", path]);
    assert_eq!(emitted.status.code(), Some(0), "{}", told(&emitted));
    assert!(String::from_utf8_lossy(&emitted.stdout).contains("2026-11-28T12:06:45Z"));
    let again = serde_json::to_vec(&scenario).unwrap();
    let again = decode(&again).unwrap();
    assert_eq!(again, Saved::Scenario(scenario));
}

/// A file that was saved once loads for ever, and loses nothing when it is written again.
#[test]
fn saved_files_of_every_version_load() {
    for version in ["version1", "version2"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(version);
        let mut files = 0;
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            files += 1;
            if path.ends_with("latency.json") {
                let outcome = mapstorm::latency::load(&path).unwrap();
                let again = serde_json::to_string(&outcome).unwrap();
                assert_eq!(serde_json::from_str::<Outcome>(&again).unwrap(), outcome);
                continue;
            }
            let saved = load(&path).unwrap_or_else(|why| panic!("{why}"));
            let again = match &saved {
                Saved::Tear(tear) => serde_json::to_vec(tear),
                Saved::SavedIncident(incident) => serde_json::to_vec(incident),
                Saved::Scenario(scenario) => serde_json::to_vec(scenario),
            };
            assert_eq!(decode(&again.unwrap()).unwrap(), saved, "{}", path.display());
            if !matches!(saved, Saved::Scenario(_)) {
                let proved = run(["verify".as_ref(), path.as_os_str()]);
                assert_eq!(proved.status.code(), Some(0), "{}", told(&proved));
            }
        }
        assert!(files > 2, "{version}");
    }
}

#[test]
fn a_full_disk_under_a_file_that_is_asked_for_is_no_wrong_usage() {
    let tear = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/tear.json");
    for (args, full, nowhere) in [
        (&["explain", tear, "--html"][..], 70, 64),
        (&["explain", tear, "--svg"], 70, 64),
        (&["emit-c", tear, "-o"], 70, 64),
    ] {
        let flag = args[args.len() - 1];
        for (path, code) in [("/dev/full", full), ("/nonexistent/out", nowhere)] {
            let output = run(args.iter().copied().chain([path]));
            assert_eq!(output.status.code(), Some(code), "{args:?} {path}: {}", told(&output));
            let error = text(&output.stderr);
            assert!(error.contains(&format!("{flag} {path}")), "{args:?}: {error}");
        }
    }
}

#[test]
fn files_that_are_no_good_are_refused_with_the_reason_by_every_command() {
    if !testable() {
        return;
    }
    let dir = Dir::new();
    let (_, files) = planted("hole", &dir);
    let saved = std::fs::read_to_string(&files[0]).unwrap();
    let mut tear: Value = serde_json::from_str(&saved).unwrap();
    let truncated = dir.file("truncated.json", &saved[..saved.len() / 2]);
    tear["schema_version"] = 7.into();
    let version = dir.file("version.json", &tear.to_string());
    tear["schema_version"] = 1.into();
    tear["geometry"]["pages"] = 200.into();
    let arena = dir.file("arena.json", &tear.to_string());
    tear["geometry"]["pages"] = 16.into();
    // No power of two: a page of a lane may be several of these, but a whole number.
    tear["page_size"] = 12_288.into();
    let page = dir.file("page.json", &tear.to_string());
    let none = dir.file("none.json", "{}");
    let out = dir.join("out.json");
    let out = out.to_str().unwrap();
    for (file, reason) in [
        (&truncated, "cut off"),
        (&version, "version 7"),
        (&arena, "arena"),
        (&page, "page size"),
        (&none, "no saved tear"),
    ] {
        for command in [
            vec!["verify", file],
            vec!["explain", file],
            vec!["replay", file],
            vec!["minimize", file, "-o", out],
            vec!["emit-c", file],
        ] {
            let output = run(&command);
            assert_eq!(output.status.code(), Some(64), "{command:?}: {}", told(&output));
            assert!(text(&output.stderr).contains(reason), "{command:?}: {}", told(&output));
        }
    }
}

#[test]
fn a_tear_of_other_pages_is_proved_but_not_replayed() {
    let here = rustix::param::page_size() as u64;
    let dir = Dir::new();
    let other = if here == 65536 { 16 } else { 65536u64.ilog2() };
    let size = 1u64 << other;
    let base = 0x7000_0000_0000u64;
    // One page mapped all the time, asked for, and not found.
    let tear = serde_json::json!({
        "schema_version": 1, "kind": "tear", "signature": "hole/-/-/query",
        "found": {"rule": "no-hole", "class": "hole", "missing": base, "line": null},
        "contract": "series", "mapstorm": "0", "kernel": "test", "arch": "test",
        "page_size": size, "seed": "0x1", "generator": "none", "command": "none",
        "geometry": {"base": base, "page_shift": other, "stride_shift": other + 2, "lanes": 1, "pages": 3},
        "files": [], "reader": 0, "mode": "query",
        "query": {"address": base, "or_next": false},
        "piece": {"from": 0, "to": 0, "after": false, "end": false},
        "calls": [{"offset": base, "asked": 0, "window": {"from": 10, "to": 10}, "kept": false, "text": ""}],
        "lanes": [{"lane": 0, "first": 0, "versions":
            [{"invoked": 0, "closed": null, "layout": "[0..1 rw-p anon]", "worker": 0}]}],
    });
    let file = dir.file("pages.json", &tear.to_string());
    let verified = run(["verify", &file]);
    assert_eq!(verified.status.code(), Some(0), "{}", told(&verified));
    let explained = run(["explain", &file]);
    assert_eq!(explained.status.code(), Some(0), "{}", told(&explained));
    if size != here {
        let out = dir.join("out.json");
        let out = out.to_str().unwrap();
        for command in [vec!["replay", &file], vec!["minimize", &file, "-o", out]] {
            let output = run(&command);
            assert_eq!(output.status.code(), Some(4), "{command:?}: {}", told(&output));
            assert!(text(&output.stderr).contains("65536"), "{}", told(&output));
        }
    }
    // A C program asks for the page size where it runs; but nothing happens in this tear.
    let emitted = run(["emit-c", &file]);
    assert_eq!(emitted.status.code(), Some(4), "{}", told(&emitted));
    assert!(text(&emitted.stderr).contains("no operation"), "{}", told(&emitted));
}

#[test]
fn an_arena_that_does_not_fit_here_is_refused_with_the_limit() {
    let limit = std::fs::read_to_string("/proc/sys/vm/max_map_count").unwrap_or_default();
    let limit: usize = limit.trim().parse().unwrap_or(usize::MAX);
    // The most that a scenario may have: 32 vmas in each of 4096 lanes.
    let lane: Vec<String> =
        (0..32).map(|at| format!("[{}..{} rw-p anon]", 2 * at, 2 * at + 1)).collect();
    if limit > 32 * 4096 {
        skip("vm.max_map_count allows more than a scenario can have");
        return;
    }
    let mut scenario: Value = serde_json::from_str(SCENARIO).unwrap();
    scenario["pages"] = 64.into();
    scenario["lanes"] = vec![lane.join(" "); 4096].into();
    scenario["mutators"] = serde_json::json!([[
        {"op": "protect", "at": {"lane": 0, "start": 0, "len": 1}, "prot": "r--"}]]);
    let dir = Dir::new();
    let file = dir.file("large.json", &scenario.to_string());
    let out = dir.join("out.json");
    for command in [vec!["replay", &file], vec!["minimize", &file, "-o", out.to_str().unwrap()]] {
        let output = run(&command);
        assert_eq!(output.status.code(), Some(4), "{command:?}: {}", told(&output));
        assert!(text(&output.stderr).contains("vm.max_map_count"), "{}", told(&output));
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "something was left behind");
}

/// The binary with its stderr to be read line by line.
fn started(args: &[&str]) -> (Child, BufReader<ChildStderr>) {
    let mut child = Command::new(BINARY)
        .args(args)
        .stdin(Stdio::null())
        .current_dir(std::env::temp_dir())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let stderr = BufReader::new(child.stderr.take().unwrap());
    (child, stderr)
}

fn pid(child: &Child) -> Option<rustix::process::Pid> {
    rustix::process::Pid::from_raw(child.id() as i32)
}

#[test]
fn what_was_kept_before_the_disk_was_full_stays_and_the_rest_is_told() {
    if !testable() {
        return;
    }
    let dir = Dir::new();
    let out = dir.to_str().unwrap();
    // Some hundred faults a second, of which up to 16 of a signature are kept.
    let (mut child, mut stderr) = started(&[
        "--threads",
        "2",
        "--seconds",
        "4",
        "--read",
        "walk",
        "--ops",
        "protect",
        "--inject",
        "hole",
        "--keep",
        "16",
        "--out",
        out,
    ]);
    let mut line = String::new();
    while !line.contains(" kept in ") {
        line.clear();
        assert_ne!(stderr.read_line(&mut line).unwrap(), 0, "nothing was kept");
    }
    // From now on no file may grow beyond some bytes: what a full disk is to a writer.
    let limit = Rlimit { current: Some(64), maximum: Some(64) };
    rustix::process::prlimit(pid(&child), Resource::Fsize, limit).unwrap();
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    let mut report = String::new();
    child.stdout.take().unwrap().read_to_string(&mut report).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1), "{rest}{report}");
    assert!(rest.contains("could not be saved"), "{rest}");
    assert!(report.contains(" not saved: "), "{report}");
    // Only whole files, and all of them proved by the command that the report gives.
    let commands = commands(&report);
    let verify = commands.iter().find(|args| args[0] == "verify").expect("a command");
    let verified = run(verify);
    assert_eq!(verified.status.code(), Some(0), "{}", told(&verified));
    let files = std::fs::read_dir(dir.path()).unwrap().count();
    assert_eq!(text(&verified.stdout).matches(": proves hole/").count(), files, "{report}");
}

#[test]
fn ctrl_c_ends_the_search_for_the_smallest_and_keeps_the_best_so_far() {
    if !testable() {
        return;
    }
    let dir = Dir::new();
    // Shown at once where the kernel tears so, and never elsewhere.
    let replaced = r#"{ "schema_version": 1, "name": "hole/replaced-in-flight", "pages": 16,
        "lanes": ["[0..2 r--p anon] [2..4 rw-p anon] [4..6 r--p anon]", "[0..16 rw-p anon]"],
        "mutators": [[
            {"op": "map", "at": {"lane": 1, "start": 2, "len": 2}, "page": "rw-p anon"},
            {"op": "remap", "from": {"lane": 1, "start": 2, "len": 2},
             "to": {"lane": 0, "start": 2, "len": 2}, "keep": false}]],
        "readers": ["walk"] }"#;
    let file = dir.file("replaced.json", replaced);
    let out = dir.join("out.json");
    let args = ["minimize", &file, "-o", out.to_str().unwrap(), "--seconds", "600"];
    let (mut child, mut stderr) = started(&args);
    // Signals are caught before the first line is told.
    let mut line = String::new();
    assert_ne!(stderr.read_line(&mut line).unwrap(), 0, "it says nothing");
    // Where the kernel tears, something is saved soon; elsewhere there is nothing to wait for.
    let patience = Instant::now() + Duration::from_secs(5);
    while !out.exists() && Instant::now() < patience {
        std::thread::sleep(Duration::from_millis(10));
    }
    let saved = out.exists();
    rustix::process::kill_process(pid(&child).unwrap(), rustix::process::Signal::INT).unwrap();
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    let mut report = String::new();
    child.stdout.take().unwrap().read_to_string(&mut report).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{line}{rest}{report}");
    assert!(!saved || out.exists(), "what was saved is gone");
    if !out.exists() {
        assert!(report.contains("nothing to minimize"), "{report}");
        return;
    }
    assert!(report.contains("no time for more"), "{report}");
    // What is there is whole, and can be gone on with. It ends once it is shown; beside other tests the
    // reader may wait for a CPU for some tenths of a second.
    let again = run(["replay", out.to_str().unwrap(), "--seconds", "10"]);
    assert!(matches!(again.status.code(), Some(0 | 1)), "{}", told(&again));
    assert!(!dir.join("out.json.tmp").exists());
}

const SCENARIO: &str = r#"{
  "schema_version": 1, "name": "hole/skipped-after-merge", "pages": 8,
  "lanes": ["[0..2 rw-p anon] [2..4 r--p anon] [4..6 rw-p anon]"],
  "mutators": [[
    {"op": "protect", "at": {"lane": 0, "start": 2, "len": 2}, "prot": "rw-"},
    {"op": "remap", "from": {"lane": 0, "start": 4, "len": 1}, "to": {"lane": 0, "start": 7, "len": 1}, "keep": false},
    {"op": "map", "at": {"lane": 0, "start": 4, "len": 1}, "page": "rw-p anon"},
    {"op": "protect", "at": {"lane": 0, "start": 2, "len": 2}, "prot": "r--"}]],
  "readers": ["walk"] }"#;

#[test]
fn a_scenario_by_hand_runs_and_says_how_often() {
    if !testable() {
        return;
    }
    let dir = Dir::new();
    let file = dir.file("hand.json", SCENARIO);
    let output = run(["replay", &file, "--seconds", "2", "--format", "json", "-q"]);
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let shown = report["shown"].as_u64().unwrap();
    assert!(report["walks"].as_u64().unwrap() > 0);
    assert_eq!(output.status.code(), Some(i32::from(shown > 0)), "{report}");
}

#[test]
fn a_scenario_with_a_misspelt_signature_for_a_name_is_refused() {
    let dir = Dir::new();
    let out = dir.join("out");
    let out = out.to_str().unwrap();
    for (name, told) in [
        ("hole/replaced-in-fligth", "did you mean \"replaced-in-flight\"?"),
        ("hole/-/-/wakl", "did you mean \"walk\"?"),
        ("hloe/-", "did you mean \"hole\"?"),
    ] {
        let file = dir.file("name.json", &SCENARIO.replace("hole/skipped-after-merge", name));
        for command in
            [vec!["replay", &file], vec!["minimize", &file, "-o", out], vec!["emit-c", &file]]
        {
            let output = run(&command);
            assert_eq!(output.status.code(), Some(64), "{command:?}: {}", self::told(&output));
            let complaint = text(&output.stderr);
            assert!(complaint.contains(name) && complaint.contains(told), "{complaint}");
        }
    }
}

#[test]
fn the_c_program_is_short_and_compiles_without_a_warning() {
    if Command::new("gcc").arg("--version").output().is_err() {
        skip("no gcc");
        return;
    }
    let dir = Dir::new();
    let query = SCENARIO.replace("\"walk\"", "\"query\"");
    let files = SCENARIO.replace("[4..6 rw-p anon]", "[4..6 rw-p memfd1+7]");
    let keeps = SCENARIO.replace("\"keep\": false", "\"keep\": true");
    for (name, scenario) in
        [("walk", SCENARIO), ("query", &query), ("files", &files), ("keeps", &keeps)]
    {
        let file = dir.file(&format!("{name}.json"), scenario);
        let source = dir.join(format!("{name}.c"));
        let source = source.to_str().unwrap();
        let emitted = run(["emit-c", &file, "-o", source]);
        assert_eq!(emitted.status.code(), Some(0), "{name}: {}", told(&emitted));
        let lines = std::fs::read_to_string(source).unwrap().lines().count();
        assert!(lines < 150, "{name}: {lines} lines");
        let program = dir.join(name);
        let gcc = Command::new("gcc")
            .args(["-O2", "-Wall", "-Wextra", "-Werror", "-pthread", source, "-o"])
            .arg(&program)
            .output()
            .unwrap();
        assert!(gcc.status.success(), "{name}: {}", told(&gcc));
        let ran = Command::new(&program).args(["-s", "1"]).output().unwrap();
        let code = ran.status.code();
        assert!(matches!(code, Some(0 | 1 | 4)), "{name}: {code:?} {}", told(&ran));
    }
}

/// A browser's picture of the page: as large as asked for, and more than the empty page.
#[test]
fn the_page_can_be_looked_at() {
    let Some(browser) =
        ["chromium", "chromium-browser", "google-chrome"].into_iter().find(|name| {
            Command::new(name).arg("--version").output().is_ok_and(|o| o.status.success())
        })
    else {
        skip("no headless Chromium");
        return;
    };
    if !testable() {
        return;
    }
    let dir = Dir::new();
    let (_, files) = planted("hole", &dir);
    let html = dir.join("page.html");
    let explained = run(["explain", files[0].to_str().unwrap(), "--html", html.to_str().unwrap()]);
    assert_eq!(explained.status.code(), Some(0), "{}", told(&explained));
    let page = std::fs::read_to_string(&html).unwrap();
    assert!(
        page.contains("<svg") && page.contains("prefers-color-scheme") && !page.contains("<script")
    );
    // The same page with nothing in its body: one colour.
    let (head, _) = page.split_once("<body>").expect("a body");
    let empty = PathBuf::from(dir.file("empty.html", &format!("{head}<body></body></html>")));
    for (name, more) in [("light", None), ("dark", Some("--force-dark-mode"))] {
        let look = |page: &Path, name: String| look(browser, page, &dir.join(name), more);
        let picture = look(&html, name.to_owned());
        let width = u32::from_be_bytes(picture[16..20].try_into().unwrap());
        assert_eq!(width, 1200, "{name}");
        let nothing = look(&empty, format!("{name}-empty")).len();
        // What is drawn takes bytes that one colour does not.
        assert!(picture.len() > nothing, "{name}: {} bytes, {nothing} of nothing", picture.len());
    }
}

/// The picture of a page, as a PNG file. The browser keeps its own things in `profile`.
fn look(browser: &str, html: &Path, profile: &Path, more: Option<&str>) -> Vec<u8> {
    let shot = profile.with_extension("png");
    let output = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .arg(format!("--screenshot={}", shot.display()))
        .arg("--window-size=1200,900")
        .args(more)
        .arg(format!("file://{}", html.display()))
        .output()
        .expect("the browser runs");
    assert!(output.status.success(), "{}", told(&output));
    std::fs::read(shot).expect("a screenshot")
}
