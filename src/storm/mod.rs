//! The threads: mutators and readers, and the director that starts, paces, pauses and stops them.
//!
//! Nothing in here prints. What the readers find goes to [`Findings`], what everybody does is
//! counted in [`Tally`]s; the report is made of both.

mod approach;
mod calibrate;
mod choice;
mod director;
mod findings;
mod judge;
mod mishap;
mod mutator;
mod overlap;
mod pattern;
mod placement;
mod planted;
mod program;
mod reader;
mod repertoire;
mod script;
mod shape;
mod stage;
mod standstill;
mod tally;
mod tape;
mod testimony;
mod tripwire;
mod views;

pub use approach::Paces;
pub use calibrate::{Calibration, Dropped, calibrate};
pub use choice::{Choice, Standing};
pub(crate) use director::lay_out;
pub use director::{Ended, Live, Plan, Run, Storm, StormError};
pub use findings::{Example, Findings, Found, Keeping, Lost, Mode, ModeSet, Piece, Signature};
pub use mishap::{ArenaText, Call, Mishap, Mismatch, Stall};
pub use mutator::Mutator;
pub use overlap::Overlap;
pub use pattern::{Pattern, PatternError};
pub use placement::Cpus;
pub use planted::Planted;
pub use program::{Program, draw_layout};
pub use reader::{Place, Reader};
pub use repertoire::Repertoire;
pub use script::{Reading, Script};
pub use shape::Shape;
pub use stage::{Cue, Spell, Stage};
pub use standstill::{Difference, SeenLane, read_lanes, read_outside, sort_lanes};
pub use tally::{Counts, NearMisses, Tally};
pub use tape::{Tape, TapeCall};
pub use tripwire::Tripwire;
pub use views::{View, Views};
