//! Drives every command with streams that can't be written: none panics, none loses its result to
//! a line of progress, and what is kept on disk is whole.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A folder that goes with the test, with what the commands read.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Dir {
        let path = std::env::temp_dir().join(format!("mapstorm-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Dir(path)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// mapstorm in `dir`, its streams as the shell's `redirections` say, else in pipes.
fn mapstorm(dir: &Path, words: &str, redirections: &str) -> Command {
    let mut command = Command::new("sh");
    let script = format!("exec {} {words} {redirections}", env!("CARGO_BIN_EXE_mapstorm"));
    command.args(["-c", &script]).current_dir(dir).stdin(Stdio::null());
    command
}

fn run(dir: &Path, words: &str, redirections: &str) -> Output {
    mapstorm(dir, words, redirections).output().expect("there is a shell")
}

const SCENARIO: &str = r#"{ "schema_version": 1, "name": "hole/replaced-in-flight", "pages": 16,
    "lanes": ["[0..1 r--s memfd0+0] [1..3 rw-p anon] [3..5 r--s memfd1+3]"],
    "mutators": [[
        {"op": "protect", "at": {"lane": 0, "start": 1, "len": 2}, "prot": "r--"},
        {"op": "protect", "at": {"lane": 0, "start": 1, "len": 2}, "prot": "rw-"}]],
    "readers": ["walk"] }"#;

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
    let prepared = [
        (format!("{STORM} --out saved -q"), 1),
        ("latency --nsamples 2 --duration 0.05 --mb 8 --save latency.json -q".to_owned(), 0),
    ];
    for (words, code) in prepared {
        let output = run(dir, &words, "");
        let ended = output.status.code();
        assert!(ended == Some(code) || ended == Some(5), "{words}: {}", text(&output.stderr));
    }
    let saved = std::fs::read_dir(dir.join("saved")).unwrap().next().unwrap().unwrap().path();
    let saved = saved.display();
    let row = |words: String, result, codes| Row { words, result, codes, out: None };
    let any = &[0, 1, 5][..];
    vec![
        Row { out: Some("text"), ..row(format!("{STORM} --out text"), "promise", &[1]) },
        Row {
            out: Some("json"),
            ..row(format!("{STORM} --out json --format json"), "schema_version", &[1])
        },
        row(
            "cases --only 1,2 --seconds-per-case 0.2 --interface read --boundary page".into(),
            "maps is read under",
            any,
        ),
        row(
            "cases --only 1,2 --seconds-per-case 0.2 --interface read --boundary page --format json"
                .into(),
            "schema_version",
            any,
        ),
        row(
            "cases --only 1,2 --seconds-per-case 0.2 --interface read --boundary page --format ktap"
                .into(),
            "# Totals",
            any,
        ),
        row("replay scenario.json --seconds 0.2".into(), "walks", any),
        row("minimize scenario.json -o least.json --seconds 0.2".into(), "shown", any),
        row("emit-c scenario.json".into(), "#include", &[0]),
        row("first-tears --threads 2 --runs 1 --seconds 0.2".into(), "median", any),
        row("latency --nsamples 2 --duration 0.05 --mb 8".into(), "region", &[0, 5]),
        row("compare latency.json latency.json".into(), "latency.json", &[0]),
        row("selfcheck --seconds 1 --only replaced-in-flight".into(), "seed", &[0]),
        row("probe".into(), "page size", &[0]),
        row(format!("verify {saved}"), "proves", &[0]),
        row(format!("explain {saved}"), "rule 2", &[0]),
        row("--help".into(), "Usage", &[0]),
        row("--version".into(), "mapstorm", &[0]),
    ]
}

/// Whether everything here can be tried; if not, says why not.
fn testable(dir: &Path) -> bool {
    let probe = run(dir, "probe", "");
    let full = File::options().write(true).open("/dev/full").is_ok();
    let fine = full && probe.status.code() == Some(0);
    if !fine {
        eprintln!("skipped: /dev/full is there: {full}; probe: {}", text(&probe.stderr));
    }
    fine
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
    let dir = Dir::new("streams-stderr");
    if !testable(&dir.0) {
        return;
    }
    for row in rows(&dir.0) {
        for how in ["2>/dev/full", "2>&-"] {
            let output = run(&dir.0, &row.words, how);
            let told = text(&output.stdout);
            assert!(row.codes.contains(&code(&row, how, &output)), "{} {how}: {told}", row.words);
            assert!(told.contains(row.result), "{} {how}: {told}", row.words);
            is_whole(&dir.0, &row, how);
        }
    }
}

#[test]
fn a_stdout_that_cannot_be_written_is_told_and_the_result_goes_to_stderr() {
    let dir = Dir::new("streams-stdout");
    if !testable(&dir.0) {
        return;
    }
    for row in rows(&dir.0) {
        for how in [">/dev/full", ">&-"] {
            let output = run(&dir.0, &row.words, how);
            let told = text(&output.stderr);
            assert_eq!(code(&row, how, &output), 70, "{} {how}: {told}", row.words);
            assert!(told.contains(row.result), "{} {how}: {told}", row.words);
            assert!(told.contains("cannot write the result to stdout"), "{} {how}", row.words);
            is_whole(&dir.0, &row, how);
        }
    }
}

#[test]
fn with_neither_stream_the_exit_code_tells() {
    let dir = Dir::new("streams-neither");
    if !testable(&dir.0) {
        return;
    }
    for row in rows(&dir.0) {
        let how = ">/dev/full 2>&-";
        let output = run(&dir.0, &row.words, how);
        assert_eq!(code(&row, how, &output), 70, "{} {how}", row.words);
        is_whole(&dir.0, &row, how);
    }
}

#[test]
fn nobody_reading_is_no_error() {
    let dir = Dir::new("streams-pipe");
    if !testable(&dir.0) {
        return;
    }
    for row in rows(&dir.0) {
        let closed = || {
            let (reader, writer) = std::io::pipe().unwrap();
            drop(reader);
            writer
        };
        // As in `mapstorm 2>&1 | head`, once head is satisfied.
        let both = mapstorm(&dir.0, &row.words, "").stdout(closed()).stderr(closed()).output();
        let output = both.unwrap();
        assert!(row.codes.contains(&code(&row, "into a closed pipe", &output)), "{}", row.words);
        is_whole(&dir.0, &row, "into a closed pipe");
        let quiet = format!("{} --quiet", row.words);
        let output = mapstorm(&dir.0, &quiet, "").stdout(closed()).output().unwrap();
        assert!(row.codes.contains(&code(&row, "quietly", &output)), "{quiet}");
        assert_eq!(text(&output.stderr), "", "{quiet}");
        is_whole(&dir.0, &row, "quietly");
    }
}
