//! What there is to tell of a call that did not come back.

use super::incident::seconds;
use crate::count::counted;
use crate::engine::{Call, Party, Role};
use crate::evidence::{SavedIncident, SavedLane, SavedSplat, SavedStall};
use crate::host::{Doing, State, ThreadFile, thread_words};
use crate::model::Geometry;
use crate::oracle::Mechanism;
use crate::report::place;

/// Threads that are told one by one; of others there is only the number.
const MOST_THREADS: usize = 24;

/// A call that did not come back, in facts.
pub struct StallStory {
    /// One fact a line.
    pub facts: Vec<String>,
    /// What else is known: a heading, and the lines below it.
    pub sections: Vec<(String, Vec<String>)>,
}

/// What happened, in a sentence or two.
pub(super) fn sentence(stall: &SavedStall, incident: &SavedIncident) -> String {
    let thread =
        stall.tid.map_or("a thread that had not begun".into(), |tid| format!("thread {tid}"));
    let mut said = format!(
        "Worker {} ({thread}) was in {} and gave no sign of life for {}; {} is the most that a call \
         may take.",
        stall.worker,
        call(stall.call),
        seconds(stall.waited_ns),
        seconds(stall.limit_ns),
    );
    match incident.named().mechanism {
        Some(mechanism @ Mechanism::SpinningInLookup) => {
            said += &preempted(stall);
            said += &format!(" {}.", capital(mechanism.words()));
        }
        Some(mechanism @ Mechanism::WaitingForReaders) => {
            said += &format!(" {}.", capital(mechanism.words()));
        }
        _ => {}
    }
    said
}

/// What the kernel said, in a sentence.
pub(super) fn said(splat: &SavedSplat, incident: &SavedIncident) -> String {
    let line = splat.lines.first().map_or("", |line| line.trim());
    format!("{} after the storm began the kernel's log said: {line}.", seconds(incident.found_ns))
}

fn capital(words: &str) -> String {
    words[..1].to_uppercase() + &words[1..]
}

/// Who keeps whom from the CPU.
fn preempted(stall: &SavedStall) -> String {
    let stuck = stall.parties.iter().find(|party| party.worker == stall.worker);
    let cpu = stuck.and_then(|stuck| stuck.cpu).unwrap_or_default();
    let waits = |party: &&Party| {
        party.state == Some(State::Runnable)
            && party.idle_ns >= stall.limit_ns / 2
            && matches!(party.call, Some(Call::Operation(_)))
    };
    let Some(waiting) = stall.parties.iter().find(waits) else { return String::new() };
    format!(
        " It spins on CPU {cpu}. Worker {} (thread {}) is in mid-operation ({}), runnable on CPU {}, and \
         has not run for {}.",
        waiting.worker,
        waiting.tid.unwrap_or_default(),
        call(waiting.call),
        waiting.cpu.unwrap_or_default(),
        seconds(waiting.idle_ns),
    )
}

fn call(call: Option<Call>) -> String {
    match call {
        Some(Call::Read(mode)) => format!("a read of maps ({mode})"),
        Some(Call::Operation(op)) => op.to_string(),
        Some(Call::Load(address)) => format!("a load from {address:#x}"),
        None => "no call that the storm knows of".into(),
    }
}

/// What the thread did meanwhile.
fn did(stall: &SavedStall) -> String {
    match (stall.doing, stall.system_ns) {
        (None, _) => "what it did was not looked at".into(),
        (Some(doing @ Doing::Spinning), Some(system)) => {
            format!("{}: {} of CPU time there", doing.words(), seconds(system))
        }
        (Some(doing), _) => doing.words().into(),
    }
}

/// Where in its call the stuck reader is.
fn stands(stall: &SavedStall, geometry: &Geometry) -> Option<String> {
    let stuck = stall.parties.iter().find(|party| party.worker == stall.worker)?;
    let at = stuck.place?;
    let what = match stall.call {
        Some(Call::Read(mode)) if mode.is_query() => "asks for the vma at",
        _ => "the walk had come to",
    };
    let inside = if at.inside { "" } else { "between two calls: " };
    let mut said = match what {
        "asks for the vma at" => inside.to_owned(),
        _ => format!(
            "{inside}offset {} of the file, {} of the walk read before, ",
            at.at,
            counted(at.read, "byte")
        ),
    };
    said += &match at.reached {
        Some(address) if geometry.contains(address) => {
            format!("{what} {}", place(geometry, address))
        }
        Some(address) => format!("{what} {address:#x}, outside of the arena"),
        None => "and no line of it yet".into(),
    };
    Some(format!("{said}; called at tick {}", at.invoked))
}

