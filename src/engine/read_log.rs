//! The bytes of the walk under way.

use crate::kernel::{Line, range_end};
use crate::oracle::Window;
use memmap2::MmapMut;

/// One call of the walk under way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReadCall {
    /// The offset asked for.
    pub offset: u64,
    /// The bytes asked for.
    pub asked: u32,
    /// The bytes delivered.
    pub got: u32,
    /// The clock around the call.
    pub window: Window,
    /// Whether a line that begins with the call's first byte may have been made in the call
    /// before: fs/seq_file.c, `seq_read_iter`, when what was left over from an earlier call uses
    /// up a call exactly, still makes the next record, and keeps it for the next call.
    pub kept: bool,
}

/// The bytes of the walk under way and the calls that delivered them, kept for the evidence.
///
/// The kernel writes straight into it. A walk too long for it begins again at the front: what is
/// lost is evidence, never a verdict.
pub struct ReadLog {
    /// Pages of their own, which cost nothing until they are written: an allocator that has had
    /// them before writes zeros into all of them, which for the readers of 256 threads takes 20 ms.
    bytes: MmapMut,
    used: usize,
    calls: Vec<ReadCall>,
    /// Number of the first call in the log.
    first: u32,
    /// Whether the first byte may lie within a line: the walk began in mid-file, or the log began
    /// again at the front before a line was whole.
    mid_line: bool,
}

impl ReadLog {
    /// Calls that fit.
    pub const CALLS: usize = 1024;
    /// The most that one call may ask for by a scenario, wherever it was written.
    pub const LONGEST: usize = 16 << 10;

    /// Bytes that fit. A longer line, its first byte no longer in the log, can't be placed in time.
    pub fn bytes_that_fit() -> usize {
        ReadLog::fitting(rustix::param::page_size()).0
    }

    /// The most that one call may ask for: two of the kernel's pages of output, or a scenario's
    /// most.
    pub fn longest() -> usize {
        ReadLog::fitting(rustix::param::page_size()).1
    }

    /// Both, with pages of so many bytes.
    const fn fitting(page: usize) -> (usize, usize) {
        let longest = if 2 * page > ReadLog::LONGEST { 2 * page } else { ReadLog::LONGEST };
        (8 * longest, longest)
    }

    pub(super) fn new() -> ReadLog {
        ReadLog {
            bytes: MmapMut::map_anon(ReadLog::bytes_that_fit())
                .expect("room for the bytes of a walk"),
            used: 0,
            calls: Vec::with_capacity(ReadLog::CALLS),
            first: 0,
            mid_line: false,
        }
    }

    pub(super) fn rewind(&mut self) {
        self.used = 0;
        self.first = 0;
        self.calls.clear();
    }

    /// The bytes delivered so far.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.used]
    }

    /// How far they have come: the end of the last line that is whole, as far as it can be told
    /// from that line alone.
    pub(super) fn reached(&self) -> Option<u64> {
        let bytes = self.bytes();
        // Nearly always a call ends with a line.
        let text = match bytes.strip_suffix(b"\n") {
            Some(text) => text,
            None => &bytes[..memchr::memrchr(b'\n', bytes)?],
        };
        let line = match memchr::memrchr(b'\n', text) {
            Some(before) => &text[before + 1..],
            None if self.mid_line => return None,
            None => text,
        };
        range_end(line)
    }

    /// The calls that delivered them.
    pub(super) fn calls(&self) -> &[ReadCall] {
        &self.calls
    }

    /// Takes in a call that put its bytes into the [room](ReadLog::room); gives its number.
    pub(super) fn push(&mut self, call: ReadCall) -> u32 {
        let number = self.next_call();
        if number == 0 {
            self.mid_line = call.offset != 0;
        }
        self.used += call.got as usize;
        self.calls.push(call);
        number
    }

    /// Whether the log has to begin again at the front for a call of so many bytes.
    pub(super) fn is_full(&self, asked: usize) -> bool {
        self.used + asked > self.bytes.len() || self.calls.len() == self.calls.capacity()
    }

    /// Begins again at the front, in the same walk, when the log [is full](ReadLog::is_full).
    pub(super) fn begin_again(&mut self) {
        self.mid_line = self.bytes().last() != Some(&b'\n');
        self.first += self.calls.len() as u32;
        self.used = 0;
        self.calls.clear();
    }

    /// Room for a call's bytes.
    pub(super) fn room(&mut self, asked: usize) -> &mut [u8] {
        &mut self.bytes[self.used..self.used + asked]
    }

    pub(super) fn next_call(&self) -> u32 {
        self.first + self.calls.len() as u32
    }

    /// Where the bytes of a call begin.
    pub(super) fn start_of(&self, call: u32) -> Option<usize> {
        let at = call.checked_sub(self.first)? as usize;
        Some(self.calls.get(..at)?.iter().map(|call| call.got as usize).sum())
    }

    /// One past newline number `newline`, from 0, of a call's bytes.
    pub(super) fn behind(&self, call: u32, newline: u32) -> Option<usize> {
        let (start, got) = (self.start_of(call)?, self.call(call)?.got as usize);
        let bytes = &self.bytes[start..start + got];
        let at = memchr::memchr_iter(b'\n', bytes).nth(newline as usize)?;
        Some(start + at + 1)
    }

    /// Where the first line begins that may be whole.
    pub(super) fn first_line(&self) -> usize {
        match self.mid_line {
            true => memchr::memchr(b'\n', self.bytes()).map_or(self.used, |at| at + 1),
            false => 0,
        }
    }

    /// The lines that end in the bytes `from..to`, where one begins at `from`, each with the window
    /// in which it may have been made.
    pub(super) fn lines(&self, from: usize, to: usize) -> ReadLines<'_> {
        ReadLines { log: self, at: from, to, call: 0, call_at: 0 }
    }

    /// Puts the answer of a query in the log, as maps prints it, as if one call at offset
    /// `address` had given it.
    pub(super) fn answered(&mut self, address: u64, window: Window, answer: Option<&Line<'_>>) {
        self.rewind();
        let mut rest = &mut self.bytes[..];
        let room = rest.len();
        if let Some(line) = answer {
            // An answer is shorter than a log by far.
            let _ = line.print(&mut rest);
        }
        let got = room - rest.len();
        self.used = got;
        self.calls.push(ReadCall {
            offset: address,
            asked: 0,
            got: got as u32,
            window,
            kept: false,
        });
    }

    /// A call, if it is still in the log.
    pub(super) fn call(&self, call: u32) -> Option<&ReadCall> {
        self.calls.get(call.checked_sub(self.first)? as usize)
    }
}

