//! The screen of every kind of outcome, from data.

use super::super::data::{
    Ending, FailedAtLimit, KeptExample, KernelLogReport, Operations, OutsideReport, OverdueCalls,
    Reads, SCHEMA_VERSION, Score, Standstills, StormReport, Violation,
};
use super::super::overlap::OverlapReport;
use super::super::verdict::Verdict;
use super::*;
use crate::engine::Mode;
use crate::header::Header;
use crate::host::{Machine, MapsLocking};
use crate::oracle::{Class, Contract, Mechanism, Rule};
use std::collections::BTreeMap;

const PROGRAM: &str = "./target/release/mapstorm";

/// A run in which all was right.
fn upheld() -> StormReport {
    let command = "mapstorm --threads 64 --seconds 10 --seed 0x344d426bf61b5890".to_owned();
    let header = Header::new(&Machine::here(), Some(0x344d_426b_f61b_5890), command);
    let score = |rule: Rule| Score {
        rule,
        promise: rule.promise(),
        contract: rule.contract(),
        asked: rule.contract() == Contract::Series,
        checked: 10_000_000,
        broken: 0,
    };
    StormReport {
        schema_version: SCHEMA_VERSION,
        header: Header {
            kernel: "6.18.44".into(),
            arch: "x86_64".into(),
            cpus: 2,
            ..header.judged_by(Contract::Series)
        },
        maps_locking: MapsLocking::PerVma,
        elapsed_ms: 10_000,
        verdict: Verdict::Upheld,
        ended: Ending::Time,
        threads: 64,
        readers: 16,
        nice: None,
        lanes: 8,
        pages: 16,
        page_span: 16,
        dropped: Vec::new(),
        merge_rules: BTreeMap::new(),
        unpredicted: Vec::new(),
        operations: Operations {
            total: 1_234_567,
            failed: 0,
            failed_at_limit: None,
            by_kind: BTreeMap::new(),
            cases: BTreeMap::new(),
        },
        reads: Reads {
            calls: 1_000_000,
            walks: 100_000,
            queries: 200_000,
            lines: 10_000_000,
            bytes: 1_000_000_000,
            failed: 0,
            by_mode: BTreeMap::new(),
        },
        checked_lines: 10_000_000,
        windows: 1_200_000,
        busy_windows: 1_000_000,
        undecided: 3,
        tolerated: BTreeMap::new(),
        scorecard: Rule::ALL.map(score).into(),
        violations: Vec::new(),
        violations_beyond: 0,
        allowed_violations: 0,
        standstills: Standstills {
            checked: 10,
            mismatches: 0,
            repaired: 0,
            missed: 0,
            differences: Vec::new(),
        },
        kernel_log: KernelLogReport {
            watched: true,
            why: None,
            taint_before: Some(0),
            taint_after: Some(0),
        },
        outside: OutsideReport { lines: 30, changed: 0, left_out: 0, not_judged: 0, undecided: 0 },
        faulters: None,
        overdue_calls: OverdueCalls {
            waiting_for_cpu: 0,
            stopped: 0,
            user_mode: 0,
            undecided: 0,
            longest_ms: 0,
        },
        overlap: OverlapReport {
            played_ms: 9000,
            readers_cpu_ms: 4000,
            mutators_cpu_ms: 8000,
            overlap_ms: 5000,
            overlap_percent: 55.5,
            cpus: 2,
            cpu_percent: 66.0,
            hardly_tested: false,
        },
        slices: 100,
        workloads: Vec::new(),
        allocations_in_storm: Some(0),
        peak_rss_bytes: 64 << 20,
    }
}

/// Violations with one signature, saved.
pub(in crate::report) fn violation(
    class: Class,
    mechanism: Option<Mechanism>,
    count: u64,
) -> Violation {
    let word = mechanism.map_or("-", |mechanism| mechanism.word());
    let read = !matches!(class, Class::Mismatch | Class::Stall | Class::Splat);
    Violation {
        signature: format!("{class}/{word}/remap/walk"),
        rule: Rule::NoHole,
        class: class.word(),
        mechanism: mechanism.map(|mechanism| mechanism.word()),
        reader: read.then_some(Mode::Walk),
        operations: vec!["remap"],
        count,
        first_at_ms: 15.04,
        allowed: false,
        example: vec!["at length".into(); if read { 20 } else { 0 }],
        in_short: [
            "lane 7 page 13 is missing",
            "it was mapped at every instant from tick 123456789 to tick 123456999",
            "worker 4095: mremap(FIXED|DONTUNMAP) lane 4095 pages 10..13 onto lane 4095 pages 23..26",
            "   7fc533cd0000-7fc533cd1000 rw-p 00000000 [heap]",
            ">> nothing for 7fc533cd1000",
            "   7fc533cd2000-7fc533cd3000 rw-p 00000000 /memfd:mapstorm-0 (deleted)",
        ]
        .map(str::to_owned)
        .into_iter()
        .filter(|_| read)
        .collect(),
        no_example: None,
        kept: vec![KeptExample {
            second_checker: "proved",
            disagreement: None,
            file: Some(format!("mapstorm-344d426bf61b5890/{class}.{word}.remap.walk-1.json")),
            not_saved: None,
        }],
    }
}

