//! The command line.

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use mapstorm::cases::{Interface, Position};
use mapstorm::engine::{Mode, Pattern, Planted, Workload};
use mapstorm::latency::{CompareArgs, LatencyArgs};
use mapstorm::model::{Kind, MAX_PAGES};
use mapstorm::oracle::Contract;
use mapstorm::report::Format;
use mapstorm::seed;
use mapstorm::sim::sweep::SelfcheckArgs;
use mapstorm::vocabulary::unknown;
use std::path::PathBuf;

const AFTER_HELP: &str = "\
Exit codes: 0 contract upheld, 1 violated, 4 not testable here, 5 undecided, 64 usage, \
70 internal or environment error, 101 panic, 129, 130 and 143 after SIGHUP, SIGINT and SIGTERM \
(the report is still written).

A storm on Linux 6.17 or later is expected to find tears; on 6.16 and earlier, none.";

/// Finds tears in reads of /proc/PID/maps: many threads change one address space at random,
/// others read its maps, and every line is judged against an oracle of what may be seen.
#[derive(Parser, Debug)]
#[command(version, about, after_help = AFTER_HELP)]
pub struct Cli {
    /// What to do instead of a storm.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The storm.
    #[command(flatten)]
    pub storm: StormArgs,
    /// How to print.
    #[command(flatten)]
    pub print: PrintArgs,
}

impl Cli {
    /// Parses the command line. Flags about printing may stand anywhere; a flag of the storm before
    /// another command would be heeded by neither, and is refused.
    ///
    /// # Errors
    /// Help and the version, too, are errors to clap.
    pub fn read() -> Result<Cli, clap::Error> {
        let mut command = Cli::command();
        let matches = command.try_get_matches_from_mut(std::env::args_os())?;
        if let Some((name, _)) = matches.subcommand()
            && let Some(flag) = storm_flag(&matches)
        {
            let why =
                format!("{flag} stands before '{name}', where it is of no use; put it behind");
            return Err(command.error(ErrorKind::ArgumentConflict, why));
        }
        Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
    }
}

/// The first flag of a storm without a command that was given.
fn storm_flag(matches: &ArgMatches) -> Option<String> {
    let storm = StormArgs::augment_args(clap::Command::new("storm"));
    let given = |arg: &&clap::Arg| {
        matches.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine)
    };
    let flag = storm.get_arguments().find(given)?;
    Some(format!("--{}", flag.get_long().expect("the storm has long flags only")))
}

/// What to do instead of a storm.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Runs a storm, as mapstorm does without a command
    Storm(StormArgs),
    /// Shows what this kernel and machine offer
    Probe(ProbeArgs),
    /// Drives the merges, splits and replacements of vmas one by one, aimed at page boundaries
    Cases(CasesArgs),
    /// Measures how soon a storm finds its first tear of each sort, by number of threads
    FirstTears(FirstTearsArgs),
    /// Decides from saved files alone whether they prove a violation
    Verify(VerifyArgs),
    /// Tells and draws what happened, from a saved file
    Explain(ExplainArgs),
    /// Shows a saved tear again, or runs a scenario; exit code 1 when it was shown
    Replay(ReplayArgs),
    /// Searches for the smallest scenario that still shows a tear
    Minimize(MinimizeArgs),
    /// Writes a C program that shows a tear
    EmitC(EmitCArgs),
    /// Measures what readers of maps cost the threads that map and unmap
    Latency(LatencyArgs),
    /// Sets results of `latency` side by side
    Compare(CompareArgs),
    /// Proves the oracle: simulated kernels with every known bug, and right ones
    Selfcheck(SelfcheckArgs),
}

/// How to print; for every subcommand.
#[derive(Args, Clone, Copy, Debug)]
pub struct PrintArgs {
    /// When to use colours; NO_COLOR and CLICOLOR_FORCE are honoured
    #[arg(long, global = true, value_enum, default_value_t = Colour::Auto)]
    pub color: Colour,
    /// No progress
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// More: an example of every signature, not only one of each class and mechanism; of
    /// `selfcheck` each bug's mechanism
    #[arg(short, long, global = true)]
    pub verbose: bool,
}

/// When to use colours.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Colour {
    /// On a terminal.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Times to the first tear.
#[derive(Args, Clone, Debug)]
pub struct FirstTearsArgs {
    /// Numbers of threads, separated by commas; a quarter of them read, at least one
    #[arg(long, value_delimiter = ',', default_value = "2,8,64,256", value_name = "THREADS", value_parser = clap::value_parser!(u16).range(2..=4096))]
    pub threads: Vec<u16>,
    /// Storms with each number
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub runs: u16,
    /// How long a storm goes on, in seconds
    #[arg(long, default_value = "5", value_parser = seconds, allow_negative_numbers = true)]
    pub seconds: f64,
    /// A signature, or the beginning of one up to a slash; repeatable. A storm ends as soon as
    /// each of them has been found
    #[arg(long, value_name = "SIGNATURE")]
    pub until: Vec<Pattern>,
    /// The workload of all slices [default: more often those that read where it changes]
    #[arg(long = "workload", alias = "workload", value_name = "WORKLOAD")]
    pub workload: Option<Workload>,
    /// Kinds of operation, as for the storm
    #[arg(long, value_delimiter = ',', value_name = "KIND")]
    pub ops: Vec<Kind>,
    /// Ways to read, as for the storm
    #[arg(long, value_delimiter = ',', value_name = "WAY")]
    pub read: Vec<Mode>,
    /// Seed of the random choices, decimal or 0x hexadecimal [default: drawn]
    #[arg(long, value_parser = seed::parse)]
    pub seed: Option<u64>,
    /// The form of the result on stdout; progress always goes to stderr
    #[arg(long, value_parser = Format::without_checks(), default_value = "text")]
    pub format: Format,
}

