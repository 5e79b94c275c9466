//! One line of a maps file.
//!
//! fs/proc/task_mmu.c, `show_vma_header_prefix` and `show_map_vma`:
//! `START-END PERMS OFFSET MAJOR:MINOR INODE ` and, for a VMA with a name, spaces up to a column
//! and the name. The addresses and the offset have at least eight hexadecimal digits, the device
//! two and two; the name may hold anything but a newline.

use super::fixed;
use arrayvec::ArrayVec;
use std::io::{self, Write};

/// A parsed line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Line<'a> {
    /// First address.
    pub start: u64,
    /// One past the last address.
    pub end: u64,
    /// Bit 0 read, 1 write, 2 execute, 3 shared.
    pub perms: u8,
    /// Offset in the file, in bytes.
    pub offset: u64,
    /// Device, major number.
    pub dev_major: u32,
    /// Device, minor number.
    pub dev_minor: u32,
    /// Inode; 0 where no file is mapped.
    pub inode: u64,
    /// Path, `[name]`, or empty.
    pub name: &'a [u8],
}

/// The column that names begin in: 25 + 6 * sizeof(void *) - 1, and one space
/// (fs/proc/task_mmu.c, `show_map_vma`).
pub const NAME_COLUMN: usize = 73;

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

impl Opening {
    /// The most bytes that it prints: three numbers of 64 bits and what stands between them.
    pub const LONGEST: usize = 16 + 1 + 16 + 6 + 16 + 1;

    /// What the kernel prints before the device.
    #[inline]
    pub fn text(&self) -> ArrayVec<u8, { Opening::LONGEST }> {
        let mut out = ArrayVec::new();
        put_hex(self.start, &mut out);
        out.push(b'-');
        put_hex(self.end, &mut out);
        let flag = |bit: u8, letter: u8| if self.perms & bit != 0 { letter } else { b'-' };
        let share = if self.perms & 8 != 0 { b's' } else { b'p' };
        out.extend([b' ', flag(1, b'r'), flag(2, b'w'), flag(4, b'x'), share, b' ']);
        put_hex(self.offset, &mut out);
        out.push(b' ');
        out
    }
}

/// Adds a number as the kernel prints it: in hexadecimal, with at least eight digits
/// (fs/seq_file.c, `seq_put_hex_ll`).
#[inline]
fn put_hex(number: u64, out: &mut ArrayVec<u8, { Opening::LONGEST }>) {
    let digits = (16 - number.leading_zeros() as usize / 4).max(8);
    let mut text = [0; 16];
    text[..8].copy_from_slice(&eight_digits(number >> 32));
    text[8..].copy_from_slice(&eight_digits(number & 0xffff_ffff));
    out.try_extend_from_slice(&text[16 - digits..]).expect("room for all numbers");
}

/// The eight hexadecimal digits of a number below 2^32.
#[inline]
fn eight_digits(number: u64) -> [u8; 8] {
    const EACH: u64 = 0x0101_0101_0101_0101;
    // Sixteen bits into every other four bytes, then eight into every other two, then four into each.
    let words = (number >> 16 | number << 32) & 0x0000_ffff_0000_ffff;
    let bytes = (words >> 8 | words << 16) & 0x00ff_00ff_00ff_00ff;
    let values = (bytes >> 4 | bytes << 8) & 0x0f0f_0f0f_0f0f_0f0f;
    // From ten on, six more carry into the upper half of the byte.
    let letters = (values + 6 * EACH) >> 4 & EACH;
    let letter = u64::from(b'a' - 10 - b'0');
    (values + u64::from(b'0') * EACH + letters * letter).to_le_bytes()
}

impl Line<'_> {
    /// Nothing, nowhere.
    pub const EMPTY: Line<'static> = Line {
        start: 0,
        end: 0,
        perms: 0,
        offset: 0,
        dev_major: 0,
        dev_minor: 0,
        inode: 0,
        name: b"",
    };

    /// Prints the line as the kernel does, newline included.
    ///
    /// # Errors
    /// What writing gave.
    pub fn print(&self, out: &mut impl Write) -> io::Result<()> {
        let Line { start, end, perms, offset, dev_major, dev_minor, inode, name } = *self;
        let mut text = ArrayVec::<u8, 128>::new();
        text.extend(Opening { start, end, perms, offset }.text());
        write!(text, "{dev_major:02x}:{dev_minor:02x} {inode} ")?;
        if !name.is_empty() {
            (text.len()..NAME_COLUMN).for_each(|_| text.push(b' '));
        }
        out.write_all(&text)?;
        out.write_all(name)?;
        out.write_all(b"\n")
    }
}

