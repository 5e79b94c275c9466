//! One run as data, and its writers.
//!
//! Nothing in here measures or judges. [`StormReport`] is what a run was; [`text`], JSON (through
//! serde) and [`live`] say it.

pub mod checks;
mod data;
mod example;
mod first_tears;
mod format;
mod gather;
pub mod json;
pub mod junit;
pub mod ktap;
pub mod live;
mod overlap;
mod screen;
mod storm_checks;
mod table;
pub mod text;
mod verdict;

pub use data::{
    Ending, FailedAtLimit, KeptExample, Operations, Reads, Score, Standstills, StormReport,
    Violation, WorkloadCount,
};
pub use example::example_text;
pub(crate) use example::{place, sentence};
pub use first_tears::{FirstTears, Row};
pub use format::{Format, Report};
pub use gather::{Circumstances, merge_rules};
pub(crate) use gather::{FEWEST_CHECKED, MOST_UNDECIDED_PER_MILLE};
pub use overlap::OverlapReport;
pub use table::TextTable;
pub use verdict::Verdict;
