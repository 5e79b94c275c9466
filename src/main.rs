//! tmp
use mapstorm::{arena::*, maps::*, oracle::*, space::*, storm::*};
use std::sync::Arc;
use std::time::Duration;
fn main() {
    let args: Vec<usize> = std::env::args().skip(1).map(|a| a.parse().unwrap()).collect();
    let arena =
        Arena::reserve(args.get(3).copied().unwrap_or(8), args.get(4).copied().unwrap_or(16))
            .unwrap();
    let cal = calibrate(&arena, &mut MapsFile::own().unwrap(), Repertoire::full(KindSet::all(), 2))
        .unwrap();
    for d in &cal.dropped {
        println!("dropped {} {}", d.what, d.why);
    }
    println!("tried {}", cal.tried);
    let threads = args[0];
    let plan = Plan {
        threads,
        readers: args.get(2).copied().unwrap_or((threads / 4).max(1)),
        duration: Duration::from_secs(args[1] as u64),
        seed: 1,
        contract: Contract::Series,
        modes: Mode::ALL.into_iter().collect(),
        allow: vec![],
        fail_fast: false,
        pause_every: Duration::from_secs(1),
        stall: Duration::from_secs(10),
        cpus: 2,
    };
    let storm = Arc::new(Storm::prepare(arena, plan, cal.may).unwrap());
    let run = storm
        .run(
            || None,
            |l| {
                eprintln!(
                    "{:?} ops {} calls {:?} lines {} viol {:?} und {}/{}",
                    l.elapsed,
                    l.counts.operations.iter().sum::<u64>(),
                    l.counts.calls,
                    l.counts.lines,
                    l.violations,
                    l.counts.undecided,
                    l.counts.windows
                )
            },
            |_| {},
        )
        .unwrap();
    println!(
        "{:?} {:#?} {} mism {} rep {} {:?}",
        run.ended, run.counts, run.standstills, run.mismatches, run.repaired, run.lost
    );
    for d in &run.differences {
        println!("{d}");
    }
    storm.findings().with(|found, beyond| {
        for f in found {
            println!(
                "{} x{} first {} ms : {:?}",
                f.signature,
                f.count,
                f.first_ns / 1000000,
                f.example.evidence.found
            );

            let g = storm.arena().geometry();
            let b = &f.example.evidence.found;
            let loc = |a: u64| {
                if g.contains(a) {
                    let (l, p) = g.locate(a);
                    format!("L{l}p{p}")
                } else {
                    "out".into()
                }
            };
            println!(
                "   pos {:?} seen {:?} missing {:?} class {:?}",
                b.pos.map(loc),
                b.sighting.map(|s| (loc(s.start), loc(s.end), s.page)),
                b.missing.map(loc),
                b.class
            );
            let vs: Vec<_> = f
                .example
                .evidence
                .versions
                .iter()
                .filter(|v| v.closed >= b.window.from.saturating_sub(6))
                .collect();
            for v in vs.iter().take(14) {
                println!(
                    "   {} v{} [{}..{}] {} by w{} {:?}",
                    v.lane,
                    v.version,
                    v.invoked,
                    v.closed as i64,
                    v.layout,
                    v.origin.worker,
                    v.origin.op.map(|o| o.to_string())
                );
            }
            let mut at = 0;
            for c in &f.example.calls {
                println!(
                    "    call off {} asked {} got {} {:?}",
                    c.offset, c.asked, c.got, c.window
                );
                if c.window.to >= b.window.from {
                    let t = String::from_utf8_lossy(&f.example.bytes[at..at + c.got as usize]);
                    for l in t.lines() {
                        if let Ok(x) = parse(l.as_bytes()) {
                            if g.contains(x.start) {
                                println!("       {} {} {}", loc(x.start), loc(x.end), &l[26..]);
                            }
                        } else {
                            println!("       part {l}");
                        }
                    }
                }
                at += c.got as usize;
            }
        }
        println!("beyond {beyond}");
    });
}
