//! What a case is read through, and where the page of output ends.

use crate::engine::Mode;
use crate::vocabulary::words;
use serde::{Deserialize, Serialize};
use strum::{IntoStaticStr, VariantArray};

/// What a case is read through.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[derive(VariantArray, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum Interface {
    /// maps from the bottom, a page a call, each where the one before ended.
    Read,
    /// maps from the middle on: pread where the descriptor did not stop.
    Pread,
    /// PROCMAP_QUERY.
    Query,
    /// The header lines of smaps, from the bottom.
    Smaps,
}

impl Interface {
    /// How the engine's readers do it.
    pub const fn mode(self) -> Mode {
        match self {
            Interface::Read => Mode::Walk,
            Interface::Pread => Mode::Pread,
            Interface::Query => Mode::Query,
            Interface::Smaps => Mode::Smaps,
        }
    }

    /// Whether there are pages of output.
    pub const fn has_pages(self) -> bool {
        !self.mode().is_query()
    }
}

/// Where the page of output ends.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[derive(VariantArray, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum Position {
    /// Nowhere near: all VMAs of the case on one page.
    Page,
    /// Just before the first VMA that changes.
    Before,
    /// Between two VMAs that change.
    Inside,
    /// Just after the last VMA that changes.
    After,
}

impl Position {
    /// The middle part of a test's name: all places of the boundary are one test.
    pub const fn group(self) -> &'static str {
        if matches!(self, Position::Page) { "page" } else { "boundary" }
    }
}

words!(Interface, "interface");
words!(Position, "place of the boundary");
