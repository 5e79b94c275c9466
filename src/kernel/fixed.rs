//! Lines of the two usual shapes, without a loop and with one branch for all that may be wrong.
//!
//! With addresses of twelve digits (nearly all of a 64-bit user space), an offset below 4 GiB and
//! a device of two and two digits, every field but the inode has a fixed place
//! (fs/proc/task_mmu.c, `show_vma_header_prefix` and, for the column of the name,
//! `show_map_vma`):
//!
//! ```text
//! 0            13           26   31       40    46                         73
//! 7f83503f0000-7f8350412000 rw-p 00000000 00:00 0
//! 7f8350600000-7f8350628000 r--p 0001c000 fe:00 7734                       /usr/lib/libc.so.6
//! ```
//!
//! Whatever differs in a single byte is left to the parser of fields, so nothing here has to say
//! what is wrong, only that something is: each check leaves bits in a word that has to stay 0.

#[cfg(target_arch = "x86_64")]
mod sse2;
#[cfg(any(test, not(target_arch = "x86_64")))]
mod words;

use super::line::{Line, NAME_COLUMN};
#[cfg(target_arch = "x86_64")]
use sse2 as digits;
#[cfg(not(target_arch = "x86_64"))]
use words as digits;

const ONES: u64 = 0x0101_0101_0101_0101;
const ZEROS: u64 = b'0' as u64 * ONES;
const SPACES: u64 = b' ' as u64 * ONES;

/// Length of a line without file and name.
const ANON: usize = 48;
/// How a line without file and name ends.
const ANON_TAIL: &[u8; 15] = b"000000 00:00 0 ";

/// The four permission characters by their bits, with the spaces around them and two zeros, the first
/// in the lowest byte.
const PERMS: [u64; 16] = {
    let mut words = [0; 16];
    let mut bits = 0;
    while bits < 16 {
        let read = if bits & 1 != 0 { b'r' } else { b'-' };
        let write = if bits & 2 != 0 { b'w' } else { b'-' };
        let execute = if bits & 4 != 0 { b'x' } else { b'-' };
        let share = if bits & 8 != 0 { b's' } else { b'p' };
        let text = [b' ', read, write, execute, share, b' ', b'0', b'0'];
        words[bits] = u64::from_le_bytes(text);
        bits += 1;
    }
    words
};

/// The line, if it has one of the two shapes.
#[inline]
pub(super) fn parse(line: &[u8]) -> Option<Line<'_>> {
    if let Ok(line) = <&[u8; ANON]>::try_from(line) { anon(line) } else { named(line) }
}

#[inline]
fn anon(line: &[u8; ANON]) -> Option<Line<'static>> {
    let (start, end, mut wrong) = digits::range(line);
    let (perms, bad_perms) = perms(eight(line, 25));
    wrong |= bad_perms;
    wrong |= eight(line, 33) ^ eight(ANON_TAIL, 0);
    wrong |= eight(line, 40) ^ eight(ANON_TAIL, 7);
    (wrong == 0 && start < end).then_some(Line {
        start,
        end,
        perms,
        offset: 0,
        dev_major: 0,
        dev_minor: 0,
        inode: 0,
        name: b"",
    })
}

#[inline]
fn named(line: &[u8]) -> Option<Line<'_>> {
    let (head, name) = line.split_first_chunk::<NAME_COLUMN>()?;
    if name.first().is_none_or(|&byte| byte == b' ') {
        return None;
    }
    let (start, end, perms, mut wrong) = before_offset(head);
    let (offset, (dev_major, dev_minor), bad_file) = digits::file(head);
    wrong |= bad_file;
    // Up to eight digits, then spaces up to the name.
    let inode = eight(head, 46);
    // Bit 7 of a byte: no digit. A carry comes only out of one that is none, so the lowest is right.
    let values = inode ^ ZEROS;
    let no_digit = (values.wrapping_add(0x76 * ONES) | values) & (0x80 * ONES);
    let bits = no_digit.trailing_zeros() & !7;
    if bits == 0 {
        return None;
    }
    wrong |= (inode ^ SPACES).checked_shr(bits).unwrap_or(0);
    wrong |= eight(head, 54) ^ SPACES | eight(head, 62) ^ SPACES | eight(head, 65) ^ SPACES;
    (wrong == 0 && start < end).then_some(Line {
        start,
        end,
        perms,
        offset,
        dev_major,
        dev_minor,
        // The digits go to the upper end; from below come values of 0.
        inode: decimal8(values << (64 - bits)),
        name,
    })
}

