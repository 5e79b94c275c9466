//! The table of mechanisms, and one example.

use super::super::data::{Ending, StormReport, Violation};
use super::super::text::style;
use super::super::verdict::Verdict;
use super::{Block, COLUMNS, MARGIN, Weight, clipped, named, short, wrapped};
use crate::oracle::{Class, Mechanism};
use anstyle::Style;

/// Rows of the example.
const EXAMPLE: usize = 6;

/// Violations of one mechanism, or of one class that no mechanism explains.
struct Group<'a> {
    name: String,
    mechanism: Option<Mechanism>,
    allowed: bool,
    count: u64,
    first_at_ms: f64,
    all: Vec<&'a Violation>,
}

/// Those that are not allowed first, then the most frequent.
fn groups(report: &StormReport) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for violation in &report.violations {
        let mechanism = violation.mechanism.and_then(|word| word.parse().ok());
        let mechanism = mechanism.filter(|mechanism: &Mechanism| *mechanism != Mechanism::Unknown);
        let name = match mechanism {
            Some(mechanism) => mechanism.word().to_owned(),
            None if violation.class == Class::Mismatch.word() => violation.class.to_owned(),
            None => format!("unexplained {}", violation.class),
        };
        let group = Group {
            name,
            mechanism,
            allowed: violation.allowed,
            count: 0,
            first_at_ms: violation.first_at_ms,
            all: Vec::new(),
        };
        let same = |other: &Group<'_>| (&other.name, other.allowed) == (&group.name, group.allowed);
        let at = groups.iter().position(same).unwrap_or_else(|| {
            groups.push(group);
            groups.len() - 1
        });
        let group = &mut groups[at];
        group.count += violation.count;
        group.first_at_ms = group.first_at_ms.min(violation.first_at_ms);
        group.all.push(violation);
    }
    groups.sort_by_key(|group| (group.allowed, std::cmp::Reverse(group.count)));
    groups
}

/// A row for each mechanism, with what it does below it; beyond `most` one for all others.
pub(super) fn table(report: &StormReport, most: usize) -> Vec<Block> {
    let groups = groups(report);
    if groups.is_empty() && report.violations_beyond == 0 {
        return Vec::new();
    }
    let bold = Style::new().bold();
    let heading = line("mechanism", "times", "rate", "first", "where in the kernel");
    let mut blocks = vec![Block::new(Weight::Always, [format!("{bold}{heading}{bold:#}")])];
    let whole = groups.len().min(most);
    for (at, group) in groups[..whole].iter().enumerate() {
        if group.allowed && !groups[..at].iter().any(|before| before.allowed) {
            blocks.push(Block::new(Weight::Always, [" allowed:".to_owned()]));
        }
        let style = style(if group.allowed { Verdict::Allowed } else { Verdict::Violated });
        let row = group.row(report.elapsed_ms);
        blocks.push(Block::new(Weight::Always, [format!("{style}{row}{style:#}")]));
        blocks.push(Block::new(Weight::Explained, [format!("   {}", group.explained())]));
    }
    let rest: u64 = groups[whole..].iter().map(|group| group.count).sum();
    for (name, count) in [
        (format!("{} more rows", groups.len() - whole), rest),
        ("further signatures".into(), report.violations_beyond),
    ] {
        if count > 0 {
            let rate = rate(count, report.elapsed_ms);
            blocks.push(Block::new(Weight::Always, [line(&name, &short(count), &rate, "", "-v")]));
        }
    }
    let explained = groups.iter().all(|group| group.mechanism.is_some());
    if explained && report.violations_beyond == 0 {
        blocks.push(Block::new(Weight::Figures, [line("unexplained", "0", "", "", "")]));
    }
    blocks.push(Block::space());
    blocks
}

fn line(name: &str, times: &str, rate: &str, first: &str, place: &str) -> String {
    let line = format!(" {name:<21}{times:>7} {rate:>8} {first:>7}  {place}");
    clipped(line.trim_end(), COLUMNS)
}

