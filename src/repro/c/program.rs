//! The program's text: parts that are the same for all, and what the scenario fills in.

use super::rate::Rates;
use super::rounds::{Rounds, follow};
use super::rows::{lines_of, listed, packed};
use crate::engine::{Course, Mode};
use crate::model::{Backing, Geometry, Kind, Layout, Op, lane_making};
use crate::oracle::{Class, Contract, Rule};
use crate::repro::replay::Target;
use crate::repro::scenario::{Boundary, Scenario, ScenarioError};
use std::fmt::Write;

/// Every program has fewer lines.
pub const LINES: usize = 150;

const FRAME: &str = include_str!("parts/frame.c");
const WALK: &str = include_str!("parts/walk.c");
const QUERY: &str = include_str!("parts/query.c");
const MAIN: &str = include_str!("parts/main.c");

/// Why there is no program.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what it is about")]
pub enum EmitError {
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    #[error("{shows} can't be told by a short program: {why}; `mapstorm replay FILE` shows it")]
    Untold { shows: String, why: &'static str },
    #[error(
        "the scenario has {0} mutators, and a program that knows all layouts beforehand has room \
         for one: `mapstorm minimize FILE -o OUT` leaves no more than it takes"
    )]
    Mutators(usize),
    #[error(
        "the loop never comes back to lanes as they were before one of its rounds: let it undo at \
         its end what it does"
    )]
    NeverBack,
    #[error(
        "{operations} operations and {vmas} VMAs to begin with make a program of {lines} lines, \
         the most is {}: `mapstorm minimize FILE -o OUT` makes it a smaller scenario", LINES - 1
    )]
    TooLong { operations: usize, vmas: usize, lines: usize },
}

/// The C program that shows what `target` shows; `rule` is the one that the tear broke, where
/// that is known; `rates` is all that it says of how often it tears.
///
/// Each operation is a line with a comment; where that makes too many lines, a line holds as many
/// as fit.
///
/// # Errors
/// When no program under [`LINES`] lines can.
pub fn program(target: &Target, rule: Option<Rule>, rates: &Rates) -> Result<String, EmitError> {
    let scenario = &target.scenario;
    scenario.check()?;
    let first = scenario.layouts()?;
    let expected = expected(target, rule)?;
    let [ops] = &scenario.mutators[..] else {
        return Err(EmitError::Mutators(scenario.mutators.len()));
    };
    let make = making_of(&first);
    let room = Rounds { settle: 0, period: 1 };
    let mut frame = Frame { scenario, ops, make: &make, rounds: room, expected, rule, rates };
    // From the most readable to the shortest; how many rounds there are makes no line more.
    let forms: [[Form; 2]; 3] = [[listed, listed], [packed, listed], [packed, packed]];
    let lines = |[make, ops]: &[Form; 2]| frame.text(target, *make, *ops).lines().count();
    let Some([make, told]) = forms.iter().find(|form| lines(form) < LINES) else {
        let vmas = first.iter().map(|lane| lane.vmas().count()).sum();
        let lines = lines(&[packed, packed]);
        return Err(EmitError::TooLong { operations: ops.len(), vmas, lines });
    };
    frame.rounds = follow(&first, ops, scenario.merge_rules.rules()).ok_or(EmitError::NeverBack)?;
    Ok(frame.text(target, *make, *told))
}

/// How operations are told: each within a macro, so many tabs deep.
type Form = fn(&[Op], &str, usize) -> String;

/// What the program is to show, in words.
fn told(target: &Target) -> String {
    target.shows.map_or("a violation".into(), |shows| shows.to_string())
}

/// The classes that count, as the program calls them.
fn expected(target: &Target, rule: Option<Rule>) -> Result<String, EmitError> {
    let shows = told(target);
    let untold = |why| EmitError::Untold { shows: shows.clone(), why };
    if rule == Some(Rule::OneInstant) {
        return Err(untold("it judges line by line, and here it is all lines of a call together"));
    }
    if target.contract() > Contract::Series {
        return Err(untold("it judges by the rules of the series, which tolerate it"));
    }
    let mut words = Vec::new();
    for shown in target.counts() {
        words.push(match shown.class() {
            // Which two VMAs a line that never was is made of makes no difference.
            Class::Torn => "unknown",
            // Of any violation, the others are enough.
            Class::Mismatch | Class::Stall | Class::Splat if target.shows.is_none() => continue,
            Class::Mismatch => {
                return Err(untold("all that it knows of the layouts is what it read"));
            }
            Class::Stall => return Err(untold("it would hang itself")),
            Class::Splat => return Err(untold("the kernel's log tells of it")),
            class => class.word(),
        });
    }
    words.dedup();
    Ok(words.join(" "))
}

/// What makes the lanes to begin with.
fn making_of(first: &[Layout]) -> Vec<Op> {
    let lanes = first.iter().enumerate();
    lanes.flat_map(|(lane, layout)| lane_making(lane as u16, layout)).collect()
}

