//! Which CPUs there are, how a worker keeps to one, and which of two on a CPU has to wait.

use crate::host::priority;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The CPUs this process may run on, as taskset and cpusets leave them.
#[derive(Clone, Debug)]
pub struct Cpus {
    all: CpuSet,
    list: Vec<usize>,
    /// Whether a thread may leave idle priority again.
    returns_from_idle: bool,
}

impl Cpus {
    /// The CPUs allowed now.
    pub fn allowed() -> Cpus {
        let all = sched_getaffinity(None).unwrap_or_else(|_| {
            let mut first = CpuSet::new();
            first.set(0);
            first
        });
        let list = (0..CpuSet::MAX_CPU).filter(|&cpu| all.is_set(cpu)).collect();
        Cpus { all, list, returns_from_idle: priority::returns_from_idle() }
    }

    /// The first so many, whether or not this machine has them.
    #[cfg(test)]
    pub(super) fn first(count: usize) -> Cpus {
        let mut all = CpuSet::new();
        (0..count).for_each(|cpu| all.set(cpu));
        Cpus { all, list: (0..count).collect(), returns_from_idle: true }
    }

    /// How many, at least one.
    pub fn count(&self) -> usize {
        self.list.len().max(1)
    }

    /// Whether a thread that has taken idle priority may have the usual one again.
    pub fn returns_from_idle(&self) -> bool {
        self.returns_from_idle
    }

    /// The place of `cpu` among them.
    pub fn place_of(&self, cpu: usize) -> Option<usize> {
        self.list.binary_search(&cpu).ok()
    }

    /// The `n`th of them, counted round.
    pub fn nth(&self, n: usize) -> Option<usize> {
        self.list.get(n % self.count()).copied()
    }
}

/// Where the calling thread runs.
pub struct Affinity<'a> {
    cpus: &'a Cpus,
    at: Option<usize>,
    idle: bool,
}

impl<'a> Affinity<'a> {
    /// A thread that runs anywhere.
    pub fn anywhere(cpus: &'a Cpus) -> Affinity<'a> {
        Affinity { cpus, at: None, idle: false }
    }

    /// Moves the calling thread to `cpu`, or lets it run anywhere again. Where that is not
    /// allowed, it stays: placement makes tears likelier and is no matter of right or wrong.
    pub fn sit(&mut self, cpu: Option<usize>) {
        if self.at == cpu {
            return;
        }
        let one = cpu.map(|cpu| {
            let mut one = CpuSet::new();
            one.set(cpu);
            one
        });
        if sched_setaffinity(None, one.as_ref().unwrap_or(&self.cpus.all)).is_ok() {
            self.at = cpu;
        }
    }

    /// Gives the calling thread idle priority (SCHED_IDLE: everybody else goes first), or the
    /// usual one again. A sandbox may forbid it; see [`Affinity::sit`].
    pub fn idle(&mut self, idle: bool) {
        // The director may have raised an idle thread meanwhile, so idle is asked for each time.
        if (idle || self.idle) && priority::idle(idle) {
            self.idle = idle;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_lets_everybody_else_go_first_and_not_for_ever() {
        let cpus = Cpus::allowed();
        let mut affinity = Affinity::anywhere(&cpus);
        // SAFETY: asks for the calling thread's policy.
        let policy = || unsafe { libc::sched_getscheduler(0) };
        let before = policy();
        affinity.idle(true);
        assert_eq!(policy(), if affinity.idle { libc::SCHED_IDLE } else { before });
        affinity.idle(false);
        assert_eq!(policy(), before);
    }

    #[test]
    fn a_thread_sits_where_it_is_told_and_gets_up_again() {
        let cpus = Cpus::allowed();
        let before = sched_getaffinity(None).unwrap();
        let mut affinity = Affinity::anywhere(&cpus);
        for n in 0..cpus.count() {
            affinity.sit(cpus.nth(n));
            let now = sched_getaffinity(None).unwrap();
            assert_eq!(now.count(), 1);
            assert!(now.is_set(cpus.nth(n).unwrap()));
        }
        affinity.sit(None);
        assert_eq!(sched_getaffinity(None).unwrap(), before);
    }
}
