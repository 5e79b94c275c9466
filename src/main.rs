//! tmp
use mapstorm::{arena::*, maps::*, oracle::*, space::*, storm::*};
use std::sync::Arc;
use std::time::Duration;
fn main() {
    let args: Vec<usize> = std::env::args().skip(1).map(|a| a.parse().unwrap()).collect();
    let arena = Arena::reserve(args.get(3).copied().unwrap_or(8), args.get(4).copied().unwrap_or(16)).unwrap();
    let cal = calibrate(&arena, &mut MapsFile::own().unwrap(), Repertoire::full(KindSet::all(), 2)).unwrap();
    for d in &cal.dropped { println!("dropped {} {}", d.what, d.why); }
    println!("tried {}", cal.tried);
    let threads = args[0];
    let plan = Plan { threads, readers: args.get(2).copied().unwrap_or((threads/4).max(1)), duration: Duration::from_secs(args[1] as u64), seed: 1, contract: Contract::Series,
      modes: Mode::ALL.into_iter().collect(), allow: vec![], fail_fast: false, pause_every: Duration::from_secs(1), stall: Duration::from_secs(10), cpus: 2 };
    let storm = Arc::new(Storm::prepare(arena, plan, cal.may).unwrap());
    let run = storm.run(|| None, |l| eprintln!("{:?} ops {} calls {:?} lines {} viol {:?} und {}/{}", l.elapsed, l.counts.operations.iter().sum::<u64>(), l.counts.calls, l.counts.lines, l.violations, l.counts.undecided, l.counts.windows), |_| {}).unwrap();
    println!("{:?} {:#?} {} mism {} rep {} {:?}", run.ended, run.counts, run.standstills, run.mismatches, run.repaired, run.lost);
    for d in &run.differences { println!("{d}"); }
    storm.findings().with(|found, beyond| { for f in found { println!("{} x{} first {} ms : {:?}", f.signature, f.count, f.first_ns/1000000, f.example.evidence.found);
       for v in &f.example.evidence.versions { println!("   {} v{} [{}..{}] {} by {:?}", v.lane, v.version, v.invoked, v.closed as i64, v.layout, v.origin.op.map(|o| o.to_string())); } } println!("beyond {beyond}"); });
}
