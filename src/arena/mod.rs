//! The memory the storm tears at: one reservation, its lanes, and operations as system calls.
//!
//! Knows nothing of histories and verdicts. It says what a line of one of its mappings shows
//! ([`Identities::sight`]), because only it knows its memfds.

mod execute;
mod files;
mod identity;
mod padding;
mod reserve;
mod suffix;

pub use execute::Mm;
pub use identity::{FileIdentity, Identities, anon_name};
pub use reserve::{Arena, ReserveError};
