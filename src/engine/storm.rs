//! The director: starts the threads, paces them in slices, pauses them to compare, and stops them.

mod moving;
mod plan;
mod splats;
mod standstills;
mod watching;
mod workers;

pub use plan::{Ended, Live, Plan, Run, StormError};

use super::bandit::SLICE;
use super::faulter::RefusedLoad;
use super::incidents::ArenaText;
use super::lineup::{Lineup, Turn};
use super::log_book::LogBook;
use super::offsets::CallTimes;
use super::op_set::OpSet;
use super::overlap::RunTimes;
use super::planted::Planted;
use super::program::draw_layout;
use super::quiesce::SeenLane;
use super::reader::Sources;
use super::scheduler::Scheduler;
use super::script::Script;
use super::surroundings::{OutsideCounts, Surroundings};
use super::tally::{Counts, NearMisses, Tally};
use super::violations::Findings;
use super::watch::{CallRecord, StallKeeper, Watcher};
use super::workload::Workload;
use crate::host::{self, Doing, VmaLockCounts};
use crate::kernel::{Arena, Ballast, Lines, Loads, MapsFile, Mm, without_huge_pages};
use crate::model::{
    Layout, MAX_PAGES, MergeRules, Op, Place, Span, apply_alone, fits, lane_making,
};
use crate::oracle::{History, Oracle};
use crate::seed::Stream;
use crossbeam_utils::CachePadded;
use moving::Mover;
use parking_lot::Mutex;
use rustix::io::Errno;
use standstills::{Pause, Rest};
use std::ops::Add;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A storm, prepared: everything it needs is allocated.
pub struct Storm {
    arena: Arena,
    plan: Plan,
    may: OpSet,
    script: Option<Script>,
    oracle: Oracle,
    findings: Findings,
    tallies: Box<[Tally]>,
    scheduler: Scheduler,
    /// What faulters load with; nothing where there are none.
    loads: Option<Loads>,
    /// Where each faulter loads from.
    loading: Box<[CachePadded<AtomicU64>]>,
    /// What readers write down of their calls.
    records: Box<[CachePadded<CallRecord>]>,
    watcher: Watcher,
    /// What the kernel has written into its log, and its taint before the storm.
    log: LogBook,
    taint: Option<u64>,
    mover: Mover,
    /// What keeps the account of a stall before it is told.
    keeper: Option<Arc<dyn StallKeeper>>,
    over: AtomicBool,
    /// The first load that was refused and should not have been.
    refused_load: Mutex<Option<RefusedLoad>>,
    call_times: Arc<CallTimes>,
    /// The lines outside of the arena at the last standstill, and what is doubted of them.
    outside: Surroundings,
    /// What fills the mm up to vm.max_map_count, where the storm comes up to it. The director's own.
    ballast: Option<Mutex<Ballast>>,
}

/// Bytes for the history of all lanes together.
const HISTORY_BYTES: usize = 32 << 20;
/// The same for a scenario: it may be run many times over, and has few lanes.
const SCRIPT_HISTORY_BYTES: usize = 8 << 20;
/// Versions that an example of a violation has room for.
const EXAMPLE_VERSIONS: usize = 2048;
/// Bytes for a few lines outside of the arena with very long names, on each side of it.
const LONG_LINES: usize = 64 << 10;
/// Bytes of a line of the ballast: addresses, protection, offset, device, inode and name.
const BALLAST_LINE: usize = 128;
/// VMAs that the ballast leaves for each thread (its stack, its malloc arena, guards), and for what else
/// may be mapped.
const ROOM_A_THREAD: u64 = 8;
const ROOM: u64 = 64;
/// Up to the limit there is room for fewer VMAs than this.
const SPARE: usize = 8;
/// Doubts about lines outside of the arena that are kept until a standstill decides them.
const DOUBTS: usize = 8;
/// Of the slices, one in so many has faulters in it. They take CPU time from readers and mutators: with
/// one in four, one faulter on two busy CPUs cost a seventh of all operations and reads, and a quarter of
/// the tears.
const FAULTED_ONE_IN: usize = 8;
/// How often progress is shown.
const SHOW_EVERY: Duration = Duration::from_millis(250);
/// The most differences kept.
const MOST_DIFFERENCES: usize = 16;

