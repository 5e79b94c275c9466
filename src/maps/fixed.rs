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

use super::line::Line;

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0xf0 * ONES;
const ZEROS: u64 = b'0' as u64 * ONES;
const SPACES: u64 = b' ' as u64 * ONES;

/// Length of a line without file and name.
const ANON: usize = 48;
/// The column that names begin in: 25 + 6 * sizeof(void *) - 1, and one space
/// (fs/proc/task_mmu.c, `show_map_vma`).
const NAME: usize = 73;
/// The column that the device begins in.
const DEVICE: usize = 40;
/// What follows the permissions of a line without file and name.
const ANON_TAIL: &[u8; 18] = b" 00000000 00:00 0 ";

/// The four permission characters by their bits, the first in the lowest byte.
const PERMS: [u64; 16] = {
    let mut words = [0; 16];
    let mut bits = 0;
    while bits < 16 {
        let read = if bits & 1 != 0 { b'r' } else { b'-' };
        let write = if bits & 2 != 0 { b'w' } else { b'-' };
        let execute = if bits & 4 != 0 { b'x' } else { b'-' };
        let share = if bits & 8 != 0 { b's' } else { b'p' };
        words[bits] = u32::from_le_bytes([read, write, execute, share]) as u64;
        bits += 1;
    }
    words
};

/// What a line says before its device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Opening {
    /// First address.
    pub start: u64,
    /// One past the last address.
    pub end: u64,
    /// Bit 0 read, 1 write, 2 execute, 3 shared.
    pub perms: u8,
    /// Offset in the file, in bytes.
    pub offset: u64,
}

/// What the line that `text` begins with says before its device, and the text from there on, if all of
/// that is in its usual place. The rest of the line may be anything.
#[inline]
pub fn opening(text: &[u8]) -> Option<(Opening, &[u8])> {
    let (head, rest) = text.split_first_chunk::<DEVICE>()?;
    let (opening, wrong) = before_device(head);
    (wrong == 0 && opening.start < opening.end).then_some((opening, rest))
}

impl Opening {
    /// The text from the device on, if `text` begins with a line that says exactly this before it, in
    /// the usual place: where [`opening`] gives this, too. Nothing is parsed.
    #[inline(always)]
    pub fn strip<'t>(&self, text: &'t [u8]) -> Option<&'t [u8]> {
        let (head, rest) = text.split_first_chunk::<DEVICE>()?;
        let Opening { start, end, perms, offset } = *self;
        // Addresses of fewer digits are printed with fewer, and an offset of more with more.
        let usual = start >> 44 != 0 && end >> 48 == 0 && start < end && offset >> 32 == 0;
        let (start, end, offset) =
            (sixteen(start << 16), sixteen(end << 16), sixteen(offset << 32));
        let wrong = eight(head, 0) ^ start[0]
            | (four(head, 8) ^ start[1]) & 0xffff_ffff
            | eight(head, 13) ^ end[0]
            | (four(head, 21) ^ end[1]) & 0xffff_ffff
            | four(head, 26) ^ PERMS[usize::from(perms & 15)]
            | eight(head, 31) ^ offset[0]
            | differ(head, 12, b'-')
            | differ(head, 25, b' ')
            | differ(head, 30, b' ')
            | differ(head, 39, b' ');
        (usual && wrong == 0).then_some(rest)
    }
}

