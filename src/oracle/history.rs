//! What each lane looked like, version after version, while readers look on.
//!
//! One writer at a time (the mutator that holds the lane's lock), any number of readers, no lock
//! between them. The ring forgets its oldest version when it is full; a reader that needed it is
//! told so and never sees a mixture.

mod search;

use super::clock::{OPEN, Tick};
use super::word::{AtomicU64, Ordering, Word};
use crate::model::{Layout, Op, Page, Vma, vma_end};
use crossbeam_utils::CachePadded;

/// Number of a version in its lane; the layout at the start is version 0.
pub type Version = u64;

/// The version a reader needed is no longer, or not reliably, in the ring.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Overrun;

/// What is known of a version beside its pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Origin {
    /// The operation that made it; `None` for the first layout and after a repair.
    pub op: Option<Op>,
    /// Which worker did it.
    pub worker: u16,
    /// For a move from lane to lane: the version it made in the other lane.
    pub peer: Option<Version>,
    /// Whether the layout is known. After an operation that failed it is not.
    pub known: bool,
}

const INVOKED: usize = 0;
const CLOSED: usize = 1;
const MAPPED: usize = 2;
const STARTS: usize = 3;
const OP: usize = 4;
const PEER: usize = 6;
const FLAGS: usize = 7;

/// Words of a cache line.
const WORDS: usize = 8;
/// Pages of a cache line, two a word.
const PAGES: usize = 2 * WORDS;

/// A cache line of words.
#[derive(Default)]
#[repr(align(64))]
struct Line<W>([W; WORDS]);

const KNOWN: u64 = 1 << 16;
const HAS_OP: u64 = 1 << 17;
const NO_PEER: u64 = u64::MAX;

/// The versions of one lane.
///
/// A slot is a fixed number of cache lines, so that two never share one: invoked tick, closed tick,
/// mask of mapped pages, mask of VMA starts, the operation (2), the peer version, worker and flags;
/// then lines of pages, two a word.
///
/// Invariant: slot `v % capacity` belongs to version `v` for every `v` from `tail` to `head`. The
/// writer raises `tail` before it overwrites a slot, so a reader that finds `tail <= v` *after*
/// reading slot `v` has read version `v` and nothing else.
///
/// `W` is what its words are: a model checker puts in its own.
pub struct History<W = AtomicU64> {
    lines: Box<[Line<W>]>,
    /// Lines of a slot.
    stride: usize,
    mask: u64,
    pages: usize,
    /// Newest version. It has a cache line of its own, because each push writes it: a reader of an old
    /// version then does not wait for that line.
    head: CachePadded<Head<W>>,
    /// Oldest version that can still be read.
    tail: CachePadded<W>,
}

/// The newest version, and when it was invoked. Both are on one cache line, because a reader that
/// loads the one mostly loads the other. The slot would be a second line to wait for.
#[derive(Default)]
struct Head<W> {
    version: W,
    /// Invoked tick of the newest version, or of one that is about to be the newest.
    invoked: W,
}

impl<W: Word> Head<W> {
    /// Makes `version` the newest. `order` is that of the version's own store.
    #[inline]
    fn raise(&self, version: Version, invoked: Tick, order: Ordering) {
        // Relaxed: a reader that finds the version by an acquiring load finds its tick or a later
        // one, since only the writer raises the two, and ticks only grow.
        self.invoked.store(invoked, Ordering::Relaxed);
        self.version.store(version, order);
    }
}

impl History {
    /// Room for `capacity` versions (a power of two, at least 2) of a lane that starts as
    /// `initial`.
    pub fn new(capacity: usize, initial: &Layout) -> History {
        History::of_words(capacity, initial)
    }

    /// Bytes that `capacity` versions of `pages` pages take.
    pub fn bytes(capacity: usize, pages: usize) -> usize {
        capacity * stride(pages) * size_of::<Line<AtomicU64>>()
    }
}

/// Lines of a slot.
fn stride(pages: usize) -> usize {
    1 + pages.div_ceil(PAGES)
}

impl<W: Word> History<W> {
    /// [`History::new`], of any words.
    pub(super) fn of_words(capacity: usize, initial: &Layout) -> History<W> {
        assert!(capacity.is_power_of_two() && capacity >= 2);
        let pages = initial.len();
        let stride = stride(pages);
        let history = History {
            lines: (0..capacity * stride).map(|_| Line::default()).collect(),
            stride,
            mask: capacity as u64 - 1,
            pages,
            head: CachePadded::default(),
            tail: CachePadded::default(),
        };
        let origin = Origin { op: None, worker: 0, peer: None, known: true };
        history.write(0, 0, initial, &origin);
        history
    }

