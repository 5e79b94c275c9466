//! `mapstorm vm`: the host's side against a stand-in for QEMU, and real guests where there is a QEMU
//! and kernels to boot (`.ci/kernels` brings two).

mod common;

use common::{Dir, json, run, skip, text, told};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// What is enough of a bzImage for the host's side: its magic number, and that it is of 64 bits.
fn image(dir: &Dir, name: &str) -> String {
    let mut content = vec![0; 4096];
    content[0x202..0x206].copy_from_slice(b"HdrS");
    content[0x236] = 1;
    content.extend(name.bytes());
    fs::write(dir.join(name), content).unwrap();
    dir.name(name)
}

/// A stand-in for QEMU: finds the ports' files and the kernel among its arguments, and does what
/// `script` says with `$console`, `$port` and `$kernel`.
fn stand_in(dir: &Dir, script: &str) -> String {
    let head = r#"#!/bin/sh
[ "$1" = --version ] && { echo stand-in 1.0; exit; }
case "$*" in *"-accel kvm"*) exit 1;; esac
while [ $# -gt 0 ]; do
  case $1 in
    -serial) [ -z "$console" ] && console=${2#file:} || port=${2#file:};;
    -kernel) kernel=$2;;
    -initrd) initrd=$2;;
  esac
  shift
done
frame() { printf '%s %s %s\n%s' "$1" "$(printf %s "$3" | wc -c)" "$2" "$3" >> "$port"; }
frame begun '' 7.3.4
"#;
    let path = dir.join("stand-in");
    fs::write(&path, format!("{head}{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    dir.name("stand-in")
}

/// `mapstorm vm` with the stand-in, in the folder.
fn vm(dir: &Dir, script: &str, args: &[&str]) -> Output {
    let qemu = stand_in(dir, script);
    let mut command = common::mapstorm(["vm", "--qemu", &qemu]);
    command.args(args).current_dir(dir.path()).output().unwrap()
}

const TORN: &str = r#"frame report '' '{"violations": [{"signature": "hole/skipped-after-merge/map/walk", "count": 3, "first_at_ms": 12.5, "allowed": false}]}'"#;

#[test]
fn report_and_files_of_a_guest_come_to_the_host() {
    let dir = Dir::new();
    let kernel = image(&dir, "k");
    let script = "frame stdout '' 'the report'\n\
                  frame file tears/a.json '{\"kind\": \"tear\"}'\n\
                  frame ended '' 1";
    let output = vm(&dir, script, &[&kernel, "--", "--seconds", "1"]);
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    let stdout = text(&output.stdout);
    assert!(stdout.contains("the report") && stdout.contains("k: violated"), "{stdout}");
    let saved = fs::read_to_string(dir.join("tears/a.json")).unwrap();
    assert!(saved.contains("mapstorm vm ") && saved.contains("stand-in 1.0"), "{saved}");
}

#[test]
fn what_was_saved_before_a_panic_is_here_and_the_kernels_last_words_are_told() {
    let dir = Dir::new();
    let kernel = image(&dir, "k");
    let script = "frame file tears/a.json '{}'\n\
                  printf 'file 100 tears/b.json\\ncut off' >> \"$port\"\n\
                  echo '[    5.1] Kernel panic - not syncing: Fatal exception' >> \"$console\"";
    let output = vm(&dir, script, &[&kernel, "--out", "out", "--", "--seconds", "1"]);
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    let stdout = text(&output.stdout);
    assert!(stdout.contains("k: panic: Kernel panic - not syncing: Fatal exception"), "{stdout}");
    assert!(dir.join("out/k/tears/a.json").exists() && !dir.join("out/k/tears/b.json").exists());
    let console = fs::read_to_string(dir.join("out/k/console.txt")).unwrap();
    assert!(console.contains("Fatal exception"), "{console}");
}

#[test]
fn a_guest_that_never_ends_hangs_or_does_not_begin_says_what_to_do() {
    let dir = Dir::new();
    let kernel = image(&dir, "k");
    let never = "exec sleep 60";
    let hung = "echo '[ 30.1] watchdog: BUG: soft lockup - CPU#0 stuck for 26s!' >> \"$console\"; exec sleep 60";
    let memory = ": > \"$port\"; echo \"cannot set up guest memory 'pc.ram'\" >&2; exit 1";
    let rows = [(never, 70, "--timeout"), (hung, 1, "soft lockup"), (memory, 70, "--memory")];
    for (script, code, word) in rows {
        let output = vm(&dir, script, &[&kernel, "--timeout", "2", "--", "probe"]);
        assert_eq!(output.status.code(), Some(code), "{script}: {}", told(&output));
        assert!(text(&output.stdout).contains(word), "{script}: {}", told(&output));
    }
}

#[test]
fn kernels_stand_side_by_side_and_the_worst_decides() {
    let dir = Dir::new();
    let kernels = [image(&dir, "old"), image(&dir, "new")];
    let script =
        format!("case $kernel in *new) {TORN}; frame ended '' 1;; *) frame ended '' 0;; esac");
    let args = |more: &[&'static str]| {
        let own = [kernels[0].as_str(), kernels[1].as_str(), "--seeds", "0..3", "--jobs", "2"];
        [&own[..], more, &["--", "--seconds", "1"]].concat()
    };
    let output = vm(&dir, &script, &args(&["--html", "page.html"]));
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    let stdout = text(&output.stdout);
    let squeezed = stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        squeezed.contains("old 3 3 upheld - new 3 3 violated 9 at 12 ms, 3 of 3 runs"),
        "{stdout}"
    );
    let page = fs::read_to_string(dir.join("page.html")).unwrap();
    assert!(page.contains("hole/skipped-after-merge"), "{page}");

    let output = vm(&dir, &script, &args(&["--format", "json"]));
    let table = json(&output);
    assert_eq!(table["rows"].as_array().unwrap().len(), 6);
    assert_eq!(table["kernels"][1]["sorts"]["hole/skipped-after-merge"]["count"], 9);
    let ktap = vm(&dir, &script, &args(&["--format", "ktap"]));
    assert!(text(&ktap.stdout).contains("not ok 4 new-seed-0"), "{}", told(&ktap));

    let second = vm(&dir, &script, &args(&["--shard", "2/2", "--format", "json"]));
    let rows = json(&second);
    let seeds: Vec<u64> =
        rows["rows"].as_array().unwrap().iter().map(|row| row["seed"].as_u64().unwrap()).collect();
    assert_eq!(seeds, [1, 0, 2], "every second of old 0 1 2 new 0 1 2");
}

