//! How a run ends, as an exit code.

use strum::VariantArray;

/// The exit codes of every subcommand.
///
/// Never 2 or 3: the kernel's selftest runner reads 2 as an expected failure and prints `ok`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, VariantArray)]
#[repr(u8)]
pub enum Exit {
    /// The contract was upheld, or what was asked for was done.
    Upheld = 0,
    /// The contract was violated.
    Violated = 1,
    /// Not testable here; the skip of the kernel's selftests.
    Untestable = 4,
    /// Too little was judged to say.
    Undecided = 5,
    /// The command line is wrong.
    Usage = 64,
    /// An error of mapstorm's or of its surroundings.
    Internal = 70,
    /// Neither good nor bad, to `git bisect run`.
    CannotTell = 125,
    /// Ended by SIGHUP, the report written.
    HungUp = 129,
    /// Ended by SIGINT, the report written.
    Interrupted = 130,
    /// Ended by SIGTERM, the report written.
    Terminated = 143,
}

impl Exit {
    /// How a run ends that a signal ended, its report written: 128 and the signal's number, as
    /// shells have it.
    pub const fn of_signal(number: i32) -> Exit {
        match number {
            libc::SIGHUP => Exit::HungUp,
            libc::SIGTERM => Exit::Terminated,
            _ => Exit::Interrupted,
        }
    }

    /// The one that has this number.
    pub fn of_code(code: i32) -> Option<Exit> {
        Exit::VARIANTS.iter().copied().find(|exit| exit.code() == code)
    }

    /// The number given to exit(3).
    pub const fn code(self) -> i32 {
        self as u8 as i32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_signal_that_is_caught_has_its_code() {
        for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGTERM] {
            assert_eq!(Exit::of_signal(signal).code(), 128 + signal);
        }
    }
}