    /// How many versions fit.
    pub fn capacity(&self) -> u64 {
        self.mask + 1
    }

    /// Where the lines of a version's slot begin.
    #[inline(always)]
    fn begin(&self, version: Version) -> usize {
        (version & self.mask) as usize * self.stride
    }

    #[inline(always)]
    fn slot(&self, version: Version) -> &[Line<W>] {
        let begin = self.begin(version);
        &self.lines[begin..begin + self.stride]
    }

    /// The first line of a version's slot.
    #[inline(always)]
    fn front(&self, version: Version) -> &[W; WORDS] {
        &self.lines[self.begin(version)].0
    }

    #[inline]
    pub(super) fn write(&self, version: Version, invoked: Tick, layout: &Layout, origin: &Origin) {
        let Some(([Line(front)], lines)) = self.slot(version).split_first_chunk() else {
            unreachable!("a slot has a line at least");
        };
        // Relaxed: readers come to these words through `head` (acquire), and find out through
        // `tail` when they were overwritten meanwhile.
        let put = |at: usize, value: u64| front[at].store(value, Ordering::Relaxed);
        put(INVOKED, invoked);
        put(CLOSED, OPEN);
        let (mapped, starts) = layout.masks();
        put(MAPPED, mapped);
        put(STARTS, starts);
        let op = origin.op.map_or([0; 2], |op| op.pack());
        put(OP, op[0]);
        put(OP + 1, op[1]);
        put(PEER, origin.peer.unwrap_or(NO_PEER));
        let flag = |set: bool, bit: u64| if set { bit } else { 0 };
        let flags = flag(origin.known, KNOWN) | flag(origin.op.is_some(), HAS_OP);
        put(FLAGS, origin.worker as u64 | flags);
        for (Line(line), pairs) in lines.iter().zip(layout.pairs().chunks(WORDS)) {
            for (word, [low, high]) in line.iter().zip(pairs) {
                word.store(low.bits() as u64 | (high.bits() as u64) << 32, Ordering::Relaxed);
            }
        }
        for vma in layout.touched() {
            let (Line(line), at) = (&lines[vma.start / PAGES], vma.start % PAGES);
            let word = &line[at / 2];
            let marks = u64::from(vma.page.bits() ^ layout.pages()[vma.start].bits());
            word.store(word.load(Ordering::Relaxed) | marks << (32 * (at % 2)), Ordering::Relaxed);
        }
    }

    /// Adds the version that comes about by an operation invoked at tick `invoked`, and gives its
    /// number. To be called before the system call is made, with the lane's lock held.
    #[inline]
    pub fn push(&self, invoked: Tick, layout: &Layout, origin: &Origin) -> Version {
        // Relaxed: only the writer changes `head`, and writers follow each other under the lock.
        let version = self.head.version.load(Ordering::Relaxed) + 1;
        // Relaxed: only the writer changes `tail`, too.
        if let Some(tail) = version.checked_sub(self.mask)
            && tail > self.tail.load(Ordering::Relaxed)
        {
            // The slot about to be written holds version `version - capacity`. The fence keeps
            // the words below from becoming visible before the new tail: a reader that saw any of
            // them, and then passes its own acquire fence, sees this tail too. The words of the
            // pushes to come, up to the next fence, belong to versions below this tail as well.
            self.tail.store(tail + self.spare(), Ordering::Relaxed);
            W::fence(Ordering::Release);
        }
        self.write(version, invoked, layout, origin);
        // Release: a reader that finds this head finds the whole slot. The system call comes
        // after, so a thread that sees its effect through the kernel's locks also finds this head.
        self.head.raise(version, invoked, Ordering::Release);
        self.fetch(version + 1);
        version
    }

    /// How many versions more than needed are given up at a time, so that not every push takes the
    /// tail's line from the readers' caches.
    fn spare(&self) -> u64 {
        self.capacity() / 512
    }

