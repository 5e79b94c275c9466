//! Tells a thread that the kernel keeps from one that merely waits.
//!
//! A call that does not come back is the kernel's fault in two cases only:
//!
//! - The thread **spins**: it has burned as much CPU time in the kernel, in this one call, as the
//!   limit asks for. Time alone does not count: a thread that gets a tenth of a CPU has to stand for
//!   ten limits.
//! - The thread **sleeps uninterruptibly** (state D) for the whole limit without waking once, and no
//!   thread of this process can be what it waits for. Sleepers wait for the holder of a lock in
//!   their turn. So each other thread has to rest, to sleep in the same way, or to have come back
//!   from two calls since: then all that were ahead in the queue are through. A thread that stands
//!   in a call without a CPU may hold the lock, and then nothing can be told.
//!
//! Everything else is no fault of the kernel's, or can't be told: see [`Doing`]. One thing can't be
//! seen from here: a thread outside of this process holds a lock of its mm and gets no CPU. It may
//! be a process that reads its maps, or khugepaged (nice 19). The report's evidence shows it, and the
//! default limit is long for it.
//!
//! Only time that was watched counts, and between two looks at most an eighth of the limit. The
//! watching thread may have been stopped in between: by SIGSTOP, by the freezer or the CPU limit of
//! a cgroup, or with its virtual machine. The threads looked at were stopped with it, and come back
//! from their calls before the next looks.
//!
//! [`Standing`] judges one thread and [`Watch`] all. Neither reads anything by itself, and neither
//! allocates after it was made.

use super::thread::{Look, State};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Of the limit: the most that counts between two looks.
const MOST_GAP: u32 = 8;
/// Of the limit: how long a thread has stood still when it is first looked at, and how long it is
/// left alone after each look.
const FIRST_LOOK: u32 = 16;
const NEXT_LOOK: u32 = 32;
/// However long the limit, a thread that has stood still for so long is looked at.
pub const FIRST_LOOK_MOST: Duration = Duration::from_millis(200);

/// Kernel functions that sleep uninterruptibly for something that comes from outside: a disk
/// (mm/filemap.c), the freezer (kernel/freezer.c), the throttle of a memory cgroup
/// (mm/memcontrol.c), one of a block device (block/blk-rq-qos.c, blk-cgroup.c).
const OUTSIDE: [&str; 7] = [
    "folio_wait_bit",
    "__folio_lock",
    "__refrigerator",
    "mem_cgroup_handle_over_high",
    "__mem_cgroup_handle_over_high",
    "rq_qos_wait",
    "blkcg_maybe_throttle_current",
];

/// What a thread does that stands still.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Doing {
    /// It burns CPU time in the kernel.
    Spinning,
    /// It sleeps in state D, and did not wake for the whole limit.
    SleepingUninterruptibly,
    /// It sleeps so that a signal would wake it. Reads of maps and the calls that change the address
    /// space do not sleep so.
    Sleeping,
    /// It is runnable and gets no CPU, or too little.
    WaitingForCpu,
    /// It is stopped by a signal or a debugger.
    Stopped,
    /// It runs, and not in the kernel.
    UserMode,
    /// There is no such thread any more.
    Gone,
    /// None of these for the whole limit, or it can't be read.
    #[default]
    Unknown,
}

impl Doing {
    /// What it is, as the end of a sentence about a thread.
    pub const fn words(self) -> &'static str {
        match self {
            Doing::Spinning => "spins in the kernel",
            Doing::SleepingUninterruptibly => "sleeps uninterruptibly in the kernel",
            Doing::Sleeping => "sleeps, and a signal would wake it",
            Doing::WaitingForCpu => "waits for a CPU",
            Doing::Stopped => "is stopped by a signal or a debugger",
            Doing::UserMode => "runs in user mode",
            Doing::Gone => "has ended",
            Doing::Unknown => "does nothing for long",
        }
    }

    /// Whether the kernel keeps it.
    const fn is_kept(self) -> bool {
        matches!(self, Doing::Spinning | Doing::SleepingUninterruptibly)
    }

    /// Whether it is known to be no hang, rather than not known to be one.
    const fn is_harmless(self) -> bool {
        matches!(self, Doing::WaitingForCpu | Doing::Stopped | Doing::UserMode)
    }
}