/// The storm.
#[derive(Args, Clone, Debug)]
pub struct StormArgs {
    /// Worker threads, readers included [default: two for each CPU, at least 4]
    #[arg(long, value_parser = clap::value_parser!(u16).range(2..=4096))]
    pub threads: Option<u16>,
    /// How many of them read [default: a quarter, at least one]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=4095))]
    pub readers: Option<u16>,
    /// How long, in seconds; fractions are allowed
    #[arg(long, default_value = "10", value_parser = seconds, allow_negative_numbers = true)]
    pub seconds: f64,
    /// Seed of the random choices, decimal or 0x hexadecimal [default: drawn]
    #[arg(long, value_parser = seed::parse)]
    pub seed: Option<u64>,
    /// Lanes of the arena, each changed by one thread at a time
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub lanes: u16,
    /// Pages of a lane
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u8).range(3..=MAX_PAGES as i64))]
    pub pages: u8,
    /// Kinds of operation, separated by commas: map, unmap, protect, resize, remap, name, advise
    /// [default: all that this kernel has]
    #[arg(long, value_delimiter = ',', value_name = "KIND")]
    pub ops: Vec<Kind>,
    #[arg(long, value_delimiter = ',', value_name = "WAY", help = Mode::help())]
    pub read: Vec<Mode>,
    /// What makes an anomaly a violation: series (the promise of the per-vma-lock patches),
    /// documented (also: addresses never go back), snapshot (also: each read shows one instant)
    #[arg(long, default_value = "series", value_parser = contract, value_name = "CONTRACT")]
    pub contract: Contract,
    /// A signature, or the beginning of one up to a slash, that does not fail the run; repeatable
    #[arg(long, value_name = "SIGNATURE")]
    pub allow: Vec<Pattern>,
    /// A file of signatures to allow, one a line; # begins a comment
    #[arg(long, value_name = "FILE")]
    pub allow_file: Vec<PathBuf>,
    /// Keep the evidence of each new signature in this directory, as files for `mapstorm verify`
    /// and `explain`, and where a reader found it for `replay`, `minimize` and `emit-c`
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Examples to keep of each signature
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=16))]
    pub keep: u8,
    /// The workload of all slices: duel, paused, slow, small, pair, pair-paused, scatter, double,
    /// same-cpu, idle, crowd, queue [default: more often those that read where it changes]
    #[arg(long = "workload", alias = "workload", value_name = "WORKLOAD")]
    pub workload: Option<Workload>,
    /// Plants a fault to see that it is found: in what readers get hole, torn, stale, unknown,
    /// disorder, malformed or truncated; in what is compared at a standstill mismatch; a call that
    /// does not come back stall (asleep), stall-spinning, or stall-asleep (which is undecided)
    #[arg(long, hide = true, value_name = "CLASS")]
    pub inject: Option<Planted>,
    /// Stop at the first violation that is not allowed
    #[arg(long)]
    pub fail_fast: bool,
    /// Seconds between two standstills, at which the kernel's layout is compared with the oracle's
    #[arg(long, default_value = "1", value_parser = seconds, value_name = "SECONDS", allow_negative_numbers = true)]
    pub pause_every: f64,
    /// Seconds that the kernel may keep a thread in a call; after that it is a stall. A thread that
    /// waits for a CPU is none
    #[arg(long, default_value = "10", value_parser = seconds, value_name = "SECONDS", allow_negative_numbers = true)]
    pub stall: f64,
    /// Niceness of the workers, -20 to 19: below 0 they go before other programs, which takes a
    /// privilege [default: as it is]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(-20..=19), allow_negative_numbers = true)]
    pub nice: Option<i32>,
    /// The form of the result on stdout; progress always goes to stderr
    #[arg(long, value_parser = Format::all(), default_value = "text")]
    pub format: Format,
}

/// Options of `mapstorm verify`.
#[derive(Args, Clone, Debug)]
pub struct VerifyArgs {
    /// Files that a storm saved with --out
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// The form of the result on stdout; progress always goes to stderr
    #[arg(long, value_parser = Format::without_checks(), default_value = "text")]
    pub format: Format,
}

/// Options of `mapstorm explain`.
#[derive(Args, Clone, Debug)]
pub struct ExplainArgs {
    /// A file that a storm saved with --out
    pub file: PathBuf,
    /// Also write a page for a browser
    #[arg(long, value_name = "OUT")]
    pub html: Option<PathBuf>,
    /// Also write the picture alone, as SVG
    #[arg(long, value_name = "OUT")]
    pub svg: Option<PathBuf>,
}

