//! Operations as calls of the program's own short functions.

use crate::space::{Backing, Op, Page, Place, Prot};
use std::collections::BTreeSet;

/// The functions that a program needs, by name.
pub(super) type Needed = BTreeSet<&'static str>;

fn prot(prot: Prot) -> String {
    let words: Vec<&str> = ["PROT_READ", "PROT_WRITE", "PROT_EXEC"]
        .into_iter()
        .enumerate()
        .filter(|(bit, _)| prot.bits() & 1 << bit != 0)
        .map(|(_, word)| word)
        .collect();
    if words.is_empty() { "PROT_NONE".into() } else { words.join(" | ") }
}

fn place(at: Place) -> String {
    format!("{}, {}, {}", at.lane, at.span.start(), at.span.end())
}

fn map(at: Place, page: Page) -> String {
    let (flags, file) = match page.backing() {
        Backing::Anon => ("MAP_PRIVATE | MAP_ANONYMOUS", "-1".to_owned()),
        Backing::PrivateFile => ("MAP_PRIVATE", format!("file[{}]", page.file_index())),
        Backing::SharedFile => ("MAP_SHARED", format!("file[{}]", page.file_index())),
    };
    format!("map({}, {}, {flags}, {file}, {});", place(at), prot(page.prot()), page.pgoff())
}

/// The call that does the operation; what it needs is put into `needed`.
pub(super) fn call(op: &Op, needed: &mut Needed) -> String {
    let (function, text) = match *op {
        Op::Map { at, page } => {
            if page.is_file() {
                needed.insert("file");
            }
            ("map", map(at, page))
        }
        Op::Unmap { at } => ("unmap", format!("unmap({});", place(at))),
        Op::Protect { at, prot: to } => {
            ("protect", format!("protect({}, {});", place(at), prot(to)))
        }
        Op::Resize { at, new_len } => ("resize", format!("resize({}, {new_len});", place(at))),
        Op::Remap { from, to, keep } => {
            let flag = if keep { "MREMAP_DONTUNMAP" } else { "0" };
            ("move", format!("move({}, {}, {}, {flag});", place(from), to.lane, to.span.start()))
        }
        Op::Name { at, name } => {
            let name = crate::arena::anon_name(name)
                .map_or("NULL".into(), |name| format!("\"{}\"", name.to_string_lossy()));
            ("name", format!("name({}, {name});", place(at)))
        }
        Op::Advise { at, advice, on } => {
            let flag = advice.flag(on);
            ("advise", format!("advise({}, {flag});", place(at)))
        }
    };
    needed.insert(function);
    text
}

/// The definition of one of the functions.
pub(super) fn definition(function: &str) -> &'static str {
    match function {
        "map" => {
            "static void map(int lane, int from, int to, int prot, int flags, int fd, long offset)
{
	flags |= MAP_FIXED | MAP_NORESERVE;
	must(mmap(at(lane, from), (to - from) * page, prot, flags, fd, offset * page) != MAP_FAILED, \"mmap\");
}
"
        }
        "unmap" => {
            "static void unmap(int lane, int from, int to)
{
	must(munmap(at(lane, from), (to - from) * page) == 0, \"munmap\");
}
"
        }
        "protect" => {
            "static void protect(int lane, int from, int to, int prot)
{
	must(mprotect(at(lane, from), (to - from) * page, prot) == 0, \"mprotect\");
}
"
        }
        "resize" => {
            "static void resize(int lane, int from, int to, int pages)
{
	must(mremap(at(lane, from), (to - from) * page, pages * page, 0) != MAP_FAILED, \"mremap\");
}
"
        }
        "move" => {
            "static void move(int lane, int from, int to, int onto_lane, int onto, int flags)
{
	size_t len = (to - from) * page;
	void *got = mremap(at(lane, from), len, len, MREMAP_MAYMOVE | MREMAP_FIXED | flags, at(onto_lane, onto));
	must(got != MAP_FAILED, \"mremap\");
}
"
        }
        "name" => {
            "static void name(int lane, int from, int to, const char *name)
{
	/* PR_SET_VMA, PR_SET_VMA_ANON_NAME */
	must(prctl(0x53564d41, 0, at(lane, from), (to - from) * page, name) == 0, \"prctl\");
}
"
        }
        "advise" => {
            "static void advise(int lane, int from, int to, int advice)
{
	must(madvise(at(lane, from), (to - from) * page, advice) == 0, \"madvise\");
}
"
        }
        _ => "",
    }
}
