//! What measuring itself costs.

use super::clock::now_ns;
use super::heartbeat::Heartbeat;
use super::mapper::{Calls, Tally, drive};
use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

/// Most that clock and loop may cost a call, in ns.
pub const LIMIT_NS: f64 = 100.0;

/// Costs per measured call: the least of several rounds, since whatever else wants the CPU can only
/// add to them.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Overhead {
    /// One reading of the clock. About this much of every latency is the clock's.
    pub clock_ns: f64,
    /// The whole loop around a call, both readings of the clock included.
    pub loop_ns: f64,
}

const ROUNDS: usize = 9;
const PER_ROUND: u64 = 20_000;

/// Calls that do nothing.
struct Nothing;

impl Calls for Nothing {
    fn unmap(&mut self, page: u64) -> Result<(), Errno> {
        std::hint::black_box(page);
        Ok(())
    }

    fn map(&mut self, page: u64) -> Result<(), Errno> {
        std::hint::black_box(page);
        Ok(())
    }

    fn pause(&mut self) {}
}

/// Runs the measured loop without calls and without pauses, and the clock alone.
pub fn measure() -> Overhead {
    Overhead { clock_ns: least(clock_round), loop_ns: least(loop_round) }
}

fn clock_round() -> f64 {
    let before = now_ns();
    for _ in 1..PER_ROUND {
        std::hint::black_box(now_ns());
    }
    (now_ns() - before) as f64 / PER_ROUND as f64
}

fn loop_round() -> f64 {
    let mut draws = Xoshiro256PlusPlus::seed_from_u64(0);
    let (heartbeat, mut tally) = (Heartbeat::default(), Tally::default());
    let mut left = PER_ROUND;
    let before = now_ns();
    let after = drive(&mut Nothing, 32_768, &mut draws, &heartbeat, &mut tally, |_| {
        left -= 1;
        left > 0
    });
    (after - before) as f64 / PER_ROUND as f64
}

fn least(round: fn() -> f64) -> f64 {
    (0..ROUNDS).map(|_| round()).fold(f64::INFINITY, f64::min)
}
