//! The options of `mapstorm vm`.

use clap::{Args, ValueEnum};
use mapstorm::command_line::{OUTPUT, RUN};
use mapstorm::exit::Exit;
use mapstorm::report::Format;
use mapstorm::shard::Shard;
use std::ops::Range;
use std::path::PathBuf;

/// What a guest is.
const MACHINE: &str = "Machine";
/// Races that repeat.
const EXACT: &str = "Races that repeat";

#[derive(Args, Clone, Debug)]
pub struct VmArgs {
    /// Kernel images (bzImage, arm64 Image), or build trees that have one
    #[arg(value_name = "KERNEL")]
    pub kernels: Vec<PathBuf>,
    /// A Debian package with a kernel image; repeatable
    #[arg(long, help_heading = RUN, value_name = "PACKAGE.deb")]
    pub kernel_of: Vec<PathBuf>,
    /// What mapstorm does in the guest: a command with its arguments [default: a storm]
    #[arg(last = true, value_name = "ARGUMENTS")]
    pub arguments: Vec<String>,
    /// CPUs of a guest
    #[arg(long, help_heading = MACHINE, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=255))]
    pub cpus: u16,
    /// Memory of a guest, such as 768M or 2G
    #[arg(long, help_heading = MACHINE, default_value = "1G", value_parser = memory, value_name = "SIZE")]
    pub memory: String,
    /// Words to add to the kernel's command line
    #[arg(long, help_heading = MACHINE, default_value = "", value_name = "WORDS", allow_hyphen_values = true)]
    pub append: String,
    /// How long a guest may take, in seconds of the host
    #[arg(long, help_heading = RUN, default_value = "600", value_parser = super::seconds, allow_negative_numbers = true)]
    pub timeout: f64,
    /// A machine in which all repeats, races included: the same QEMU, image, mapstorm, arguments
    /// and seed give the same report
    #[arg(long, help_heading = EXACT)]
    pub exact: bool,
    /// One run for each seed from A on and below B; both the machine and mapstorm are seeded with it
    #[arg(long, help_heading = RUN, value_name = "A..B", value_parser = seeds)]
    pub seeds: Option<Range<u64>>,
    /// How many guests run at a time
    #[arg(long, help_heading = RUN, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub jobs: u16,
    /// Only every Nth run, beginning with the Ith; I is 1 to N
    #[arg(long, help_heading = RUN, value_name = "I/N")]
    pub shard: Option<Shard>,
    /// Whether the second of two kernels is without what the first one has: exit code 0 when it is,
    /// 1 when not, 5 when there were too few seeds to tell
    #[arg(long, help_heading = RUN)]
    pub compare: bool,
    /// How sure --compare has to be, below 1
    #[arg(long, help_heading = RUN, default_value = "0.99", value_parser = confidence, requires = "compare")]
    pub confidence: f64,
    /// Run each twice, and say whether both were the same
    #[arg(long, help_heading = EXACT, requires = "exact")]
    pub twice: bool,
    /// What an exact run has to be made of, as an earlier run printed it; else it is refused
    #[arg(long, help_heading = EXACT, value_name = "HASHES", requires = "exact")]
    pub expect: Option<String>,
    /// Keep in this new directory a log of the run that QEMU replays elsewhere, for a debugger
    /// backwards, too; takes --cpus 1, and often --append preempt=full to find anything
    #[arg(long, help_heading = EXACT, value_name = "DIR", requires = "exact", conflicts_with_all = ["twice", "stop_at"])]
    pub record: Option<PathBuf>,
    /// Stop the machine where the evidence of the first violation with this signature, or a
    /// beginning of one up to a slash, is complete; of `hang`, where the kernel tells of it
    #[arg(long, help_heading = EXACT, value_name = "SIGNATURE", requires = "exact")]
    pub stop_at: Option<String>,
    /// Stop about so many instructions before that; the report says how many they were
    #[arg(long, help_heading = EXACT, value_name = "INSTRUCTIONS", requires = "stop_at")]
    pub before: Option<u64>,
    /// Leave the stopped machine to gdb, and say what to type
    #[arg(long, help_heading = EXACT, requires = "stop_at")]
    pub gdb: bool,
    /// The kernel with its symbols, for gdb: it shows the CPUs, the storm's threads and the vmas
    /// around a hole [default: one beside the image]
    #[arg(long, help_heading = EXACT, value_name = "FILE", requires = "stop_at")]
    pub vmlinux: Option<PathBuf>,
    /// Keep what guests save, and their consoles, in this directory, a folder for each run
    #[arg(long, help_heading = OUTPUT, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// The mapstorm to put into the guest, linked statically [default: this one]
    #[arg(long, help_heading = MACHINE, value_name = "PROGRAM")]
    pub guest: Option<PathBuf>,
    /// The QEMU to use [default: qemu-system-x86_64 or qemu-system-aarch64]
    #[arg(long, help_heading = MACHINE, value_name = "PROGRAM")]
    pub qemu: Option<PathBuf>,
    /// Run each in another way than by QEMU: a command of the shell in which {kernel}, {command} and
    /// {arguments} stand for the kernel, mapstorm with its arguments, and these alone
    #[arg(long, help_heading = MACHINE, value_name = "COMMAND", conflicts_with_all = ["exact", "kernel_of", "guest", "qemu", "out"])]
    pub runner: Option<String>,
    /// Also write the table as a page for a browser
    #[arg(long, help_heading = OUTPUT, value_name = "OUT")]
    pub html: Option<PathBuf>,
    /// What exit codes mean: own, or for git bisect run (0 good, 1 bad, 125 can't tell)
    #[arg(long, help_heading = OUTPUT, value_enum, default_value_t = ExitCodes::Own, value_name = "DIALECT")]
    pub exit_codes: ExitCodes,
    /// Format of the report on stdout; progress goes to stderr
    #[arg(long, help_heading = OUTPUT, value_parser = Format::all(), default_value = "text")]
    pub format: Format,
}