    /// Asks for the slot of a version to come, so that its lines are there when it is written: the
    /// ring is larger than a core's caches, and the system call in between waits for no memory.
    #[inline]
    fn fetch(&self, version: Version) {
        #[cfg(all(target_arch = "x86_64", not(miri)))]
        for line in self.slot(version) {
            use std::arch::x86_64::{_MM_HINT_ET0, _mm_prefetch};
            // SAFETY: a prefetch reads and writes nothing, and faults nowhere.
            unsafe { _mm_prefetch::<_MM_HINT_ET0>(std::ptr::from_ref(line).cast()) };
        }
        #[cfg(not(all(target_arch = "x86_64", not(miri))))]
        let _ = version;
    }

    /// [`History::push`] with the head first, and nothing of the slot but its first word. For
    /// planted faults only.
    pub(super) fn raise_head(&self, invoked: Tick) -> Version {
        // Relaxed: only ever used by one thread.
        let version = self.head.version.load(Ordering::Relaxed) + 1;
        self.front(version)[INVOKED].store(invoked, Ordering::Relaxed);
        self.head.raise(version, invoked, Ordering::Relaxed);
        version
    }

    /// [`History::push`] without raising the tail. For planted faults only.
    pub(super) fn push_over(&self, invoked: Tick, layout: &Layout, origin: &Origin) -> Version {
        // Relaxed: only ever used by one thread.
        let version = self.head.version.load(Ordering::Relaxed) + 1;
        self.write(version, invoked, layout, origin);
        self.head.raise(version, invoked, Ordering::Relaxed);
        version
    }

    /// Closes the version that the operation replaced: no instant after tick `returned` shows it.
    ///
    /// A reader that finds it still open although the tick is over allows the old layout a moment
    /// too long, which can hide a tear and never makes one up.
    #[inline]
    pub fn close(&self, version: Version, returned: Tick) {
        // Release: a reader that finds it closed also finds a `disown` made before.
        self.front(version)[CLOSED].store(returned, Ordering::Release);
    }

    /// Takes back what was said of the newest version: the operation that was to make it failed.
    /// To be called before [`History::close`], with the lane's lock held.
    pub fn disown(&self, version: Version) {
        // Relaxed: only the lock holder writes; readers that must know come through `settled`.
        let flags = &self.front(version)[FLAGS];
        flags.store(flags.load(Ordering::Relaxed) & !KNOWN, Ordering::Relaxed);
    }

    /// Whether the operation that replaced the version has returned. Once it has, whether it
    /// succeeded is final and seen in [`History::known`] of the next version.
    pub fn settled(&self, version: Version) -> bool {
        // Acquire: pairs with the release in `close`.
        self.front(version)[CLOSED].load(Ordering::Acquire) != OPEN
    }

    /// The newest version.
    #[inline]
    pub fn head(&self) -> Version {
        // Acquire: pairs with the release in `push`.
        self.head.version.load(Ordering::Acquire)
    }

    /// The oldest version that can be read.
    pub fn tail(&self) -> Version {
        self.tail.load(Ordering::Relaxed)
    }

    /// Whether all that was read of version `version` and later ones was theirs. To be asked
    /// after reading and before believing.
    #[inline]
    pub fn confirm(&self, version: Version) -> Result<(), Overrun> {
        // The fence pairs with the one in `push`: had a word read before it been written by a
        // later push, that push's tail would be seen here.
        W::fence(Ordering::Acquire);
        if self.tail.load(Ordering::Relaxed) <= version { Ok(()) } else { Err(Overrun) }
    }

    /// The tick before which the version can't have been seen.
    #[inline]
    pub fn invoked(&self, version: Version) -> Tick {
        self.front(version)[INVOKED].load(Ordering::Relaxed)
    }

    /// The tick after which it can't have been seen; [`OPEN`] for the newest.
    #[inline]
    pub fn closed(&self, version: Version) -> Tick {
        self.front(version)[CLOSED].load(Ordering::Relaxed)
    }

    /// Mask of mapped pages and mask of VMA starts.
    #[inline]
    pub fn masks(&self, version: Version) -> (u64, u64) {
        let front = self.front(version);
        (front[MAPPED].load(Ordering::Relaxed), front[STARTS].load(Ordering::Relaxed))
    }

    /// The VMAs of the version, first page and the one behind the last, lowest first.
    pub fn vmas(&self, version: Version) -> impl Iterator<Item = (usize, usize)> + use<W> {
        let (mapped, starts) = self.masks(version);
        let mut left = starts;
        std::iter::from_fn(move || {
            let start = left.trailing_zeros() as usize;
            left &= left.checked_sub(1)?;
            Some((start, vma_end(mapped, starts, start)))
        })
    }

