//! What the drivers share: the binary, a folder that goes with the test, and how a skip is told.

// Each driver takes a part of it.
#![allow(dead_code)]

use mapstorm::engine::{Surroundings, read_outside};
use mapstorm::kernel::{Identities, MapsRead};
use mapstorm::model::Geometry;
use mapstorm::oracle::Outside;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde_json::Value;
use std::ffi::OsStr;
use std::fmt::Display;
use std::io::Write;
use std::ops::Deref;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use tempfile::TempDir;

/// Where the binary under test lies.
pub const BINARY: &str = env!("CARGO_BIN_EXE_mapstorm");

/// A scenario of two operations, in a file of version 1. It is named after a tear that it does not show.
pub const SCENARIO: &str = r#"{ "schema_version": 1, "name": "hole/replaced-in-flight", "pages": 16,
    "lanes": ["[0..1 r--s memfd0+0] [1..3 rw-p anon] [3..5 r--s memfd1+3]"],
    "mutators": [[
        {"op": "protect", "at": {"lane": 0, "start": 1, "len": 2}, "prot": "r--"},
        {"op": "protect", "at": {"lane": 0, "start": 1, "len": 2}, "prot": "rw-"}]],
    "readers": ["walk"] }"#;

/// The binary with these arguments, and nothing on stdin. It runs in the folder for temporary files,
/// where what it keeps of its own accord does not lie in the checkout.
pub fn mapstorm<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Command {
    let mut command = Command::new(BINARY);
    command.args(args).stdin(Stdio::null()).current_dir(std::env::temp_dir());
    command
}

/// What it says to these arguments.
pub fn run<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Output {
    mapstorm(args).output().expect("the binary runs")
}

/// Lets the command run on the first of this process's CPUs alone.
pub fn on_one_cpu(command: &mut Command) -> &mut Command {
    let all = sched_getaffinity(None).expect("its own CPUs");
    let mut one = CpuSet::new();
    one.set((0..CpuSet::MAX_CPU).find(|&cpu| all.is_set(cpu)).expect("a CPU"));
    // SAFETY: one system call, which allocates nothing, between fork and exec.
    unsafe { command.pre_exec(move || Ok(sched_setaffinity(None, &one)?)) }
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Both streams.
pub fn told(output: &Output) -> String {
    text(&output.stdout) + &text(&output.stderr)
}

/// The report on stdout.
pub fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("stdout is no JSON ({error}), {:?}: {}", output.status, told(output))
    })
}

/// The commands that a report says to type, without the program: those to see it, to prove it and to
/// have it again. One may go on behind a backslash, and a comment may follow.
pub fn commands(report: &str) -> Vec<Vec<String>> {
    let report = report.replace("\\\n", "");
    let typed = report.lines().filter_map(|line| {
        let line = line.trim_start();
        let typed = ["see it ", "prove it ", "again "]
            .into_iter()
            .find_map(|label| line.strip_prefix(label))?;
        typed.split(" # ").next()
    });
    let args = typed.map(|typed| typed.split_whitespace().skip(1).map(str::to_owned).collect());
    args.collect()
}

/// A folder that goes with the test.
pub struct Dir(TempDir);

impl Dir {
    pub fn new() -> Dir {
        Dir(tempfile::Builder::new().prefix("mapstorm-").tempdir().expect("a temporary folder"))
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes a file in it, and gives the file's path.
    pub fn file(&self, name: &str, content: &str) -> String {
        std::fs::write(self.join(name), content).unwrap();
        self.name(name)
    }

    /// The path of a file in it that need not be there.
    pub fn name(&self, name: &str) -> String {
        self.join(name).to_str().expect("UTF-8").to_owned()
    }
}

impl Deref for Dir {
    type Target = Path;

    fn deref(&self) -> &Path {
        self.path()
    }
}

/// Whether a storm can be had here; if not, the test is told as skipped.
pub fn testable() -> bool {
    static PROBED: OnceLock<Result<(), String>> = OnceLock::new();
    let probed = PROBED.get_or_init(|| {
        let probe = run(["probe"]);
        if probe.status.success() { Ok(()) } else { Err(text(&probe.stderr)) }
    });
    probed.as_ref().inspect_err(|why| skip(why)).is_ok()
}

/// Tells that a test, or a part of it, was skipped. .ci/run collects these lines.
pub fn skip(reason: impl Display) {
    let thread = std::thread::current();
    // A test that runs alone runs in the main thread.
    let test = thread.name().filter(|name| *name != "main").unwrap_or("-");
    let words = reason.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    let line = format!("SKIPPED: {}::{test}: {words}\n", env!("CARGO_CRATE_NAME"));
    // The test harness holds back what `eprintln!` prints of a test that passes.
    #[expect(clippy::disallowed_methods, reason = "a test tells its skips on its own stderr")]
    std::io::stderr().write_all(line.as_bytes()).expect("stderr");
}

/// The lines outside of the arena, as the file shows them before anything moves.
pub fn outside(
    file: &mut impl MapsRead,
    identities: &Identities,
    geometry: &Geometry,
) -> Surroundings {
    let mut outside = Outside::with_room(64, 8192);
    read_outside(file, identities, geometry, &mut outside).expect("the file can be read");
    outside.into()
}
