//! The director: starts the threads, paces them in spells, pauses them to compare, and stops them.

use super::approach::Paces;
use super::choice::{Choice, SPELL};
use super::findings::{Findings, Mode, ModeSet, Signature};
use super::mishap::{ArenaText, Call, Stall};
use super::mutator::Mutator;
use super::overlap::{Overlap, RunTimes};
use super::pattern::Pattern;
use super::placement::{Cpus, Seated};
use super::planted::{Planted, Stuck, corrupting};
use super::program::draw_layout;
use super::reader::{Place, Reader};
use super::repertoire::Repertoire;
use super::script::Script;
use super::shape::{Scene, Shape, Turn};
use super::stage::Stage;
use super::standstill::{Difference, SeenLane, read_lanes_and};
use super::tally::{Counts, NearMisses, Tally};
use super::tripwire::Tripwire;
use crate::arena::{Arena, Mm};
use crate::host::{self, Doing, Overdue, Pulse, Sampler, Stuck as StuckThread, Watch, priority};
use crate::maps::{Lines, MapsFile, MapsRead};
use crate::oracle::{Class, Contract, History, Oracle, Outside};
use crate::seed::Stream;
use crate::space::{Layout, Op, Span, making};
use parking_lot::RwLock;
use rustix::io::Errno;
use std::num::NonZeroU64;
use std::ops::{Add, Range};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What to run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// All workers.
    pub threads: usize,
    /// Those that read; the others mutate.
    pub readers: usize,
    /// How long.
    pub duration: Duration,
    /// The run's seed.
    pub seed: u64,
    /// What makes an anomaly a violation.
    pub contract: Contract,
    /// Whether each read call has to show one instant, whatever the contract: what reading under
    /// mmap_lock gives. It is no part of a stronger contract, because it says nothing of lines of
    /// different calls: up to 6.16, too, a VMA that grew in between is reported twice.
    pub one_instant: bool,
    /// How to read.
    pub modes: ModeSet,
    /// The only shape of spells; `None` to let the storm choose among those that differ in it.
    pub shape: Option<Shape>,
    /// Signatures that do not fail the run.
    pub allow: Vec<Pattern>,
    /// Stop at the first violation that is not allowed.
    pub fail_fast: bool,
    /// Stop at the first violation with one of these signatures, or beginnings of one.
    pub until: Vec<Pattern>,
    /// Stop when each of those has been found, and not at the first.
    pub until_all: bool,
    /// Time between two standstills.
    pub pause_every: Duration,
    /// Examples kept of each signature.
    pub keep: usize,
    /// A fault to plant, to see that it is found.
    pub inject: Option<Planted>,
    /// How long the kernel may keep a call before it is a stall.
    pub stall: Duration,
    /// CPUs that workers can run on.
    pub cpus: Cpus,
    /// The workers' niceness, if it is not to be that of the process.
    pub nice: Option<i32>,
}

/// How a storm ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    /// Its time was over.
    Time,
    /// By a signal, its number.
    Signal(i32),
    /// By the violation it was to stop at.
    FailFast,
    /// A worker's call did not come back; its thread could not be joined.
    Stall,
    /// Too many lanes were lost to failing operations, maps could not be read, or a worker did not
    /// come to rest at the end.
    Lost,
}

/// What goes wrong before or during a storm, other than a violation.
#[derive(Debug, thiserror::Error)]
pub enum StormError {
    /// A thread could not be started.
    #[error(
        "cannot start thread {index} of {threads} ({source}); raise RLIMIT_NPROC (ulimit -u), \
         kernel.threads-max or the cgroup's pids.max, or ask for fewer --threads"
    )]
    Spawn {
        /// Which.
        index: usize,
        /// Of how many.
        threads: usize,
        /// What was given.
        source: std::io::Error,
    },
    /// Maps can't be opened or read.
    #[error("cannot read /proc/self/maps ({0}); is /proc mounted, and does the sandbox allow it?")]
    Maps(Errno),
    /// The first layout can't be made.
    #[error("cannot make the first layout: {op}: {source}")]
    Prepare {
        /// The operation that failed.
        op: Op,
        /// What it gave.
        source: Errno,
    },
}