#[test]
fn a_bisection_is_told_good_bad_or_skip() {
    let dir = Dir::new();
    let kernel = image(&dir, "k");
    for (ended, code) in [("0", 0), ("1", 1), ("4", 125), ("5", 125), ("70", 125)] {
        let script = format!("frame ended '' {ended}");
        let output =
            vm(&dir, &script, &[&kernel, "--exit-codes", "bisect", "--", "--seconds", "1"]);
        assert_eq!(output.status.code(), Some(code), "{}", told(&output));
    }
}

#[test]
fn two_exact_runs_are_compared_and_other_parts_are_refused() {
    let dir = Dir::new();
    let kernel = image(&dir, "k");
    let args = [kernel.as_str(), "--exact", "--twice", "--format", "json", "--", "--seconds", "1"];
    let same = vm(&dir, "frame stdout '' same; frame ended '' 0", &args);
    assert_eq!(
        (same.status.code(), json(&same)["rows"][0]["repeated"].clone()),
        (Some(0), true.into())
    );
    let differ = vm(&dir, "frame stdout '' $$; frame ended '' 0", &args);
    assert_eq!(differ.status.code(), Some(70), "{}", told(&differ));
    assert!(
        text(&differ.stdout).contains("two runs of the same differ from byte"),
        "{}",
        told(&differ)
    );

    // The command that it prints is taken as long as nothing changes.
    let script = "frame ended '' 0";
    let once = vm(&dir, script, &[&kernel, "--exact", "--format", "json", "--", "--seconds", "1"]);
    let command = json(&once)["rows"][0]["machine"]["command"].as_str().unwrap().to_owned();
    let words: Vec<&str> =
        command.split_whitespace().skip(2).filter(|word| *word != "--qemu").collect();
    let words: Vec<&str> = words.into_iter().filter(|word| !word.ends_with("stand-in")).collect();
    let again = vm(&dir, script, &words);
    assert_eq!(again.status.code(), Some(0), "{command}: {}", told(&again));
    fs::write(&kernel, [fs::read(&kernel).unwrap(), b"x".to_vec()].concat()).unwrap();
    let other = vm(&dir, script, &words);
    assert_eq!(other.status.code(), Some(64), "{}", told(&other));
    assert!(told(&other).contains("not the same any more: the kernel image;"), "{}", told(&other));
}

