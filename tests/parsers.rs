//! The parser of maps against the one of the procfs crate.

use mapstorm::kernel::{Line, parse};
use procfs::FromBufRead;
use procfs::process::{MMPermissions, MMapPath, MemoryMap, MemoryMaps};
use proptest::prelude::*;

/// What the procfs crate makes of a line.
fn theirs(text: &[u8]) -> Option<MemoryMap> {
    let maps = MemoryMaps::from_buf_read(text).ok()?;
    let [map] = <[MemoryMap; 1]>::try_from(maps.0).ok()?;
    Some(map)
}

/// The name as it was, but for the space around it, which that crate drops.
fn name(path: &MMapPath) -> String {
    match path {
        MMapPath::Path(path) => path.to_str().expect("text").to_owned(),
        MMapPath::Heap => "[heap]".to_owned(),
        MMapPath::Stack => "[stack]".to_owned(),
        MMapPath::Vdso => "[vdso]".to_owned(),
        MMapPath::Vvar => "[vvar]".to_owned(),
        MMapPath::Vsyscall => "[vsyscall]".to_owned(),
        MMapPath::Anonymous => String::new(),
        MMapPath::Other(other) => format!("[{other}]"),
        other => format!("{other:?}"),
    }
}

fn same(ours: &Line<'_>, theirs: &MemoryMap) -> Result<(), TestCaseError> {
    prop_assert_eq!((ours.start, ours.end), theirs.address);
    let flags = [
        (1, MMPermissions::READ),
        (2, MMPermissions::WRITE),
        (4, MMPermissions::EXECUTE),
        (8, MMPermissions::SHARED),
    ];
    for (bit, flag) in flags {
        prop_assert_eq!(ours.perms & bit != 0, theirs.perms.contains(flag));
    }
    prop_assert_eq!(ours.perms & 8 == 0, theirs.perms.contains(MMPermissions::PRIVATE));
    prop_assert_eq!(ours.offset, theirs.offset);
    prop_assert_eq!((ours.dev_major as i32, ours.dev_minor as i32), theirs.dev);
    prop_assert_eq!(ours.inode, theirs.inode);
    let text = str::from_utf8(ours.name).expect("text");
    prop_assert_eq!(text.trim(), name(&theirs.pathname));
    Ok(())
}

prop_compose! {
    /// A line as the kernel prints it, newline included.
    fn printed()(
        start in prop_oneof![4 => 1u64 << 44..1 << 47, 1 => 0..1u64 << 47, 1 => any::<u64>()],
        len in 1..1u64 << 30,
        perms in 0..16u8,
        offset in prop_oneof![0..1u64 << 32, any::<u64>()],
        dev in (0..4096u32, 0..1u32 << 20),
        inode in prop_oneof![0..100_000_000u64, any::<u64>()],
        name in "(/[a-z0-9 :()]{0,40}|\\[heap\\]|\\[stack\\]|\\[vvar\\]|\\[anon:[a-z]{1,9}\\])?",
        anon in any::<bool>(),
    ) -> Vec<u8> {
        let start = start.min(u64::MAX - len);
        let line = if anon {
            Line { start, end: start + len, perms, offset: 0, dev_major: 0, dev_minor: 0, inode: 0, name: b"" }
        } else {
            let name = name.as_bytes();
            Line { start, end: start + len, perms, offset, dev_major: dev.0, dev_minor: dev.1, inode, name }
        };
        let mut text = Vec::new();
        line.print(&mut text).expect("into memory");
        text
    }
}

/// A change to a line: another byte, one more, one less, or an end.
#[derive(Clone, Copy, Debug)]
enum Change {
    Set(usize, u8),
    Insert(usize, u8),
    Remove(usize),
    Cut(usize),
}

fn change() -> impl Strategy<Value = Change> {
    // Mostly where the fields are, mostly bytes that occur in lines. Above ASCII the crate refuses
    // the whole text, and a newline makes two lines of one.
    let byte = prop_oneof![
        prop::sample::select(&b"0189afg`AF -+:_rwxps/["[..]),
        (0u8..128).prop_filter("one line", |&byte| byte != b'\n' && byte != b'\r')
    ];
    let at = prop_oneof![3 => 0usize..50, 1 => 0usize..120];
    prop_oneof![
        4 => (at.clone(), byte.clone()).prop_map(|(at, byte)| Change::Set(at, byte)),
        1 => (at.clone(), byte).prop_map(|(at, byte)| Change::Insert(at, byte)),
        1 => at.clone().prop_map(Change::Remove),
        1 => at.prop_map(Change::Cut),
    ]
}

