//! The storm's own reader on the simulated kernel: the same code that judges the real one.

mod common;

use common::outside;
use mapstorm::engine::{Counts, Findings, Mode, Place, Reader, Signature, Surroundings, Tally};
use mapstorm::evidence::{Checked, Origins, Saver, Target};
use mapstorm::header::Header;
use mapstorm::host::Machine;
use mapstorm::kernel::{Fault, Injector, MapsRead};
use mapstorm::model::{FoundRules, Geometry};
use mapstorm::oracle::{Class, Contract, Mechanism, Rule, Tolerated};
use mapstorm::seed::Stream;
use mapstorm::sim::{Bug, Model, Setup, SimFile, World, identities, tell_outside};
use std::collections::BTreeMap;
use std::convert::Infallible;

/// What the storm's reader found, by class.
type ByClass = [(Class, u64); Class::ALL.len()];

/// Reads a simulated kernel in so many turns, in all ways.
fn found(
    setup: Setup,
    model: Model,
    bug: Option<Bug>,
    fault: Option<Fault>,
    seed: u64,
    turns: u64,
) -> ByClass {
    // With a call shorter than a line these two say the same line for ever.
    let endless = [Some(Bug::PositionLost), Some(Bug::RepeatedAfterFallback)].contains(&bug);
    let short = if endless { Mode::Walk } else { Mode::Short };
    let modes = [Mode::Walk, Mode::Pread, short, Mode::Query];
    found_in(setup, model, bug, fault, seed, turns, &modes)
}

/// The same in these ways, one after the other.
fn found_in(
    setup: Setup,
    model: Model,
    bug: Option<Bug>,
    fault: Option<Fault>,
    seed: u64,
    turns: u64,
    modes: &[Mode],
) -> ByClass {
    read(setup, model, bug, fault, seed, turns, modes, true).0
}

/// What a reader counted, and how many violations it found of each signature, and of those for which
/// there was no room in the table.
#[derive(PartialEq, Debug)]
struct Told {
    counts: Counts,
    signatures: Vec<(Signature, u64)>,
    beyond: u64,
}

/// The same, with all that was told, by a reader that remembers text or does not.
#[allow(clippy::too_many_arguments)] // One run, told in full where it is called.
fn read(
    setup: Setup,
    model: Model,
    bug: Option<Bug>,
    fault: Option<Fault>,
    seed: u64,
    turns: u64,
    modes: &[Mode],
    remembers: bool,
) -> (ByClass, Told) {
    let oracle = setup.oracle(seed);
    let file = SimFile::new(World::new(&oracle, setup, model, bug, seed));
    let identities = identities(setup.geometry.page_shift);
    let findings = Findings::new(Vec::new(), false, 1, 512);
    let outside = Surroundings::with_room(4, 1024, 4, 512);
    // Every turn lies between two standstills.
    let standstill = || {
        let decided = outside.renew(&findings, |outside| {
            tell_outside(&setup.geometry, outside);
            Ok::<(), Infallible>(())
        });
        let Ok(()) = decided;
    };
    let tally = Tally::default();
    let place = Place::new(&oracle, &identities, &outside, &findings, &tally);
    let rng = Stream::new(seed, "reader", 0);
    match fault {
        None => turn(Reader::new(file, None, rng, place), modes, turns, remembers, standstill),
        Some(fault) => {
            let geometry = setup.geometry;
            let range = geometry.base..geometry.end();
            let plant = Stream::new(seed, "inject", 0);
            let source = Injector::new(file, fault, range, 3, plant);
            turn(Reader::new(source, None, rng, place), modes, turns, remembers, standstill);
        }
    }
    let (signatures, beyond) = findings.with(|found, beyond| {
        let each = found.iter().map(|found| (found.signature, found.count));
        (each.collect(), beyond)
    });
    (findings.by_class(), Told { counts: Counts::from(&tally), signatures, beyond })
}

fn turn<M: MapsRead>(
    reader: Reader<'_, M>,
    modes: &[Mode],
    turns: u64,
    remembers: bool,
    standstill: impl Fn(),
) {
    let mut reader = if remembers { reader } else { reader.without_cache() };
    standstill();
    for i in 0..turns {
        reader.turn(modes[i as usize % modes.len()]);
        standstill();
    }
}

fn sum(found: &ByClass) -> u64 {
    found.iter().map(|(_, count)| count).sum()
}

#[test]
fn right_kernels_pass() {
    for model in Model::ALL {
        for seed in 0..6 {
            let found = found(Setup::draw(seed), model, None, None, seed, 600);
            assert_eq!(sum(&found), 0, "{model:?} {seed} {found:?}");
        }
    }
}

