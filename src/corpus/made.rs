//! Lines that a kernel can print and that are hard to come by: large numbers, long names.

use super::sample::{Entry, Sample};
use crate::kernel::{Line, as_printed};

const ANON: Line<'static> =
    Line { start: 0x7f12_3456_7000, end: 0x7f12_3456_9000, perms: 3, ..Line::EMPTY };

fn sample(name: &str, about: &str, lines: &[(Line<'_>, Option<&[u8]>)]) -> Sample {
    let mut text = Vec::new();
    for (line, _) in lines {
        line.print(&mut text).expect("into memory");
    }
    let entries = lines.iter().map(|(line, path)| Entry::new(line, *path)).collect();
    Sample::maps(name, about, text, entries)
}

/// All of them.
pub fn samples() -> Vec<Sample> {
    let long = [b"/", &[b'a'; 200][..]].concat().repeat(20);
    // Each byte of a name may be a newline, which is printed in four.
    let mut room = Vec::new();
    let path = [b"/", &[b'\n'; 250][..]].concat().repeat(12);
    let printed = as_printed(&path, &mut room);
    let file = Line { perms: 5, inode: 42, dev_major: 0xfe, dev_minor: 1, ..ANON };
    let vsyscall = Line {
        start: 0xffff_ffff_ff60_0000,
        end: 0xffff_ffff_ff60_1000,
        perms: 4,
        name: b"[vsyscall]",
        ..Line::EMPTY
    };
    let mut samples = vec![
        sample("empty", "nothing mapped: a process without an mm", &[]),
        sample(
            "low-addresses",
            "addresses of fewer than eight digits, filled up with zeros",
            &[(Line { start: 0x1000, end: 0x2000, ..ANON }, None), (ANON, None)],
        ),
        sample(
            "vsyscall",
            "the top of the address space, executable and not readable",
            &[(ANON, None), (vsyscall, None)],
        ),
        sample(
            "large-numbers",
            "a device of three and five digits, an inode of 64 bits, an offset of 16 digits",
            &[(
                Line {
                    dev_major: 0x103,
                    dev_minor: 0xf_ffff,
                    inode: u64::MAX,
                    offset: 0xffff_ffff_ffff_e000,
                    name: b"/d",
                    ..file
                },
                Some(b"/d"),
            )],
        ),
        sample(
            "long-name",
            "a path of 4020 bytes",
            &[
                (Line { name: &long, ..file }, Some(&long)),
                (Line { start: ANON.end, end: ANON.end + 0x1000, ..ANON }, None),
            ],
        ),
        sample(
            "long-escaped-name",
            "a path of 3012 bytes that is printed in 12012",
            &[(Line { name: printed, ..file }, Some(&path))],
        ),
        sample(
            "special-names",
            "names that are no paths",
            &[
                (
                    Line {
                        perms: 11,
                        dev_minor: 1,
                        inode: 3,
                        name: b"/SYSV00000000 (deleted)",
                        ..ANON
                    },
                    Some(b"/SYSV00000000"),
                ),
                (
                    Line {
                        start: ANON.end,
                        end: ANON.end + 0x1000,
                        name: b"[anon:a [b] c]",
                        ..ANON
                    },
                    None,
                ),
                (
                    Line {
                        start: ANON.end + 0x1000,
                        end: ANON.end + 0x2000,
                        perms: 11,
                        dev_minor: 1,
                        inode: 9,
                        name: b"[anon_shmem:x y]",
                        ..ANON
                    },
                    None,
                ),
                (
                    Line {
                        start: ANON.end + 0x2000,
                        end: ANON.end + 0x3000,
                        perms: 11,
                        dev_minor: 0xe,
                        inode: 1049,
                        name: b"anon_inode:[perf_event]",
                        ..ANON
                    },
                    None,
                ),
                (
                    Line {
                        start: ANON.end + 0x3000,
                        end: ANON.end + 0x4000,
                        perms: 3,
                        dev_minor: 5,
                        inode: 12,
                        name: b"socket:[12]",
                        ..ANON
                    },
                    None,
                ),
            ],
        ),
    ];
    samples.push(bare_flags());
    samples
}

/// smaps of a VMA without any flag: the line ends behind the colon (fs/proc/task_mmu.c,
/// `show_smap_vma_flags`).
fn bare_flags() -> Sample {
    let second = Line { start: ANON.end, end: ANON.end + 0x1000, ..ANON };
    let mut text = Vec::new();
    for (line, kib, flags) in [(ANON, 8, "VmFlags:"), (second, 4, "VmFlags: rd wr mr mw me ac ")] {
        line.print(&mut text).expect("into memory");
        let details = [("Size:", kib), ("KernelPageSize:", 4), ("MMUPageSize:", 4), ("Rss:", 0)];
        for (what, kib) in details {
            text.extend(format!("{what:<16}{kib:>8} kB\n").bytes());
        }
        text.extend(format!("THPeligible:           0\n{flags}\n").bytes());
    }
    let entries = vec![Entry::new(&ANON, None), Entry::new(&second, None)];
    Sample::maps("bare-vmflags", "a VMA without any flag", text, entries).smaps()
}
