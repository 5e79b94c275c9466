//! The two checkers against each other, over walks of simulated kernels, right and wrong ones.
//!
//! Whoever changes a rule of `src/oracle/rules.rs` can see what it is held by: take the rule out and
//! run `cargo test --test pictures --test checkers --test reader`. The rule's own picture fails, and
//! so does the duel here.

use mapstorm::model::{Geometry, Layout, Observation, Op, Page, Place, Prot, Span};
use mapstorm::oracle::{Contract, Oracle, Rule, Verdict, Walk, Window};
use mapstorm::sim::{
    Bug, Deaf, Found, Model, Recorder, Settled, Setup, SimFile, Spoken, Watch, World,
};
use mapstorm::verify::{Judgement, judge};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use std::collections::BTreeMap;

/// A simulated kernel and what is asked of it.
#[derive(Clone, Copy, Debug)]
struct Case {
    seed: u64,
    bug: Option<Bug>,
    model: Model,
    contract: Contract,
    failures: usize,
    spare: Option<usize>,
    history: usize,
}

fn any_case() -> impl Strategy<Value = Case> {
    // Bugs of the history deceive both checkers alike.
    let bugs: Vec<Bug> = Bug::ALL.iter().copied().filter(|bug| bug.case() != "history").collect();
    (
        any::<u32>(),
        prop::option::weighted(0.8, prop::sample::select(bugs)),
        prop::sample::select(&Model::ALL[..]),
        prop::sample::select(&Contract::ALL[..]),
        prop_oneof![3 => Just(0usize), 1 => Just(20)],
        prop_oneof![2 => Just(None), 1 => (0usize..6).prop_map(Some)],
        prop_oneof![4 => Just(4096usize), 1 => Just(16)],
    )
        .prop_map(|(seed, bug, model, contract, failures, spare, history)| Case {
            // What other bugs do to the books may not fit what a call that fails left.
            spare: spare.filter(|_| bug.is_none_or(|bug| bug.case() == "limit")),
            seed: seed as u64,
            bug,
            model: bug.map_or(model, Bug::model),
            contract,
            failures,
            history,
        })
}

/// What both said, and how often.
type Counts = BTreeMap<(&'static str, &'static str), u64>;

/// Runs a kernel for some steps and holds the checkers against each other on each walk.
fn duel(case: Case, steps: u64, counts: &mut Counts) -> Result<(), String> {
    let mut setup = Setup::draw(case.seed);
    (setup.failures, setup.spare) = (case.failures, case.spare);
    setup.history = case.history;
    let oracle = setup.oracle(case.seed);
    let world = World::new(&oracle, setup, case.model, case.bug, case.seed);
    let recorder = Recorder::new(&oracle, case.contract);
    let mut watch = Watch::new(&oracle, SimFile::new(world), case.model, case.seed, recorder);
    while watch.steps() < steps {
        watch.turn();
        watch.relaxation();
        for settled in watch.listener().take() {
            compare(&settled, counts)?;
        }
    }
    Ok(())
}

fn compare(Settled { walk, spoken }: &Settled, counts: &mut Counts) -> Result<(), String> {
    let judged = judge(walk).map_err(|flaw| format!("{flaw}: {walk:#?}"))?;
    let lane_known = |lane| walk.versions.iter().any(|record| record.lane == lane);
    let all_known = (0..walk.geometry.lanes).all(lane_known)
        && walk.versions.iter().all(|record| record.origin.known);
    // A hole in front of a line that was true only before it: either can take the blame.
    let same = |first: Rule, second: Rule| {
        first == second || (first, second) == (Rule::NoHole, Rule::Order)
    };
    let (first, second, agree) = match (spoken, &judged) {
        (Spoken::Right, Judgement::Right(_)) => ("right", "right", true),
        (Spoken::Wrong { rule, line }, Judgement::Wrong(refutation)) => {
            let agree = same(*rule, refutation.rule) && *line == refutation.line;
            // With a lane unknown the second may blame something later.
            ("wrong", "wrong", agree || !all_known)
        }
        (Spoken::Right, Judgement::Undecided(_)) => ("right", "undecided", !all_known),
        (Spoken::Wrong { .. }, Judgement::Undecided(_)) => ("wrong", "undecided", !all_known),
        (Spoken::Undecided, Judgement::Undecided(_)) => ("undecided", "undecided", !all_known),
        (Spoken::Undecided, Judgement::Right(_)) => ("undecided", "right", !all_known),
        (Spoken::Undecided, Judgement::Wrong(_)) => ("undecided", "wrong", !all_known),
        (Spoken::Right, Judgement::Wrong(_)) => ("right", "wrong", false),
        (Spoken::Wrong { .. }, Judgement::Right(_)) => ("wrong", "right", false),
    };
    *counts.entry((first, second)).or_insert(0) += 1;
    if agree { Ok(()) } else { Err(format!("{spoken:?} but {judged:#?} of {walk:#?}")) }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 256,
        failure_persistence: Some(Box::new(
            FileFailurePersistence::Direct("proptest-regressions/checkers.txt")
        )),
        ..ProptestConfig::default()
    })]

    #[test]
    fn both_checkers_say_the_same_of_every_walk(case in any_case()) {
        let said = duel(case, 1_500, &mut Counts::new());
        prop_assert!(said.is_ok(), "{:?}", said);
    }
}

