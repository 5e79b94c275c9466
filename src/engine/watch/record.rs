//! What a reader writes down of the call that it is about to make.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// A reader's record of its own call: of a thread that runs, the kernel tells neither the call nor the
/// stack (fs/proc/base.c, `proc_pid_syscall`).
///
/// All is relaxed: one writer, and read by the watcher a long time after the thread stood still.
#[derive(Default)]
pub struct CallRecord {
    inside: AtomicBool,
    at: AtomicU64,
    tick: AtomicU64,
    text: AtomicUsize,
    read: AtomicUsize,
}

/// What stands in a [`CallRecord`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Recorded {
    /// Whether it is in the call, and not between two.
    pub inside: bool,
    /// The offset in the file, or the address of a query.
    pub at: u64,
    /// The clock just before the call.
    pub tick: u64,
    /// Where the bytes of the walk so far lie in memory, and how many they are.
    pub text: (usize, usize),
}

impl CallRecord {
    /// A call begins: at this offset or address, at this tick, with so much of the walk read.
    #[inline]
    pub fn begin(&self, at: u64, tick: u64, text: &[u8]) {
        self.at.store(at, Ordering::Relaxed);
        self.tick.store(tick, Ordering::Relaxed);
        self.text.store(text.as_ptr() as usize, Ordering::Relaxed);
        self.read.store(text.len(), Ordering::Relaxed);
        self.inside.store(true, Ordering::Relaxed);
    }

    /// It has come back.
    #[inline]
    pub fn end(&self) {
        self.inside.store(false, Ordering::Relaxed);
    }

    /// What stands there.
    pub fn read(&self) -> Recorded {
        Recorded {
            inside: self.inside.load(Ordering::Relaxed),
            at: self.at.load(Ordering::Relaxed),
            tick: self.tick.load(Ordering::Relaxed),
            text: (self.text.load(Ordering::Relaxed), self.read.load(Ordering::Relaxed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_says_what_the_call_is_until_it_is_back() {
        let record = CallRecord::default();
        assert!(!record.read().inside);
        let text = b"a line\n";
        record.begin(4096, 7, text);
        let there = Recorded {
            inside: true,
            at: 4096,
            tick: 7,
            text: (text.as_ptr() as usize, text.len()),
        };
        assert_eq!(record.read(), there);
        record.end();
        assert_eq!(record.read(), Recorded { inside: false, ..there });
    }
}
