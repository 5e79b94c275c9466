//! Faults planted on purpose: what a reader gets is not what the file said.
//!
//! Stands between a reader and any source, so that the whole way from a page to the report can be
//! seen to work, on a kernel without faults, too. Nothing is allocated after the start.

use super::descriptor::MapsRead;
use super::line::{Line, parse};
use super::query::{Answer, QueryFlags};
use crate::seed::Stream;
use crate::vocabulary::words;
use arrayvec::ArrayVec;
use rustix::io::Errno;
use std::ops::Range;
use strum::{IntoStaticStr, VariantArray};

/// What is planted; named after the class of violation it has to be found as.
#[derive(Clone, Copy, PartialEq, Eq, Debug, VariantArray, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum Fault {
    /// A line is left out.
    Hole,
    /// Two neighbouring lines become one: the start of the first, the end of the second.
    Torn,
    /// A line is printed as it was some calls ago.
    Stale,
    /// An end that lies in the middle of a page.
    Unknown,
    /// A line comes twice.
    Disorder,
    /// A line that does not parse.
    Malformed,
    /// The file ends in the middle of the range.
    Truncated,
}

words!(Fault, "fault");

/// Longest line that is remembered for [`Fault::Stale`].
const LONGEST: usize = 200;
/// Lines that are remembered, and for how many calls at least.
const REMEMBERED: usize = 64;
const AGE: u64 = 40;

/// Where the line that begins at this address is remembered: by Fibonacci's hash, whose upper bits
/// take in every bit of the address, whatever the size of a page.
fn slot_of(start: u64) -> usize {
    const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
    (start.wrapping_mul(GOLDEN) >> (64 - REMEMBERED.ilog2())) as usize
}

/// A line as it once was.
#[derive(Clone, Copy)]
struct Old {
    start: u64,
    call: u64,
    len: usize,
    text: [u8; LONGEST],
}

/// Bytes of one whole line in a page, its newline included, and what it says.
#[derive(Clone, Copy)]
struct Spot {
    from: usize,
    to: usize,
    start: u64,
    end: u64,
}

type Spots = ArrayVec<Spot, 256>;

/// A source whose lines in a range of addresses are corrupted once in a while.
pub struct Injector<M> {
    inner: M,
    fault: Fault,
    range: Range<u64>,
    one_in: usize,
    rng: Stream,
    /// Where the last call ended for the reader, and where in the file.
    ends: (u64, u64),
    /// Whether the last call stopped inside the range.
    inside: bool,
    calls: u64,
    planted: u64,
    old: Box<[Old]>,
}

impl<M> Injector<M> {
    /// Corrupts about one in `one_in` calls that deliver lines within `range`.
    pub fn new(inner: M, fault: Fault, range: Range<u64>, one_in: usize, rng: Stream) -> Self {
        let old = Old { start: 0, call: 0, len: 0, text: [0; LONGEST] };
        Injector {
            inner,
            fault,
            range,
            one_in: one_in.max(1),
            rng,
            ends: (0, 0),
            inside: false,
            calls: 0,
            planted: 0,
            old: vec![old; REMEMBERED].into(),
        }
    }

    /// How many faults were planted so far.
    pub fn planted(&self) -> u64 {
        self.planted
    }

    /// The whole lines of the page that lie within the range.
    fn spots(&self, page: &[u8]) -> Spots {
        let mut spots = Spots::new();
        let mut from = 0;
        while let Some(len) = memchr::memchr(b'\n', &page[from..]) {
            let to = from + len + 1;
            if let Ok(line) = parse(&page[from..to - 1])
                && self.range.contains(&line.start)
                && line.end <= self.range.end
            {
                let spot = Spot { from, to, start: line.start, end: line.end };
                if spots.try_push(spot).is_err() {
                    break;
                }
            }
            from = to;
        }
        spots
    }

    /// Corrupts the page and gives its new length.
    fn plant(&mut self, page: &mut [u8]) -> usize {
        let spots = self.spots(page);
        let len = page.len();
        if self.fault == Fault::Stale {
            return self.plant_stale(page, &spots);
        }
        if spots.is_empty() || !self.rng.one_in(self.one_in) {
            return len;
        }
        let at = self.rng.below(spots.len());
        let spot = spots[at];
        // The pair that a fault needs may not be there: then nothing is planted this time.
        let next = spots.get(at + 1).filter(|next| next.from == spot.to);
        let new_len = match (self.fault, next) {
            (Fault::Hole, _) => Some(cut(page, spot.from..spot.to)),
            (Fault::Unknown, _) => rewrite_end(page, spot, spot.end + 0x800).then_some(len),
            (Fault::Malformed, _) => {
                page[spot.from] = b'z';
                Some(len)
            }
            (Fault::Torn, Some(next)) if next.start == spot.end => {
                rewrite_end(page, spot, next.end).then(|| cut(page, next.from..next.to))
            }
            (Fault::Disorder, Some(next)) if next.to - next.from >= spot.to - spot.from => {
                page.copy_within(spot.from..spot.to, next.from);
                let copied = next.from + (spot.to - spot.from);
                Some(cut(page, copied..next.to))
            }
            _ => None,
        };
        self.planted += new_len.is_some() as u64;
        new_len.unwrap_or(len)
    }