    /// Whether the version's layout is known.
    #[inline]
    pub fn known(&self, version: Version) -> bool {
        self.front(version)[FLAGS].load(Ordering::Relaxed) & KNOWN != 0
    }

    /// For a version made by a move from lane to lane: the version made in the other lane.
    #[inline]
    pub fn peer(&self, version: Version) -> Option<Version> {
        let peer = self.front(version)[PEER].load(Ordering::Relaxed);
        (peer != NO_PEER).then_some(peer)
    }

    /// One page of the version; the first of a VMA with its [marks](Page::with_marks).
    #[inline(always)]
    pub fn page(&self, version: Version, at: usize) -> Page {
        debug_assert!(at < self.pages);
        let Line(line) = &self.lines[self.begin(version) + 1 + at / PAGES];
        let word = line[at % PAGES / 2].load(Ordering::Relaxed);
        Page::from_bits((word >> (32 * (at % 2))) as u32)
    }

    /// All pages of the version. To be confirmed like every other reading.
    pub fn layout(&self, version: Version) -> Layout {
        let vma = |(start, end)| Vma { start, end, page: self.page(version, start) };
        Layout::from_vmas(self.pages, self.vmas(version).map(vma))
    }

    /// Which worker made the version, and by which operation.
    pub fn origin(&self, version: Version) -> Origin {
        let front = self.front(version);
        let word = |at: usize| front[at].load(Ordering::Relaxed);
        let flags = word(FLAGS);
        Origin {
            op: (flags & HAS_OP != 0).then(|| Op::unpack([word(OP), word(OP + 1)])).flatten(),
            worker: flags as u16,
            peer: self.peer(version),
            known: flags & KNOWN != 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Prot;

    pub(super) fn layout(n: u64) -> Layout {
        let prot = Prot::from_bits((n % 8) as u8);
        Layout::from_pages(&[Page::anon(prot), Page::HOLE, Page::file(prot, true, 1, n as u16)])
    }

    pub(super) fn filled(capacity: usize, versions: u64) -> History {
        let history = History::new(capacity, &layout(0));
        for n in 1..=versions {
            let origin =
                Origin { op: None, worker: n as u16, peer: Some(n * 7), known: n % 3 != 0 };
            assert_eq!(history.push(2 * n, &layout(n), &origin), n);
            history.close(n - 1, 2 * n + 1);
        }
        history
    }

    #[test]
    fn a_version_reads_back_as_it_was_pushed() {
        let history = filled(8, 5);
        for n in 1..=5 {
            assert_eq!(history.layout(n), layout(n));
            assert_eq!(history.masks(n), (layout(n).mapped(), layout(n).starts()));
            assert_eq!(history.invoked(n), 2 * n);
            let origin = history.origin(n);
            assert_eq!(
                (origin.worker, origin.peer, origin.known),
                (n as u16, Some(n * 7), n % 3 != 0)
            );
        }
        assert_eq!((history.closed(4), history.closed(5)), (11, OPEN));
        assert_eq!(history.confirm(0), Ok(()));
    }

    #[test]
    fn a_version_that_is_gone_is_an_overrun_and_never_a_guess() {
        for (capacity, versions) in [(16, 100), (1024, 3001), (1024, 3002)] {
            gone_or_found(capacity, versions);
        }
    }

    fn gone_or_found(capacity: usize, versions: u64) {
        let history = filled(capacity, versions);
        let tail = history.tail();
        let least = versions - capacity as u64 + 1;
        assert!((least..=least + history.spare()).contains(&tail), "{tail} of {versions}");
        for from in 0..2 * versions + 3 {
            let expected = (0..=versions).find(|&v| v == versions || 2 * v + 3 >= from).unwrap();
            match history.first_at(from) {
                Ok(found) => assert_eq!(found, expected, "from {from}"),
                Err(Overrun) => assert!(expected <= tail, "from {from}: {expected} is still there"),
            }
            for least in [expected, expected.saturating_sub(5), expected / 2] {
                match history.first_from(least, from) {
                    Ok(found) => assert_eq!(found, expected, "{least}, from {from}"),
                    Err(Overrun) => assert!(expected <= tail, "{least}, from {from}"),
                }
            }
        }
        assert_eq!(history.confirm(tail - 1), Err(Overrun));
        assert_eq!(history.confirm(tail), Ok(()));
    }
}
