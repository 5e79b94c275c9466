//! The few facts of a program's file that booting it takes.

/// The machine that the program is for, in uname's word; nothing where it is no 64-bit program, or
/// for a machine that no guest is made for.
pub fn machine(file: &[u8]) -> Option<&'static str> {
    let is_64_bit = file.get(..6)? == [0x7f, b'E', b'L', b'F', 2, 1];
    match number(file, 18, 2)? {
        62 if is_64_bit => Some("x86_64"),
        183 if is_64_bit => Some("aarch64"),
        _ => None,
    }
}

/// The loader that the program names; nothing where it is linked statically.
pub fn interpreter(file: &[u8]) -> Option<&str> {
    const PT_INTERP: u64 = 3;
    machine(file)?;
    let (table, size, count) = (number(file, 32, 8)?, number(file, 54, 2)?, number(file, 56, 2)?);
    let headers = (0..count).map(|row| (table + row * size) as usize);
    let mut found = headers.filter(|&at| number(file, at, 4) == Some(PT_INTERP));
    let at = found.next()?;
    let (from, length) = (number(file, at + 8, 8)? as usize, number(file, at + 32, 8)? as usize);
    let name = file.get(from..from.checked_add(length)?)?;
    std::str::from_utf8(name).ok().map(|name| name.trim_end_matches('\0'))
}

/// A number of `bytes` bytes.
fn number(file: &[u8], at: usize, bytes: usize) -> Option<u64> {
    let bytes = file.get(at..at.checked_add(bytes)?)?;
    Some(bytes.iter().rev().fold(0, |sum, &byte| sum << 8 | u64::from(byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_program_is_for_this_machine() {
        let file = std::fs::read("/proc/self/exe").unwrap();
        assert_eq!(machine(&file), Some(std::env::consts::ARCH));
        if let Some(loader) = interpreter(&file) {
            assert!(std::path::Path::new(loader).exists(), "{loader}");
        }
    }

    #[test]
    fn what_is_cut_off_or_no_program_is_none() {
        let file = std::fs::read("/proc/self/exe").unwrap();
        for end in [0, 5, 17, 33, 60] {
            assert_eq!(interpreter(&file[..end]), None, "{end}");
        }
        assert_eq!(machine(b"#!/bin/sh\nexit 0 and more than twenty bytes"), None);
    }
}