/// What the looks at one thread add up to since it stands still.
#[derive(Clone, Debug)]
pub struct Standing {
    limit: Duration,
    last: Option<Look>,
    first_at: Option<Duration>,
    last_at: Duration,
    gone: bool,
    /// When it was last seen to have run meanwhile.
    ran_at: Option<Duration>,
    watched: Duration,
    ran: Duration,
    user: Duration,
    system: Duration,
    /// How long the last look's sleep has lasted, if it is one.
    slept: Duration,
}

impl Standing {
    /// Nothing seen yet of a thread that may stand still for `limit`.
    pub fn new(limit: Duration) -> Standing {
        let zero = Duration::ZERO;
        Standing {
            limit,
            last: None,
            first_at: None,
            last_at: zero,
            gone: false,
            ran_at: None,
            watched: zero,
            ran: zero,
            user: zero,
            system: zero,
            slept: zero,
        }
    }

    /// Forgets what was seen: the thread has moved.
    fn clear(&mut self) {
        *self = Standing::new(self.limit);
    }

    /// Takes the next look at the thread, at `now`. One that fails, for want of descriptors for
    /// instance, shows that it stands still, and nothing else.
    pub fn see(&mut self, now: Duration, look: Result<Look, Errno>) {
        let since = if self.first_at.is_some() { self.last_at } else { now };
        let gap = now.saturating_sub(since).min(self.limit / MOST_GAP);
        self.watched += gap;
        self.first_at.get_or_insert(now);
        self.last_at = now;
        self.gone |= match &look {
            Ok(look) => look.state == State::Ended,
            Err(errno) => matches!(*errno, Errno::NOENT | Errno::SRCH),
        };
        match (self.last, look) {
            (Some(last), Ok(look)) => self.add(&last, &look, gap, now),
            _ => self.slept = Duration::ZERO,
        }
        self.last = look.ok();
    }

    /// What lies between two looks. A thread can't have run for longer than the time that counts:
    /// more is a jump of the clock that CPU time is taken by.
    fn add(&mut self, last: &Look, look: &Look, gap: Duration, now: Duration) {
        let grown = |now: Duration, then: Duration| now.saturating_sub(then).min(gap);
        self.user += grown(look.user, last.user);
        self.system += grown(look.system, last.system);
        self.ran += match (last.sched, look.sched) {
            (Some(last), Some(look)) => grown(look.ran, last.ran),
            _ => grown(look.user + look.system, last.user + last.system),
        };
        // Without a turn on a CPU in between it is one sleep.
        let turns = |look: &Look| look.sched.map(|sched| sched.turns);
        let asleep = matches!(look.state, State::Uninterruptible | State::Asleep);
        let cpu_time = |look: &Look| (look.sched.map(|sched| sched.ran), look.user, look.system);
        if turns(look) != turns(last) || cpu_time(look) != cpu_time(last) {
            self.ran_at = Some(now);
        }
        let same = look.state == last.state
            && look.wchan == last.wchan
            && turns(look) == turns(last)
            && (look.user, look.system) == (last.user, last.system);
        self.slept = if asleep && same { self.slept + gap } else { Duration::ZERO };
    }

    /// How long it was watched standing still.
    pub fn watched(&self) -> Duration {
        self.watched
    }

    /// CPU time it has burned meanwhile in the kernel.
    pub fn system(&self) -> Duration {
        self.system
    }

    /// For how long, at `now`, it has not run, as far as it was watched.
    pub fn idle(&self, now: Duration) -> Duration {
        self.ran_at.or(self.first_at).map_or(Duration::ZERO, |since| now.saturating_sub(since))
    }

    /// Whether it was watched for longer than the limit.
    pub fn is_over(&self) -> bool {
        self.watched > self.limit
    }

    /// The last look.
    pub fn last(&self) -> Option<&Look> {
        self.last.as_ref()
    }

    /// What the thread does, as far as it shows.
    pub fn doing(&self) -> Doing {
        let Some(last) = self.last.filter(|_| !self.gone) else {
            return if self.gone { Doing::Gone } else { Doing::Unknown };
        };
        if self.system >= self.limit {
            return Doing::Spinning;
        }
        match last.state {
            State::Stopped => Doing::Stopped,
            State::Uninterruptible if self.slept > self.limit => Doing::SleepingUninterruptibly,
            State::Asleep if self.slept > self.limit => Doing::Sleeping,
            State::Runnable if self.ran < self.watched / 2 => Doing::WaitingForCpu,
            State::Runnable if self.user > self.system => Doing::UserMode,
            // It runs, and mostly in the kernel, but has not burned what the limit asks for.
            State::Runnable => Doing::WaitingForCpu,
            _ => Doing::Unknown,
        }
    }