/// The same run with these violations.
pub(in crate::report) fn violated(violations: Vec<Violation>) -> StormReport {
    let mut report = upheld();
    report.verdict = Verdict::Violated;
    let sum: u64 = violations.iter().map(|violation| violation.count).sum();
    report.scorecard[1].broken = sum;
    report.violations = violations;
    report
}

fn all_mechanisms() -> Vec<Violation> {
    let mechanisms = Mechanism::ALL.into_iter().map(Some);
    let of = |(at, mechanism)| violation(Class::Hole, mechanism, 10 + at as u64);
    mechanisms.enumerate().map(of).collect()
}

fn mismatch() -> StormReport {
    let mut report = violated(vec![violation(Class::Mismatch, None, 1)]);
    report.standstills.mismatches = 1;
    report.standstills.differences = vec![format!("lane 3: {}", "[0..3 rw-p anon] ".repeat(40))];
    report
}

fn stall() -> StormReport {
    let mut report = violated(vec![violation(Class::Stall, Some(Mechanism::Unknown), 1)]);
    let frames = "\n  [<0>] mmap_read_lock+0x12/0x340".repeat(60);
    report.ended =
        Ending::Stall { tid: Some(4711), state: format!("in mprotect, state R{frames}") };
    report
}

fn undecided() -> StormReport {
    let why = "a lane could not be laid out anew at ten standstills in a row: ENOMEM";
    let dropped = [["touch", "refused"].map(str::to_owned)].into();
    let ended = Ending::Lost(why.into());
    StormReport { verdict: Verdict::Undecided, ended, dropped, ..upheld() }
}

fn allowed() -> StormReport {
    let mut report = violated(all_mechanisms());
    report.violations.iter_mut().for_each(|violation| violation.allowed = true);
    report.allowed_violations = 91;
    StormReport { verdict: Verdict::Allowed, ..report }
}

fn untestable() -> StormReport {
    StormReport { verdict: Verdict::Untestable, ..upheld() }
}

fn hardly_tested() -> StormReport {
    let overlap =
        OverlapReport { overlap_percent: 0.0, cpus: 1, hardly_tested: true, ..upheld().overlap };
    StormReport { overlap, ..upheld() }
}

/// Everything that can be said at once, and each of it as long as it gets.
fn worst() -> StormReport {
    let mut violations = all_mechanisms();
    violations.extend(Class::ALL.map(|class| violation(class, None, u64::MAX / 64)));
    violations
        .extend(all_mechanisms().into_iter().map(|known| Violation { allowed: true, ..known }));
    let disagreement = KeptExample {
        second_checker: "disagrees",
        disagreement: Some("not hole/replaced-in-flight/remap/walk, but nothing ".repeat(9)),
        file: None,
        not_saved: Some("No space left on device (os error 28), and more ".repeat(9)),
    };
    violations[0].kept = vec![disagreement.clone(), disagreement];
    let long = "a/long/folder/".repeat(20);
    for kept in violations.iter_mut().flat_map(|violation| &mut violation.kept) {
        kept.file = kept.file.take().map(|file| format!("{long}{file}"));
    }
    let mut report = violated(violations);
    report.scorecard.iter_mut().for_each(|score| score.broken = u64::MAX / 64);
    (report.elapsed_ms, report.windows, report.undecided) = (u64::MAX / 4096, u64::MAX, u64::MAX);
    (report.violations_beyond, report.allowed_violations) = (u64::MAX / 64, u64::MAX / 64);
    report.standstills.missed = 99;
    report.reads.failed = 99;
    report.operations = Operations { total: u64::MAX / 4096, failed: 99, ..report.operations };
    report.outside.not_judged = 99;
    report.overdue_calls.waiting_for_cpu = 99;
    report.dropped = vec![["name", "refused"].map(str::to_owned); 9];
    report.ended = Ending::Lost("a lane could not be laid out anew ".repeat(9));
    report.header.kernel = "6.18.0-1017-aws-fips-with-a-long-local-version".into();
    report.header.command = format!("mapstorm {}", "--allow hole/replaced-in-flight ".repeat(30));
    report
}

