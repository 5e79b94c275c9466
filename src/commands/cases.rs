//! `mapstorm cases`.

use super::{Failure, Signals, announce};
use crate::cli::{CasesArgs, PrintArgs};
use mapstorm::allocations;
use mapstorm::cases::{
    Around, AtOnce, Budget, CaseReport, CasesReport, Interface, Position, Proof, RunReport, Spec,
    TABLE, checks, find, play, prove, text,
};
use mapstorm::command_line::with_seed;
use mapstorm::console;
use mapstorm::count::counted;
use mapstorm::engine::Overlap;
use mapstorm::exit::Exit;
use mapstorm::header::Header;
use mapstorm::host::{Machine, MapsLocking, observe_locking, observe_smaps_locking};
use mapstorm::oracle::Contract;
use mapstorm::report::checks::{Check, Totals};
use mapstorm::report::ktap::Ktap;
use mapstorm::report::{Format, OverlapReport, Verdict};
use mapstorm::seed;
use mapstorm::vocabulary::unknown;
use std::time::{Duration, Instant};

/// Time for all checks of a KTAP run, from the start of the program. With the end of the last one
/// it takes 30 s; the selftest runner gives 45.
const KTAP_SECONDS: f64 = 27.0;
/// Where the filters leave nothing.
const NO_TEST: &str = "--only, --interface and --boundary together name no test: query has no pages \
    that could end anywhere, and not every case has a vma before, inside and after its change";
/// How long a case is raced where nothing is said.
const SECONDS_PER_CASE: f64 = 6.0;

/// Runs the cases and reports them.
///
/// # Errors
/// When what is asked for is not there, or the result can't be written.
pub fn cases(args: &CasesArgs, print: &PrintArgs) -> Result<Exit, Failure> {
    let begun = Instant::now();
    let specs = asked_for(&args.only)?;
    let environment = Environment::read()?;
    let machine = Machine::here();
    let signals = Signals::catch().map_err(|error| Failure::Environment(error.to_string()))?;
    let seed = args.seed.unwrap_or_else(seed::draw);
    let header = Header::new(&machine, Some(seed), with_seed(seed)).judged_by(Contract::Series);
    announce(args.format, print.quiet, &header);
    let without = lacking();
    let stop = || signals.arrived();
    let locking = [observe_locking(machine.version()), observe_smaps_locking(machine.version())];
    let all = Session {
        around: Around {
            seed,
            noise: args.threads as usize,
            at_once: AtOnce {
                maps: locking[0] == MapsLocking::MmapLock,
                smaps: locking[1] == MapsLocking::MmapLock,
            },
            signal: &stop,
        },
        without,
        locking,
        header,
        begun,
    };
    let allocations = allocations::count();
    let interfaces = or_all(&args.interface, &Interface::ALL);
    let asked: Option<Vec<Position>> = args.boundary.iter().copied().collect();
    let positions = or_all(&asked.unwrap_or_default(), &Position::ALL);
    if checks::tests(&specs, &interfaces, &positions).is_empty() {
        return Err(Failure::Usage(NO_TEST.into()));
    }
    match args.format {
        Format::Ktap => Ok(all.ktap(&specs, &interfaces, &positions, args, &environment)),
        _ => {
            let report = all.race(&specs, &interfaces, &positions, args, print, allocations);
            Ok(args.format.exit(&report, report.exit()))
        }
    }
}

fn or_all<T: Copy>(asked: &[T], all: &[T]) -> Vec<T> {
    if asked.is_empty() { all.to_vec() } else { asked.to_vec() }
}

/// The cases that `--only` names, in the order of the table.
fn asked_for(only: &[String]) -> Result<Vec<&'static Spec>, Failure> {
    for name in only {
        if find(name).is_none() {
            let known: Vec<&str> = TABLE.iter().map(|spec| spec.name).collect();
            return Err(Failure::Usage(format!("--only: {}", unknown("case", name, &known))));
        }
    }
    let asked = |spec: &&Spec| {
        only.is_empty() || only.iter().any(|name| find(name).is_some_and(|f| f.name == spec.name))
    };
    Ok(TABLE.iter().filter(asked).collect())
}

/// The runs of a case: what it is read through, and where the page of output ends.
fn places(
    spec: &'static Spec,
    interfaces: &[Interface],
    positions: &[Position],
) -> impl Iterator<Item = (Interface, Position)> {
    interfaces.iter().flat_map(move |&interface| {
        let there = positions.iter().filter(move |&&position| {
            position == Position::Page || interface.has_pages() && spec.boundary(position).is_some()
        });
        there.map(move |&position| (interface, position))
    })
}

