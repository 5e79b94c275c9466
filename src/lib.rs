//! mapstorm finds tears in reads of `/proc/PID/maps`.
//!
//! See the README for what it is and how to use it, and its map of the code for what lies where.

pub mod exit;
pub mod latency;
pub mod maps;
pub mod space;
