//! The threads of a storm: what a reader and a mutator do from start to stop.

use super::{EXAMPLE_VERSIONS, Storm, StormError};
use crate::engine::delay::DelayTimer;
use crate::engine::faulter::{Faulter, Refusals};
use crate::engine::modes::{Mode, ModeSet};
use crate::engine::mutator::Mutator;
use crate::engine::planted::{Planted, corrupting, stuck, stuck_faulter};
use crate::engine::reader::{Place, Reader, Sources};
use crate::host::{Affinity, priority};
use crate::kernel::{Fault, MapsFile, MapsRead};
use crate::seed::Stream;
use std::num::NonZeroU64;
use std::ops::Range;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long a reader reads in one way before it draws the next. A time and not a number of walks:
/// one in small pieces takes hundreds of calls.
const SAME_WAY: Duration = Duration::from_millis(1);

/// A worker's stack; it holds a page or two of text at most.
const STACK: usize = 256 << 10;

impl Storm {
    pub(super) fn spawn(
        self: &Arc<Storm>,
        index: usize,
        shared: &Sources<MapsFile>,
        begun: Instant,
    ) -> Result<JoinHandle<()>, StormError> {
        let sources = if index < self.plan.readers {
            Some(shared.open_own(&self.ways_of(index)).map_err(StormError::Maps)?)
        } else {
            None
        };
        let storm = Arc::clone(self);
        std::thread::Builder::new()
            .name(format!("storm-{index}"))
            .stack_size(STACK)
            .spawn(move || {
                if let Some(nice) = storm.plan.nice {
                    // Whether it may be had is found out before a storm.
                    let _ = priority::renice(nice);
                }
                match (sources, index.checked_sub(storm.plan.threads)) {
                    (Some(files), _) => storm.read(index, files, begun),
                    (None, Some(faulter)) => storm.fault(index, faulter, begun),
                    (None, None) => storm.mutate(index),
                }
            })
            .map_err(|source| StormError::Spawn {
                index,
                threads: self.plan.threads_and_faulters(),
                source,
            })
    }

    /// The ways in which a reader reads: those of its part in a scenario, or the plan's.
    fn ways_of(&self, index: usize) -> ModeSet {
        let script = self.script.as_ref();
        match script.and_then(|script| script.readers.get(index)) {
            Some(part) => ModeSet::from_iter([part.mode]),
            None => self.plan.modes.clone(),
        }
    }

    /// All ways in which readers read.
    pub(super) fn ways(&self) -> ModeSet {
        let all: Vec<Mode> = (0..self.plan.readers).flat_map(|index| self.ways_of(index)).collect();
        Mode::ALL.into_iter().filter(|mode| all.contains(mode)).collect()
    }

    pub(super) fn mutate(&self, index: usize) {
        let rng = Stream::new(self.plan.seed, "mutator", index - self.plan.readers);
        let tally = &self.tallies[index];
        let mut mutator = Mutator::new(&self.oracle, tally, self.may, rng, index as u16)
            .near_limit(self.plan.map_limit.is_some());
        let script = self.script.as_ref();
        if let Some(ops) = script.and_then(|script| script.loops.get(index - self.plan.readers)) {
            mutator = mutator.scripted(Arc::clone(ops));
        }
        let mut affinity = Affinity::anywhere(&self.plan.cpus);
        self.scheduler.enter(index);
        while let Some(cue) = self.scheduler.attend(index) {
            if self.mover.was_astray(index) {
                affinity.forget();
            }
            affinity.sit(cue.cpu);
            mutator.attend();
            if cue.slice.sleep > 0 {
                // The least there is: a timer that may be late by the usual 50 us always is. Where
                // it can't be had, sleeps are longer.
                let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
            }
            while self.scheduler.is_on(cue.generation) {
                if !mutator.step(&self.arena, &cue.slice) {
                    // Another mutator holds the lane: give way. On few CPUs, that one runs next.
                    std::thread::yield_now();
                }
                self.scheduler.beat(index);
                mutator.pause(&cue.slice);
            }
        }
    }

