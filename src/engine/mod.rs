//! The storm's engine: mutators and readers, and what starts, paces, pauses and stops them.
//!
//! Nothing in here prints. What readers find goes to [`Findings`], and what workers do is counted
//! in [`Tally`]s. The report is made of both.

mod bandit;
mod calibrate;
mod delay;
mod faulter;
mod incidents;
mod judge;
mod layout_marks;
mod lineup;
mod log_book;
#[cfg(test)]
mod long_names;
pub mod mark;
mod modes;
mod mutator;
mod offsets;
mod op_set;
mod overlap;
mod pattern;
mod planted;
mod program;
mod quiesce;
mod read_log;
mod reader;
mod recheck;
mod scheduler;
mod script;
mod settle;
mod signature;
mod storm;
mod surroundings;
mod tally;
mod violations;
mod watch;
mod witness;
mod workload;

pub use crate::host::Cpus;
pub use bandit::{ArmStats, Bandit};
pub use calibrate::{Calibration, Dropped, Unpredicted, calibrate, merge_rules, random_steps};
pub use delay::DelayTimer;
pub use faulter::RefusedLoad;
pub use incidents::{ArenaText, Call, Incident, KernelSplat, Mismatch, Stall};
pub use layout_marks::{LayoutMarks, View};
pub use modes::{Course, Lock, Mode, ModeSet, Parser, Reads};
pub use mutator::Mutator;
pub use offsets::CallTimes;
pub use op_set::OpSet;
pub use overlap::Overlap;
pub use pattern::{Pattern, PatternError};
pub use planted::Planted;
pub use program::{Program, draw_layout};
pub use quiesce::{Difference, SeenLane, read_lanes, read_outside, sort_lanes};
pub use read_log::{ReadCall, ReadLog};
pub use reader::{Place, Reader};
pub use scheduler::{Assignment, Scheduler, Slice};
pub use script::{Reading, Script};
pub use settle::Settle;
pub use signature::Signature;
pub use storm::{Ended, Live, Plan, Run, Storm, StormError};
pub(crate) use storm::{first_fresh, lay_out};
pub use surroundings::{OutsideCounts, Surroundings};
pub use tally::{Counts, NearMisses, Tally};
pub use violations::{Findings, Found};
pub use watch::{CallPlace, CallRecord, Named, Party, Role, StallKeeper, name};
pub use witness::{Keeping, NoEvidence, Piece, Witness};
pub use workload::Workload;