/// A storm as it is, for whoever shows progress.
pub struct Live<'a> {
    /// Time since the start.
    pub elapsed: Duration,
    /// All counters.
    pub counts: &'a Counts,
    /// Violations found, and those not allowed.
    pub violations: (u64, u64),
    /// Violations by class.
    pub by_class: [(Class, u64); Class::ALL.len()],
    /// Memory resident now.
    pub rss_bytes: u64,
}

/// A storm that is over.
pub struct Run {
    /// How it ended.
    pub ended: Ended,
    /// How long it took.
    pub elapsed: Duration,
    /// All counters.
    pub counts: Counts,
    /// Standstills at which the layouts were compared.
    pub standstills: u64,
    /// Lanes that differed at a standstill, the first few.
    pub differences: Vec<Difference>,
    /// Lanes that differed at a standstill.
    pub mismatches: u64,
    /// Lanes given a new layout after a failed operation.
    pub repaired: u64,
    /// Standstills and comparisons that could not be made, with the reason.
    pub lost: Option<String>,
    /// Standstills that did not come about, because a worker's call had not come back.
    pub standstills_missed: u64,
    /// The worker that did not come back.
    pub stalled: Option<u32>,
    /// Calls that took longer than they may and were no stalls.
    pub overdue: Overdue,
    /// The worker that did not come to rest at the end, and what it does: its thread can't be joined.
    left: Option<(usize, Doing)>,
    /// How long readers and mutators ran, and at once.
    pub overlap: Overlap,
    /// Spells played.
    pub spells: u64,
    /// What the shapes of spells have brought; nothing in a scenario.
    pub shapes: Choice,
}

/// A storm, prepared: everything it needs is allocated.
pub struct Storm {
    arena: Arena,
    plan: Plan,
    may: Repertoire,
    script: Option<Script>,
    oracle: Oracle,
    findings: Findings,
    tallies: Box<[Tally]>,
    stage: Stage,
    over: AtomicBool,
    paces: Arc<Paces>,
    /// The lines outside of the arena at the last standstill.
    outside: RwLock<Outside>,
}

/// Bytes for the history of all lanes together.
const HISTORY_BYTES: usize = 32 << 20;
/// The same for a scenario: it may be run many times over, and has few lanes.
const SCRIPT_HISTORY_BYTES: usize = 8 << 20;
/// Versions that an example of a violation has room for.
const EXAMPLE_VERSIONS: usize = 2048;
/// How long a reader reads in one way before it draws the next. A time and not a number of walks:
/// one in small pieces takes hundreds of calls.
const SAME_WAY: Duration = Duration::from_millis(1);
/// How often progress is shown.
const SHOW_EVERY: Duration = Duration::from_millis(250);
/// Standstills in a row at which no lane could be laid out anew, and the storm gives up.
const MOST_HOPELESS: u32 = 10;
/// How often readers are raised from idle priority while everybody waits for them.
const RAISE_EVERY: Duration = Duration::from_millis(2);
/// How often the end of the last calls is looked for, and for how many times the limit of a call.
const LAST_LOOK: Duration = Duration::from_millis(10);
const LAST_PATIENCE: u32 = 4;
/// The most differences kept.
const MOST_DIFFERENCES: usize = 16;
/// A worker's stack; it holds a page or two of text at most.
const STACK: usize = 256 << 10;

impl Storm {
    /// Draws and maps the first layout, and makes the books for it.
    ///
    /// # Errors
    /// When the layout can't be made.
    pub fn prepare(arena: Arena, plan: Plan, may: Repertoire) -> Result<Storm, StormError> {
        Storm::new(arena, plan, may, None)
    }

    /// Prepares a scenario: its workers are the first of the plan's, its lanes the lowest. Those
    /// beyond are noise.
    ///
    /// # Errors
    /// When the layout can't be made.
    pub fn scripted(
        arena: Arena,
        plan: Plan,
        may: Repertoire,
        script: Script,
    ) -> Result<Storm, StormError> {
        Storm::new(arena, plan, may, Some(script))
    }

