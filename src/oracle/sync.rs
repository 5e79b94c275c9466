//! The atomics of the history, so that a model checker can stand in for them.
//!
//! `RUSTFLAGS="--cfg loom"` or `--cfg shuttle` swaps in the checkers' own types; only the history
//! and the clock are built on these.

#[cfg(loom)]
pub(super) use loom::sync::atomic::{AtomicU64, Ordering, fence};
#[cfg(all(shuttle, not(loom)))]
pub(super) use shuttle::sync::atomic::{AtomicU64, Ordering};
#[cfg(not(any(loom, shuttle)))]
pub(super) use std::sync::atomic::{AtomicU64, Ordering, fence};

/// Shuttle's atomics are sequentially consistent: there is nothing left for a fence to order.
#[cfg(all(shuttle, not(loom)))]
pub(super) fn fence(_: Ordering) {}
