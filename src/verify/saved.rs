//! A walk with everything that is needed to judge it.

use crate::model::{Geometry, Observation};
use crate::oracle::{Contract, OPEN, Tick, Version, VersionRecord, Window};

/// What was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reading {
    /// Lines, upwards from an address; `None` where nothing is known of the position before the
    /// first line.
    Walk(Option<u64>),
    /// One PROCMAP_QUERY; its answer, if there was one, is the only line.
    Query {
        /// The address asked for.
        address: u64,
        /// Whether the next VMA above would do.
        or_next: bool,
    },
}

/// One line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SavedLine {
    /// What it shows; `None` when it does not parse.
    pub seen: Option<Observation>,
    /// The instants at which it may have been generated.
    pub window: Window,
    /// The call that generated it; `None` where that may have been either of two.
    pub call: Option<u32>,
    /// The line outside of the lanes that it is, by its number in [`SavedWalk::lasting`].
    pub lasting: Option<usize>,
}

/// A walk and the versions of the lanes it passed.
#[derive(Clone, Debug)]
pub struct SavedWalk {
    /// Where the lanes lie.
    pub geometry: Geometry,
    /// What makes an anomaly a violation.
    pub contract: Contract,
    /// What was read.
    pub reading: Reading,
    /// The first call's window.
    pub begin: Window,
    /// The lines in the order they were delivered.
    pub lines: Vec<SavedLine>,
    /// The window of the call that found the end of the file, if one did.
    pub end: Option<Window>,
    /// The windows of the calls, by number; for rules about whole calls.
    pub calls: Vec<Window>,
    /// First and last address of lines outside of the lanes that were the same before and after the
    /// walk, lowest first: they were there all the time.
    pub lasting: Vec<(u64, u64)>,
    /// Versions of the lanes, by lane, then by number. A lane has all versions that may have been
    /// seen from the first window to the last, or none: then nothing is known of it.
    pub versions: Vec<VersionRecord>,
}

/// Why a saved walk can't be judged at all.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what it is about")]
pub enum Flaw {
    #[error("window {}..{} ends before it begins", .0.from, .0.to)]
    Window(Window),
    #[error("the window of line {0} begins before that of the line before it")]
    Backwards(usize),
    #[error("version {version} of lane {lane} does not follow on from the one before it")]
    Gap { lane: u16, version: Version },
    #[error("version {version} of lane {lane} was closed before it was invoked")]
    Closed { lane: u16, version: Version },
    #[error("version {version} of lane {lane} does not fit the geometry")]
    Lane { lane: u16, version: Version },
    #[error("a query has one answer at most, not {0}")]
    Answers(usize),
    #[error("the lines outside of the arena do not follow each other, or reach into it")]
    Lasting,
    #[error("line {0} names a call that is not there")]
    Call(usize),
}

impl SavedWalk {
    /// Checks that the parts belong together.
    ///
    /// # Errors
    /// The first flaw found.
    pub fn check(&self) -> Result<(), Flaw> {
        let lines = self.lines.iter().map(|line| line.window);
        let windows = [self.begin].into_iter().chain(lines).chain(self.end);
        if let Some(window) = windows.clone().find(|window| window.from > window.to) {
            return Err(Flaw::Window(window));
        }
        let from: Vec<Tick> = windows.map(|window| window.from).collect();
        if let Some(at) = from.windows(2).position(|pair| pair[0] > pair[1]) {
            return Err(Flaw::Backwards(at));
        }
        if matches!(self.reading, Reading::Query { .. }) && self.lines.len() > 1 {
            return Err(Flaw::Answers(self.lines.len()));
        }
        let known = |call: Option<u32>| call.is_none_or(|call| (call as usize) < self.calls.len());
        if let Some(at) = self.lines.iter().position(|line| !known(line.call)) {
            return Err(Flaw::Call(at));
        }
        let (base, top) = (self.geometry.base, self.geometry.end());
        let outside = |&(start, end): &(u64, u64)| start < end && (end <= base || start >= top);
        let rising = self.lasting.is_sorted_by(|one, next| one.1 <= next.0);
        if !rising || !self.lasting.iter().all(outside) {
            return Err(Flaw::Lasting);
        }
        self.check_versions()
    }

    fn check_versions(&self) -> Result<(), Flaw> {
        for (i, record) in self.versions.iter().enumerate() {
            let &VersionRecord { lane, version, .. } = record;
            if lane >= self.geometry.lanes || record.layout().len() != self.geometry.pages as usize
            {
                return Err(Flaw::Lane { lane, version });
            }
            if record.closed < record.invoked {
                return Err(Flaw::Closed { lane, version });
            }
            let Some(before) = i.checked_sub(1).map(|i| &self.versions[i]) else {
                continue;
            };
            let follows = before.lane < lane
                || before.lane == lane
                    && before.version + 1 == version
                    && before.invoked <= record.invoked
                    && (before.closed == OPEN || before.closed <= record.closed);
            if !follows {
                return Err(Flaw::Gap { lane, version });
            }
        }
        Ok(())
    }
}
