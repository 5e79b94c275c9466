//! Layouts drawn with letters, for tests: the picture is the fixture.
//!
//! The unit tests use it, and so do the tests in tests/ by its path.

use crate::model::{Layout, Page, Prot, Vma};

/// A page a letter: `.` a hole, `n r w x a` anonymous memory by protection
/// (none, read, read-write, read-exec, all), `0`-`9` a shared page of memfd 0 at that offset.
/// Capital letters are touched memory. `|` is a boundary between two VMAs that would else be one;
/// touched VMAs that follow each other have anon_vmas of their own.
pub(crate) fn draw(picture: &str) -> Layout {
    let mut vmas: Vec<Vma> = Vec::new();
    let (mut at, mut cut) = (0, true);
    for letter in picture.chars() {
        if letter == '|' {
            cut = true;
            continue;
        }
        let page = page(letter);
        match vmas.last_mut() {
            Some(vma) if !cut && vma.page.step((at - vma.start) as u16) == page => vma.end = at + 1,
            _ if page.is_mapped() => vmas.push(Vma { start: at, end: at + 1, page }),
            _ => {}
        }
        (at, cut) = (at + 1, !page.is_mapped());
    }
    Layout::from_vmas(at, vmas)
}

fn page(letter: char) -> Page {
    let page = match letter.to_ascii_lowercase() {
        '.' => Page::HOLE,
        'n' => Page::anon(Prot::NONE),
        'r' => Page::anon(Prot::READ),
        'w' => Page::anon(Prot::READ_WRITE),
        'x' => Page::anon(Prot::READ_EXEC),
        'a' => Page::anon(Prot::ALL),
        '0'..='9' => Page::file(Prot::READ, true, 0, letter as u16 - '0' as u16),
        other => panic!("no page is drawn as {other:?}"),
    };
    if letter.is_ascii_uppercase() { page.with_marks(false) } else { page }
}