/// Sixteen hexadecimal digits, the first in the lowest byte of the first word.
#[inline(always)]
fn sixteen(value: u64) -> [u64; 2] {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: SSE2 belongs to every x86_64.
    unsafe {
        sixteen_sse2(value)
    }
    #[cfg(not(target_arch = "x86_64"))]
    [digits8(value >> 32), digits8(value & 0xffff_ffff)]
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "sse2")]
#[inline]
fn sixteen_sse2(value: u64) -> [u64; 2] {
    use std::arch::x86_64::*;
    let bytes = _mm_cvtsi64_si128(value.swap_bytes() as i64);
    let low = _mm_set1_epi8(15);
    let high = _mm_and_si128(_mm_srli_epi16::<4>(bytes), low);
    let values = _mm_unpacklo_epi8(high, _mm_and_si128(bytes, low));
    let letter = _mm_cmpgt_epi8(values, _mm_set1_epi8(9));
    let digits = _mm_add_epi8(values, _mm_set1_epi8(b'0' as i8));
    let digits = _mm_add_epi8(digits, _mm_and_si128(letter, _mm_set1_epi8(0x27)));
    let words = [digits, _mm_unpackhi_epi64(digits, digits)];
    words.map(|word| _mm_cvtsi128_si64(word) as u64)
}

/// Eight hexadecimal digits of a value below 2^32, the first in the lowest byte.
#[cfg(any(test, not(target_arch = "x86_64")))]
#[inline(always)]
fn digits8(value: u64) -> u64 {
    // The other way round than in `hex8`: fours, pairs, single values.
    let fours = (value >> 16 | value << 32) & 0x0000_ffff_0000_ffff;
    let pairs = (fours >> 8 | fours << 16) & 0x00ff_00ff_00ff_00ff;
    let values = (pairs >> 4 | pairs << 8) & 0x0f0f_0f0f_0f0f_0f0f;
    // Six more reach sixteen from ten on.
    let letter = (values + 6 * ONES) >> 4 & ONES;
    values + ZEROS + letter * 0x27
}

/// The line, if it has one of the two shapes.
#[inline]
pub(super) fn parse(line: &[u8]) -> Option<Line<'_>> {
    if let Ok(line) = <&[u8; ANON]>::try_from(line) { anon(line) } else { named(line) }
}

#[inline]
fn anon(line: &[u8; ANON]) -> Option<Line<'static>> {
    let (start, end, perms, mut wrong) = range(line);
    wrong |= eight(line, 30) ^ eight(ANON_TAIL, 0);
    wrong |= eight(line, 38) ^ eight(ANON_TAIL, 8);
    wrong |= eight(line, 40) ^ eight(ANON_TAIL, 10);
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
    let (head, name) = line.split_first_chunk::<NAME>()?;
    if name.first().is_none_or(|&byte| byte == b' ') {
        return None;
    }
    let (Opening { start, end, perms, offset }, mut wrong) = before_device(head);
    wrong |= differ(head, 42, b':') | differ(head, 45, b' ');
    // Four zeros, so that eight digits come together.
    let (device, bad) = hex8(ZEROS << 32 | two(head, 43) << 16 | two(head, 40));
    wrong |= bad;
    // Up to eight digits, then spaces up to the name.
    let inode = eight(head, 46);
    // Bit 7 of a byte: no digit. A carry comes only out of one that is none, so the lowest is right.
    let values = inode ^ ZEROS;
    let no_digit = (values.wrapping_add(0x76 * ONES) | values) & (0x80 * ONES);
    let digits = no_digit.trailing_zeros() / 8;
    if digits == 0 {
        return None;
    }
    wrong |= (inode ^ SPACES).checked_shr(8 * digits).unwrap_or(0);
    wrong |= eight(head, 54) ^ SPACES | eight(head, 62) ^ SPACES | eight(head, 65) ^ SPACES;
    (wrong == 0 && start < end).then_some(Line {
        start,
        end,
        perms,
        offset,
        dev_major: (device >> 24) as u32,
        dev_minor: (device >> 16 & 0xff) as u32,
        // The digits go to the upper end; from below come values of 0.
        inode: decimal8(values << (64 - 8 * digits)),
        name,
    })
}

/// `START-END PERMS OFFSET `, and 0 where all is well.
#[inline(always)]
fn before_device<const N: usize>(head: &[u8; N]) -> (Opening, u64) {
    let (start, end, perms, mut wrong) = range(head);
    wrong |= differ(head, 30, b' ') | differ(head, 39, b' ');
    let (offset, bad) = hex8(eight(head, 31));
    (Opening { start, end, perms, offset }, wrong | bad)
}