/// Options of `mapstorm replay`.
#[derive(Args, Clone, Debug)]
pub struct ReplayArgs {
    /// A tear that a storm saved with --out, or a scenario
    pub file: PathBuf,
    /// How long to try, in seconds
    #[arg(long, default_value = "10", value_parser = seconds, allow_negative_numbers = true)]
    pub seconds: f64,
    /// Seed of what the readers draw
    #[arg(long, value_parser = seed::parse)]
    pub seed: Option<u64>,
    /// The form of the result on stdout; progress always goes to stderr
    #[arg(long, value_parser = Format::without_checks(), default_value = "text")]
    pub format: Format,
}

/// Options of `mapstorm minimize`.
#[derive(Args, Clone, Debug)]
pub struct MinimizeArgs {
    /// A tear that a storm saved with --out, or a scenario
    pub file: PathBuf,
    /// Where the scenario goes
    #[arg(short, long, value_name = "OUT")]
    pub output: PathBuf,
    /// How long to search, in seconds
    #[arg(long, default_value = "180", value_parser = seconds, allow_negative_numbers = true)]
    pub seconds: f64,
    /// The form of the result on stdout; progress always goes to stderr
    #[arg(long, value_parser = Format::without_checks(), default_value = "text")]
    pub format: Format,
}

/// Options of `mapstorm emit-c`.
#[derive(Args, Clone, Debug)]
pub struct EmitCArgs {
    /// A scenario, best a minimized one, or a tear that a storm saved with --out
    pub file: PathBuf,
    /// Where the program goes [default: stdout]
    #[arg(short, long, value_name = "OUT")]
    pub output: Option<PathBuf>,
    /// Compile the program with cc and run it again and again for so many seconds; its header then
    /// says how often it was torn here
    #[arg(long, value_name = "SECONDS", value_parser = seconds, allow_negative_numbers = true)]
    pub measure: Option<f64>,
}

/// Options of `mapstorm probe`.
#[derive(Args, Clone, Debug)]
pub struct ProbeArgs {
    /// The form of the result on stdout; progress always goes to stderr
    #[arg(long, value_parser = Format::without_checks(), default_value = "text")]
    pub format: Format,
}

/// Options of `mapstorm cases`.
#[derive(Args, Clone, Debug)]
pub struct CasesArgs {
    /// The cases to run, separated by commas: 1 to 10, split, resize, remap, replace,
    /// replace-keep, map-shared, move, split-file [default: all]
    #[arg(long, value_delimiter = ',', value_name = "CASE")]
    pub only: Vec<String>,
    /// How long each case runs, in seconds, all its ways of reading together [default: 6; as KTAP,
    /// as long as lets all of it end within 30 seconds, or DURATION seconds for each test]
    #[arg(long, value_parser = seconds, value_name = "SECONDS")]
    pub seconds_per_case: Option<f64>,
    /// Where the page of output ends, separated by commas: page (nowhere near), before, inside or
    /// after the vmas that change; all [default: all]
    #[arg(long, value_delimiter = ',', value_name = "WHERE", value_parser = boundary)]
    pub boundary: Vec<Option<Position>>,
    /// What to read through, separated by commas: read, pread, query, smaps [default: all that
    /// this kernel has]
    #[arg(long, value_delimiter = ',', value_name = "WAY")]
    pub interface: Vec<Interface>,
    /// Threads of a storm beside it, in lanes of their own: noise
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=1024))]
    pub threads: u16,
    /// Seed of the random choices, decimal or 0x hexadecimal [default: drawn]
    #[arg(long, value_parser = seed::parse)]
    pub seed: Option<u64>,
    /// The form of the result on stdout; progress always goes to stderr
    ///
    /// As KTAP, DURATION and VERBOSE in the environment are honoured. In a list of checks, what could
    /// not be decided is a skip, and the exit code says so, too: 4 where all are, else 0.
    #[arg(long, value_parser = Format::all(), default_value = "text")]
    pub format: Format,
}

const LONGEST_SECONDS: f64 = 366.0 * 24.0 * 3600.0;

pub fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| format!("{text:?} is not a number of seconds"))?;
    if seconds > 0.0 && seconds <= LONGEST_SECONDS {
        Ok(seconds)
    } else {
        Err(format!("must be above 0 and at most {LONGEST_SECONDS} (a year)"))
    }
}

/// A place of the boundary, or `None` for all.
fn boundary(text: &str) -> Result<Option<Position>, String> {
    if text == "all" { Ok(None) } else { text.parse().map(Some) }
}

fn contract(text: &str) -> Result<Contract, String> {
    let known = Contract::ALL.into_iter().find(|contract| contract.word() == text);
    known.ok_or_else(|| unknown("contract", text, &Contract::ALL.map(Contract::word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn seconds_are_positive_and_finite() {
        assert_eq!(seconds("0.5"), Ok(0.5));
        for text in ["0", "-1", "nan", "inf", "1e12", "soon"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
