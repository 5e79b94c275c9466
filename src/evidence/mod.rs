//! Tears kept: saved while the storm goes on, and judged again from the file alone.
//!
//! [`Tear`] is the file: the raw bytes of the walk with the clock around each call, and what the
//! lanes looked like meanwhile. [`Saver`] writes it, after the second checker has agreed.
//! [`Tear::prove`] decides from the file whether it proves what it says.
//!
//! What no reader finds, a layout that differs at a standstill and a call that does not come back,
//! is saved beside it in the same way, as an [`SavedIncident`]; [`SavedIncident::examine`] judges it.

mod examine;
pub mod explain;
mod file;
mod folder;
mod incident;
mod prove;
mod provenance;
mod rescue;
mod save;
mod target;
mod tear;
mod text;
mod walk;

pub use examine::Shown;
pub use file::{FileError, Saved, SavedViolation, TearError, decode, load, load_violation};
pub use folder::{FolderError, saved_in};
pub use incident::{
    Account, INCIDENT, SavedDifference, SavedIncident, SavedMismatch, SavedSplat, SavedStall,
};
pub use prove::{Again, Proof, again};
pub use provenance::Origins;
pub use rescue::Rescue;
pub use save::{Checked, Kept, OutError, Saver};
pub use target::{OwnFolder, Target};
pub use tear::{
    Asked, FoundBreak, KIND, SCHEMA_VERSION, SavedCall, SavedFile, SavedLane, SavedVersion, Tear,
};
pub use text::RawText;
pub use walk::{RawLine, lines};