impl Storm {
    /// Draws and maps the first layout, and makes the books for it.
    ///
    /// # Errors
    /// When the layout can't be made.
    pub fn prepare(arena: Arena, plan: Plan, may: OpSet) -> Result<Storm, StormError> {
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
        may: OpSet,
        script: Script,
    ) -> Result<Storm, StormError> {
        Storm::new(arena, plan, may, Some(script))
    }

    fn new(
        arena: Arena,
        plan: Plan,
        may: OpSet,
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
        for (lane, layout) in layouts.iter_mut().enumerate() {
            *layout = lay_out(&arena, may.rules, lane as u16, layout, first_fresh(lane as u16))
                .map_err(|(op, source)| StormError::Prepare { op, source })?;
        }
        let (mut ballast, mut filled) = (None, 0);
        if let Some(limit) = plan.map_limit {
            let arena = u64::from(geometry.lanes) * u64::from(geometry.pages);
            let threads = plan.threads_and_faulters() as u64;
            let room = arena + ROOM_A_THREAD * threads + ROOM;
            let mut made = Ballast::new(room).map_err(StormError::Ballast)?;
            filled = made.lay(limit).map_err(StormError::Ballast)? as usize;
            ballast = Some(Mutex::new(made));
        }
        let bytes = if script.is_some() { SCRIPT_HISTORY_BYTES } else { HISTORY_BYTES };
        let slots = (bytes / geometry.lanes as usize / History::bytes(1, pages)).max(64);
        let capacity = if slots.is_power_of_two() { slots } else { slots.next_power_of_two() / 2 };
        let findings =
            Findings::new(plan.allow.clone(), plan.fail_fast, plan.keep, EXAMPLE_VERSIONS)
                .with_mishaps(plan.keep, &geometry);
        Ok(Storm {
            oracle: Oracle::new(geometry, &layouts, capacity).with_rules(may.rules),
            findings: findings.until(plan.until.clone(), plan.until_all),
            tallies: (0..plan.threads_and_faulters()).map(|_| Tally::default()).collect(),
            loads: loads(&plan).map_err(StormError::Loads)?,
            loading: (0..plan.faulters).map(|_| CachePadded::default()).collect(),
            scheduler: Scheduler::new(plan.threads_and_faulters()),
            records: (0..plan.threads_and_faulters()).map(|_| CachePadded::default()).collect(),
            watcher: Watcher::new(plan.threads_and_faulters()),
            keeper: None,
            log: LogBook::open(plan.inject == Some(Planted::Splat)),
            taint: host::taint(),
            mover: Mover::new(plan.threads),
            over: AtomicBool::new(false),
            refused_load: Mutex::new(None),
            call_times: Arc::default(),
            // The program's own, and for each thread what it allocates from and its stack, each
            // with a guard.
            outside: Surroundings::with_room(
                512 + 4 * plan.threads_and_faulters() + filled,
                (512 + 4 * plan.threads_and_faulters()) * 80 + LONG_LINES + filled * BALLAST_LINE,
                DOUBTS,
                EXAMPLE_VERSIONS,
            ),
            arena,
            plan,
            may,
            script,
            ballast,
        })
    }

    /// The same, whose watcher gives the account of a stall to `keeper` before anybody is told.
    #[must_use]
    pub fn with_keeper(mut self, keeper: Arc<dyn StallKeeper>) -> Storm {
        self.keeper = Some(keeper);
        self
    }

    /// The violations.
    pub fn findings(&self) -> &Findings {
        &self.findings
    }

