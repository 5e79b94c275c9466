//! What the watcher asks of a storm's threads, and what it takes down when one does not come back.

use super::standstills::WatcherThread;
use super::{Storm, StormError};
use crate::engine::incidents::{Call, Incident, Stall};
use crate::engine::watch::{CallPlace, Named, Party, Role, Watched, name};
use crate::host::{self, Doing, Peek, Pulse, Sampler, Stuck, Watch, cpus_of_thread, thread_files};
use crate::kernel::{is_detail, range_end};
use crate::oracle::VersionRecord;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Threads of which all files of /proc are kept, beside the stuck one.
const MOST_FILES: usize = 32;
/// Versions that are kept of each lane that the stuck thread or an operation under way is in.
const VERSIONS: u64 = 8;
/// Lines of the kernel's log that are kept.
const LOG_LINES: usize = 200;
/// Lanes of which versions are kept.
const MOST_LANES: usize = 16;

/// The watcher's stack.
const STACK: usize = 256 << 10;

impl Storm {
    /// Starts the watcher.
    pub(super) fn spawn_watcher(
        self: &Arc<Storm>,
        begun: Instant,
    ) -> Result<WatcherThread, StormError> {
        let storm = Arc::clone(self);
        let threads = self.plan.threads_and_faulters();
        // Without it a stall is told without the lines read.
        let peek = Peek::new().ok();
        std::thread::Builder::new()
            .name("mapstorm-watch".into())
            .stack_size(STACK)
            .spawn(move || storm.watch_all(peek.as_ref(), begun))
            .map(WatcherThread::Watches)
            .map_err(|source| StormError::Spawn { index: threads, threads: threads + 1, source })
    }

    /// The watcher's thread. What it finds is to be taken from the [watcher](Self::found).
    pub(super) fn watch_all(&self, peek: Option<&Peek>, begun: Instant) -> Option<Watched> {
        let watch = Watch::new(self.plan.threads_and_faulters(), self.plan.stall, host::now());
        let pulse = |worker| Pulse {
            // Of a reader, each of the calls of a walk counts.
            progress: self.scheduler.beats(worker) + self.tallies[worker].returned(),
            tid: self.scheduler.tid(worker),
            busy: !self.scheduler.rests(worker),
        };
        let account = |watch: &Watch, stuck: &Stuck| self.stall(watch, stuck, peek, begun);
        let keeper = self.keeper.as_deref();
        if let Some(keeper) = keeper {
            let stuck = Stuck {
                thread: 0,
                doing: Doing::Unknown,
                watched: Duration::ZERO,
                system: Duration::ZERO,
            };
            keeper.rehearse(&Incident::Stall(account(&watch, &stuck)));
            // Where that is not allowed, it was touched.
            let _ = host::lock_stack::<{ STACK / 2 }>();
        }
        self.watcher.ready();
        self.watcher.watch(watch, &self.plan.cpus, pulse, || self.log.look(), account, keeper)
    }

    /// The account of a call that does not come back.
    fn stall(&self, watch: &Watch, first: &Stuck, peek: Option<&Peek>, begun: Instant) -> Stall {
        let at = begun.elapsed();
        let mut parties: Vec<Party> =
            (0..self.plan.threads_and_faulters()).map(|worker| self.party(watch, worker)).collect();
        let standing = |worker: usize| watch.standing(worker);
        // Those in a call are of interest, and those that stood longest come first.
        let mut order: Vec<usize> = (0..parties.len()).filter(|&w| !parties[w].rests).collect();
        order.sort_by_key(|&worker| std::cmp::Reverse(parties[worker].still_ns));
        let first_place = order.iter().position(|&worker| worker == first.thread).unwrap_or(0);
        order.truncate(MOST_FILES.max(first_place + 1));
        for worker in order {
            if let Some(tid) = parties[worker].tid {
                parties[worker].files = thread_files(tid as i32).into();
            }
        }
        // Of all that are stuck the one that tells most: a mutator that waits for readers keeps all who
        // wait for mmap_lock.
        let waits = |party: &Party| party.waits_for_readers(&party.files);
        let kept: Vec<usize> = watch.kept().collect();
        let telling = kept.iter().find(|&&worker| waits(&parties[worker]));
        let spins = first.doing == Doing::Spinning;
        let worker = telling.filter(|_| !spins).map_or(first.thread, |&worker| worker);
        let (doing, waited) = (standing(worker).doing(), standing(worker).watched());
        let thread = std::mem::take(&mut parties[worker].files);
        let Named { mechanism, operations, reader } =
            name(worker, self.plan.stall.as_nanos() as u64, &thread, &parties);
        let mut stall = Stall {
            worker,
            tid: self.scheduler.tid(worker),
            at,
            waited,
            limit: self.plan.stall,
            doing,
            system: standing(worker).system(),
            call: parties[worker].call,
            completed: parties[worker].completed_calls,
            mechanism: Some(mechanism),
            operations,
            reader,
            thread,
            text: Vec::new(),
            versions: Vec::new(),
            parties: Vec::new(),
            log: self.log.last_lines(LOG_LINES),
        };
        if let Some((text, reached)) = peek.and_then(|peek| self.read_so_far(worker, peek)) {
            stall.text = text;
            if let Some(place) = &mut parties[worker].place {
                place.reached = place.reached.or(reached);
            }
        }
        stall.versions = self.versions(worker, &parties);
        stall.parties = parties;
        stall
    }

