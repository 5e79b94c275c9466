//! The second checker: decides one saved walk by trying every choice of instants.
//!
//! Written to be obviously right and not to be fast, and sharing nothing with the first but plain
//! data. It plays the walk as a game with three moves: time passes to the next instant, an
//! operation under way takes effect, the reader sees the next thing. All states that any sequence
//! of moves can reach are kept; the walk is wrong when none is left.
//!
//! [`compare`] does the same for what was read at a standstill, where there is but one instant.

mod event;
mod game;
mod instant;
mod judge;
mod saved;
mod standstill;

pub use event::What;
pub use judge::{Explained, Judgement, Refutation, judge};
pub use saved::{Flaw, Reading, SavedLine, SavedWalk};
pub use standstill::{Memfd, Run, SavedStandstill, StandstillFlaw, Unlike, compare};