/// The end of an address range with twelve digits on both sides.
#[inline]
pub(super) fn range_end(line: &[u8]) -> Option<u64> {
    let head: &[u8; 30] = line.first_chunk()?;
    let (_, end, _, wrong) = range(head);
    (wrong == 0).then_some(end)
}

/// `START-END PERMS`: start, end, permissions, and 0 where all is well.
#[inline(always)]
fn range<const N: usize>(line: &[u8; N]) -> (u64, u64, u8, u64) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: SSE2 belongs to every x86_64.
    let (start, end, bad_digits) = unsafe { digits_sse2(line) };
    #[cfg(not(target_arch = "x86_64"))]
    let (start, end, bad_digits) = digits(line);
    let (perms, bad_perms) = perms(four(line, 26));
    let wrong = bad_digits | bad_perms | differ(line, 12, b'-') | differ(line, 25, b' ');
    (start, end, perms, wrong)
}

/// The addresses: twelve digits, a byte that does not matter here, twelve digits.
#[cfg(any(test, not(target_arch = "x86_64")))]
#[inline(always)]
fn digits<const N: usize>(line: &[u8; N]) -> (u64, u64, u64) {
    // Twelve and twelve digits are three times eight.
    let (high, bad_high) = hex8(eight(line, 0));
    let (middle, bad_middle) = hex8(four(line, 8) | four(line, 13) << 32);
    let (low, bad_low) = hex8(eight(line, 17));
    let wrong = bad_high | bad_middle | bad_low;
    (high << 16 | middle >> 16, (middle & 0xffff) << 32 | low, wrong)
}

/// The same with sixteen bytes at a time: half of the instructions.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "sse2")]
#[inline]
fn digits_sse2<const N: usize>(line: &[u8; N]) -> (u64, u64, u64) {
    use std::arch::x86_64::*;
    let sixteen = |at: usize| _mm_set_epi64x(eight(line, at + 8) as i64, eight(line, at) as i64);
    // Values of sixteen digits, and bits where a byte is none.
    let values = |text: __m128i| {
        // Signed: a byte of 0x80 and above is no letter, and too much for a digit.
        let letter = _mm_cmpgt_epi8(text, _mm_set1_epi8(0x60));
        let zero = _mm_sub_epi8(text, _mm_set1_epi8(0x30));
        let value = _mm_sub_epi8(zero, _mm_and_si128(letter, _mm_set1_epi8(0x27)));
        // A letter's value is 10 at least, so what is left is that it is below sixteen, and a
        // digit's below ten. What lies below '0' has wrapped to 0xd0 and above, and stays there.
        let six = _mm_andnot_si128(letter, _mm_set1_epi8(6));
        let wrong = _mm_and_si128(_mm_adds_epu8(value, six), _mm_set1_epi8(0xf0u8 as i8));
        (value, wrong)
    };
    // Pairs of values, each in sixteen bits.
    let pairs = |value: __m128i| {
        let both = _mm_or_si128(_mm_slli_epi16::<4>(value), _mm_srli_epi16::<8>(value));
        _mm_and_si128(both, _mm_set1_epi16(0xff))
    };
    // The byte between lies at 12 of the first sixteen and at 3 of the second.
    let (start, bad_start) = values(sixteen(0));
    let (end, bad_end) = values(sixteen(9));
    let bad_start = _mm_and_si128(bad_start, _mm_set_epi64x(!(0xff << 32), -1));
    let bad_end = _mm_and_si128(bad_end, _mm_set_epi64x(-1, !(0xff << 24)));
    let right = _mm_cmpeq_epi8(_mm_or_si128(bad_start, bad_end), _mm_setzero_si128());
    let wrong = _mm_movemask_epi8(right) ^ 0xffff;
    let both = _mm_packus_epi16(pairs(start), pairs(end));
    let start = (_mm_cvtsi128_si64(both) as u64).swap_bytes();
    let end = (_mm_cvtsi128_si64(_mm_unpackhi_epi64(both, both)) as u64).swap_bytes();
    (start >> 16, end & 0xffff_ffff_ffff, wrong as u64)
}

