//! From the raw bytes of a saved tear to the lines that were judged.
//!
//! Everything is parsed anew. Nothing is used that was computed when the tear was saved.

use super::file::TearError;
use super::tear::Tear;
use super::text::RawText;
use crate::engine::Mode;
use crate::kernel::{Identities, Lines, is_detail, parse};
use crate::oracle::{Contract, Rule, VersionRecord, Window};
use crate::verify::{Reading, SavedLine, SavedWalk};

/// One line of the text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RawLine<'a> {
    /// Its bytes without the newline.
    pub text: &'a [u8],
    /// Where its first byte is in the text of all calls.
    pub from: usize,
    /// One past its newline.
    pub to: usize,
    /// The call that delivered its first byte.
    pub call: usize,
    /// Whether it may have been made in the call before that.
    pub doubtful: bool,
    /// Whether it ends with a newline.
    pub whole: bool,
}

/// The lines of `text`, the text of all calls. Of a walk that began in mid-file, the part before
/// its first newline is left out.
pub fn lines<'a>(tear: &Tear, text: &'a [u8]) -> Vec<RawLine<'a>> {
    let starts: Vec<usize> = tear
        .calls
        .iter()
        .scan(0, |at, call| {
            let start = *at;
            *at += call.text.0.len();
            Some(start)
        })
        .collect();
    let mut from = 0;
    let mid_file = tear.query.is_none() && tear.calls.first().is_some_and(|call| call.offset != 0);
    if mid_file {
        from = memchr::memchr(b'\n', text).map_or(text.len(), |at| at + 1);
    }
    let mut lines = Vec::new();
    while from < text.len() {
        let newline = memchr::memchr(b'\n', &text[from..]).map(|at| from + at);
        let end = newline.unwrap_or(text.len());
        let to = newline.map_or(end, |at| at + 1);
        // Calls that delivered nothing begin where the next one does.
        let call = starts.partition_point(|&start| start <= from) - 1;
        let doubtful = call > 0 && starts[call] == from && tear.calls[call].kept;
        let line =
            RawLine { text: &text[from..end], from, to, call, doubtful, whole: newline.is_some() };
        let details = tear.mode.is_some_and(Mode::has_details);
        if !(details && is_detail(line.text)) {
            lines.push(line);
        }
        from = to;
    }
    lines
}

impl Tear {
    /// What tells the arena's mappings from others.
    pub fn identities(&self) -> Identities {
        let files = self.files.iter().map(super::tear::SavedFile::identity).collect();
        Identities::new(self.geometry.page_shift, files)
    }

    /// The versions of the lanes, by lane and then by number.
    ///
    /// # Errors
    /// A layout that does not parse.
    pub fn records(&self) -> Result<Vec<VersionRecord>, TearError> {
        let mut records = Vec::new();
        for lane in &self.lanes {
            let own = lane.records(self.geometry.pages);
            records.extend(own.map_err(|why| TearError::Layout { lane: lane.lane, why })?);
        }
        Ok(records)
    }

    /// The window of a line.
    pub fn window(&self, line: &RawLine<'_>) -> Window {
        let own = self.calls[line.call].window;
        match line.doubtful {
            true => Window { from: self.calls[line.call - 1].window.from, ..own },
            false => own,
        }
    }

    /// The piece that was judged, for the second checker.
    ///
    /// # Errors
    /// When the parts of the file do not belong together.
    pub fn saved_walk(&self) -> Result<SavedWalk, TearError> {
        let text = self.text();
        let all = lines(self, &text);
        let (from, to) = (self.piece.from, self.piece.to);
        if from > to || to > text.len() {
            return Err(TearError::Piece);
        }
        let first_call = self.calls.first().ok_or(TearError::NoCalls)?;
        let before = all.iter().rfind(|line| line.to <= from);
        if from > 0 && before.is_none_or(|line| line.to != from) {
            return Err(TearError::Piece);
        }
        let begin = before.map_or(first_call.window, |line| self.window(line));
        let reading = match self.query {
            Some(asked) => Reading::Query { address: asked.address, or_next: asked.or_next },
            None if from == 0 => Reading::Walk((first_call.offset == 0).then_some(0)),
            None => {
                let after = before.filter(|_| self.piece.after).and_then(|l| parse(l.text).ok());
                Reading::Walk(after.map(|line| line.end))
            }
        };
        let identities = self.identities();
        let judged = all.iter().filter(|line| line.from >= from && line.to <= to);
        let lasting = self.lasting()?;
        let lines: Vec<SavedLine> =
            judged.map(|line| self.judged(line, &identities, &lasting)).collect();
        let last = self.calls.last().ok_or(TearError::NoCalls)?;
        Ok(SavedWalk {
            geometry: self.geometry,
            contract: self.judged_by(),
            reading,
            begin,
            end: (self.piece.end && self.query.is_none()).then_some(last.window),
            lines,
            calls: self.calls.iter().map(|call| call.window).collect(),
            lasting,
            versions: self.records()?,
        })
    }

    /// The weakest contract that what was found breaks: what only a stricter one forbids is let
    /// pass up to there.
    fn judged_by(&self) -> Contract {
        match self.found.rule {
            Rule::NeverBack => Contract::Documented,
            Rule::OneInstant => Contract::Snapshot,
            _ => Contract::Series,
        }
    }

    /// The addresses of the lines outside of the arena that were there all the time.
    fn lasting(&self) -> Result<Vec<(u64, u64)>, TearError> {
        let range = |RawText(text): &RawText| {
            let line = parse(text).map_err(|_| TearError::Outside)?;
            Ok((line.start, line.end))
        };
        self.outside.iter().map(range).collect()
    }

    /// Which of the lines outside of the arena this one at `range` is. Of one that came in several
    /// calls, the part that was kept of both is compared; an answer has no text.
    fn lasting_line(
        &self,
        line: &RawLine<'_>,
        range: (u64, u64),
        lasting: &[(u64, u64)],
    ) -> Option<usize> {
        let number = lasting.iter().position(|known| *known == range)?;
        let RawText(known) = &self.outside[number];
        let kept = |text: &[u8]| text.len().min(Lines::HEAD);
        let same = known[..kept(known)] == line.text[..kept(line.text)];
        (same || self.query.is_some()).then_some(number)
    }

    fn judged(
        &self,
        line: &RawLine<'_>,
        identities: &Identities,
        lasting: &[(u64, u64)],
    ) -> SavedLine {
        let parsed = parse(line.text).ok().filter(|_| line.whole);
        let seen = parsed.map(|parsed| identities.sight_in(&parsed, &self.geometry));
        let call = (!line.doubtful).then_some(line.call as u32);
        let lasting =
            seen.and_then(|seen| self.lasting_line(line, (seen.start, seen.end), lasting));
        SavedLine { seen, window: self.window(line), call, lasting }
    }
}