/// Why a line does not parse: the field, for the report.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what it is about")]
pub enum Malformed {
    #[error("the address range does not parse")]
    Range,
    #[error("the range does not end above its start")]
    Backwards,
    #[error("the permissions do not parse")]
    Perms,
    #[error("the offset does not parse")]
    Offset,
    #[error("the device does not parse")]
    Device,
    #[error("the inode does not parse")]
    Inode,
}

/// Whether a line of smaps is one of those behind a header, such as `Size:  4 kB`. No header begins
/// with a capital.
#[inline]
pub fn is_detail(line: &[u8]) -> bool {
    line.first().is_some_and(u8::is_ascii_uppercase)
}

/// The end of a line's address range, whatever the rest of the line is.
#[inline]
pub fn range_end(line: &[u8]) -> Option<u64> {
    if let Some(end) = fixed::range_end(line) {
        return Some(end);
    }
    let mut fields = Fields(line);
    fields.hex(b'-')?;
    fields.hex(b' ')
}

/// Parses one line, given without its newline.
///
/// # Errors
/// The first field that is not as the kernel prints it.
#[inline]
pub fn parse(line: &[u8]) -> Result<Line<'_>, Malformed> {
    match fixed::parse(line) {
        Some(line) => Ok(line),
        None => by_fields(line),
    }
}

/// A line of any shape, field by field.
#[cold]
#[inline(never)]
fn by_fields(line: &[u8]) -> Result<Line<'_>, Malformed> {
    let mut fields = Fields(line);
    let start = fields.hex(b'-').ok_or(Malformed::Range)?;
    let end = fields.hex(b' ').ok_or(Malformed::Range)?;
    let (bits, tail) = fields.0.split_first_chunk::<4>().ok_or(Malformed::Perms)?;
    let perms = perms(*bits)?;
    if start >= end {
        return Err(Malformed::Backwards);
    }
    let mut fields = Fields(tail.strip_prefix(b" ").ok_or(Malformed::Perms)?);
    let offset = fields.hex(b' ').ok_or(Malformed::Offset)?;
    let dev_major = fields.hex(b':').ok_or(Malformed::Device)?;
    let dev_minor = fields.hex(b' ').ok_or(Malformed::Device)?;
    let device = |number: u64| u32::try_from(number).map_err(|_| Malformed::Device);
    let inode = fields.decimal().ok_or(Malformed::Inode)?;
    let name = fields.0;
    let pad = name.iter().position(|&byte| byte != b' ').unwrap_or(name.len());
    Ok(Line {
        start,
        end,
        perms,
        offset,
        dev_major: device(dev_major)?,
        dev_minor: device(dev_minor)?,
        inode,
        name: &name[pad..],
    })
}

fn perms(bits: [u8; 4]) -> Result<u8, Malformed> {
    let flag = |byte: u8, set: u8, bit: u8| match byte {
        b'-' => Ok(0),
        byte if byte == set => Ok(bit),
        _ => Err(Malformed::Perms),
    };
    let share = match bits[3] {
        b'p' => 0,
        b's' => 8,
        _ => return Err(Malformed::Perms),
    };
    Ok(flag(bits[0], b'r', 1)? | flag(bits[1], b'w', 2)? | flag(bits[2], b'x', 4)? | share)
}

