//! mapstorm finds tears in reads of `/proc/PID/maps`.
//!
//! See the README for what it is and how to use it, and docs/internals.md for what lies where.

#![deny(clippy::print_stdout, clippy::print_stderr, clippy::dbg_macro)]

mod markup;
#[cfg(test)]
mod unknown;

pub mod allocations;
pub mod cases;
pub mod command_line;
pub mod console;
pub mod corpus;
pub mod count;
pub mod engine;
pub mod evidence;
pub mod exit;
pub mod header;
pub mod host;
pub mod kernel;
pub mod latency;
pub mod merge;
pub mod model;
pub mod oracle;
pub mod report;
pub mod repro;
pub mod seed;
pub mod shard;
pub mod sim;
pub mod verify;
pub mod vm;
pub mod vocabulary;
