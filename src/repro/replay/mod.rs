//! Showing a tear again: as the scenario that follows from it, and as the smallest that still
//! does.

mod alike;
mod attempt;
pub mod chance;
mod derive;
mod minimize;
mod rates;
mod shrink;

pub use attempt::{Attempt, Untold, attempt, target_of};
pub use derive::{DeriveError, Target, derive, kind_of};
pub use minimize::{Fates, Minimized, Progress, Tried, minimize};
pub use rates::{Decision, Seen, interval};
pub use shrink::{Change, Size, candidates};
