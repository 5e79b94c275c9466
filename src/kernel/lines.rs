//! From the bytes of read calls to lines.

/// Puts the bytes of consecutive read calls together into lines.
///
/// A line may begin in one call and end in a later one; it is handed over when it is complete,
/// with the number of the call that delivered its first byte. A line may have any length: the
/// kernel prints a mapped file's whole path, which no PATH_MAX bounds and a rename changes
/// (fs/d_path.c), and doubles its buffer until the line fits (fs/seq_file.c, `seq_read_iter`).
pub struct Lines {
    carry: Box<[u8; Lines::HEAD]>,
    /// Bytes of the line under way. The first [`Lines::HEAD`] of them are in `carry`.
    carried: usize,
    carried_from: u32,
    skip: bool,
}

/// A complete line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Chunk<'a> {
    /// The line without its newline. Of one that came in several calls, its first
    /// [`Lines::HEAD`] bytes.
    pub text: &'a [u8],
    /// The call that delivered its first byte.
    pub from: u32,
    /// Bytes of all of it, newline included.
    pub bytes: usize,
}

impl Default for Lines {
    fn default() -> Lines {
        Lines { carry: Box::new([0; Lines::HEAD]), carried: 0, carried_from: 0, skip: false }
    }
}

impl Lines {
    /// Bytes kept of a line that several calls deliver. Only its name is longer, at byte 73 or
    /// behind (fs/proc/task_mmu.c, `show_vma_header_prefix`), and such a name is none of the
    /// arena's: of a line outside the arena only the addresses are judged, and inside of it a name
    /// is as wrong with its first 8,000 bytes as with all of them.
    pub const HEAD: usize = 8192;

    /// Starts anew. With `skip`, everything up to the first newline is dropped: a pread in the
    /// middle of the file begins in the middle of a line, and may begin at the start of one
    /// without a sign of it.
    pub fn start(&mut self, skip: bool) {
        self.carried = 0;
        self.skip = skip;
    }

    /// Whether the bytes fed so far end at the end of a line.
    pub fn at_line_end(&self) -> bool {
        self.carried == 0 && !self.skip
    }

    /// Whether everything up to the next newline is going to be dropped.
    pub fn skips(&self) -> bool {
        self.skip
    }

