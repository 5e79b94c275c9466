//! One violation in full, for a person.

use crate::count::counted;
use crate::engine::{Found, Witness};
use crate::kernel::{Arena, parse};
use crate::model::{Geometry, Layout};
use crate::oracle::{Break, Class, OPEN, Rule, Tick, VersionRecord};
use std::fmt;

/// Lines shown before and after the break.
const AROUND: usize = 3;
/// Layouts shown at most.
const VERSIONS: usize = 12;

/// The example of a signature as lines of text: the sentence, the lines read, the versions.
pub fn example_text(found: &Found, arena: &Arena) -> Vec<String> {
    let Some((example, _)) = found.examples().first() else {
        return Vec::new();
    };
    let evidence = &example.evidence;
    let broken = &evidence.found;
    let geometry = arena.geometry();
    if matches!(broken.class, Class::Mismatch | Class::Stall | Class::Splat) {
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
        Rule::Standstill | Rule::Return | Rule::NoSplat => broken.rule.promise().into(),
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

/// The lane that broke and its versions that were possible.
fn possible<'a>(
    broken: &Break,
    records: &'a [VersionRecord],
    geometry: &Geometry,
) -> Option<(u16, impl Iterator<Item = &'a VersionRecord> + use<'a>)> {
    let address = broken.missing.or(broken.observation.map(|seen| seen.start)).or(broken.pos);
    let lane = geometry.locate(address.filter(|&address| geometry.contains(address))?).0;
    let (from, to) = (broken.earliest.min(broken.window.from), broken.window.to);
    let may = move |record: &&VersionRecord| {
        record.lane == lane && record.closed >= from && record.invoked < to
    };
    Some((lane, records.iter().filter(may)))
}

/// The versions of the broken lane that were possible, with what made them.
fn versions(broken: &Break, records: &[VersionRecord], geometry: &Geometry) -> Vec<String> {
    let Some((lane, possible)) = possible(broken, records, geometry) else {
        return Vec::new();
    };
    let alike = folded(possible);
    let left_out = alike.len().saturating_sub(VERSIONS);
    let mut text =
        vec![format!("lane {lane} as it may have been seen, by the ticks between which it could:")];
    if left_out > 0 {
        text.push(format!("     ({left_out} earlier layouts left out)"));
    }
    text.extend(alike[left_out..].iter().map(|alike| format!("     {alike}")));
    text
}

/// Versions of a lane that follow each other with one layout: told once, with their number.
struct Alike<'a> {
    first: &'a VersionRecord,
    layout: Layout,
    closed: Tick,
    count: usize,
}

/// Equal layouts in a row become one.
fn folded<'a>(records: impl Iterator<Item = &'a VersionRecord>) -> Vec<Alike<'a>> {
    let mut rows: Vec<Alike<'_>> = Vec::new();
    for record in records {
        let layout = record.layout();
        match rows.last_mut().filter(|row| row.layout == layout) {
            Some(row) => (row.closed, row.count) = (record.closed, row.count + 1),
            None => rows.push(Alike { first: record, layout, closed: record.closed, count: 1 }),
        }
    }
    rows
}

impl fmt::Display for Alike<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Alike { first, layout, closed, count } = self;
        match *closed {
            OPEN => write!(f, "[{}, ...] {layout}", first.invoked)?,
            tick => write!(f, "[{}, {tick}] {layout}", first.invoked)?,
        }
        if let Some(op) = first.origin.op {
            write!(f, ", made by worker {}: {op}", first.origin.worker)?;
        }
        match count - 1 {
            0 => Ok(()),
            more => write!(f, "; {} after it left it so", counted(more, "operation")),
        }
    }
}

/// The example of a signature in at most six lines that fit a row of a terminal: what is wrong,
/// the operation, and the line that breaks the walk between its neighbours.
pub fn in_short(found: &Found, geometry: &Geometry) -> Vec<String> {
    let Some((example, _)) = found.examples().first() else {
        return Vec::new();
    };
    let evidence = &example.evidence;
    let broken = &evidence.found;
    if matches!(broken.class, Class::Mismatch | Class::Stall) {
        return Vec::new();
    }
    let mut text = headline(broken, geometry);
    text.extend(operation(found, broken, &evidence.versions, geometry));
    text.extend(neighbours(&example.bytes, broken));
    text
}

