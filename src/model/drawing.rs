//! Layouts drawn with letters, for tests: the picture is the fixture.
//!
//! The unit tests use it, and so do the tests in tests/ by its path.

use crate::model::{Layout, Page, Prot};

/// A page a letter: `.` a hole, `n r w x a` anonymous memory by protection
/// (none, read, read-write, read-exec, all), `0`-`9` a shared page of memfd 0 at that offset.
pub(crate) fn draw(picture: &str) -> Layout {
    Layout::from_pages(&picture.chars().map(page).collect::<Vec<Page>>())
}

fn page(letter: char) -> Page {
    match letter {
        '.' => Page::HOLE,
        'n' => Page::anon(Prot::NONE),
        'r' => Page::anon(Prot::READ),
        'w' => Page::anon(Prot::READ_WRITE),
        'x' => Page::anon(Prot::READ_EXEC),
        'a' => Page::anon(Prot::ALL),
        '0'..='9' => Page::file(Prot::READ, true, 0, letter as u16 - '0' as u16),
        other => panic!("no page is drawn as {other:?}"),
    }
}
