//! What judging costs: readers that check against readers that only read, and mutators that
//! record against mutators that do not, in alternating turns_taken of one run.
//!
//! `cargo bench --bench overhead [-- ROUNDS MILLIS [THREADS...]]`. The thread that is measured does
//! both by turns, a few milliseconds each, while the others go on as they were: a drift of the
//! machine, which is far larger than what is measured, weighs on both alike. A round gives one
//! ratio for each column; the figures are medians over the rounds, in
//! pages' worth of text and in operations. Beside them stands what all rounds together yielded, in
//! full and without: a round in which the machine was slow weighs less there.

use mapstorm::engine::{
    Counts, Cpus, Findings, Mode, Mutator, OpSet, Place, Program, Reader, Scheduler, Slice,
    Surroundings, Tally, calibrate, draw_layout, read_outside,
};
use mapstorm::kernel::{Arena, MapsFile, MapsRead, Mm};
use mapstorm::model::{Kind, KindSet, Layout, Op, Place as Pages, Space, Span};
use mapstorm::oracle::Oracle;
use mapstorm::seed::Stream;
use parking_lot::Mutex;
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const LANES: usize = 8;
const PAGES: usize = 16;
const SLICE: Slice = Slice {
    first_lane: 0,
    lanes: LANES as u16,
    hammer: 6,
    spin: 0,
    sleep: 0,
    idle: false,
    longest: 0,
    populate: false,
    full: false,
};

/// What mutators or readers do in a round.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    /// Nothing.
    Rest,
    /// Nothing but the system calls.
    Bare,
    /// All of it: they record, or check.
    Full,
    /// All of it and nothing but the system calls by turns.
    ByTurns,
}

