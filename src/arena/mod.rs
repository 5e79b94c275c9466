//! The memory the storm tears at: one reservation, its lanes, and operations as system calls.
//!
//! Knows nothing of oracles. It says what a line of one of its memfds looks like
//! ([`Arena::sight`]), because only it knows their inodes.

mod execute;
mod files;
mod reserve;

pub use execute::Mm;
pub use files::MemFile;
pub use reserve::{Arena, ReserveError};
