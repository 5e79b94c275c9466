//! Loads from the arena: may one have been refused?
//!
//! A load that SIGSEGV refuses says that at an instant of its window the page was not mapped, or not to
//! be read. Unlike a reader of maps, a page fault sees no half-made change:
//! - What it finds without mmap_lock is one VMA, locked, in the tree, and around its address
//!   (mm/mmap_lock.c, `lock_vma_under_rcu`; 6.12: mm/memory.c). Who changes a VMA locks it first
//!   (`vma_start_write`), and unlocks it with the end of the call (`vma_end_write_all`). So it is as it
//!   was before the call, or as it is after it.
//! - Where it finds none, or can't lock it, it takes mmap_lock (arch/x86/mm/fault.c,
//!   `do_user_addr_fault`, `lock_mm_and_find_vma`). The gap of a VMA that is replaced in flight
//!   (mm/mremap.c, `mremap_to`) is there while mmap_lock is held for writing alone.
//! - What the CPU found of the old layout (a protection key in its TLB: `access_error` refuses at once
//!   for X86_PF_PK) it found in the window, before the call that changed it had returned.
//!
//! SIGBUS says nothing: a file system may have no room for a page, or fail to read it.

use super::clock::Window;
use super::history::{Overrun, Version};
use super::ledger::Oracle;
use crate::model::{KindSet, Prot};

impl Oracle {
    /// Whether a load from the page could be refused at an instant of the window. If not, between which
    /// versions it could be read.
    ///
    /// # Errors
    /// [`Overrun`] where the history is gone, or not known.
    pub fn may_refuse(
        &self,
        lane: u16,
        page: usize,
        window: Window,
    ) -> Result<Option<(Version, Version)>, Overrun> {
        if page >= usize::from(self.geometry().pages) {
            return Ok(None);
        }
        let history = self.history(lane);
        let first = history.first_at(window.from)?;
        let mut version = first;
        loop {
            if !history.known(version) {
                return Err(Overrun);
            }
            // The attributes of a page are those of its VMA; a hole has none.
            let there = history.page(version, page);
            if !there.is_mapped() || there.prot().bits() & Prot::READ.bits() == 0 {
                history.confirm(first)?;
                return Ok(None);
            }
            let next = version + 1;
            if next > history.head() || history.invoked(next) >= window.to {
                history.confirm(first)?;
                return Ok(Some((first, version)));
            }
            version = next;
        }
    }

    /// The kinds of the operations that made the versions behind `first`, up to `last`.
    pub fn kinds_between(&self, lane: u16, (first, last): (Version, Version)) -> KindSet {
        let history = self.history(lane);
        let kinds = (first + 1..=last).filter_map(|version| history.origin(version).op);
        kinds.map(|op| op.kind()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Geometry, Kind, Layout, Op, Page, Place, Span};

    fn oracle() -> Oracle {
        let page = |prot| Page::anon(prot);
        let pages = [page(Prot::READ), page(Prot::READ), page(Prot::NONE), Page::HOLE];
        let geometry = Geometry::new(0x10_0000, 4096, 1, 4);
        Oracle::new(geometry, &[Layout::from_pages(&pages)], 8)
    }

    fn window(oracle: &Oracle) -> Window {
        Window { from: oracle.clock().now(), to: oracle.clock().now() }
    }

    #[test]
    fn a_load_may_be_refused_where_nothing_can_be_read() {
        let oracle = oracle();
        let now = window(&oracle);
        let refusable = |page| oracle.may_refuse(0, page, now).unwrap().is_none();
        assert_eq!([0, 1, 2, 3, 4].map(refusable), [false, false, true, true, true]);
    }

    #[test]
    fn while_an_operation_is_under_way_either_layout_counts() {
        let at = |start, end| Place { lane: 0, span: Span::new(start, end) };
        for op in [
            Op::Unmap { at: at(1, 2) },
            Op::Protect { at: at(0, 3), prot: Prot::NONE },
            Op::Map { at: at(1, 4), page: Page::anon(Prot::NONE) },
        ] {
            let oracle = oracle();
            let before = window(&oracle);
            let mut held = oracle.hold(0);
            let invoked = oracle.invoke(&op, 0, &mut held, None);
            let during = Window { from: before.from, to: oracle.clock().now() };
            oracle.returned(invoked);
            let at_its_end = Window { from: during.to, to: oracle.clock().now() };
            let after = window(&oracle);
            let seen = [before, during, at_its_end, after]
                .map(|window| oracle.may_refuse(0, 1, window).unwrap().is_none());
            assert_eq!(seen, [false, true, true, true], "{op}");
        }
    }

    #[test]
    fn what_can_be_read_all_the_time_is_told_with_its_versions() {
        let oracle = oracle();
        let from = oracle.clock().now();
        let mut held = oracle.hold(0);
        let at = Place { lane: 0, span: Span::new(1, 3) };
        for prot in [Prot::READ_WRITE, Prot::READ_EXEC] {
            let invoked = oracle.invoke(&Op::Protect { at, prot }, 0, &mut held, None);
            oracle.returned(invoked);
        }
        let window = Window { from, to: oracle.clock().now() };
        assert_eq!(oracle.may_refuse(0, 1, window), Ok(Some((0, 2))));
        assert_eq!(oracle.kinds_between(0, (0, 2)), KindSet::EMPTY.with(Kind::Protect));
        assert_eq!(oracle.kinds_between(0, (2, 2)), KindSet::EMPTY);
        let op = Op::Unmap { at };
        let invoked = oracle.invoke(&op, 0, &mut held, None);
        oracle.failed(invoked, &mut held, None);
        let window = Window { from: oracle.clock().now() - 1, to: oracle.clock().now() };
        assert_eq!(oracle.may_refuse(0, 0, window), Err(Overrun), "an operation failed");
    }
}