/// The same with fixed seeds, so that it is known what was compared: right walks and wrong ones,
/// undecided ones, walks of many pages in windows of many operations.
#[test]
fn the_walks_compared_are_of_every_sort() {
    let mut counts = Counts::new();
    let bugs = [Bug::SkippedAfterMerge, Bug::UnlockedEarly, Bug::PositionLost];
    for seed in 0..12 {
        for bug in bugs.into_iter().map(Some).chain([None]) {
            let case = Case {
                seed,
                bug,
                model: Model::VmaLocks,
                contract: Contract::ALL[seed as usize % 3],
                failures: if seed % 4 == 1 { 20 } else { 0 },
                spare: (bug.is_none() && seed % 4 == 2).then_some(3),
                history: if seed % 4 == 3 { 16 } else { 4096 },
            };
            duel(case, 4_000, &mut counts).unwrap();
        }
    }
    let sorts = [("right", 3_000), ("wrong", 200), ("undecided", 5)];
    for (sort, least) in sorts {
        let count = counts.get(&(sort, sort)).copied().unwrap_or(0);
        assert!(count >= least, "{count} of {sort:?} in {counts:?}");
    }
}

/// A kernel judged by the first checker alone, until something is wrong.
fn watched(
    setup: Setup,
    model: Model,
    bug: Option<Bug>,
    seed: u64,
    widen: bool,
    steps: u64,
) -> Option<Found> {
    let oracle = setup.oracle(seed);
    let world = World::new(&oracle, setup, model, bug, seed);
    let watch = Watch::new(&oracle, SimFile::new(world), model, seed, Deaf);
    let mut watch = if widen { watch } else { watch.without_widening() };
    watch.run(steps)
}

/// A right kernel raises no alarm, in any model. The long run is `mapstorm selfcheck`.
#[test]
fn right_kernels_pass() {
    for model in Model::ALL {
        for seed in 0..8 {
            let failures = if seed % 2 == 0 { 25 } else { 0 };
            let setup = Setup { failures, ..Setup::draw(seed) };
            assert_eq!(watched(setup, model, None, seed, true, 60_000), None, "{model:?} {seed}");
        }
    }
}

/// A record made in a call that is used up by what was left over is delivered by the next call. A
/// checker that takes it for that call's raises false alarms, and only such a checker does.
#[test]
fn without_the_wider_window_a_right_kernel_looks_wrong() {
    let alarms = |widen: bool| {
        let alarm = |seed: &u64| {
            watched(Setup::draw(*seed), Model::MmapLock, None, *seed, widen, 400_000).is_some()
        };
        (0..8u64).filter(alarm).count()
    };
    assert!(alarms(false) > 0);
    assert_eq!(alarms(true), 0);
}

/// One seed, one run.
#[test]
fn a_seed_repeats_bit_for_bit() {
    let run = |seed: u64| {
        let setup = Setup::draw(seed);
        let oracle = setup.oracle(seed);
        let world = World::new(&oracle, setup, Model::VmaLocks, None, seed);
        let recorder = Recorder::new(&oracle, Contract::Series);
        let mut watch = Watch::new(&oracle, SimFile::new(world), Model::VmaLocks, seed, recorder);
        let mut text = String::new();
        while watch.steps() < 5_000 {
            watch.turn();
            for settled in watch.listener().take() {
                text += &format!("{:?} {:?}\n", settled.walk, settled.spoken);
            }
        }
        (text, watch.steps(), *watch.tally())
    };
    for seed in [1, 2, 3] {
        assert_eq!(run(seed), run(seed));
    }
    assert_ne!(run(1).0, run(2).0);
}

/// Every bug is found in some kernel within a bounded number of steps; with these seeds.
#[test]
fn every_bug_is_found() {
    // What lies outside of the arena is decided at a standstill, and by the storm's own reader; and a
    // reader sees no faults.
    let by_reading = |bug: &&Bug| !matches!(bug.case(), "outside" | "fault");
    for &bug in Bug::ALL.iter().filter(by_reading) {
        let found = (0..96u64).any(|seed| {
            let setup = Setup::draw(seed).for_bug(bug);
            watched(setup, bug.model(), Some(bug), seed, true, 100_000).is_some()
        });
        assert!(found, "{bug} is not found");
    }
}

/// An operation may fail after a line of its layout was judged: no line after that is right,
/// however well it goes with the one before.
#[test]
fn a_layout_that_is_taken_back_between_two_lines_decides_nothing() {
    let geometry = Geometry::new(0x7000_0000_0000, 4096, 1, 4);
    let pages = [Prot::READ, Prot::ALL, Prot::READ, Prot::ALL].map(Page::anon);
    let oracle = Oracle::new(geometry, &[Layout::from_pages(&pages)], 8);
    let window = |from| Window { from, to: oracle.clock().now() };
    let from = oracle.clock().now();
    let mut held = oracle.hold(0);
    let at = Place { lane: 0, span: Span::new(0, 1) };
    let invoked = oracle.invoke(&Op::Protect { at, prot: Prot::NONE }, 0, &mut held, None);
    let line = |page: usize, prot| Observation {
        start: geometry.address(0, page),
        end: geometry.address(0, page + 1),
        page: Page::anon(prot),
    };
    let mut walk = Walk::new(&oracle);
    walk.begin(Some(geometry.base), window(from));
    assert_eq!(walk.line(&line(0, Prot::NONE), window(from)), Verdict::Right);
    assert_eq!(walk.line(&line(1, Prot::ALL), window(from)), Verdict::Right);
    oracle.failed(invoked, &mut held, None);
    assert_eq!(walk.line(&line(2, Prot::READ), window(from)), Verdict::Undecided);
}
