//! Pages of a lane that follow each other, and the lane they lie in.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Some neighbouring pages of a lane: `start..start + len`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Span {
    /// First page.
    pub start: u8,
    /// Number of pages, at least 1.
    pub len: u8,
}

impl Span {
    /// The pages `start..end`.
    pub const fn new(start: usize, end: usize) -> Span {
        debug_assert!(start < end && end <= super::MAX_PAGES);
        Span { start: start as u8, len: (end - start) as u8 }
    }

    /// First page.
    pub const fn start(self) -> usize {
        self.start as usize
    }

    /// One past the last page.
    pub const fn end(self) -> usize {
        self.start as usize + self.len as usize
    }

    /// The pages as indices.
    pub const fn range(self) -> std::ops::Range<usize> {
        self.start()..self.end()
    }

    /// The pages as a mask.
    pub const fn mask(self) -> u64 {
        super::span_mask(self.start(), self.end())
    }

    /// Whether the two share a page.
    pub const fn overlaps(self, other: Span) -> bool {
        self.start() < other.end() && other.start() < self.end()
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.start(), self.end())
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A span of a certain lane.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(from = "PlaceFields", into = "PlaceFields")]
pub struct Place {
    /// The lane's number, lowest address first.
    pub lane: u16,
    /// The pages in it.
    pub span: Span,
}

/// A place as it is written in files. serde can't refuse unknown fields of a flattened struct, so
/// the fields of the span are named here once more.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PlaceFields {
    lane: u16,
    start: u8,
    len: u8,
}

impl From<PlaceFields> for Place {
    fn from(PlaceFields { lane, start, len }: PlaceFields) -> Place {
        Place { lane, span: Span { start, len } }
    }
}

impl From<Place> for PlaceFields {
    fn from(Place { lane, span: Span { start, len } }: Place) -> PlaceFields {
        PlaceFields { lane, start, len }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "lane {} pages {}", self.lane, self.span)
    }
}