fn outcomes() -> Vec<(&'static str, StormReport)> {
    vec![
        ("upheld", upheld()),
        ("hardly tested", hardly_tested()),
        ("one mechanism", violated(all_mechanisms().drain(..1).collect())),
        ("three mechanisms", violated(all_mechanisms().drain(..3).collect())),
        ("all mechanisms", violated(all_mechanisms())),
        ("undecided", undecided()),
        ("untestable", untestable()),
        ("allowed", allowed()),
        ("stall", stall()),
        ("mismatch", mismatch()),
        ("all at once", worst()),
    ]
}

/// The rows without colours.
fn rows(report: &StormReport) -> Vec<String> {
    let text = strip_str(&screen(report, PROGRAM)).to_string();
    text.lines().map(str::to_owned).collect()
}

/// A row that is there to be pasted may be longer, and takes as many rows as it does.
fn is_pasted(row: &str) -> bool {
    [" see it ", " prove it ", " again "].iter().any(|name| row.starts_with(name))
}

#[test]
fn calls_that_failed_at_the_limit_are_a_row() {
    let mut report = upheld();
    let row = |report: &StormReport| {
        let screen = screen(report, "mapstorm");
        screen.lines().find(|line| line.contains("vm.max_map_count")).map(str::to_owned)
    };
    assert_eq!(row(&report), None);
    let at_limit = |unchanged| FailedAtLimit { max_map_count: 2000, unchanged, half_done: 12 };
    report.operations.failed_at_limit = Some(at_limit(20_000));
    let told = row(&report).unwrap();
    assert!(told.contains("calls failed") && told.contains("12 may be half done"), "{told}");
    report.operations.failed_at_limit = Some(FailedAtLimit { half_done: 0, ..at_limit(0) });
    assert_eq!(row(&report), None);
}

#[test]
fn every_outcome_fits_the_smallest_terminal_with_the_verdict_first() {
    for (name, report) in outcomes() {
        let rows = rows(&report);
        let height: usize = rows.iter().map(|row| columns(row).div_ceil(COLUMNS).max(1)).sum();
        let all = rows.join("\n");
        assert!(height < ROWS, "{name}: {height} rows and a prompt:\n{all}");
        assert!(rows[0].starts_with(&report.verdict.word().to_uppercase()), "{name}:\n{all}");
        assert!(rows[0].contains("Linux 6.18"), "{name}:\n{all}");
        let wide = rows.iter().find(|row| columns(row) > COLUMNS && !is_pasted(row));
        assert!(name == "all at once" || wide.is_none(), "{name}: {wide:?}\n{all}");
        let code = format!("Exit code {}", report.exit().code());
        assert!(rows.last().unwrap().ends_with(&code), "{name}:\n{all}");
        let has = |words: &str| rows.iter().any(|row| row.contains(words));
        for words in [" promises ", " judged ", " again "] {
            assert!(has(words), "{name}: nothing on {words:?}\n{all}");
        }
    }
}

#[test]
fn what_weakens_the_verdict_is_there_however_little_room_there_is() {
    let told = rows(&worst()).join("\n");
    for words in [
        "THE TWO CHECKERS DISAGREE",
        "it could not go on",
        "2 violations not saved",
        "not proved by the second checker",
        "failed reads 99, failed operations 99, overdue calls 99, missed\n            standstills 99",
        "outside of the arena not judged",
        "further signatures",
        "more rows",
        "windows undecided",
    ] {
        assert!(told.contains(words), "nothing on {words:?}:\n{told}");
    }
    let hardly = rows(&hardly_tested()).join("\n");
    assert!(hardly.starts_with("UPHELD, BUT HARDLY TESTED"), "{hardly}");
    assert!(hardly.contains("only preemption was tested"), "{hardly}");
    let undecided = rows(&undecided()).join("\n");
    assert!(undecided.contains("could not be laid out anew"), "{undecided}");
    assert!(undecided.contains("without touch (-v says why)"), "{undecided}");
}

