//! A scenario as a C program that a stranger compiles and runs.
//!
//! The program needs no model of the address space. First it does the loop alone and reads after
//! each call: these are all the layouts that there ever are. Then it does the loop in one thread,
//! reads in another, and judges what was read by rules 1 to 5: a counter that goes up before and
//! after each call says which layouts there may have been, both ends closed, and one pass with
//! the earliest layout left decides, as in [`oracle`](crate::oracle).

mod measure;
mod program;
mod rate;
mod rounds;
mod rows;

pub use measure::{Unmeasured, measure};
pub use program::{EmitError, LINES, program};
pub use rate::Rates;