/// Eight hexadecimal digits, the first in the lowest byte; lower case only, as the kernel prints
/// them. The value, and 0 where each byte is one.
#[inline(always)]
fn hex8(word: u64) -> (u64, u64) {
    // '0'..='9' is 0x30..=0x39, 'a'..='f' is 0x61..=0x66: bit 6 tells a letter. What is left
    // without the high half that goes with it is below sixteen in both.
    let letter = (word >> 6) & ONES;
    let low = word ^ (ZEROS + letter * 0x30);
    // With all of `low` below sixteen no sum carries from byte to byte: a digit above 9 and a
    // letter above 6 reach sixteen. A letter of 0 ('`') borrows and leaves the high half of its
    // byte set; that the bytes above it are then off by one is no matter.
    let most = low.wrapping_add(6 * ONES + letter * 3);
    let least = low.wrapping_sub(letter);
    let wrong = (low | most | least) & HIGH;
    let value = low.wrapping_add(letter * 9);
    // Pairs, then fours, then all eight, the first digit the most significant.
    let pairs = (value << 4 | value >> 8) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs << 8 | pairs >> 16) & 0x0000_ffff_0000_ffff;
    ((fours << 16 | fours >> 32) & 0xffff_ffff, wrong)
}

/// Eight decimal values, the most significant in the lowest byte.
#[inline(always)]
fn decimal8(values: u64) -> u64 {
    // Neighbours are put together: twos in every other byte, fours in every other pair, all.
    let twos = (values * 10 + (values >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (twos * 100 + (twos >> 16)) & 0x0000_ffff_0000_ffff;
    (fours * 10_000 + (fours >> 32)) & 0xffff_ffff
}

/// The four permission characters, the first in the lowest byte. The bits, and 0 where each
/// character is one of its two.
#[inline(always)]
fn perms(word: u64) -> (u8, u64) {
    // Bit 6 tells a letter from '-', bit 0 's' from 'p'.
    let bits = word >> 6 & 1 | word >> 13 & 2 | word >> 20 & 4 | word >> 21 & 8;
    (bits as u8, word ^ PERMS[bits as usize])
}

#[inline(always)]
fn eight<const N: usize>(bytes: &[u8; N], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

#[inline(always)]
fn four<const N: usize>(bytes: &[u8; N], at: usize) -> u64 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word).into()
}

#[inline(always)]
fn two<const N: usize>(bytes: &[u8; N], at: usize) -> u64 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]]).into()
}

