//! Bringing the end of a page of output to a certain line.
//!
//! A read call fills one buffer of a page with whole lines (fs/seq_file.c, `seq_read_iter`): the
//! page of output ends before the first line that does not fit. How many bytes lie below the
//! lanes follows from the program and its libraries, so it is read; lines of known length are
//! then made below the lanes until the page ends where it is wanted, and that is read again.

use crate::engine::Mode;
use crate::kernel::{Arena, MapsFile, MapsRead, parse};
use rustix::io::Errno;

/// Why the end of a page of output can't be brought to a line.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what it is about")]
pub enum AimError {
    #[error("cannot read {path} ({source})")]
    Read { path: &'static str, source: Errno },
    #[error("cannot make {lines} lines of padding below the lanes ({source})")]
    Pad { lines: usize, source: Errno },
    #[error("nothing is mapped at or above the boundary at {0:#x}")]
    Nothing(u64),
    #[error(
        "with {lines} lines of padding the page of output should end at {wanted:#x}, but the next one begins with the line that ends at {got:#x}"
    )]
    Missed { lines: usize, wanted: u64, got: u64 },
    #[error("no number of lines below the lanes makes a page of output end at {0:#x}")]
    Unreachable(u64),
}

/// One VMA in the text of the file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Record {
    /// First address.
    pub start: u64,
    /// One past the last address.
    pub end: u64,
    /// Bytes of text, newlines included: one line of maps, a block of smaps.
    pub bytes: usize,
    /// Which read call delivered its first byte, from 0.
    pub call: usize,
}

/// The text of a file as consecutive calls of a page each deliver it.
pub(super) type Text = Vec<Record>;

/// Reads the file of `mode` from the bottom, a page a call.
///
/// # Errors
/// When it can't be read.
pub(super) fn text_of(mode: Mode) -> Result<Text, AimError> {
    let path = mode.path();
    let failed = |source| AimError::Read { path, source };
    let mut file = MapsFile::open(path).map_err(failed)?;
    let mut buffer = vec![0; rustix::param::page_size()];
    // All text first: to put lines together while reading would allocate, and move the heap.
    let mut bytes: Vec<u8> = Vec::with_capacity(1 << 20);
    let mut calls = Vec::with_capacity(1 << 10);
    loop {
        let got = file.pread(&mut buffer, bytes.len() as u64).map_err(failed)?;
        if got == 0 {
            break;
        }
        calls.push(bytes.len());
        bytes.extend_from_slice(&buffer[..got]);
    }
    let mut text = Text::new();
    let mut at = 0;
    for line in bytes.split_inclusive(|&byte| byte == b'\n') {
        let header = !line.first().is_some_and(u8::is_ascii_uppercase);
        if header && let Ok(parsed) = parse(line.strip_suffix(b"\n").unwrap_or(line)) {
            let call = calls.partition_point(|&start| start <= at) - 1;
            text.push(Record { start: parsed.start, end: parsed.end, bytes: 0, call });
        }
        if let Some(record) = text.last_mut() {
            record.bytes += line.len();
        }
        at += line.len();
    }
    Ok(text)
}

/// Whether a page of output ends just before the record of the first VMA that ends above `address`.
/// If not, the end of the first record of the next page.
pub(super) fn ends_at(text: &[Record], address: u64) -> Result<bool, AimError> {
    let at = text.iter().position(|r| r.end > address).ok_or(AimError::Nothing(address))?;
    Ok(at > 0 && text[at].call != text[at - 1].call)
}

/// Whether the lines between two addresses and the line before them come in one page of output.
///
/// # Errors
/// When the file can't be read.
pub fn one_page(mode: Mode, from: u64, to: u64) -> Result<bool, AimError> {
    let text = text_of(mode)?;
    let first = text.iter().position(|r| r.end > from).ok_or(AimError::Nothing(from))?;
    let calls = text[first..].iter().take_while(|r| r.start < to).map(|r| r.call);
    let before = text[first.saturating_sub(1)].call;
    Ok(calls.into_iter().all(|call| call == before))
}

/// Whether the kernel's way to fill pages puts a boundary before record `target`, with `more`
/// records of `bytes` bytes each before record `below`.
fn would_end(
    text: &[Record],
    below: usize,
    target: usize,
    more: usize,
    bytes: usize,
    page: usize,
) -> bool {
    let padded = text[..below]
        .iter()
        .map(|record| record.bytes)
        .chain(std::iter::repeat_n(bytes, more))
        .chain(text[below..target].iter().map(|record| record.bytes));
    let mut calls = Calls { page, buffer: page, made: 0, carried: 0 };
    padded.for_each(|size| {
        calls.takes(size);
    });
    calls.takes(text[target].bytes)
}

/// How calls of a page each fill the kernel's buffer with records.
struct Calls {
    page: usize,
    /// It begins as a page and grows for a record that has no room alone; then a call no longer
    /// ends before the record that does not fit, but with the bytes asked for.
    buffer: usize,
    /// Bytes that this call has made so far, and before them those carried over from the call before.
    made: usize,
    carried: usize,
}