    /// The faulter with this number among faulters; `index` is that among all threads.
    fn fault(&self, index: usize, faulter: usize, begun: Instant) {
        let Some(loads) = self.loads else { return };
        let rng = Stream::new(self.plan.seed, "faulter", faulter);
        let (tally, at) = (&self.tallies[index], &self.loading[faulter]);
        let refusals = Refusals {
            findings: &self.findings,
            first: &self.refused_load,
            over: &self.over,
            begun,
            planted: self.plan.inject == Some(Planted::RefusedLoad),
        };
        let mut faulter = Faulter::new(&self.oracle, &self.arena, tally, loads, rng, at, refusals);
        let mut stuck = stuck_faulter(self.plan.inject);
        let mut affinity = Affinity::anywhere(&self.plan.cpus);
        self.scheduler.enter(index);
        while let Some(cue) = self.scheduler.attend(index) {
            affinity.sit(cue.cpu);
            faulter.attend();
            while self.scheduler.is_on(cue.generation) {
                faulter.step(cue.slice.first_lane, cue.slice.lanes);
                if let Some(stuck) = &mut stuck {
                    stuck();
                }
            }
        }
    }

    /// The reader of worker `index`, with the fault planted that the plan asks for.
    pub(super) fn read(&self, index: usize, files: Sources<MapsFile>, begun: Instant) {
        match self.plan.inject {
            None
            | Some(
                Planted::Mismatch
                | Planted::Unpredicted
                | Planted::StallOfFaulter
                | Planted::RefusedLoad
                | Planted::Splat,
            ) => {
                self.read_from(index, files, begun);
            }
            Some(Planted::Stall(stay)) => {
                self.read_from(index, files.map(|_, file| stuck(file, stay)), begun);
            }
            Some(Planted::Read(fault)) => {
                self.read_corrupted(index, files, begun, fault, self.addresses());
            }
            Some(Planted::Outside(outside)) => {
                let below = 0..self.addresses().start;
                self.read_corrupted(index, files, begun, outside.fault(), below);
            }
        }
    }

    /// A reader in whose lines within `range` this fault is planted.
    fn read_corrupted(
        &self,
        index: usize,
        files: Sources<MapsFile>,
        begun: Instant,
        fault: Fault,
        range: Range<u64>,
    ) {
        let files = files.map(|at, file| {
            let number = Mode::COUNT * index + at;
            corrupting(file, fault, range.clone(), self.plan.seed, number)
        });
        self.read_from(index, files, begun);
    }

    /// Those of the arena.
    pub(super) fn addresses(&self) -> Range<u64> {
        let geometry = self.arena.geometry();
        geometry.base..geometry.end()
    }

    pub(super) fn read_from<M: MapsRead>(&self, index: usize, files: Sources<M>, begun: Instant) {
        let mut rng = Stream::new(self.plan.seed, "reader", index);
        let place = Place {
            oracle: &self.oracle,
            identities: self.arena.identities(),
            outside: &self.outside,
            findings: &self.findings,
            tally: &self.tallies[index],
            contract: self.plan.contract,
            reader: index,
            begun,
            versions: EXAMPLE_VERSIONS,
            delay_timer: DelayTimer::new(Arc::clone(&self.call_times)),
            settle: Some(&self.over),
            record: Some(&self.records[index]),
        };
        let turns = Stream::new(self.plan.seed, "turns", index);
        let mut reader =
            Reader::from_sources(files, turns, place).with_one_instant(self.plan.one_instant);
        let mut part = None;
        if let Some(script) = &self.script
            && let Some(reading) = script.readers.get(index)
        {
            reader = reader.with_part(reading, &script.views);
            part = Some((reading.mode, script.layouts.len() as u16));
        }
        let mut affinity = Affinity::anywhere(&self.plan.cpus);
        self.scheduler.enter(index);
        while let Some(cue) = self.scheduler.attend(index) {
            affinity.sit(cue.cpu);
            affinity.idle(cue.slice.idle);
            match part {
                Some((_, lanes)) => reader.aim(0, lanes),
                None => reader.aim(cue.slice.first_lane, cue.slice.lanes),
            }
            while self.scheduler.is_on(cue.generation) {
                let mode =
                    part.map_or_else(|| draw_mode(&mut rng, &self.plan.modes), |(mode, _)| mode);
                self.scheduler.reads(index, mode);
                let begun = Instant::now();
                while self.scheduler.is_on(cue.generation) && begun.elapsed() < SAME_WAY {
                    reader.turn(mode);
                    self.scheduler.beat(index);
                }
            }
        }
    }
}

/// One of the ways of reading, by their weights.
fn draw_mode(rng: &mut Stream, modes: &ModeSet) -> Mode {
    let mut left = rng.below(modes.iter().map(|mode| mode.weight()).sum());
    for &mode in modes {
        match left.checked_sub(mode.weight()) {
            None => return mode,
            Some(rest) => left = rest,
        }
    }
    unreachable!("the weights add up")
}
