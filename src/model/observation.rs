//! What a reader saw, in the model's terms.

use super::page::Page;

/// What a reader saw: one line of maps or one answer of PROCMAP_QUERY.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Observation {
    /// First address.
    pub start: u64,
    /// One past the last address.
    pub end: u64,
    /// The first page as far as the line tells it; [`Page::FOREIGN`] for a mapping that no
    /// operation of the arena makes.
    pub page: Page,
}
