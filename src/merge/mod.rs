//! Many runs of the storm as one report.
//!
//! What is merged is a set of [`Run`]s. A merged report holds those that it was made of, so it can be
//! merged again, with itself, with its parts and with others: each run counts once.

mod input;
mod merged;
mod run;
mod text;

pub use input::{Found, InputError, find};
pub use merged::{Kernel, Merged, Signature};
pub use run::Run;
