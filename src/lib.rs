//! mapstorm finds tears in reads of `/proc/PID/maps`.
//!
//! See the README for what it is and how to use it, and docs/internals.md for what lies where.

#![deny(clippy::print_stdout, clippy::print_stderr, clippy::dbg_macro)]

pub mod allocations;
pub mod arena;
pub mod cases;
pub mod console;
pub mod count;
pub mod emit;
pub mod evidence;
pub mod exit;
pub mod explain;
pub mod host;
pub mod latency;
pub mod maps;
pub mod oracle;
pub mod probe;
pub mod replay;
pub mod report;
pub mod scenario;
pub mod seed;
pub mod selfcheck;
pub mod sim;
pub mod space;
pub mod storm;
#[cfg(test)]
mod unknown;
pub mod verify;
pub mod vocabulary;
