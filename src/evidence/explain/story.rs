//! What there is to tell of a tear.

use crate::count::counted;
use crate::evidence::{Again, Tear, TearError, again, lines};
use crate::kernel::parse;
use crate::model::{Geometry, Layout, Op};
use crate::oracle::{Break, OPEN, Tick, VersionRecord, Window};
use crate::verify::{Explained, Judgement, SavedWalk, What, judge};

/// Versions of the lane that are drawn at most.
const MOST_ROWS: usize = 24;

/// A tear, ready to be told.
pub struct Story {
    /// The file.
    pub tear: Tear,
    /// Where the first checker breaks, going through it again; `None` when it does not.
    pub again: Option<Again>,
    /// Which rule broke, and why there are no instants.
    pub sentence: String,
    /// The second checker's verdict in a sentence.
    pub verdict: String,
    /// The longest explanation that works: what was seen, and when it was true.
    pub explained: Vec<String>,
    /// The lines read around the break, with the borders between read calls.
    pub lines: Vec<String>,
    /// The lane that is drawn.
    pub lane: u16,
    /// Its versions, oldest first.
    pub rows: Vec<Row>,
    /// Earlier versions that are left out.
    pub left_out: usize,
    /// What the reader saw of the lane, in its order.
    pub seen: Vec<Seen>,
}

/// One version of the lane.
pub struct Row {
    /// The ticks between which it could be seen; [`OPEN`] for ever.
    pub ticks: (Tick, Tick),
    /// Its pages.
    pub layout: Layout,
    /// The operation that made it, and the worker that did it.
    pub made: Option<(Op, u16)>,
}

/// Something that the reader saw of the lane.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Seen {
    /// First page and one past the last.
    pub pages: (usize, usize),
    /// Whether it is a line; else nothing was reported there.
    pub line: bool,
    /// The page that was missing, where it broke.
    pub missing: Option<usize>,
    /// Whether this is what breaks.
    pub breaks: bool,
    /// The row that explains it; `None` for what has no explanation.
    pub row: Option<usize>,
    /// In words.
    pub words: String,
}

impl Story {
    /// What there is to tell.
    ///
    /// # Errors
    /// When the parts of the file do not belong together.
    pub fn of(tear: Tear) -> Result<Story, TearError> {
        let walk = tear.saved_walk()?;
        let judgement = judge(&walk)?;
        let again = again(&walk, &tear);
        let found = again.map(|again| again.found);
        let geometry = tear.geometry;
        let lane = lane_of(&walk, found.as_ref(), &geometry);
        let (explained, verdict) = told(&judgement);
        let (rows, left_out) = rows(&walk.versions, lane, found.as_ref());
        let sentence = match &found {
            Some(found) => crate::report::sentence(found, &geometry),
            None => "the first checker finds nothing wrong with it".into(),
        };
        Ok(Story {
            lines: lines_of(&tear, found.as_ref()),
            seen: seen(&walk, found.as_ref(), lane, explained, &rows),
            explained: explained.iter().map(|e| explained_words(e, &geometry)).collect(),
            sentence,
            verdict,
            again,
            lane,
            rows,
            left_out,
            tear,
        })
    }
}

fn told(judgement: &Judgement) -> (&[Explained], String) {
    match judgement {
        Judgement::Right(explained) => {
            (explained, "The second checker finds instants that explain all of it.".into())
        }
        Judgement::Undecided(explained) => {
            (explained, "The second checker lacks a layout that it would need.".into())
        }
        Judgement::Wrong(refutation) => (
            &refutation.explained,
            format!(
                "The second checker tried every choice of instants: {} seen can be \
                 explained, the next can not (\"{}\").",
                counted(refutation.explained.len(), "thing"),
                refutation.rule.promise()
            ),
        ),
    }
}

fn lane_of(walk: &SavedWalk, found: Option<&Break>, geometry: &Geometry) -> u16 {
    let address = found
        .and_then(|found| found.missing.or(found.observation.map(|seen| seen.start)).or(found.pos));
    match address.filter(|&address| geometry.contains(address)) {
        Some(address) => geometry.locate(address).0,
        None => walk.versions.last().map_or(0, |record| record.lane),
    }
}

fn explained_words(explained: &Explained, geometry: &Geometry) -> String {
    let place = |address: u64| crate::report::place(geometry, address);
    let what = match explained.what {
        What::Nothing { address } => format!("nothing at {}", place(address)),
        What::Line { seen, .. } => format!("line {:x}-{:x} {}", seen.start, seen.end, seen.page),
    };
    match explained.version {
        Some((lane, version)) => {
            format!("{what}: true at tick {}, lane {lane} version {version}", explained.instant)
        }
        None => format!("{what}: outside the lanes"),
    }
}

fn rows(records: &[VersionRecord], lane: u16, found: Option<&Break>) -> (Vec<Row>, usize) {
    let (from, to) = match found {
        Some(found) => (found.earliest.min(found.window.from), found.window.to),
        None => (0, OPEN),
    };
    let possible: Vec<&VersionRecord> = records
        .iter()
        .filter(|record| record.lane == lane && record.closed >= from && record.invoked < to)
        .collect();
    let left_out = possible.len().saturating_sub(MOST_ROWS);
    let row = |record: &&VersionRecord| Row {
        ticks: (record.invoked, record.closed),
        layout: record.layout(),
        made: record.origin.op.map(|op| (op, record.origin.worker)),
    };
    (possible[left_out..].iter().map(row).collect(), left_out)
}

