//! What a line costs to judge, by the operations in the window and by those long past.
//!
//! `cargo bench --bench checker`. The lane is one of sixteen VMAs of a page each, and each walk
//! shows its newest layout; the operations change the protection of its last page, and only the last
//! one makes it what the walk shows, so that a walk goes through all of the window's. The table at
//! the end gives ns a line, the least of many turns in which the rows take turns.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group};
use mapstorm::model::{Geometry, Layout, Observation, Op, Page, Place, Prot, Span};
use mapstorm::oracle::{Oracle, Verdict, Walk, Window};
use std::hint::black_box;
use std::time::{Duration, Instant};

const PAGES: usize = 16;
/// Versions that the history holds.
const CAPACITY: usize = 1 << 17;
/// Lines of the lane that are judged in a turn.
const TURN: usize = 64 * PAGES;
const BASE: u64 = 0x7f00_0000_0000;

/// A lane with operations behind it, and a walk over it.
struct Casting {
    past: u64,
    within: u64,
    oracle: Oracle,
    window: Window,
    lines: Vec<Observation>,
}

impl Casting {
    /// `past` operations before the window, `within` in it.
    fn new(past: u64, within: u64) -> Casting {
        let geometry = Geometry::new(BASE, 4096, 1, PAGES);
        let pages: Vec<Page> = (0..PAGES)
            .map(|page| Page::anon(if page % 2 == 0 { Prot::READ } else { Prot::NONE }))
            .collect();
        let oracle = Oracle::new(geometry, &[Layout::from_pages(&pages)], CAPACITY);
        let mut turn = 0;
        let mut operate = |count: u64, last: Prot| {
            for left in (0..count).rev() {
                turn += 1;
                let prot = match left {
                    0 => last,
                    _ if turn % 2 == 0 => Prot::NONE,
                    _ => Prot::ALL,
                };
                let at = Place { lane: 0, span: Span::new(PAGES - 1, PAGES) };
                let mut held = oracle.hold(0);
                let invoked = oracle.invoke(&Op::Protect { at, prot }, 0, &mut held, None);
                oracle.returned(invoked);
            }
        };
        operate(past, Prot::NONE);
        let from = oracle.clock().now();
        operate(within, Prot::READ_EXEC);
        let window = Window { from, to: oracle.clock().now() };
        let layout = oracle.hold(0).current().layout;
        let line = |vma: mapstorm::model::Vma| Observation {
            start: geometry.address(0, vma.start),
            end: geometry.address(0, vma.end),
            page: layout.pages()[vma.start].visible(),
        };
        let lines = layout.vmas().map(line).collect();
        Casting { past, within, oracle, window, lines }
    }

    /// Judges as many lines as a turn has.
    fn judge(&self, walk: &mut Walk<'_>) -> usize {
        let mut right = 0;
        for _ in 0..TURN / PAGES {
            walk.begin(Some(BASE), black_box(self.window));
            for line in black_box(&self.lines[..]) {
                right += usize::from(walk.line(line, self.window) == Verdict::Right);
            }
        }
        right
    }
}

fn checker(criterion: &mut Criterion) {
    let scenes: Vec<Casting> =
        [(0, 0), (10, 0), (100_000, 0), (10, 1), (10, 10), (10, 1000), (100_000, 1000)]
            .map(|(past, within)| Casting::new(past, within))
            .into();
    let mut walks: Vec<Walk<'_>> =
        scenes.iter().map(|casting| Walk::new(&casting.oracle)).collect();
    let mut group = criterion.benchmark_group("judge a line");
    group.throughput(Throughput::Elements(TURN as u64));
    for (casting, walk) in scenes.iter().zip(&mut walks) {
        assert_eq!(casting.judge(walk), TURN, "every line is right");
        let name = format!("{} in the window", casting.within);
        group.bench_with_input(BenchmarkId::new(name, casting.past), casting, |b, casting| {
            b.iter(|| casting.judge(walk));
        });
    }
    group.finish();

    let mut least = vec![f64::MAX; scenes.len()];
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(3) {
        for ((casting, walk), least) in scenes.iter().zip(&mut walks).zip(&mut least) {
            let from = Instant::now();
            black_box(casting.judge(walk));
            *least = least.min(from.elapsed().as_nanos() as f64 / TURN as f64);
        }
    }
    println!("{:>22}{:>12}{:>12}", "operations in window", "past", "ns a line");
    for (casting, least) in scenes.iter().zip(least) {
        println!("{:>22}{:>12}{least:>12.1}", casting.within, casting.past);
    }
}

criterion_group! {
    name = group;
    config = Criterion::default()
        .measurement_time(Duration::from_secs(2))
        .warm_up_time(Duration::from_millis(500));
    targets = checker
}

fn main() {
    group();
    Criterion::default().configure_from_args().final_summary();
}
