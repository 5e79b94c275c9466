//! What this kernel and this machine offer: probed, not assumed.

mod limits;
mod locking;
mod machine;
mod smaps_locking;

pub use limits::{Limits, TooMuch};
pub use locking::{MapsLocking, observe_locking};
pub use machine::{Machine, query_works};
pub use smaps_locking::observe_smaps_locking;