/// What is left of a line.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    /// One to sixteen hexadecimal digits and the byte behind them.
    fn hex(&mut self, behind: u8) -> Option<u64> {
        let mut value = 0u64;
        for (i, &byte) in self.0.iter().enumerate() {
            let digit = match byte {
                b'0'..=b'9' => byte - b'0',
                b'a'..=b'f' => byte - b'a' + 10,
                _ if byte == behind && i > 0 => {
                    self.0 = &self.0[i + 1..];
                    return Some(value);
                }
                _ => return None,
            };
            if i == 16 {
                return None;
            }
            value = value << 4 | digit as u64;
        }
        None
    }

    /// A decimal number, ended by a space or by the line.
    fn decimal(&mut self) -> Option<u64> {
        let digits = self.0.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(self.0.len());
        let (number, tail) = self.0.split_at(digits);
        if digits == 0 || tail.first().is_some_and(|&byte| byte != b' ') {
            return None;
        }
        self.0 = tail;
        number
            .iter()
            .try_fold(0u64, |value, &byte| value.checked_mul(10)?.checked_add((byte - b'0') as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn print(line: &Line<'_>) -> Vec<u8> {
        let mut text = Vec::new();
        line.print(&mut text).unwrap();
        assert_eq!(text.pop(), Some(b'\n'));
        text
    }

    prop_compose! {
        fn any_line()(
            start in prop_oneof![0..1u64 << 20, 0..1u64 << 47, any::<u64>()],
            len in 1..1u64 << 30,
            perms in 0..16u8,
            anon in any::<bool>(),
            offset in prop_oneof![0..1u64 << 32, any::<u64>()],
            dev in any::<(u32, u32)>(),
            inode in any::<u64>(),
            name in "(/[a-z0-9 :()]{0,40})?",
        ) -> (u64, u64, u8, bool, u64, (u32, u32), u64, String) {
            (start, start.saturating_add(len), perms, anon, offset, dev, inode, name)
        }
    }

    proptest! {
        #[test]
        fn what_the_kernel_prints_parses_back(
            (start, end, perms, anon, offset, dev, inode, name) in any_line()
        ) {
            prop_assume!(start < end);
            let line = if anon {
                Line { start, end, perms, offset: 0, dev_major: 0, dev_minor: 0, inode: 0, name: b"" }
            } else {
                let name = name.as_bytes();
                Line { start, end, perms, offset, dev_major: dev.0, dev_minor: dev.1, inode, name }
            };
            let text = print(&line);
            prop_assert_eq!(parse(&text), Ok(line));
            prop_assert_eq!(by_fields(&text), Ok(line));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
            let _ = parse(&bytes);
        }

        /// The parser of fixed shapes takes nothing that the other does not take in the same way.
        #[test]
        fn both_parsers_agree_on_changed_lines(
            (named, changes) in (any::<bool>(), prop::collection::vec(
                (0usize..90, prop_oneof![any::<u8>(), prop::sample::select(&b"0a9f` -:rwxps\x2f"[..])]), 0..4
            ))
        ) {
            let mut text = if named {
                b"7f83503f0000-7f8350412000 r-xs 0001c000 fe:01 1234567                     /lib/x y".to_vec()
            } else {
                b"7f83503f0000-7f8350412000 rw-p 00000000 00:00 0 ".to_vec()
            };
            for (at, byte) in changes {
                let len = text.len();
                text[at % len] = byte;
            }
            if let Some(line) = fixed::parse(&text) {
                prop_assert_eq!(by_fields(&text), Ok(line));
            }
        }

        /// The line that a text begins with is what comes before its newline, wherever that is.
        #[test]
        fn a_changed_byte_never_keeps_the_meaning(at in 0usize..47, byte in any::<u8>()) {
            let text = b"7f83503f0000-7f8350412000 rw-p 00000000 00:00 0 ".to_vec();
            let right = parse(&text).unwrap();
            let mut changed = text.clone();
            changed[at] = byte;
            prop_assume!(changed != text);
            prop_assert_ne!(parse(&changed).ok(), Some(right));
        }
    }

    #[test]
    fn broken_lines_name_the_field() {
        for (text, reason) in [
            ("", Malformed::Range),
            ("7f83503f0000", Malformed::Range),
            ("7f83503f0000-7f8350412000", Malformed::Range),
            ("7f8350412000-7f83503f0000 rw-p 00000000 00:00 0 ", Malformed::Backwards),
            ("7f83503f0000-7f8350412000 rw-q 00000000 00:00 0 ", Malformed::Perms),
            ("7f83503f0000-7f8350412000 rw", Malformed::Perms),
            ("7f83503f0000-7f8350412000 rw-p 0000000g 00:00 0 ", Malformed::Offset),
            ("7f83503f0000-7f8350412000 rw-p 00000000 00-00 0 ", Malformed::Device),
            ("7f83503f0000-7f8350412000 rw-p 00000000 00:00 ", Malformed::Inode),
            ("7f83503f0000-7f8350412000 rw-p 00000000 00:00 1x", Malformed::Inode),
            ("400000-402000 r--p", Malformed::Perms),
        ] {
            assert_eq!(parse(text.as_bytes()), Err(reason), "{text:?}");
        }
    }
}
