//! What a line of maps costs to parse: this parser against the procfs crate's, on the same bytes.
//!
//! `cargo bench --bench parsers`. The table at the end gives ns a line, the least of many turns in
//! which the columns take turns, so that neighbours on the machine weigh on all alike.

use criterion::{Criterion, Throughput, criterion_group};
use mapstorm::kernel::{Lines, parse};
use procfs::FromBufRead;
use procfs::process::MemoryMaps;
use std::hint::black_box;
use std::time::{Duration, Instant};

const LINES: usize = 1000;
/// Bytes that one read call gives.
const CALL: usize = 4096;

/// Lines as the kernel prints them, with a name or without.
fn text(named: bool) -> Vec<u8> {
    let mut text = Vec::new();
    for n in 0..LINES as u64 {
        let start = 0x7f83_5000_0000 + n * 0x5000;
        // Lengths of fields differ as they do in life.
        let name = [
            "/usr/lib/x86_64-linux-gnu/libc.so.6",
            "[heap]",
            "/memfd:mapstorm-0 (deleted)",
            "/usr/bin/mapstorm",
        ][n as usize % 4];
        let line = mapstorm::kernel::Line {
            start,
            end: start + 0x1000 * (1 + n % 4),
            perms: (n % 16) as u8,
            offset: if named { n % 7 * 0x1000 } else { 0 },
            dev_major: if named { 0xfe } else { 0 },
            dev_minor: 0,
            inode: if named { n * n * 7 } else { 0 },
            name: if named { name.as_bytes() } else { b"" },
        };
        line.print(&mut text).expect("into memory");
    }
    text
}

/// One pass over lines that are already apart.
#[inline(never)]
fn ours(lines: &[&[u8]]) -> u64 {
    let sum = |line: &[u8]| parse(line).map_or(0, |line| line.start ^ line.end ^ line.inode);
    black_box(lines).iter().map(|line| sum(line)).fold(0, u64::wrapping_add)
}

/// One pass over the bytes, call by call.
fn assembled(text: &[u8], lines: &mut Lines) -> u64 {
    let mut sum = 0u64;
    lines.start(false);
    for (call, bytes) in text.chunks(CALL).enumerate() {
        lines.feed(black_box(bytes), call as u32, |chunk| {
            if let Ok(line) = parse(chunk.text) {
                sum = sum.wrapping_add(line.start ^ line.end ^ line.inode);
            }
        });
    }
    sum
}

fn theirs(text: &[u8]) -> usize {
    MemoryMaps::from_buf_read(black_box(text)).expect("well-formed").0.len()
}

/// ns a line of each, the least of many turns.
fn least(text: &[u8], columns: &mut [&mut dyn FnMut()]) -> Vec<f64> {
    let mut least = vec![f64::MAX; columns.len()];
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(2) {
        for (least, column) in least.iter_mut().zip(&mut *columns) {
            let from = Instant::now();
            column();
            *least = least.min(from.elapsed().as_nanos() as f64 / LINES as f64);
        }
    }
    assert_eq!(text.iter().filter(|&&byte| byte == b'\n').count(), LINES);
    least
}

fn parsers(criterion: &mut Criterion) {
    let mut table = Vec::new();
    for (name, named) in [("anonymous", false), ("named", true)] {
        let text = text(named);
        let apart: Vec<&[u8]> = text.split(|&byte| byte == b'\n').take(LINES).collect();
        let mut lines = Lines::default();
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Elements(LINES as u64));
        group.bench_function("parse", |b| b.iter(|| ours(&apart)));
        group.bench_function("assemble and parse", |b| b.iter(|| assembled(&text, &mut lines)));
        group.bench_function("procfs crate", |b| b.iter(|| theirs(&text)));
        group.finish();
        let figures = least(
            &text,
            &mut [
                &mut || {
                    black_box(ours(&apart));
                },
                &mut || {
                    black_box(assembled(&text, &mut lines));
                },
                &mut || {
                    black_box(theirs(&text));
                },
            ],
        );
        table.push((name, figures));
    }
    println!(
        "{:<12}{:>10}{:>20}{:>14}{:>10}",
        "ns a line", "parse", "assemble and parse", "procfs", "ratio"
    );
    for (name, figures) in table {
        let [ours, assembled, theirs] = figures[..] else { continue };
        println!("{name:<12}{ours:>10.1}{assembled:>20.1}{theirs:>14.1}{:>10.1}", theirs / ours);
    }
}

criterion_group! {
    name = group;
    config = Criterion::default().measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_millis(500));
    targets = parsers
}

fn main() {
    group();
    Criterion::default().configure_from_args().final_summary();
}