    fn new(
        arena: Arena,
        plan: Plan,
        may: Repertoire,
        script: Option<Script>,
    ) -> Result<Storm, StormError> {
        let geometry = *arena.geometry();
        let pages = geometry.pages as usize;
        let mut rng = Stream::new(plan.seed, "layout", 0);
        let mut layouts: Vec<Layout> =
            (0..geometry.lanes).map(|lane| draw_layout(&mut rng, &may, lane, pages)).collect();
        if let Some(script) = &script {
            layouts[..script.layouts.len()].copy_from_slice(&script.layouts);
        }
        for (lane, layout) in layouts.iter().enumerate() {
            lay_out(&arena, lane as u16, layout)
                .map_err(|(op, source)| StormError::Prepare { op, source })?;
        }
        let bytes = if script.is_some() { SCRIPT_HISTORY_BYTES } else { HISTORY_BYTES };
        let slots = (bytes / geometry.lanes as usize / History::bytes(1, pages)).max(64);
        let capacity = if slots.is_power_of_two() { slots } else { slots.next_power_of_two() / 2 };
        let findings =
            Findings::new(plan.allow.clone(), plan.fail_fast, plan.keep, EXAMPLE_VERSIONS)
                .with_mishaps(plan.keep, &geometry);
        Ok(Storm {
            oracle: Oracle::new(geometry, &layouts, capacity),
            findings: findings.until(plan.until.clone(), plan.until_all),
            tallies: (0..plan.threads).map(|_| Tally::default()).collect(),
            stage: Stage::new(plan.threads),
            over: AtomicBool::new(false),
            paces: Arc::default(),
            // The program's own, and for each thread what it allocates from and its stack, each with a
            // guard.
            outside: RwLock::new(Outside::with_room(
                512 + 4 * plan.threads,
                (512 + 4 * plan.threads) * 80,
            )),
            arena,
            plan,
            may,
            script,
        })
    }

    /// The violations.
    pub fn findings(&self) -> &Findings {
        &self.findings
    }

    /// The oracle.
    pub fn oracle(&self) -> &Oracle {
        &self.oracle
    }

    /// What was planned.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The lanes a scenario began with; none in a storm that draws them.
    pub fn first_layouts(&self) -> &[Layout] {
        self.script.as_ref().map_or(&[], |script| &script.layouts)
    }

    /// The arena.
    pub fn arena(&self) -> &Arena {
        &self.arena
    }

    /// Runs until the time is over, `signal` gives a number, or something ends it. `show` is
    /// called some times a second.
    ///
    /// Nothing allocates between the moment all threads are ready and the moment they are told
    /// to stop: malloc means brk and mmap, noise in the address space under test. `window` is
    /// called with true and false at these two moments. `keep` is called when the findings have
    /// examples that nobody has looked at; everybody rests meanwhile and it may allocate, so it
    /// lies between a `window(false)` and a `window(true)`.
    ///
    /// # Errors
    /// When a thread can't be started or maps can't be opened.
    pub fn run(
        self: &Arc<Storm>,
        signal: impl Fn() -> Option<i32>,
        mut show: impl FnMut(&Live<'_>),
        mut window: impl FnMut(bool),
        mut keep: impl FnMut(&Findings),
    ) -> Result<Run, StormError> {
        let shared = MapsFile::own().map_err(StormError::Maps)?;
        let mut pause = Pause {
            source: Planted::at_standstill(
                self.plan.inject,
                MapsFile::own().map_err(StormError::Maps)?,
                self.addresses(),
                self.plan.seed,
            ),
            lines: Lines::default(),
            text: ArenaText::with_room(self.arena.geometry()),
            differing: Vec::with_capacity(self.arena.geometry().lanes as usize),
            lanes: vec![SeenLane::default(); self.arena.geometry().lanes as usize],
            rng: Stream::new(self.plan.seed, "repair", 0),
            watch: Watch::new(self.plan.threads, self.plan.stall, host::now()),
            sampler: Sampler::default(),
            times: RunTimes::new(self.plan.threads, &self.plan.cpus),
            hopeless: 0,
        };
        let begun = Instant::now();
        let mut threads = Vec::with_capacity(self.plan.threads);
        for index in 0..self.plan.threads {
            match self.spawn(index, &shared, begun) {
                Ok(thread) => threads.push(thread),
                Err(error) => {
                    self.stage.stop();
                    threads.into_iter().for_each(|thread| drop(thread.join()));
                    return Err(error);
                }
            }
        }
        let shapes = match self.plan.shape {
            Some(only) => vec![only],
            None => Shape::distinct(&self.plan, self.arena.geometry().lanes),
        };
        let mut run = Run::new(shapes);
        // Everybody has allocated what it needs when everybody rests.
        while !self.stage.at_rest() {
            std::thread::sleep(Duration::from_micros(100));
        }
        // What cannot be read now is told at the first standstill.
        let _ = pause.read(&self.arena, &self.outside);
        window(true);
        let mut kept_at_rest = |findings: &Findings| {
            window(false);
            keep(findings);
            window(true);
        };
        self.direct(&mut run, &mut pause, &signal, &mut show, &mut kept_at_rest);
        window(false);
        self.over.store(true, Ordering::Relaxed);
        self.stage.stop();
        run.counts = self.counts();
        run.overdue = pause.watch.overdue();
        run.overlap = pause.times.sum();
        if let Some((worker, doing)) = run.left {
            run.lost = Some(format!(
                "a call of worker {worker} (thread {}) has not come back: it {}, and nobody can say \
                 that it is the kernel's fault",
                self.stage.tid(worker).unwrap_or(0),
                doing.words(),
            ));
        }
        if run.stalled.is_none() && run.left.is_none() {
            for thread in threads {
                // A worker that panicked has printed why; there is no verdict without it.
                if thread.join().is_err() {
                    run.lost.get_or_insert("a worker panicked".into());
                    run.ended = Ended::Lost;
                }
            }
            run.counts = self.counts();
        }
        Ok(run)
    }

    /// What one worker did; the readers come first.
    pub fn worker(&self, index: usize) -> Counts {
        Counts::from(&self.tallies[index])
    }

    fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        self.tallies.iter().for_each(|tally| counts.add(tally));
        counts
    }