impl StallStory {
    /// What there is to see of what the kernel said.
    pub(super) fn of(splat: &SavedSplat) -> StallStory {
        let taint = |taint: Option<u64>| taint.map_or("unknown".into(), |taint| taint.to_string());
        let (before, after) = (taint(splat.taint_before), taint(splat.taint_after));
        StallStory {
            facts: vec![format!("taint    {before} before the storm, {after} then")],
            sections: vec![("the kernel's log".into(), splat.lines.clone())],
        }
    }

    pub(super) fn new(stall: &SavedStall, incident: &SavedIncident) -> StallStory {
        let mut facts = vec![
            format!("call     {}", call(stall.call)),
            format!("since    {} after the storm began", seconds(stall.since_ns)),
            format!("silent   {}", seconds(stall.waited_ns)),
            format!("limit    {} (--stall)", seconds(stall.limit_ns)),
            format!("thread   {}", did(stall)),
            format!("before   {} that came back", counted(stall.completed_calls, "call")),
        ];
        facts.extend(stands(stall, &incident.geometry).map(|at| format!("at       {at}")));
        let mut sections = Vec::new();
        if !stall.parties.is_empty() {
            sections.push(("the threads of the storm".into(), table(stall)));
        }
        let thread = match stall.thread.is_empty() {
            true => vec!["nothing: it had not begun".into()],
            false => words(&stall.thread),
        };
        sections.push(("the thread, from /proc/self/task".into(), thread));
        for party in stall.parties.iter().filter(|party| !party.files.is_empty()) {
            let who = format!("worker {} ({}), from /proc/self/task", party.worker, role(party));
            sections.push((who, words(&party.files)));
        }
        if !stall.kernel_log.is_empty() {
            let what = "the kernel's log since the storm began";
            sections.push((what.into(), stall.kernel_log.clone()));
        }
        if !stall.lines.is_empty() {
            let lines =
                stall.lines.iter().map(|line| String::from_utf8_lossy(&line.0).into_owned());
            sections.push(("the last lines that its walk had read".into(), lines.collect()));
        }
        for lane in &stall.lanes {
            sections.push((format!("last versions of lane {}", lane.lane), versions(lane)));
        }
        StallStory { facts, sections }
    }
}

fn words(files: &[ThreadFile]) -> Vec<String> {
    thread_words(files).lines().map(|line| line.strip_prefix("  ").unwrap_or(line).into()).collect()
}

fn role(party: &Party) -> &'static str {
    match party.role {
        Role::Reader => "reader",
        Role::Mutator => "mutator",
        Role::Faulter => "faulter",
    }
}

/// Every thread in a line; the stuck one is marked.
fn table(stall: &SavedStall) -> Vec<String> {
    let (resting, busy): (Vec<&Party>, Vec<&Party>) =
        stall.parties.iter().partition(|party| party.rests);
    let row = |party: &&Party| {
        let state = match party.state {
            Some(State::Runnable) => "runnable",
            Some(State::Asleep) => "asleep",
            Some(State::Uninterruptible) => "asleep (D)",
            Some(State::Stopped) => "stopped",
            Some(State::Ended) => "ended",
            Some(State::Other) | None => "?",
        };
        let cpu = party.cpu.map_or("?".into(), |cpu| cpu.to_string());
        let mark = if party.worker == stall.worker { "  << stuck" } else { "" };
        format!(
            "{:<4} {:<8} thread {:<7} {state:<10} CPU {cpu} of {}, back {} ago, ran {} ago: {}{mark}",
            party.worker,
            role(party),
            party.tid.map_or("-".into(), |tid| tid.to_string()),
            if party.allowed_cpus.is_empty() { "?" } else { &party.allowed_cpus },
            seconds(party.still_ns),
            seconds(party.idle_ns),
            call(party.call),
        )
    };
    let mut rows: Vec<String> = busy.iter().take(MOST_THREADS).map(row).collect();
    if busy.len() > MOST_THREADS {
        rows.push(format!("and {} more in a call", counted(busy.len() - MOST_THREADS, "thread")));
    }
    if !resting.is_empty() {
        rows.push(format!("{} rested", counted(resting.len(), "thread")));
    }
    rows
}

/// A lane's last versions, oldest first.
fn versions(lane: &SavedLane) -> Vec<String> {
    let version = |version: &crate::evidence::SavedVersion| {
        let closed = version.closed.map_or("...".into(), |closed| closed.to_string());
        let by = version.op.map_or("laid out anew".into(), |op| {
            format!("made by worker {}: {op}", version.worker)
        });
        format!("[{}, {closed}] {}, {by}", version.invoked, version.layout)
    };
    lane.versions.iter().map(version).collect()
}
