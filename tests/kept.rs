//! What the report says is on disk is there, whatever became of the folder in mid-run.

mod common;

use common::{BINARY, Dir, mapstorm, skip, testable};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Where the storm keeps its violations.
fn out(dir: &Dir) -> PathBuf {
    dir.join("out")
}

/// Finds planted faults, a hundred times a second or so, beside whatever operations are in flight: so
/// there are signatures by the dozen, and something to save for as long as a test may take.
const STORM: &str = "--seconds 600 --threads 2 --lanes 24 --inject hole --keep 16";

/// A storm, and the lines of its stderr as they come.
struct Storm {
    child: Child,
    stderr: BufReader<std::process::ChildStderr>,
    told: Vec<String>,
}

impl Storm {
    fn new(out: &Path, format: &str) -> Storm {
        let mut child = mapstorm(STORM.split_whitespace())
            .args(["--format", format, "--out"])
            .arg(out)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let stderr = BufReader::new(child.stderr.take().unwrap());
        Storm { child, stderr, told: Vec::new() }
    }

    fn wait_for(&mut self, words: &str) {
        loop {
            let mut line = String::new();
            assert_ne!(self.stderr.read_line(&mut line).unwrap(), 0, "{words}: {:?}", self.told);
            let found = line.contains(words);
            self.told.push(line);
            if found {
                return;
            }
        }
    }

    /// Ends it, and gives its report.
    fn end(mut self) -> (String, Vec<String>) {
        kill_process(Pid::from_child(&self.child), Signal::INT).unwrap();
        self.told.extend(self.stderr.by_ref().lines().map(Result::unwrap));
        let mut report = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut report).unwrap();
        assert_eq!(self.child.wait().unwrap().code(), Some(130), "{:?}", self.told);
        (report, self.told)
    }
}

/// The files that a report has, and why others are not there.
fn files_of(report: &Value) -> (BTreeSet<String>, Vec<String>) {
    let violations = report["violations"].as_array().unwrap();
    let kept: Vec<&Value> =
        violations.iter().flat_map(|violation| violation["kept"].as_array().unwrap()).collect();
    let words = |key: &str| {
        kept.iter().filter_map(|kept| kept[key].as_str().map(str::to_owned)).collect::<Vec<_>>()
    };
    (words("file").into_iter().collect(), words("not_saved"))
}

fn files_in(dir: &Path) -> BTreeSet<String> {
    let files = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    files.map(|path| path.display().to_string()).collect()
}

#[test]
fn what_went_with_its_folder_is_not_told_as_kept() {
    if !testable() {
        return;
    }
    let dir = Dir::new();
    let mut storm = Storm::new(&out(&dir), "json");
    storm.wait_for(" kept in ");
    std::fs::rename(out(&dir), dir.join("elsewhere")).unwrap();
    let (report, told) = storm.end();
    let report: Value = serde_json::from_str(&report).unwrap();
    let (files, troubles) = files_of(&report);
    // The folder is there again if something was to be saved after it went.
    let there = if out(&dir).exists() { files_in(&out(&dir)) } else { BTreeSet::new() };
    assert_eq!(files, there, "{told:?}");
    let gone = troubles.iter().filter(|trouble| trouble.contains("no longer there")).count();
    assert!(gone > 0 && gone == troubles.len(), "{troubles:?}");
}

#[test]
fn what_could_not_be_saved_is_tried_again_and_told_once() {
    if !testable() {
        return;
    }
    let dir = Dir::new();
    let mut storm = Storm::new(&out(&dir), "text");
    storm.wait_for(" kept in ");
    let aside = dir.join("aside");
    std::fs::write(&aside, "in the way").unwrap();
    let exchange = || renameat_with(CWD, &aside, CWD, out(&dir), RenameFlags::EXCHANGE);
    if let Err(errno) = exchange() {
        skip(format!("{} exchanges no names ({errno})", dir.display()));
        kill_process(Pid::from_child(&storm.child), Signal::KILL).unwrap();
        storm.child.wait().unwrap();
        return;
    }
    storm.wait_for("could not be saved");
    exchange().unwrap();
    let (report, told) = storm.end();
    assert!(!report.contains("not saved"), "{report}");
    assert!(report.contains("prove it "), "{report}");
    let troubles: Vec<&String> =
        told.iter().filter(|line| line.contains("could not be saved")).collect();
    let different: BTreeSet<&str> =
        troubles.iter().filter_map(|line| line.split_once("could not be")).map(|l| l.1).collect();
    assert_eq!(troubles.len(), different.len(), "told more than once: {troubles:?}");
}

