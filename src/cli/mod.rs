//! The command line.

mod vm;

pub use vm::VmArgs;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use mapstorm::cases::{Interface, Position};
use mapstorm::command_line::{JUDGING, OUTPUT, RUN, SIZE};
use mapstorm::engine::{Mode, Pattern, Planted, Workload};
use mapstorm::latency::{CompareArgs, LatencyArgs};
use mapstorm::model::{Kind, MAX_PAGES};
use mapstorm::oracle::Contract;
use mapstorm::report::Format;
use mapstorm::seed;
use mapstorm::shard::Shard;
use mapstorm::sim::sweep::SelfcheckArgs;
use mapstorm::vocabulary::unknown;
use std::ffi::OsString;
use std::path::PathBuf;

const ABOUT: &str = "\
Finds tears in reads of /proc/PID/maps: mutators change the vmas of an arena at random, readers \
read maps meanwhile, and every line is judged against an oracle that knows which layouts were \
possible.";

const AFTER_HELP: &str = "\
Exit codes: 0 contract upheld, 1 violated, 4 not testable here, 5 undecided, 64 usage, \
70 internal or environment error, 101 panic, 129, 130 and 143 after SIGHUP, SIGINT and SIGTERM \
(the report is still written).

A storm on Linux 6.17 or later is expected to find tears; on 6.16 and earlier, none.";

/// Finds tears in reads of /proc/PID/maps.
#[derive(Parser, Debug)]
#[command(version, about = ABOUT, after_help = AFTER_HELP)]
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
    /// Parses the command line. Flags about printing may stand anywhere. A flag of the storm before
    /// another command is refused, because neither would heed it.
    ///
    /// # Errors
    /// Help and the version, too, are errors to clap.
    pub fn read() -> Result<Cli, clap::Error> {
        Cli::of(std::env::args_os())
    }

    /// Parses another command line in the same way; its first word is the program's name.
    ///
    /// # Errors
    /// As [`Cli::read`].
    pub fn of(words: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
        let mut command = Cli::command();
        let matches = command.try_get_matches_from_mut(words)?;
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
    /// Races each merge, split and replacement of vmas by itself, at the boundaries of pages of output
    Cases(CasesArgs),
    /// Measures how soon a storm finds its first tear of each mechanism, by number of threads
    FirstTears(FirstTearsArgs),
    /// Makes one report of many: of the shards of a fleet, of several kernels
    Merge(MergeArgs),
    /// Decides with the second checker whether a saved file proves a violation
    Verify(VerifyArgs),
    /// Tells and draws what happened in a saved tear or incident
    Explain(ExplainArgs),
    /// Runs a saved tear or a scenario until it tears again; exit code 1 when it does
    Replay(ReplayArgs),
    /// Searches for the smallest scenario that still shows a tear
    Minimize(MinimizeArgs),
    /// Writes a C program that shows a tear
    EmitC(EmitCArgs),
    // Help of these stands at their arguments.
    Latency(LatencyArgs),
    Compare(CompareArgs),
    /// Writes texts of maps and smaps for parsers, each with what a right parser makes of it
    Corpus(CorpusArgs),
    /// Tries a parser of maps on the corpus
    Consumer(ConsumerArgs),
    /// Boots kernel images with mapstorm in them, one for each seed, and sets them side by side
    Vm(VmArgs),
    /// Proves the oracle on simulated kernels: each with one bug, which has to be found, and right
    /// ones, which must raise no alarm
    Selfcheck(SelfcheckArgs),
}

