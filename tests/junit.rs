//! JUnit as an XML parser reads it, held against the JSON of the same run.

mod common;

use clap::Parser;
use common::skip;
use mapstorm::cases::{Around, AtOnce, CaseReport, Interface, Position, find, play, prove};
use mapstorm::engine::{Mode, OpSet, Plan, Planted, Storm};
use mapstorm::header::Header;
use mapstorm::host::{Machine, MapsLocking};
use mapstorm::kernel::Arena;
use mapstorm::model::KindSet;
use mapstorm::report::checks::Checklist;
use mapstorm::report::{Circumstances, Format, Report, StormReport, junit};
use mapstorm::sim::sweep::{SelfcheckArgs, check};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

/// What JUnit says of one test: nothing where it passed, else the kind, the message and the text.
type Told = Option<(String, String, String)>;

/// The tests by name, as an XML parser finds them.
fn tests(xml: &[u8]) -> BTreeMap<String, Told> {
    let text = std::str::from_utf8(xml).unwrap();
    let document = roxmltree::Document::parse(text).unwrap();
    let suite = document.descendants().find(|node| node.has_tag_name("testsuite")).unwrap();
    let cases = suite.children().filter(|node| node.has_tag_name("testcase"));
    let tests: BTreeMap<String, Told> = cases
        .map(|case| {
            let ends = |node: &roxmltree::Node<'_, '_>| {
                ["failure", "skipped", "error"].contains(&node.tag_name().name())
            };
            let told = case.children().find(ends).map(|node| {
                let message = node.attribute("message").unwrap_or_default();
                let kind = node.tag_name().name();
                (kind.to_owned(), message.to_owned(), node.text().unwrap_or_default().to_owned())
            });
            (case.attribute("name").unwrap().to_owned(), told)
        })
        .collect();
    let count = |kind: &str| tests.values().flatten().filter(|told| told.0 == kind).count();
    let said = |name: &str| suite.attribute(name).unwrap().parse::<usize>().unwrap();
    assert_eq!(said("tests"), tests.len());
    assert_eq!((said("failures"), said("errors")), (count("failure"), 0));
    assert!(!text.contains("skipped=") || said("skipped") == count("skipped"));
    tests
}

/// Both forms of one result.
fn both(report: &impl Report) -> (BTreeMap<String, Told>, Value) {
    let json = serde_json::from_slice(&Format::Json.write(report, false)).unwrap();
    (tests(&Format::Junit.write(report, false)), json)
}

fn kind(told: &Told) -> &str {
    told.as_ref().map_or("pass", |told| &told.0)
}

#[test]
fn a_storm_fails_the_promises_that_its_violations_break_with_their_example() {
    let arena = match Arena::reserve(24, 16) {
        Ok(arena) => arena,
        Err(why) => return skip(why),
    };
    let plan = Plan {
        duration: Duration::from_secs(30),
        modes: [Mode::Walk].into_iter().collect(),
        fail_fast: true,
        pause_every: Duration::from_millis(200),
        inject: Some("hole".parse::<Planted>().unwrap()),
        ..Plan::default()
    };
    let may = OpSet::full(KindSet::all(), arena.file_count());
    let storm = Arc::new(Storm::prepare(arena, plan, may).unwrap());
    let run = storm.run(|| None, |_| {}, |_| {}, |_| {}).unwrap();
    let header = Header::new(&Machine::here(), Some(1), "mapstorm <&\"'>".into());
    let around = Circumstances {
        header: &header,
        locking: MapsLocking::Unknown,
        dropped: &[],
        merge_rules: Vec::new(),
        unpredicted: Vec::new(),
        allocations: None,
        kept: &[],
    };
    let report = StormReport::new(&storm, &run, &around);
    let (tests, json) = both(&report);
    assert_eq!(json["verdict"], "violated");
    let violations = json["violations"].as_array().unwrap();
    for violation in violations {
        let rule = violation["rule"].as_str().unwrap();
        let way = violation["reader"].as_str().map_or(String::new(), |way| format!(".{way}"));
        let (kind, _, text) = tests[&format!("{rule}{way}")].as_ref().unwrap();
        assert_eq!(kind, "failure");
        assert!(text.contains(violation["signature"].as_str().unwrap()), "{text}");
        for line in violation["example"].as_array().unwrap() {
            assert!(text.contains(line.as_str().unwrap().trim_end()), "{line}: {text}");
        }
    }
    let failed = tests.iter().filter(|(_, told)| kind(told) == "failure");
    for (name, _) in failed {
        let rule = name.split('.').next().unwrap();
        assert!(violations.iter().any(|violation| violation["rule"] == rule), "{name}");
    }
}

#[test]
fn a_case_that_says_nothing_is_a_skip_with_its_reason() {
    let around = Around {
        seed: 1,
        noise: 0,
        at_once: AtOnce { maps: false, smaps: false },
        signal: &|| None,
    };
    let spec = find("1").unwrap();
    let time = Duration::from_micros(1);
    let run = play(spec, Interface::Read, Position::Page, time, &around);
    let case = CaseReport::new(spec, prove(spec), run.into_iter().collect());
    let json = serde_json::to_value(&case).unwrap();
    let list = Checklist {
        suite: "cases",
        notes: Vec::new(),
        seconds: 0.0,
        checks: mapstorm::cases::checks::of_case(&case),
    };
    let mut xml = Vec::new();
    junit::write(&mut xml, &list).unwrap();
    let tests = tests(&xml);
    let (told, run) = (&tests["case1.page.read"], &json["runs"][0]);
    match run["verdict"].as_str().unwrap() {
        "upheld" => assert_eq!(kind(told), "pass"),
        "violated" => assert_eq!(kind(told), "failure"),
        _ => {
            let (kind, message, _) = told.as_ref().unwrap();
            assert_eq!(
                (kind.as_str(), message.as_str()),
                ("skipped", run["why"].as_str().unwrap())
            );
        }
    }
}

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    selfcheck: SelfcheckArgs,
}

#[test]
fn selfcheck_has_a_test_for_each_bug_and_each_right_kernel() {
    let line = Line::parse_from(["selfcheck", "--seconds", "1", "--seed", "3"]);
    let report = check(&line.selfcheck, true, &AtomicUsize::new(0));
    let (tests, json) = both(&report);
    let bugs = json["bugs"].as_array().unwrap();
    for bug in bugs {
        let told = &tests[&format!("bug.{}", bug["bug"].as_str().unwrap())];
        assert_eq!(kind(told) == "pass", bug["found"] == true, "{bug}");
    }
    let kernels = json["right_kernels"].as_array().unwrap();
    for kernel in kernels {
        let told = &tests[&format!("right.{}", kernel["model"].as_str().unwrap())];
        assert_eq!(kind(told) == "pass", kernel["alarms"] == 0, "{kernel}");
    }
    assert_eq!(tests.len(), bugs.len() + kernels.len());
    // Ended before it began: nothing was run, and nothing was found or missed.
    let report = check(&line.selfcheck, true, &AtomicUsize::new(15));
    let (tests, _) = both(&report);
    assert!(tests.values().all(|told| kind(told) == "skipped"), "{tests:?}");
}
