//! One violation in full, for a person.

use crate::engine::{Found, Witness};
use crate::kernel::{Arena, parse};
use crate::model::Geometry;
use crate::oracle::{Break, Class, OPEN, Rule, VersionRecord};

/// Lines shown before and after the break.
const AROUND: usize = 3;
/// Versions shown at most.
const VERSIONS: usize = 12;

/// The example of a signature as lines of text: the sentence, the lines read, the versions.
pub fn example_text(found: &Found, arena: &Arena) -> Vec<String> {
    let Some((example, _)) = found.examples().first() else {
        return Vec::new();
    };
    let evidence = &example.evidence;
    let broken = &evidence.found;
    let geometry = arena.geometry();
    if matches!(broken.class, Class::Mismatch | Class::Stall) {
        return Vec::new();
    }
    let mut text = vec![sentence(broken, geometry)];
    let lines = lines_around(example, broken, geometry);
    if !lines.is_empty() {
        text.push(format!(
            "read by reader {} (clock before and after each call in brackets):",
            example.reader
        ));
        text.extend(lines);
    }
    text.extend(versions(broken, &evidence.versions, geometry));
    text
}

/// Where an address lies, in the words of the report.
pub(crate) fn place(geometry: &Geometry, address: u64) -> String {
    if !geometry.contains(address) {
        return format!("{address:#x}");
    }
    let (lane, page) = geometry.locate(address);
    format!("{address:#x} (lane {lane} page {page})")
}

/// Which rule broke, and why there are no instants.
pub(crate) fn sentence(broken: &Break, geometry: &Geometry) -> String {
    let at = |address: u64| place(geometry, address);
    let (from, to) = (broken.earliest, broken.window.to);
    let seen = broken.observation.map_or("the end".into(), |seen| {
        format!("the line {:x}-{:x} ({})", seen.start, seen.end, seen.page)
    });
    let pos = broken.pos.map_or("an unknown place".into(), at);
    if broken.lies_outside(geometry) {
        return outside(broken, &seen, &pos);
    }
    match broken.rule {
        Rule::NoHole => format!(
            "rule 2, no hole: the read went from {pos} straight to {}, but {} was mapped at every \
             instant that is left, from tick {from} (the earliest that what was read before \
             allows) to tick {to} (the end of the call)",
            broken.gap_end.map_or("the end".into(), at),
            broken.missing.map_or("a page between".into(), at),
        ),
        Rule::Existence => {
            let kind = match broken.class {
                Class::Torn => "its start and its end belong to two different vmas of the window",
                Class::Stale => "it was true only before the call began",
                _ => "it was never true, as far back as is remembered",
            };
            format!(
                "rule 1, existence: {seen} at {} matches no vma at any instant from tick {from} to \
                 tick {to}; {kind}",
                broken.observation.map_or(pos, |seen| at(seen.start)),
            )
        }
        Rule::Order => format!(
            "rule 3, order: {seen} was true in the window, but only before tick {from}, and what \
             was read before it was true only from then on"
        ),
        Rule::Progress => format!("rule 4, progress: {seen} does not end above {pos}"),
        Rule::WholeLines if broken.class == Class::Truncated => {
            format!("rule 5, whole lines: the walk ends after {pos}, though the stack lies above")
        }
        Rule::WholeLines => format!("rule 5, whole lines: after {pos} a line does not parse"),
        Rule::NeverBack => {
            format!(
                "proc.rst, guarantee 1: {seen} starts below {pos}, where the line before it ended"
            )
        }
        Rule::OneInstant => format!(
            "one instant: no layout between tick {} and tick {to} shows all lines of the call",
            broken.window.from
        ),
        Rule::Standstill | Rule::Return => broken.rule.promise().into(),
    }
}

