//! Is `mapstorm latency` fair?
//!
//! Two figures, each from runs that alternate:
//!
//! 1. The mapper alone against a bare loop of the same calls, written here again with nothing
//!    around it: the medians (p50) shall agree within 10 %.
//! 2. What one reader costs, measured from inside (a scanner thread against a thread that reads
//!    nothing) and from outside (`cat /proc/PID/maps` in a loop, against a process that reads
//!    nothing): the two costs shall agree within the noise of repeated runs.
//!
//! `cargo bench --bench latency`, or `cargo bench --bench latency -- ROUNDS SECONDS`.

use mapstorm::host::{allowed_cpus, pin};
use mapstorm::latency::{Outcome, Role, Tally};
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};
use rustix::process::setpriority_process;
use rustix::thread::gettid;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const REGION: usize = 128 << 20;
const BARE: &str = "bare-loop";

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let numbers: Vec<f64> = words.iter().filter_map(|word| word.parse().ok()).collect();
    let rounds = numbers.first().copied().unwrap_or(5.0) as usize;
    let seconds = numbers.get(1).copied().unwrap_or(2.0);
    let cpus = allowed_cpus().expect("the affinity mask can be read");
    if words.iter().any(|word| word == BARE) {
        pin([cpus[0]]).expect("an allowed CPU");
        let [mmap, munmap] = bare_loop(Duration::from_secs_f64(seconds));
        println!("{mmap} {munmap}");
        return;
    }
    println!("{rounds} rounds of {seconds} s; p50 in us; mmap, then munmap");
    lone(rounds, seconds);
    match cpus.get(1) {
        Some(&cpu) => beside_a_reader(rounds, seconds, cpu),
        None => println!("one CPU only: no reader can be beside the mapper"),
    }
}

/// The p50 of mmap and of munmap, in us.
type Medians = [f64; 2];

fn lone(rounds: usize, seconds: f64) {
    let (mut bare, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        bare.push(bare_process(rounds, seconds));
        ours.push(medians(&latency(0, seconds), Role::Main));
    }
    println!("\nthe mapper alone, and a bare loop of the same calls");
    show("bare loop", &bare);
    show("mapstorm latency", &ours);
    for (call, name) in ["mmap", "munmap"].into_iter().enumerate() {
        let ratio = middle(&ours, call) / middle(&bare, call);
        let verdict = if (ratio - 1.0).abs() <= 0.1 { "within" } else { "NOT within" };
        println!("{name}: ratio of the medians {ratio:.3}, {verdict} 10 %");
    }
}

fn beside_a_reader(rounds: usize, seconds: f64, cpu: usize) {
    let mut all: [Vec<Medians>; 4] = Default::default();
    let mut costs: [Vec<Medians>; 2] = Default::default();
    for _ in 0..rounds {
        let inside = latency(1, seconds);
        let idle = medians(&inside, Role::Control);
        let thread = medians(&inside, Role::Main);
        let spinning = medians(&beside_script(":", seconds, cpu), Role::Main);
        let cat = medians(&beside_script("cat /proc/$PID/maps", seconds, cpu), Role::Main);
        costs[0].push([0, 1].map(|call| thread[call] / idle[call]));
        costs[1].push([0, 1].map(|call| cat[call] / spinning[call]));
        for (list, medians) in all.iter_mut().zip([idle, thread, spinning, cat]) {
            list.push(medians);
        }
    }
    println!("\none reader, inside and outside");
    let names = [
        "thread, idle (control)",
        "thread, reading maps",
        "process, idle",
        "process, cat in a loop",
    ];
    for (name, list) in names.into_iter().zip(&all) {
        show(name, list);
    }
    show("cost inside  (ratio)", &costs[0]);
    show("cost outside (ratio)", &costs[1]);
    for (call, name) in ["mmap", "munmap"].into_iter().enumerate() {
        let apart = (middle(&costs[0], call) - middle(&costs[1], call)).abs();
        let noise = spread(&costs[0], call).max(spread(&costs[1], call));
        let verdict = if apart <= noise { "within" } else { "NOT within" };
        println!(
            "{name}: the costs are {apart:.3} apart, {verdict} the spread of the rounds, {noise:.3}"
        );
    }
    let threads = [0, 1].map(|call| middle(&all[0], call) - middle(&all[2], call));
    println!(
        "a thread of the process on another CPU costs {:.2} us and {:.2} us whether it reads or not",
        threads[0], threads[1]
    );
}