    /// Whether it sleeps uninterruptibly for something from outside the kernel, or for something
    /// unknown.
    fn waits_for_outside(&self) -> bool {
        let wchan = self.last.as_ref().map_or("", |look| &look.wchan);
        wchan.is_empty() || OUTSIDE.iter().any(|name| wchan.starts_with(name))
    }
}

/// A thread as it shows itself.
#[derive(Clone, Copy, Default, Debug)]
pub struct Pulse {
    /// Counts its calls; one that stands still is looked at.
    pub progress: u64,
    /// Its number, once it is known.
    pub tid: Option<u32>,
    /// Whether it may be in a call.
    pub busy: bool,
}

/// What a [`Watch`] has found.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Found {
    /// The kernel keeps a thread.
    Stall(Stuck),
    /// A thread has ended that should not have.
    Gone(usize),
}

/// A thread that the kernel keeps.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Stuck {
    /// Its place among those watched.
    pub thread: usize,
    /// [`Doing::Spinning`] or [`Doing::SleepingUninterruptibly`].
    pub doing: Doing,
    /// How long it was watched standing still.
    pub watched: Duration,
    /// CPU time it has burned meanwhile in the kernel.
    pub system: Duration,
}

/// Threads that stood still for longer than the limit and were no stalls.
#[derive(Clone, Copy, PartialEq, Default, Debug)]
pub struct Overdue {
    /// Runnable, but for too little of the time on a CPU.
    pub for_cpu: u64,
    /// Stopped by a signal or a debugger.
    pub stopped: u64,
    /// In user mode.
    pub user_mode: u64,
    /// It can't be told which.
    pub undecided: u64,
    /// The longest of them, as far as it was watched.
    pub longest: Duration,
}

impl Overdue {
    /// How many.
    pub fn total(&self) -> u64 {
        self.for_cpu + self.stopped + self.user_mode + self.undecided
    }

    fn count(&mut self, doing: Doing, watched: Duration) {
        *match doing {
            Doing::WaitingForCpu => &mut self.for_cpu,
            Doing::Stopped => &mut self.stopped,
            Doing::UserMode => &mut self.user_mode,
            _ => &mut self.undecided,
        } += 1;
        self.longest = self.longest.max(watched);
    }
}

/// One of the threads watched.
#[derive(Clone, Debug)]
struct Watched {
    progress: u64,
    busy: bool,
    /// Since when it stands still, or rests.
    since: Duration,
    /// The last two times it was found to have moved, the older first.
    moved: [Duration; 2],
    looked: Option<Duration>,
    standing: Standing,
    /// That it was over the limit, and no stall.
    told: Option<Doing>,
}

/// Watches threads for calls that do not come back.
#[derive(Clone, Debug)]
pub struct Watch {
    limit: Duration,
    threads: Vec<Watched>,
    overdue: Overdue,
}

impl Watch {
    /// Watches `threads` threads from `now` on. Each may stand still for `limit`.
    pub fn new(threads: usize, limit: Duration, now: Duration) -> Watch {
        let fresh = Watched {
            progress: 0,
            busy: false,
            since: now,
            moved: [Duration::ZERO; 2],
            looked: None,
            standing: Standing::new(limit),
            told: None,
        };
        Watch { limit, threads: vec![fresh; threads], overdue: Overdue::default() }
    }

