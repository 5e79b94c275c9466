//! Faults planted in a storm on purpose, one for each class of violation, to see that each is
//! found: the whole way from what is read to the report and the exit code.

use crate::host::fault::Stay;
use crate::kernel::{Before, Fault, Injector, MapsFile, MapsRead};
use crate::oracle::Class;
use crate::seed::Stream;
use std::ops::Range;
use std::str::FromStr;

/// Of the calls that a fault can be planted in, one in so many has it.
const ONE_IN: usize = 64;
/// Of a reader that gets stuck, the call that does not come back, counted from 1.
const FATAL: u32 = 100;

/// What is planted, and where.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Planted {
    /// A fault in what readers get.
    Read(Fault),
    /// The same, in what lies below the arena.
    Outside(Outside),
    /// What is compared at a standstill lacks lines.
    Mismatch,
    /// What calibration reads lacks a line now and then.
    Unpredicted,
    /// A reader's call does not come back.
    Stall(Stay),
    /// A faulter's load does not come back.
    StallOfFaulter,
    /// A load is taken for refused although it was not.
    RefusedLoad,
    /// The kernel's log has a WARN.
    Splat,
}

/// A fault in what readers get of the lines outside of the arena.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outside {
    /// A line is left out.
    Skipped,
    /// A line has another end.
    Altered,
}

impl Outside {
    /// What is planted there.
    pub(super) const fn fault(self) -> Fault {
        match self {
            Outside::Skipped => Fault::Hole,
            Outside::Altered => Fault::Unknown,
        }
    }
}

impl Planted {
    /// The word that `--inject` takes: it begins with the class it has to be found as.
    pub fn word(self) -> &'static str {
        match self {
            Planted::Read(fault) => fault.word(),
            Planted::Outside(Outside::Skipped) => "hole-outside",
            Planted::Outside(Outside::Altered) => "unknown-outside",
            Planted::Mismatch => Class::Mismatch.word(),
            Planted::Unpredicted => "mismatch-at-calibration",
            Planted::Stall(Stay::Uninterruptible) => Class::Stall.word(),
            Planted::Stall(Stay::Spinning) => "stall-spinning",
            Planted::Stall(Stay::Asleep) => "stall-asleep",
            Planted::StallOfFaulter => "stall-faulter",
            Planted::RefusedLoad => "hole-faulter",
            Planted::Splat => Class::Splat.word(),
        }
    }

    /// Everything that can be planted.
    pub fn all() -> impl Iterator<Item = Planted> {
        let reads = Fault::ALL.into_iter().map(Planted::Read);
        let stalls = [Stay::Uninterruptible, Stay::Spinning, Stay::Asleep].map(Planted::Stall);
        let outside = [Outside::Skipped, Outside::Altered].map(Planted::Outside);
        reads.chain([Planted::Mismatch, Planted::Unpredicted]).chain(stalls).chain(outside).chain([
            Planted::StallOfFaulter,
            Planted::RefusedLoad,
            Planted::Splat,
        ])
    }

    /// Whether it takes a faulter.
    pub const fn takes_faulters(self) -> bool {
        matches!(self, Planted::StallOfFaulter | Planted::RefusedLoad)
    }

    /// The source that calibration reads.
    pub fn at_calibration(
        planted: Option<Planted>,
        source: MapsFile,
        range: Range<u64>,
        seed: u64,
    ) -> Box<dyn MapsRead> {
        /// Calibration reads some thousand times: it comes by one with the fault.
        const ONE_IN: usize = 100;
        if planted != Some(Planted::Unpredicted) {
            return Box::new(source);
        }
        let rng = Stream::new(seed, "inject-calibration", 0);
        Box::new(Injector::new(source, Fault::Hole, range, ONE_IN, rng))
    }

    /// The source that the standstill reads.
    pub(super) fn at_standstill<M: MapsRead + 'static>(
        planted: Option<Planted>,
        source: M,
        range: Range<u64>,
        seed: u64,
    ) -> Box<dyn MapsRead> {
        if planted != Some(Planted::Mismatch) {
            return Box::new(source);
        }
        // A storm has few standstills: every call lacks a line.
        let rng = Stream::new(seed, "inject-standstill", 0);
        Box::new(Injector::new(source, Fault::Hole, range, 1, rng))
    }
}

impl FromStr for Planted {
    type Err = String;

    fn from_str(word: &str) -> Result<Planted, String> {
        Planted::all().find(|planted| planted.word() == word).ok_or_else(|| {
            let known: Vec<&str> = Planted::all().map(Planted::word).collect();
            crate::vocabulary::unknown("fault", word, &known)
        })
    }
}

/// A reader's source that corrupts lines within `range`; `number` tells it from the others.
pub(super) fn corrupting<M>(
    source: M,
    fault: Fault,
    range: Range<u64>,
    seed: u64,
    number: usize,
) -> Injector<M> {
    Injector::new(source, fault, range, ONE_IN, Stream::new(seed, "inject", number))
}

/// A source with one call that does not come back.
pub(super) fn stuck<M: MapsRead>(source: M, stay: Stay) -> impl MapsRead {
    let mut fatal = fatal(stay);
    Before::new(source, move |_: &mut M, _| fatal())
}

/// What a faulter does at each load where that is what is planted: at the fatal one it does not come
/// back.
pub(super) fn stuck_faulter(planted: Option<Planted>) -> Option<impl FnMut()> {
    let asked = planted == Some(Planted::StallOfFaulter);
    asked.then(|| fatal(Stay::Uninterruptible))
}

/// Counts calls; the fatal one does not come back.
fn fatal(stay: Stay) -> impl FnMut() {
    let mut left = FATAL;
    move || {
        left = left.saturating_sub(1);
        if left == 0 {
            stay.for_ever();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_of_violation_can_be_planted_by_its_word() {
        let planted: Vec<Class> = Planted::all()
            .map(|planted| {
                assert_eq!(planted.word().parse(), Ok(planted));
                let word = planted.word().split('-').next();
                Class::ALL.into_iter().find(|class| Some(class.word()) == word).unwrap()
            })
            .collect();
        assert!(Class::ALL.iter().all(|class| planted.contains(class)), "{planted:?}");
        assert!(
            "tear"
                .parse::<Planted>()
                .unwrap_err()
                .contains("truncated, mismatch, mismatch-at-calibration, stall")
        );
    }
}