    /// Near misses and violations so far.
    fn brought(&self) -> (NearMisses, u64) {
        let near = self.tallies.iter().map(Tally::near_misses);
        (near.fold(NearMisses::default(), NearMisses::add), self.findings.counts().0)
    }

    fn spawn(
        self: &Arc<Storm>,
        index: usize,
        shared: &MapsFile,
        begun: Instant,
    ) -> Result<JoinHandle<()>, StormError> {
        let sources = if index < self.plan.readers {
            let open = |path| MapsFile::open(path).map_err(StormError::Maps);
            let parts = self.script.iter().flat_map(|script| &script.readers);
            let wanted = self.plan.modes.contains(&Mode::Smaps)
                || parts.into_iter().any(|part| part.mode == Mode::Smaps);
            let smaps = if wanted { open("/proc/self/smaps")? } else { shared.clone() };
            Some([open("/proc/self/maps")?, shared.clone(), smaps])
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
                match sources {
                    Some(files) => storm.read(index, files, begun),
                    None => storm.mutate(index),
                }
            })
            .map_err(|source| StormError::Spawn { index, threads: self.plan.threads, source })
    }

    fn mutate(&self, index: usize) {
        let rng = Stream::new(self.plan.seed, "mutator", index - self.plan.readers);
        let tally = &self.tallies[index];
        let mut mutator = Mutator::new(&self.oracle, tally, self.may, rng, index as u16);
        let script = self.script.as_ref();
        if let Some(ops) = script.and_then(|script| script.loops.get(index - self.plan.readers)) {
            mutator = mutator.scripted(Arc::clone(ops));
        }
        let mut seat = Seated::anywhere(&self.plan.cpus);
        self.stage.enter(index);
        while let Some(cue) = self.stage.attend(index) {
            seat.sit(cue.cpu);
            mutator.attend();
            if cue.spell.sleep > 0 {
                // The least there is: a timer that may be late by the usual 50 us always is. Where
                // it can't be had, sleeps are longer.
                let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
            }
            while self.stage.is_on(cue.generation) {
                if !mutator.step(&self.arena, &cue.spell) {
                    // The lane is somebody else's: give way, on few CPUs to that somebody.
                    std::thread::yield_now();
                }
                self.stage.beat(index);
                mutator.pause(&cue.spell);
            }
        }
    }

    /// The reader of worker `index`, with the fault planted that the plan asks for.
    fn read(&self, index: usize, files: [MapsFile; 3], begun: Instant) {
        match self.plan.inject {
            None | Some(Planted::Mismatch) => self.read_from(index, files, begun),
            Some(Planted::Stall(stay)) => {
                self.read_from(index, files.map(|file| Stuck::new(file, stay)), begun);
            }
            Some(Planted::Read(fault)) => {
                let [own, shared, smaps] = files;
                let files = [(0, own), (1, shared), (2, smaps)].map(|(at, file)| {
                    let number = 4 * index + at;
                    corrupting(file, fault, self.addresses(), self.plan.seed, number)
                });
                self.read_from(index, files, begun);
            }
        }
    }

    /// Those of the arena.
    fn addresses(&self) -> Range<u64> {
        let geometry = self.arena.geometry();
        geometry.base..geometry.end()
    }

    fn read_from<M: MapsRead>(&self, index: usize, files: [M; 3], begun: Instant) {
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
            tripwire: Tripwire::new(Arc::clone(&self.paces)),
            settle: Some(&self.over),
        };
        let turns = Stream::new(self.plan.seed, "turns", index);
        let [own, shared, smaps] = files;
        let mut reader = Reader::new(own, Some(shared), turns, place)
            .with_smaps(Some(smaps))
            .with_one_instant(self.plan.one_instant);
        let mut part = None;
        if let Some(script) = &self.script
            && let Some(reading) = script.readers.get(index)
        {
            reader = reader.with_part(reading, &script.views);
            part = Some((reading.mode, script.layouts.len() as u16));
        }
        let mut seat = Seated::anywhere(&self.plan.cpus);
        self.stage.enter(index);
        while let Some(cue) = self.stage.attend(index) {
            seat.sit(cue.cpu);
            seat.idle(cue.spell.idle);
            match part {
                Some((_, lanes)) => reader.aim(0, lanes),
                None => reader.aim(cue.spell.first_lane, cue.spell.lanes),
            }
            while self.stage.is_on(cue.generation) {
                let mode =
                    part.map_or_else(|| draw_mode(&mut rng, &self.plan.modes), |(mode, _)| mode);
                self.stage.reads(index, mode);
                let begun = Instant::now();
                while self.stage.is_on(cue.generation) && begun.elapsed() < SAME_WAY {
                    reader.turn(mode);
                    self.stage.beat(index);
                }
            }
        }
    }

    fn direct(
        &self,
        run: &mut Run,
        pause: &mut Pause,
        signal: &impl Fn() -> Option<i32>,
        show: &mut impl FnMut(&Live<'_>),
        keep: &mut impl FnMut(&Findings),
    ) {
        let begun = Instant::now();
        let mut rng = Stream::new(self.plan.seed, "director", 0);
        // In a scenario everybody plays.
        let mut turn = None;
        let (mut shown, mut paused) = (begun, begun);
        run.ended = loop {
            let left = self.plan.duration.saturating_sub(begun.elapsed());
            if left.is_zero() {
                break Ended::Time;
            }
            let lanes = self.arena.geometry().lanes;
            let (shape, long, scene) = match &self.script {
                Some(script) => (None, SPELL, Scene::script(script, &self.plan, lanes)),
                None => {
                    let (shape, long) = run.shapes.next(&mut rng);
                    let turn = turn.get_or_insert_with(|| Turn::draw(&mut rng, &self.plan));
                    let scene = Scene::draw(&mut rng, shape, &self.plan, lanes, *turn);
                    turn.pass(&scene, &self.plan);
                    (Some(shape), long, scene)
                }
            };
            let tid = |worker| self.stage.tid(worker).unwrap_or(0);
            let part = |worker| scene.part(worker, &self.plan);
            pause.times.begin(|worker| part(worker).is_some(), tid);
            let (before, played) = (self.brought(), Instant::now());
            self.stage.play(scene.spell, part);
            run.spells += 1;
            std::thread::sleep(left.min(long));
            let (after, took) = (self.brought(), played.elapsed());
            let cpu = |worker| part(worker).flatten().and_then(|cpu| self.plan.cpus.place_of(cpu));
            pause.times.end(self.plan.readers, tid, cpu);
            if scene.spell.idle {
                self.raise_idle();
            }
            if let Some(shape) = shape {
                run.shapes.learn(shape, took, after.0 - before.0, after.1 - before.1);
            }
            if let Some(number) = signal() {
                break Ended::Signal(number);
            }
            if self.findings.fresh() {
                match self.rest(run, pause, begun) {
                    Rest::All => keep(&self.findings),
                    Rest::Missed => {}
                    Rest::Over(ended) => break ended,
                }
            }
            if self.findings.wants_stop() {
                break Ended::FailFast;
            }
            if let Some(ended) = self.watch(run, pause, begun) {
                break ended;
            }
            if paused.elapsed() >= self.plan.pause_every {
                match self.pause(run, pause, begun) {
                    Rest::All => {}
                    Rest::Missed => run.standstills_missed += 1,
                    Rest::Over(ended) => break ended,
                }
                paused = Instant::now();
            }
            if shown.elapsed() >= SHOW_EVERY {
                let counts = self.counts();
                show(&Live {
                    elapsed: begun.elapsed(),
                    counts: &counts,
                    violations: self.findings.counts(),
                    by_class: self.findings.by_class(),
                    rss_bytes: resident(),
                });
                shown = Instant::now();
            }
        };
        run.elapsed = begun.elapsed();
        if !matches!(run.ended, Ended::Stall | Ended::Lost) {
            self.last_pause(run, pause, begun);
        }
        // With a call that does not come back not everybody rests; what was found is kept
        // nevertheless.
        if self.findings.fresh() {
            keep(&self.findings);
        }
    }

    /// Calls everybody to rest and waits for it, but not for those whose call is overdue.
    fn rest(&self, run: &mut Run, pause: &mut Pause, begun: Instant) -> Rest {
        self.stage.rest();
        let mut raised = Instant::now();
        while !self.stage.at_rest() {
            if raised.elapsed() > RAISE_EVERY {
                self.raise_idle();
                raised = Instant::now();
            }
            if let Some(ended) = self.watch(run, pause, begun) {
                return Rest::Over(ended);
            }
            // Whoever has just come to rest may not be counted yet.
            let away = (0..self.plan.threads).filter(|&worker| !self.stage.rests(worker));
            let (mut overdue, mut coming) = (0, 0);
            for worker in away {
                *(if pause.watch.is_overdue(worker) { &mut overdue } else { &mut coming }) += 1;
            }
            if overdue > 0 && coming == 0 {
                return Rest::Missed;
            }
            std::thread::sleep(Duration::from_micros(20));
        }
        Rest::All
    }

    /// Gives readers the usual priority that still have idle priority because they have got no CPU
    /// since: on a busy machine everybody would wait for them, and they for their next spell.
    fn raise_idle(&self) {
        for reader in 0..self.plan.readers {
            if let Some(tid) = self.stage.tid(reader) {
                priority::raise(tid);
            }
        }
    }

    /// Looks for calls that do not come back; what ends the storm when the kernel keeps one.
    fn watch(&self, run: &mut Run, pause: &mut Pause, begun: Instant) -> Option<Ended> {
        let pulse = |worker| Pulse {
            // Of a reader, each of the calls of a walk counts.
            progress: self.stage.beats(worker) + self.tallies[worker].returned(),
            tid: self.stage.tid(worker),
            busy: !self.stage.rests(worker),
        };
        let sampler = pause.sampler;
        match pause.watch.look(host::now(), pulse, |tid| sampler.look(tid))? {
            host::Found::Stall(stuck) => Some(self.stalled(run, &stuck, begun)),
            host::Found::Gone(worker) => {
                run.lost = Some(format!("the thread of worker {worker} has ended by itself"));
                Some(Ended::Lost)
            }
        }
    }

    /// The pause after the last spell, which takes everybody. Somebody who waits for a CPU is waited
    /// for, but not for ever: then the storm is over without.
    fn last_pause(&self, run: &mut Run, pause: &mut Pause, begun: Instant) {
        let patience = LAST_PATIENCE * self.plan.stall;
        let mut waited = Duration::ZERO;
        loop {
            let called = Instant::now();
            match self.pause(run, pause, begun) {
                Rest::All => return,
                Rest::Over(ended) => {
                    run.ended = ended;
                    return;
                }
                Rest::Missed => std::thread::sleep(LAST_LOOK),
            }
            // A process that was stopped meanwhile has not waited.
            waited += called.elapsed().min(10 * LAST_LOOK);
            if waited > patience {
                break;
            }
        }
        run.standstills_missed += 1;
        let away = |&worker: &usize| !self.stage.rests(worker);
        if let Some(worker) = (0..self.plan.threads).find(away) {
            run.ended = Ended::Lost;
            run.left = Some((worker, pause.watch.standing(worker).doing()));
        }
    }

    /// Everybody rests, and the kernel's layout is held against the oracle's.
    fn pause(&self, run: &mut Run, pause: &mut Pause, begun: Instant) -> Rest {
        match self.rest(run, pause, begun) {
            Rest::All => self.compare_all(run, pause, begun).map_or(Rest::All, Rest::Over),
            other => other,
        }
    }

    /// What ends the storm when the lanes can't be compared any more. To be called at rest.
    fn compare_all(&self, run: &mut Run, pause: &mut Pause, begun: Instant) -> Option<Ended> {
        // A lane that an operation failed in is laid out anew first; what it looked like in
        // between nobody knows.
        for lane in 0..self.arena.geometry().lanes {
            if !self.oracle.hold(lane).current().known {
                self.repair(run, pause, lane);
            }
        }
        if let Err(errno) = pause.read(&self.arena, &self.outside) {
            run.lost = Some(format!("cannot read /proc/self/maps at a standstill: {errno}"));
            return Some(Ended::Lost);
        }
        run.standstills += 1;
        if let Some(lane) = self.compare(run, pause, begun) {
            run.lost = Some(format!(
                "a mapping that is not the storm's lies in lane {lane}: something else in this \
                 process maps memory in the arena"
            ));
            return Some(Ended::Lost);
        }
        for at in 0..pause.differing.len() {
            let lane = pause.differing[at];
            self.repair(run, pause, lane);
        }
        let lost =
            (0..self.arena.geometry().lanes).all(|lane| !self.oracle.hold(lane).current().known);
        pause.hopeless = if lost { pause.hopeless + 1 } else { 0 };
        (pause.hopeless == MOST_HOPELESS).then(|| {
            run.lost = Some(
                "operations fail in every lane, and none could be laid out anew for some time"
                    .into(),
            );
            Ended::Lost
        })
    }

    /// Holds every lane as read against the oracle's, and keeps what differs. Gives the first lane
    /// with a mapping that is not the storm's.
    fn compare(&self, run: &mut Run, pause: &mut Pause, begun: Instant) -> Option<u16> {
        let mut strange = None;
        pause.differing.clear();
        for lane in 0..self.arena.geometry().lanes {
            let current = *self.oracle.hold(lane).current();
            let seen = &pause.lanes[lane as usize];
            if !current.known || seen.is(&current.layout) {
                continue;
            }
            if seen.stranger {
                strange.get_or_insert(lane);
                continue;
            }
            run.mismatches += 1;
            if run.differences.len() < MOST_DIFFERENCES {
                run.differences.extend(seen.difference(lane, &current.layout));
            }
            pause.differing.push(lane);
            self.alarm(Class::Mismatch, begun);
        }
        if !pause.differing.is_empty() {
            let Pause { text, differing, .. } = pause;
            self.findings.put_in(|room| {
                room.mismatch(run.standstills, begun.elapsed(), text, differing, &self.oracle);
            });
        }
        strange
    }

    fn repair(&self, run: &mut Run, pause: &mut Pause, lane: u16) {
        let pages = self.arena.geometry().pages as usize;
        let drawn = draw_layout(&mut pause.rng, &self.may, lane, pages);
        let given = self.script.as_ref().and_then(|script| script.layouts.get(lane as usize));
        let layout = given.copied().unwrap_or(drawn);
        if lay_out(&self.arena, lane, &layout).is_ok() {
            self.oracle.repair(&mut self.oracle.hold(lane), &layout);
            run.repaired += 1;
        }
    }

    /// The kernel keeps a worker.
    fn stalled(&self, run: &mut Run, stuck: &StuckThread, begun: Instant) -> Ended {
        let worker = stuck.thread;
        run.stalled = self.stage.tid(worker);
        self.alarm(Class::Stall, begun);
        let call = match worker < self.plan.readers {
            true => self.stage.reading(worker).map(Call::Read),
            false => self.oracle.under_way(worker as u16).map(Call::Operation),
        };
        let stall = Stall {
            worker,
            tid: run.stalled,
            at: begun.elapsed(),
            waited: stuck.watched,
            limit: self.plan.stall,
            doing: stuck.doing,
            system: stuck.system,
            call,
            completed: self.stage.beats(worker),
        };
        self.findings.put_in(|room| room.stall(stall));
        Ended::Stall
    }

    /// A violation that no reader found.
    fn alarm(&self, class: Class, begun: Instant) {
        self.findings.record(Signature::bare(class), begun.elapsed().as_nanos() as u64, None);
    }
}