    /// Takes each thread's pulse, and looks by `look` at those that stand still.
    pub fn look(
        &mut self,
        now: Duration,
        pulse: impl Fn(usize) -> Pulse,
        mut look: impl FnMut(u32) -> Result<Look, Errno>,
    ) -> Option<Found> {
        let first = FIRST_LOOK_MOST.min(self.limit / FIRST_LOOK);
        for (index, thread) in self.threads.iter_mut().enumerate() {
            let pulse = pulse(index);
            let moved = pulse.progress != thread.progress;
            if moved {
                thread.moved = [thread.moved[1], now];
                thread.progress = pulse.progress;
            }
            if moved || !pulse.busy {
                if let Some(doing) = thread.told.take() {
                    self.overdue.count(doing, thread.standing.watched());
                }
                thread.standing.clear();
                (thread.since, thread.looked) = (now, None);
            }
            thread.busy = pulse.busy;
            let due = match thread.looked {
                None => now.saturating_sub(thread.since) >= first,
                Some(looked) => now.saturating_sub(looked) >= self.limit / NEXT_LOOK,
            };
            if let Some(tid) = pulse.tid.filter(|_| thread.busy && due) {
                thread.standing.see(now, look(tid));
                thread.looked = Some(now);
            }
        }
        let gone = |thread: &Watched| thread.busy && thread.standing.gone;
        if let Some(gone) = self.threads.iter().position(gone) {
            return Some(Found::Gone(gone));
        }
        for index in 0..self.threads.len() {
            let standing = &self.threads[index].standing;
            if !standing.is_over() {
                continue;
            }
            let doing = standing.doing();
            if self.is_stall(index, doing, now) {
                let (watched, system) = (standing.watched(), standing.system());
                self.threads[index].told = None;
                return Some(Found::Stall(Stuck { thread: index, doing, watched, system }));
            }
            self.threads[index].told = Some(doing);
        }
        None
    }

    fn is_stall(&self, index: usize, doing: Doing, now: Duration) -> bool {
        let standing = &self.threads[index].standing;
        match doing {
            Doing::Spinning => true,
            Doing::SleepingUninterruptibly => {
                let others = self.threads.iter().enumerate().filter(|(other, _)| *other != index);
                let then = standing.first_at.unwrap_or(now);
                let cleared = |other: &Watched| self.is_cleared(other, then, now);
                !standing.waits_for_outside() && others.into_iter().all(|(_, o)| cleared(o))
            }
            _ => false,
        }
    }

    /// Whether a thread can't be what another waits for that has slept since `then`.
    fn is_cleared(&self, thread: &Watched, then: Duration, now: Duration) -> bool {
        let standing = &thread.standing;
        let sleeps = standing.last().is_some_and(|look| look.state == State::Uninterruptible)
            && standing.slept >= self.limit / 2;
        let moves = now.saturating_sub(thread.since) < self.limit / FIRST_LOOK;
        !thread.busy || sleeps || moves && thread.moved[0] > then
    }

    /// Whether the thread stands in a call for longer than the limit, which is no stall.
    pub fn is_overdue(&self, thread: usize) -> bool {
        self.threads[thread].told.is_some()
    }

    /// Whether it is, for a reason that can't be told.
    fn is_undecided(&self, thread: usize) -> bool {
        self.threads[thread].told.is_some_and(|doing| !doing.is_harmless())
    }

    /// The threads that the kernel keeps for longer than the limit. Where one is a stall, the others
    /// are so because of it.
    pub fn kept(&self) -> impl Iterator<Item = usize> {
        let kept = |index: &usize| {
            let standing = self.standing(*index);
            standing.is_over() && standing.doing().is_kept()
        };
        (0..self.threads.len()).filter(kept)
    }

    /// A thread that was undecided for so long, and what it seems to do.
    pub fn undecided_for(&self, time: Duration) -> Option<(usize, Doing)> {
        let long =
            |index: &usize| self.is_undecided(*index) && self.standing(*index).watched() > time;
        let index = (0..self.threads.len()).find(long)?;
        Some((index, self.standing(index).doing()))
    }

    /// How long a thread may stand still.
    pub fn limit(&self) -> Duration {
        self.limit
    }

    /// How long, at `now`, the thread has stood still or rested.
    pub fn still(&self, thread: usize, now: Duration) -> Duration {
        now.saturating_sub(self.threads[thread].since)
    }

    /// What was seen of the thread since it stands still.
    pub fn standing(&self, thread: usize) -> &Standing {
        &self.threads[thread].standing
    }

    /// How many threads are watched.
    pub fn len(&self) -> usize {
        self.threads.len()
    }

    /// Whether no thread is watched.
    pub fn is_empty(&self) -> bool {
        self.threads.is_empty()
    }

    /// Those that were overdue, the ones that still are included.
    pub fn overdue(&self) -> Overdue {
        let mut overdue = self.overdue;
        for thread in &self.threads {
            if let Some(doing) = thread.told {
                overdue.count(doing, thread.standing.watched());
            }
        }
        overdue
    }
}

#[cfg(test)]
mod tests;
