//! One run as data, and its writers.
//!
//! Nothing in here measures or judges. [`StormReport`] is what a run was; [`text`], JSON (through
//! serde) and [`live`] say it.

mod data;
mod example;
mod first_tears;
pub mod live;
mod overlap;
pub mod text;

pub use data::{
    Circumstances, Ending, KeptExample, Operations, Reads, Score, Standstills, StormReport,
    Verdict, Violation, WorkloadCount,
};
pub(crate) use data::{FEWEST_CHECKED, MOST_UNDECIDED_PER_MILLE};
pub use example::example_text;
pub(crate) use example::{place, sentence};
pub use first_tears::{FirstTears, Row};
pub use overlap::OverlapReport;
