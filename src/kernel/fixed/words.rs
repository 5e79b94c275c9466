//! Digits in their usual places, eight bytes at a time, for any CPU.

use super::{ONES, ZEROS, differ, eight};

const HIGH: u64 = 0xf0 * ONES;

/// `START-END `: start, end, and 0 where all is well.
#[inline(always)]
pub(super) fn range<const N: usize>(line: &[u8; N]) -> (u64, u64, u64) {
    // Twelve and twelve digits are three times eight.
    let (high, bad_high) = hex8(eight(line, 0));
    let (middle, bad_middle) = hex8(four(line, 8) | four(line, 13) << 32);
    let (low, bad_low) = hex8(eight(line, 17));
    let bad = bad_high | bad_middle | bad_low;
    let wrong = bad | differ(line, 12, b'-') | differ(line, 25, b' ');
    (high << 16 | middle >> 16, (middle & 0xffff) << 32 | low, wrong)
}

/// `OFFSET `, in its place: the offset, and 0 where all is well.
#[inline(always)]
pub(super) fn offset<const N: usize>(head: &[u8; N]) -> (u64, u64) {
    let (offset, bad) = hex8(eight(head, 31));
    (offset, bad | differ(head, 39, b' '))
}

/// `OFFSET MAJOR:MINOR `, in their places: offset and device, and 0 where all is well.
#[inline(always)]
pub(super) fn file<const N: usize>(head: &[u8; N]) -> (u64, (u32, u32), u64) {
    let (offset, wrong) = offset(head);
    // Four zeros, so that eight digits come together.
    let (device, bad) = hex8(ZEROS << 32 | two(head, 43) << 16 | two(head, 40));
    let wrong = wrong | bad | differ(head, 42, b':') | differ(head, 45, b' ');
    (offset, ((device >> 24) as u32, (device >> 16 & 0xff) as u32), wrong)
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
}