    /// Puts an old line in the place of one with the same start and the same length of text.
    fn plant_stale(&mut self, page: &mut [u8], spots: &[Spot]) -> usize {
        for spot in spots {
            let text = &mut page[spot.from..spot.to];
            let slot = &mut self.old[slot_of(spot.start)];
            let known = slot.start == spot.start && slot.len == text.len();
            if known && slot.call + AGE <= self.calls && slot.text[..slot.len] != *text {
                if self.rng.one_in(self.one_in) {
                    text.copy_from_slice(&slot.text[..slot.len]);
                    self.planted += 1;
                    slot.len = 0;
                }
            } else if (slot.len == 0 || slot.call + 4 * AGE <= self.calls) && text.len() <= LONGEST
            {
                // Lines that share a slot leave each other the time to grow old.
                slot.text[..text.len()].copy_from_slice(text);
                (slot.start, slot.call, slot.len) = (spot.start, self.calls, text.len());
            }
        }
        page.len()
    }
}

/// Takes bytes out of the page; gives what is left.
fn cut(page: &mut [u8], out: Range<usize>) -> usize {
    page.copy_within(out.end.., out.start);
    page.len() - out.len()
}

/// Writes another end address, if it has as many digits as the one there.
fn rewrite_end(page: &mut [u8], spot: Spot, end: u64) -> bool {
    let line = &mut page[spot.from..spot.to];
    let Some(dash) = memchr::memchr(b'-', line) else { return false };
    let Some(digits) = memchr::memchr(b' ', &line[dash..]) else { return false };
    let digits = &mut line[dash + 1..dash + digits];
    if digits.len() < 16 && end >> (4 * digits.len()) != 0 {
        return false;
    }
    for (i, digit) in digits.iter_mut().rev().enumerate() {
        *digit = b"0123456789abcdef"[(end >> (4 * i) & 15) as usize];
    }
    true
}

impl<M: MapsRead> MapsRead for Injector<M> {
    fn pread(&mut self, buf: &mut [u8], offset: u64) -> Result<usize, Errno> {
        self.calls += 1;
        let goes_on = offset != 0 && offset == self.ends.0;
        if self.fault == Fault::Truncated && goes_on && self.inside && self.rng.one_in(self.one_in)
        {
            self.planted += 1;
            return Ok(0);
        }
        // Behind a line that was cut out the reader's offsets are smaller than the file's.
        let real = if goes_on { self.ends.1 } else { offset };
        let got = self.inner.pread(buf, real)?;
        let spots = self.spots(&buf[..got]);
        self.inside = spots.last().is_some_and(|spot| spot.to == got);
        let given = if self.fault == Fault::Truncated { got } else { self.plant(&mut buf[..got]) };
        self.ends = (offset + given as u64, real + got as u64);
        // An empty page would be taken for the end of the file.
        if given == 0 && got > 0 { self.pread(buf, self.ends.0) } else { Ok(given) }
    }

