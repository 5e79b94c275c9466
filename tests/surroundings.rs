//! Drives the binary in surroundings that are legal and unusual: what it is started from, and what
//! it is allowed to use.

mod common;

use common::{BINARY, Dir, json, skip, testable, text};
use rustix::fd::{AsRawFd, OwnedFd};
use rustix::fs::{Mode, OFlags, mkdirat, open, openat};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Copies the program, and not by this process: a test beside this one may fork while the copy is open for
/// writing, and then it can't be run (ETXTBSY).
fn copy_program(to: &Path) {
    let copied = Command::new("cp").args([BINARY.as_ref(), to]).status().unwrap();
    assert!(copied.success(), "{}", to.display());
}

/// Folders in folders, with the binary in the innermost: a path that no single call can name.
struct Deep {
    _root: Dir,
    innermost: OwnedFd,
}

impl Deep {
    /// With a path of more than `bytes` bytes.
    fn new(bytes: usize) -> Deep {
        let root = Dir::new();
        let name = "d".repeat(250);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut innermost = open(root.path(), flags, Mode::empty()).unwrap();
        for _ in 0..bytes.div_ceil(name.len() + 1) {
            mkdirat(&innermost, &name, Mode::RWXU).unwrap();
            innermost = openat(&innermost, &name, flags, Mode::empty()).unwrap();
        }
        let deep = Deep { _root: root, innermost };
        copy_program(format!("{}/mapstorm", deep.here()).as_ref());
        deep
    }

    /// The innermost folder, by way of its descriptor.
    fn here(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.innermost.as_raw_fd())
    }

    fn run(&self, args: &[&str]) -> Output {
        // A relative name of a program is looked up in the folder it starts in.
        Command::new("./mapstorm").current_dir(self.here()).args(args).output().unwrap()
    }
}

#[test]
fn lines_of_12000_bytes_are_read_like_any_others() {
    if !testable() {
        return;
    }
    let deep = Deep::new(12_000);
    let offers = |output: Output| {
        let probe = json(&output);
        [probe["operations"].clone(), probe["procmap_query"].clone()]
    };
    let probe = ["probe", "--format", "json"];
    let usual = Command::new(BINARY).args(probe).output().unwrap();
    assert_eq!(offers(deep.run(&probe)), offers(usual));

    let output = deep.run(&["--seconds", "1", "--threads", "4", "--format", "json"]);
    let report = json(&output);
    assert!(matches!(output.status.code(), Some(0 | 1)), "{report}");
    assert!(report["checked_lines"].as_u64().unwrap() > 100, "{report}");
    assert_eq!(report["standstills"]["mismatches"], 0, "{report}");
    assert_eq!(report["reads"]["failed"], 0, "{report}");
    assert_eq!(report["allocations_in_storm"], 0, "{report}");
    let impossible = ["torn", "unknown", "malformed", "truncated"];
    for violation in report["violations"].as_array().unwrap() {
        assert!(!impossible.contains(&violation["class"].as_str().unwrap()), "{violation}");
    }

    // Between pages of output, too, which now end in mid-line.
    let cases = ["cases", "--only", "1", "--seconds-per-case", "2", "--format", "json"];
    let report = json(&deep.run(&cases));
    let runs = report["cases"][0]["runs"].as_array().unwrap();
    let smaps_and_query = ["smaps", "query"];
    for run in
        runs.iter().filter(|run| !smaps_and_query.contains(&run["interface"].as_str().unwrap()))
    {
        assert_ne!(run["verdict"], "untestable", "{run}");
    }
}