    /// What a thread does now.
    fn party(&self, watch: &Watch, worker: usize) -> Party {
        let now = host::now();
        let tid = self.scheduler.tid(worker);
        let look = tid.and_then(|tid| Sampler::default().look(tid).ok());
        let standing = watch.standing(worker);
        let role = match worker {
            _ if worker >= self.plan.threads => Role::Faulter,
            _ if worker < self.plan.readers => Role::Reader,
            _ => Role::Mutator,
        };
        let rests = self.scheduler.rests(worker);
        let under_way =
            self.oracle.under_way_since(worker as u16).filter(|_| role == Role::Mutator);
        let call = match role {
            // Relaxed: the thread has not come back since it wrote that down.
            Role::Faulter => {
                let at = &self.loading[worker - self.plan.threads];
                Some(Call::Load(at.load(Ordering::Relaxed)))
            }
            Role::Reader => self.scheduler.reading(worker).map(Call::Read),
            Role::Mutator => under_way.map(|(op, _)| Call::Operation(op)),
        };
        let record = self.records[worker].read();
        let query = matches!(call, Some(Call::Read(mode)) if mode.is_query());
        let place = CallPlace {
            inside: record.inside,
            at: record.at,
            invoked: record.tick,
            read: record.text.1 as u64,
            reached: query.then_some(record.at),
        };
        Party {
            worker,
            role,
            tid,
            rests,
            state: look.map(|look| look.state),
            doing: standing.is_over().then(|| standing.doing()),
            cpu: look.and_then(|look| look.cpu),
            allowed_cpus: tid.map_or(String::new(), cpus_of_thread),
            still_ns: watch.still(worker, now).as_nanos() as u64,
            idle_ns: standing.idle(now).as_nanos() as u64,
            completed_calls: self.scheduler.beats(worker),
            call: call.filter(|_| !rests),
            invoked: under_way.map(|(_, invoked)| invoked),
            place: (role == Role::Reader && !rests).then_some(place),
            files: Vec::new(),
        }
    }

    /// The last lines that a stuck reader had read of its walk, and the address that they came to.
    fn read_so_far(&self, worker: usize, peek: &Peek) -> Option<(Vec<Vec<u8>>, Option<u64>)> {
        if worker >= self.plan.readers {
            return None;
        }
        let (address, read) = self.records[worker].read().text;
        let last = read.min(Peek::MOST);
        let mut copy = vec![0; last];
        let text = peek.copy(address + (read - last), &mut copy).ok()?;
        // Where it begins in the middle of a line, that one is left out.
        let whole = if last < read { memchr::memchr(b'\n', text)? + 1 } else { 0 };
        let lines = text[whole..].split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
        let lines: Vec<Vec<u8>> = lines.map(<[u8]>::to_vec).collect();
        let header = lines.iter().rfind(|line| !is_detail(line));
        Some((lines.clone(), header.and_then(|line| range_end(line))))
    }

    /// The last versions of the lanes that the stuck thread and operations under way are in.
    fn versions(&self, worker: usize, parties: &[Party]) -> Vec<VersionRecord> {
        let geometry = self.arena.geometry();
        let stands = parties[worker].place.and_then(|place| place.reached);
        let loads = match parties[worker].call {
            Some(Call::Load(address)) => Some(address),
            _ => None,
        };
        let inside = stands.or(loads).filter(|&at| geometry.contains(at));
        let mut lanes: Vec<u16> = inside.map(|at| geometry.locate(at).0).into_iter().collect();
        for party in parties {
            if let Some(Call::Operation(op)) = party.call {
                lanes.extend([Some(op.at().lane), op.other_lane()].into_iter().flatten());
            }
        }
        lanes.truncate(MOST_LANES);
        lanes.sort_unstable();
        lanes.dedup();
        let of_lane = |lane: u16| {
            let history = self.oracle.history(lane);
            let newest = history.head();
            let first = newest.saturating_sub(VERSIONS - 1).max(history.tail());
            let records = (first..=newest).map(|version| VersionRecord::of(history, lane, version));
            let records: Vec<VersionRecord> = records.collect();
            // Other threads may go on in the lane.
            let whole = history.confirm(first).is_ok();
            if whole { records } else { Vec::new() }
        };
        lanes.into_iter().flat_map(of_lane).collect()
    }
}