/// How to print; for every subcommand.
#[derive(Args, Clone, Copy, Debug)]
pub struct PrintArgs {
    /// When to use colours; `auto` heeds NO_COLOR and CLICOLOR_FORCE, too
    #[arg(long, help_heading = OUTPUT, global = true, value_enum, default_value_t = Colour::Auto)]
    pub color: Colour,
    /// Show no progress and no notes on stderr
    #[arg(short, long, help_heading = OUTPUT, global = true)]
    pub quiet: bool,
    /// Say more: of a storm, all figures below its first screen, every signature with its example; of
    /// `selfcheck`, the mechanism of each bug
    #[arg(short, long, help_heading = OUTPUT, global = true)]
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

#[derive(Args, Clone, Debug)]
pub struct FirstTearsArgs {
    /// Numbers of workers to try, separated by commas; a quarter of them read, at least one
    #[arg(long, help_heading = SIZE, value_delimiter = ',', default_value = "2,8,64,256", value_name = "THREADS", value_parser = clap::value_parser!(u16).range(2..=4096))]
    pub threads: Vec<u16>,
    /// Storms with each number of workers; more make the quartiles firmer
    #[arg(long, help_heading = RUN, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub runs: u16,
    /// Longest time of one storm, in seconds
    #[arg(long, help_heading = RUN, default_value = "5", value_parser = seconds, allow_negative_numbers = true)]
    pub seconds: f64,
    /// End a storm once it has found this signature, or one with this beginning up to a slash; given
    /// several times, once it has found them all
    #[arg(long, help_heading = RUN, value_name = "SIGNATURE")]
    pub until: Vec<Pattern>,
    /// Play this workload in all slices [default: drawn, more often those that tear]
    #[arg(long, help_heading = RUN, alias = "shape", value_name = "WORKLOAD")]
    pub workload: Option<Workload>,
    /// Kinds of operation to use, as for the storm
    #[arg(long, help_heading = RUN, value_delimiter = ',', value_name = "KIND")]
    pub ops: Vec<Kind>,
    /// Ways of reading to use, as for the storm
    #[arg(long, help_heading = RUN, value_delimiter = ',', value_name = "WAY")]
    pub read: Vec<Mode>,
    /// Seed of all random choices, decimal or 0x hexadecimal; the report says it [default: drawn]
    #[arg(long, help_heading = RUN, value_parser = seed::parse)]
    pub seed: Option<u64>,
    /// Format of the report on stdout; progress goes to stderr
    #[arg(long, help_heading = OUTPUT, value_parser = Format::without_checks(), default_value = "text")]
    pub format: Format,
}

/// A power of two, so that a page's place is told from its address by a shift.
fn span(text: &str) -> Result<u16, String> {
    let span = text.parse::<u16>().ok().filter(|span| span.is_power_of_two() && *span <= 64);
    span.ok_or_else(|| "has to be 1, 2, 4, 8, 16, 32 or 64".into())
}

#[derive(Args, Clone, Debug)]
pub struct StormArgs {
    /// Workers: mutators and readers together [default: two for each CPU, at least 4]
    #[arg(long, help_heading = SIZE, value_parser = clap::value_parser!(u16).range(2..=4096))]
    pub threads: Option<u16>,
    /// How many of the workers read [default: a quarter, at least one]
    #[arg(long, help_heading = SIZE, value_parser = clap::value_parser!(u16).range(1..=4095))]
    pub readers: Option<u16>,
    /// Threads beside the workers that fault in the arena, in one slice of eight [default: a quarter of the
    /// CPUs, at least one; none where there are no more than two]
    #[arg(long, help_heading = SIZE, value_parser = clap::value_parser!(u16).range(0..=1024))]
    pub faulters: Option<u16>,
    /// How long the storm goes on, in seconds; fractions are allowed
    #[arg(long, help_heading = RUN, default_value = "10", value_parser = seconds, allow_negative_numbers = true)]
    pub seconds: f64,
    /// Seed of all random choices, decimal or 0x hexadecimal; the report says it [default: drawn]
    #[arg(long, help_heading = RUN, value_parser = seed::parse)]
    pub seed: Option<u64>,
    /// Be the Ith of N runs that share --seed: each draws its own seed from it, and `merge` names
    /// those that are missing
    #[arg(long, help_heading = RUN, value_name = "I/N", requires = "seed")]
    pub shard: Option<Shard>,
    /// Lanes of the arena; one mutator at a time changes a lane, so more lanes let more work at once
    #[arg(long, help_heading = SIZE, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub lanes: u16,
    /// Pages of a lane; more pages make more vmas and longer walks
    #[arg(long, help_heading = SIZE, default_value_t = 16, value_parser = clap::value_parser!(u8).range(3..=MAX_PAGES as i64))]
    pub pages: u8,
    /// Pages of memory that a page of a lane stands for, a power of two; more make larger vmas, whose
    /// memory takes longer to take away
    #[arg(long, help_heading = SIZE, default_value_t = 16, value_name = "N", value_parser = span)]
    pub span: u16,
    /// Kinds of operation to use, separated by commas: map, unmap, protect, resize, remap, name,
    /// advise, touch [default: all that this kernel has]
    #[arg(long, help_heading = RUN, value_delimiter = ',', value_name = "KIND")]
    pub ops: Vec<Kind>,
    #[arg(long, help_heading = RUN, value_delimiter = ',', value_name = "WAY", help = Mode::help())]
    pub read: Vec<Mode>,
    /// What makes an anomaly a violation: series (the promise of the per-vma-lock patches),
    /// documented (also: addresses never go back), snapshot (also: each read shows one instant)
    #[arg(long, help_heading = JUDGING, default_value = "series", value_parser = contract, value_name = "CONTRACT")]
    pub contract: Contract,
    /// Let violations of this signature, or with this beginning up to a slash, not fail the run;
    /// repeatable
    #[arg(long, help_heading = JUDGING, value_name = "SIGNATURE")]
    pub allow: Vec<Pattern>,
    /// Allow each signature in this file, one a line; # begins a comment
    #[arg(long, help_heading = JUDGING, value_name = "FILE")]
    pub allow_file: Vec<PathBuf>,
    /// Save the evidence of each new signature in this directory, for `mapstorm verify` and
    /// `explain`, and for `replay`, `minimize` and `emit-c` where a reader found it [default:
    /// mapstorm-SEED, made at the first violation; in the folder for temporary files where the current
    /// one can't be written]
    #[arg(long, help_heading = OUTPUT, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Save no evidence
    #[arg(long, help_heading = OUTPUT, conflicts_with = "out")]
    pub no_out: bool,
    /// Examples of each signature to keep, 1 to 16
    #[arg(long, help_heading = OUTPUT, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=16))]
    pub keep: u8,
    /// Play this workload in all slices: duel, paused, slow, small, pair, pair-paused, scatter, double,
    /// same-cpu, idle, moved, crowd, queue, limit [default: drawn, more often those that tear]
    #[arg(long, help_heading = RUN, alias = "shape", value_name = "WORKLOAD")]
    pub workload: Option<Workload>,
    /// Plants a fault to see that it is found: in what readers get hole, torn, stale, unknown,
    /// disorder, malformed or truncated; in what is compared at a standstill mismatch; a call that
    /// does not come back stall (asleep), stall-spinning, stall-asleep (which is undecided), or
    /// stall-faulter; in the kernel's log splat; in what readers get of the lines below the arena hole-outside
    /// or unknown-outside; a load that is taken for refused hole-faulter
    #[arg(long, hide = true, value_name = "CLASS")]
    pub inject: Option<Planted>,
    /// End the storm at the first violation that is not allowed
    #[arg(long, help_heading = JUDGING)]
    pub fail_fast: bool,
    /// Seconds between two standstills, where the kernel's layout is compared with the oracle's
    #[arg(long, help_heading = JUDGING, default_value = "1", value_parser = seconds, value_name = "SECONDS", allow_negative_numbers = true)]
    pub pause_every: f64,
    /// Seconds that the kernel may keep a worker in a call before it is a stall; waiting for a CPU
    /// does not count
    #[arg(long, help_heading = JUDGING, default_value = "10", value_parser = seconds, value_name = "SECONDS", allow_negative_numbers = true)]
    pub stall: f64,
    /// End with exit code 4 where the kernel's log can't be watched; without it the storm goes on and the
    /// report says so
    #[arg(long, help_heading = JUDGING)]
    pub kmsg: bool,
    /// Niceness of the workers, -20 to 19; below 0 they go before other programs, which takes
    /// CAP_SYS_NICE [default: that of mapstorm]
    #[arg(long, help_heading = SIZE, value_name = "N", value_parser = clap::value_parser!(i32).range(-20..=19), allow_negative_numbers = true)]
    pub nice: Option<i32>,
    /// Format of the report on stdout; progress goes to stderr
    #[arg(long, help_heading = OUTPUT, value_parser = Format::all(), default_value = "text")]
    pub format: Format,
}

#[derive(Args, Clone, Debug)]
pub struct MergeArgs {
    /// Reports of storms as JSON, merged reports, tables of `vm`; of a folder and the folders in it, all
    /// files named *.json
    #[arg(required = true, value_name = "FILE|DIR")]
    pub paths: Vec<PathBuf>,
    /// Format of the report on stdout
    #[arg(long, help_heading = OUTPUT, value_parser = Format::all(), default_value = "text")]
    pub format: Format,
}

#[derive(Args, Clone, Debug)]
pub struct CorpusArgs {
    /// The folder that the texts go to; it is made if there is none
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
}

#[derive(Args, Clone, Debug)]
pub struct ConsumerArgs {
    /// Take the texts in this folder, which `mapstorm corpus` wrote [default: they are made anew]
    #[arg(long, help_heading = RUN, value_name = "DIR")]
    pub corpus: Option<PathBuf>,
    /// Feed it with texts of smaps, too
    #[arg(long, help_heading = RUN)]
    pub smaps: bool,
    /// Longest time for a text, in seconds
    #[arg(long, help_heading = RUN, default_value = "10", value_parser = seconds, allow_negative_numbers = true)]
    pub timeout: f64,
    /// Format of the report on stdout
    #[arg(long, help_heading = OUTPUT, value_parser = Format::all(), default_value = "text")]
    pub format: Format,
    /// The parser and its arguments, behind `--`: it reads a text on stdin and writes a line for each vma,
    /// with tabs between START END PERMS OFFSET MAJOR MINOR INODE NAME, the name in hexadecimal
    #[arg(required = true, last = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

#[derive(Args, Clone, Debug)]
pub struct VerifyArgs {
    /// Tears and incidents that a storm saved with --out, or folders of them
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Format of the report on stdout; progress goes to stderr
    #[arg(long, help_heading = OUTPUT, value_parser = Format::without_checks(), default_value = "text")]
    pub format: Format,
}

#[derive(Args, Clone, Debug)]
pub struct ExplainArgs {
    /// A tear or an incident that a storm saved with --out, or a folder of them
    pub file: PathBuf,
    /// Also write a page for a browser to this file
    #[arg(long, help_heading = OUTPUT, value_name = "OUT")]
    pub html: Option<PathBuf>,
    /// Also write the picture alone to this file, as SVG
    #[arg(long, help_heading = OUTPUT, value_name = "OUT")]
    pub svg: Option<PathBuf>,
}

#[derive(Args, Clone, Debug)]
pub struct ReplayArgs {
    /// A tear that a storm saved with --out, or a scenario
    pub file: PathBuf,
    /// Longest time to try, in seconds
    #[arg(long, help_heading = RUN, default_value = "10", value_parser = seconds, allow_negative_numbers = true)]
    pub seconds: f64,
    /// Seed of what the readers draw [default: 1]
    #[arg(long, help_heading = RUN, value_parser = seed::parse)]
    pub seed: Option<u64>,
    /// Format of the report on stdout; progress goes to stderr
    #[arg(long, help_heading = OUTPUT, value_parser = Format::without_checks(), default_value = "text")]
    pub format: Format,
}

#[derive(Args, Clone, Debug)]
pub struct MinimizeArgs {
    /// A tear that a storm saved with --out, or a scenario
    pub file: PathBuf,
    /// The file that the scenario goes to; it always holds the smallest one so far
    #[arg(short, long, help_heading = OUTPUT, value_name = "OUT")]
    pub output: PathBuf,
    /// Longest time to search, in seconds
    #[arg(long, help_heading = RUN, default_value = "180", value_parser = seconds, allow_negative_numbers = true)]
    pub seconds: f64,
    /// Format of the report on stdout; progress goes to stderr
    #[arg(long, help_heading = OUTPUT, value_parser = Format::without_checks(), default_value = "text")]
    pub format: Format,
}

#[derive(Args, Clone, Debug)]
pub struct EmitCArgs {
    /// A scenario, best a minimized one, or a tear that a storm saved with --out
    pub file: PathBuf,
    /// The file that the program goes to [default: stdout]
    #[arg(short, long, help_heading = OUTPUT, value_name = "OUT")]
    pub output: Option<PathBuf>,
    /// Compile the program with cc and run it over and over for so many seconds, so that the comment
    /// at its top can say how often it tears here
    #[arg(long, help_heading = RUN, value_name = "SECONDS", value_parser = seconds, allow_negative_numbers = true)]
    pub measure: Option<f64>,
}

#[derive(Args, Clone, Debug)]
pub struct ProbeArgs {
    /// Random operations to carry out besides, one by one, each compared with the model
    #[arg(long, help_heading = RUN, default_value_t = 0, value_name = "N")]
    pub steps: u64,
    /// Seed of these operations, decimal or 0x hexadecimal [default: drawn]
    #[arg(long, help_heading = RUN, value_parser = seed::parse)]
    pub seed: Option<u64>,
    /// Format of the report on stdout; progress goes to stderr
    #[arg(long, help_heading = OUTPUT, value_parser = Format::without_checks(), default_value = "text")]
    pub format: Format,
}

#[derive(Args, Clone, Debug)]
pub struct CasesArgs {
    /// The cases to run, separated by commas: 1 to 10, split, resize, remap, replace,
    /// replace-keep, map-shared, move, split-file [default: all]
    #[arg(long, help_heading = RUN, value_delimiter = ',', value_name = "CASE")]
    pub only: Vec<String>,
    /// How long each case is raced, in seconds, all its ways of reading together [default: 6; with
    /// --format ktap what lets all of it end within 30 seconds, or DURATION seconds for each check]
    #[arg(long, help_heading = RUN, value_parser = seconds, value_name = "SECONDS")]
    pub seconds_per_case: Option<f64>,
    /// Where a page of output ends, separated by commas: before, inside or after the vmas that
    /// change; page for nowhere near them; all [default: all]
    #[arg(long, help_heading = RUN, value_delimiter = ',', value_name = "WHERE", value_parser = boundary)]
    pub boundary: Vec<Option<Position>>,
    /// Ways of reading to use, separated by commas: read, pread, query, smaps [default: all that
    /// this kernel has]
    #[arg(long, help_heading = RUN, value_delimiter = ',', value_name = "WAY")]
    pub interface: Vec<Interface>,
    /// Workers of a storm that goes on beside the case as noise, in lanes of their own
    #[arg(long, help_heading = SIZE, default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=1024))]
    pub threads: u16,
    /// Seed of all random choices, decimal or 0x hexadecimal; the report says it [default: drawn]
    #[arg(long, help_heading = RUN, value_parser = seed::parse)]
    pub seed: Option<u64>,
    /// Format of the report on stdout; progress goes to stderr
    ///
    /// With ktap, DURATION and VERBOSE in the environment are heeded. In ktap and junit, what is
    /// undecided is a skip, and the exit code is 4 where all checks are skips, else 0.
    #[arg(long, help_heading = OUTPUT, value_parser = Format::all(), default_value = "text")]
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
