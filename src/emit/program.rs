//! The program's text.

use super::calls::{Needed, call, definition};
use crate::replay::Target;
use crate::scenario::{Scenario, ScenarioError};
use crate::space::{Geometry, Layout, Op, Place, Span, apply, fits, making, span_mask};
use crate::storm::Mode;
use std::fmt::Write;

/// Why there is no program.
#[derive(Debug, thiserror::Error)]
pub enum EmitError {
    /// The scenario is none.
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    /// Only holes can be told without an oracle.
    #[error(
        "{0} can't be told by a short program: it would need the history of all operations. Only \
         holes can, and only where a page stays mapped all the time"
    )]
    NoHole(String),
}

/// The C program that shows what `target` shows.
///
/// # Errors
/// When no short program can.
pub fn program(target: &Target) -> Result<String, EmitError> {
    let scenario = &target.scenario;
    scenario.check()?;
    let first = scenario.layouts()?;
    let always = always(scenario, &first);
    let shows = if target.shows.is_empty() { "a violation" } else { &target.shows };
    if always.is_empty() || !(target.shows.is_empty() || target.shows.starts_with("hole")) {
        // What breaks the order of a walk nearly always tears holes, too, but that is another tear.
        return Err(EmitError::NoHole(shows.into()));
    }
    let mut needed = Needed::new();
    let layout = calls(&make(&first), &mut needed);
    let loops: Vec<String> = scenario.mutators.iter().map(|ops| calls(ops, &mut needed)).collect();
    let query = scenario.readers.first() == Some(&Mode::Query);
    let mut text = String::new();
    head(&mut text, shows, scenario, &always, query);
    let keeps = |op: &Op| matches!(op, Op::Remap { keep: true, .. });
    includes(&mut text, &needed, query, scenario.mutators.iter().flatten().any(keeps));
    places(&mut text, scenario, &always, &needed);
    for function in needed.iter().map(|name| definition(name)) {
        text.push_str(function);
    }
    for (mutator, calls) in loops.iter().enumerate() {
        let _ = writeln!(
            text,
            "\nstatic void *mutate_{mutator}(void *once)\n{{\n\tif (!once)\n\t\tsit({});\n\tdo {{\n{}\t}} while (!once && !over);\n\treturn NULL;\n}}\n",
            mutator + 1,
            calls.replace('\t', "\t\t"),
        );
    }
    text.push_str(if query { QUERY } else { WALK });
    main(&mut text, &layout, loops.len(), &needed);
    Ok(text)
}

/// What makes the lanes to begin with.
fn make(first: &[Layout]) -> Vec<Op> {
    let lanes = first.iter().enumerate();
    let of_lane = |(lane, layout): (usize, &Layout)| -> Vec<Op> {
        let at = |vma: &crate::space::Vma| Place {
            lane: lane as u16,
            span: Span::new(vma.start, vma.end),
        };
        layout.vmas().flat_map(|vma| making(at(&vma), vma.page)).collect()
    };
    lanes.flat_map(of_lane).collect()
}

fn calls(ops: &[Op], needed: &mut Needed) -> String {
    ops.iter().map(|op| format!("\t{}\n", call(op, needed))).collect()
}

/// The pages that are mapped from the end of the first round on, whatever the loops do: mapped
/// then, and never unmapped by any of them.
fn always(scenario: &Scenario, first: &[Layout]) -> Vec<Place> {
    let mut now = first.to_vec();
    let mut gone = vec![0u64; first.len()];
    for op in scenario.mutators.iter().flatten() {
        let (at, other) = (op.at().lane as usize, op.other_lane().unwrap_or(op.at().lane) as usize);
        let (mut a, mut b) = (now[at], now[other]);
        if fits(op, &a, &b).is_ok() {
            apply(op, &mut a, &mut b);
            now[other] = b;
            now[at] = a;
        }
        let span = op.at().span;
        gone[at] |= match *op {
            Op::Unmap { .. } | Op::Remap { keep: false, .. } => span.mask(),
            Op::Resize { new_len, .. } if new_len < span.len => {
                span_mask(span.start() + new_len as usize, span.end())
            }
            _ => 0,
        };
    }
    let mut places = Vec::new();
    for (lane, (layout, gone)) in now.iter().zip(gone).enumerate() {
        let mut left = layout.mapped() & !gone;
        while left != 0 {
            let start = left.trailing_zeros() as usize;
            let end = start + (left >> start).trailing_ones() as usize;
            places.push(Place { lane: lane as u16, span: Span::new(start, end) });
            left &= !span_mask(start, end);
        }
    }
    places
}

