//! How a worker keeps to one CPU, and which of two workers on a CPU has to wait.

use super::cpus::{Cpus, pin};
use super::priority;

/// Where the calling thread runs.
pub struct Affinity<'a> {
    cpus: &'a Cpus,
    at: Option<usize>,
    /// Whether somebody else may have moved the thread.
    astray: bool,
    idle: bool,
}

impl<'a> Affinity<'a> {
    /// A thread that runs anywhere.
    pub fn anywhere(cpus: &'a Cpus) -> Affinity<'a> {
        Affinity { cpus, at: None, astray: false, idle: false }
    }

    /// Moves the calling thread to `cpu`, or lets it run anywhere again. Where that is not allowed
    /// it stays: placement makes tears likelier, and no verdict depends on it.
    pub fn sit(&mut self, cpu: Option<usize>) {
        if self.at == cpu && !self.astray {
            return;
        }
        let pinned = match cpu {
            Some(cpu) => pin([cpu]),
            None => pin(self.cpus.all()),
        };
        if pinned.is_ok() {
            (self.at, self.astray) = (cpu, false);
        }
    }

    /// Somebody else may have moved the thread: it is moved at the next turn, wherever it was.
    pub fn forget(&mut self) {
        self.astray = true;
    }

    /// Gives the calling thread idle priority (SCHED_IDLE: all other threads go first), or the
    /// usual one again. A sandbox may forbid it; see [`Affinity::sit`].
    pub fn idle(&mut self, idle: bool) {
        // A standstill may have raised an idle thread meanwhile, so idle is asked for each time.
        if (idle || self.idle) && priority::idle(idle) {
            self.idle = idle;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::cpus::allowed_cpus;
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
        let before = allowed_cpus().unwrap();
        let mut affinity = Affinity::anywhere(&cpus);
        for n in 0..cpus.count() {
            affinity.sit(cpus.nth(n));
            assert_eq!(allowed_cpus().unwrap(), [cpus.nth(n).unwrap()]);
        }
        affinity.sit(None);
        assert_eq!(allowed_cpus().unwrap(), before);
        // Moved by somebody else, it comes back.
        let last = cpus.nth(cpus.count() - 1).unwrap();
        affinity.sit(cpus.nth(0));
        super::super::cpus::pin([last]).unwrap();
        affinity.forget();
        affinity.sit(cpus.nth(0));
        assert_eq!(allowed_cpus().unwrap(), [cpus.nth(0).unwrap()]);
    }
}