/// One of the ways of reading: whole pages from the bottom most often, because they read most
/// lines for their time.
fn draw_mode(rng: &mut Stream, modes: &ModeSet) -> Mode {
    let weight = |mode: Mode| match mode {
        Mode::Walk => 6,
        Mode::Pread => 3,
        Mode::Query => 2,
        Mode::Shared | Mode::Short | Mode::Smaps => 1,
    };
    let mut left = rng.below(modes.iter().map(|&mode| weight(mode)).sum());
    for &mode in modes {
        match left.checked_sub(weight(mode)) {
            None => return mode,
            Some(rest) => left = rest,
        }
    }
    unreachable!("the weights add up")
}

/// Memory resident now, in bytes; read without allocating. 0 where it can't be read.
fn resident() -> u64 {
    let mut text = [0; 128];
    let mut read = || -> Option<u64> {
        use rustix::fs::{Mode, OFlags};
        let fd = rustix::fs::open("/proc/self/statm", OFlags::RDONLY, Mode::empty()).ok()?;
        let len = rustix::io::read(&fd, &mut text).ok()?;
        let pages = str::from_utf8(&text[..len]).ok()?.split(' ').nth(1)?;
        Some(pages.parse::<u64>().ok()? * rustix::param::page_size() as u64)
    };
    read().unwrap_or(0)
}

