//! One line of a maps file.
//!
//! fs/proc/task_mmu.c, `show_vma_header_prefix` and `show_map_vma`:
//! `START-END PERMS OFFSET MAJOR:MINOR INODE ` and, for a VMA with a name, spaces up to a column
//! and the name. The addresses and the offset have at least eight hexadecimal digits, the device
//! two and two; the name may hold anything but a newline.

use super::fixed;
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

/// The line that `text` begins with, and its bytes, newline included. `None` where it is not whole or
/// does not [parse].
#[inline]
pub fn parse_first(text: &[u8]) -> Option<(Line<'_>, usize)> {
    let at = memchr::memchr(b'\n', text)?;
    Some((parse(&text[..at]).ok()?, at + 1))
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
        fn the_first_line_is_the_one_before_the_newline(
            (named, newline, at, byte, whole) in
                (any::<bool>(), 40usize..90, 0usize..90, any::<u8>(), any::<bool>())
        ) {
            let first: &[u8] = if named {
                b"7f83503f0000-7f8350412000 r-xs 0001c000 fe:01 1234567                     /lib/x y\n"
            } else {
                b"7f83503f0000-7f8350412000 rw-p 00000000 00:00 0 \n"
            };
            let mut text = [first, b"7f8350600000-7f8350628000 rw-p 00000000 00:00 0 \n"].concat();
            if !whole {
                text[newline] = b'\n';
                text[at] = byte;
            }
            let end = text.iter().position(|&byte| byte == b'\n');
            let line = end.and_then(|end| Some((parse(&text[..end]).ok()?, end + 1)));
            prop_assert_eq!(parse_first(&text), line);
            prop_assert!(!whole || line.is_some());
            prop_assert_eq!(parse_first(&first[..first.len() - 1]), None, "not whole");
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
