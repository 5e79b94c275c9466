//! Lines as the kernel prints them, and what they show.

use super::kernel::{Fixed, LIBRARY, fixed};
use crate::kernel::{FileIdentity, Identities, Line};
use crate::model::{Backing, Geometry, Observation, Page, Prot};
use crate::oracle::Outside;

/// What a line is printed from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Record {
    pub start: u64,
    pub end: u64,
    pub page: Page,
}

const FILE_INODE: u64 = 1025;
const FILE_MINOR: u32 = 1;
const FILES: [&[u8]; 4] = [
    b"/memfd:mapstorm-0 (deleted)",
    b"/memfd:mapstorm-1 (deleted)",
    b"/memfd:mapstorm-2 (deleted)",
    b"/memfd:mapstorm-3 (deleted)",
];
const NAMES: [&[u8]; 7] = [
    b"[anon:storm-1]",
    b"[anon:storm-2]",
    b"[anon:storm-3]",
    b"[anon:storm-4]",
    b"[anon:storm-5]",
    b"[anon:storm-6]",
    b"[anon:storm-7]",
];
/// Column of the name (fs/proc/task_mmu.c, `show_vma_header_prefix`).
const NAME_COLUMN: usize = 73;
/// No line is longer.
pub(super) const LONGEST: usize = NAME_COLUMN + 30;

/// The fields of a record.
pub(super) fn line(record: &Record, page_shift: u32) -> Line<'static> {
    let page = record.page;
    let foreign = page == Page::FOREIGN.with_prot(page.prot());
    let shared = !foreign && page.backing() == Backing::SharedFile;
    let mut line = Line {
        start: record.start << page_shift,
        end: record.end << page_shift,
        perms: page.prot().bits() | (shared as u8) << 3,
        offset: 0,
        dev_major: 0,
        dev_minor: 0,
        inode: 0,
        name: b"",
    };
    if foreign && page.prot() == Prot::READ_WRITE {
        line.name = b"[stack]";
    } else if foreign && page.prot() == LIBRARY {
        (line.dev_major, line.dev_minor, line.inode) = (8, 1, 778);
        line.name = b"/usr/lib/simulated.so";
    } else if foreign {
        (line.dev_major, line.dev_minor, line.inode) = (8, 1, 777);
        line.name = b"/usr/bin/simulated";
    } else if page.is_file() {
        let file = page.file_index();
        line.offset = (page.pgoff() as u64) << page_shift;
        (line.dev_minor, line.inode) = (FILE_MINOR, FILE_INODE + file as u64);
        line.name = FILES[file as usize];
    } else if page.name() != 0 {
        line.name = NAMES[page.name() as usize - 1];
    }
    line
}

/// Prints a line with its newline.
pub(super) fn print(line: &Line<'_>, text: &mut Vec<u8>) {
    let begin = text.len();
    hex(line.start, 8, text);
    text.push(b'-');
    hex(line.end, 8, text);
    let flag = |bit: u8, c: u8| if line.perms & bit != 0 { c } else { b'-' };
    let share = if line.perms & 8 != 0 { b's' } else { b'p' };
    text.extend_from_slice(&[b' ', flag(1, b'r'), flag(2, b'w'), flag(4, b'x'), share, b' ']);
    if line.inode == 0 {
        text.extend_from_slice(b"00000000 00:00 0 ");
    } else {
        hex(line.offset, 8, text);
        text.push(b' ');
        hex(line.dev_major as u64, 2, text);
        text.push(b':');
        hex(line.dev_minor as u64, 2, text);
        text.push(b' ');
        text.extend_from_slice(line.inode.to_string().as_bytes());
        text.push(b' ');
    }
    if !line.name.is_empty() {
        while text.len() < begin + NAME_COLUMN {
            text.push(b' ');
        }
        text.extend_from_slice(line.name);
    }
    text.push(b'\n');
}

/// Adds the lines outside of the arena, as they always are.
pub fn tell_outside(geometry: &Geometry, outside: &mut Outside) {
    for Fixed { start, end, page } in fixed(geometry) {
        let mut text = Vec::with_capacity(LONGEST);
        let line = line(&Record { start, end, page }, geometry.page_shift);
        print(&line, &mut text);
        let seen = Observation { start: line.start, end: line.end, page: Page::FOREIGN };
        outside.push(seen, text.strip_suffix(b"\n").unwrap_or(&text), geometry);
    }
}

fn hex(value: u64, width: u32, text: &mut Vec<u8>) {
    let digits = (value.checked_ilog2().unwrap_or(0) / 4 + 1).max(width);
    for i in (0..digits).rev() {
        text.push(b"0123456789abcdef"[(value >> (4 * i) & 15) as usize]);
    }
}

/// How mappings of the simulated kernel's memfds show.
pub fn identities(page_shift: u32) -> Identities {
    let file = |(index, name): (usize, &&[u8])| FileIdentity {
        dev_major: 0,
        dev_minor: FILE_MINOR,
        inode: FILE_INODE + index as u64,
        name: name.to_vec(),
    };
    Identities::new(page_shift, FILES.iter().enumerate().map(file).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::parse;
    use crate::model::MAX_PGOFF;

    #[test]
    fn what_is_printed_parses_back_to_the_same_page() {
        let named = Page::anon(Prot::READ_WRITE).with_name(3);
        for page in [
            Page::anon(Prot::NONE),
            named,
            Page::file(Prot::READ, true, 0, 7),
            Page::file(Prot::ALL, false, 1, MAX_PGOFF),
            Page::FOREIGN,
        ] {
            for start in [0x10u64, 0x7f12_3456_7890 >> 12] {
                let record = Record { start, end: start + 3, page };
                let mut text = Vec::new();
                print(&line(&record, 12), &mut text);
                assert!(text.len() <= LONGEST);
                let parsed = parse(text.strip_suffix(b"\n").unwrap()).unwrap();
                let seen = identities(12).sight(&parsed);
                assert_eq!((seen.start, seen.end), (start << 12, (start + 3) << 12));
                assert_eq!(seen.page, page, "{}", String::from_utf8_lossy(&text));
            }
        }
    }
}
