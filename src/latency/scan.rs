//! What goes on beside the mapper: scanners, stand-ins that read nothing, busy threads.

use super::clock::now_ns;
use super::heartbeat::Heartbeat;
use super::plan::Reader;
use crate::kernel::{Answer, MapsFile, MapsRead, QueryFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Bytes a scanner asks for in one read, as cat(1) does. The kernel gives at most a page or so.
const BUFFER: usize = 128 << 10;

/// What one answer of PROCMAP_QUERY counts as: `struct procmap_query`.
const ANSWER: usize = 104;

/// One system call of a scan.
pub trait Scan: Send {
    /// Makes it.
    ///
    /// # Errors
    /// What the call gave; EINTR is worth another try.
    fn step(&mut self) -> Result<Step, Errno>;
}

/// What a step brought.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// This many bytes, and there may be more.
    More(usize),
    /// The end; the next step begins a new scan.
    End,
    /// Nothing is read here.
    Idle,
}

/// What one scanner did in one sample.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scanned {
    /// Scans from end to end.
    pub scans: u64,
    /// System calls, those of an unfinished scan included.
    pub calls: u64,
    /// Bytes read; 104 for each answer of PROCMAP_QUERY.
    pub bytes: u64,
    /// The longest scan from end to end.
    pub longest_scan_ns: u64,
}

/// The scan that `reader` stands for; `None` where there is no thread beside the mapper.
///
/// # Errors
/// What open(2) gave.
pub fn scan_of(reader: &Reader) -> Result<Option<Box<dyn Scan>>, Errno> {
    Ok(match reader {
        Reader::None => None,
        Reader::Idle => Some(Box::new(Idle)),
        Reader::File(name) => Some(Box::new(FileScan {
            file: MapsFile::open(&format!("/proc/self/{name}"))?,
            buffer: vec![0; BUFFER].into_boxed_slice(),
            offset: 0,
        })),
        Reader::Query => Some(Box::new(QueryScan {
            file: MapsFile::own()?,
            answers: (Answer::default(), Answer::nameless()),
            address: 0,
        })),
    })
}

/// Spins and reads nothing.
struct Idle;

impl Scan for Idle {
    fn step(&mut self) -> Result<Step, Errno> {
        // About as long as a short system call.
        for _ in 0..100 {
            std::hint::spin_loop();
        }
        Ok(Step::Idle)
    }
}

/// Reads a file to its end, then from its start.
struct FileScan {
    file: MapsFile,
    buffer: Box<[u8]>,
    offset: u64,
}

impl Scan for FileScan {
    fn step(&mut self) -> Result<Step, Errno> {
        let bytes = self.file.pread(&mut self.buffer, self.offset)?;
        if bytes == 0 {
            self.offset = 0;
            return Ok(Step::End);
        }
        self.offset += bytes as u64;
        Ok(Step::More(bytes))
    }
}

/// Asks for one VMA after another.
struct QueryScan {
    file: MapsFile,
    /// The second for a VMA with a name that the first has no room for.
    answers: (Answer, Answer),
    address: u64,
}

impl Scan for QueryScan {
    fn step(&mut self) -> Result<Step, Errno> {
        let (file, address, flags) = (&mut self.file, self.address, QueryFlags::CoveringOrNext);
        let (named, nameless) = &mut self.answers;
        let found = match file.query(address, flags, named) {
            Err(Errno::NAMETOOLONG) => file.query(address, flags, nameless)?,
            answered => answered?,
        };
        Ok(match found {
            Some(line) => {
                self.address = line.end;
                Step::More(ANSWER)
            }
            None => {
                self.address = 0;
                Step::End
            }
        })
    }
}

/// Steps of a first scan: enough for any maps file to be read whole, and few enough that a file
/// without end does not hold up the run.
const FIRST: usize = 1024;

/// A first scan, to its end or for [`FIRST`] steps; an idle one takes one step.
///
/// # Errors
/// What a step gave.
pub fn once(scan: &mut dyn Scan, heartbeat: &Heartbeat) -> Result<(), Errno> {
    for _ in 0..FIRST {
        match watched(scan, heartbeat)? {
            Step::More(_) => {}
            Step::End | Step::Idle => break,
        }
    }
    Ok(())
}

