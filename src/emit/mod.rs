//! A scenario as a C program that a stranger compiles and runs.
//!
//! The program needs no oracle: some pages are mapped before, during and after every call of the
//! loop, so each read has to show them. It does the loop in one thread, reads in another, and
//! looks for those pages.

mod calls;
mod program;

pub use program::{EmitError, program};