#[test]
fn what_cannot_be_is_refused_before_anything_is_booted() {
    let dir = Dir::new();
    let kernel = image(&dir, "k");
    let script = dir.file("script", "#!/bin/sh\n");
    let rows: &[(&[&str], &str)] = &[
        (&["--", "--seconds", "1"], "no kernel"),
        (&["/no/such/image", "--"], "/no/such/image: No such file"),
        (&[&script, "--"], "is no kernel image; give a bzImage"),
        (&[&kernel, "--", "--seconds", "never"], "behind --:"),
        (&[&kernel, "--", "vm", &kernel], "vm makes no sense in a guest"),
        (&[&kernel, "--seeds", "0..2", "--", "verify", "a.json"], "verify takes no seed"),
        (&[&kernel, "--seeds", "0..2", "--", "--seed", "1"], "leave --seed out"),
        (&[&kernel, "--shard", "2/2", "--"], "--shard leaves no run"),
        (&["--kernel-of", &script, "--"], "can't be unpacked"),
        (&[&kernel, "--exact", "--record", "log", "--"], "--record takes --cpus 1"),
        (&[&kernel, "--exact", "--cpus", "1", "--record", ".", "--"], "holds something already"),
        (
            &[&kernel, "--exact", "--seeds", "0..2", "--stop-at", "hole", "--"],
            "--stop-at stops one run",
        ),
    ];
    for (args, why) in rows {
        let output = vm(&dir, "echo booted; exit 1", args);
        assert_eq!(output.status.code(), Some(64), "{args:?}: {}", told(&output));
        assert!(told(&output).contains(why), "{args:?}: {}", told(&output));
    }
    let none = run(["vm", kernel.as_str(), "--qemu", "/no/such/qemu", "--", "probe"]);
    assert_eq!(none.status.code(), Some(70), "{}", told(&none));
    assert!(told(&none).contains("apt install qemu-system-x86"), "{}", told(&none));
}

/// A packaged kernel of .ci/kernels, and whether this machine can boot it.
fn kernel(name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("MAPSTORM_KERNELS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/kernels"),
        PathBuf::from,
    );
    let path = folder.join(name);
    if !cfg!(target_arch = "x86_64") {
        skip("the packaged kernels are for x86_64");
        return None;
    }
    if Command::new("qemu-system-x86_64").arg("--version").output().is_err() {
        skip("no qemu-system-x86_64");
        return None;
    }
    if !path.exists() {
        skip(format!("no kernel {}; .ci/kernels brings it", path.display()));
        return None;
    }
    Some(path)
}

#[test]
fn a_kernel_that_reads_maps_under_mmap_lock_is_upheld() {
    let Some(kernel) = kernel("mmap-lock") else { return };
    let kernel = kernel.to_str().unwrap();
    let args =
        ["vm", kernel, "--format", "json", "--", "--threads", "2", "--seconds", "2", "--seed", "1"];
    let output = run(args);
    let table = json(&output);
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    assert_eq!(table["rows"][0]["report"]["verdict"], "upheld");
}