/// What is compared in a round: its name, what mutators do, what readers do.
type Column = (&'static str, Part, Part);

const COLUMNS: [Column; 4] = [
    ("readers checking / only reading, beside mutators", Part::Full, Part::ByTurns),
    ("readers checking / only reading, alone", Part::Rest, Part::ByTurns),
    // Readers that checked would judge what is not recorded.
    ("mutators recording / not, beside readers", Part::ByTurns, Part::Bare),
    ("mutators recording / not, alone", Part::ByTurns, Part::Rest),
];

/// What a call costs beside its bytes, in bytes, and of all that reading costs the part that a
/// reader spends beyond the arena, one in so many: as readers of the storm have it.
const CALL: u64 = 512;
const BEYOND: u64 = 32;

/// How long a slice is, and for how many the same two threads play, as in the storm.
const SLICE_TIME: Duration = Duration::from_millis(16);
const SLICES: usize = 8;

/// How long one of the two that are compared goes on before it is the other's turn.
const TURN_TIME: Duration = Duration::from_millis(3);

/// How long a reader goes on before a turn_taken counts, of either sort. What a reader that checks knows is
/// as old as its own last turn_taken then, and the CPU's caches have forgotten it; in a storm there is no such
/// gap between two walks. Of the first eight walks each took 11,400 cycles to judge, of the next three
/// times eight 5,700, 5,500 and 5,300, and 5,050 from then on (64 threads, without `remap`).
const SETTLING: Duration = Duration::from_millis(2);

/// Bytes or operations, and the nanoseconds they took.
#[derive(Clone, Copy, Default)]
struct Yield {
    done: u64,
    nanos: u64,
}

impl Yield {
    fn rate(self) -> f64 {
        self.done as f64 * 1e9 / self.nanos as f64
    }

    fn add(&mut self, more: Yield) {
        self.done += more.done;
        self.nanos += more.nanos;
    }
}

struct Bench {
    arena: Arena,
    may: OpSet,
    oracle: Oracle,
    findings: Findings,
    outside: Surroundings,
    /// Never raised: violations wait for the operations under way, as in a storm.
    over: AtomicBool,
    seed: u64,
}

fn main() {
    let numbers: Vec<u64> = std::env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    let rounds = numbers.first().copied().unwrap_or(15) as usize;
    let millis = Duration::from_millis(numbers.get(1).copied().unwrap_or(200));
    println!(
        "{rounds} rounds of {} ms a column, {} CPUs; a quarter of the threads read, and one of \
         each runs at a time, in turns of {SLICES} slices of {} ms",
        millis.as_millis(),
        Cpus::allowed().count(),
        SLICE_TIME.as_millis(),
    );
    // Operations that do not replace in flight, so that reading is not dominated by evidence of
    // tears; and everything, as the storm does it.
    for (name, kinds) in
        [("without remap", KindSet::all().without(Kind::Remap)), ("all", KindSet::all())]
    {
        let mut bench = Bench::new(kinds);
        for &threads in numbers.get(2..).filter(|wanted| !wanted.is_empty()).unwrap_or(&[2, 8, 64])
        {
            println!("\n{threads} threads, operations: {name} ({})", bench.may.kinds);
            bench.compare(threads.max(2) as usize, rounds, millis);
        }
    }
}

/// Both sorts of yield to those of all.
fn add(all: &mut [Yield; 2], more: &[Yield; 2]) {
    all.iter_mut().zip(more).for_each(|(all, more)| all.add(*more));
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

impl Bench {
    fn new(kinds: KindSet) -> Bench {
        let arena = Arena::reserve(LANES, PAGES).expect("an arena");
        let wanted = OpSet::full(kinds, arena.file_count());
        let mut file = MapsFile::own().expect("maps");
        let calibration = calibrate(&arena, &mut file, wanted).expect("calibration");
        let may = OpSet { kinds: calibration.kinds(), ..calibration.may };
        let empty = vec![Layout::empty(PAGES); LANES];
        let oracle = Oracle::new(*arena.geometry(), &empty, 1 << 15);
        let findings = Findings::new(Vec::new(), false, 1, 64);
        let outside = Surroundings::with_room(4096, 512 << 10, 0, 0);
        Bench { arena, may, oracle, findings, outside, over: AtomicBool::new(false), seed: 1 }
    }

    fn compare(&mut self, threads: usize, rounds: usize, length: Duration) {
        let mut yields = vec![Vec::new(); COLUMNS.len()];
        for _ in 0..rounds {
            for (yields, column) in yields.iter_mut().zip(COLUMNS) {
                yields.push(self.round(threads, column, length));
            }
        }
        for ((name, ..), yields) in COLUMNS.iter().zip(&yields) {
            let unit =
                if name.starts_with("readers") { self.arena.geometry().page_size() } else { 1 };
            let of = |with: fn(&[Yield; 2]) -> f64| yields.iter().map(with).collect::<Vec<f64>>();
            let (full, bare) = (of(|[full, _]| full.rate()), of(|[_, bare]| bare.rate()));
            let mut ratios = of(|[full, bare]| full.rate() / bare.rate());
            ratios.sort_by(f64::total_cmp);
            let quarter = |n: usize| ratios[(ratios.len() - 1) * n / 4];
            let mut all = [Yield::default(); 2];
            yields.iter().for_each(|round| add(&mut all, round));
            println!(
                "  {name:<50} {:>8.0} / {:>8.0} a second = {:.3} (half of the rounds {:.3} to {:.3}; \
                 of all together {:.3})",
                median(full) / unit as f64,
                median(bare) / unit as f64,
                quarter(2),
                quarter(1),
                quarter(3),
                all[0].rate() / all[1].rate(),
            );
        }
    }

    /// What the column's threads yielded in full, and with nothing but the system calls.
    fn round(&mut self, threads: usize, column: Column, length: Duration) -> [Yield; 2] {
        let (_, mutating, reading) = column;
        self.seed += 1;
        self.lay_out();
        let scheduler = Scheduler::new(threads);
        let tallies: Vec<Tally> = (0..threads).map(|_| Tally::default()).collect();
        let readers = (threads / 4).max(1);
        let total = Mutex::new([Yield::default(); 2]);
        let cpus = Cpus::allowed();
        let ready = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for (me, tally) in tallies.iter().enumerate() {
                let (scheduler, total, ready, bench) = (&scheduler, &total, &ready, &*self);
                scope.spawn(move || {
                    let reads = me < readers;
                    scheduler.enter(me);
                    pin(usize::from(!reads));
                    let mut worker = Worker::new(bench, tally, me);
                    if reads && reading != Part::Rest {
                        worker.warm_up();
                    }
                    ready.fetch_add(1, Ordering::Relaxed);
                    while let Some(cue) = scheduler.attend(me) {
                        let on = || scheduler.is_on(cue.generation);
                        match if reads { reading } else { mutating } {
                            Part::Rest => {}
                            Part::Bare if reads => worker.only_read(on),
                            Part::Bare => worker.only_act(on),
                            Part::Full if reads => worker.check(on),
                            Part::Full => worker.record(on),
                            Part::ByTurns => worker.by_turns(reads, on),
                        }
                    }
                    add(&mut total.lock(), &worker.yields);
                });
            }
            // What threads need before they can begin is no part of it.
            while ready.load(Ordering::Relaxed) < threads {
                std::thread::sleep(Duration::from_micros(100));
            }
            // As the storm does it at its standstills.
            let mut source = MapsFile::own().expect("maps");
            let (identities, geometry) = (self.arena.identities(), self.arena.geometry());
            self.outside
                .renew(&self.findings, |outside| {
                    read_outside(&mut source, identities, geometry, outside)
                })
                .expect("maps");
            let begun = Instant::now();
            for slice in 0.. {
                // Another round, others first: it may have fewer turns than there are threads.
                let turn = self.seed as usize + slice / SLICES;
                let left = length.saturating_sub(begun.elapsed());
                if left.is_zero() {
                    break;
                }
                scheduler.play(SLICE, |worker| {
                    let plays = match worker.checked_sub(readers) {
                        None => reading != Part::Rest && worker == turn % readers,
                        Some(rank) => mutating != Part::Rest && rank == turn % (threads - readers),
                    };
                    plays.then_some(cpus.nth(usize::from(worker >= readers)))
                });
                std::thread::sleep(left.min(SLICE_TIME));
                // Lest the next ones and those that finish share a CPU: who waits for it delivers
                // nothing, and the walk or the operation under way would be blamed for it.
                scheduler.rest();
                while !scheduler.at_rest() {
                    std::thread::sleep(Duration::from_micros(50));
                }
            }
            scheduler.stop();
        });
        total.into_inner()
    }

    /// The same first layout for every round.
    fn lay_out(&self) {
        let mut rng = Stream::new(7, "layout", 0);
        for lane in 0..LANES as u16 {
            let layout = draw_layout(&mut rng, &self.may, lane, PAGES);
            let at = |start, end| Pages { lane, span: Span::new(start, end) };
            self.arena.carry_out(&Op::Unmap { at: at(0, PAGES) }).expect("munmap");
            for vma in layout.vmas() {
                let op = Op::Map { at: at(vma.start, vma.end), page: vma.page };
                self.arena.carry_out(&op).expect("mmap");
            }
            self.oracle.repair(&mut self.oracle.hold(lane), &layout);
        }
    }
}