/// What was seen of the lane, and the row that explains it.
fn seen(
    walk: &SavedWalk,
    found: Option<&Break>,
    lane: u16,
    explained: &[Explained],
    rows: &[Row],
) -> Vec<Seen> {
    let geometry = &walk.geometry;
    let row_at = |tick: Tick| {
        rows.iter()
            .rposition(|row| row.ticks.0 < tick && tick <= row.ticks.1)
            .or_else(|| rows.iter().position(|row| row.ticks.0 <= tick && tick <= row.ticks.1))
    };
    let (base, top) = (geometry.address(lane, 0), geometry.address(lane, geometry.pages as usize));
    let page = |address: u64| ((address.clamp(base, top) - base) >> geometry.page_shift) as usize;
    let mut all: Vec<Seen> = Vec::new();
    for explained in explained {
        let row = row_at(explained.instant);
        match explained.what {
            What::Nothing { address } if (base..top).contains(&address) => {
                let at = page(address);
                if let Some(last) =
                    all.last_mut().filter(|s| !s.line && s.row == row && s.pages.1 == at)
                {
                    last.pages.1 = at + 1;
                    continue;
                }
                let words = "nothing reported, and nothing was there".to_owned();
                all.push(Seen {
                    pages: (at, at + 1),
                    line: false,
                    missing: None,
                    breaks: false,
                    row,
                    words,
                });
            }
            What::Line { seen, .. } if seen.start < top && seen.end > base => all.push(Seen {
                pages: (page(seen.start), page(seen.end)),
                line: true,
                missing: None,
                breaks: false,
                row,
                words: format!("line {:x}-{:x} {}", seen.start, seen.end, seen.page),
            }),
            _ => {}
        }
    }
    let Some(found) = found else { return all };
    if let Some(missing) = found.missing {
        let pages = (page(missing), page(found.gap_end.unwrap_or(top)).max(page(missing) + 1));
        let words =
            format!("nothing reported, though {missing:#x} was mapped at every instant left");
        let missing = Some(page(missing));
        all.push(Seen { pages, line: false, missing, breaks: true, row: None, words });
    }
    if let Some(seen) = found.observation.filter(|seen| seen.start < top && seen.end > base) {
        let breaks = found.missing.is_none();
        let words = format!("line {:x}-{:x} {}", seen.start, seen.end, seen.page);
        let pages = (page(seen.start), page(seen.end));
        all.push(Seen { pages, line: true, missing: None, breaks, row: None, words });
    }
    all
}

/// What should be there in place of the line that breaks, or before it.
fn lacking(tear: &Tear, found: &Break) -> Option<String> {
    let here = |start: u64, end: u64| {
        let lines = tear.outside.iter().map(|line| &line.0[..]);
        let mut lines = lines.filter_map(|text| Some((parse(text).ok()?, text)));
        let (_, text) = lines.find(|(line, _)| line.start < end && start < line.end)?;
        Some(String::from_utf8_lossy(text).trim_end().to_owned())
    };
    match (found.missing, found.observation) {
        (Some(missing), _) => Some(match here(missing, missing + 1) {
            Some(text) => format!(">> missing, and there before and after: {text}"),
            None => format!(">> nothing for {}", crate::report::place(&tear.geometry, missing)),
        }),
        (None, Some(seen)) => here(seen.start, seen.end)
            .map(|text| format!(">> in its place, before and after: {text}")),
        (None, None) => None,
    }
}

/// The lines around the break, with the borders of the calls.
fn lines_of(tear: &Tear, found: Option<&Break>) -> Vec<String> {
    let border =
        |window: Window, what: String| format!("-- {what} [{}, {}]", window.from, window.to);
    let text = tear.text();
    let all = lines(tear, &text);
    let mut told = Vec::new();
    if let Some(asked) = tear.query {
        let flag = if asked.or_next { "covering or next" } else { "covering" };
        let what = format!("PROCMAP_QUERY of {:#x}, {flag}", asked.address);
        told.extend(tear.calls.first().map(|call| border(call.window, what)));
        if all.is_empty() {
            told.push("   ENOENT: no vma".into());
        }
    }
    let last = all.iter().rposition(|line| line.to <= tear.piece.to).unwrap_or(0);
    let (low, high) = (last.saturating_sub(4), (last + 4).min(all.len()));
    let mut call = None;
    for (number, line) in all.iter().enumerate().take(high).skip(low) {
        if tear.query.is_none() && call.replace(line.call) != Some(line.call) {
            let from = &tear.calls[line.call];
            let got = from.text.0.len();
            let what =
                format!("pread of {} bytes at offset {} gave {got}", from.asked, from.offset);
            told.push(border(from.window, what));
        }
        let breaks = number == last && !tear.piece.end;
        if breaks {
            told.extend(found.and_then(|found| lacking(tear, found)));
        }
        let mark = if breaks { "  << here" } else { "" };
        told.push(format!("   {}{mark}", String::from_utf8_lossy(line.text).trim_end()));
    }
    if tear.piece.end {
        told.extend(found.and_then(|found| lacking(tear, found)));
        told.push("   (end of file)  << here".into());
    }
    told
}
