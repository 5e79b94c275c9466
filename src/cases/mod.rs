//! The ten merges and splits of the series, the three scenarios of the kernel's selftest, and
//! some more, one by one: proved alone, raced, aimed at the end of a page of output, and judged.
//!
//! A case is data ([`TABLE`]); [`prove`] carries its operations out with no other thread
//! about, [`play`] races them on the storm's engine, and the rest says what was seen.

mod budget;
pub mod checks;
mod place;
mod play;
mod proof;
mod report;
mod table;
pub mod text;

pub use budget::Budget;
pub use place::{Interface, Position};
pub use play::{Around, AtOnce, play};
pub use proof::{Proof, Shown, prove};
pub use report::{CaseReport, CasesReport, Outcome, RunReport, Sum};
pub use table::{Foreseen, Spec, Step, TABLE, find};