#[test]
fn a_storm_with_three_mechanisms_shows_all_of_them_the_example_and_the_commands() {
    let mut report = violated(all_mechanisms().drain(..3).collect());
    report.header.seed = Some("0x7".into());
    report.header.command = "mapstorm --threads 64 --seconds 10 --seed 0x7".into();
    let told = rows(&report).join("\n");
    for words in [
        "VIOLATED  Linux 6.18.44 ",
        "seed 0x7",
        "Mappings that were there all the time were left out.",
        "replaced-in-flight        10    1.0/s   15 ms  mm/mremap.c mremap_to",
        "skipped-after-merge",
        "skipped-after-split",
        "example    lane 7 page 13 is missing",
        "broken: no hole 33; kept: the other 7",
        "see it     ./target/release/mapstorm explain \\\n",
        "prove it   ./target/release/mapstorm verify mapstorm-344d426bf61b5890",
        "again      ./target/release/mapstorm --threads 64 --seconds 10 --seed 0x7",
    ] {
        assert!(told.contains(words), "nothing on {words:?}:\n{told}");
    }
    for mechanism in [Mechanism::ReplacedInFlight, Mechanism::SkippedAfterMerge] {
        assert!(told.contains(mechanism.in_short()), "{told}");
    }
}

/// The sample of the docs is this screen, of figures as a storm found them.
#[test]
fn the_screen_in_the_docs_is_one() {
    let signatures = [
        (Mechanism::ReplacedInFlight, 3033),
        (Mechanism::SkippedAfterMerge, 31),
        (Mechanism::SkippedAfterSplit, 2),
    ];
    let of = |(mechanism, count)| violation(Class::Hole, Some(mechanism), count);
    let mut violations: Vec<Violation> = signatures.map(of).into();
    (violations[1].first_at_ms, violations[2].first_at_ms) = (204.0, 1519.0);
    violations[0].in_short = [
        "lane 0 page 1 is missing",
        "it was mapped at every instant from tick 49462 to tick 49465",
        "worker 50: mremap(FIXED) lane 0 pages 14..15 onto lane 0 pages 1..2",
        "   7fbd67f00000-7fbd67f01000 rw-p 00000000 [anon:mapstorm-1]",
        ">> nothing for 7fbd67f01000",
        "   7fbd67f02000-7fbd67f04000 r-xp 00000000",
    ]
    .map(str::to_owned)
    .into();
    for (violation, number) in violations.iter_mut().zip(1..) {
        violation.kept[0].file = Some(format!("tears/hole-{number}.json"));
    }
    let mut report = violated(violations);
    report.header.seed = Some("0x7".into());
    report.header.command = "mapstorm --threads 64 --out tears --seed 0x7".into();
    let told = strip_str(&screen(&report, "mapstorm")).to_string();
    let docs = include_str!("../../../docs/storm.md");
    assert!(docs.contains(&format!("```text\n{told}```\n")), "docs/storm.md should have:\n{told}");
}

#[test]
fn an_allowed_violation_is_no_example_for_one_that_is_not() {
    let mut known = violation(Class::Hole, Some(Mechanism::ReplacedInFlight), 9);
    known.allowed = true;
    let mut report = mismatch();
    report.violations.push(known);
    let told = rows(&report).join("\n");
    assert!(told.contains("example    lane 3: [0..3 rw-p anon]"), "{told}");
    assert!(told.contains(" allowed:\n replaced-in-flight "), "{told}");
}

#[test]
fn what_a_mechanism_does_fits_a_row() {
    for mechanism in Mechanism::ALL {
        let words = mechanism.in_short();
        assert!(words.len() <= COLUMNS - 3, "{mechanism}: {} columns", words.len());
        assert!(21 + 7 + 9 + 8 + 3 + mechanism.place().len() <= COLUMNS, "{mechanism}");
    }
}

#[test]
fn numbers_take_six_characters() {
    for number in [0, 99_999, 100_000, 999_999, 1_000_000, 99_949_999, 999_999_999, 1 << 40] {
        assert!(short(number).len() <= 7, "{}", short(number));
    }
    assert_eq!(short(6_812_345), "6.8 M");
    assert_eq!(short(172_400), "172 k");
}

#[test]
fn text_is_wrapped_at_words_and_clipped_where_one_is_too_long() {
    assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
    assert_eq!(wrapped("012345678901", 8), ["01234..."]);
    assert_eq!(clipped("tab\there", 20), "tab here");
}