/// The program's own path is a line of maps, and may be any bytes but a newline's neighbour: spaces, a
/// newline, a backslash, an end like that of a deleted file, and what is no UTF-8.
#[test]
fn the_programs_own_path_may_be_any() {
    if !testable() {
        return;
    }
    for name in [
        &b"with a space"[..],
        b"with\na newline",
        b"back\\slash\\012",
        b"mapstorm (deleted)",
        b"not \xff\xfe UTF-8",
        b"7f00-8000 rw-p",
        b"[heap]",
    ] {
        let dir = Dir::new();
        let path = dir.join(OsStr::from_bytes(name));
        copy_program(&path);
        let told = String::from_utf8_lossy(name).into_owned();
        let args =
            ["--seconds", "1", "--threads", "2", "--pause-every", "0.2", "--format", "json", "-q"];
        let more = ["--read", "walk,pread,short,shared,query,smaps", "--lanes", "4"];
        let output = Command::new(&path).args(args).args(more).output().unwrap();
        let report = json(&output);
        assert!(matches!(output.status.code(), Some(0 | 1)), "{told}: {report}");
        assert_eq!(report["reads"]["failed"], 0, "{told}: {report}");
        // That lines outside change now and then, as malloc's do, is no matter of names.
        let outside = &report["outside"];
        assert_eq!(outside["left_out"], 0, "{told}: {report}");
        assert_ne!(outside["lines"], 0, "{told}: {report}");
        // Whatever the kernel tears, its lines are lines, and none of the program's is missing.
        for violation in report["violations"].as_array().unwrap() {
            let [class, mechanism] = [&violation["class"], &violation["mechanism"]];
            assert!(!["unknown", "malformed", "truncated"].contains(&class.as_str().unwrap()));
            assert!(mechanism.is_string(), "{told}: {violation}");
        }
        // Deleted while it runs, it has another name than before.
        let mut storm = Command::new(&path);
        storm.args(args).args(more).stdout(Stdio::piped());
        let storm = storm.spawn().unwrap();
        std::fs::remove_file(&path).unwrap();
        let report = json(&storm.wait_with_output().unwrap());
        let violations = report["violations"].as_array().unwrap().iter();
        assert_eq!(violations.filter(|violation| violation["mechanism"].is_null()).count(), 0);
    }
}

/// Runs the binary by a shell that sets a limit first.
fn limited(limit: &str, args: &str) -> Output {
    let script = format!("ulimit {limit} && exec {BINARY} {args}");
    Command::new("sh").args(["-c", &script]).output().unwrap()
}

#[test]
fn too_little_address_space_is_told_with_a_limit_that_is_enough() {
    if !testable() {
        return;
    }
    let output = limited("-v 1000000", "--seconds 1");
    let complaint = text(&output.stderr);
    assert_eq!(output.status.code(), Some(70), "{complaint}");
    assert!(complaint.contains("RLIMIT_AS allows 1000000 KiB"), "{complaint}");
    assert!(!complaint.contains("--lanes"), "{complaint}");
    let advice = complaint.split("ulimit ").nth(1).and_then(|rest| rest.split(')').next());
    let output = limited(advice.expect("what to do"), "--seconds 1 --threads 4 --format json");
    assert!(matches!(output.status.code(), Some(0 | 1 | 5)), "{}", text(&output.stderr));
    assert_eq!(json(&output)["operations"]["failed"], 0);
}

#[test]
fn too_little_memory_is_told_and_enough_is_enough() {
    if !testable() {
        return;
    }
    let mut needed: u64 = 0;
    for data in [3000, 60_000] {
        let output = limited(&format!("-d {data}"), "--seconds 1 --threads 4");
        let complaint = text(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{complaint}");
        assert!(complaint.contains("RLIMIT_DATA allows"), "{complaint}");
        let mib = complaint.split("need ").nth(1).and_then(|rest| rest.split(' ').next());
        needed = mib.expect("how much").parse().expect("a number of MiB");
    }
    // What the complaint asks for; the room around the arena takes no part of it.
    let output = limited(&format!("-d {}", needed << 10), "--seconds 1 --threads 4 --format json");
    assert!(matches!(output.status.code(), Some(0 | 1 | 5)), "{}", text(&output.stderr));
    assert_eq!(json(&output)["operations"]["failed"], 0);
}

#[test]
fn where_no_thread_can_be_started_that_is_told() {
    // Somebody who owns no other process: those count, and for root the limit does not.
    let user = format!("--reuid={}", 100_000 + std::process::id());
    let run = |args: &str| {
        let mut command = Command::new("prlimit");
        command.args(["--nproc=1", "setpriv", &user, "--clear-groups", BINARY]);
        command.args(args.split(' ')).output()
    };
    let Some(output) = run("--version").ok().filter(|output| output.status.success()) else {
        skip("no prlimit or setpriv, or it can't become another user that can run the binary");
        return;
    };
    assert!(text(&output.stdout).contains("mapstorm"));
    for (args, code, told) in [
        ("--seconds 1", 64, "RLIMIT_NPROC allows 1"),
        ("cases --only 1 --seconds-per-case 1", 4, "RLIMIT_NPROC"),
        ("probe", 0, "a lock that could not be observed"),
    ] {
        let output = run(args).unwrap();
        let said = text(&output.stdout) + &text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args}: {said}");
        assert!(said.contains(told), "{args}: {said}");
    }
}
