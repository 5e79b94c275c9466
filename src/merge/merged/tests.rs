use super::super::input::find;
use super::*;
use crate::host::Machine;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

/// A folder of its own, gone at the end.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Dir {
        let path = std::env::temp_dir().join(format!("mapstorm-{name}-{}", std::process::id()));
        fs::create_dir_all(path.join("deeper")).unwrap();
        Dir(path)
    }

    fn put(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.0.join(name), text).unwrap();
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        // What is left in a temporary folder harms nobody.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The report of shard `index` of four on `kernel`.
fn report(index: u64, kernel: &str, torn: &[(&str, u64, f64)]) -> Value {
    let header = Header::new(&Machine::here(), Some(index), format!("mapstorm --shard {index}/4"));
    let header = header.of_shard(Some(format!("{index}/4").parse().unwrap()), 7);
    let mut report = serde_json::to_value(header).unwrap();
    let violations: Vec<Value> = torn
        .iter()
        .map(|(signature, count, first)| {
            let kept = json!([{"second_checker": "proved", "file": format!("out/{index}.json")}]);
            json!({"signature": signature, "count": count, "first_at_ms": first, "allowed": false,
                   "kept": kept, "example": ["a line"]})
        })
        .collect();
    let broken = torn.iter().map(|(_, count, _)| count).sum::<u64>();
    let own = json!({
        "kernel": kernel, "verdict": if broken > 0 { "violated" } else { "upheld" },
        "ended": "time", "elapsed_ms": 1000, "operations": {"total": 10, "failed": 0},
        "checked_lines": 100, "windows": 20, "undecided": 1, "violations": violations,
        "violations_beyond": 0, "scorecard": [{"rule": "no-hole", "promise": "no hole",
        "contract": "series", "asked": true, "checked": 100, "broken": broken}],
    });
    report.as_object_mut().unwrap().extend(own.as_object().unwrap().clone());
    report
}

fn merged(paths: &[&Path]) -> Merged {
    let paths: Vec<PathBuf> = paths.iter().map(|path| path.to_path_buf()).collect();
    let header = Header::new(&Machine::here(), None, "mapstorm merge".into());
    Merged::new(header, find(&paths).unwrap())
}

fn text(merged: &Merged) -> String {
    let mut out = Vec::new();
    crate::report::Report::text(merged, &mut out, true).unwrap();
    anstream::adapter::strip_bytes(&out).into_vec().into_iter().map(char::from).collect()
}

#[test]
fn kernels_stay_apart_and_each_signature_has_its_earliest() {
    let dir = Dir::new("merge-kernels");
    dir.put("1.json", report(1, "6.16", &[]).to_string());
    dir.put("2.json", report(2, "7.3", &[("hole/a/b/walk", 3, 40.0)]).to_string());
    dir.put(
        "deeper/3.json",
        report(3, "7.3", &[("hole/a/b/walk", 2, 9.5), ("torn/-/-/walk", 1, 80.0)]).to_string(),
    );
    dir.put("4.json", report(4, "7.3", &[]).to_string());
    // Evidence and other files in the same folder are none of its business.
    dir.put("hole.json", r#"{"schema_version": 2, "signature": "hole/a/b/walk"}"#);
    dir.put("log.txt", "{");
    let merged = merged(&[&dir.0]);
    assert_eq!(
        (merged.verdict, merged.exit(), merged.runs.len()),
        (Verdict::Violated, Exit::Violated, 4)
    );
    let [old, new] = &merged.kernels[..] else { panic!("{:?}", merged.kernels) };
    assert_eq!((old.kernel.as_str(), old.verdict, old.runs), ("6.16", Verdict::Upheld, 1));
    assert_eq!((new.runs, new.checked_lines, new.undecided, new.elapsed_ms), (3, 300, 3, 3000));
    let [hole, torn] = &new.signatures[..] else { panic!("{:?}", new.signatures) };
    assert_eq!((hole.count, hole.runs, hole.first_at_ms), (5, 2, 9.5));
    assert_eq!((hole.command.as_str(), torn.count), ("mapstorm --shard 3/4", 1));
    assert_eq!(hole.files, ["out/2.json", "out/3.json"]);
    assert_eq!((new.scorecard[0].checked, new.scorecard[0].broken), (300, 6));
    assert!(merged.missing.is_empty() && merged.broken.is_empty());
    assert!(text(&merged).contains("violated: 4 runs on 2 kernels\n"), "{}", text(&merged));
}

#[test]
fn a_shard_that_left_nothing_whole_is_named_and_all_is_undecided() {
    let dir = Dir::new("merge-missing");
    dir.put("1.json", report(1, "6.16", &[]).to_string());
    let whole = report(3, "6.16", &[]).to_string();
    dir.put("3.json", &whole[..whole.len() / 2]);
    dir.put("4.json", "");
    let merged = merged(&[&dir.0]);
    assert_eq!(merged.missing, ["2/4 of seed 0x7", "3/4 of seed 0x7", "4/4 of seed 0x7"]);
    let why: Vec<&str> = merged.broken.iter().map(|broken| broken.why.as_str()).collect();
    assert!(why[0].contains("no whole JSON") && why[1].contains("empty"), "{why:?}");
    assert_eq!((merged.verdict, merged.exit()), (Verdict::Undecided, Exit::Undecided));
    let text = text(&merged);
    assert!(text.contains("missing: shard 2/4 of seed 0x7"), "{text}");
    assert!(
        text.ends_with("undecided: 1 run on 1 kernel; 3 shards missing; 2 reports broken\n"),
        "{text}"
    );
    let checks = crate::report::Report::checks(&merged).unwrap();
    let named: Vec<&str> = checks.checks.iter().map(|check| check.name.as_str()).collect();
    assert_eq!(named, ["6.16.no-hole", "all-shards"]);
    assert_eq!((checks.totals().pass, checks.totals().skip), (1, 1));
}

#[test]
fn each_run_counts_once_however_often_it_is_merged() {
    let dir = Dir::new("merge-again");
    dir.put("1.json", report(1, "7.3", &[("hole/a/b/walk", 3, 40.0)]).to_string());
    // As a job leaves them that logs to the same file.
    let two = format!("# a note\n{}\n{}\n", report(2, "7.3", &[]), report(3, "7.3", &[]));
    dir.put("2.json", two);
    let first = merged(&[&dir.0]);
    assert_eq!((first.runs.len(), first.missing.len()), (3, 1));
    dir.put("all.json", serde_json::to_string(&first).unwrap());
    let again = merged(&[&dir.0, &dir.0, &dir.0.join("all.json")]);
    let told = |merged: &Merged| {
        serde_json::to_value((&merged.kernels, &merged.missing, &merged.runs)).unwrap()
    };
    assert_eq!(told(&again), told(&first));
    // A table of guests has their reports.
    let rows = json!({"rows": [{"report": report(4, "7.3", &[])}, {"report": null}]});
    dir.put("vm.json", rows.to_string());
    let whole = merged(&[&dir.0]);
    assert_eq!((whole.runs.len(), whole.missing.len()), (4, 0));
}

#[test]
fn what_is_no_report_is_refused_with_what_to_do() {
    let dir = Dir::new("merge-refused");
    dir.put("hole.json", r#"{"signature": "hole/a/b/walk"}"#);
    let refused = |path: PathBuf| find(&[path]).unwrap_err().to_string();
    assert!(refused(dir.0.join("hole.json")).contains("--format json"));
    assert!(refused(dir.0.clone()).contains("there is no report"));
    assert!(refused(dir.0.join("none.json")).contains("none.json"));
}
