//! `mapstorm vm`: boots kernel images with mapstorm in them.

mod runner;
mod stop;
mod words;

use super::{Failure, Signals, announce};
use crate::cli::{PrintArgs, VmArgs};
use mapstorm::command_line::given;
use mapstorm::console;
use mapstorm::count::counted;
use mapstorm::exit::Exit;
use mapstorm::header::Header;
use mapstorm::host::Machine;
use mapstorm::report::Format;
use mapstorm::shard::Shard;
use mapstorm::vm::{
    Fleet, Frame, Image, ImageError, Kernel, Observer, Plan, Program, ProgramError, Qemu,
    QemuError, Record, Row, RunError, Table, html, row_line,
};
use parking_lot::Mutex;
use std::path::Path;
use std::time::{Duration, Instant};

impl From<ImageError> for Failure {
    fn from(error: ImageError) -> Failure {
        Failure::Usage(error.to_string())
    }
}

impl From<ProgramError> for Failure {
    fn from(error: ProgramError) -> Failure {
        Failure::Usage(error.to_string())
    }
}

impl From<QemuError> for Failure {
    fn from(error: QemuError) -> Failure {
        Failure::Environment(error.to_string())
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Failure {
        match error {
            RunError::Unexpected(_) => Failure::Usage(error.to_string()),
            RunError::File { .. } => Failure::Environment(error.to_string()),
        }
    }
}

/// Boots each kernel with each seed.
///
/// # Errors
/// When none can be booted, or the result can't be written.
pub fn vm(args: &VmArgs, print: &PrintArgs) -> Result<Exit, Failure> {
    let (command, arguments) = words::for_guest(args)?;
    if let Some(runner) = &args.runner {
        return elsewhere(args, print, runner, (&command, &arguments));
    }
    let kernels = kernels(args)?;
    if args.compare && kernels.len() != 2 {
        return Err(Failure::Usage(format!(
            "--compare takes two kernels, the one before and the one after, and got {}",
            kernels.len()
        )));
    }
    let runs = shard(args, each(&kernels, args));
    if runs.is_empty() {
        return Err(Failure::Usage("--shard leaves no run to this one; take a smaller N".into()));
    }
    let signals = Signals::catch().map_err(|error| Failure::Environment(error.to_string()))?;
    let header = Header::new(&Machine::here(), None, given());
    announce(args.format, print.quiet, &header);
    let plan = Plan {
        cpus: args.cpus,
        memory: args.memory.clone(),
        append: args.append.clone(),
        exact: args.exact,
        timeout: Duration::from_secs_f64(args.timeout),
        arguments,
        out: args.out.clone(),
        expect: args.expect.clone(),
        twice: args.twice,
        record: record(args, runs.len())?,
    };
    let shown = Shown {
        args,
        plan: &plan,
        signals: &signals,
        quiet: print.quiet,
        streams: runs.len() == 1 && args.format == Format::Text,
        all: runs.len(),
        start: Instant::now(),
        done: Mutex::new(0),
    };
    let fleet = Fleet::new(&plan, &shown)?;
    if args.stop_at.is_some() {
        return stop::stop(args, print, &fleet, &runs, &signals);
    }
    let rows = fleet.run(&runs, args.jobs.into())?;
    tell(args, print, Table::new(header, rows), &signals)
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let failed = |error| Failure::Environment(format!("--html {}: {error}", path.display()));
    std::fs::write(path, text).map_err(failed)
}

/// Where QEMU's log of the only run goes.
fn record(args: &VmArgs, runs: usize) -> Result<Option<Record>, Failure> {
    let Some(folder) = &args.record else { return Ok(None) };
    if args.cpus != 1 {
        return Err(Failure::Usage(
            "--record takes --cpus 1: QEMU's log knows no second CPU".into(),
        ));
    }
    if runs != 1 {
        return Err(Failure::Usage(format!("--record logs one run, and this is {runs}")));
    }
    let made = Record::into(folder);
    made.map(Some)
        .map_err(|error| Failure::Usage(format!("--record {}: {error}", folder.display())))
}

/// The same through a runner.
fn elsewhere(
    args: &VmArgs,
    print: &PrintArgs,
    runner: &str,
    guest: (&clap::Command, &[String]),
) -> Result<Exit, Failure> {
    let names: Vec<String> = args.kernels.iter().map(|path| path.display().to_string()).collect();
    if names.is_empty() {
        return Err(Failure::Usage("no kernel; name what {kernel} is to stand for".into()));
    }
    let runs = shard(args, each(&names, args));
    let runs: Vec<runner::Run> =
        runs.into_iter().map(|(name, seed)| (name.clone(), seed)).collect();
    let signals = Signals::catch().map_err(|error| Failure::Environment(error.to_string()))?;
    let header = Header::new(&Machine::here(), None, given());
    announce(args.format, print.quiet, &header);
    let over = |row: &Row| {
        if !print.quiet {
            console::note(row_line(row));
        }
    };
    let rows = runner::run(args, runner, guest, &runs, &|| signals.arrived(), over)?;
    tell(args, print, Table::new(header, rows), &signals)
}

/// Writes the table, and says how it ended.
fn tell(
    args: &VmArgs,
    print: &PrintArgs,
    table: Table,
    signals: &Signals,
) -> Result<Exit, Failure> {
    let table = if args.compare { table.compared(args.confidence) } else { table };
    if let Some(path) = &args.html {
        write(path, &html::page(&table))?;
    }
    console::result(&args.format.write(&table, print.verbose));
    let exit = signals.arrived().map_or_else(|| table.exit(), Exit::of_signal);
    Ok(args.exit_codes.of(args.format.exit(&table, exit)))
}

/// The kernels, with the QEMU and the program for each.
fn kernels(args: &VmArgs) -> Result<Vec<Kernel>, Failure> {
    let named = args.kernels.iter().map(|path| Image::at(path));
    let packed = args.kernel_of.iter().map(|path| Image::of_package(path));
    let mut images = named.chain(packed).collect::<Result<Vec<Image>, _>>()?;
    if images.is_empty() {
        return Err(Failure::Usage(
            "no kernel; name an image (bzImage, vmlinuz), a build tree, or a package with --kernel-of"
                .into(),
        ));
    }
    tell_apart(&mut images);
    let kernel = |image: Image| {
        let qemu = Qemu::find(image.arch, args.qemu.as_deref())?;
        let program = match &args.guest {
            Some(path) => Program::other(path, image.arch)?,
            None => Program::own(image.arch)?,
        };
        let place = image.path.display().to_string();
        Kernel::new(image, qemu, program)
            .map_err(|error| Failure::Environment(format!("{place}: {error}")))
    };
    images.into_iter().map(kernel).collect()
}

/// Gives images of the same name a number.
fn tell_apart(images: &mut [Image]) {
    for at in 1..images.len() {
        let (before, rest) = images.split_at_mut(at);
        let taken = |name: &str| before.iter().any(|image| image.name == name);
        let name = rest[0].name.clone();
        let mut number = 2;
        while taken(&rest[0].name) {
            rest[0].name = format!("{name}.{number}");
            number += 1;
        }
    }
}

/// Each kernel with each seed.
fn each<'a, T>(kernels: &'a [T], args: &VmArgs) -> Vec<(&'a T, Option<u64>)> {
    let seeds: Vec<Option<u64>> = match &args.seeds {
        Some(seeds) => seeds.clone().map(Some).collect(),
        None => vec![None],
    };
    kernels.iter().flat_map(|kernel| seeds.iter().map(move |seed| (kernel, *seed))).collect()
}

