//! How much of the time a reader and a mutator ran at once.
//!
//! A tear takes a reader in the middle of a read while a mutator gets through. Where the two share
//! a CPU, or others take the CPUs, that is rare, and a storm that finds nothing says little. How
//! long each worker ran is known (its CPU clock, taken before and after each slice); who ran beside
//! whom is not, without tracing. The estimate: each CPU has a reader on it for some part of the
//! slice, a mutator for another, and neither for the rest, and which of them it has at a moment
//! does not depend on the other CPUs. A worker that keeps to a CPU is counted there; the time of
//! those that run anywhere is shared out evenly. So
//!
//! ```text
//! P(both) = 1 - P(no reader) - P(no mutator) + P(neither)
//!         = 1 - prod(1 - r) - prod(1 - m) + prod(1 - r - m)
//! ```
//!
//! over all CPUs, with r and m the parts of the slice that a CPU had for readers and mutators. On
//! one CPU it is 0, and with a reader on one and a mutator on the other all the time it is 1.
//! Workers that wait for each other are together less than this says, and those that the same third
//! party keeps waiting are together more.

use crate::host::Cpus;
use std::time::{Duration, Instant};

/// How long workers ran in all slices together.
#[derive(Clone, Copy, PartialEq, Default, Debug)]
pub struct Overlap {
    /// How long the slices took.
    pub played: Duration,
    /// CPU time of the readers.
    pub readers: Duration,
    /// CPU time of the mutators.
    pub mutators: Duration,
    /// How long a reader and a mutator ran at once: an estimate.
    pub both: Duration,
    /// CPUs that they could use.
    pub cpus: usize,
}

/// Of a hundred parts of the time, so many have to be a reader's and a mutator's at once. Beside
/// other work on two CPUs a storm of 5 s found 26 to 133 tears with 6 %, and 5 with 1.1 %; beside
/// 14 busy loops, with 0.1 %, one of 10 s found one tear or none.
const FEWEST_PERCENT: f64 = 5.0;

impl std::ops::AddAssign for Overlap {
    fn add_assign(&mut self, other: Overlap) {
        self.played += other.played;
        self.readers += other.readers;
        self.mutators += other.mutators;
        self.both += other.both;
        self.cpus = self.cpus.max(other.cpus);
    }
}

impl std::iter::Sum for Overlap {
    fn sum<I: Iterator<Item = Overlap>>(all: I) -> Overlap {
        let mut sum = Overlap::default();
        all.for_each(|one| sum += one);
        sum
    }
}

impl Overlap {
    /// The part of the time in which both ran, in percent.
    pub fn percent(&self) -> f64 {
        100.0 * self.both.as_secs_f64() / self.played.as_secs_f64().max(1e-9)
    }

    /// Whether that was so little that a storm without violations says little.
    pub fn is_little(&self) -> bool {
        self.percent() < FEWEST_PERCENT
    }

    /// The CPUs' time that the workers had, in percent.
    pub fn cpu_percent(&self) -> f64 {
        let all = self.played.as_secs_f64() * self.cpus.max(1) as f64;
        100.0 * (self.readers + self.mutators).as_secs_f64() / all.max(1e-9)
    }
}

/// Takes the workers' CPU clocks around slices. Allocates nothing after it was made.
pub(super) struct RunTimes {
    begun: Instant,
    /// Each worker's clock at the beginning of the slice; nothing of those that rest.
    before: Vec<Option<Duration>>,
    /// For each CPU the parts of the slice that it had for readers and for mutators.
    parts: Vec<(f64, f64)>,
    sum: Overlap,
}

impl RunTimes {
    /// Room for so many workers.
    pub(super) fn new(workers: usize, cpus: &Cpus) -> RunTimes {
        RunTimes {
            begun: Instant::now(),
            before: vec![None; workers],
            parts: vec![(0.0, 0.0); cpus.count()],
            sum: Overlap { cpus: cpus.count(), ..Overlap::default() },
        }
    }

    /// A slice begins, in which those workers play that `plays`.
    pub(super) fn begin(&mut self, plays: impl Fn(usize) -> bool, tid: impl Fn(usize) -> u32) {
        for (worker, before) in self.before.iter_mut().enumerate() {
            *before = plays(worker).then(|| ran(tid(worker))).flatten();
        }
        self.begun = Instant::now();
    }

    /// The slice is over. The first `readers` workers read; `cpu` is the place of a worker's CPU
    /// among those allowed, if it keeps to one.
    pub(super) fn end(
        &mut self,
        readers: usize,
        tid: impl Fn(usize) -> u32,
        cpu: impl Fn(usize) -> Option<usize>,
    ) {
        let took = self.begun.elapsed();
        let cpus = self.parts.len();
        self.parts.fill((0.0, 0.0));
        for (worker, before) in self.before.iter().enumerate() {
            let Some((before, after)) = before.zip(ran(tid(worker))) else { continue };
            let ran = after.saturating_sub(before);
            let reads = worker < readers;
            *(if reads { &mut self.sum.readers } else { &mut self.sum.mutators }) += ran;
            let part = ran.as_secs_f64() / took.as_secs_f64().max(1e-9);
            let mut add = |at: usize, part: f64| {
                let (reader, mutator) = &mut self.parts[at];
                *(if reads { reader } else { mutator }) += part;
            };
            match cpu(worker) {
                Some(at) => add(at, part),
                None => (0..cpus).for_each(|at| add(at, part / cpus as f64)),
            }
        }
        self.sum.played += took;
        self.sum.both += took.mul_f64(both(&self.parts));
    }