/// One thread with everything it works with.
struct Worker<'a> {
    bench: &'a Bench,
    tally: &'a Tally,
    me: usize,
    mutator: Mutator<'a>,
    reader: Reader<'a, MapsFile>,
    file: MapsFile,
    page: Vec<u8>,
    rng: Stream,
    /// Pairs of turns_taken so far.
    drawn: u64,
    program: Program,
    left: usize,
    /// Without checking or recording.
    count: u64,
    /// In full, and with nothing but the system calls.
    yields: [Yield; 2],
    /// Bytes read, all and beyond the arena, a call counting as [`CALL`].
    read: [u64; 2],
}

impl<'a> Worker<'a> {
    fn new(bench: &'a Bench, tally: &'a Tally, me: usize) -> Worker<'a> {
        let Bench { oracle, arena, outside, findings, .. } = bench;
        let place = Place::new(oracle, arena.identities(), outside, findings, tally);
        let place = Place { reader: me, versions: 64, settle: Some(&bench.over), ..place };
        let rng = |role| Stream::new(bench.seed, role, me);
        let maps = || MapsFile::own().expect("maps");
        Worker {
            bench,
            tally,
            me,
            mutator: Mutator::new(&bench.oracle, tally, bench.may, rng("mutator"), me as u16),
            reader: Reader::new(maps(), None, rng("reader"), place),
            file: maps(),
            page: vec![0; bench.arena.geometry().page_size() as usize],
            rng: rng("mutator"),
            drawn: 0,
            program: Program::Scatter { lane: 0, other: 0 },
            left: 0,
            count: 0,
            yields: Default::default(),
            read: [0; 2],
        }
    }

    /// Bytes read or operations done so far. Bytes: a page is a page only when it is full, and those
    /// of a reader that checks are a little fuller.
    fn done(&self) -> u64 {
        let counts = Counts::from(self.tally);
        self.count + counts.bytes + counts.operations.iter().sum::<u64>()
    }

    /// In full and bare, turn_taken by turn_taken; which one a slice begins with changes. Readers
    /// [settle](SETTLING) first. The turn_taken that the slice's end cuts short does not count: the others
    /// stop at once, and whoever has walks left to read and to judge finishes them undisturbed. Of
    /// mutators two turns_taken that follow each other begin with the same layouts and draw the same
    /// operations: some take ten times as long as others.
    fn by_turns(&mut self, reads: bool, on: impl Fn() -> bool) {
        let mut full = self.rng.one_in(2);
        for turn_taken in 0.. {
            if !on() {
                break;
            }
            if reads {
                self.go_on(true, full, &on, SETTLING);
            } else {
                if turn_taken % 2 == 0 {
                    self.drawn += 1;
                }
                self.begin_turn();
            }
            let (begun, before) = (Instant::now(), self.done());
            self.go_on(reads, full, &on, TURN_TIME);
            let nanos = begun.elapsed().as_nanos() as u64;
            let done = self.done() - before;
            if !on() {
                break;
            }
            self.yields[usize::from(!full)].add(Yield { done, nanos });
            full = !full;
        }
    }

    /// In full or bare for some time.
    fn go_on(&mut self, reads: bool, full: bool, on: impl Fn() -> bool, time: Duration) {
        let begun = Instant::now();
        // A walk takes longer than a look at the clock, an operation does not.
        let looks = Cell::new(0u32);
        let goes_on = || {
            looks.set(looks.get() + 1);
            on() && (!reads && !looks.get().is_multiple_of(16) || begun.elapsed() < time)
        };
        match (reads, full) {
            (true, true) => self.check(goes_on),
            (true, false) => self.only_read(goes_on),
            (false, true) => self.record(goes_on),
            (false, false) => self.only_act(goes_on),
        }
    }

    /// The first layouts, and the stream of the turns_taken that are compared.
    fn begin_turn(&mut self) {
        let Worker { bench, tally, me, drawn, .. } = *self;
        bench.lay_out();
        self.rng = Stream::new(bench.seed + (drawn << 32), "mutator", me);
        self.mutator = Mutator::new(&bench.oracle, tally, bench.may, self.rng.clone(), me as u16);
    }

    fn record(&mut self, on: impl Fn() -> bool) {
        self.mutator.attend();
        while on() {
            self.mutator.step(&self.bench.arena, &SLICE);
        }
    }

    /// The same programs and system calls, without locks, clock and history. Nobody else acts.
    fn only_act(&mut self, on: impl Fn() -> bool) {
        let Worker { bench, rng, program, left, count, .. } = self;
        let mut held: Vec<_> = (0..LANES as u16).map(|lane| bench.oracle.hold(lane)).collect();
        let lanes: Vec<Layout> = held.iter().map(|held| held.current().layout).collect();
        let mut lanes = Space::new(&lanes, bench.may.rules);
        *left = 0;
        while on() {
            if *left == 0 {
                let lane = rng.below(LANES) as u16;
                let other = if rng.one_in(2) { lane } else { rng.below(LANES) as u16 };
                let hammer = (rng.below(8) < SLICE.hammer as usize).then(|| {
                    let layout = &lanes.lanes()[lane as usize];
                    Program::hammer(rng, &bench.may, lane, layout, other, PAGES, false)
                });
                *program = hammer.flatten().unwrap_or(Program::Scatter { lane, other });
                *left = 8 << rng.below(7);
            }
            *left -= 1;
            let (lane, other) = program.lanes();
            let layout = |lane: u16| &lanes.lanes()[usize::from(lane)];
            let op = program.next(rng, &bench.may, layout(lane), layout(other.unwrap_or(lane)));
            let Some(op) = op.filter(|op| lanes.play(op).is_ok()) else {
                *left = 0;
                continue;
            };
            bench.arena.carry_out(&op).expect("an operation that fits");
            *count += 1;
        }
        for (held, layout) in held.iter_mut().zip(lanes.lanes()) {
            bench.oracle.repair(held, layout);
        }
    }

    /// Some walks of both sorts before anything is measured: in a round a reader may have one turn
    /// alone, and would spend much of it on the first touch of its memory, which in a storm it does
    /// once. Nobody acts yet.
    fn warm_up(&mut self) {
        let walks = |most: u32| {
            let left = Cell::new(most);
            move || left.replace(left.get().saturating_sub(1)) > 0
        };
        self.check(walks(8));
        self.only_read(walks(8));
    }

    fn check(&mut self, on: impl Fn() -> bool) {
        self.reader.aim(0, LANES as u16);
        while on() {
            self.reader.turn(Mode::Walk);
        }
    }

    /// The same walks without looking at a line: whole pages up to the arena's end, and as often
    /// as a reader that checks on to the end of the file.
    fn only_read(&mut self, on: impl Fn() -> bool) {
        let end = format!("{:x}", self.bench.arena.geometry().end());
        while on() {
            let [all, beyond] = self.read;
            let onwards = beyond * BEYOND <= all;
            let (mut offset, mut behind) = (0, 0);
            loop {
                let got = self.file.pread(&mut self.page, offset).expect("maps");
                self.count += got as u64;
                offset += got as u64;
                self.read[0] += CALL + got as u64;
                self.read[1] += behind * (CALL + got as u64);
                // The first address of the last line's beginning, compared as text: all addresses
                // from the arena on have as many digits.
                let page = &self.page[..got];
                let last = page.rsplitn(3, |&byte| byte == b'\n').nth(1).unwrap_or_default();
                if last.len() > 12 && &last[..end.len()] >= end.as_bytes() && last[12] == b'-' {
                    behind = 1;
                }
                if got == 0 || behind == 1 && !onwards {
                    break;
                }
            }
        }
    }
}

fn pin(number: usize) {
    // Where it is not allowed the thread runs anywhere.
    let _ = Cpus::allowed().nth(number).map(|cpu| mapstorm::host::pin([cpu]));
}