/// What a text is made from.
struct Frame<'a> {
    scenario: &'a Scenario,
    ops: &'a [Op],
    make: &'a [Op],
    rounds: Rounds,
    expected: String,
    rule: Option<Rule>,
    rates: &'a Rates,
}

/// A write to each page of a range, as an operation.
const TOUCH: &str = "static int touch(char *at, long bytes)
{
	for (long to = 0; to < bytes; to += page)
		((volatile char *)at)[to] = 1;
	return 0;
}

";

impl Frame<'_> {
    fn text(&self, target: &Target, first: Form, ops: Form) -> String {
        let mut text = head(target, self.scenario.readers[0], self.rates);
        self.includes(&mut text);
        self.constants(&mut text);
        // A line that begins below the end of the one before is allowed by the series.
        let back = if self.rule == Some(Rule::NeverBack) { "start < pos" } else { "end <= pos" };
        let files = if self.files() { "file[4], " } else { "" };
        text.push_str(&FRAME.replace("@BACK@", back).replace("@FILES@", files));
        if self.all().any(|op| op.kind() == Kind::Touch) {
            text.push_str(TOUCH);
        }
        text.push_str(&self.look());
        let _ = write!(
            text,
            "static void *loop(void *once)\n{{\n\tdo {{\n{}\t}} while (!once);\n\treturn NULL;\n}}\n\n",
            ops(self.ops, "STEP", 2),
        );
        let below = if self.in_middle() || self.scenario.boundary.is_some() {
            "\tDO(mmap(AT(0, -2), page, PROT_NONE, FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)); \
             /* a line below */\n"
        } else {
            ""
        };
        let files = if self.files() {
            "\tfor (int i = 0; i < 4; i++)\n\t\tDO((file[i] = memfd_create(\"tear\", 0)) < 0 ? \
             -1 : ftruncate(file[i], page << 17));\n"
        } else {
            ""
        };
        let path = self.scenario.readers[0].path();
        let Rounds { settle, period, .. } = self.rounds;
        let alone = match settle {
            0 => format!("round < {period} ? 2 : 1"),
            _ => format!("round < {settle} ? 0 : round < {} ? 2 : 1", settle + period),
        };
        let parts = [
            ("@FIRST@", &(files.to_owned() + below + &first(self.make, "DO", 1))),
            ("@PATH@", &path.to_owned()),
            ("@ROUNDS@", &(settle + 2 * period).to_string()),
            ("@ALONE@", &alone),
            ("@EXPECTED@", &self.expected),
            ("@NOTE@", &self.rates.note()),
        ];
        text + &filled(MAIN, &parts)
    }

    fn all(&self) -> impl Iterator<Item = &Op> {
        self.make.iter().chain(self.ops)
    }

    fn maps(&self, backing: Backing) -> bool {
        self.all().any(|op| matches!(op, Op::Map { page, .. } if page.backing() == backing))
    }

    fn files(&self) -> bool {
        self.maps(Backing::PrivateFile) || self.maps(Backing::SharedFile)
    }

    /// Whether reads begin in the middle of the text.
    fn in_middle(&self) -> bool {
        self.scenario.readers[0].begins_in_middle()
    }

    fn includes(&self, text: &mut String) {
        text.push_str("#define _GNU_SOURCE\n");
        let mut names = vec!["err.h", "fcntl.h", "pthread.h", "stdio.h", "stdlib.h", "string.h"];
        names.extend(["sys/mman.h", "sys/timerfd.h", "unistd.h"]);
        if self.all().any(|op| op.kind() == Kind::Name) {
            names.extend(["linux/prctl.h", "sys/prctl.h"]);
        }
        if self.scenario.readers[0].is_query() {
            names.extend(["errno.h", "sys/ioctl.h"]);
        }
        names.sort_unstable();
        for name in names {
            let _ = writeln!(text, "#include <{name}>");
        }
        text.push('\n');
    }

    fn constants(&self, text: &mut String) {
        let Frame { scenario, ops, rounds, .. } = self;
        let lanes = scenario.lanes.len();
        let geometry = Geometry::new(0, 4096, lanes, scenario.pages as usize);
        let stride = 1usize << (geometry.stride_shift - geometry.page_shift);
        let _ = write!(
            text,
            "#define BASE (1ul << 36) /* far from all that the kernel chooses an address for */
#define STRIDE {stride} /* pages from lane to lane; those between two lanes stay unmapped */
#define PAGES {pages}
#define LAYOUTS {layouts} /* that the loop goes through */
",
            pages = lanes * stride,
            layouts = rounds.period * ops.len(),
        );
        let mut flags = vec!["R = PROT_READ", "W = PROT_WRITE", "X = PROT_EXEC"];
        flags.push("FIXED = MAP_FIXED | MAP_NORESERVE");
        if self.maps(Backing::Anon) {
            flags.push("ANON = FIXED | MAP_PRIVATE | MAP_ANONYMOUS");
        }
        if self.maps(Backing::PrivateFile) {
            flags.push("PRIVATE = FIXED | MAP_PRIVATE");
        }
        if self.maps(Backing::SharedFile) {
            flags.push("SHARED = FIXED | MAP_SHARED");
        }
        if self.all().any(|op| op.kind() == Kind::Remap) {
            flags.push("MOVE = MREMAP_MAYMOVE | MREMAP_FIXED");
        }
        let flags = format!("enum {{ {} }};", flags.join(",\n"));
        let flags = lines_of(flags.lines().map(str::to_owned), 0);
        let _ = writeln!(text, "{}", flags.trim_end().replace('\n', "\n\t"));
    }

    /// The function that reads.
    fn look(&self) -> String {
        let Scenario { readers, boundary, first_read, later_reads, .. } = self.scenario;
        let mode = readers[0];
        let Some(course) = mode.course() else { return QUERY.into() };
        let in_middle = self.in_middle();
        let size = match (later_reads, course) {
            (Some(bytes), _) => bytes.to_string(),
            (None, Course::Pieces) => "8 + rand() % 592".into(),
            _ => "page".into(),
        };
        let mut locals = String::new();
        let size = match (boundary, first_read) {
            (Some(_), _) if !in_middle => {
                locals +=
                    "\tstatic long lead; /* bytes before the line at which a call begins */\n";
                let _ = writeln!(locals, "\tlong size = {size};");
                "used < lead && lead - used < size ? lead - used : size".into()
            }
            (None, Some(first)) if !in_middle => format!("used == 0 ? {first} : {size}"),
            _ => size,
        };
        if in_middle {
            // As the replay draws it: with a boundary, in the line before it; else anywhere in the
            // lanes' text. Of those that it sends to a multiple of a page, half begin at the
            // bottom.
            locals += match (boundary, course) {
                (None, _) => {
                    "\tstatic long high = 1; /* where the lanes' text ends */\n\tlong offset = alone || \
                     rand() % 2 ? 0 : 1 + rand() % high, lines = 0;\n"
                }
                (Some(_), Course::Shared) => {
                    "\tstatic long low = 1, high = 2; /* most reads begin between these */\n\tlong \
                     offset = alone || rand() % 4 == 0 ? 0 : low + rand() % (high - low), lines = 0;\n"
                }
                (Some(_), _) => {
                    "\tstatic long low = 1, high = 2; /* a read begins between these */\n\tlong offset = \
                     alone ? 0 : low + rand() % (high - low), lines = 0;\n"
                }
            };
        }
        let (mut skip, mut place) = (String::new(), String::new());
        if mode.has_details() {
            skip += "\t\t\tif (*line >= 'A' && *line <= 'Z')\n\t\t\t\tcontinue; /* more of the VMA above */\n";
        }
        if in_middle {
            skip += "\t\t\tif (offset && ++lines == 1)\n\t\t\t\tcontinue; /* what is left of a line */\n";
            place +=
                "\t\t\tpos = lines != 2 ? pos : start > BASE ? (long)(start - BASE) / page : 0;\n";
        }
        if let Some(Boundary { lane, page }) = boundary {
            // In the lanes to begin with, as the replay does.
            let found =
                if in_middle { "low = line + 1 - text, high = done" } else { "lead = done" };
            let _ = writeln!(
                place,
                "\t\t\tif (alone && ticks / 2 % {} == 0 && end <= (unsigned long)AT({lane}, {page}))\n\t\t\t\t{found};",
                self.ops.len()
            );
        } else if in_middle {
            place += "\t\t\thigh = alone && start < BASE + PAGES * page ? done : high;\n";
        }
        let marks = [
            ("@LOCALS@", &locals),
            ("@ASKED@", &size),
            ("@OFFSET@", &if in_middle { "offset + ".to_owned() } else { String::new() }),
            ("@SKIP@", &skip),
            ("@PLACE@", &place),
        ];
        filled(WALK, &marks)
    }
}

/// A part with something in place of each of its marks.
fn filled(part: &str, marks: &[(&str, &String)]) -> String {
    marks.iter().fold(part.to_owned(), |text, (mark, with)| text.replace(mark, with))
}

fn head(target: &Target, mode: Mode, rates: &Rates) -> String {
    let shows = told(target);
    let path = mode.path();
    let what = match mode.course() {
        None => "PROCMAP_QUERY's answers".into(),
        Some(_) if mode.has_details() => format!("the header lines of {path}"),
        Some(_) if mode.begins_in_middle() => format!("{path} from any offset"),
        Some(_) => path.to_owned(),
    };
    format!(
        "/*
 * {shows}, in {what}.
 *
 * The loop is first done alone, and read after each call: these are all layouts there ever are.
 * Then it races a reader. A counter goes up before and after each call, and tells which of them
 * there may have been. A line, or pages left out, that none of these explains in order is torn.
{rates} * It takes two CPUs. Exit code: 1 torn, 0 not torn, 4 can't be tested here.
 *   gcc -O2 -Wall -Wextra -pthread tear.c -o tear && ./tear -s 10; echo $?
 */
",
        rates = rates.header(),
    )
}
