//! What there is to tell of a violation that no reader found.

use super::stall::{self, StallStory};
use crate::count::counted;
use crate::evidence::{Account, SavedIncident, SavedMismatch, Shown, TearError};
use crate::model::{Geometry, Page, Vma};
use crate::oracle::Tick;
use crate::report::place;
use crate::verify::{Run, Unlike};

/// The operations of a lane that are told at most; the last ones matter.
const MOST_OPERATIONS: usize = 8;
/// Lines shown before and after the first that differs.
const AROUND: usize = 4;

/// An incident, ready to be told.
pub struct IncidentStory {
    /// The file.
    pub incident: SavedIncident,
    /// What happened, in a sentence.
    pub sentence: String,
    /// What `verify` makes of it, in a sentence.
    pub verdict: String,
    /// What there is to see.
    pub told: Told,
}

/// What there is to see.
pub enum Told {
    /// Of a mismatch: the lanes that differ.
    Lanes(Vec<Lane>),
    /// Of a stall.
    Stall(StallStory),
}

/// A lane that differs.
pub struct Lane {
    /// Its number.
    pub lane: u16,
    /// The oracle's VMAs.
    pub expected: Vec<Vma>,
    /// Those that maps shows.
    pub read: Vec<Vma>,
    /// Both beside each other: the oracle's, and what maps shows; the first pair that differs is
    /// marked.
    pub beside: Vec<String>,
    /// The lines of maps around the first that differs.
    pub lines: Vec<String>,
    /// The last operations, in order.
    pub operations: Vec<String>,
}

impl IncidentStory {
    /// What there is to tell.
    ///
    /// # Errors
    /// When the parts of the file can't be read.
    pub fn of(incident: SavedIncident) -> Result<IncidentStory, TearError> {
        let shown = incident.examine()?;
        let (sentence, verdict, told) = match &incident.account {
            Account::Mismatch(mismatch) => {
                let unlike = incident.unlike(mismatch)?;
                let verdict = match &shown {
                    Shown::Mismatch(_) => "Read anew and compared page by page, it is so.".into(),
                    Shown::Other { is, .. } => format!("What is in the file is another: {is}."),
                    _ => "What is in the file shows no difference.".into(),
                };
                let lane = |unlike: &Unlike| Lane::new(unlike, mismatch, &incident.geometry);
                let lanes = Told::Lanes(unlike.iter().map(lane).collect());
                (differs(&incident, mismatch, &unlike), verdict, lanes)
            }
            Account::Splat(splat) => {
                let verdict = match shown {
                    Shown::Splat => {
                        "A kernel says such a thing when it finds something wrong with itself. \
                                     No file can prove that this one said it."
                    }
                    _ => "The account does not suffice.",
                };
                (
                    stall::said(splat, &incident),
                    verdict.to_owned(),
                    Told::Stall(StallStory::of(splat)),
                )
            }
            Account::Stall(stall) => {
                let verdict = match shown {
                    Shown::Stall => "The account agrees with itself. It is a witness's: no file \
                         can prove that time passed."
                        .to_owned(),
                    Shown::Doubtful(why) => format!("The account does not suffice: {why}."),
                    _ => "The account goes by another name.".into(),
                };
                {
                    let story = StallStory::new(stall, &incident);
                    (stall::sentence(stall, &incident), verdict, Told::Stall(story))
                }
            }
        };
        Ok(IncidentStory { sentence, verdict, told, incident })
    }
}

pub(super) fn seconds(ns: u64) -> String {
    format!("{:.3} s", ns as f64 / 1e9)
}

fn differs(incident: &SavedIncident, mismatch: &SavedMismatch, unlike: &[Unlike]) -> String {
    let when: String = match mismatch.standstill {
        0 => {
            "At calibration, before the storm, one thread did one operation after the other".into()
        }
        standstill => format!(
            "At standstill {standstill}, {} after the storm began, nothing moved",
            seconds(incident.found_ns)
        ),
    };
    let Some(first) = unlike.first() else {
        return format!("{when}, and maps showed what the oracle has.");
    };
    let at =
        |run: &Run| place(&incident.geometry, incident.geometry.address(first.lane, run.start));
    let what = match first.first() {
        (Some(expected), None) => {
            format!("{expected} at {} is missing, the last of its lane", at(expected))
        }
        (None, Some(read)) => format!("maps shows {read} at {}, where nothing is", at(read)),
        (Some(expected), Some(read)) => {
            format!("at {} there should be {expected}, and maps goes on with {read}", at(expected))
        }
        (None, None) => "they differ nowhere".into(),
    };
    format!(
        "{when}, and maps did not show what the oracle has in {} of the arena's {}. The first \
         vma that differs is in lane {}: {what}.",
        unlike.len(),
        counted(incident.geometry.lanes, "lane"),
        first.lane,
    )
}