/// See [`ReadLog::lines`].
#[derive(Clone)]
pub(super) struct ReadLines<'t> {
    log: &'t ReadLog,
    at: usize,
    to: usize,
    /// The call that delivered the next line's first byte, and where its bytes begin.
    call: usize,
    call_at: usize,
}

impl<'t> Iterator for ReadLines<'t> {
    /// Without its newline.
    type Item = (&'t [u8], Window);

    fn next(&mut self) -> Option<(&'t [u8], Window)> {
        let rest = self.log.bytes().get(self.at..self.to)?;
        let text = &rest[..memchr::memchr(b'\n', rest)?];
        let calls = self.log.calls();
        while self.call_at + calls[self.call].got as usize <= self.at {
            self.call_at += calls[self.call].got as usize;
            self.call += 1;
        }
        let ReadCall { mut window, kept, .. } = calls[self.call];
        if kept && self.at == self.call_at {
            window.from = calls[self.call.checked_sub(1)?].window.from;
        }
        self.at += text.len() + 1;
        Some((text, window))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(calls: &[(&[u8], bool)]) -> ReadLog {
        let mut log = ReadLog::new();
        for (at, (text, kept)) in calls.iter().enumerate() {
            log.room(text.len()).copy_from_slice(text);
            let window = Window { from: 10 * at as u64, to: 10 * at as u64 + 5 };
            let len = text.len() as u32;
            log.push(ReadCall { offset: 0, asked: len, got: len, window, kept: *kept });
        }
        log
    }

    #[test]
    fn a_line_has_the_window_of_the_call_with_its_first_byte_or_from_the_one_before_on() {
        let log = log(&[(b"one\ntw", false), (b"o\nthree\n", false), (b"four\nfive\n", true)]);
        let all: Vec<(&[u8], u64, u64)> =
            log.lines(0, 24).map(|(text, window)| (text, window.from, window.to)).collect();
        let expected: [(&[u8], u64, u64); 5] = [
            (b"one", 0, 5),
            (b"two", 0, 5),
            (b"three", 10, 15),
            (b"four", 10, 25),
            (b"five", 20, 25),
        ];
        assert_eq!(all, expected);
        assert_eq!(log.lines(8, 21).count(), 2);
        assert_eq!(log.lines(0, 3).count(), 0, "no line ends there");
    }

    #[test]
    fn a_call_may_ask_for_a_page_of_output_and_more_whatever_the_size_of_a_page() {
        assert_eq!(ReadLog::fitting(4 << 10), (128 << 10, 16 << 10));
        for page in [4 << 10, 16 << 10, 64 << 10] {
            let (bytes, longest) = ReadLog::fitting(page);
            assert!(longest >= 2 * page && longest >= ReadLog::LONGEST, "{page}");
            assert!(bytes >= 4 * longest, "{page}: some calls have to fit");
        }
    }

    #[test]
    fn what_begins_in_mid_file_begins_in_a_line() {
        let mut log = log(&[(b"7f00-8000 r\n8000-9000 r\n", false)]);
        assert_eq!((log.first_line(), log.reached()), (0, Some(0x9000)));
        log.rewind();
        let mut read = |text: &[u8], offset: u64| {
            log.room(text.len()).copy_from_slice(text);
            let (asked, got) = (text.len() as u32, text.len() as u32);
            let window = Window { from: 0, to: 0 };
            log.push(ReadCall { offset, asked, got, window, kept: false });
            (log.first_line(), log.reached())
        };
        assert_eq!(read(b"00-8000 r\n", 2), (10, None), "the rest of a line");
        assert_eq!(read(b"8000-9000 r\n", 12), (10, Some(0x9000)));
    }
}
