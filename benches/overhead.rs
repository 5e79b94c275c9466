//! What judging costs: readers that check against readers that only read, and mutators that
//! record against mutators that do not, in alternating slices of one run.
//!
//! `cargo bench --bench overhead [-- ROUNDS MILLIS]`. Each round plays every column once; the
//! figures are medians over the rounds and the ratios are formed round by round, so that a drift
//! of the machine weighs on both alike.

use mapstorm::arena::{Arena, Mm};
use mapstorm::maps::{MapsFile, MapsRead};
use mapstorm::oracle::{Contract, Oracle};
use mapstorm::seed::Stream;
use mapstorm::space::{Kind, KindSet, Layout, Op, Place as Pages, Span, apply, fits};
use mapstorm::storm::{
    Counts, Cpus, Findings, Mode, Mutator, Place, Program, Reader, Repertoire, Spell, Stage, Tally,
    calibrate, draw_layout,
};
use parking_lot::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const LANES: usize = 8;
const PAGES: usize = 16;
const SPELL: Spell = Spell {
    first_lane: 0,
    lanes: LANES as u16,
    hammer: 6,
    spin: 0,
    sleep: 0,
    idle: false,
    longest: 0,
};

/// What readers do in a slice.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reading {
    None,
    Only,
    Checked,
}

/// What mutators do in a slice.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mutating {
    None,
    Only,
    Recorded,
}

