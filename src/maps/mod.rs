//! What the kernel says: the lines of `/proc/PID/maps` and the answers of PROCMAP_QUERY.
//!
//! Nothing in here judges; it only reads and parses.

mod descriptor;
mod fixed;
mod inject;
mod kept;
mod line;
mod query;
mod walk;

pub use descriptor::{MapsFile, MapsRead};
pub use inject::{Fault, Injector};
pub use kept::Kept;
pub use line::{Line, Malformed, NAME_COLUMN, Opening, is_detail, parse, range_end};
pub use query::{Answer, QueryFlags};
pub use walk::{Chunk, Lines};
