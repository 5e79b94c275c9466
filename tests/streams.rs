//! Drives every command with streams that can't be written: none panics, none loses its result to
//! a line of progress, and what is kept on disk is whole.

mod common;

use common::{BINARY, Dir, SCENARIO, skip, testable, text};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// mapstorm in `dir`, its streams as the shell's `redirections` say, else in pipes.
fn mapstorm(dir: &Path, words: &str, redirections: &str) -> Command {
    let mut command = Command::new("sh");
    let script = format!("exec {} {words} {redirections}", BINARY);
    command.args(["-c", &script]).current_dir(dir).stdin(Stdio::null());
    command
}

fn run(dir: &Path, words: &str, redirections: &str) -> Output {
    mapstorm(dir, words, redirections).output().expect("there is a shell")
}

const TEAR: &str = include_str!("tears/6.18-hole.replaced-in-flight.remap.walk.json");

const CASES: &str = "cases --only 1 --seconds-per-case 0.1 --interface read --boundary page";

/// A storm that finds the planted fault and ends with it, however slow the machine is.
const STORM: &str = "--threads 2 --lanes 24 --read walk --inject hole --fail-fast --seconds 60";

/// A command, words that are in its result, and the codes it may end with: what this kernel tears
/// varies, and how much is judged in a short run.
struct Row {
    words: String,
    result: &'static str,
    codes: &'static [i32],
    /// Where it saves violations.
    out: Option<&'static str>,
}

fn rows(dir: &Path) -> Vec<Row> {
    std::fs::write(dir.join("scenario.json"), SCENARIO).unwrap();
    std::fs::write(dir.join("tear.json"), TEAR).unwrap();
    let prepared = "latency --nsamples 2 --duration 0.05 --mb 8 --save latency.json -q";
    let output = run(dir, prepared, "");
    assert!(matches!(output.status.code(), Some(0 | 5)), "{}", text(&output.stderr));
    let row = |words: String, result, codes| Row { words, result, codes, out: None };
    let any = &[0, 1, 5][..];
    vec![
        Row { out: Some("text"), ..row(format!("{STORM} --out text"), "promise", &[1]) },
        Row {
            out: Some("json"),
            ..row(format!("{STORM} --out json --format json"), "schema_version", &[1])
        },
        row(CASES.into(), "maps is read under", any),
        row(format!("{CASES} --format json"), "schema_version", any),
        row(format!("{CASES} --format ktap"), "# Totals", any),
        row("replay scenario.json --seconds 0.2".into(), "walks", any),
        row("minimize scenario.json -o least.json --seconds 0.2".into(), "shown", any),
        row("emit-c scenario.json".into(), "#include", &[0]),
        row("first-tears --threads 2 --runs 1 --seconds 0.2".into(), "median", any),
        row("latency --nsamples 2 --duration 0.05 --mb 8".into(), "region", &[0, 5]),
        row("compare latency.json latency.json".into(), "latency.json", &[0]),
        row("selfcheck --seconds 1 --only replaced-in-flight".into(), "seed", &[0]),
        row("probe".into(), "page size", &[0]),
        row("verify tear.json".into(), "proves", &[0]),
        row("explain tear.json".into(), "rule 2", &[0]),
        row("--help".into(), "Usage", &[0]),
        row("--version".into(), "mapstorm", &[0]),
    ]
}

/// Whether everything here can be tried; if not, the test is told as skipped.
fn all_testable() -> bool {
    let full = File::options().write(true).open("/dev/full");
    full.inspect_err(|error| skip(format!("/dev/full: {error}"))).is_ok() && testable()
}

/// What was kept is whole, and nothing lies beside it.
fn is_whole(dir: &Path, row: &Row, how: &str) {
    let Some(out) = row.out else { return };
    let files: Vec<PathBuf> =
        std::fs::read_dir(dir.join(out)).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(!files.is_empty(), "{} {how}: nothing was kept", row.words);
    for file in &files {
        let verified = run(dir, &format!("verify {}", file.display()), "");
        assert_eq!(
            verified.status.code(),
            Some(0),
            "{} {how}: {}",
            row.words,
            text(&verified.stdout)
        );
    }
    std::fs::remove_dir_all(dir.join(out)).unwrap();
}