/// What exit codes mean.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum ExitCodes {
    /// mapstorm's own
    Own,
    /// Those of git bisect run
    Bisect,
}

impl ExitCodes {
    /// The exit code in this dialect. What is neither good nor bad can't be told; a signal ends the
    /// bisection, as codes above 127 do.
    pub fn of(self, exit: Exit) -> Exit {
        match (self, exit) {
            (ExitCodes::Own, exit) => exit,
            (_, Exit::Upheld | Exit::Violated) => exit,
            (_, Exit::HungUp | Exit::Interrupted | Exit::Terminated) => exit,
            _ => Exit::CannotTell,
        }
    }
}

/// The least memory in which a packaged kernel boots with mapstorm.
const LEAST_MIB: u64 = 192;

fn memory(text: &str) -> Result<String, String> {
    let (digits, unit) = match text.char_indices().next_back() {
        Some((at, 'G' | 'g')) => (&text[..at], 1024),
        Some((at, 'M' | 'm')) => (&text[..at], 1),
        _ => (text, 1),
    };
    let size: Option<u64> = digits.parse().ok().and_then(|n: u64| n.checked_mul(unit));
    match size {
        Some(size @ LEAST_MIB..=1_048_576) => Ok(format!("{size}M")),
        Some(_) => Err(format!("must be {LEAST_MIB}M to 1024G")),
        None => Err(format!("{text:?} is no size such as 768M or 2G")),
    }
}

fn seeds(text: &str) -> Result<Range<u64>, String> {
    let range =
        text.split_once("..").and_then(|(from, to)| Some(from.parse().ok()?..to.parse().ok()?));
    let range: Range<u64> = range.ok_or_else(|| format!("{text:?} is not A..B, such as 0..64"))?;
    match range.is_empty() {
        true => {
            Err(format!("{text}: there is no seed from {} on and below {}", range.start, range.end))
        }
        false => Ok(range),
    }
}

fn confidence(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(part) if (0.5..1.0).contains(&part) => Ok(part),
        _ => Err(format!("{text:?} is no number from 0.5 to below 1, such as 0.999")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_seeds_are_read_or_refused() {
        assert_eq!(memory("1G").as_deref(), Ok("1024M"));
        assert_eq!(memory("512").as_deref(), Ok("512M"));
        assert!(memory("1M").is_err() && memory("much").is_err() && memory("").is_err());
        assert_eq!(seeds("0..64"), Ok(0..64));
        assert!(seeds("4..4").is_err() && seeds("4").is_err() && seeds("a..b").is_err());
    }

    #[test]
    fn a_bisection_is_told_good_bad_or_that_nothing_can_be_told() {
        let code = |exit| ExitCodes::Bisect.of(exit).code();
        assert_eq!((code(Exit::Upheld), code(Exit::Violated)), (0, 1));
        for exit in [Exit::Untestable, Exit::Undecided, Exit::Internal, Exit::Usage] {
            assert_eq!(code(exit), 125);
            assert_eq!(ExitCodes::Own.of(exit), exit);
        }
        assert_eq!(code(Exit::Interrupted), 130);
    }
}
