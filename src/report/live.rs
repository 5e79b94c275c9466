//! One line while the storm goes on. Nothing in here allocates.

use crate::console::Line;
use crate::oracle::Tolerated;
use crate::storm::Live;
use std::fmt::Write;
use std::time::Duration;

/// How often a plain line is printed where there is no terminal.
pub const PLAIN_EVERY: Duration = Duration::from_secs(10);

/// Writes the line; numbers per second are over `since`, what was counted up to the line before.
pub fn live_line(line: &mut Line, live: &Live<'_>, since: &mut Option<(Duration, u64, u64)>) {
    line.clear();
    let counts = live.counts;
    let operations: u64 = counts.operations.iter().sum();
    let calls: u64 = counts.calls.iter().sum();
    let (then, old_operations, old_calls) = since.unwrap_or_default();
    let millis = (live.elapsed - then).as_millis().max(1) as u64;
    *since = Some((live.elapsed, operations, calls));
    let rate = |new: u64, old: u64| (new - old) * 1000 / millis;
    // What does not fit is cut off: the line is for the eye.
    let _ = write!(
        line,
        "{:>4} s  {} op/s  {} reads/s  {} lines checked  ",
        live.elapsed.as_secs(),
        rate(operations, old_operations),
        rate(calls, old_calls),
        counts.checked,
    );
    for kind in Tolerated::ALL {
        let _ = write!(line, "{} {}  ", kind.word(), counts.tolerated[kind as usize]);
    }
    let _ = write!(line, "undecided {}  ", counts.undecided);
    let (all, alarming) = live.violations;
    let _ = match (all, alarming) {
        (0, _) => write!(line, "no violation"),
        (all, alarming) if all == alarming => write!(line, "violations {all}"),
        (all, alarming) => write!(line, "violations {alarming}, allowed {}", all - alarming),
    };
    for (class, count) in live.by_class.iter().filter(|(_, count)| *count > 0) {
        let _ = write!(line, " {class} {count}");
    }
    let _ = write!(line, "  rss {} MiB", live.rss_bytes >> 20);
}