/// Bugs that show in the walk's rules; the others need the snapshot contract.
#[test]
fn bugs_are_found() {
    for &bug in Bug::ALL {
        // And a reader sees no faults.
        if bug == Bug::LockDroppedBetweenLines || bug.case() == "fault" {
            continue;
        }
        let caught = (0..40u64).any(|seed| {
            let setup = Setup::draw(seed).for_bug(bug);
            sum(&found(setup, bug.model(), Some(bug), None, seed, 400)) > 0
        });
        assert!(caught, "{bug}");
    }
}

/// Every planted fault is reported as its class.
#[test]
fn planted_faults_are_found_as_what_they_are() {
    for fault in Fault::ALL {
        let class = Class::ALL.into_iter().find(|class| class.word() == fault.word()).unwrap();
        let caught = (0..40u64).any(|seed| {
            let found = found(Setup::draw(seed), Model::VmaLocks, None, Some(fault), seed, 300);
            found.iter().any(|&(found, count)| found == class && count > 0)
        });
        assert!(caught, "{fault:?}");
    }
}

/// In walks of more calls than the reader remembers lines begin in calls that are forgotten. What
/// cannot be placed in time is no hole.
#[test]
fn a_line_whose_call_is_forgotten_leaves_doubt_and_no_hole() {
    for model in Model::ALL {
        let setup = Setup {
            geometry: Geometry::new(0x7d00_0000_0000, 4096, 40, 20),
            buffer: 4096,
            ..Setup::draw(1)
        };
        let found = found_in(setup, model, None, None, 1, 150, &[Mode::Short]);
        assert_eq!(sum(&found), 0, "{model:?} {found:?}");
    }
}

/// A reader that remembers text comes to the same verdicts, of the same lines and windows, and to
/// the same names for violations, as one that judges each line anew: on right kernels and wrong
/// ones, with operations that fail, and with faults planted in what it reads.
#[test]
fn what_a_reader_remembers_changes_nothing_but_its_speed() {
    let modes = [Mode::Walk, Mode::Pread, Mode::Walk, Mode::Short];
    let (mut seen, mut named) = (Counts::default(), 0);
    let mut duel = |model: Model, bug: Option<Bug>, fault: Option<Fault>, seed: u64| {
        let mut setup = Setup::draw(seed);
        setup.failures = if bug.is_none() && seed % 4 == 1 { 20 } else { 0 };
        // What a bug does to the books may not fit what a call that fails left.
        setup.spare = (bug.is_none() && seed % 4 == 2).then_some(4);
        let run = |remembers| read(setup, model, bug, fault, seed, 200, &modes, remembers);
        let (with, without) = (run(true), run(false));
        assert_eq!(with, without, "{model:?} {bug:?} {fault:?} {seed}");
        seen.merge(&with.1.counts);
        named +=
            with.1.signatures.iter().filter(|(signature, _)| signature.mechanism.is_some()).count();
    };
    for seed in 0..12 {
        Model::ALL.into_iter().for_each(|model| duel(model, None, None, seed));
        Fault::ALL.into_iter().for_each(|fault| duel(Model::VmaLocks, None, Some(fault), seed));
    }
    // With a call shorter than a line these two say the same line for ever.
    let endless = [Bug::PositionLost, Bug::RepeatedAfterFallback];
    for &bug in Bug::ALL.iter().filter(|bug| !endless.contains(bug)) {
        (0..8).for_each(|seed| duel(bug.model(), Some(bug), None, seed));
    }
    assert!(seen.undecided > 20 && seen.busy > 1000 && seen.places > 1000, "{seen:?}");
    assert!(seen.broken.iter().filter(|&&count| count > 20).count() >= 5, "{seen:?}");
    assert!(named > 20, "{named}");
}

/// With a history that runs over, either may find a version gone that the other has no need to look
/// for: each walk leaves behind which versions were the first ones, and what is remembered passes
/// lanes without asking. Neither is ever wrong, and neither decides markedly less.
#[test]
fn what_a_reader_remembers_leaves_as_little_undecided() {
    let modes = [Mode::Walk, Mode::Pread, Mode::Walk, Mode::Short];
    let mut undecided = [0, 0];
    for seed in 0..40 {
        let mut setup = Setup::draw(seed);
        setup.history = 16;
        let run =
            |remembers| read(setup, Model::VmaLocks, None, None, seed, 200, &modes, remembers);
        let ((found, with), (forgetful, without)) = (run(true), run(false));
        let (with, without) = (with.counts, without.counts);
        assert_eq!((sum(&found), sum(&forgetful)), (0, 0), "{seed} {found:?} {forgetful:?}");
        assert_eq!((with.lines, with.windows), (without.lines, without.windows));
        undecided[0] += with.undecided;
        undecided[1] += without.undecided;
    }
    let [with, without] = undecided;
    assert!(with > 1000 && with.abs_diff(without) * 100 < without, "{with} {without}");
}

