//! The arguments of `latency` and `compare`.

use super::plan::{self, Reader};
use crate::command_line::{JUDGING, OUTPUT, RUN, SIZE};
use crate::host::parse_cpu_list;
use crate::report::Format;
use crate::seed;
use std::path::PathBuf;
use std::time::Duration;

/// Measures what readers of maps cost the threads that map and unmap.
///
/// One mapper thread unmaps or maps one random page of a populated private anonymous region, over
/// and over, and times each call; between calls it sleeps 10 us. Scanner threads read the whole of
/// a file of /proc/self meanwhile, at nice 15 and on other CPUs. Busy threads on the scanners'
/// CPUs make the scanners lose their CPU while they hold locks.
///
/// Samples alternate with a control: the same mapper beside the same threads, which spin instead
/// of reading. Threads of one process cost the mapper an interrupt of their CPU at every unmapping
/// (the TLB shootdown), whether they read or not; the ratio to this control is the cost of reading
/// alone. `--against none` shows the mapper with no thread beside it.
///
/// Exit code 0 when done; 1 when a call hung; 4 when the file is not there; 5 when a scanner never
/// finished a scan; 64 usage; 70 internal or environment error; 129, 130 or 143 after SIGHUP, SIGINT or SIGTERM, with the report of what was measured until then.
#[derive(clap::Args, Clone, Debug)]
pub struct LatencyArgs {
    /// Samples in each column; six or more make the intervals trustworthy
    #[arg(long, help_heading = RUN, value_name = "N", default_value = "7", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub nsamples: u32,

    /// Length of one sample in seconds
    #[arg(long, help_heading = RUN, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    pub duration: Duration,

    /// Let busy threads take the scanners' CPUs away: each spins this many ms, then sleeps 1 ms; 0
    /// for no busy threads
    #[arg(long, help_heading = SIZE, value_name = "MS", default_value = "0", value_parser = clap::value_parser!(u64).range(0..=3_600_000))]
    pub busyduration: u64,

    /// The file of /proc/self that scanners read: maps, smaps, numa_maps, ...
    #[arg(long, help_heading = RUN, value_name = "NAME", default_value = "maps", value_parser = plan::file_name)]
    pub procfile: String,

    /// Scanner threads; with 0 the mapper is alone in every column
    ///
    /// Two, as in proc-mmap_sem-test.
    #[arg(long, help_heading = SIZE, value_name = "N", default_value = "2", value_parser = clap::value_parser!(u32).range(0..=1024))]
    pub scanners: u32,

    /// Measure further columns, separated by commas: none, idle, procmap-query, or a file as in
    /// --procfile
    ///
    /// `none` is the mapper alone, without busy threads; `idle` is a second control, whose ratio
    /// to the first shows the noise of this run; `procmap-query` walks by PROCMAP_QUERY.
    #[arg(long, help_heading = RUN, value_name = "READER,...", value_delimiter = ',')]
    pub against: Vec<Reader>,

    /// Size of the region that the mapper maps and unmaps, in MiB [default: 128]
    #[arg(long, help_heading = SIZE, value_name = "N", conflicts_with = "gb", value_parser = clap::value_parser!(u64).range(1..=1 << 30))]
    pub mb: Option<u64>,

    /// The same in GiB
    #[arg(long, help_heading = SIZE, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    pub gb: Option<u64>,

    /// The mapper's CPU [default: the first this process may use]
    #[arg(long, help_heading = SIZE, value_name = "CPU", value_parser = cpu)]
    pub mapper_cpu: Option<usize>,

    /// The CPUs of scanners and busy threads, such as 1-3,5 [default: all but the mapper's]
    // The full path keeps clap from taking the vector for a repeated option.
    #[arg(long, help_heading = SIZE, value_name = "CPUS", value_parser = parse_cpu_list)]
    pub scanner_cpus: Option<std::vec::Vec<usize>>,

    /// A call that does not come back within this many seconds is a hang: its stack is saved and
    /// the run ends
    #[arg(long, help_heading = JUDGING, value_name = "SECONDS", default_value = "30", value_parser = hang_seconds)]
    pub hang_seconds: Duration,

    /// Save the evidence of a hang in this directory
    #[arg(long, help_heading = OUTPUT, value_name = "DIR", default_value = ".")]
    pub hang_dir: PathBuf,

    /// Seed of the choice of pages, decimal or 0x hexadecimal; every column of a round draws the same
    /// [default: drawn]
    #[arg(long, help_heading = RUN, value_name = "N", value_parser = seed::parse)]
    pub seed: Option<u64>,

    /// Print one line a sample as proc-mmap_sem-test does: median of the averages, this sample's
    /// average, its maximum, in ms, sorted by the maximum
    ///
    /// The control's lines come after, each behind `# control `.
    #[arg(long, help_heading = OUTPUT, conflicts_with = "format")]
    pub rawdata: bool,

    /// Format of the report on stdout; progress goes to stderr
    #[arg(long, help_heading = OUTPUT, value_parser = Format::without_checks(), default_value = "text")]
    pub format: Format,

