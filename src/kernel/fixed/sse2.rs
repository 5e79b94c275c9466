//! Digits in their usual places, sixteen bytes at a time, with what every x86_64 has.

use super::eight;
use std::arch::x86_64::*;

/// Bits that are 0 in the value of a digit, and not in what [`values`] makes of any other byte.
const DIGIT: u8 = 0xf0;

/// What [`values`] makes of a byte below '0', and of no other.
const fn mark(byte: u8) -> u8 {
    assert!(byte < b'0');
    byte.wrapping_sub(b'a' - 10)
}

/// What sixteen bytes have to be: of each the bits that count, and what these are.
struct Form {
    bits: [u8; 16],
    right: [u8; 16],
}

impl Form {
    /// A digit where `form` has an 'f', anything where it has a '?', and else the byte it has, which
    /// is one below '0'.
    const fn new(form: &[u8; 16]) -> Form {
        let (mut bits, mut right) = ([0; 16], [0; 16]);
        let mut at = 0;
        while at < form.len() {
            match form[at] {
                b'f' => bits[at] = DIGIT,
                b'?' => {}
                byte => (bits[at], right[at]) = (0xff, mark(byte)),
            }
            at += 1;
        }
        Form { bits, right }
    }

    /// Bytes of ones where what [`values`] gave is right.
    #[target_feature(enable = "sse2")]
    #[inline]
    fn fits(&self, values: __m128i) -> __m128i {
        _mm_cmpeq_epi8(_mm_and_si128(values, vector(&self.bits)), vector(&self.right))
    }
}

#[target_feature(enable = "sse2")]
#[inline]
fn vector<const N: usize>(bytes: &[u8; N]) -> __m128i {
    sixteen(bytes, 0)
}

/// Sixteen bytes from `at` on.
#[target_feature(enable = "sse2")]
#[inline]
fn sixteen<const N: usize>(bytes: &[u8; N], at: usize) -> __m128i {
    _mm_set_epi64x(eight(bytes, at + 8) as i64, eight(bytes, at) as i64)
}

/// What sixteen bytes are as hexadecimal digits, lower case only, as the kernel prints them. Of any
/// other byte sixteen at least, and of one below '0' its [`mark`].
#[target_feature(enable = "sse2")]
#[inline]
fn values(text: __m128i) -> __m128i {
    let each = |byte: u8| _mm_set1_epi8(byte as i8);
    // '9' and what lies below down to '0' come to the upper end, and no other byte so far up: six
    // less, and they alone have not wrapped when 0xf0 is taken away.
    let figure = _mm_add_epi8(text, each(0xff - b'9'));
    let figure = _mm_sub_epi8(_mm_subs_epu8(figure, each(6)), each(0xf0));
    // 'a' comes to 10. What lies below it is wrapped and stays far up.
    let letter = _mm_adds_epu8(_mm_sub_epi8(text, each(b'a')), each(10));
    // Sixteen at least in both is neither.
    _mm_min_epu8(figure, letter)
}

/// Pairs of values, each in sixteen bits, as numbers; of what is no value a number, too.
#[target_feature(enable = "sse2")]
#[inline]
fn pairs(values: __m128i) -> __m128i {
    _mm_srli_epi16::<8>(_mm_or_si128(_mm_slli_epi16::<12>(values), values))
}

/// The lower and the upper half.
#[target_feature(enable = "sse2")]
#[inline]
fn halves(bytes: __m128i) -> [u64; 2] {
    [bytes, _mm_unpackhi_epi64(bytes, bytes)].map(|half| _mm_cvtsi128_si64(half) as u64)
}

/// 0 where all bytes are ones.
#[target_feature(enable = "sse2")]
#[inline]
fn lacking(right: __m128i) -> u64 {
    u64::from(_mm_movemask_epi8(right) as u32 ^ 0xffff)
}

/// `START-END `: start, end, and 0 where all is well.
#[inline(always)]
pub(super) fn range<const N: usize>(line: &[u8; N]) -> (u64, u64, u64) {
    #[target_feature(enable = "sse2")]
    #[inline]
    fn range<const N: usize>(line: &[u8; N]) -> (u64, u64, u64) {
        const START: Form = Form::new(b"ffffffffffff-???");
        const END: Form = Form::new(b"ffffffffffff ???");
        let (start, end) = (values(sixteen(line, 0)), values(sixteen(line, 13)));
        let right = _mm_and_si128(START.fits(start), END.fits(end));
        let both = halves(_mm_packus_epi16(pairs(start), pairs(end)));
        let [start, end] = both.map(|address| address.swap_bytes() >> 16);
        (start, end, lacking(right))
    }
    // SAFETY: SSE2 belongs to every x86_64.
    unsafe { range(line) }
}

/// `OFFSET MAJOR:MINOR `, in their places: offset and device, and 0 where all is well.
#[inline(always)]
pub(super) fn file<const N: usize>(head: &[u8; N]) -> (u64, (u32, u32), u64) {
    #[target_feature(enable = "sse2")]
    #[inline]
    fn file<const N: usize>(head: &[u8; N]) -> (u64, (u32, u32), u64) {
        // The colon is looked at by itself: it lies above '0'.
        const FILE: Form = Form::new(b"ffffffff ff?ff ?");
        let values = values(sixteen(head, 31));
        let pairs = pairs(values);
        let [offset, _] = halves(_mm_packus_epi16(pairs, pairs));
        // The major number's digits are no pair; without what lies between, both numbers are.
        let [_, device] = halves(values);
        let device = device & 0x0f0f_000f_0f00;
        let device = device << 4 | device >> 8;
        let device = ((device >> 8 & 0xff) as u32, (device >> 32 & 0xff) as u32);
        let wrong = lacking(FILE.fits(values)) | super::differ(head, 42, b':');
        (u64::from((offset as u32).swap_bytes()), device, wrong)
    }
    // SAFETY: SSE2 belongs to every x86_64.
    unsafe { file(head) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(vector: __m128i) -> [u8; 16] {
        // SAFETY: SSE2 belongs to every x86_64.
        let [low, high] = unsafe { halves(vector) };
        (u128::from(low) | u128::from(high) << 64).to_le_bytes()
    }

    #[test]
    fn a_byte_is_a_digit_or_what_it_was_can_be_told() {
        // SAFETY: SSE2 belongs to every x86_64.
        let value = |byte: u8| bytes(unsafe { values(_mm_set1_epi8(byte as i8)) })[0];
        for byte in 0..=255u8 {
            let digit = char::from(byte).to_digit(16).filter(|_| !byte.is_ascii_uppercase());
            match digit {
                Some(digit) => assert_eq!(u32::from(value(byte)), digit),
                None => assert!(value(byte) & DIGIT != 0, "{byte}"),
            }
            let same = (0..b'0').filter(|&below| mark(below) == value(byte)).collect::<Vec<_>>();
            assert_eq!(
                same,
                Some(byte).filter(|&byte| byte < b'0').into_iter().collect::<Vec<_>>()
            );
        }
    }
}
