//! One line of a maps file.
//!
//! fs/proc/task_mmu.c, `show_vma_header_prefix` and `show_map_vma`:
//! `START-END PERMS OFFSET MAJOR:MINOR INODE ` and, for a VMA with a name, spaces up to a column
//! and the name. The addresses and the offset have at least eight hexadecimal digits, the device
//! two and two; the name may hold anything but a newline.

use std::fmt;
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

impl Line<'_> {
    /// Prints the line as the kernel does, newline included.
    ///
    /// # Errors
    /// What writing gave.
    pub fn print(&self, out: &mut impl Write) -> io::Result<()> {
        let flag = |bit: u8, c: char| if self.perms & bit != 0 { c } else { '-' };
        let share = if self.perms & 8 != 0 { 's' } else { 'p' };
        let mut text = arrayvec::ArrayString::<128>::new();
        let printed = fmt::Write::write_fmt(
            &mut text,
            format_args!(
                "{:08x}-{:08x} {}{}{}{share} {:08x} {:02x}:{:02x} {} ",
                self.start,
                self.end,
                flag(1, 'r'),
                flag(2, 'w'),
                flag(4, 'x'),
                self.offset,
                self.dev_major,
                self.dev_minor,
                self.inode,
            ),
        );
        debug_assert!(printed.is_ok(), "numbers of 64 bits fit");
        out.write_all(text.as_bytes())?;
        if !self.name.is_empty() {
            // The column that names begin in (seq_pad in show_map_vma).
            for _ in text.len()..73 {
                out.write_all(b" ")?;
            }
            out.write_all(self.name)?;
        }
        out.write_all(b"\n")
    }
}

/// Why a line does not parse: the field, for the report.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Malformed {
    /// The addresses.
    #[error("the address range does not parse")]
    Range,
    /// The range is empty or upside down.
    #[error("the range does not end above its start")]
    Backwards,
    /// The four permission characters.
    #[error("the permissions do not parse")]
    Perms,
    /// The file offset.
    #[error("the offset does not parse")]
    Offset,
    /// The device.
    #[error("the device does not parse")]
    Device,
    /// The inode.
    #[error("the inode does not parse")]
    Inode,
}

const EIGHT: u64 = 0x0101_0101_0101_0101;

/// What follows the permissions of a line without file and name.
const ANON_TAIL: &[u8; 18] = b" 00000000 00:00 0 ";

/// Parses one line, given without its newline.
///
/// # Errors
/// The first field that is not as the kernel prints it.
#[inline]
pub fn parse(line: &[u8]) -> Result<Line<'_>, Malformed> {
    // Nearly every address of a 64-bit user space has twelve digits; such a line of anonymous
    // memory is 12 + 1 + 12 + 1 + 4 + 18 bytes and parses without a loop.
    if let Some((head, tail)) = line.split_first_chunk::<30>()
        && head[12] == b'-'
        && head[25] == b' '
        && let (Some(start), Some(end)) = (hex12(head, 0), hex12(head, 13))
    {
        let perms = perms([head[26], head[27], head[28], head[29]])?;
        if tail == ANON_TAIL && start < end {
            let anon = Line {
                start,
                end,
                perms,
                offset: 0,
                dev_major: 0,
                dev_minor: 0,
                inode: 0,
                name: b"",
            };
            return Ok(anon);
        }
        return rest(start, end, perms, tail);
    }
    let mut fields = Fields(line);
    let start = fields.hex(b'-').ok_or(Malformed::Range)?;
    let end = fields.hex(b' ').ok_or(Malformed::Range)?;
    let (bits, tail) = fields.0.split_first_chunk::<4>().ok_or(Malformed::Perms)?;
    rest(start, end, perms(*bits)?, tail)
}

fn rest(start: u64, end: u64, perms: u8, tail: &[u8]) -> Result<Line<'_>, Malformed> {
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

/// Eight hexadecimal digits, most significant first in memory; lower case only, as the kernel
/// prints them.
#[inline]
fn hex8(digits: [u8; 8]) -> Option<u64> {
    let word = u64::from_le_bytes(digits);
    // Each byte is '0'..='9' (0x30..=0x39) or 'a'..='f' (0x61..=0x66). In both ranges the value
    // is the low nibble, plus nine for a letter, and bit 6 tells a letter.
    let letter = (word >> 6) & EIGHT;
    let low = word & (0x0f * EIGHT);
    let value = low + letter * 9;
    // Rebuild the text from the values: it equals the input exactly when every byte was a digit,
    // as long as each value is below sixteen ('g' would be 16 and come back as 'g'). No addition
    // carries from byte to byte, every sum being below 0x100.
    let ten_up = ((value + 0x76 * EIGHT) >> 7) & EIGHT;
    let text = value + 0x30 * EIGHT + ten_up * 0x27;
    if text != word || value & (0xf0 * EIGHT) != 0 {
        return None;
    }
    // Pairs, then fours, then all eight, the first digit the most significant.
    let pairs = ((value << 4) | (value >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = ((pairs << 8) | (pairs >> 16)) & 0x0000_ffff_0000_ffff;
    Some(((fours << 16) | (fours >> 32)) & 0xffff_ffff)
}

#[inline]
fn hex12(head: &[u8; 30], at: usize) -> Option<u64> {
    let digits = |from: usize| -> [u8; 8] {
        let mut word = [0; 8];
        word.copy_from_slice(&head[from..from + 8]);
        word
    };
    let high = hex8(digits(at))?;
    let low = hex8(digits(at + 4))?;
    Some(high << 16 | low & 0xffff)
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
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
            let _ = parse(&bytes);
        }

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
    fn every_byte_but_the_sixteen_digits_is_refused() {
        for byte in 0..=255u8 {
            let mut digits = *b"01234567";
            for at in 0..8 {
                digits[at] = byte;
                let expected = str::from_utf8(&digits)
                    .ok()
                    .filter(|text| text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
                    .map(|text| u64::from_str_radix(text, 16).unwrap());
                assert_eq!(hex8(digits), expected, "{digits:?}");
                digits[at] = b"01234567"[at];
            }
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