    /// All slices so far.
    pub(super) fn sum(&self) -> Overlap {
        self.sum
    }
}

/// The part of the time in which some CPU has a reader and another a mutator.
fn both(cpus: &[(f64, f64)]) -> f64 {
    let (mut no_reader, mut no_mutator, mut neither) = (1.0, 1.0, 1.0);
    for &(reader, mutator) in cpus {
        // The clocks are not taken at the same moment, and a worker may not have got to its CPU.
        let scale = (reader + mutator).max(1.0);
        let (reader, mutator) = (reader / scale, mutator / scale);
        no_reader *= 1.0 - reader;
        no_mutator *= 1.0 - mutator;
        neither *= 1.0 - reader - mutator;
    }
    (1.0 - no_reader - no_mutator + neither).clamp(0.0, 1.0)
}

/// How long thread `tid` of this process has run, by its CPU clock. Nothing when there is none.
fn ran(tid: u32) -> Option<Duration> {
    // clock_getcpuclockid(3) for a thread: include/linux/posix-timers.h, `make_thread_cpuclock`
    // with CPUCLOCK_SCHED (2); the third bit makes it a thread's.
    let clock = (!(tid as libc::clockid_t) << 3) | 6;
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` lives on this stack and is written.
    let done = unsafe { libc::clock_gettime(clock, &mut time) } == 0;
    (done && tid > 0).then(|| Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_at_once_follows_from_the_parts_of_each_cpu() {
        for (cpus, percent) in [
            // One CPU: whatever it does, never both.
            (&[(0.5, 0.5)][..], 0.0),
            (&[(1.0, 0.0)], 0.0),
            // Each has its own.
            (&[(1.0, 0.0), (0.0, 1.0)], 100.0),
            (&[(1.0, 0.0), (0.0, 0.25)], 25.0),
            // A busy loop takes half of both.
            (&[(0.5, 0.0), (0.0, 0.5)], 25.0),
            // A couple on each of two CPUs: rm, mr, rr and mm are equally likely.
            (&[(0.5, 0.5), (0.5, 0.5)], 50.0),
            (&[(0.0, 1.0), (0.0, 1.0), (0.0, 1.0), (1.0, 0.0)], 100.0),
            (&[(0.0, 0.0), (0.0, 0.0)], 0.0),
            // More than there is: clocks that were not read at one moment.
            (&[(1.01, 0.0), (0.0, 1.02)], 100.0),
        ] {
            assert!((100.0 * both(cpus) - percent).abs() < 1e-6, "{cpus:?}: {}", both(cpus));
        }
    }

    #[test]
    fn the_clock_of_a_thread_is_its_own() {
        let own = rustix::thread::gettid().as_raw_nonzero().get() as u32;
        let before = ran(own).unwrap();
        let clock = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        let clock = Duration::new(clock.tv_sec as u64, clock.tv_nsec as u32);
        let after = ran(own).unwrap();
        assert!(before <= clock && clock <= after, "{before:?} {clock:?} {after:?}");
        // No thread has such a number (include/linux/threads.h, `PID_MAX_LIMIT`).
        assert_eq!(ran(1 << 23), None);
        assert_eq!(ran(0), None);
    }

    #[test]
    fn little_is_little_of_the_time_played_however_long_it_was() {
        let of = |both: u64| Overlap {
            played: Duration::from_secs(100),
            readers: Duration::from_secs(50),
            mutators: Duration::from_secs(30),
            both: Duration::from_secs(both),
            cpus: 2,
        };
        assert!(of(4).is_little() && !of(5).is_little());
        assert_eq!((of(25).percent(), of(0).cpu_percent()), (25.0, 40.0));
        assert!(Overlap::default().is_little());
    }

    #[test]
    fn a_slice_counts_those_that_play_on_their_cpus() {
        let cpus = Cpus::first(2);
        let own = rustix::thread::gettid().as_raw_nonzero().get() as u32;
        let mut times = RunTimes::new(3, &cpus);
        // A reader that is this thread; a mutator that rests; one whose thread has no clock.
        times.begin(|worker| worker != 1, |worker| if worker == 0 { own } else { 0 });
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(2) {
            std::hint::spin_loop();
        }
        times.end(1, |worker| if worker == 0 { own } else { 0 }, |_| Some(1));
        let sum = times.sum();
        assert!(sum.readers > Duration::ZERO && sum.played >= Duration::from_millis(2));
        assert_eq!((sum.mutators, sum.both, sum.cpus), (Duration::ZERO, Duration::ZERO, 2));
        assert!(times.parts[0] == (0.0, 0.0) && times.parts[1].0 > 0.0);
    }
}
