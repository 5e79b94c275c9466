//! The engine, used as replaying and minimising use it: many runs in one process.
//!
//! One test only: it looks at the process's own threads and mappings.

use mapstorm::engine::{Ended, Mode};
use mapstorm::model::{FoundRules, Op, Page, Place, Prot, Span};
use mapstorm::repro::scenario::{Boundary, RunPlan, SCHEMA_VERSION, Scenario, run};
use std::time::Duration;

fn scenario(readers: Vec<Mode>, boundary: Option<Boundary>) -> Scenario {
    let at = Place { lane: 0, span: Span::new(4, 6) };
    Scenario {
        schema_version: SCHEMA_VERSION,
        name: "replace".into(),
        pages: 16,
        merge_rules: FoundRules::default(),
        lanes: vec!["[2..4 rw-p anon] [4..6 r--p anon] [6..8 rw-p anon]".into(), "empty".into()],
        mutators: vec![
            vec![
                Op::Protect { at, prot: Prot::READ_WRITE },
                Op::Map { at, page: Page::anon(Prot::READ) },
            ],
            // Does not always fit in between the other's operations, and is passed over then.
            vec![Op::Resize { at, new_len: 1 }, Op::Map { at, page: Page::anon(Prot::READ) }],
        ],
        readers,
        first_read: None,
        later_reads: None,
        boundary,
        measured: None,
    }
}

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").expect("tasks").count()
}

fn mappings() -> usize {
    std::fs::read_to_string("/proc/self/maps").expect("maps").lines().count()
}

#[test]
fn runs_follow_each_other_without_a_trace() {
    let plan = RunPlan { duration: Duration::from_millis(60), ..RunPlan::default() };
    let boundary = Some(Boundary { lane: 0, page: 4 });
    let all = Mode::ALL.to_vec();
    let mut after_first = None;
    for round in 0..6 {
        let (scenario, noise) = match round % 3 {
            0 => (scenario(vec![Mode::Walk], boundary), 0),
            1 => (scenario(vec![Mode::Smaps], boundary), 2),
            _ => (scenario(all.clone(), None), 5),
        };
        let done = run(&scenario, &RunPlan { noise, seed: round, ..plan.clone() }, || None)
            .expect("the scenario runs");
        assert_eq!(done.run.ended, Ended::Time);
        assert_eq!(done.run.mismatches, 0, "{:?}", done.run.differences);
        assert_eq!(done.run.counts.failed, 0);
        assert_ne!(done.aimed, Some(false));
        assert_eq!(done.aimed.is_some(), scenario.boundary.is_some());
        drop(done);
        // The allocator keeps what it mapped in the first rounds.
        if round >= 3 {
            let now = (threads(), mappings());
            let first = *after_first.get_or_insert(now);
            assert_eq!(now.0, first.0, "threads are left over");
            assert!(now.1 <= first.1 + 8, "{} mappings, and {} before", now.1, first.1);
        }
    }
    // A violation cannot be had at will, but a stop can.
    let plan = RunPlan { duration: Duration::from_secs(3600), ..plan };
    let done = run(&scenario(vec![Mode::Query], None), &plan, || Some(15)).expect("it runs");
    assert_eq!(done.run.ended, Ended::Signal(15));
}
