//! The C programs of `emit-c`: short, without a warning, and right in what they call torn.
//!
//! What the real kernel tears varies, so the programs run with tests/emitted/serial.c loaded, which
//! keeps reads and operations apart, so that nothing can tear on any kernel: a program that says
//! otherwise raises a false alarm. With a fault planted in what is read, it has to say so.

mod common;

use common::{Dir, skip, told};
use mapstorm::engine::Mode;
use mapstorm::model::{Op, Page, Place, Prot, Span};
use mapstorm::oracle::Rule;
use mapstorm::repro::c::{EmitError, LINES, Rates, Unmeasured, measure, program};
use mapstorm::repro::replay::target_of;
use mapstorm::repro::scenario::{Measured, Scenario};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

fn has(compiler: &str) -> bool {
    let there = Command::new(compiler).arg("--version").output().is_ok();
    if !there {
        skip(format!("no {compiler}"));
    }
    there
}

fn compile(compiler: &str, args: &[&str], source: &Path, out: &Path) {
    let output = Command::new(compiler)
        .args(["-O2", "-Wall", "-Wextra", "-Werror"])
        .args(args)
        .arg(source)
        .arg("-o")
        .arg(out)
        .output()
        .unwrap();
    assert!(output.status.success(), "{compiler} {args:?}: {}", told(&output));
}

/// What changes in six ways beside a VMA that never does, so that each line tells its operation.
const CYCLE: &str = r#"{ "schema_version": 1, "name": "NAME", "pages": 16,
    "lanes": ["[0..1 r--s memfd0+0] [1..3 rw-p anon] [3..5 r--s memfd1+3]"],
    "mutators": [[
        {"op": "protect", "at": {"lane": 0, "start": 1, "len": 2}, "prot": "r--"},
        {"op": "protect", "at": {"lane": 0, "start": 1, "len": 2}, "prot": "---"},
        {"op": "protect", "at": {"lane": 0, "start": 1, "len": 2}, "prot": "r-x"},
        {"op": "protect", "at": {"lane": 0, "start": 1, "len": 2}, "prot": "rwx"},
        {"op": "protect", "at": {"lane": 0, "start": 1, "len": 2}, "prot": "-w-"},
        {"op": "protect", "at": {"lane": 0, "start": 1, "len": 2}, "prot": "rw-"}]],
    "readers": ["walk"] }"#;

/// Merges, holes, moves between lanes, advice that divides, files.
const MANY_KINDS: &str = r#"{ "schema_version": 1, "name": "", "pages": 16,
    "lanes": ["[0..2 rw-p anon] [2..4 r--p anon] [4..6 rw-p anon]", "[0..4 rw-p memfd0+2]"],
    "mutators": [[
        {"op": "protect", "at": {"lane": 0, "start": 2, "len": 2}, "prot": "rw-"},
        {"op": "unmap", "at": {"lane": 0, "start": 1, "len": 4}},
        {"op": "remap", "from": {"lane": 1, "start": 1, "len": 2}, "to": {"lane": 0, "start": 3, "len": 2}, "keep": false},
        {"op": "map", "at": {"lane": 1, "start": 1, "len": 2}, "page": "rw-p memfd0+3"},
        {"op": "map", "at": {"lane": 0, "start": 0, "len": 6}, "page": "rw-p anon"},
        {"op": "advise", "at": {"lane": 0, "start": 1, "len": 2}, "advice": "dont-fork", "on": true},
        {"op": "resize", "at": {"lane": 0, "start": 3, "len": 3}, "new_len": 6},
        {"op": "map", "at": {"lane": 0, "start": 0, "len": 6}, "page": "rw-p anon"},
        {"op": "unmap", "at": {"lane": 0, "start": 6, "len": 3}}]],
    "readers": ["walk"] }"#;

/// Three VMAs that change places: the lane is as it was after three rounds only.
const PERIOD: &str = r#"{ "schema_version": 1, "name": "", "pages": 8,
    "lanes": ["[0..1 r--p anon] [1..2 rw-p anon] [2..3 r-xp anon]"],
    "mutators": [[
        {"op": "remap", "from": {"lane": 0, "start": 0, "len": 1}, "to": {"lane": 0, "start": 5, "len": 1}, "keep": false},
        {"op": "remap", "from": {"lane": 0, "start": 1, "len": 1}, "to": {"lane": 0, "start": 0, "len": 1}, "keep": false},
        {"op": "remap", "from": {"lane": 0, "start": 2, "len": 1}, "to": {"lane": 0, "start": 1, "len": 1}, "keep": false},
        {"op": "remap", "from": {"lane": 0, "start": 5, "len": 1}, "to": {"lane": 0, "start": 2, "len": 1}, "keep": false}]],
    "readers": ["walk"] }"#;