/// The interfaces this kernel lacks.
fn lacking() -> Vec<(Interface, String)> {
    let why = |interface: Interface| {
        let mode = interface.mode();
        let errno = mode.offered().err()?;
        Some((interface, format!("{errno}; {}", mode.takes())))
    };
    Interface::ALL.into_iter().filter_map(why).collect()
}

/// What the selftest runner says through the environment.
struct Environment {
    duration: Option<f64>,
    verbose: bool,
}

impl Environment {
    fn read() -> Result<Environment, Failure> {
        let duration = match std::env::var("DURATION") {
            Err(_) => None,
            Ok(text) => Some(crate::cli::seconds(&text).map_err(|why| {
                Failure::Usage(format!("the environment variable DURATION, {text:?}: {why}"))
            })?),
        };
        let verbose = std::env::var("VERBOSE").is_ok_and(|text| !text.is_empty() && text != "0");
        Ok(Environment { duration, verbose })
    }
}

/// One call of the command.
struct Session<'a> {
    around: Around<'a>,
    without: Vec<(Interface, String)>,
    locking: [MapsLocking; 2],
    header: Header,
    begun: Instant,
}

impl Session<'_> {
    fn why_not(&self, interface: Interface) -> Option<&str> {
        let lacking = self.without.iter().find(|(lacking, _)| *lacking == interface);
        lacking.map(|(_, why)| why.as_str())
    }

    fn stopped(&self) -> Option<i32> {
        (self.around.signal)()
    }

    /// Races a case for as long as is said, or as `budget` has time for: where too little was
    /// judged, on and on.
    fn timed(
        &self,
        fixed: Option<Duration>,
        budget: &mut Budget,
        spec: &'static Spec,
        interface: Interface,
        position: Position,
    ) -> Option<RunReport> {
        if let Some(time) = fixed {
            return play(spec, interface, position, time, &self.around);
        }
        let mut next = budget.first(self.begun.elapsed());
        let mut last = Some(RunReport::left_out(interface, position));
        let mut had = Duration::ZERO;
        while let Some(time) = next {
            let from = self.begun.elapsed();
            let run = play(spec, interface, position, time, &self.around);
            let now = self.begun.elapsed();
            budget.raced(time, now - from);
            had += time;
            last = match last.filter(|last| last.judged_too_little) {
                Some(earlier) => run.map(|run| run.after(&earlier)),
                None => run,
            };
            let too_little = last.as_ref().is_some_and(|last| last.judged_too_little);
            next = match too_little && self.stopped().is_none() {
                true => budget.again(now, had),
                false => None,
            };
        }
        budget.done(1);
        last
    }

    /// Races case after case. People see each case as it ends, other formats come last.
    fn race(
        &self,
        specs: &[&'static Spec],
        interfaces: &[Interface],
        positions: &[Position],
        args: &CasesArgs,
        print: &PrintArgs,
        allocations: u64,
    ) -> CasesReport {
        let people = args.format == Format::Text;
        let seconds = args.seconds_per_case;
        let all = specs.len() as f64 * seconds.unwrap_or(SECONDS_PER_CASE);
        let runs = specs.iter().map(|spec| places(spec, interfaces, positions).count()).sum();
        let total = self.begun.elapsed() + Duration::from_secs_f64(all);
        let mut budget = Budget::new(total, runs);
        if !print.quiet {
            let cases = counted(specs.len() as u64, "case");
            let each = seconds.map_or(String::new(), |each| format!(" of {each:.1} s"));
            console::note(format_args!("{cases}{each}: {all:.1} s in all"));
        }
        let mut text = Vec::new();
        text::head(&mut text).expect("into memory");
        let mut cases = Vec::new();
        for (number, spec) in specs.iter().enumerate() {
            if self.stopped().is_some() {
                break;
            }
            if !print.quiet {
                console::note(format_args!(
                    "case {}, {} of {}",
                    spec.name,
                    number + 1,
                    specs.len()
                ));
            }
            let case = self.case(spec, interfaces, positions, seconds, &mut budget);
            text::case(&mut text, &case, print.verbose).expect("into memory");
            if people {
                // As it goes: a long run shows what it has.
                console::result(&text);
                text.clear();
            }
            cases.push(case);
        }
        let report = self.report(cases, allocations);
        if people {
            text::last_lines(&mut text, &report).expect("into memory");
            console::result(&text);
        } else {
            console::result(&args.format.write(&report, print.verbose));
        }
        report
    }

    fn case(
        &self,
        spec: &'static Spec,
        interfaces: &[Interface],
        positions: &[Position],
        seconds: Option<f64>,
        budget: &mut Budget,
    ) -> CaseReport {
        let proof: Result<Proof, String> = prove(spec);
        let mut runs = Vec::new();
        let all: Vec<_> = places(spec, interfaces, positions).collect();
        if proof.is_err() {
            budget.done(all.len());
        } else {
            let each =
                seconds.map(|seconds| Duration::from_secs_f64(seconds / all.len().max(1) as f64));
            for (interface, position) in all {
                if self.stopped().is_some() {
                    break;
                }
                runs.extend(match self.why_not(interface) {
                    Some(why) => {
                        budget.done(1);
                        Some(RunReport::untestable(interface, position, why.into()))
                    }
                    None => self.timed(each, budget, spec, interface, position),
                });
            }
        }
        CaseReport::new(spec, proof, runs)
    }

    fn report(&self, cases: Vec<CaseReport>, allocations: u64) -> CasesReport {
        let without = |(what, why): &(Interface, String)| [what.to_string(), why.clone()];
        CasesReport {
            schema_version: CasesReport::SCHEMA_VERSION,
            header: self.header.clone(),
            maps_locking: self.locking[0],
            smaps_locking: self.locking[1],
            maps_at_once: self.around.at_once.maps,
            smaps_at_once: self.around.at_once.smaps,
            without: self.without.iter().map(without).collect(),
            elapsed_ms: self.begun.elapsed().as_millis() as u64,
            allocations_in_runs: allocations::count() - allocations,
            signal: self.stopped(),
            verdict: Verdict::of(cases.iter().map(|case| case.verdict)),
            overlap: OverlapReport::from(cases.iter().map(|case| case.overlap()).sum::<Overlap>()),
            cases,
        }
    }

    /// One test after the other, each on stdout as soon as it is over.
    fn ktap(
        &self,
        specs: &[&'static Spec],
        interfaces: &[Interface],
        positions: &[Position],
        args: &CasesArgs,
        environment: &Environment,
    ) -> Exit {
        let tests = checks::tests(specs, interfaces, positions);
        let each = match (environment.duration, args.seconds_per_case) {
            (_, Some(seconds)) => Some(seconds * specs.len() as f64 / tests.len().max(1) as f64),
            (duration, None) => duration,
        };
        let totals = self.write_ktap(&tests, each, environment).expect("results give no error");
        self.stopped().map_or(totals.exit(), Exit::of_signal)
    }

    fn write_ktap(
        &self,
        tests: &[checks::Test],
        each: Option<f64>,
        environment: &Environment,
    ) -> std::io::Result<Totals> {
        let mut ktap = Ktap::begin(console::Results::new(), tests.len(), environment.verbose)?;
        ktap.remark(&format!("seed {:#x}: {}", self.around.seed, self.header.command))?;
        let mut overlap = Overlap::default();
        let tests_here = counted(tests.len() as u64, "test");
        ktap.remark(&match each {
            Some(each) => {
                let all = each * tests.len() as f64;
                format!(
                    "{tests_here} of {each:.1} s: {all:.1} s in all, and what it takes to begin each"
                )
            }
            None => format!("{tests_here}: at most 30 s in all"),
        })?;
        let runs = tests.iter().map(|test| test.positions.len()).sum();
        let mut budget = Budget::new(Duration::from_secs_f64(KTAP_SECONDS), runs);
        let mut proved: Option<(&str, Result<Proof, String>)> = None;
        for test in tests {
            if let Some(number) = self.stopped() {
                let why = format!("signal {number} arrived");
                ktap.check(&Check::skip(&test.name, 0.0, why))?;
                continue;
            }
            if proved.as_ref().is_none_or(|(name, _)| *name != test.spec.name) {
                proved = Some((test.spec.name, prove(test.spec)));
            }
            let refused = proved.as_ref().and_then(|(_, proof)| proof.as_ref().err());
            let why = self.why_not(test.interface).or(refused.map(String::as_str));
            if let Some(why) = why {
                budget.done(test.positions.len());
                ktap.check(&Check::skip(&test.name, 0.0, why))?;
                continue;
            }
            let fixed =
                each.map(|each| Duration::from_secs_f64(each / test.positions.len() as f64));
            let runs: Vec<RunReport> = test
                .positions
                .iter()
                .filter_map(|&position| {
                    self.timed(fixed, &mut budget, test.spec, test.interface, position)
                })
                .collect();
            overlap += runs.iter().map(|run| run.overlap).sum();
            ktap.check(&checks::check(&test.name, &runs.iter().collect::<Vec<_>>()))?;
        }
        let overlap = OverlapReport::from(overlap);
        for said in [overlap.doubt().as_deref(), overlap.remedy(false)].into_iter().flatten() {
            ktap.remark(said)?;
        }
        ktap.end()
    }
}