/// Scans over and over until `halt`. Allocates nothing.
///
/// # Errors
/// What a step gave.
pub fn over_and_over(
    scan: &mut dyn Scan,
    heartbeat: &Heartbeat,
    halt: &AtomicBool,
) -> Result<Scanned, Errno> {
    let mut scanned = Scanned::default();
    let mut began = now_ns();
    // Relaxed: the flag says only that it is time to end; what it ends is handed over by joining.
    while !halt.load(Ordering::Relaxed) {
        match watched(scan, heartbeat)? {
            Step::Idle => continue,
            Step::More(bytes) => scanned.bytes += bytes as u64,
            Step::End => {
                let now = now_ns();
                scanned.scans += 1;
                scanned.longest_scan_ns = scanned.longest_scan_ns.max(now - began);
                began = now;
            }
        }
        scanned.calls += 1;
    }
    Ok(scanned)
}

/// A step, shown in `heartbeat`, tried again when a signal interrupted it.
fn watched(scan: &mut dyn Scan, heartbeat: &Heartbeat) -> Result<Step, Errno> {
    loop {
        heartbeat.enter();
        let step = scan.step();
        heartbeat.leave();
        if step != Err(Errno::INTR) {
            return step;
        }
    }
}

/// Spins for `spin`, sleeps a millisecond, until `halt`.
pub fn busy(spin: Duration, halt: &AtomicBool) {
    let spin = spin.as_nanos() as u64;
    // Relaxed: as in `over_and_over`, here and below.
    while !halt.load(Ordering::Relaxed) {
        let end = now_ns() + spin;
        while now_ns() < end && !halt.load(Ordering::Relaxed) {
            std::hint::spin_loop();
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `More` a given number of times, then `End`; halts after a number of steps.
    struct Scripted<'a> {
        steps: u32,
        per_scan: u32,
        halt_after: u32,
        halt: &'a AtomicBool,
    }

    impl Scan for Scripted<'_> {
        fn step(&mut self) -> Result<Step, Errno> {
            self.steps += 1;
            if self.steps == self.halt_after {
                self.halt.store(true, Ordering::Relaxed);
            }
            if self.steps.is_multiple_of(5) {
                return Err(Errno::INTR);
            }
            Ok(match (self.steps - self.steps / 5) % self.per_scan {
                0 => Step::End,
                _ => Step::More(10),
            })
        }
    }

    #[test]
    fn whole_scans_and_bytes_are_counted() {
        let halt = AtomicBool::new(false);
        let mut scan = Scripted { steps: 0, per_scan: 4, halt_after: 49, halt: &halt };
        let heartbeat = Heartbeat::default();
        let scanned = over_and_over(&mut scan, &heartbeat, &halt).unwrap();
        // 49 steps, 9 of them interrupted: 40 count, every fourth ends a scan.
        assert_eq!((scanned.calls, scanned.scans, scanned.bytes), (40, 10, 300));
        assert_eq!((heartbeat.completed(), heartbeat.beats()), (49, 98));
    }

    #[test]
    fn a_first_scan_ends_with_the_file_or_when_it_has_no_end() {
        let halt = AtomicBool::new(false);
        let completed = |per_scan| {
            let heartbeat = Heartbeat::default();
            let mut scan = Scripted { steps: 0, per_scan, halt_after: 0, halt: &halt };
            once(&mut scan, &heartbeat).unwrap();
            heartbeat.completed()
        };
        // Every fifth step is interrupted and tried again.
        assert_eq!(completed(4), 4);
        assert_eq!(completed(u32::MAX), 1024 + 1024 / 4 - 1);
    }

    #[test]
    fn maps_are_read_whole() {
        let mut scan = scan_of(&Reader::File("maps".into())).unwrap().unwrap();
        let (mut bytes, mut steps) = (0, 0);
        while let Step::More(read) = scan.step().unwrap() {
            (bytes, steps) = (bytes + read, steps + 1);
        }
        assert!(steps >= 1 && bytes > 1000, "{steps} {bytes}");
        assert!(matches!(scan.step(), Ok(Step::More(_))), "starts again");
    }

    #[test]
    fn what_is_not_there_is_not_found() {
        let opened = scan_of(&Reader::File("no_such_file".into())).err();
        assert_eq!(opened, Some(Errno::NOENT));
        assert!(scan_of(&Reader::None).unwrap().is_none());
    }
}