/// The first round begins as no later one does.
const SETTLES: &str = r#"{ "schema_version": 1, "name": "", "pages": 8,
    "lanes": ["[4..8 rw-p anon]"],
    "mutators": [[
        {"op": "map", "at": {"lane": 0, "start": 0, "len": 2}, "page": "r--p anon"},
        {"op": "map", "at": {"lane": 0, "start": 2, "len": 2}, "page": "rw-p anon"},
        {"op": "unmap", "at": {"lane": 0, "start": 6, "len": 1}}]],
    "readers": ["walk"] }"#;

fn scenario(json: &str) -> Scenario {
    serde_json::from_str(json).unwrap()
}

fn emitted(json: &str) -> String {
    program(&target_of(&scenario(json)), None, &Rates::default()).unwrap()
}

/// Ways of reading, each as what it replaces `["walk"]` with.
fn read(json: &str, how: &str) -> String {
    json.replace("[\"walk\"]", how)
}

/// Programs that run with operations and reads kept apart.
struct Serial {
    dir: Dir,
}

impl Serial {
    fn new() -> Serial {
        let dir = Dir::new();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/emitted/serial.c");
        compile("gcc", &["-shared", "-fPIC"], &source, &dir.join("serial.so"));
        Serial { dir }
    }

    /// The program, compiled.
    fn built(&self, name: &str, text: &str) -> PathBuf {
        assert!(text.lines().count() < LINES, "{name}: {} lines", text.lines().count());
        let source = self.dir.join(format!("{name}.c"));
        std::fs::write(&source, text).unwrap();
        let program = self.dir.join(name);
        compile("gcc", &["-pthread"], &source, &program);
        program
    }

    fn run(&self, program: &Path, seconds: &str, fault: Option<&str>) -> (Option<i32>, String) {
        let mut command = Command::new(program);
        command.args(["-s", seconds]).env("LD_PRELOAD", self.dir.join("serial.so"));
        if let Some(fault) = fault {
            command.env("FAULT", fault);
        }
        let output = command.output().unwrap();
        (output.status.code(), told(&output))
    }
}

/// Whether the file that a program reads is there, as it is for `replay`.
fn readable() -> bool {
    let there = std::fs::File::open("/proc/self/maps").is_ok();
    if !there {
        skip("no /proc/self/maps");
    }
    there
}

#[test]
fn every_program_compiles_without_a_warning() {
    let dir = Dir::new();
    let source = dir.join("tear.c");
    for compiler in ["gcc", "clang"].into_iter().filter(|compiler| has(compiler)) {
        for json in [CYCLE, MANY_KINDS, PERIOD, SETTLES] {
            for how in Mode::ALL.map(Mode::word) {
                std::fs::write(&source, emitted(&read(json, &format!("[{how:?}]")))).unwrap();
                compile(compiler, &["-pthread", "-std=gnu11"], &source, &dir.join("tear"));
            }
        }
    }
}