fn latency_command(scanners: u32, seconds: f64) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mapstorm"));
    command
        .args(["latency", "--nsamples", "1", "--format", "json"])
        .args(["--duration", &seconds.to_string()])
        .args(["--scanners", &scanners.to_string()])
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    command
}

fn latency(scanners: u32, seconds: f64) -> Outcome {
    parsed(latency_command(scanners, seconds).spawn().expect("mapstorm starts"))
}

/// The mapper alone in its process, and beside it a shell that does `body` over and over on CPU
/// `cpu`, at the niceness of a scanner.
fn beside_script(body: &str, seconds: f64, cpu: usize) -> Outcome {
    let mapper = latency_command(0, seconds).spawn().expect("mapstorm starts");
    let pid = mapper.id();
    // `test` and `:` are part of the shell and read no maps. A process that has ended but was not
    // waited for has empty maps.
    let script = format!("PID={pid}; while [ -e /proc/$PID/exe ]; do {body}; done");
    // A thread's affinity and niceness are inherited by what it starts.
    let reader = std::thread::spawn(move || {
        pin([cpu]).expect("an allowed CPU");
        setpriority_process(Some(gettid()), 15).expect("becoming nicer is allowed");
        Command::new("sh")
            .args(["-c", &script])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("sh starts")
    });
    let mut reader = reader.join().expect("the reader starts");
    let outcome = parsed(mapper);
    // The loop ends by itself: the process has gone.
    reader.wait().expect("the reader ends");
    outcome
}

fn parsed(child: Child) -> Outcome {
    let output = child.wait_with_output().expect("mapstorm ends");
    serde_json::from_slice(&output.stdout).expect("mapstorm prints a result")
}

fn medians(outcome: &Outcome, role: Role) -> Medians {
    let column = outcome.column(role).expect("every result has both columns");
    let Tally { mmap, munmap } = &column.samples[0].tally;
    [mmap, munmap].map(|series| series.quantile_ns(0.5) as f64 / 1e3)
}

fn bare_process(rounds: usize, seconds: f64) -> Medians {
    let output = Command::new(std::env::current_exe().expect("this program has a path"))
        .args([BARE, &rounds.to_string(), &seconds.to_string()])
        .output()
        .expect("this program starts");
    let text = String::from_utf8(output.stdout).expect("two numbers");
    let mut numbers = text.split_whitespace().map(|word| word.parse().expect("a number"));
    std::array::from_fn(|_| numbers.next().expect("two numbers"))
}

/// The calls of the mapper with nothing around them but two readings of the clock and a sleep.
fn bare_loop(duration: Duration) -> Medians {
    let write = ProtFlags::WRITE;
    let flags = MapFlags::PRIVATE | MapFlags::POPULATE;
    // SAFETY: the kernel chooses the place.
    let base = unsafe { mmap_anonymous(std::ptr::null_mut(), REGION, write, flags) };
    let base = base.expect("128 MiB of memory");
    let mut latencies: [Vec<u32>; 2] = std::array::from_fn(|_| Vec::with_capacity(4 << 20));
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let size = rustix::param::page_size();
    let end = Instant::now() + duration;
    loop {
        // Xorshift; any even-handed choice of page and call will do.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let page = base.wrapping_byte_add((state >> 20) as usize % (REGION / size) * size);
        let call = (state & 1) as usize;
        let before = Instant::now();
        // SAFETY: a page of the region mapped above, which nothing refers to.
        let done = unsafe {
            match call {
                0 => mmap_anonymous(page, size, write, flags | MapFlags::FIXED).map(drop),
                _ => munmap(page, size),
            }
        };
        let after = Instant::now();
        done.expect("the call works");
        latencies[call].push((after - before).as_nanos() as u32);
        if after >= end {
            break;
        }
        std::thread::sleep(Duration::from_micros(10));
    }
    latencies.map(|mut all| {
        all.sort_unstable();
        f64::from(all[all.len() / 2]) / 1e3
    })
}

fn show(name: &str, all: &[Medians]) {
    let column = |call| {
        let values: Vec<String> = all.iter().map(|m| format!("{:.2}", m[call])).collect();
        format!("{:8.2}  ({})", middle(all, call), values.join(" "))
    };
    println!("{name:24}{}   {}", column(0), column(1));
}

fn middle(all: &[Medians], call: usize) -> f64 {
    let mut values: Vec<f64> = all.iter().map(|medians| medians[call]).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn spread(all: &[Medians], call: usize) -> f64 {
    let values = || all.iter().map(|medians| medians[call]);
    values().fold(0.0, f64::max) - values().fold(f64::INFINITY, f64::min)
}
