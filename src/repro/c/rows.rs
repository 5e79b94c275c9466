//! Operations as the system calls that do them.

use crate::kernel::anon_name;
use crate::model::{Backing, Op, Page, Place, Prot};

/// The widest line of several calls, in columns.
const WIDTH: usize = 100;

fn prot(prot: Prot) -> String {
    let letters = ["R", "W", "X"].into_iter().enumerate();
    let set: Vec<&str> =
        letters.filter(|(bit, _)| prot.bits() & 1 << bit != 0).map(|(_, letter)| letter).collect();
    if set.is_empty() { "PROT_NONE".into() } else { set.join(" | ") }
}

fn range(at: Place) -> String {
    format!("RANGE({}, {}, {})", at.lane, at.span.start(), at.span.end())
}

fn map(at: Place, page: Page) -> String {
    let (range, prot) = (range(at), prot(page.prot()));
    let sharing = match page.backing() {
        Backing::Anon => return format!("mmap({range}, {prot}, ANON, -1, 0)"),
        Backing::PrivateFile => "PRIVATE",
        Backing::SharedFile => "SHARED",
    };
    format!(
        "mmap({range}, {prot}, {sharing}, file[{}], {} * page)",
        page.file_index(),
        page.pgoff()
    )
}

/// The operation's system call.
pub(super) fn call(op: &Op) -> String {
    let at = range(op.at());
    match *op {
        Op::Map { at, page } => map(at, page),
        Op::Unmap { .. } => format!("munmap({at})"),
        Op::Protect { prot: to, .. } => format!("mprotect({at}, {})", prot(to)),
        Op::Resize { new_len, .. } => format!("mremap({at}, {new_len} * page, 0)"),
        Op::Remap { from, to, keep } => {
            let keep = if keep { " | MREMAP_DONTUNMAP" } else { "" };
            let (len, lane, onto) = (from.span.len, to.lane, to.span.start());
            format!("mremap({at}, {len} * page, MOVE{keep}, AT({lane}, {onto}))")
        }
        Op::Name { name, .. } => {
            let name = anon_name(name)
                .map_or("NULL".into(), |name| format!("\"{}\"", name.to_string_lossy()));
            format!("prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, {at}, {name})")
        }
        Op::Advise { advice, on, .. } => format!("madvise({at}, {})", advice.flag(on)),
        Op::Touch { .. } => format!("touch({at})"),
    }
}

/// The calls as statements, `with` around each and a tab `deep` times before; one a line.
pub(super) fn listed(ops: &[Op], with: &str, deep: usize) -> String {
    let tabs = "\t".repeat(deep);
    ops.iter().map(|op| format!("{tabs}{with}({});\n", call(op))).collect()
}

/// The same with as many a line as there is room for.
pub(super) fn packed(ops: &[Op], with: &str, deep: usize) -> String {
    lines_of(ops.iter().map(|op| format!("{with}({});", call(op))), deep)
}

/// Words, as many a line as there is room for, a tab `deep` times before each line.
pub(super) fn lines_of(words: impl Iterator<Item = String>, deep: usize) -> String {
    let mut text = String::new();
    let mut column = 0;
    for word in words {
        if column > 0 && column + " ".len() + word.len() <= WIDTH {
            text.push(' ');
            column += " ".len() + word.len();
        } else {
            text.push_str(if column > 0 { "\n" } else { "" });
            text.push_str(&"\t".repeat(deep));
            column = 8 * deep + word.len();
        }
        text.push_str(&word);
    }
    text.push_str(if column > 0 { "\n" } else { "" });
    text
}