    fn query<'a>(
        &mut self,
        address: u64,
        flags: QueryFlags,
        answer: &'a mut Answer,
    ) -> Result<Option<Line<'a>>, Errno> {
        let plant = self.range.contains(&address) && self.rng.one_in(self.one_in);
        let asked = self.inner.query(address, flags, answer)?;
        let Some(line) = asked.filter(|_| plant) else { return Ok(asked) };
        let planted = match self.fault {
            Fault::Hole => None,
            Fault::Unknown => Some(Line { end: line.end + 0x800, ..line }),
            _ => return Ok(Some(line)),
        };
        self.planted += 1;
        Ok(planted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Lines;

    /// Text that is delivered in pages, and changes from walk to walk.
    struct Text {
        walks: Vec<String>,
        walk: usize,
        page: usize,
    }

    impl MapsRead for Text {
        fn pread(&mut self, buf: &mut [u8], offset: u64) -> Result<usize, Errno> {
            self.walk += (offset == 0) as usize;
            let text = self.walks[self.walk % self.walks.len()].as_bytes();
            let rest = &text[(offset as usize).min(text.len())..];
            let n = rest.len().min(buf.len()).min(self.page);
            buf[..n].copy_from_slice(&rest[..n]);
            Ok(n)
        }

        fn query<'a>(
            &mut self,
            _: u64,
            _: QueryFlags,
            _: &'a mut Answer,
        ) -> Result<Option<Line<'a>>, Errno> {
            Ok(None)
        }
    }

    const ABOVE: &str =
        "7fff00000000-7fff00021000 rw-p 00000000 00:00 0                          [stack]\n";

    fn text(ends: [u64; 5], perms: &str) -> String {
        let mut text = String::new();
        for (i, end) in ends.iter().enumerate() {
            let start = 0x7d00_0000_0000 + 0x1_0000 * i as u64;
            text += &format!("{start:x}-{:x} {perms} 00000000 00:00 0 \n", start + end);
        }
        text + ABOVE
    }

    /// Reads to the end; lines as text.
    fn walk(source: &mut impl MapsRead, size: usize) -> Vec<String> {
        let (mut lines, mut read, mut offset) = (Lines::default(), Vec::new(), 0);
        let mut buf = vec![0; size];
        lines.start(false);
        loop {
            let got = source.pread(&mut buf, offset).unwrap();
            if got == 0 {
                assert!(lines.at_line_end());
                return read;
            }
            offset += got as u64;
            lines.feed(&buf[..got], 0, |chunk| {
                read.push(String::from_utf8(chunk.text.to_vec()).unwrap());
            });
        }
    }

    fn injector(fault: Fault, page: usize) -> Injector<Text> {
        // Neighbours that touch, so that two can become one.
        let walks = vec![text([0x1_0000; 5], "rw-p"), text([0x1_0000; 5], "r--p")];
        let source = Text { walks, walk: 0, page };
        let range = 0x7d00_0000_0000..0x7d00_0010_0000;
        Injector::new(source, fault, range, 2, Stream::new(5, "inject", 0))
    }

    #[test]
    fn each_fault_shows_and_every_other_line_stays_whole() {
        for fault in Fault::ALL {
            for (page, size) in [(4096, 4096), (130, 4096), (4096, 100)] {
                let mut source = injector(fault, page);
                let mut differ = 0;
                for _ in 0..200 {
                    let read = walk(&mut source, size);
                    let truth = source.inner.walks[source.inner.walk % 2].clone();
                    let truth: Vec<&str> = truth.lines().collect();
                    differ += (read != truth) as u64;
                    let strange = read.iter().filter(|line| !truth.contains(&line.as_str()));
                    for line in strange {
                        let parsed = parse(line.as_bytes());
                        match fault {
                            Fault::Torn => assert!(parsed.unwrap().end > 0x7d00_0000_0000),
                            Fault::Unknown => assert_eq!(parsed.unwrap().end & 0xfff, 0x800),
                            Fault::Malformed => assert!(parsed.is_err()),
                            Fault::Stale => assert!(parsed.is_ok()),
                            _ => panic!("{fault:?} makes {line}"),
                        }
                    }
                    if fault != Fault::Truncated {
                        assert_eq!(read.last().map(String::as_str), Some(ABOVE.trim_end()));
                    }
                }
                // A call needs two whole lines of the range for some, and pages that go on.
                let possible = size == 4096 && (page == 130 || fault != Fault::Truncated);
                assert!(!possible || source.planted() > 0 || page == 130, "{fault:?}");
                assert!(differ <= source.planted(), "{fault:?} {differ} {}", source.planted());
                if possible && page == 4096 {
                    assert!(differ > 20, "{fault:?} shows in {differ} of 200 walks");
                }
            }
        }
    }

    #[test]
    fn lines_are_remembered_apart_whatever_the_size_of_a_page() {
        for shift in [12, 14, 16] {
            let starts = (0..REMEMBERED as u64).map(|page| 0x7d00_0000_0000 + (page << shift));
            let slots: std::collections::HashSet<usize> = starts.map(slot_of).collect();
            assert!(slots.len() > REMEMBERED / 2, "{} slots, {shift} bits", slots.len());
        }
    }

    #[test]
    fn outside_the_range_nothing_is_touched() {
        for fault in Fault::ALL {
            let mut source = injector(fault, 4096);
            source.range = 0x10_0000..0x20_0000;
            for _ in 0..50 {
                let read = walk(&mut source, 4096);
                let truth = &source.inner.walks[source.inner.walk % 2];
                assert_eq!(read, truth.lines().collect::<Vec<_>>());
            }
            assert_eq!(source.planted(), 0);
        }
    }
}
