//! What the kernel has written into its log since the storm began.

use crate::host::{KernelLog, Splat, splats, starts_splat};
use parking_lot::Mutex;
use rustix::io::Errno;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Bytes of the log that are kept. Of a kernel that writes more, what comes after is lost.
const ROOM: usize = 256 << 10;
/// How long the kernel may take to write all that it has to say of one thing.
const RIPE: Duration = Duration::from_millis(300);
/// Of a planted splat, the look at the log that finds it.
const FATAL: u32 = 4;
/// What is planted.
const PLANTED: [&str; 4] = [
    "WARNING: CPU: 0 PID: 1 at mm/mmap_lock.c:1 planted_by_mapstorm+0x1/0x2",
    "Call Trace:",
    " planted_by_mapstorm+0x1/0x2",
    "---[ end trace 0000000000000000 ]---",
];

/// The log of a storm.
pub(super) struct LogBook {
    log: Result<KernelLog, Errno>,
    book: Mutex<Book>,
    /// Raised when a line came with which a splat begins.
    fresh: AtomicBool,
    /// Looks until the planted splat comes; 0 where there is none.
    planted: AtomicU32,
}

struct Book {
    text: Vec<u8>,
    /// How much of it was looked through.
    seen: usize,
    /// When the last line came.
    last: Option<Instant>,
}

impl LogBook {
    /// The log from now on, where it can be read.
    pub fn open(planted: bool) -> LogBook {
        LogBook {
            log: KernelLog::open(),
            book: Mutex::new(Book { text: Vec::with_capacity(ROOM), seen: 0, last: None }),
            fresh: AtomicBool::new(false),
            planted: AtomicU32::new(if planted { FATAL } else { 0 }),
        }
    }

    /// Why the log can't be read.
    pub fn trouble(&self) -> Option<Errno> {
        self.log.as_ref().err().copied()
    }

    /// Takes in what came. Does not allocate.
    pub fn look(&self) {
        let mut book = self.book.lock();
        // Relaxed, here and below: flags for the director, what they are about lies behind the lock.
        let left = self.planted.load(Ordering::Relaxed);
        if left > 0 {
            self.planted.store(left - 1, Ordering::Relaxed);
        }
        if left == 1 {
            PLANTED.iter().for_each(|line| self.take(&mut book, line));
        }
        if let Ok(log) = &self.log {
            log.read(|line| self.take(&mut book, line));
        }
    }

    fn take(&self, book: &mut Book, line: &str) {
        if book.text.len() + line.len() >= book.text.capacity() {
            return;
        }
        book.text.extend_from_slice(line.as_bytes());
        book.text.push(b'\n');
        book.last = Some(Instant::now());
        if starts_splat(line) {
            self.fresh.store(true, Ordering::Relaxed);
        }
    }

    /// Whether there are splats that were not looked at, and all of them is there.
    pub fn is_ripe(&self) -> bool {
        self.fresh.load(Ordering::Relaxed)
            && self.book.lock().last.is_some_and(|last| last.elapsed() > RIPE)
    }

    /// The splats that were not looked at.
    pub fn splats(&self) -> Vec<Splat> {
        if !self.fresh.swap(false, Ordering::Relaxed) {
            return Vec::new();
        }
        let mut book = self.book.lock();
        let text = String::from_utf8_lossy(&book.text[book.seen..]).into_owned();
        book.seen = book.text.len();
        splats(text.lines())
    }

    /// The last lines, so many at most.
    pub fn last_lines(&self, most: usize) -> Vec<String> {
        let book = self.book.lock();
        let text = String::from_utf8_lossy(&book.text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(most)..].iter().map(|&line| line.to_owned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_splat_is_told_once_and_when_it_is_whole() {
        let book = LogBook::open(true);
        assert!(!book.is_ripe() && book.splats().is_empty());
        (0..FATAL).for_each(|_| book.look());
        let of_plant = |splat: &Splat| splat.function.as_deref() == Some("planted_by_mapstorm");
        assert_eq!(book.splats().iter().filter(|splat| of_plant(splat)).count(), 1);
        book.look();
        assert!(!book.splats().iter().any(of_plant));
        let lines = book.last_lines(1000);
        assert!(lines.iter().any(|line| line == PLANTED[0]), "{lines:?}");
    }
}