/// What is wrong, in one line or two.
fn headline(broken: &Break, geometry: &Geometry) -> Vec<String> {
    let (from, to) = (broken.earliest, broken.window.to);
    let missing = broken.missing.map(|address| {
        if geometry.contains(address) {
            let (lane, page) = geometry.locate(address);
            return format!("lane {lane} page {page} is missing");
        }
        format!("{address:#x}, outside of the arena, is missing")
    });
    let outside = broken.lies_outside(geometry);
    let (what, why) = match (missing, broken.rule, broken.class) {
        (Some(what), ..) if outside => (what, "the standstills before and after have it".into()),
        (Some(what), ..) => {
            (what, format!("it was mapped at every instant from tick {from} to tick {to}"))
        }
        (None, Rule::Existence, _) if outside => {
            ("a line that is not so".into(), "the standstills before and after have another".into())
        }
        (None, Rule::Existence, class) => {
            let what = match class {
                Class::Torn => "a line made of two vmas",
                Class::Stale => "a line that was true only before the call",
                _ => "a line that was never true",
            };
            (what.into(), format!("no vma was so at any instant from tick {from} to tick {to}"))
        }
        (None, Rule::Order, _) => (
            format!("a line that was true only before tick {from}"),
            "what was read before it was true only from then on".into(),
        ),
        (None, Rule::OneInstant, _) => (
            "lines of one call that no instant shows".into(),
            format!("none from tick {} to tick {to}", broken.window.from),
        ),
        (None, rule, Class::Truncated) => {
            ("the walk ends too early".into(), format!("\"{}\" is broken", rule.promise()))
        }
        (None, rule, _) => {
            ("a line out of place".into(), format!("\"{}\" is broken", rule.promise()))
        }
    };
    match what.len() + why.len() + 2 <= SHORT {
        true => vec![format!("{what}; {why}")],
        false => vec![what, why],
    }
}

/// Columns of a short line.
const SHORT: usize = 70;

/// The operation that the mechanism is about, or else the last one that may have been under way.
fn operation(
    found: &Found,
    broken: &Break,
    records: &[VersionRecord],
    geometry: &Geometry,
) -> Option<String> {
    let mut made = None;
    for record in possible(broken, records, geometry)?.1 {
        let Some(op) = record.origin.op else { continue };
        let fits = found.signature.in_flight.has(op.kind());
        if fits || !matches!(made, Some((true, _))) {
            let op = op.to_string().replace("MREMAP_", "");
            made = Some((fits, format!("worker {}: {op}", record.origin.worker)));
        }
    }
    made.map(|(_, words)| words)
}

/// The line before the break, the one that breaks the walk or what is missing, and the line behind
/// a hole.
fn neighbours(bytes: &[u8], broken: &Break) -> Vec<String> {
    let lines: Vec<&[u8]> = bytes.split(|&byte| byte == b'\n').collect();
    let is_at = |line: &&[u8]| match (parse(line), broken.observation) {
        (Ok(line), Some(seen)) => (line.start, line.end) == (seen.start, seen.end),
        (Err(_), None) => broken.class == Class::Malformed && !line.is_empty(),
        _ => false,
    };
    let at = lines.iter().rposition(is_at).unwrap_or(lines.len());
    let before = lines[..at].iter().rfind(|line| parse(line).is_ok());
    let mut text: Vec<String> =
        before.map(|line| format!("   {}", shortened(line))).into_iter().collect();
    text.extend(broken.missing.map(|missing| format!(">> nothing for {missing:x}")));
    if let Some(line) = lines.get(at) {
        let mark = if broken.missing.is_some() { "  " } else { ">>" };
        text.push(format!("{mark} {}", shortened(line)));
    }
    text
}

/// A line of maps without device and inode.
fn shortened(line: &[u8]) -> String {
    let line = String::from_utf8_lossy(line);
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    match &words[..] {
        [range, perms, offset, _, _, name @ ..] => {
            [&[*range, *perms, *offset], name].concat().join(" ")
        }
        _ => line.trim_end().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Layout, Op, Outline, Page, Place, Prot, Span};
    use crate::oracle::{Origin, Version};

    fn record(version: Version, prot: Prot) -> VersionRecord {
        let layout = Layout::empty(4).repaged(|pages| pages[0] = Page::anon(prot));
        let at = Place { lane: 0, span: Span::new(0, 1) };
        let op = Some(Op::Protect { at, prot });
        VersionRecord {
            lane: 0,
            version,
            invoked: 10 * version,
            closed: 10 * version + 15,
            outline: Outline::from(&layout),
            origin: Origin { op, worker: version as u16, peer: None, known: true },
        }
    }

    #[test]
    fn equal_layouts_in_a_row_are_one_with_their_number() {
        let (read, write) = (Prot::from_bits(1), Prot::READ_WRITE);
        let records = [(1, read), (2, read), (3, read), (4, write), (5, read)];
        let records: Vec<VersionRecord> = records.map(|(n, prot)| record(n, prot)).into();
        let told: Vec<String> = folded(records.iter()).iter().map(ToString::to_string).collect();
        assert_eq!(
            told,
            [
                "[10, 45] [0..1 r--p anon], made by worker 1: mprotect lane 0 pages 0..1 to r--; 2 \
                 operations after it left it so",
                "[40, 55] [0..1 rw-p anon], made by worker 4: mprotect lane 0 pages 0..1 to rw-",
                "[50, 65] [0..1 r--p anon], made by worker 5: mprotect lane 0 pages 0..1 to r--",
            ]
        );
    }

    #[test]
    fn a_line_is_shortened_by_device_and_inode() {
        let line = b"7f41fbf03000-7f41fbf04000 rw-p 001c5000 00:01 1550     /memfd:a (deleted)";
        assert_eq!(shortened(line), "7f41fbf03000-7f41fbf04000 rw-p 001c5000 /memfd:a (deleted)");
        assert_eq!(shortened(b"7f41 no line"), "7f41 no line");
    }
}
