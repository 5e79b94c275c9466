//! The procfs crate as a parser for `mapstorm consumer`: a text on stdin, a line for each VMA on stdout.

use procfs::FromBufRead;
use procfs::process::{MMPermissions, MMapPath, MemoryMaps};
use std::os::unix::ffi::OsStrExt;

fn main() -> Result<(), procfs::ProcError> {
    let maps = MemoryMaps::from_buf_read(std::io::stdin().lock())?;
    for map in maps {
        let letter =
            |has: MMPermissions, letter: char| if map.perms.contains(has) { letter } else { '-' };
        let perms: String = [
            letter(MMPermissions::READ, 'r'),
            letter(MMPermissions::WRITE, 'w'),
            letter(MMPermissions::EXECUTE, 'x'),
            if map.perms.contains(MMPermissions::SHARED) { 's' } else { 'p' },
        ]
        .iter()
        .collect();
        let name: Vec<u8> = match &map.pathname {
            MMapPath::Path(path) => path.as_os_str().as_bytes().to_vec(),
            MMapPath::Heap => b"[heap]".to_vec(),
            MMapPath::Stack => b"[stack]".to_vec(),
            MMapPath::Vdso => b"[vdso]".to_vec(),
            MMapPath::Vvar => b"[vvar]".to_vec(),
            MMapPath::Vsyscall => b"[vsyscall]".to_vec(),
            MMapPath::Anonymous => Vec::new(),
            MMapPath::Vsys(key) => format!("/SYSV{key:08x}").into_bytes(),
            MMapPath::Other(name) => format!("[{name}]").into_bytes(),
            other => format!("{other:?}").into_bytes(),
        };
        let name: String = name.iter().map(|byte| format!("{byte:02x}")).collect();
        let ((start, end), (major, minor)) = (map.address, map.dev);
        println!(
            "{start:x}\t{end:x}\t{perms}\t{:x}\t{major:x}\t{minor:x}\t{}\t{name}",
            map.offset, map.inode
        );
    }
    Ok(())
}
