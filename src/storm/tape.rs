//! The bytes of the walk under way.

use crate::maps::Line;
use crate::oracle::Window;

/// One call of the walk under way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TapeCall {
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
pub struct Tape {
    bytes: Box<[u8]>,
    used: usize,
    calls: Vec<TapeCall>,
    /// Number of the first call on the tape.
    first: u32,
}

impl Tape {
    /// Bytes that fit.
    pub const BYTES: usize = 128 << 10;
    /// Calls that fit.
    pub const CALLS: usize = 1024;
    /// The most that one call may ask for.
    pub const LONGEST: usize = 16 << 10;

    pub(super) fn new() -> Tape {
        Tape {
            bytes: vec![0; Tape::BYTES].into(),
            used: 0,
            calls: Vec::with_capacity(Tape::CALLS),
            first: 0,
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

    /// The calls that delivered them.
    pub(super) fn calls(&self) -> &[TapeCall] {
        &self.calls
    }

    /// Takes in a call that put its bytes into the [room](Tape::room); gives its number.
    pub(super) fn push(&mut self, call: TapeCall) -> u32 {
        let number = self.next_call();
        self.used += call.got as usize;
        self.calls.push(call);
        number
    }

    pub(super) fn room(&mut self, asked: usize) -> &mut [u8] {
        if self.used + asked > self.bytes.len() || self.calls.len() == self.calls.capacity() {
            self.first += self.calls.len() as u32;
            self.used = 0;
            self.calls.clear();
        }
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

    /// Puts the answer of a query on the tape, as maps prints it, as if one call at offset
    /// `address` had given it.
    pub(super) fn answered(&mut self, address: u64, window: Window, answer: Option<&Line<'_>>) {
        self.rewind();
        let mut rest = &mut self.bytes[..];
        let room = rest.len();
        if let Some(line) = answer {
            // An answer is shorter than a tape by far.
            let _ = line.print(&mut rest);
        }
        let got = room - rest.len();
        self.used = got;
        self.calls.push(TapeCall {
            offset: address,
            asked: 0,
            got: got as u32,
            window,
            kept: false,
        });
    }

    /// A call, if it is still on the tape.
    pub(super) fn call(&self, call: u32) -> Option<&TapeCall> {
        self.calls.get(call.checked_sub(self.first)? as usize)
    }
}
