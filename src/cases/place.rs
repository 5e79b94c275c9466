//! What a case is read through, and where the page of output ends.

use crate::engine::Mode;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// What a case is read through.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
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
    /// All of them.
    pub const ALL: [Interface; 4] =
        [Interface::Read, Interface::Pread, Interface::Query, Interface::Smaps];

    /// The word `--interface` takes.
    pub const fn word(self) -> &'static str {
        match self {
            Interface::Read => "read",
            Interface::Pread => "pread",
            Interface::Query => "query",
            Interface::Smaps => "smaps",
        }
    }

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
    /// All of them.
    pub const ALL: [Position; 4] =
        [Position::Page, Position::Before, Position::Inside, Position::After];

    /// The word `--boundary` takes.
    pub const fn word(self) -> &'static str {
        match self {
            Position::Page => "page",
            Position::Before => "before",
            Position::Inside => "inside",
            Position::After => "after",
        }
    }

    /// The middle part of a test's name: all places of the boundary are one test.
    pub const fn group(self) -> &'static str {
        if matches!(self, Position::Page) { "page" } else { "boundary" }
    }
}

macro_rules! by_word {
    ($type:ty, $what:literal) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.word())
            }
        }

        impl FromStr for $type {
            type Err = String;

            fn from_str(word: &str) -> Result<$type, String> {
                <$type>::ALL.into_iter().find(|one| one.word() == word).ok_or_else(|| {
                    let known: Vec<&str> = <$type>::ALL.iter().map(|one| one.word()).collect();
                    crate::vocabulary::unknown($what, word, &known)
                })
            }
        }
    };
}

by_word!(Interface, "interface");
by_word!(Position, "place of the boundary");
