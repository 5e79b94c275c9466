//! One line while the storm goes on. Nothing in here allocates.

use crate::console::Line;
use crate::engine::Live;
use crate::oracle::Tolerated;
use std::fmt::{self, Write};
use std::time::Duration;

/// How often a plain line is printed where there is no terminal.
pub const PLAIN_EVERY: Duration = Duration::from_secs(10);

/// Writes as much of the line as `columns` take, in whole parts, what matters most first; numbers per
/// second are over `since`, what was counted up to the line before.
pub fn live_line(
    line: &mut Line,
    columns: usize,
    live: &Live<'_>,
    since: &mut Option<(Duration, u64, u64)>,
) {
    line.clear();
    let counts = live.counts;
    let operations: u64 = counts.operations.iter().sum();
    let calls: u64 = counts.calls.iter().sum();
    let (then, old_operations, old_calls) = since.unwrap_or_default();
    let millis = (live.elapsed - then).as_millis().max(1) as u64;
    *since = Some((live.elapsed, operations, calls));
    let rate = |new: u64, old: u64| (new - old) * 1000 / millis;
    let mut parts = Parts { line, columns, full: false };
    parts.add(format_args!("{:>4} s", live.elapsed.as_secs()));
    match live.violations {
        (0, _) => parts.add(format_args!("no violation")),
        (all, alarming) if all == alarming => parts.add(format_args!("violations {all}")),
        (all, alarming) => {
            parts.add(format_args!("violations {alarming}, allowed {}", all - alarming));
        }
    }
    for (class, count) in live.by_class.iter().filter(|(_, count)| *count > 0) {
        parts.add(format_args!("{class} {count}"));
    }
    parts.add(format_args!("{} op/s", rate(operations, old_operations)));
    parts.add(format_args!("{} reads/s", rate(calls, old_calls)));
    parts.add(format_args!("{} lines checked", counts.checked));
    parts.add(format_args!("undecided {}", counts.undecided));
    for kind in Tolerated::ALL {
        parts.add(format_args!("{} {}", kind.word(), counts.tolerated(kind)));
    }
    parts.add(format_args!("rss {} MiB", live.rss_bytes >> 20));
}

/// A line under way.
struct Parts<'a> {
    line: &'a mut Line,
    columns: usize,
    /// Whether a part did not fit; those behind it are left out, too, so that each keeps its place.
    full: bool,
}

impl Parts<'_> {
    fn add(&mut self, part: fmt::Arguments<'_>) {
        let before = self.line.len();
        let between = if before == 0 { "" } else { "  " };
        let written = write!(self.line, "{between}{part}");
        self.full |= written.is_err() || self.line.len() > self.columns;
        if self.full {
            self.line.truncate(before);
        }
    }
}