/// What a reader that judges by `contract` finds on right kernels of a model: how often by class and
/// mechanism, and its counts.
fn by_mechanism(
    model: Model,
    contract: Contract,
    at_once: bool,
) -> (BTreeMap<(Class, Option<Mechanism>), u64>, Counts) {
    let (mut found, mut counts) = (BTreeMap::new(), Counts::default());
    for seed in 0..12 {
        let setup = Setup::draw(seed);
        let oracle = setup.oracle(seed);
        let mut file = SimFile::new(World::new(&oracle, setup, model, None, seed));
        let identities = identities(setup.geometry.page_shift);
        let outside = outside(&mut file, &identities, &setup.geometry);
        let findings = Findings::new(Vec::new(), false, 1, 512);
        let tally = Tally::default();
        let place = Place::new(&oracle, &identities, &outside, &findings, &tally);
        let place = Place { contract, ..place };
        let origins = Origins {
            header: Header::new(&Machine::here(), Some(seed), "none".into()).judged_by(contract),
            geometry: setup.geometry,
            identities: identities.clone(),
            merge_rules: FoundRules::default(),
        };
        let mut keeper = Saver::new(origins, &Target::Nowhere).unwrap();
        let rng = Stream::new(seed, "reader", 0);
        let mut reader = Reader::new(file, None, rng, place).with_one_instant(at_once);
        for _ in 0..60 {
            [Mode::Walk, Mode::Pread, Mode::Short].into_iter().for_each(|mode| reader.turn(mode));
            for kept in keeper.keep(&findings) {
                assert_eq!(kept.checked, Checked::Proved, "{seed}: {}", kept.signature);
            }
        }
        findings.with(|all, beyond| {
            assert_eq!(beyond, 0);
            for one in all {
                let Signature { class, mechanism, .. } = one.signature;
                *found.entry((class, mechanism)).or_default() += one.count;
            }
        });
        counts.add(&tally);
    }
    (found, counts)
}

/// What the series tolerates is a violation by the stricter contracts, with its mechanism, and then
/// it is not told as tolerated as well.
#[test]
fn what_a_weaker_contract_tolerates_is_named_by_its_mechanism() {
    let tolerated = |counts: &Counts| Tolerated::ALL.map(|kind| counts.tolerated(kind));
    let (found, counts) = by_mechanism(Model::VmaLocks, Contract::Series, false);
    assert!(found.is_empty(), "{found:?}");
    assert!(tolerated(&counts).iter().all(|&count| count > 0), "{:?}", tolerated(&counts));
    let known = [Mechanism::ToldTwice, Mechanism::GapThenVma, Mechanism::LineByLine];
    for (contract, mechanisms) in
        [(Contract::Documented, &known[..2]), (Contract::Snapshot, &known)]
    {
        let (found, counts) = by_mechanism(Model::VmaLocks, contract, false);
        let named: Vec<_> = mechanisms.iter().map(|&m| (Class::Disorder, Some(m))).collect();
        assert_eq!(found.keys().copied().collect::<Vec<_>>(), named, "{contract}");
        assert_eq!(tolerated(&counts), [0, 0], "{contract}");
        let broken =
            counts.broken[Rule::NeverBack as usize] + counts.broken[Rule::OneInstant as usize];
        let asked = if contract == Contract::Snapshot {
            broken
        } else {
            counts.broken[Rule::NeverBack as usize]
        };
        assert_eq!(found.values().sum::<u64>(), asked, "{contract}");
    }
}

/// Where a file is read under mmap_lock, no lock of a single VMA explains a call of several instants.
#[test]
fn under_mmap_lock_a_call_of_several_instants_stays_unexplained() {
    for contract in Contract::ALL {
        let (found, _) = by_mechanism(Model::VmaLocks, contract, true);
        assert!(found.contains_key(&(Class::Disorder, None)), "{contract}: {found:?}");
        assert!(!found.contains_key(&(Class::Disorder, Some(Mechanism::LineByLine))), "{contract}");
    }
}