fn code(row: &Row, how: &str, output: &Output) -> i32 {
    let code = output.status.code().unwrap_or_else(|| panic!("{} {how}: killed", row.words));
    assert_ne!(code, 101, "{} {how} panicked", row.words);
    code
}

#[test]
fn a_stderr_that_cannot_be_written_costs_nothing() {
    let dir = Dir::new();
    if !all_testable() {
        return;
    }
    for row in rows(dir.path()) {
        for how in ["2>/dev/full", "2>&-"] {
            let output = run(dir.path(), &row.words, how);
            let told = text(&output.stdout);
            assert!(row.codes.contains(&code(&row, how, &output)), "{} {how}: {told}", row.words);
            assert!(told.contains(row.result), "{} {how}: {told}", row.words);
            is_whole(dir.path(), &row, how);
        }
    }
}

#[test]
fn a_stdout_that_cannot_be_written_is_told_and_the_result_goes_to_stderr() {
    let dir = Dir::new();
    if !all_testable() {
        return;
    }
    for row in rows(dir.path()) {
        for how in [">/dev/full", ">&-"] {
            let output = run(dir.path(), &row.words, how);
            let told = text(&output.stderr);
            assert_eq!(code(&row, how, &output), 70, "{} {how}: {told}", row.words);
            assert!(told.contains(row.result), "{} {how}: {told}", row.words);
            assert!(told.contains("cannot write the result to stdout"), "{} {how}", row.words);
            is_whole(dir.path(), &row, how);
        }
    }
}

#[test]
fn with_neither_stream_the_exit_code_tells() {
    let dir = Dir::new();
    if !all_testable() {
        return;
    }
    for row in rows(dir.path()) {
        let how = ">/dev/full 2>&-";
        let output = run(dir.path(), &row.words, how);
        assert_eq!(code(&row, how, &output), 70, "{} {how}", row.words);
        is_whole(dir.path(), &row, how);
    }
}

#[test]
fn a_stderr_that_nobody_drains_holds_nothing_up() {
    if !testable() {
        return;
    }
    let (drain, stderr) = std::io::pipe().unwrap();
    rustix::io::ioctl_fionbio(&stderr, true).unwrap();
    let mut filler = &stderr;
    while std::io::Write::write(&mut filler, &[b'x'; 4096]).is_ok() {}
    rustix::io::ioctl_fionbio(&stderr, false).unwrap();
    let dir = Dir::new();
    let report = dir.join("report");
    let words = "--seconds 0.5 --threads 2 --inject hole --format json --out out >report";
    let mut storm = mapstorm(dir.path(), words, "").stderr(stderr).spawn().unwrap();
    // It would wait for ever; this is how long the test waits for that.
    let begun = std::time::Instant::now();
    let ended = loop {
        match storm.try_wait().unwrap() {
            None if begun.elapsed().as_secs() < 120 => {
                std::thread::sleep(std::time::Duration::from_millis(50));
            }
            ended => break ended,
        }
    };
    storm.kill().unwrap();
    storm.wait().unwrap();
    drop(drain);
    assert!(ended.is_some(), "it waits for its stderr");
    let report: serde_json::Value =
        serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
    assert_eq!(report["ended"], "time");
}

#[test]
fn nobody_reading_is_no_error() {
    let dir = Dir::new();
    if !all_testable() {
        return;
    }
    for row in rows(dir.path()) {
        let closed = || {
            let (reader, writer) = std::io::pipe().unwrap();
            drop(reader);
            writer
        };
        // As in `mapstorm 2>&1 | head`, once head is satisfied.
        let both = mapstorm(dir.path(), &row.words, "").stdout(closed()).stderr(closed()).output();
        let output = both.unwrap();
        assert!(row.codes.contains(&code(&row, "into a closed pipe", &output)), "{}", row.words);
        is_whole(dir.path(), &row, "into a closed pipe");
        let quiet = format!("{} --quiet", row.words);
        let output = mapstorm(dir.path(), &quiet, "").stdout(closed()).output().unwrap();
        assert!(row.codes.contains(&code(&row, "quietly", &output)), "{quiet}");
        assert_eq!(text(&output.stderr), "", "{quiet}");
        is_whole(dir.path(), &row, "quietly");
    }
}
