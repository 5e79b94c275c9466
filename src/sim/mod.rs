//! A kernel in miniature: the same walk in small steps under a seeded scheduler.
//!
//! One thread. A reader's call drives everything: between two of its steps the scheduler lets the
//! workers take as many of theirs as it likes, so every interleaving of the real code's steps has
//! a seed. The kernel is right by default, in three [models](Model); a [`Bug`] switched on makes
//! it, or the history it is judged by, wrong in one known way. The seams are the storm's:
//! operations go in as [`Op`](crate::model::Op)s through the oracle's books, text and answers come
//! out through [`MapsRead`](crate::kernel::MapsRead).
//!
//! What follows the kernel follows its behaviour, named by file and function where it matters
//! (Linux 6.17: mm/vma.c, mm/mmap_lock.c, fs/proc/task_mmu.c, fs/seq_file.c).

mod bugs;
mod file;
mod kernel;
mod lay;
mod lookup;
mod pace;
mod plan;
mod program;
mod reader;
mod record;
mod seq;
pub mod sweep;
mod text;
mod tree;
mod worker;
mod world;

pub use bugs::{Bug, Model};
pub use file::{Process, SimFile};
pub use kernel::{Kernel, Still};
pub use reader::{Deaf, Found, Listen, Reading, Tally, Watch};
pub use record::{Recorder, Settled, Spoken};
pub use text::{identities, tell_outside};
pub use world::{Setup, World};