impl Group<'_> {
    fn row(&self, elapsed_ms: u64) -> String {
        let place = match self.mechanism {
            // Any call that replaces in two steps has this mechanism; only mremap's place is known.
            Some(Mechanism::ReplacedInFlight) if !self.remaps() => "",
            Some(mechanism) => mechanism.place(),
            None => "",
        };
        let (times, rate) = (short(self.count), rate(self.count, elapsed_ms));
        line(&self.name, &times, &rate, &moment(self.first_at_ms), place)
    }

    fn remaps(&self) -> bool {
        self.all.iter().any(|violation| violation.operations.contains(&"remap"))
    }

    fn explained(&self) -> String {
        let what = match (self.mechanism, self.all[0].class.parse()) {
            (Some(mechanism), _) => mechanism.in_short(),
            (None, Ok(Class::Mismatch)) => {
                "after calls that returned, the vmas are not those that any rule predicts"
            }
            (None, Ok(Class::Stall)) => Mechanism::Unknown.in_short(),
            (None, Ok(Class::Splat)) => "the kernel's log says so; its lines are in the file",
            (None, _) => "no known mechanism explains it; look at the example",
        };
        clipped(what, COLUMNS - 3)
    }
}

/// How often in a second, or in an hour.
fn rate(count: u64, elapsed_ms: u64) -> String {
    let a_second = count as f64 * 1000.0 / elapsed_ms.max(1) as f64;
    match a_second {
        many if many >= 99_999.5 => format!("{}/s", short(many as u64)),
        many if many >= 9.95 => format!("{many:.0}/s"),
        some if some >= 0.1 => format!("{some:.1}/s"),
        few => format!("{:.1}/h", few * 3600.0),
    }
}

/// A moment of the run.
fn moment(ms: f64) -> String {
    match ms {
        soon if soon < 9.95 => format!("{soon:.1} ms"),
        soon if soon < 999.5 => format!("{soon:.0} ms"),
        later if later < 99_950.0 => format!("{:.1} s", later / 1000.0),
        later if later < 5_970_000.0 => format!("{:.0} min", later / 60_000.0),
        late => format!("{:.1} h", late / 3_600_000.0),
    }
}

/// The violation whose example is shown, the one that is shortest in full. An allowed one only
/// where all are allowed.
pub(super) fn shown(report: &StormReport) -> Option<&Violation> {
    let alarming = report.violations.iter().any(|violation| !violation.allowed);
    let told = report
        .violations
        .iter()
        .filter(|violation| !violation.in_short.is_empty())
        .filter(|violation| !alarming || !violation.allowed);
    told.min_by_key(|violation| violation.example.iter().map(String::len).sum::<usize>())
}

/// What happened once, in six rows.
pub(super) fn example(report: &StormReport) -> Option<Block> {
    let rows = match shown(report) {
        Some(violation) => violation.in_short.clone(),
        None => unread(report)?,
    };
    let rows = rows.iter().take(EXAMPLE).enumerate().map(|(at, row)| match at {
        0 => named("example", row),
        _ => format!("   {}", clipped(row, COLUMNS - 3)),
    });
    Some(Block::new(Weight::Example, rows))
}

/// Of what no reader found: the call at calibration, the lane that differed, or the thread.
fn unread(report: &StormReport) -> Option<Vec<String>> {
    if report.violations.is_empty() {
        return None;
    }
    let first = report.unpredicted.first().or(report.standstills.differences.first());
    if let Some(words) = first {
        let mut rows = wrapped(words, COLUMNS - MARGIN);
        rows.truncate(EXAMPLE);
        return Some(rows);
    }
    match &report.ended {
        Ending::Stall { state, .. } if !state.is_empty() => {
            Some(state.lines().map(str::to_owned).collect())
        }
        _ => None,
    }
}
