//! Tears of the simulated kernel as files: what a kernel shows that this one may never show has to
//! be saved, proved, explained and replayed like any other.

mod common;

use common::{Dir, run, testable, told};
use mapstorm::engine::{Findings, Mode, Place, Reader, Surroundings, Tally};
use mapstorm::evidence::{Checked, Origins, Saver, Target};
use mapstorm::header::Header;
use mapstorm::host::Machine;
use mapstorm::model::FoundRules;
use mapstorm::oracle::{Class, Contract};
use mapstorm::seed::Stream;
use mapstorm::sim::{Bug, Setup, SimFile, World, identities, tell_outside};
use std::convert::Infallible;
use std::path::{Path, PathBuf};

/// The storm's own reader on a kernel with the bug, until it has found the class; what was saved of
/// it in `dir`.
fn saved(bug: Bug, class: Class, mode: Mode, dir: &Path) -> Option<PathBuf> {
    (0..40u64).find_map(|seed| {
        let setup = Setup::draw(seed);
        let oracle = setup.oracle(seed);
        let file = SimFile::new(World::new(&oracle, setup, bug.model(), Some(bug), seed));
        let identities = identities(setup.geometry.page_shift);
        let findings = Findings::new(Vec::new(), false, 1, 512);
        let outside = Surroundings::with_room(4, 1024, 4, 512);
        let tally = Tally::default();
        let place = Place::new(&oracle, &identities, &outside, &findings, &tally);
        let origins = Origins {
            header: Header {
                kernel: format!("simulated, {bug}"),
                ..Header::new(&Machine::here(), Some(seed), "none".into())
                    .judged_by(Contract::Series)
            },
            geometry: setup.geometry,
            identities: identities.clone(),
            merge_rules: FoundRules::default(),
        };
        let mut keeper = Saver::new(origins, &Target::Given(dir.to_owned())).unwrap();
        let mut reader = Reader::new(file, None, Stream::new(seed, "reader", 0), place);
        (0..200).find_map(|_| {
            reader.turn(mode);
            let decided = outside.renew(&findings, |outside| {
                tell_outside(&setup.geometry, outside);
                Ok::<(), Infallible>(())
            });
            let Ok(()) = decided;
            let kept = keeper.keep(&findings).iter();
            let mut of_class = kept.filter(|kept| kept.signature.class == class).inspect(|kept| {
                assert_eq!(kept.checked, Checked::Proved, "{bug} {seed}: {}", kept.signature);
            });
            of_class.next_back().and_then(|kept| kept.path.clone())
        })
    })
}

#[test]
fn a_tear_of_the_simulated_kernel_is_proved_explained_and_replayed() {
    let dir = Dir::new();
    let testable = testable();
    for (bug, class, mode) in [
        (Bug::ReplacedInFlight, Class::Hole, Mode::Walk),
        (Bug::SkippedAfterMerge, Class::Hole, Mode::Walk),
        (Bug::ReadWithoutLock, Class::Torn, Mode::Walk),
        (Bug::UnlockedEarly, Class::Stale, Mode::Walk),
        (Bug::OffsetAfterSplit, Class::Unknown, Mode::Short),
        (Bug::PositionLost, Class::Disorder, Mode::Pread),
        (Bug::LineCut, Class::Malformed, Mode::Walk),
        (Bug::EarlyEnd, Class::Truncated, Mode::Walk),
        (Bug::QueryMisses, Class::Hole, Mode::Query),
        (Bug::OutsideSkipped, Class::Hole, Mode::Walk),
        (Bug::OutsideAltered, Class::Unknown, Mode::Walk),
    ] {
        let file = saved(bug, class, mode, &dir);
        let file = file.unwrap_or_else(|| panic!("{bug} shows no {class} in {mode}"));
        let file = file.to_str().unwrap();
        let verified = run(["verify", file]);
        assert_eq!(verified.status.code(), Some(0), "{bug}: {}", told(&verified));
        let explained = run(["explain", file]);
        assert_eq!(explained.status.code(), Some(0), "{bug}: {}", told(&explained));
        let story = told(&explained);
        for part in ["the longest explanation", class.word()] {
            assert!(story.contains(part), "{bug}: no {part:?} in {story}");
        }
        if !testable {
            continue;
        }
        // Whether the kernel here shows it is its own affair; that it was tried is told, or why not.
        let replayed = run(["replay", file, "--seconds", "1"]);
        let answer = told(&replayed);
        let reason = match replayed.status.code() {
            Some(0) => "not shown in ",
            Some(1) => "shown after ",
            Some(4) if answer.contains("fit here") => "the file's arena does not fit here",
            Some(4) if answer.contains("page") => "pages of ",
            Some(4) => "there is nothing to replay",
            code => panic!("{bug}: {code:?} {answer}"),
        };
        assert!(answer.contains(reason), "{bug}: {answer}");
    }
}