fn changed(mut text: Vec<u8>, changes: &[Change]) -> Vec<u8> {
    text.pop();
    for &change in changes {
        match change {
            Change::Set(at, byte) if at < text.len() => text[at] = byte,
            Change::Insert(at, byte) if at <= text.len() => text.insert(at, byte),
            Change::Remove(at) if at < text.len() => {
                text.remove(at);
            }
            Change::Cut(at) => text.truncate(at),
            _ => {}
        }
    }
    text
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn both_read_what_the_kernel_prints(text in printed()) {
        let ours = parse(&text[..text.len() - 1]).expect("well-formed");
        same(&ours, &theirs(&text).expect("well-formed"))?;
    }

    /// Whatever is taken of a broken line is what the other parser makes of it. Refused is fine:
    /// the crate takes more than the kernel prints, such as `+1`, `1A`, or `rwxq`.
    #[test]
    fn a_broken_line_is_refused_or_read_the_same(
        text in printed(), changes in prop::collection::vec(change(), 1..4)
    ) {
        let broken = changed(text, &changes);
        if let Ok(ours) = parse(&broken)
            && let Some(theirs) = theirs(&[&broken[..], b"\n"].concat())
        {
            same(&ours, &theirs)?;
        }
    }
}

/// Numbers and names that kernels have been seen to print, and what each line says.
#[test]
fn odd_lines_are_read_as_they_are() {
    let long = "x".repeat(4096);
    let longer = format!("/{}", "y/".repeat(6000));
    let file = |name: &str| {
        format!("7f0000000000-7f0000001000 r--p 00000000 08:01 5                          {name}")
    };
    let named = |name: &'static str| (file(name), name.as_bytes().to_vec());
    let mut lines = vec![
        named("/usr/bin/a b  c"),
        named(" leading"),
        named("/with\\012newline"),
        named("/with\\back\\slash\\"),
        named("/named (deleted)"),
        named("/named (deleted) (deleted)"),
        named("/SYSV00000000 (deleted)"),
        named("[anon:x]"),
        named("[anon_shmem:x y]"),
        named("[anon:]"),
        named("[heap"),
        named("7f0000000000-7f0000001000 r--p 00000000 08:01 5"),
        named("Size:                 4 kB"),
    ];
    lines[1].1 = b"leading".to_vec();
    lines.push((file(&long), long.clone().into_bytes()));
    lines.push((file(&longer), longer.clone().into_bytes()));
    for (text, name) in lines {
        let line = parse(text.as_bytes()).unwrap_or_else(|why| panic!("{why}: {text:?}"));
        assert_eq!(
            (line.start, line.inode, line.name),
            (0x7f00_0000_0000, 5, &name[..]),
            "{text:?}"
        );
    }
    // Not UTF-8: any bytes but a newline.
    let every: Vec<u8> = (1..=255).filter(|&byte| byte != b'\n').collect();
    let text =
        [b"08048000-08049000 r-xp 00000000 103:fffff 18446744073709551615 /", &every[..]].concat();
    let line = parse(&text).unwrap();
    assert_eq!((line.start, line.end), (0x0804_8000, 0x0804_9000), "eight digits");
    assert_eq!((line.dev_major, line.dev_minor, line.inode), (0x103, 0xf_ffff, u64::MAX));
    assert_eq!(line.name, [b"/", &every[..]].concat());
    // The end of the address space.
    let top =
        b"ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]";
    let line = parse(top).unwrap();
    assert_eq!((line.start, line.end), (0xffff_ffff_ff60_0000, 0xffff_ffff_ff60_1000));
    assert_eq!((line.perms, line.name), (4, &b"[vsyscall]"[..]));
    let last = b"fffffffffffff000-ffffffffffffffff rwxs ffffffffffffe000 00:00 0 ";
    let line = parse(last).unwrap();
    assert_eq!((line.end, line.perms), (u64::MAX, 15));
    assert_eq!((line.offset, line.name), (0xffff_ffff_ffff_e000, &b""[..]));
    // One digit too many anywhere is none of the kernel's.
    for wrong in [
        &b"10000000000000000-10000000000001000 r--p 00000000 00:00 0 "[..],
        b"7f0000000000-7f0000001000 r--p 10000000000000000 00:00 0 ",
        b"7f0000000000-7f0000001000 r--p 00000000 100000000:00 0 ",
        b"7f0000000000-7f0000001000 r--p 00000000 00:00 18446744073709551616 ",
    ] {
        assert!(parse(wrong).is_err(), "{}", String::from_utf8_lossy(wrong));
    }
}
