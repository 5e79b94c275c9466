//! The text file: records into a buffer, the buffer into calls (fs/seq_file.c, `seq_read_iter`
//! and `traverse`; fs/proc/task_mmu.c, `m_start`, `m_next`, `proc_get_vma`).

use super::bugs::{Bug, Model};
use super::lookup::{Iter, Shown};
use super::text::{LONGEST, Record, line, print};
use super::world::World;

/// Where the next lookup begins once nothing is left.
const NOTHING_LEFT: u64 = u64::MAX;

/// An open file's position and what is left over from the last call.
pub(super) struct Seq {
    /// Generated and not delivered yet: `text[from..]`.
    text: Vec<u8>,
    from: usize,
    /// Room for text; twice as much when a single record needs it.
    size: usize,
    /// Page from which the VMA behind the last one found is looked up.
    index: u64,
    /// Page from which the last VMA found was looked up.
    last: u64,
    /// The one before, for a bug.
    before_last: u64,
    /// Offset in the file at which the last call ended.
    offset: u64,
    iter: Iter,
    /// The next call is the first at a new offset, for a bug.
    traversed: bool,
    /// A VMA kept from the last call, for a bug.
    kept: Option<Shown>,
    /// Text of the last call from the start of the file, for a bug.
    page: Option<(u64, Vec<u8>, u64, u64)>,
}

impl Seq {
    pub fn new(size: usize) -> Seq {
        Seq {
            text: Vec::with_capacity(size + LONGEST),
            from: 0,
            size,
            index: 0,
            last: 0,
            before_last: 0,
            offset: 0,
            iter: Iter::default(),
            traversed: false,
            kept: None,
            page: None,
        }
    }

    fn left(&self) -> usize {
        self.text.len() - self.from
    }

    fn deliver(&mut self, buf: &mut [u8]) -> usize {
        let n = self.left().min(buf.len());
        buf[..n].copy_from_slice(&self.text[self.from..self.from + n]);
        self.from += n;
        n
    }

    fn forget(&mut self) {
        self.text.clear();
        self.from = 0;
    }

    /// One read call.
    pub fn read(&mut self, world: &mut World<'_>, buf: &mut [u8], offset: u64) -> usize {
        world.step();
        world.frozen = world.kernel.model == Model::Atomic;
        let copied = self.read_at(world, buf, offset);
        world.frozen = false;
        world.step();
        copied
    }

    fn read_at(&mut self, world: &mut World<'_>, buf: &mut [u8], offset: u64) -> usize {
        if buf.is_empty() {
            return 0;
        }
        if offset == 0 {
            self.index = 0;
            self.forget();
        }
        if offset != self.offset {
            self.traverse(world, offset);
            self.offset = offset;
        }
        let mut copied = self.deliver(buf);
        if self.left() == 0 {
            // Even when the leftover used the call up exactly: then one record is made and kept.
            self.forget();
            self.fill(world, buf.len() - copied);
            copied += self.deliver(&mut buf[copied..]);
        }
        self.offset += copied as u64;
        copied
    }

    /// Makes records for `wanted` bytes, as long as they fit.
    fn fill(&mut self, world: &mut World<'_>, wanted: usize) {
        if self.replay(world) {
            return;
        }
        let first = self.index == 0;
        let mut shown = self.start(world);
        while let Some(found) = shown {
            let before = self.text.len();
            self.show(world, found.record);
            if self.text.len() >= self.size && before == 0 {
                self.size *= 2;
            }
            if self.text.len() >= self.size {
                if world.kernel.has(Bug::LineCut) {
                    self.text.truncate(self.size - 1);
                    self.last = self.index;
                } else {
                    self.text.truncate(before);
                }
                break;
            }
            shown = self.next(world);
            if self.text.len() >= wanted {
                break;
            }
        }
        world.leave(&mut self.iter);
        if std::mem::take(&mut self.traversed) && world.kernel.has(Bug::TraversedTooFar) {
            self.last = self.index;
        }
        if first && world.kernel.has(Bug::PageReplayed) {
            let key = world.kernel.speculate().0 % 16;
            self.page = Some((key, self.text.clone(), self.index, self.last));
        }
    }

    /// A bug: the first page kept from an earlier walk, as long as a change counter of too few
    /// bits says that nothing changed.
    fn replay(&mut self, world: &World<'_>) -> bool {
        let key = world.kernel.speculate().0 % 16;
        match &self.page {
            Some((kept, text, index, last)) if self.index == 0 && *kept == key => {
                self.text.clone_from(text);
                (self.index, self.last) = (*index, *last);
                true
            }
            _ => false,
        }
    }

    fn show(&mut self, world: &World<'_>, record: Record) {
        print(&line(&record, world.kernel.geometry.page_shift), &mut self.text);
    }

    /// The first VMA of a call: looked up again from where it was looked up before.
    fn start(&mut self, world: &mut World<'_>) -> Option<Shown> {
        if self.index == NOTHING_LEFT {
            return None;
        }
        world.enter(&mut self.iter);
        if self.index > 0 {
            self.index = match world.kernel.bug {
                Some(Bug::PositionLost) => self.before_last,
                Some(Bug::PositionTooFar) => self.index,
                _ => self.last,
            };
            if world.kernel.has(Bug::VmaKeptBetweenCalls)
                && let Some(kept) = self.kept.take()
            {
                self.index = kept.next;
                return Some(kept);
            }
        }
        self.get(world)
    }

    fn next(&mut self, world: &mut World<'_>) -> Option<Shown> {
        self.get(world)
    }

    fn get(&mut self, world: &mut World<'_>) -> Option<Shown> {
        let found = world.next_vma(&mut self.iter, self.index);
        self.before_last = self.last;
        self.kept = found;
        match found {
            Some(shown) => {
                // Up to 6.16 a call that goes on begins at the start of the VMA that did not fit.
                self.last = match world.kernel.model {
                    Model::MmapLock => shown.record.start.max(self.index),
                    _ => self.index,
                };
                self.index = shown.next;
            }
            None => self.index = NOTHING_LEFT,
        }
        found
    }

    /// Walks again from the bottom to an offset, and throws away what lies before it.
    fn traverse(&mut self, world: &mut World<'_>, offset: u64) {
        self.index = 0;
        self.forget();
        if offset == 0 {
            return;
        }
        let mut pos = 0;
        let mut shown = self.start(world);
        while let Some(found) = shown {
            self.forget();
            self.show(world, found.record);
            shown = self.next(world);
            let len = self.text.len() as u64;
            if pos + len > offset {
                self.from = (offset - pos) as usize;
                break;
            }
            pos += len;
            self.forget();
            if pos == offset {
                break;
            }
        }
        self.traversed = true;
        world.leave(&mut self.iter);
    }
}