/// `START-END PERMS `: start, end, permissions, and 0 where all is well.
#[inline(always)]
fn before_offset<const N: usize>(head: &[u8; N]) -> (u64, u64, u8, u64) {
    let (start, end, wrong) = digits::range(head);
    let (perms, bad_perms) = perms(eight(head, 25));
    (start, end, perms, wrong | without_zeros(bad_perms))
}

/// The end of an address range with twelve digits on both sides.
#[inline]
pub(super) fn range_end(line: &[u8]) -> Option<u64> {
    let head: &[u8; 29] = line.first_chunk()?;
    let (_, end, wrong) = digits::range(head);
    (wrong == 0).then_some(end)
}

/// Eight decimal values, the most significant in the lowest byte.
#[inline(always)]
fn decimal8(values: u64) -> u64 {
    // Neighbours are put together: twos in every other byte, fours in every other pair, all.
    let twos = (values * 10 + (values >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (twos * 100 + (twos >> 16)) & 0x0000_ffff_0000_ffff;
    (fours * 10_000 + (fours >> 32)) & 0xffff_ffff
}

/// ` PERMS 00`, the first character in the lowest byte: the bits, and 0 where each character is one of
/// those that can be there.
#[inline(always)]
fn perms(word: u64) -> (u8, u64) {
    // Bit 6 tells a letter from '-', bit 0 's' from 'p'. In the lowest bits of four bytes, they are
    // brought together in the highest; no two others meet there.
    let apart = word >> 14 & 0x01_0101 | word >> 8 & 1 << 24;
    let bits = apart.wrapping_mul(1 << 24 | 1 << 17 | 1 << 10 | 1 << 3) >> 24 & 15;
    (bits as u8, word ^ PERMS[bits as usize])
}

/// What is wrong with permissions that something else than two zeros may follow.
#[inline(always)]
fn without_zeros(wrong: u64) -> u64 {
    wrong << 16
}

#[inline(always)]
fn eight<const N: usize>(bytes: &[u8; N], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

#[inline(always)]
fn differ<const N: usize>(bytes: &[u8; N], at: usize, byte: u8) -> u64 {
    u64::from(bytes[at] ^ byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_values_make_a_decimal_number() {
        for number in [0, 1, 9, 10, 12_345_678, 99_999_999, 90_000_000, 10_203_040] {
            let mut digits = [0; 8];
            digits.copy_from_slice(format!("{number:08}").as_bytes());
            assert_eq!(decimal8(u64::from_le_bytes(digits) ^ ZEROS), number);
        }
    }

    #[test]
    fn every_character_of_the_permissions_counts() {
        for at in 0..8 {
            for byte in 0..=255u8 {
                let mut word = *b" rw-p 00";
                word[at] = byte;
                let either = [b"  ", b"-r", b"-w", b"-x", b"ps", b"  ", b"00", b"00"][at];
                let (bits, wrong) = perms(u64::from_le_bytes(word));
                assert_eq!(wrong == 0, either.contains(&byte), "{word:?}");
                let right = either.contains(&byte) || at >= 6;
                assert_eq!(without_zeros(wrong) == 0, right, "{word:?}");
                if let (true, Some(bit)) = (right, at.checked_sub(1).filter(|&bit| bit < 4)) {
                    assert_eq!(bits >> bit & 1 == 1, byte == either[1]);
                    assert_eq!(bits | 1 << bit, 3 | 1 << bit);
                }
            }
        }
    }

    /// Whatever byte stands wherever, both ways to read digits take the same and give the same.
    #[test]
    #[cfg(target_arch = "x86_64")]
    fn sixteen_at_a_time_are_the_same_as_eight() {
        let mut rng = crate::seed::Stream::new(1, "digits", 0);
        for _ in 0..20 {
            let mut right = *b"7f83503f0a00-7f8350412b0c rw-p 0001c000 fe:1d 7734 ";
            for digit in right.iter_mut().take(45).filter(|byte| byte.is_ascii_hexdigit()) {
                *digit = *rng.pick(b"0123456789abcdef");
            }
            for at in 0..46 {
                for byte in 0..=255u8 {
                    let mut line = right;
                    line[at] = byte;
                    let [one, other] = [
                        (sse2::range(&line), sse2::file(&line)),
                        (words::range(&line), words::file(&line)),
                    ]
                    .map(
                        |((start, end, bad_range), (of, device, bad_file))| {
                            (
                                (bad_range == 0).then_some((start, end)),
                                (bad_file == 0).then_some((of, device)),
                            )
                        },
                    );
                    assert_eq!(one, other, "{}", line.escape_ascii());
                }
            }
        }
    }
}