    /// The first load that was refused although the page could be read all the time.
    pub fn refused_load(&self) -> Option<RefusedLoad> {
        *self.refused_load.lock()
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
        let shared = Sources::shared(&self.ways()).map_err(StormError::Maps)?;
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
            watcher: None,
            times: RunTimes::new(self.plan.threads, &self.plan.cpus),
            hopeless: 0,
        };
        let begun = Instant::now();
        let all = self.plan.threads_and_faulters();
        let mut threads = Vec::with_capacity(all);
        for index in 0..all {
            match self.spawn(index, &shared, begun) {
                Ok(thread) => threads.push(thread),
                Err(error) => {
                    self.scheduler.stop();
                    threads.into_iter().for_each(|thread| drop(thread.join()));
                    return Err(error);
                }
            }
        }
        let workloads = match self.plan.workload {
            Some(only) => vec![only],
            None => Workload::distinct(&self.plan, self.arena.geometry().lanes),
        };
        let mut run = Run::new(workloads);
        // In a scenario nobody is moved.
        let moves = |workload: &Workload| self.script.is_none() && workload.moves();
        let mover = match run.workloads.arms().any(|(workload, _)| moves(&workload)) {
            true => Some(self.spawn_mover()),
            false => None,
        };
        let mover = match mover.transpose() {
            Ok(mover) => mover,
            Err(error) => {
                self.scheduler.stop();
                threads.into_iter().for_each(|thread| drop(thread.join()));
                return Err(error);
            }
        };
        match self.spawn_watcher(begun) {
            Ok(watcher) => pause.watcher = Some(watcher),
            Err(error) => {
                self.scheduler.stop();
                self.mover.stop();
                threads.into_iter().chain(mover).for_each(|thread| drop(thread.join()));
                return Err(error);
            }
        }
        // Once all workers rest, each has allocated what it needs.
        while !self.scheduler.at_rest() || !self.watcher.is_ready() {
            std::thread::sleep(Duration::from_micros(100));
        }
        let locks_before = VmaLockCounts::now();
        // What cannot be read now is told at the first standstill.
        let _ = pause.read(self);
        window(true);
        let mut kept_at_rest = |findings: &Findings| {
            window(false);
            keep(findings);
            window(true);
        };
        self.direct(&mut run, &mut pause, &signal, &mut show, &mut kept_at_rest);
        window(false);
        self.over.store(true, Ordering::Relaxed);
        self.scheduler.stop();
        self.mover.stop();
        run.counts = self.counts();
        run.overlap = pause.times.sum();
        self.end_watch(&mut run, &mut pause, begun);
        let watched = pause.watched();
        run.overdue = watched.map(|watched| watched.watch.overdue()).unwrap_or_default();
        run.vma_locks =
            VmaLockCounts::now().zip(locks_before).map(|(now, before)| now.since(&before));
        if let Some(worker) = run.left {
            let doing = watched.map_or(Doing::Unknown, |seen| seen.watch.standing(worker).doing());
            run.lost = Some(format!(
                "a call of worker {worker} (thread {}) has not come back: it {}, and nobody can say \
                 that it is the kernel's fault",
                self.scheduler.tid(worker).unwrap_or(0),
                doing.words(),
            ));
        }
        if run.stalled.is_none() && run.left.is_none() {
            for thread in threads.into_iter().chain(mover) {
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

    /// What came of the lines outside of the arena.
    pub fn outside(&self) -> OutsideCounts {
        self.outside.counts()
    }

    /// Has the findings looked at, while all rest. To keep them allocates, and so may change what lies
    /// outside of the arena: that is read before and after, as at a standstill.
    fn keep_at_rest(&self, pause: &mut Pause, begun: Instant, keep: &mut impl FnMut(&Findings)) {
        // A file that can't be read leaves nothing to be held against; the next standstill tells.
        let _ = pause.read(self);
        self.take_splats(begun);
        keep(&self.findings);
        let _ = pause.read(self);
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
        // A stream of their own: with faulters and without, a seed plays the same workloads.
        let mut faulted = Stream::new(self.plan.seed, "faulted", 0);
        let mut spare = Stream::new(self.plan.seed, "spare", 0);
        // In a scenario all workers take part.
        let mut turn = None;
        let (mut shown, mut paused) = (begun, begun);
        run.ended = loop {
            let left = self.plan.duration.saturating_sub(begun.elapsed());
            if left.is_zero() {
                break Ended::Time;
            }
            let lanes = self.arena.geometry().lanes;
            let (workload, long, mut lineup) = match &self.script {
                Some(script) => (None, SLICE, Lineup::script(script, &self.plan, lanes)),
                None => {
                    let (workload, long) = run.workloads.next(&mut rng);
                    let turn = turn.get_or_insert_with(|| Turn::draw(&mut rng, &self.plan));
                    let lineup = Lineup::draw(&mut rng, workload, &self.plan, lanes, *turn);
                    turn.pass(&lineup, &self.plan);
                    (Some(workload), long, lineup)
                }
            };
            lineup.faulted = self.plan.faulters > 0 && faulted.one_in(FAULTED_ONE_IN);
            run.faulted_slices += u64::from(lineup.faulted);
            let full = self.ballast.as_ref().filter(|_| lineup.slice.full);
            if let Some(ballast) = full {
                // At rest: this thread takes a CPU for some time, and nothing is known of a lane in
                // which a call failed half-way until its mutator has emptied it.
                if let Rest::Over(ended) = self.rest(run, pause, begun) {
                    break ended;
                }
                // Where nothing can be mapped there is no room already.
                let _ = ballast.lock().fill(spare.below(SPARE));
            }
            let tid = |worker| self.scheduler.tid(worker).unwrap_or(0);
            let part = |worker| lineup.part(worker, &self.plan);
            pause.times.begin(|worker| part(worker).is_some(), tid);
            let (before, played) = (self.brought(), Instant::now());
            self.scheduler.play(lineup.slice, part);
            run.slices += 1;
            if lineup.moved {
                self.move_about(&lineup);
            }
            std::thread::sleep(left.min(long));
            self.mover.end();
            let (after, took) = (self.brought(), played.elapsed());
            if lineup.faulted {
                run.faulted += took;
            }
            let cpu = |worker| part(worker).flatten().and_then(|cpu| self.plan.cpus.place_of(cpu));
            pause.times.end(self.plan.readers, tid, cpu);
            if lineup.slice.idle {
                self.raise_idle();
            }
            if let Some(workload) = workload {
                run.workloads.learn(workload, took, after.0 - before.0, after.1 - before.1);
            }
            if let Some(ballast) = full {
                // Not when a stall is told: what gives memory back waits for mmap_lock.
                if let Rest::Over(ended) = self.rest(run, pause, begun) {
                    break ended;
                }
                ballast.lock().give_back();
            }
            if let Some(number) = signal() {
                break Ended::Signal(number);
            }
            if self.findings.fresh() || self.log.is_ripe() {
                match self.rest(run, pause, begun) {
                    Rest::All => self.keep_at_rest(pause, begun, keep),
                    Rest::Missed => {}
                    Rest::Over(ended) => break ended,
                }
            }
            if self.findings.wants_stop() {
                break Ended::FailFast;
            }
            if let Some(ended) = self.found(run, pause, begun) {
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
        self.log.look();
        self.take_splats(begun);
        self.take_taint(begun);
        if self.findings.fresh() {
            keep(&self.findings);
        }
    }
}

/// What the faulters load with, if there are any. Huge pages are kept out of the process then.
fn loads(plan: &Plan) -> Result<Option<Loads>, Errno> {
    if plan.faulters == 0 {
        return Ok(None);
    }
    without_huge_pages()?;
    Loads::catch().map(Some)
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

/// Maps one lane as `layout` says, whatever it was before, as far as it can be made so; gives what it
/// is then. From `fresh` on, [`MAX_PAGES`] numbers belong to no anon_vma yet. Does not allocate.
pub(crate) fn lay_out(
    arena: &Arena,
    rules: MergeRules,
    lane: u16,
    layout: &Layout,
    fresh: u64,
) -> Result<Layout, (Op, Errno)> {
    let mut made = Layout::empty(layout.len());
    let all = Op::Unmap { at: Place { lane, span: Span::new(0, layout.len()) } };
    for op in [all].into_iter().chain(lane_making(lane, layout)) {
        if fits(&op, &made, &made).is_ok() {
            arena.carry_out(&op).map_err(|errno| (op, errno))?;
            apply_alone(&op, rules, &mut made, fresh);
        }
    }
    Ok(made)
}

/// Numbers for the anon_vmas of a lane as it is in the beginning; see [`lay_out`].
pub(crate) fn first_fresh(lane: u16) -> u64 {
    1 + MAX_PAGES as u64 * u64::from(lane)
}