    /// Also write the JSON result here, anew after every round, for `compare`
    #[arg(long, help_heading = OUTPUT, value_name = "FILE")]
    pub save: Option<PathBuf>,

    /// Plants a hang, to prove that it is seen
    #[arg(long, hide = true, value_enum)]
    pub inject: Option<Planted>,
}

/// Sets results of `latency` side by side.
///
/// The others are compared with the first. Ratios come with intervals from resampling
/// whole samples. Differences of machine or setup that make the comparison unfair are named.
#[derive(clap::Args, Clone, Debug)]
pub struct CompareArgs {
    /// Results written by `latency --save` or `latency --format json`
    ///
    /// Several runs of the same setup on the same machine, given as one word with commas between,
    /// are merged into one.
    #[arg(required = true, value_name = "FILE[,FILE...]")]
    pub files: Vec<PathBuf>,

    /// Also write a page with percentile curves and each sample's maximum to this file
    #[arg(long, help_heading = OUTPUT, value_name = "FILE")]
    pub html: Option<PathBuf>,

    /// Format of the report on stdout; progress goes to stderr
    #[arg(long, help_heading = OUTPUT, value_parser = Format::without_checks(), default_value = "text")]
    pub format: Format,

    /// How often the samples are drawn anew; more make the intervals steadier
    #[arg(long, help_heading = RUN, value_name = "N", default_value = "1000", value_parser = clap::value_parser!(u32).range(100..=100_000))]
    pub resamples: u32,

    /// Confidence of the intervals in per cent
    #[arg(long, help_heading = RUN, value_name = "PERCENT", default_value = "95", value_parser = clap::value_parser!(u8).range(50..=99))]
    pub confidence: u8,

    /// Seed of the resampling, decimal or 0x hexadecimal
    #[arg(long, help_heading = RUN, value_name = "N", default_value = "1", value_parser = seed::parse)]
    pub seed: u64,
}

/// A fault planted on purpose.
#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Planted {
    /// The mapper's hundredth call does not come back.
    HangMapper,
    /// The first scanner's hundredth call does not come back.
    HangScanner,
}

impl LatencyArgs {
    /// The size of the region in bytes.
    pub fn region_bytes(&self) -> u64 {
        match (self.gb, self.mb) {
            (Some(gb), _) => gb << 30,
            (None, mb) => mb.unwrap_or(128) << 20,
        }
    }
}

/// The longest hang time, so that every call that is no hang fits the histograms.
const LONGEST: Duration = Duration::from_secs(3600);

fn seconds(text: &str) -> Result<Duration, String> {
    let value: f64 = text.parse().map_err(|_| format!("`{text}` is not a number of seconds"))?;
    if !(0.01..=86_400.0).contains(&value) {
        return Err("must lie between 0.01 and 86400 seconds".to_owned());
    }
    Ok(Duration::from_secs_f64(value))
}

fn hang_seconds(text: &str) -> Result<Duration, String> {
    match seconds(text)? {
        time if time > LONGEST => Err("must be at most 3600 seconds".to_owned()),
        time => Ok(time),
    }
}

fn cpu(text: &str) -> Result<usize, String> {
    match parse_cpu_list(text)?[..] {
        [cpu] => Ok(cpu),
        _ => Err("the mapper has one CPU".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        latency: LatencyArgs,
    }

    fn parse(words: &str) -> Result<LatencyArgs, String> {
        Line::try_parse_from(["latency"].into_iter().chain(words.split_whitespace()))
            .map(|line| line.latency)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn the_command_line_of_the_original_works() {
        let args = parse("--nsamples 100 --rawdata --busyduration 2 --duration 1").unwrap();
        assert_eq!((args.nsamples, args.busyduration), (100, 2));
        assert_eq!(args.duration, Duration::from_secs(1));
        assert!(args.rawdata);
    }

    #[test]
    fn defaults_are_the_documented_ones() {
        let args = parse("").unwrap();
        assert_eq!(args.duration, Duration::from_secs(10));
        assert_eq!((args.busyduration, args.scanners), (0, 2));
        assert_eq!(args.region_bytes(), 128 << 20);
        assert_eq!(args.procfile, "maps");
        assert_eq!(parse("--gb 2").unwrap().region_bytes(), 2 << 30);
    }

    #[test]
    fn lists_split_at_commas() {
        let args = parse("--against none,procmap-query,smaps --scanner-cpus 1-2,5").unwrap();
        let smaps = Reader::File("smaps".into());
        assert_eq!(args.against, [Reader::None, Reader::Query, smaps]);
        assert_eq!(args.scanner_cpus.unwrap(), [1, 2, 5]);
    }

    #[test]
    fn nonsense_is_refused() {
        for words in [
            "--duration 0",
            "--duration -1",
            "--duration nan",
            "--duration inf",
            "--nsamples 0",
            "--mb 0",
            "--gb 18446744073709551615",
            "--mb 1 --gb 1",
            "--hang-seconds 0",
            "--hang-seconds 4000",
            "--scanner-cpus ,",
            "--mapper-cpu 0-1",
            "--procfile ../x",
            "--rawdata --format json",
        ] {
            assert!(parse(words).is_err(), "{words}");
        }
    }
}