/// A run as a VMA; its words are those that a page prints as.
fn vma(run: &Run) -> Vma {
    Vma { start: run.start, end: run.end, page: run.page.parse().unwrap_or(Page::FOREIGN) }
}

impl Lane {
    fn new(unlike: &Unlike, mismatch: &SavedMismatch, geometry: &Geometry) -> Lane {
        let saved = mismatch.lanes.iter().find(|saved| saved.lane == unlike.lane);
        let made = saved.map_or(&[][..], |saved| &saved.versions);
        let operation = |(invoked, worker, op): (Tick, u16, String)| {
            format!("{invoked:>8}  worker {worker}: {op}")
        };
        let operations: Vec<String> = made
            .iter()
            .filter_map(|made| Some((made.invoked, made.worker, made.op?.to_string())))
            .map(operation)
            .collect();
        let skipped = operations.len().saturating_sub(MOST_OPERATIONS);
        Lane {
            lane: unlike.lane,
            expected: unlike.expected.iter().map(vma).collect(),
            read: unlike.read.iter().map(vma).collect(),
            beside: beside(unlike),
            lines: lines(unlike, mismatch, geometry),
            operations: operations[skipped..].to_vec(),
        }
    }
}

/// The runs of both sides, in one line where they begin at the same page.
fn beside(unlike: &Unlike) -> Vec<String> {
    let words = |run: Option<&Run>| run.map_or(String::new(), Run::to_string);
    let width = unlike.expected.iter().map(|run| run.to_string().len()).max().unwrap_or(0).max(10);
    let mut beside = vec![format!("{:width$}  maps", "the oracle")];
    let (mut expected, mut read) =
        (unlike.expected.iter().peekable(), unlike.read.iter().peekable());
    let mut same = true;
    while expected.peek().is_some() || read.peek().is_some() {
        let (low, high) = (
            expected.peek().map_or(usize::MAX, |run| run.start),
            read.peek().map_or(usize::MAX, |run| run.start),
        );
        let left = expected.next_if(|_| low <= high);
        let right = read.next_if(|_| high <= low);
        let first = same && left != right;
        same &= left == right;
        let mark = if first { "  << here" } else { "" };
        let (left, right) = (words(left), words(right));
        beside.push(format!("{left:width$}  {right}{mark}"));
    }
    beside
}

/// The lane's lines around the first that differs, or around the place where one is missing.
fn lines(unlike: &Unlike, mismatch: &SavedMismatch, geometry: &Geometry) -> Vec<String> {
    let range =
        geometry.address(unlike.lane, 0)..geometry.address(unlike.lane, geometry.pages as usize);
    let of_lane = |line: &&crate::evidence::RawText| {
        let text = line.0.split(|&byte| byte == b'-').next();
        let start = text.and_then(|text| str::from_utf8(text).ok());
        let start = start.and_then(|text| u64::from_str_radix(text, 16).ok());
        start.is_some_and(|start| range.contains(&start))
    };
    let all = mismatch.lines.iter().filter(of_lane);
    let mut told: Vec<String> =
        all.map(|line| format!("   {}", String::from_utf8_lossy(&line.0).trim_end())).collect();
    // Each line is a run: the first that differs is the line of the same number.
    let at = unlike.expected.iter().zip(&unlike.read).take_while(|(a, b)| a == b).count();
    let (expected, read) = unlike.first();
    if let (Some(_), Some(line)) = (read, told.get_mut(at)) {
        *line += "  << here";
    }
    let missing = expected.filter(|missing| read.is_none_or(|read| missing.start < read.start));
    if let Some(missing) = missing {
        let address = geometry.address(unlike.lane, missing.start);
        told.insert(at.min(told.len()), format!(">> nothing for {}", place(geometry, address)));
    }
    told.truncate(at + AROUND + 2);
    told.drain(..at.saturating_sub(AROUND).min(told.len()));
    told
}