/// Those of the shard.
fn shard<T>(args: &VmArgs, all: Vec<T>) -> Vec<T> {
    args.shard.unwrap_or(Shard::WHOLE).part(all).collect()
}

/// What is shown while guests run.
struct Shown<'a> {
    args: &'a VmArgs,
    plan: &'a Plan,
    signals: &'a Signals,
    quiet: bool,
    /// Whether the program's output is the result, as it comes.
    streams: bool,
    all: usize,
    start: Instant,
    done: Mutex<usize>,
}

impl Observer for Shown<'_> {
    fn signal(&self) -> Option<i32> {
        self.signals.arrived()
    }

    fn frame(&self, frame: &Frame) {
        match frame {
            Frame::Begun(release) if self.streams => self.note(&format!("Linux {release} is up")),
            Frame::Stdout(bytes) if self.streams => console::result(bytes),
            Frame::Stderr(bytes) if self.streams && !self.quiet => console::to_stderr(bytes),
            _ => {}
        }
    }

    fn note(&self, text: &str) {
        if !self.quiet {
            console::note(text);
        }
    }

    fn command(&self, kernel: &Image, seed: Option<u64>, expect: Option<&str>) -> String {
        words::again(self.args, self.plan, kernel, seed, expect)
    }

    fn row(&self, row: &Row) {
        let mut done = self.done.lock();
        *done += 1;
        if self.all == 1 {
            return;
        }
        let took = self.start.elapsed();
        let left = took.mul_f64((self.all - *done) as f64 / *done as f64).as_secs();
        let rest = match left {
            0 => String::new(),
            left => format!("; about {} left", counted(left, "second")),
        };
        self.note(&format!("{} of {}: {}{rest}", *done, self.all, row_line(row)));
    }
}