#[inline(always)]
fn differ<const N: usize>(bytes: &[u8; N], at: usize, byte: u8) -> u64 {
    u64::from(bytes[at] ^ byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_but_the_sixteen_digits_is_refused() {
        for byte in 0..=255u8 {
            let mut digits = *b"01a34f67";
            for at in 0..8 {
                let right = std::mem::replace(&mut digits[at], byte);
                let expected = str::from_utf8(&digits)
                    .ok()
                    .filter(|text| text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
                    .map(|text| u64::from_str_radix(text, 16).unwrap());
                let (value, wrong) = hex8(u64::from_le_bytes(digits));
                assert_eq!((wrong == 0).then_some(value), expected, "{digits:?}");
                digits[at] = right;
            }
        }
    }

    #[test]
    fn two_wrong_bytes_do_not_make_a_right_one() {
        for first in 0..=255u8 {
            for second in 0..=255u8 {
                for at in 0..7 {
                    let mut digits = *b"01a34f67";
                    (digits[at], digits[at + 1]) = (first, second);
                    let right = digits.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
                    assert_eq!(hex8(u64::from_le_bytes(digits)).1 == 0, right, "{digits:?}");
                }
            }
        }
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn sixteen_at_a_time_are_the_same_as_eight() {
        let right = *b"7f83503f0a00-7f8350412b0c rw-p";
        for at in 0..25 {
            for byte in 0..=255u8 {
                let mut line = right;
                line[at] = byte;
                // SAFETY: SSE2 belongs to every x86_64.
                let (start, end, wrong) = unsafe { digits_sse2(&line) };
                let expected = digits(&line);
                assert_eq!(wrong == 0, expected.2 == 0, "{line:?}");
                if wrong == 0 {
                    assert_eq!((start, end), (expected.0, expected.1), "{line:?}");
                }
            }
        }
    }

    #[test]
    fn digits_are_those_that_are_printed() {
        let mut rng = crate::seed::Stream::new(1, "digits", 0);
        let some = std::iter::repeat_with(|| rng.below(usize::MAX) as u64).take(2000);
        for value in (0..64).map(|bit| 1 << bit).chain([0, u64::MAX]).chain(some) {
            let text = format!("{value:016x}");
            let text = text.as_bytes().first_chunk::<16>().unwrap();
            let words = [eight(text, 0), eight(text, 8)];
            assert_eq!(sixteen(value), words, "{value:x}");
            assert_eq!([digits8(value >> 32), digits8(value & 0xffff_ffff)], words, "{value:x}");
        }
    }

    #[test]
    fn only_the_line_that_is_printed_begins_with_what_it_says() {
        let line = Line {
            start: 0x7f83_503f_0000,
            end: 0x7f83_5041_2000,
            perms: 11,
            offset: 0x1_c000,
            dev_major: 0,
            dev_minor: 1,
            inode: 7734,
            name: b"/memfd:a (deleted)",
        };
        let opening_of = |line: &Line<'_>| {
            let Line { start, end, perms, offset, .. } = *line;
            Opening { start, end, perms, offset }
        };
        let mut text = Vec::new();
        line.print(&mut text).unwrap();
        let strip = |text: &[u8]| opening_of(&line).strip(text).map(<[u8]>::len);
        let rest = text.len() - DEVICE;
        assert_eq!(strip(&text), Some(rest));
        assert_eq!(strip(&text[..DEVICE]), Some(0));
        assert_eq!(strip(&text[..DEVICE - 1]), None);
        for at in 0..text.len() {
            for bit in 0..8 {
                text[at] ^= 1 << bit;
                assert_eq!(strip(&text), (at >= DEVICE).then_some(rest), "bit {bit} of {at}");
                text[at] ^= 1 << bit;
            }
        }
        // With more or fewer digits nothing has its usual place; nor is there a line that ends
        // where it begins.
        for change in [
            |line: &mut Line<'_>| line.start = 0xf83_503f_0000,
            |line: &mut Line<'_>| line.end = 0x1_7f83_5041_2000,
            |line: &mut Line<'_>| line.offset = 0x1_0001_c000,
            |line: &mut Line<'_>| line.end = line.start,
        ] {
            let (mut other, mut text) = (line, Vec::new());
            change(&mut other);
            other.print(&mut text).unwrap();
            assert_eq!(opening_of(&other).strip(&text), None, "{other:?}");
        }
    }

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
        for at in 0..4 {
            for byte in 0..=255u8 {
                let mut word = *b"rw-p";
                word[at] = byte;
                let right = [b"-r", b"-w", b"-x", b"ps"][at].contains(&byte);
                let (bits, wrong) = perms(u32::from_le_bytes(word).into());
                assert_eq!(wrong == 0, right, "{word:?}");
                if right {
                    let set = byte == [b'r', b'w', b'x', b's'][at];
                    assert_eq!(bits >> at & 1 == 1, set);
                    assert_eq!(bits | 1 << at, 3 | 1 << at);
                }
            }
        }
    }
}
