//! What this kernel and this machine offer: probed, not assumed.

mod contest;
mod limits;
mod locking;
mod machine;
mod thread;

pub use limits::{Limits, TooMuch};
pub use locking::{MapsLocking, observe_locking, observe_smaps_locking};
pub use machine::{Machine, query_works};
pub use thread::{ThreadFile, thread_files, thread_words};
