//! Standstills: all workers rest, and the kernel's layout is compared with the oracle's.

use super::{Ended, MOST_DIFFERENCES, Run, Storm, lay_out};
use crate::allocations;
use crate::engine::incidents::ArenaText;
use crate::engine::overlap::RunTimes;
use crate::engine::program::draw_layout;
use crate::engine::quiesce::{SeenLane, read_all};
use crate::engine::signature::Signature;
use crate::engine::watch::Watched;
use crate::host::{Found, priority};
use crate::kernel::{Lines, MapsRead};
use crate::oracle::Class;
use crate::seed::Stream;
use rustix::io::Errno;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Standstills in a row at which no lane could be laid out anew, and the storm gives up.
const MOST_HOPELESS: u32 = 10;

/// How often readers are raised from idle priority while all wait for them.
const RAISE_EVERY: Duration = Duration::from_millis(2);

/// How often the end of the last calls is looked for, and for how many times the limit of a call.
const LAST_LOOK: Duration = Duration::from_millis(10);

const LAST_PATIENCE: u32 = 4;

/// What the director works with; made before the start.
pub(super) struct Pause {
    /// The watcher's thread until it is joined, and then what it has seen.
    pub(super) watcher: Option<WatcherThread>,
    pub(super) times: RunTimes,
    /// Standstills in a row at which every lane was lost.
    pub(super) hopeless: u32,
    pub(super) source: Box<dyn MapsRead>,
    pub(super) lines: Lines,
    /// The arena's lines as last read.
    pub(super) text: ArenaText,
    pub(super) lanes: Vec<SeenLane>,
    /// The lanes that differed when last compared.
    pub(super) differing: Vec<u16>,
    pub(super) rng: Stream,
}

/// The watcher's thread.
pub(super) enum WatcherThread {
    /// It goes on.
    Watches(JoinHandle<Option<Watched>>),
    /// It has ended, or panicked.
    Ended(Option<Box<Watched>>),
}

/// What became of a call to rest.
pub(super) enum Rest {
    /// All workers rest.
    All,
    /// All do but those whose call is overdue.
    Missed,
    /// The storm is over.
    Over(Ended),
}

impl Pause {
    /// What the watcher has seen, once it has ended.
    pub(super) fn watched(&self) -> Option<&Watched> {
        match &self.watcher {
            Some(WatcherThread::Ended(watched)) => watched.as_deref(),
            _ => None,
        }
    }

    /// Reads all of the file, while nothing moves.
    ///
    /// With this, what is doubted of the lines outside of the arena is decided.
    pub(super) fn read(&mut self, storm: &Storm) -> Result<(), Errno> {
        let Pause { source, lines, text, lanes, .. } = self;
        let (identities, geometry) = (storm.arena.identities(), storm.arena.geometry());
        storm.outside.renew(&storm.findings, |outside| {
            read_all(&mut **source, identities, geometry, lines, lanes, text, |line, whole| {
                outside.push(identities.sight_in(line, geometry), whole, geometry);
            })
        })
    }
}

impl Storm {
    /// Calls all workers to rest and waits for it, but not for those with an overdue call.
    pub(super) fn rest(&self, run: &mut Run, pause: &mut Pause, begun: Instant) -> Rest {
        self.scheduler.rest();
        let mut raised = Instant::now();
        while !self.scheduler.at_rest() {
            if raised.elapsed() > RAISE_EVERY {
                self.raise_idle();
                raised = Instant::now();
            }
            if let Some(ended) = self.found(run, pause, begun) {
                return Rest::Over(ended);
            }
            // A worker that has just come to rest may not be counted yet.
            let all = self.plan.threads_and_faulters();
            let away = (0..all).filter(|&worker| !self.scheduler.rests(worker));
            let (mut overdue, mut coming) = (0, 0);
            for worker in away {
                *(if self.watcher.is_overdue(worker) { &mut overdue } else { &mut coming }) += 1;
            }
            if overdue > 0 && coming == 0 {
                return Rest::Missed;
            }
            std::thread::sleep(Duration::from_micros(20));
        }
        Rest::All
    }

    /// Gives readers the usual priority that still have idle priority because they have got no CPU
    /// since: on a busy machine everybody would wait for them, and they for their next slice.
    pub(super) fn raise_idle(&self) {
        for reader in 0..self.plan.readers {
            if let Some(tid) = self.scheduler.tid(reader) {
                priority::raise(tid);
            }
        }
    }