#[test]
fn an_exact_machine_does_the_same_twice_and_its_tears_are_proved() {
    let Some(kernel) = kernel("vma-locks") else { return };
    let dir = Dir::new();
    let out = dir.name("out");
    let kernel = kernel.to_str().unwrap();
    let args =
        ["vm", kernel, "--exact", "--twice", "--seeds", "3..4", "--out", &out, "--format", "json"];
    // With nothing but replacements a storm tears within milliseconds; it ends with the first.
    let storm = ["--", "--threads", "2", "--ops", "remap,map", "--fail-fast", "--seconds", "20"];
    let output = run([&args[..], &storm[..]].concat());
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    let table = json(&output);
    let row = &table["rows"][0];
    assert_eq!(row["repeated"], true, "{row}");
    let files: Vec<String> = row["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|file| file.as_str().unwrap().to_owned())
        .filter(|file| file.ends_with(".json"))
        .collect();
    assert!(!files.is_empty(), "{row}");
    let mut verify = vec!["verify".to_owned()];
    verify.extend(files.iter().cloned());
    let verified = run(&verify);
    assert_eq!(verified.status.code(), Some(0), "{}", told(&verified));
    let explained = run(["explain", &files[0]]);
    let again = row["machine"]["command"].as_str().unwrap();
    assert!(text(&explained.stdout).contains(again), "{}", told(&explained));
}

#[test]
fn two_kernels_are_compared_and_the_exit_code_says_whether_it_is_gone() {
    let dir = Dir::new();
    let (old, new) = (image(&dir, "old"), image(&dir, "new"));
    let script =
        format!("case $kernel in *old) {TORN}; frame ended '' 1;; *) frame ended '' 0;; esac");
    let compared = |before: &str, after: &str, seeds: &str| {
        let args = [before, after, "--compare", "--confidence", "0.99", "--seeds", seeds];
        vm(&dir, &script, &[&args[..], &["--", "--seconds", "1"]].concat())
    };
    let gone = compared(&old, &new, "0..6");
    assert_eq!(gone.status.code(), Some(0), "{}", told(&gone));
    let said = "hole/skipped-after-merge: in 6 of 6 runs before, in 0 of 6 after: gone; by chance that \
                happens once in 924";
    assert!(text(&gone.stdout).contains(said), "{}", told(&gone));
    let few = compared(&old, &new, "0..3");
    assert_eq!(few.status.code(), Some(5), "{}", told(&few));
    assert!(text(&few.stdout).contains("--seeds 0..5 would do"), "{}", told(&few));
    let still = compared(&new, &old, "0..3");
    assert_eq!(still.status.code(), Some(1), "{}", told(&still));
    let one = vm(&dir, &script, &[&old, "--compare", "--", "--seconds", "1"]);
    assert_eq!(one.status.code(), Some(64), "{}", told(&one));
}

#[test]
fn git_bisect_finds_the_commit_that_brought_it() {
    let dir = Dir::new();
    let git = |args: &[&str]| {
        let mut git = Command::new("git");
        git.args(["-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main"]);
        git.args(args).current_dir(dir.path()).output()
    };
    let Ok(made) = git(&["init"]) else { return skip("no git") };
    assert!(made.status.success(), "{}", told(&made));
    let script = format!(
        "if grep -q torn $kernel; then {TORN}; frame ended '' 1; else frame ended '' 0; fi"
    );
    let qemu = stand_in(&dir, &script);
    for (number, kernel) in ["fine", "fine, too", "torn", "torn as well"].iter().enumerate() {
        image(&dir, kernel);
        fs::rename(dir.join(kernel), dir.join("bzImage")).unwrap();
        git(&["add", "bzImage"]).unwrap();
        let committed = git(&["commit", "-m", &format!("number {number}")]).unwrap();
        assert!(committed.status.success(), "{}", told(&committed));
    }
    git(&["bisect", "start", "HEAD", "HEAD~3"]).unwrap();
    let args = ["vm", "bzImage", "--exit-codes", "bisect", "--qemu", &qemu, "--", "--seconds", "1"];
    let run = [&["bisect", "run", common::BINARY][..], &args[..]].concat();
    let found = git(&run).unwrap();
    let stdout = text(&found.stdout);
    assert!(
        stdout.contains("is the first bad commit") && stdout.contains("number 2"),
        "{}",
        told(&found)
    );
}

#[test]
fn a_runner_takes_qemus_place() {
    let dir = Dir::new();
    let runner = "echo {kernel} {arguments} >> ran; echo '{\"violations\": []}'; case {kernel} in b) exit 1;; esac";
    let args = [
        "vm",
        "a",
        "b",
        "--seeds",
        "4..6",
        "--runner",
        runner,
        "--format",
        "json",
        "--",
        "--seconds",
        "1",
    ];
    let output = common::mapstorm(args).current_dir(dir.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    let table = json(&output);
    let codes: Vec<i64> = table["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["exit_code"].as_i64().unwrap())
        .collect();
    assert_eq!(codes, [0, 0, 1, 1]);
    let ran = fs::read_to_string(dir.join("ran")).unwrap();
    assert!(ran.contains("a --seconds 1 --seed 4 --format json"), "{ran}");
    // Without somebody else's boot, too: this kernel itself is what runs it.
    let own = ["vm", "here", "--runner", "{command}", "--", "probe"];
    let output = run(own);
    assert!(text(&output.stdout).contains("here: upheld"), "{}", told(&output));
    let wrong = run(["vm", "a", "--runner", "true", "--", "probe"]);
    assert_eq!(wrong.status.code(), Some(64), "{}", told(&wrong));
}
