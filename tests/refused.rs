//! Where nothing can be tested nothing may look tested: calls that the kernel refuses, filters that
//! leave nothing, and what can never come.
//!
//! The kernel here may offer everything, so calls are refused by a seccomp filter: what a kernel
//! without them says.

mod common;

use common::{Dir, mapstorm, on_one_cpu, run, skip, testable, told};
use std::os::unix::process::CommandExt;
use std::process::Output;

/// `_IOWR('f', 17, struct procmap_query)`, as the kernel has it in its registers.
const PROCMAP_QUERY: u32 = 0xc068_6611;

/// A call to refuse, whatever its arguments or with this second one.
#[derive(Clone, Copy)]
enum Refuse {
    Call(libc::c_long),
    Ioctl(u32),
}

/// The filter that makes such calls fail with ENOSYS.
fn filter(what: Refuse) -> Vec<libc::sock_filter> {
    let (number, second) = match what {
        Refuse::Call(number) => (number, None),
        Refuse::Ioctl(code) => (libc::SYS_ioctl, Some(code)),
    };
    // Offsets in struct seccomp_data of include/uapi/linux/seccomp.h: the number, and the lower
    // half of the second argument.
    let (number_at, second_at) = (0, if cfg!(target_endian = "big") { 28 } else { 24 });
    let statement = |code: u32, k: u32| libc::sock_filter { code: code as u16, jt: 0, jf: 0, k };
    let equals = libc::BPF_JMP | libc::BPF_JEQ;
    let unless = |k: u32, jf: u8| libc::sock_filter { jf, ..statement(equals, k) };
    let load = |at: u32| statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, at);
    let give = |verdict: u32| statement(libc::BPF_RET, verdict);
    let rest = if second.is_some() { 3 } else { 1 };
    let mut program = vec![load(number_at), unless(number as u32, rest)];
    program.extend(second.into_iter().flat_map(|code| [load(second_at), unless(code, 1)]));
    program.push(give(libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32));
    program.push(give(libc::SECCOMP_RET_ALLOW));
    program
}

/// Puts the filter on this process and all that it starts.
fn apply(program: &mut [libc::sock_filter]) -> std::io::Result<()> {
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: prctl reads the program, which lives until it returns.
    let done = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
            && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &filter) == 0
    };
    if done { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

/// Runs the binary where a call is refused; `None`, with a word, where that can't be had.
fn run_without(what: Refuse, args: &[&str]) -> Option<Output> {
    let mut command = mapstorm(args);
    let mut program = filter(what);
    // SAFETY: two system calls, which allocate nothing and take no lock; the program is made before.
    unsafe { command.pre_exec(move || apply(&mut program)) };
    match command.output() {
        Ok(output) => Some(output),
        Err(error) => {
            skip(format!("no seccomp filter here ({error})"));
            None
        }
    }
}

const MOVES: &str = r#"{ "schema_version": 1, "name": "moves", "pages": 8,
    "lanes": ["[0..2 rw-p anon] [4..6 r--p anon]"],
    "mutators": [[
        {"op": "remap", "from": {"lane": 0, "start": 0, "len": 1},
            "to": {"lane": 0, "start": 4, "len": 1}, "keep": false},
        {"op": "map", "at": {"lane": 0, "start": 0, "len": 1}, "page": "rw-p anon"}]],
    "readers": ["walk"] }"#;