#[test]
fn what_can_not_tear_raises_no_alarm() {
    if !has("gcc") || !readable() {
        return;
    }
    let serial = Serial::new();
    let by_place = r#"["short"], "later_reads": 180, "boundary": {"lane": 0, "page": 2}"#;
    let mut runs = vec![
        ("walk", read(MANY_KINDS, r#"["walk"]"#)),
        ("pread", read(MANY_KINDS, r#"["pread"]"#)),
        ("short", read(MANY_KINDS, r#"["short"]"#)),
        ("small", read(MANY_KINDS, r#"["walk"], "first_read": 97, "later_reads": 50"#)),
        ("place", read(MANY_KINDS, by_place)),
        ("aimed", read(MANY_KINDS, &by_place.replace("short", "pread"))),
        ("shared-aimed", read(MANY_KINDS, &by_place.replace("short", "shared"))),
        ("smaps", read(CYCLE, r#"["smaps"]"#)),
        ("period", PERIOD.into()),
        ("settles", SETTLES.into()),
    ];
    if query_answers() {
        runs.push(("query", read(MANY_KINDS, r#"["query"]"#)));
    }
    for (name, json) in runs {
        let program = serial.built(name, &emitted(&json));
        let (code, text) = serial.run(&program, "1", None);
        assert_eq!(code, Some(0), "{name}: {text}");
        assert!(text.contains("; 0 were wrong in other ways"), "{name}: {text}");
    }
}

/// Whether the kernel has PROCMAP_QUERY.
fn query_answers() -> bool {
    use mapstorm::kernel::{Answer, MapsFile, MapsRead, QueryFlags};
    let mut maps = MapsFile::own().unwrap();
    let there = maps.query(0, QueryFlags::CoveringOrNext, &mut Answer::default()).is_ok();
    if !there {
        skip("no PROCMAP_QUERY");
    }
    there
}

#[test]
fn every_class_is_told_when_it_is_planted() {
    if !has("gcc") || !readable() {
        return;
    }
    let serial = Serial::new();
    let classes = ["hole", "unknown", "stale", "disorder", "malformed", "truncated"];
    for class in classes {
        let program = serial.built(class, &emitted(&CYCLE.replace("NAME", class)));
        let (code, text) = serial.run(&program, "10", Some(class));
        assert_eq!(code, Some(1), "{class}: {text}");
        assert!(text.starts_with(&format!("TORN: {class} at ")), "{class}: {text}");
    }
    if query_answers() {
        for class in ["hole", "unknown"] {
            let json = read(&CYCLE.replace("NAME", class), r#"["query"]"#);
            let program = serial.built(&format!("{class}-query"), &emitted(&json));
            let (code, text) = serial.run(&program, "10", Some(class));
            assert_eq!(code, Some(1), "query, {class}: {text}");
            assert!(text.starts_with(&format!("TORN: {class} at ")), "query, {class}: {text}");
        }
    }
    // Another class is counted, but is not what the program is to show.
    let program = serial.built("other", &emitted(&CYCLE.replace("NAME", "stale")));
    let (code, text) = serial.run(&program, "1", Some("hole"));
    assert_eq!(code, Some(0), "{text}");
    assert!(text.starts_with("not torn") && !text.contains("; 0 were wrong"), "{text}");
}

/// A loop of `ops` changes in lanes of `vmas` VMAs each.
fn large(ops: usize, lanes: usize, vmas: usize) -> Scenario {
    let lane: Vec<String> =
        (0..vmas).map(|at| format!("[{}..{} rw-p memfd1+{at}]", 2 * at, 2 * at + 1)).collect();
    let page = |at: usize| Page::file(Prot::from_bits(at as u8), true, 0, (at % 50) as u16);
    let op = |at: usize| Op::Map {
        at: Place { lane: (at % lanes) as u16, span: Span::new(at % 60, at % 60 + 1) },
        page: page(at),
    };
    let mut scenario = scenario(CYCLE);
    scenario.name = "stale".into();
    scenario.pages = 64;
    scenario.lanes = vec![lane.join(" "); lanes];
    scenario.mutators = vec![(0..ops).map(op).collect()];
    scenario
}

#[test]
fn no_program_is_too_long_and_none_leaves_an_operation_out() {
    let sizes = [
        (1, 1, 1),
        (8, 1, 4),
        (12, 1, 4),
        (20, 1, 8),
        (12, 3, 4),
        (4, 2, 16),
        (30, 1, 4),
        (100, 1, 1),
        (4096, 4096, 32),
    ];
    let mut refused = 0;
    for (ops, lanes, vmas) in sizes {
        for reader in Mode::ALL {
            let mut scenario = large(ops, lanes, vmas);
            scenario.readers = vec![reader];
            match program(&target_of(&scenario), None, &Rates::default()) {
                Ok(text) => {
                    assert!(text.lines().count() < LINES, "{ops} {lanes} {vmas} {reader}");
                    assert_eq!(text.matches("STEP(m").count(), ops, "{ops} {lanes} {vmas}");
                    assert_eq!(text.matches("DO(mmap(RANGE(").count(), lanes * vmas, "{text}");
                }
                Err(error @ EmitError::TooLong { .. }) => {
                    assert!(ops + lanes * vmas > 12, "{reader} {ops} {lanes} {vmas}: {error}");
                    assert!(error.to_string().contains("minimize"), "{error}");
                    refused += 1;
                }
                Err(error) => panic!("{ops} {lanes} {vmas}: {error}"),
            }
        }
    }
    assert!(refused >= 6, "the largest has no room in a short program");
}

#[test]
fn what_a_program_can_not_tell_is_refused_with_the_reason() {
    let refused = |json: &str, rule| {
        program(&target_of(&scenario(json)), rule, &Rates::default())
            .expect_err("no program")
            .to_string()
    };
    for class in ["stall", "mismatch"] {
        let text = refused(&CYCLE.replace("NAME", class), None);
        assert!(text.contains(class) && text.contains("mapstorm replay"), "{text}");
    }
    let text = refused(&CYCLE.replace("NAME", "disorder"), Some(Rule::OneInstant));
    assert!(text.contains("disorder") && text.contains("mapstorm replay"), "{text}");
    let mut two = scenario(CYCLE);
    two.mutators.push(two.mutators[0].clone());
    let text = program(&target_of(&two), None, &Rates::default()).unwrap_err().to_string();
    assert!(text.contains("2 mutators") && text.contains("minimize"), "{text}");
}

/// What is measured of a program that does nothing but this.
fn measured(body: &str, signal: Option<i32>) -> Result<Measured, Unmeasured> {
    let program = format!(
        "#include <stdio.h>\n#include <unistd.h>\nint main(void)\n{{ {body} return 0; }}\n"
    );
    measure(&program, "gcc", Duration::from_millis(40), &|| signal)
}

#[test]
fn sightings_and_walks_are_added_up_until_the_time_is_over() {
    if !has("gcc") {
        return;
    }
    let torn = r#"usleep(15000); puts("TORN: hole at 0x1000005000: text (walk 41)"); return 1;"#;
    let torn = measured(torn, None).unwrap();
    // 15 ms each and more, until 40 ms are over.
    assert!((1..=3).contains(&torn.sightings), "{torn}");
    assert_eq!(torn.walks, 42 * u64::from(torn.sightings));
    assert!(torn.time_ms >= 40, "{torn}");
}

#[test]
fn what_is_no_rate_is_told_as_what_it_is() {
    if !has("gcc") {
        return;
    }
    let errors = [
        (r#"fputs("mmap: not here\n", stderr); return 4;"#, None, "can't be tested here: mmap"),
        ("return 9;", None, "exit status: 9"),
        ("nonsense", None, "does not compile"),
        ("sleep(600);", Some(15), "signal 15"),
    ];
    for (body, signal, wanted) in errors {
        let error = measured(body, signal).unwrap_err();
        assert!(error.to_string().contains(wanted), "{body}: {error}");
    }
}

/// What lies below the lanes is not the program's to choose: more of it than there is room for ends
/// the program, and writes nowhere else.
#[test]
fn more_text_than_fits_ends_the_program() {
    if !has("gcc") {
        return;
    }
    let whole = emitted(CYCLE);
    assert_eq!(whole.matches("text[1 << 20]").count(), 1);
    let error = measure(
        &whole.replace("text[1 << 20]", "text[1 << 9]"),
        "gcc",
        Duration::from_secs(5),
        &|| None,
    );
    let error = error.unwrap_err().to_string();
    assert!(error.contains("no room for more text"), "{error}");
}

#[test]
fn a_program_says_what_was_measured_of_it_and_nothing_else() {
    let target = target_of(&scenario(CYCLE));
    let text = |rates: &Rates| program(&target, None, rates).unwrap();
    let plain = text(&Rates::default());
    assert!(plain.contains("How often it tears was not measured."), "{plain}");
    assert!(!plain.contains("Expect") && !plain.contains("within seconds"), "{plain}");
    let rare = Measured::here(1, 900_000, Duration::from_secs(90));
    let rates = Rates { program: Some(rare.clone()), replay: None };
    let slow = text(&rates);
    assert!(slow.contains(&rare.header.kernel) && slow.contains("-s 270"), "{slow}");
    // A file keeps what was measured of it.
    let mut kept = scenario(CYCLE);
    kept.measured = Some(rare);
    let read: Scenario = serde_json::from_str(&serde_json::to_string(&kept).unwrap()).unwrap();
    assert_eq!(read, kept);
    let replayed = program(&target_of(&read), None, &Rates::of(&read)).unwrap();
    assert!(replayed.contains("`mapstorm replay` was torn 1 time in"), "{replayed}");
    if !has("gcc") || !readable() {
        return;
    }
    // What it says itself, where nothing can tear.
    let serial = Serial::new();
    let (code, said) = serial.run(&serial.built("rare", &slow), "1", None);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("more than a minute") && said.contains("-s 270"), "{said}");
}

/// What a reader that begins in the middle of the text asks for, to begin with.
#[test]
fn a_reader_from_any_offset_begins_where_the_replay_does() {
    let anywhere = emitted(&read(CYCLE, r#"["pread"]"#));
    assert!(anywhere.contains("alone || rand() % 2 ? 0 : 1 + rand() % high"), "{anywhere}");
    let at = r#"["pread"], "later_reads": 354, "boundary": {"lane": 0, "page": 1}"#;
    let aimed = emitted(&read(CYCLE, at));
    // In the line before the boundary, in the lanes to begin with; and there is one below all.
    for part in [
        "offset = alone ? 0 : low + rand() % (high - low)",
        "ticks / 2 % 6 == 0 && end <= (unsigned long)AT(0, 1)",
        "low = line + 1 - text, high = done",
        "DO(mmap(AT(0, -2), page",
    ] {
        assert!(aimed.contains(part), "{part}: {aimed}");
    }
    for text in [anywhere, aimed] {
        assert!(text.contains("pthread_setaffinity_np(thread"), "{text}");
    }
}