/// Maps one lane as `layout` says, whatever it was before.
pub(crate) fn lay_out(arena: &Arena, lane: u16, layout: &Layout) -> Result<(), (Op, Errno)> {
    let at = |start: usize, end: usize| crate::space::Place { lane, span: Span::new(start, end) };
    let carry_out = |op: Op| arena.carry_out(&op).map_err(|errno| (op, errno));
    carry_out(Op::Unmap { at: at(0, layout.len()) })?;
    layout.vmas().flat_map(|vma| making(at(vma.start, vma.end), vma.page)).try_for_each(carry_out)
}

impl Run {
    fn new(shapes: Vec<Shape>) -> Run {
        Run {
            ended: Ended::Time,
            elapsed: Duration::ZERO,
            counts: Counts::default(),
            standstills: 0,
            differences: Vec::with_capacity(MOST_DIFFERENCES),
            mismatches: 0,
            repaired: 0,
            lost: None,
            standstills_missed: 0,
            stalled: None,
            overdue: Overdue::default(),
            left: None,
            overlap: Overlap::default(),
            spells: 0,
            shapes: Choice::new(shapes),
        }
    }
}

/// What became of a call to rest.
enum Rest {
    /// Everybody rests.
    All,
    /// All do but those whose call is overdue.
    Missed,
    /// The storm is over.
    Over(Ended),
}

/// What the director works with; made before the start.
struct Pause {
    watch: Watch,
    sampler: Sampler,
    times: RunTimes,
    /// Standstills in a row at which every lane was lost.
    hopeless: u32,
    source: Box<dyn MapsRead>,
    lines: Lines,
    /// The arena's lines as last read.
    text: ArenaText,
    lanes: Vec<SeenLane>,
    /// The lanes that differed when last compared.
    differing: Vec<u16>,
    rng: Stream,
}

impl Pause {
    /// Reads all of the file, while nothing moves.
    fn read(&mut self, arena: &Arena, outside: &RwLock<Outside>) -> Result<(), Errno> {
        let Pause { source, lines, text, lanes, .. } = self;
        let (identities, geometry) = (arena.identities(), arena.geometry());
        let mut outside = outside.write();
        text.clear();
        outside.clear();
        read_lanes_and(&mut **source, identities, geometry, lines, lanes, |line, whole| {
            match geometry.overlaps(line.start, line.end) {
                true => text.push(whole),
                false => outside.push(identities.sight_in(line, geometry), whole, geometry),
            }
        })
    }
}