fn head(text: &mut String, shows: &str, scenario: &Scenario, always: &[Place], query: bool) {
    let _ = writeln!(
        text,
        "/*\n * {shows}: a page that is always mapped is missing from {}.\n *",
        if query { "PROCMAP_QUERY's answers" } else { "/proc/self/maps" }
    );
    text.push_str(" * To begin with, in memory that nobody touches:\n");
    for (lane, words) in scenario.lanes.iter().enumerate() {
        let _ = writeln!(text, " *   lane {lane}: {words}");
    }
    for (mutator, ops) in scenario.mutators.iter().enumerate() {
        let _ = writeln!(text, " * Thread {mutator} does, over and over:");
        for op in ops {
            let _ = writeln!(text, " *   {op}");
        }
    }
    let pages: Vec<String> = always.iter().map(ToString::to_string).collect();
    let _ = writeln!(
        text,
        " * Another thread reads. Mapped before, during and after each of these calls:"
    );
    let _ = writeln!(text, " *   {}", pages.join("; "));
    text.push_str(
        " * so no read may leave them out (Documentation/filesystems/proc.rst, guarantee 2).
 *
 * Expect \"TORN\" within seconds where maps is read under per-VMA locks (Linux 6.17 and later)
 * and there are two CPUs or more. Exit code: 1 torn, 0 not torn, 4 can't be tested here.
 *   gcc -O2 -Wall -Wextra -pthread tear.c -o tear && ./tear -s 10; echo $?
 */
",
    );
}

fn includes(text: &mut String, needed: &Needed, query: bool, keeps: bool) {
    text.push_str("#define _GNU_SOURCE\n");
    let mut names = vec!["fcntl.h", "pthread.h", "stdint.h", "stdio.h", "stdlib.h"];
    names.extend(["sys/mman.h", "sys/timerfd.h", "unistd.h"]);
    if needed.contains("name") {
        names.push("sys/prctl.h");
    }
    if query {
        names.extend(["errno.h", "sys/ioctl.h"]);
    } else {
        names.push("string.h");
    }
    names.sort_unstable();
    for name in names {
        let _ = writeln!(text, "#include <{name}>");
    }
    if keeps {
        text.push_str("#ifndef MREMAP_DONTUNMAP\n#define MREMAP_DONTUNMAP 4\n#endif\n");
    }
    text.push('\n');
}

fn places(text: &mut String, scenario: &Scenario, always: &[Place], needed: &Needed) {
    let geometry = Geometry::new(0, 4096, scenario.lanes.len(), scenario.pages as usize);
    let stride = 1u64 << (geometry.stride_shift - geometry.page_shift);
    let _ = writeln!(
        text,
        "#define LANES {}\n#define STRIDE {stride} /* pages from lane to lane; those between stay unmapped */",
        scenario.lanes.len()
    );
    let ranges: Vec<String> = always
        .iter()
        .map(|at| format!("{{ {}, {}, {} }}", at.lane, at.span.start(), at.span.end()))
        .collect();
    let _ = writeln!(
        text,
        "static const int always[][3] = {{ {} }}; /* mapped: lane, first page, one past the last */",
        ranges.join(", ")
    );
    text.push_str("static char *base;\nstatic size_t page;\nstatic volatile int over;\nstatic cpu_set_t cpus;\n");
    if needed.contains("file") {
        text.push_str("static int file[4];\n");
    }
    text.push_str(
        "static char *at(int lane, int number)
{
	return base + ((size_t)lane * STRIDE + number) * page;
}

static void must(int done, const char *what)
{
	if (!done)
		exit((perror(what), 4));
}
static void sit(int number) /* threads that wait for a CPU tear nothing: one for each */
{
	cpu_set_t one;
	CPU_ZERO(&one);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &cpus) && number-- == 0)
			CPU_SET(cpu, &one);
	sched_setaffinity(0, sizeof(one), &one); /* without that many CPUs: refused, and no harm */
}

",
    );
}