    /// What ends the storm when the watcher has found something. From a stall on this thread allocates from
    /// the reserve: the stuck thread may hold mmap_lock.
    pub(super) fn found(&self, run: &mut Run, pause: &mut Pause, begun: Instant) -> Option<Ended> {
        if !self.watcher.has_found() {
            return None;
        }
        let mut watched = self.watcher.take()?;
        let ended = match (watched.stall.take(), watched.found?) {
            (Some(stall), _) => {
                allocations::live_on_reserve();
                self.watcher.wait_until_safe();
                run.stalled = stall.tid;
                self.alarm_as(stall.signature(), begun);
                self.findings.put_in(|room| room.stall(stall));
                Ended::Stall
            }
            (None, Found::Gone(worker)) => {
                run.lost = Some(format!("the thread of worker {worker} has ended by itself"));
                Ended::Lost
            }
            // A stall comes with its account.
            (None, Found::Stall(_)) => return None,
        };
        pause.watcher = Some(WatcherThread::Ended(Some(Box::new(watched))));
        Some(ended)
    }

    /// Ends the watch; what is found in that moment ends the storm.
    pub(super) fn end_watch(&self, run: &mut Run, pause: &mut Pause, begun: Instant) {
        self.watcher.end();
        let watches = |pause: &Pause| match &pause.watcher {
            Some(WatcherThread::Watches(thread)) => !thread.is_finished(),
            _ => false,
        };
        while watches(pause) && !self.watcher.has_found() {
            std::thread::sleep(LAST_LOOK / 10);
        }
        if let Some(ended) = self.found(run, pause, begun) {
            run.ended = ended;
        } else if let Some(WatcherThread::Watches(thread)) = pause.watcher.take() {
            pause.watcher = Some(WatcherThread::Ended(thread.join().ok().flatten().map(Box::new)));
        }
    }

    /// The pause after the last slice, which takes everybody. Somebody who waits for a CPU is
    /// waited for, but not for ever: then the storm is over without.
    pub(super) fn last_pause(&self, run: &mut Run, pause: &mut Pause, begun: Instant) {
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
        let away = |&worker: &usize| !self.scheduler.rests(worker);
        if let Some(worker) = (0..self.plan.threads_and_faulters()).find(away) {
            run.ended = Ended::Lost;
            run.left = Some(worker);
        }
    }

    /// While all workers rest, compares the kernel's layout with the oracle's.
    pub(super) fn pause(&self, run: &mut Run, pause: &mut Pause, begun: Instant) -> Rest {
        match self.rest(run, pause, begun) {
            Rest::All => self.compare_all(run, pause, begun).map_or(Rest::All, Rest::Over),
            other => other,
        }
    }

    /// What ends the storm when the lanes can't be compared any more. To be called at rest.
    pub(super) fn compare_all(
        &self,
        run: &mut Run,
        pause: &mut Pause,
        begun: Instant,
    ) -> Option<Ended> {
        // A lane that an operation failed in is laid out anew first; what it looked like in
        // between nobody knows.
        for lane in 0..self.arena.geometry().lanes {
            if !self.oracle.hold(lane).current().known {
                self.repair(run, pause, lane);
            }
        }
        if let Err(errno) = pause.read(self) {
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
    pub(super) fn compare(&self, run: &mut Run, pause: &mut Pause, begun: Instant) -> Option<u16> {
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

    pub(super) fn repair(&self, run: &mut Run, pause: &mut Pause, lane: u16) {
        let pages = self.arena.geometry().pages as usize;
        let drawn = draw_layout(&mut pause.rng, &self.may, lane, pages);
        let given = self.script.as_ref().and_then(|script| script.layouts.get(lane as usize));
        let layout = given.copied().unwrap_or(drawn);
        let mut held = self.oracle.hold(lane);
        let made = lay_out(&self.arena, self.may.rules, lane, &layout, held.fresh());
        if let Ok(layout) = made {
            self.oracle.repair(&mut held, &layout);
            run.repaired += 1;
        }
    }

    /// A violation that no reader found.
    pub(super) fn alarm(&self, class: Class, begun: Instant) {
        self.alarm_as(Signature::bare(class), begun);
    }

    /// A violation that no reader found, by its signature.
    pub(super) fn alarm_as(&self, signature: Signature, begun: Instant) {
        self.findings.record(signature, begun.elapsed().as_nanos() as u64, None);
    }
}