    /// Takes the bytes of call number `call` and hands over each line they complete.
    #[inline]
    pub fn feed(&mut self, bytes: &[u8], call: u32, mut take: impl FnMut(Chunk<'_>)) {
        self.feed_beyond(bytes, call, &mut (), |(), _| 0, |(), chunk| take(chunk));
    }

    /// The same, but a caller that knows what comes can take lines by itself. Wherever a line begins,
    /// `known` is given all whole lines that are left, and tells how many bytes of whole lines it took.
    /// These are not handed over. Both closures are lent `with`.
    #[inline]
    pub fn feed_beyond<T>(
        &mut self,
        mut bytes: &[u8],
        call: u32,
        with: &mut T,
        mut known: impl FnMut(&mut T, &[u8]) -> usize,
        mut take: impl FnMut(&mut T, Chunk<'_>),
    ) {
        if self.skip {
            match memchr::memchr(b'\n', bytes) {
                None => return,
                Some(at) => bytes = &bytes[at + 1..],
            }
            self.skip = false;
        }
        let (mut bytes, cut) =
            bytes.split_at(memchr::memrchr(b'\n', bytes).map_or(0, |last| last + 1));
        while !bytes.is_empty() {
            if self.carried == 0 {
                let beyond = known(with, bytes);
                if beyond > 0 {
                    bytes = &bytes[beyond..];
                    continue;
                }
            }
            let Some(at) = memchr::memchr(b'\n', bytes) else {
                unreachable!("the last byte is a newline");
            };
            let (line, tail) = (&bytes[..at], &bytes[at + 1..]);
            if self.carried == 0 {
                take(with, Chunk { text: line, from: call, bytes: line.len() + 1 });
            } else {
                self.keep(line, call);
                let (whole, from) = (self.carried, self.carried_from);
                self.carried = 0;
                let text = &self.carry[..whole.min(Lines::HEAD)];
                take(with, Chunk { text, from, bytes: whole + 1 });
            }
            bytes = tail;
        }
        if !cut.is_empty() {
            self.keep(cut, call);
        }
    }

    fn keep(&mut self, bytes: &[u8], call: u32) {
        if self.carried == 0 {
            self.carried_from = call;
        }
        let room = self.carry.get_mut(self.carried..).unwrap_or_default();
        let kept = room.len().min(bytes.len());
        room[..kept].copy_from_slice(&bytes[..kept]);
        self.carried += bytes.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TEXT: &[u8] = b"first line\nsecond\n\nfourth, the longest of all\nfifth\n";

    fn fed(pieces: &[usize], skip: bool) -> Vec<(Vec<u8>, u32)> {
        let mut lines = Lines::default();
        lines.start(skip);
        let mut taken = Vec::new();
        let mut at = 0;
        for (call, &len) in pieces.iter().enumerate() {
            let end = (at + len).min(TEXT.len());
            lines.feed(&TEXT[at..end], call as u32, |chunk| {
                assert_eq!(chunk.bytes, chunk.text.len() + 1);
                taken.push((chunk.text.to_vec(), chunk.from));
            });
            at = end;
        }
        taken
    }

    proptest! {
        #[test]
        fn lines_are_the_same_however_they_are_cut(
            pieces in prop::collection::vec(1usize..20, 60)
        ) {
            let taken = fed(&pieces, false);
            let texts: Vec<&[u8]> = taken.iter().map(|(line, _)| line.as_slice()).collect();
            let whole: Vec<&[u8]> = TEXT.strip_suffix(b"\n").unwrap().split(|&b| b == b'\n').collect();
            prop_assert_eq!(texts, whole);
            // Each line belongs to the call in which its first byte lies.
            let mut first_byte = 0;
            for (line, call) in taken {
                let before: usize = pieces[..call as usize].iter().sum();
                let through: usize = pieces[..=call as usize].iter().sum();
                prop_assert!(before <= first_byte && first_byte < through);
                first_byte += line.len() + 1;
            }
        }
    }

    #[test]
    fn lines_known_already_are_passed_over() {
        let mut lines = Lines::default();
        lines.start(false);
        let known = |_: &mut Vec<Vec<u8>>, rest: &[u8]| -> usize {
            let known = [&b"first line\n"[..], b"second\n\n"];
            known.iter().find(|known| rest.starts_with(known)).map_or(0, |known| known.len())
        };
        let mut taken: Vec<Vec<u8>> = Vec::new();
        lines.feed_beyond(TEXT, 0, &mut taken, known, |taken, chunk| {
            taken.push(chunk.text.to_vec());
        });
        let expected: [&[u8]; 2] = [b"fourth, the longest of all", b"fifth"];
        assert_eq!(taken, expected);
        assert!(lines.at_line_end());
    }

    #[test]
    fn what_is_known_is_asked_for_only_where_whole_lines_begin() {
        for cut in 1..TEXT.len() {
            let mut lines = Lines::default();
            lines.start(false);
            let mut at = 0;
            for (call, piece) in [&TEXT[..cut], &TEXT[cut..]].into_iter().enumerate() {
                let whole =
                    piece.iter().rposition(|&byte| byte == b'\n').map_or(0, |last| last + 1);
                let asked = |at: &mut usize, rest: &[u8]| {
                    let from = *at + whole - rest.len();
                    assert!(from == 0 || TEXT[from - 1] == b'\n', "cut at {cut}, asked at {from}");
                    assert_eq!(rest.last(), Some(&b'\n'), "cut at {cut}, asked at {from}");
                    0
                };
                lines.feed_beyond(piece, call as u32, &mut at, asked, |_, _| {});
                at += piece.len();
            }
        }
    }

    #[test]
    fn a_skip_drops_to_the_first_newline() {
        assert_eq!(fed(&[5, 200], true)[0].0, b"second");
    }

    #[test]
    fn a_line_of_any_length_is_handed_over_once_and_so_is_what_comes_behind_it() {
        let mut text = vec![b'x'; 3 * Lines::HEAD];
        text.extend_from_slice(b"\nnext\n");
        for size in [1000, 4096, Lines::HEAD, Lines::HEAD + 1, text.len()] {
            let mut lines = Lines::default();
            let mut taken = Vec::new();
            for (call, piece) in text.chunks(size).enumerate() {
                lines.feed(piece, call as u32, |chunk| {
                    assert_eq!(
                        chunk.text,
                        &text[taken.iter().sum::<usize>()..][..chunk.text.len()]
                    );
                    assert!(chunk.text.len() + 1 == chunk.bytes || chunk.text.len() == Lines::HEAD);
                    let before: usize = taken.iter().sum();
                    assert_eq!(chunk.from as usize, before / size);
                    taken.push(chunk.bytes);
                });
            }
            assert_eq!(taken, [3 * Lines::HEAD + 1, 5], "{size} bytes a call");
            assert!(lines.at_line_end());
        }
    }

    #[test]
    fn a_line_without_end_is_no_line() {
        let mut lines = Lines::default();
        for call in 0..20 {
            lines.feed(&[b'x'; 1000], call, |chunk| panic!("{chunk:?}"));
        }
        assert!(!lines.at_line_end());
    }
}