const WALK: &str = r#"/* One walk from the bottom, a page a call; the missing address, or NULL. */
static char *look(int fd, int timer)
{
	static char text[1 << 20];
	char seen[LANES * STRIDE] = { 0 };
	struct itimerspec soon = { .it_value.tv_nsec = 1 + rand() % 32000 };
	size_t used = 0;
	ssize_t got;
	char *last;
	do {	/* The timer holds this thread up in the middle of a call; nobody waits for it. */
		timerfd_settime(timer, 0, &soon, NULL);
		got = pread(fd, text + used, page, used);
		must(got >= 0, "/proc/self/maps");
		used += got;
		last = memrchr(text, '\n', used ? used - 1 : 0);
	} while (got > 0 && used < sizeof(text) - page - 1 &&
		 (!last || strtoul(last + 1, NULL, 16) < (uintptr_t)at(LANES, 0)));
	text[used] = 0;
	for (char *line = text, *next; *line; line = next) {
		uintptr_t from = strtoul(line, &next, 16), to = strtoul(next + 1, &next, 16);
		for (uintptr_t a = from; a < to && to <= (uintptr_t)at(LANES, 0); a += page)
			if (a >= (uintptr_t)base)
				seen[(a - (uintptr_t)base) / page] = 1;
		next += strcspn(next, "\n");
		next += *next == '\n';
	}
	for (size_t i = 0; i < sizeof(always) / sizeof(always[0]); i++)
		for (int number = always[i][1]; number < always[i][2]; number++)
			if (!seen[always[i][0] * STRIDE + number])
				return at(always[i][0], number);
	return NULL;
}
"#;

const QUERY: &str = r#"/* struct procmap_query of linux/fs.h, which is newer than many systems' headers */
struct query {
	uint64_t size, flags, address, start, end, vma_flags, vma_page, offset, inode;
	uint32_t major, minor, name_size, build_id_size;
	uint64_t name, build_id;
};

/* Asks for each page that is always mapped; the missing address, or NULL. */
static char *look(int fd, int timer)
{
	struct itimerspec soon = { .it_value.tv_nsec = 1 + rand() % 4000 };
	for (size_t i = 0; i < sizeof(always) / sizeof(always[0]); i++)
		for (int number = always[i][1]; number < always[i][2]; number++) {
			char *address = at(always[i][0], number);
			struct query query = { .size = sizeof(query), .address = (uintptr_t)address };
			/* Holds this thread up in the middle of the call; nobody waits for it. */
			timerfd_settime(timer, 0, &soon, NULL);
			if (ioctl(fd, _IOWR('f', 17, struct query), &query) == 0)
				continue;
			must(errno == ENOENT, "PROCMAP_QUERY");
			return address;
		}
	return NULL;
}
"#;

fn main(text: &mut String, layout: &str, mutators: usize, needed: &Needed) {
    text.push_str(
        r#"int main(int argc, char **argv)
{
	size_t room = 1ul << 30; /* for this process's own mappings, so that none lands in a hole */
	pthread_t thread;
	char *missing = NULL;
	unsigned long walks = 0;
	time_t end = time(NULL) + (argc == 3 ? atol(argv[2]) : 10); /* -s SECONDS */
	int fd = open("/proc/self/maps", O_RDONLY), timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
	page = sysconf(_SC_PAGESIZE);
	must(fd >= 0 && timer >= 0, "/proc/self/maps, timerfd");
	base = mmap(NULL, 2 * room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	must(base != MAP_FAILED && munmap(base, 2 * room) == 0, "address space");
	base += room;
	sched_getaffinity(0, sizeof(cpus), &cpus);
	sit(0);
"#,
    );
    if needed.contains("file") {
        text.push_str(
            "	for (int i = 0; i < 4; i++)
		must((file[i] = memfd_create(\"tear\", 0)) >= 0 && ftruncate(file[i], page << 17) == 0, \"memfd\");
",
        );
    }
    text.push_str(layout);
    for mutator in 0..mutators {
        let _ =
            writeln!(text, "\tmutate_{mutator}(\"once\"); /* so that everything is in place */");
    }
    for mutator in 0..mutators {
        let _ = writeln!(
            text,
            "\tmust(pthread_create(&thread, NULL, mutate_{mutator}, NULL) == 0, \"pthread_create\");"
        );
    }
    text.push_str(
        r#"	while (!missing && time(NULL) < end) {
		missing = look(fd, timer);
		walks++;
	}
	over = 1;
	printf("%s in %lu walks, missing: %p\n", missing ? "TORN" : "not torn", walks, (void *)missing);
	return missing != NULL;
}
"#,
    );
}
