//! The kernel's side: memory to tear at, the system calls that change it, and what its files say of it.
//!
//! Nothing in here judges, and nothing knows of histories. The arena is one reservation with its lanes;
//! operations are carried out as system calls. Lines and answers of PROCMAP_QUERY are read and parsed.
//! What a line shows of the arena is said here ([`Identities::sight`]), because only the arena knows its
//! memfds.

mod arena;
mod ballast;
mod descriptor;
mod execute;
mod files;
mod fixed;
mod identity;
mod inject;
mod line;
mod lines;
mod load;
mod memory_file;
mod odd_file;
mod padding;
mod query;
mod suffix;

pub use arena::{Arena, ReserveError};
pub use ballast::Ballast;
pub use descriptor::{Before, MapsFile, MapsRead};
pub use execute::Mm;
pub use identity::{FileIdentity, Identities, anon_name};
pub use inject::{Fault, Injector};
pub use line::{Line, Malformed, NAME_COLUMN, Opening, is_detail, parse, range_end};
pub use lines::{Chunk, Lines};
pub use load::{Loads, Refused, faults_of_thread, without_huge_pages};
pub use memory_file::MemoryFile;
pub use odd_file::NoOddFile;
pub use query::{Answer, QueryFlags, as_printed};
