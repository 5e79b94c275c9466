//! What may be seen, and the judgement of what was.
//!
//! The oracle never reads `/proc`: mutators tell it what they are about to do and have done,
//! readers hand it what they saw and when. It answers in three values: right, wrong, or undecided
//! where the history needed is gone.

mod cache;
mod clock;
mod evidence;
mod fault;
mod history;
mod ledger;
mod load;
#[cfg(all(test, any(target_arch = "x86_64", target_arch = "aarch64")))]
mod orders;
mod outside;
mod rules;
mod snapshot;
mod verdict;
mod word;

pub use cache::{LineCache, Taken};
pub use clock::{Clock, OPEN, Tick, Window};
pub use evidence::{Evidence, Mechanism, VersionRecord, in_flight};
pub(crate) use fault::PushFault;
pub use history::{History, Origin, Overrun, Version};
pub use ledger::{Current, Held, Invoked, Oracle};
pub use outside::{Lack, Outside, Shown};
pub use rules::{Cursor, Relaxation, Walk};
pub use snapshot::Snapshot;
pub use verdict::{Break, Class, Contract, Rule, Tolerated, Verdict};