impl Calls {
    /// The next record is made; whether by a call of its own, behind the one that made the record
    /// before.
    fn takes(&mut self, size: usize) -> bool {
        // A record that fills the buffer to the last byte counts as too long for it.
        let fits = self.made + size < self.buffer;
        let asked_for = self.carried + self.made < self.page;
        let next = self.made > 0 && !(fits && asked_for);
        if next {
            // Calls that only deliver what is carried over make nothing.
            self.carried = (self.carried + self.made).saturating_sub(self.page);
            if self.carried > self.page {
                self.carried = (self.carried - 1) % self.page + 1;
            }
            self.made = 0;
        }
        while size >= self.buffer {
            self.buffer *= 2;
        }
        self.made += size;
        next
    }
}

/// Makes lines below the lanes until a page of output of `mode` ends at `address`. Gives how many.
///
/// # Errors
/// When that can't be done.
pub(super) fn aim(arena: &mut Arena, mode: Mode, address: u64) -> Result<usize, AimError> {
    let pad = |arena: &mut Arena, lines: usize| {
        arena.pad(lines).map_err(|source| AimError::Pad { lines, source })
    };
    // Two lines of padding, to see how long they are.
    pad(arena, 2)?;
    let base = arena.geometry().base;
    let mut text = text_of(mode)?;
    let below = text.iter().position(|r| r.start >= base).ok_or(AimError::Nothing(address))?;
    let bytes = below.checked_sub(1).map_or(0, |last| text[last].bytes);
    text.drain(below.saturating_sub(2)..below);
    let below = below.saturating_sub(2);
    let target = text.iter().position(|r| r.end > address).ok_or(AimError::Nothing(address))?;
    let page = rustix::param::page_size();
    let most = 2 * page / bytes.max(1);
    let fitting = (0..=most).filter(|&more| would_end(&text, below, target, more, bytes, page));
    let mut missed = AimError::Unreachable(address);
    for lines in fitting.take(8) {
        pad(arena, lines)?;
        let text = text_of(mode)?;
        if ends_at(&text, address)? {
            return Ok(lines);
        }
        let next = text.windows(2).find(|pair| pair[0].call == 0 && pair[1].call == 1);
        let got = next.map_or(0, |pair| pair[1].end);
        missed = AimError::Missed { lines, wanted: address, got };
    }
    Err(missed)
}

/// Where the lines between two addresses are in the file of `mode`: the first byte, and one past
/// the last.
pub(super) fn span_of(mode: Mode, from: u64, to: u64) -> Result<(u64, u64), AimError> {
    let text = text_of(mode)?;
    let bytes_below = |address: u64| -> u64 {
        let below = text.iter().take_while(|record| record.start < address);
        below.map(|record| record.bytes as u64).sum()
    };
    Ok((bytes_below(from), bytes_below(to)))
}

/// The offsets of the line before the boundary. A pread that begins there looks up the VMA at the
/// boundary anew.
pub(super) fn offsets(mode: Mode, address: u64) -> Result<(u64, u64), AimError> {
    let text = text_of(mode)?;
    let at = text.iter().position(|r| r.end > address).ok_or(AimError::Nothing(address))?;
    let start: usize = text[..at].iter().map(|record| record.bytes).sum();
    let before = at.checked_sub(1).map_or(0, |before| text[before].bytes);
    // The first byte is left out: a pread that begins with a line skips it whole.
    Ok(((start - before + 1).min(start) as u64, start as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(sizes: &[usize]) -> Text {
        let record = |(i, &bytes): (usize, &usize)| Record {
            start: i as u64,
            end: i as u64 + 1,
            bytes,
            call: 0,
        };
        sizes.iter().enumerate().map(record).collect()
    }

    #[test]
    fn a_page_ends_before_the_record_that_does_not_fit() {
        let text = records(&[30, 30, 30, 30]);
        // 3 * 30 fit into 100, the fourth does not.
        assert!(would_end(&text, 1, 3, 0, 10, 100));
        assert!(!would_end(&text, 1, 2, 0, 10, 100));
        // With two records more, two fit no longer.
        assert!(would_end(&text, 1, 2, 2, 10, 100));
        // Exactly full is too full.
        assert!(would_end(&records(&[50, 50]), 0, 1, 0, 1, 100));
    }

    #[test]
    fn behind_a_record_longer_than_a_page_a_call_ends_with_the_bytes_asked_for() {
        // 250 bytes take three calls. The last has room for 50 more: a record of 30, and one that
        // goes beyond. The 10 bytes of that and three more records fill the next call.
        let text = records(&[30, 250, 30, 30, 30, 30, 30, 30]);
        let ends: Vec<usize> = (1..8).filter(|&at| would_end(&text, 0, at, 0, 1, 100)).collect();
        assert_eq!(ends, [1, 2, 4, 7]);
    }

    #[test]
    fn the_text_is_whole_and_in_order() {
        for mode in [Mode::Walk, Mode::Smaps] {
            let text = text_of(mode).unwrap();
            assert!(text.windows(2).all(|pair| pair[0].end <= pair[1].start));
            assert!(text.iter().all(|record| record.bytes > 40));
        }
    }
}