/// The same of a line outside of the arena.
fn outside(broken: &Break, seen: &str, pos: &str) -> String {
    let there = "that the standstills before and after the walk both have, byte for byte";
    let missing = broken.missing.unwrap_or_default();
    match broken.rule {
        Rule::NoHole => format!(
            "rule 2, no hole: the read went from {pos} straight to {:#x}, without the line at \
             {missing:#x}, outside of the arena, {there}",
            broken.gap_end.unwrap_or_default(),
        ),
        Rule::WholeLines => format!(
            "rule 5, whole lines: the walk ends after {pos}, without the line at {missing:#x}, \
             outside of the arena, {there}"
        ),
        _ => format!(
            "rule 1, existence: {seen} stands where, outside of the arena, there is another line \
             {there}"
        ),
    }
}

/// The lines read around the break, with the borders between read calls.
fn lines_around(example: &Witness, broken: &Break, geometry: &Geometry) -> Vec<String> {
    let mut text = Vec::new();
    let mut start = 0;
    let mut carried = 0;
    // Bytes of all calls follow one another; a border falls where a call's bytes end.
    let bytes = &example.bytes;
    let mut borders = example
        .calls
        .iter()
        .map(|call| {
            carried += call.got as usize;
            (carried - call.got as usize, call)
        })
        .peekable();
    let mut broke_at = None;
    while start < bytes.len() {
        while let Some((_, call)) = borders.next_if(|(at, _)| *at <= start) {
            text.push(format!(
                "  -- pread of {} bytes at offset {} gave {} [{}, {}]",
                call.asked, call.offset, call.got, call.window.from, call.window.to
            ));
        }
        let end = memchr::memchr(b'\n', &bytes[start..]).map_or(bytes.len(), |at| start + at);
        let line = &bytes[start..end];
        let mut mark = "";
        if let Ok(parsed) = parse(line)
            && let Some(seen) = broken.observation
            && (parsed.start, parsed.end) == (seen.start, seen.end)
        {
            if let Some(missing) = broken.missing {
                text.push(format!("  >> nothing for {}", place(geometry, missing)));
            }
            mark = "  << here";
            broke_at = Some(text.len());
        }
        text.push(format!("     {}{mark}", String::from_utf8_lossy(line).trim_end()));
        start = end + 1;
    }
    let last = text.len();
    let middle = broke_at.unwrap_or(last);
    let (low, high) = (middle.saturating_sub(AROUND + 2), (middle + AROUND + 1).min(last));
    let mut shown: Vec<String> = text.drain(low..high).collect();
    // The call the first shown line came from.
    if let Some(call) = text[..low].iter().rfind(|line| line.starts_with("  --")) {
        shown.insert(0, call.clone());
    }
    shown
}

/// The versions of the broken lane that were possible, with what made them.
fn versions(broken: &Break, records: &[VersionRecord], geometry: &Geometry) -> Vec<String> {
    let address = broken.missing.or(broken.observation.map(|seen| seen.start)).or(broken.pos);
    let Some(address) = address.filter(|&address| geometry.contains(address)) else {
        return Vec::new();
    };
    let lane = geometry.locate(address).0;
    let (from, to) = (broken.earliest.min(broken.window.from), broken.window.to);
    let possible: Vec<&VersionRecord> = records
        .iter()
        .filter(|record| record.lane == lane && record.closed >= from && record.invoked < to)
        .collect();
    let left_out = possible.len().saturating_sub(VERSIONS);
    let mut text =
        vec![format!("lane {lane} as it may have been seen, by the ticks between which it could:")];
    if left_out > 0 {
        text.push(format!("     ({left_out} earlier versions left out)"));
    }
    for record in &possible[left_out..] {
        let closed = match record.closed {
            OPEN => "...".into(),
            tick => tick.to_string(),
        };
        let made = record
            .origin
            .op
            .map_or(String::new(), |op| format!(", made by worker {}: {op}", record.origin.worker));
        text.push(format!("     [{}, {closed}] {}{made}", record.invoked, record.layout()));
    }
    text
}