/// Who runs in a slice: its name, the mutators, the readers.
type Column = (&'static str, Mutating, Reading);

const BOTH: Column = ("mutators recording, readers checking", Mutating::Recorded, Reading::Checked);
const COLUMNS: [Column; 6] = [
    BOTH,
    ("mutators recording, readers only reading", Mutating::Recorded, Reading::Only),
    ("mutators not recording, readers only reading", Mutating::Only, Reading::Only),
    ("mutators alone, recording", Mutating::Recorded, Reading::None),
    ("mutators alone, not recording", Mutating::Only, Reading::None),
    ("readers alone, checking", Mutating::None, Reading::Checked),
];
const READERS_ALONE: Column = ("readers alone, only reading", Mutating::None, Reading::Only);

/// How long the same two threads run, as in the storm.
const TURN: Duration = Duration::from_millis(16);

/// What a slice delivered a second.
#[derive(Clone, Copy, Default)]
struct Slice {
    pages: f64,
    operations: f64,
}

struct Bench {
    arena: Arena,
    may: Repertoire,
    oracle: Oracle,
    findings: Findings,
    seed: u64,
}

fn main() {
    let numbers: Vec<u64> = std::env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    let rounds = numbers.first().copied().unwrap_or(15) as usize;
    let millis = Duration::from_millis(numbers.get(1).copied().unwrap_or(200));
    println!(
        "{rounds} rounds of {} ms a column, {} CPUs; a quarter of the threads read, and one of \
         each runs at a time, in turns of {} ms",
        millis.as_millis(),
        Cpus::allowed().count(),
        TURN.as_millis(),
    );
    // Operations that do not replace in flight, so that reading is not dominated by evidence of
    // tears; and everything, as the storm does it.
    for (name, kinds) in
        [("without remap", KindSet::all().without(Kind::Remap)), ("all", KindSet::all())]
    {
        let mut bench = Bench::new(kinds);
        for threads in [2, 8, 64] {
            println!("\n{threads} threads, operations: {name} ({})", bench.may.kinds);
            bench.compare(threads, rounds, millis);
        }
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn print(name: &str, slices: &[Slice]) {
    let pages = median(slices.iter().map(|slice| slice.pages).collect());
    let operations = median(slices.iter().map(|slice| slice.operations).collect());
    println!("  {name:<44} {pages:>9.0} pages/s {operations:>9.0} operations/s");
}

fn ratio(name: &str, over: &[Slice], under: &[Slice], of: impl Fn(&Slice) -> f64) {
    let ratios: Vec<f64> = over.iter().zip(under).map(|(a, b)| of(a) / of(b)).collect();
    let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
    let most = ratios.iter().copied().fold(0.0, f64::max);
    println!("  => {name:<52} {:.3} (from {least:.3} to {most:.3})", median(ratios));
}

impl Bench {
    fn new(kinds: KindSet) -> Bench {
        let arena = Arena::reserve(LANES, PAGES).expect("an arena");
        let wanted = Repertoire::full(kinds, arena.file_count());
        let mut file = MapsFile::own().expect("maps");
        let calibration = calibrate(&arena, &mut file, wanted).expect("calibration");
        let may = Repertoire { kinds: calibration.kinds(), ..calibration.may };
        let empty = vec![Layout::empty(PAGES); LANES];
        let oracle = Oracle::new(*arena.geometry(), &empty, 1 << 15);
        let findings = Findings::new(Vec::new(), false, 1, 64);
        Bench { arena, may, oracle, findings, seed: 1 }
    }

    fn compare(&mut self, threads: usize, rounds: usize, length: Duration) {
        let columns: Vec<Column> = COLUMNS.into_iter().chain([READERS_ALONE]).collect();
        let mut slices = vec![Vec::new(); columns.len()];
        for _ in 0..rounds {
            for (slices, &column) in slices.iter_mut().zip(&columns) {
                slices.push(self.slice(threads, column, length));
            }
        }
        for ((name, ..), slices) in columns.iter().zip(&slices) {
            print(name, slices);
        }
        let ops = |slice: &Slice| slice.operations;
        let pages = |slice: &Slice| slice.pages;
        ratio("readers checking / only reading, beside mutators", &slices[0], &slices[1], pages);
        ratio("readers checking / only reading, alone", &slices[5], &slices[6], pages);
        ratio("mutators recording / not, beside readers", &slices[1], &slices[2], ops);
        ratio("mutators recording / not, alone", &slices[3], &slices[4], ops);
    }

    fn slice(&mut self, threads: usize, column: Column, length: Duration) -> Slice {
        let (_, mutating, reading) = column;
        self.seed += 1;
        let lanes = Mutex::new(self.lay_out());
        let stage = Stage::new(threads);
        let tallies: Vec<Tally> = (0..threads).map(|_| Tally::default()).collect();
        let readers = (threads / 4).max(1);
        let (pages, operations) = (AtomicU64::new(0), AtomicU64::new(0));
        let cpus = Cpus::allowed();
        let ready = AtomicUsize::new(0);
        let mut seconds = 0.0;
        std::thread::scope(|scope| {
            for (me, tally) in tallies.iter().enumerate() {
                let (stage, lanes, pages, operations, ready, bench) =
                    (&stage, &lanes, &pages, &operations, &ready, &*self);
                scope.spawn(move || {
                    let reads = me < readers;
                    stage.enter(me);
                    pin(usize::from(!reads));
                    let mut worker = Worker::new(bench, tally, me);
                    ready.fetch_add(1, Ordering::Relaxed);
                    while let Some(cue) = stage.attend(me) {
                        let on = || stage.is_on(cue.generation);
                        match (reads, reading, mutating) {
                            (true, Reading::Checked, _) => worker.check(on),
                            (true, ..) => worker.only_read(on),
                            (false, _, Mutating::Recorded) => worker.record(on),
                            (false, ..) => worker.only_act(&mut lanes.lock(), on),
                        }
                    }
                    let done = if reads { pages } else { operations };
                    done.fetch_add(worker.done(), Ordering::Relaxed);
                });
            }
            // What threads need before they can begin is no part of it.
            while ready.load(Ordering::Relaxed) < threads {
                std::thread::sleep(Duration::from_micros(100));
            }
            let begun = Instant::now();
            for turn in 0.. {
                let left = length.saturating_sub(begun.elapsed());
                if left.is_zero() {
                    break;
                }
                stage.play(SPELL, |worker| {
                    let plays = match worker.checked_sub(readers) {
                        None => reading != Reading::None && worker == turn % readers,
                        Some(rank) => {
                            mutating != Mutating::None && rank == turn % (threads - readers)
                        }
                    };
                    plays.then_some(cpus.nth(usize::from(worker >= readers)))
                });
                std::thread::sleep(left.min(TURN));
            }
            stage.stop();
            seconds = begun.elapsed().as_secs_f64();
        });
        Slice {
            pages: pages.into_inner() as f64 / seconds,
            operations: operations.into_inner() as f64 / seconds,
        }
    }

    /// The same first layout for every slice of a round and all rounds.
    fn lay_out(&self) -> Vec<Layout> {
        let mut rng = Stream::new(7, "layout", 0);
        (0..LANES as u16)
            .map(|lane| {
                let layout = draw_layout(&mut rng, &self.may, lane, PAGES);
                let at = |start, end| Pages { lane, span: Span::new(start, end) };
                self.arena.carry_out(&Op::Unmap { at: at(0, PAGES) }).expect("munmap");
                for vma in layout.vmas() {
                    let op = Op::Map { at: at(vma.start, vma.end), page: vma.page };
                    self.arena.carry_out(&op).expect("mmap");
                }
                self.oracle.repair(&mut self.oracle.hold(lane), &layout);
                layout
            })
            .collect()
    }
}

/// One thread with everything it works with.
struct Worker<'a> {
    bench: &'a Bench,
    tally: &'a Tally,
    mutator: Mutator<'a>,
    reader: Reader<'a, MapsFile>,
    file: MapsFile,
    page: Vec<u8>,
    rng: Stream,
    program: Program,
    left: usize,
    count: u64,
}

impl<'a> Worker<'a> {
    fn new(bench: &'a Bench, tally: &'a Tally, me: usize) -> Worker<'a> {
        let place = Place {
            oracle: &bench.oracle,
            identities: bench.arena.identities(),
            findings: &bench.findings,
            tally,
            contract: Contract::Series,
            reader: me,
            begun: Instant::now(),
            versions: 64,
            tripwire: None,
            settle: None,
        };
        let rng = |role| Stream::new(bench.seed, role, me);
        let maps = || MapsFile::own().expect("maps");
        Worker {
            bench,
            tally,
            mutator: Mutator::new(&bench.oracle, tally, bench.may, rng("mutator"), me as u16),
            reader: Reader::new(maps(), None, rng("reader"), place),
            file: maps(),
            page: vec![0; bench.arena.geometry().page_size() as usize],
            rng: rng("mutator"),
            program: Program::Scatter { lane: 0, other: 0 },
            left: 0,
            count: 0,
        }
    }

    /// Pages read or operations done so far.
    fn done(&self) -> u64 {
        let mut counts = Counts::default();
        counts.add(self.tally);
        self.count + counts.operations.iter().sum::<u64>() + counts.calls.iter().sum::<u64>()
    }

    fn record(&mut self, on: impl Fn() -> bool) {
        self.mutator.attend();
        while on() {
            self.mutator.step(&self.bench.arena, &SPELL);
        }
    }

    /// The same programs and system calls, without locks, clock and history.
    fn only_act(&mut self, lanes: &mut [Layout], on: impl Fn() -> bool) {
        let Worker { bench, rng, program, left, count, .. } = self;
        *left = 0;
        while on() {
            if *left == 0 {
                let lane = rng.below(LANES) as u16;
                let other = if rng.one_in(2) { lane } else { rng.below(LANES) as u16 };
                let hammer = (rng.below(8) < SPELL.hammer as usize).then(|| {
                    Program::hammer(rng, &bench.may, lane, &lanes[lane as usize], other, PAGES)
                });
                *program = hammer.flatten().unwrap_or(Program::Scatter { lane, other });
                *left = 8 << rng.below(7);
            }
            *left -= 1;
            let (lane, other) = program.lanes();
            let (mut first, mut second) =
                (lanes[lane as usize], lanes[other.unwrap_or(lane) as usize]);
            let Some(op) = program.next(rng, &bench.may, &first, &second) else {
                *left = 0;
                continue;
            };
            if fits(&op, &first, &second).is_err() {
                *left = 0;
                continue;
            }
            apply(&op, &mut first, &mut second);
            bench.arena.carry_out(&op).expect("an operation that fits");
            lanes[lane as usize] = first;
            if let Some(other) = op.other_lane() {
                lanes[other as usize] = second;
            }
            *count += 1;
        }
    }

    fn check(&mut self, on: impl Fn() -> bool) {
        self.reader.aim(0, LANES as u16);
        while on() {
            self.reader.turn(Mode::Walk);
        }
    }

    /// Whole walks of page-sized reads up to the arena's end, without looking at a line.
    fn only_read(&mut self, on: impl Fn() -> bool) {
        let end = format!("{:x}", self.bench.arena.geometry().end());
        while on() {
            let mut offset = 0;
            loop {
                let got = self.file.pread(&mut self.page, offset).expect("maps");
                self.count += 1;
                offset += got as u64;
                // The first address of the last line's beginning, compared as text: all addresses
                // from the arena on have as many digits.
                let page = &self.page[..got];
                let last = page.rsplitn(3, |&byte| byte == b'\n').nth(1).unwrap_or_default();
                if got == 0
                    || last.len() > 12 && &last[..end.len()] >= end.as_bytes() && last[12] == b'-'
                {
                    break;
                }
            }
        }
    }
}

fn pin(number: usize) {
    let mut set = rustix::thread::CpuSet::new();
    if let Some(cpu) = Cpus::allowed().nth(number) {
        set.set(cpu);
        let _ = rustix::thread::sched_setaffinity(None, &set);
    }
}
