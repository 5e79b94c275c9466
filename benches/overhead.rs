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
    Counts, Cpus, Findings, Mode, Mutator, Place, Program, Reader, Repertoire, Spell, Tally,
    calibrate, draw_layout,
};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const LANES: usize = 8;
const PAGES: usize = 16;
const SPELL: Spell =
    Spell { first_lane: 0, lanes: LANES as u16, hammer: 6, spin: 0, sleep: 0, idle: false };

/// Who runs in a slice.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reading {
    None,
    Only,
    Checked,
}

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
    seed: u64,
}

fn main() {
    let numbers: Vec<u64> = std::env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    let rounds = numbers.first().copied().unwrap_or(15) as usize;
    let millis = Duration::from_millis(numbers.get(1).copied().unwrap_or(200));
    println!(
        "{rounds} rounds of {} ms a column, {} CPUs",
        millis.as_millis(),
        Cpus::allowed().count()
    );
    // Operations that do not replace in flight, so that reading is not dominated by evidence of
    // tears; and everything, as the storm does it.
    for (name, kinds) in
        [("without remap", KindSet::all().without(Kind::Remap)), ("all", KindSet::all())]
    {
        let mut bench = Bench::new(kinds);
        println!("\noperations: {name} ({})", bench.may.kinds);
        let columns: [(&str, bool, Reading); 6] = [
            ("mutator alone, recording", true, Reading::None),
            ("mutator alone, not recording", false, Reading::None),
            ("mutator recording, reader only reading", true, Reading::Only),
            ("mutator not recording, reader only reading", false, Reading::Only),
            ("mutator recording, reader checking", true, Reading::Checked),
            ("no mutator, reader checking", true, Reading::Checked),
        ];
        let mut slices = vec![Vec::new(); columns.len() + 1];
        for _ in 0..rounds {
            for (column, &(_, recording, reading)) in columns.iter().enumerate() {
                let mutating = column != 5;
                slices[column].push(bench.slice(mutating, recording, reading, millis));
            }
            slices[6].push(bench.slice(false, true, Reading::Only, millis));
        }
        for (column, (name, _, _)) in columns.iter().enumerate() {
            print(name, &slices[column]);
        }
        print("no mutator, reader only reading", &slices[6]);
        let ops = |slice: &Slice| slice.operations;
        let pages = |slice: &Slice| slice.pages;
        ratio("mutators recording / not, alone", &slices[0], &slices[1], ops);
        ratio("mutators recording / not, beside a reader", &slices[2], &slices[3], ops);
        ratio("readers checking / only reading, beside a mutator", &slices[4], &slices[2], pages);
        ratio("readers checking / only reading, alone", &slices[5], &slices[6], pages);
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
        Bench { arena, may, oracle, seed: 1 }
    }

    fn slice(
        &mut self,
        mutating: bool,
        recording: bool,
        reading: Reading,
        length: Duration,
    ) -> Slice {
        self.seed += 1;
        let lanes = self.lay_out();
        let over = AtomicBool::new(false);
        let (pages, operations) = (AtomicU64::new(0), AtomicU64::new(0));
        let begun = Instant::now();
        std::thread::scope(|scope| {
            if mutating {
                scope.spawn(|| {
                    pin(1);
                    let done =
                        if recording { self.record(&over) } else { self.only_act(lanes, &over) };
                    operations.store(done, Ordering::Relaxed);
                });
            }
            if reading != Reading::None {
                scope.spawn(|| {
                    pin(0);
                    let read = match reading {
                        Reading::Checked => self.check(&over),
                        _ => self.only_read(&over),
                    };
                    pages.store(read, Ordering::Relaxed);
                });
            }
            std::thread::sleep(length);
            over.store(true, Ordering::Relaxed);
        });
        let seconds = begun.elapsed().as_secs_f64();
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

    fn record(&self, over: &AtomicBool) -> u64 {
        let tally = Tally::default();
        let rng = Stream::new(self.seed, "mutator", 0);
        let mut mutator = Mutator::new(&self.oracle, &tally, self.may, rng, 0);
        while !over.load(Ordering::Relaxed) {
            mutator.step(&self.arena, &SPELL);
        }
        counts(&tally).operations.iter().sum()
    }

    /// The same programs and system calls, without locks, clock and history.
    fn only_act(&self, mut lanes: Vec<Layout>, over: &AtomicBool) -> u64 {
        let mut rng = Stream::new(self.seed, "mutator", 0);
        let (mut done, mut left) = (0, 0);
        let mut program = Program::Scatter { lane: 0, other: 0 };
        while !over.load(Ordering::Relaxed) {
            if left == 0 {
                let lane = rng.below(LANES) as u16;
                let other = if rng.one_in(2) { lane } else { rng.below(LANES) as u16 };
                let hammer = (rng.below(8) < SPELL.hammer as usize).then(|| {
                    Program::hammer(&mut rng, &self.may, lane, &lanes[lane as usize], other)
                });
                program = hammer.flatten().unwrap_or(Program::Scatter { lane, other });
                left = 8 << rng.below(7);
            }
            left -= 1;
            let (lane, other) = program.lanes();
            let (mut first, mut second) =
                (lanes[lane as usize], lanes[other.unwrap_or(lane) as usize]);
            let Some(op) = program.next(&mut rng, &self.may, &first, &second) else {
                left = 0;
                continue;
            };
            if fits(&op, &first, &second).is_err() {
                left = 0;
                continue;
            }
            apply(&op, &mut first, &mut second);
            self.arena.carry_out(&op).expect("an operation that fits");
            lanes[lane as usize] = first;
            if let Some(other) = op.other_lane() {
                lanes[other as usize] = second;
            }
            done += 1;
        }
        done
    }

    fn check(&self, over: &AtomicBool) -> u64 {
        let tally = Tally::default();
        let findings = Findings::new(Vec::new(), false, 1, 64);
        let place = Place {
            oracle: &self.oracle,
            identities: self.arena.identities(),
            findings: &findings,
            tally: &tally,
            contract: Contract::Series,
            reader: 0,
            begun: Instant::now(),
            versions: 64,
            tripwire: None,
            settle: None,
        };
        let rng = Stream::new(self.seed, "reader", 0);
        let mut reader = Reader::new(MapsFile::own().expect("maps"), None, rng, place);
        while !over.load(Ordering::Relaxed) {
            reader.turn(Mode::Walk);
        }
        counts(&tally).calls[Mode::Walk as usize]
    }

    /// Whole walks of page-sized reads up to the arena's end, without looking at a line: as many
    /// calls as the lines below the end of the arena take, found out once.
    fn only_read(&self, over: &AtomicBool) -> u64 {
        let mut file = MapsFile::own().expect("maps");
        let mut page = vec![0; self.arena.geometry().page_size() as usize];
        let end = format!("{:x}", self.arena.geometry().end());
        let mut done = 0;
        while !over.load(Ordering::Relaxed) {
            let mut offset = 0;
            loop {
                let got = file.pread(&mut page, offset).expect("maps");
                done += 1;
                offset += got as u64;
                // The first address of the last line's beginning, compared as text: all addresses
                // from the arena on have as many digits.
                let last = page[..got].rsplitn(3, |&byte| byte == b'\n').nth(1).unwrap_or_default();
                if got == 0
                    || last.len() > 12 && &last[..end.len()] >= end.as_bytes() && last[12] == b'-'
                {
                    break;
                }
            }
        }
        done
    }
}

fn counts(tally: &Tally) -> Counts {
    let mut counts = Counts::default();
    counts.add(tally);
    counts
}

fn pin(number: usize) {
    let mut set = rustix::thread::CpuSet::new();
    if let Some(cpu) = Cpus::allowed().nth(number) {
        set.set(cpu);
        let _ = rustix::thread::sched_setaffinity(None, &set);
    }
}
