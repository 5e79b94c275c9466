//! Showing a tear again: scenarios, how one follows from a tear, the smallest that still shows it, and
//! the same as a C program.

pub mod c;
pub mod replay;
pub mod scenario;
