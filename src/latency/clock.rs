//! The clock every latency is measured with.

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds of CLOCK_MONOTONIC, which the vDSO reads without a system call where the clock
/// source allows.
#[inline]
pub fn now_ns() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    // Neither field is negative: the clock counts up from boot.
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