#[test]
fn what_this_kernel_does_not_do_is_not_testable() {
    if !testable() {
        return;
    }
    let dir = Dir::new();
    let moves = &dir.file("moves.json", MOVES);
    let asks = &dir.file("asks.json", &MOVES.replace("\"walk\"", "\"query\""));
    let out = dir.name("least.json");
    let no_move = Refuse::Call(libc::SYS_mremap);
    let no_query = Refuse::Ioctl(PROCMAP_QUERY);
    for (refused, args, reason) in [
        (no_move, &["--ops=remap,resize", "--seconds=1"][..], "operations asked for (re"),
        (no_move, &["first-tears", "--ops=remap", "--runs=1"], "operations asked for (remap"),
        (no_move, &["first-tears", "--until=hole/replaced-in-flight/remap"], "takes remap: "),
        (no_move, &["replay", moves, "--seconds=1"], "does not do its operation mremap("),
        (no_move, &["minimize", moves, "-o", &out], "does not do its operation mremap("),
        (no_move, &["cases", "--only=move,remap", "--seconds-per-case=0.1"], "not testable here"),
        (no_query, &["--read=query", "--seconds=1"], "ways of reading asked for (query: "),
        (no_query, &["first-tears", "--until=hole/-/-/query"], "takes query: "),
        (no_query, &["replay", asks, "--seconds=1"], "does not offer its reader query"),
        (no_query, &["minimize", asks, "-o", &out], "does not offer its reader query"),
        (no_query, &["cases", "--only=1", "--interface=query"], "PROCMAP_QUERY came with"),
    ] {
        let Some(output) = run_without(refused, args) else { return };
        let told = told(&output);
        assert_eq!(output.status.code(), Some(4), "{args:?}: {told}");
        assert!(told.contains(reason), "{args:?}: {told}");
    }
    // What is there goes on without the rest, and says so.
    let args = ["--read=walk,query", "--seconds=0.5", "-q", "--format=json"];
    let report: serde_json::Value = match run_without(no_query, &args) {
        Some(output) => serde_json::from_slice(&output.stdout).unwrap(),
        None => return,
    };
    assert_eq!(report["dropped"][0][0], "query", "{report}");
}

#[test]
fn what_can_never_come_is_a_wrong_command() {
    if !testable() {
        return;
    }
    for (args, reason) in [
        (&["first-tears", "--until=hole/-/-/smaps"][..], "add it to --read"),
        (&["first-tears", "--until=hole/-/-/walk", "--read=pread"], "add it to --read"),
        (&["first-tears", "--until=hole/-/remap", "--ops=map"], "add it to --ops"),
        (&["first-tears", "--until=disorder/told-twice"], "--contract documented only"),
        (&["--workload=pair", "--lanes=1"], "--workload pair takes 2 lanes"),
        (&["cases", "--only=7", "--interface=query", "--boundary=inside"], "name no test"),
        (&["cases", "--interface=query", "--boundary=before", "--format=ktap"], "name no test"),
    ] {
        let output = run(args);
        assert_eq!(output.status.code(), Some(64), "{args:?}: {}", told(&output));
        assert!(told(&output).contains(reason), "{args:?}: {}", told(&output));
        assert!(!told(&output).contains("KTAP"), "{args:?}: {}", told(&output));
    }
}

#[test]
fn a_workload_of_two_cpus_is_not_testable_on_one() {
    for args in [&["--workload=duel"][..], &["first-tears", "--workload=duel"]] {
        let output = on_one_cpu(&mut mapstorm(args)).output().expect("the binary runs");
        assert_eq!(output.status.code(), Some(4), "{args:?}: {}", told(&output));
        assert!(told(&output).contains("takes 2 CPUs"), "{args:?}: {}", told(&output));
    }
}

#[test]
fn a_folder_and_no_file_at_all_are_refused() {
    let dir = Dir::new();
    let folder = dir.to_str().unwrap();
    for args in [&["verify"][..], &["verify", folder], &["replay", folder], &["explain", folder]] {
        let output = run(args);
        assert_eq!(output.status.code(), Some(64), "{args:?}: {}", told(&output));
        assert!(!told(&output).contains("proves "), "{args:?}: {}", told(&output));
    }
}

#[test]
fn a_replay_too_short_to_judge_anything_is_undecided() {
    if !testable() {
        return;
    }
    let dir = Dir::new();
    let args =
        ["replay", &dir.file("short.json", MOVES), "--seconds=0.000001", "--format=json", "-q"];
    let output = run(args);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    // Where it has not torn by then, as it hardly ever has.
    if report["shown"] == 0 {
        let tried = report["verdict"] == "not-shown";
        assert_eq!(output.status.code(), Some(if tried { 0 } else { 5 }), "{report}");
        assert_eq!(report["why"].is_null(), tried, "{report}");
    }
}