#[test]
fn a_folder_that_stays_away_is_told_with_the_count() {
    if !testable() {
        return;
    }
    let dir = Dir::new();
    let mut storm = Storm::new(&out(&dir), "text");
    storm.wait_for(" kept in ");
    std::fs::rename(out(&dir), dir.join("elsewhere")).unwrap();
    // If something is saved between the two there is a folder again, and this fails.
    while std::fs::write(out(&dir), "in the way").is_err() {
        std::fs::remove_dir_all(out(&dir)).unwrap();
    }
    storm.wait_for("could not be saved");
    let (report, told) = storm.end();
    assert!(!report.contains("prove it"), "{report} {told:?}");
    let notes = report.lines().filter(|line| line.contains(" not saved: "));
    assert_eq!(notes.count(), 1, "{report}");
}

#[test]
fn a_full_disk_is_told_once_and_what_fits_is_kept() {
    if !testable() {
        return;
    }
    let dir = Dir::new();
    std::fs::create_dir(out(&dir)).unwrap();
    // A disk of its own, which goes with the namespace.
    let mount = "mount -t tmpfs -o size=128k none out || exit 77";
    let storm = STORM.replace("--seconds 600", "--seconds 2");
    let script = format!(
        "{mount}; {} {storm} --format json --out out >report 2>told; code=$?; ls -A out >listing; \
         exit $code",
        BINARY
    );
    let unshared = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", &script])
        .current_dir(dir.path())
        .output();
    let code = unshared.as_ref().ok().and_then(|output| output.status.code());
    let (Ok(report), Ok(listing)) =
        (std::fs::read_to_string(dir.join("report")), std::fs::read_to_string(dir.join("listing")))
    else {
        skip(format!("no disk can be mounted in a namespace ({code:?})"));
        return;
    };
    assert_eq!(code, Some(1));
    let (files, troubles) = files_of(&serde_json::from_str(&report).unwrap());
    let there: BTreeSet<String> = listing.lines().map(|name| format!("out/{name}")).collect();
    assert_eq!(files, there);
    assert!(troubles.iter().all(|trouble| trouble.contains("No space left")), "{troubles:?}");
    assert!(!troubles.is_empty(), "128 KiB were enough: {files:?}");
    let told = std::fs::read_to_string(dir.join("told")).unwrap();
    assert_eq!(told.matches("could not be saved").count(), 1, "{told}");
}

/// A storm with a seed in `dir` that ends with the first violation, a planted one.
fn of_its_own(dir: &Path, temporary: &Path, more: &[&str]) -> Value {
    let words = "--seconds 600 --threads 2 --lanes 24 --inject hole --fail-fast --seed 0x7 -q";
    let mut command = mapstorm(words.split(' ').chain(["--format", "json"]));
    let output = command.args(more).current_dir(dir).env("TMPDIR", temporary).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", common::told(&output));
    common::json(&output)
}

#[test]
fn evidence_goes_to_a_folder_of_the_runs_own_unless_it_is_not_wanted() {
    if !testable() {
        return;
    }
    let (dir, temporary) = (Dir::new(), Dir::new());
    let folders = |report: &Value| -> BTreeSet<String> {
        let (files, troubles) = files_of(report);
        assert!(!files.is_empty() && troubles.is_empty(), "{report}");
        let folder = |file: &String| Path::new(file).parent().unwrap().display().to_string();
        files.iter().map(folder).collect()
    };
    let report = of_its_own(&dir, &temporary, &["--no-out"]);
    assert_eq!(files_of(&report), Default::default(), "{report}");
    assert!(files_in(&dir).is_empty(), "{:?}", files_in(&dir));
    for name in ["mapstorm-7", "mapstorm-7-2"] {
        let report = of_its_own(&dir, &temporary, &[]);
        assert_eq!(folders(&report), BTreeSet::from([name.to_owned()]));
        let verify = mapstorm(["verify", name]).current_dir(dir.path()).output().unwrap();
        assert_eq!(verify.status.code(), Some(0), "{}", common::told(&verify));
    }
    // No folder can be made there, whoever asks.
    let report = of_its_own(Path::new("/proc"), &temporary, &[]);
    assert_eq!(folders(&report), BTreeSet::from([temporary.name("mapstorm-7")]));
}
