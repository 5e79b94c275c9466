//! A real file with an odd name, to be mapped in the arena beside the memfds.
//!
//! Names in maps may be any bytes: spaces, a newline (printed as `\012`), backslashes, what is no UTF-8,
//! and an end like that of a deleted file. The file is made in a temporary folder and removed with
//! it at once; it lives as long as it is open, and leaves nothing behind.

use super::identity::FileIdentity;
use super::line::{Line, parse};
use crate::model::{Geometry, MAX_PGOFF};
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap, mprotect, munmap};
use std::ffi::{OsStr, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The name in its folder, and as maps prints it (fs/seq_file.c, `mangle_path` with a newline alone).
const NAME: &[u8] = b"odd \n\\ \xff\xfe (deleted)";
const SHOWN: &[u8] = b"odd \\012\\ \xff\xfe (deleted) (deleted)";

/// The longest path that is taken, as maps prints it: lines with it have to find room where lines of
/// the arena are kept, and PROCMAP_QUERY has to have room for the name.
const LONGEST: usize = 120;

/// File systems whose mappings merge and split as those of a memfd do: their vm_ops have no `close`
/// (mm/vma.c, `is_mergeable_vma`), and none sets another file in place of the one that was mapped.
const KNOWN: [(u64, &str); 4] =
    [(0x0102_1994, "tmpfs"), (0xef53, "ext4"), (0x5846_5342, "xfs"), (0x9123_683e, "btrfs")];

/// Why there is no such file.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NoOddFile {
    /// It can't be made.
    #[error("cannot make a file in the folder for temporary files (TMPDIR): {0}")]
    Make(String),
    /// Its folder's path is too long.
    #[error("the path of the folder for temporary files (TMPDIR) takes more than {LONGEST} bytes")]
    Long,
    /// It is on a file system whose mappings may behave otherwise.
    #[error(
        "the folder for temporary files (TMPDIR) is on a file system of type {0:#x}, and of its \
         mappings nothing is known"
    )]
    FileSystem(u64),
    /// It can't be mapped in all ways.
    #[error(
        "a file in the folder for temporary files (TMPDIR) can't be mapped in all ways ({0}): is that \
         mounted noexec?"
    )]
    Map(Errno),
    /// Its line is not the one that was to be.
    #[error("its mappings show in maps as {0:?}")]
    Shown(String),
}

/// Makes the file, as long as a memfd of the arena, and says how it shows in maps. It is tried on the
/// first pages of the first lane, which are empty before and after.
pub(super) fn odd_file(geometry: &Geometry) -> Result<(OwnedFd, FileIdentity), NoOddFile> {
    let (file, identity) = odd_file_in(&[], geometry)?;
    match identity.name.len() > LONGEST {
        true => Err(NoOddFile::Long),
        false => Ok((file, identity)),
    }
}

/// The same of a file in folders with these names, the one in the other.
fn odd_file_in(
    folders: &[&[u8]],
    geometry: &Geometry,
) -> Result<(OwnedFd, FileIdentity), NoOddFile> {
    let make = |error: &dyn std::fmt::Display| NoOddFile::Make(error.to_string());
    let dir = tempfile::Builder::new().prefix("mapstorm-").tempdir().map_err(|e| make(&e))?;
    let folder =
        folders.iter().fold(dir.path().to_owned(), |path, name| path.join(OsStr::from_bytes(name)));
    std::fs::create_dir_all(&folder).map_err(|e| make(&e))?;
    let path = folder.join(OsStr::from_bytes(NAME));
    let (file, bytes) = create(&path, geometry).map_err(|e| make(&e))?;
    debug_assert_eq!(bytes >> geometry.page_shift, u64::from(MAX_PGOFF) + 1);
    std::fs::remove_file(&path).map_err(|e| make(&e))?;
    let kind = rustix::fs::fstatfs(&file).map_err(|e| make(&e))?.f_type as u64;
    if !KNOWN.iter().any(|(known, _)| *known == kind) {
        return Err(NoOddFile::FileSystem(kind));
    }
    let identity = tried(&file, geometry)?;
    Ok((file, identity))
}

#[cfg(test)]
impl crate::kernel::Arena {
    /// Adds a file in folders whose names are as long as can be, of bytes each of which maps prints as
    /// four: its lines are longer than a page of output, and nearly as long as what is kept of one
    /// ([`Lines::HEAD`](crate::kernel::Lines::HEAD)). To be called before anything is mapped in the first
    /// lane.
    pub(crate) fn add_long_file(&mut self) -> Result<(), NoOddFile> {
        // Names of NAME_MAX bytes.
        let folders = [&[b'\n'; 255][..]; 7];
        let (file, identity) = odd_file_in(&folders, self.geometry())?;
        assert!(identity.name.len() > 4 * 255 * folders.len());
        self.add(file, identity);
        Ok(())
    }
}

fn create(path: &Path, geometry: &Geometry) -> Result<(OwnedFd, u64), Errno> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)?;
    let bytes = (u64::from(MAX_PGOFF) + 1) << geometry.page_shift;
    rustix::fs::ftruncate(&file, bytes)?;
    Ok((file, bytes))
}

/// Maps the file in both ways, splits and merges the mapping, and gives what its line says when that is
/// what it has to be.
fn tried(file: &OwnedFd, geometry: &Geometry) -> Result<FileIdentity, NoOddFile> {
    let mut identity = None;
    for flags in [MapFlags::SHARED, MapFlags::PRIVATE] {
        let line = mapped(file, geometry, flags);
        let start = geometry.address(0, 0) as *mut c_void;
        // SAFETY: pages of a lane, which is reserved for mappings; no reference into it is ever made.
        let _ = unsafe { munmap(start, 4 << geometry.page_shift) };
        let (text, shared) = (line?, u8::from(flags == MapFlags::SHARED));
        let shown = || NoOddFile::Shown(String::from_utf8_lossy(&text).into_owned());
        let line: Line<'_> = parse(&text).map_err(|_| shown())?;
        let here = line.start == geometry.address(0, 0) && line.end == geometry.address(0, 4);
        let offset = 3 << geometry.page_shift;
        if !here || line.perms != 7 | shared << 3 || line.offset != offset || line.inode == 0 {
            return Err(shown());
        }
        let own = FileIdentity {
            dev_major: line.dev_major,
            dev_minor: line.dev_minor,
            inode: line.inode,
            name: line.name.to_vec(),
        };
        let known = identity.get_or_insert_with(|| own.clone());
        if !own.name.ends_with(SHOWN) || *known != own {
            return Err(shown());
        }
    }
    identity.ok_or(NoOddFile::Long)
}

/// The line of four pages of the file that were mapped in two halves, split by mprotect, and given all
/// permissions: one line, where the kernel merges them.
fn mapped(file: &OwnedFd, geometry: &Geometry, flags: MapFlags) -> Result<Vec<u8>, NoOddFile> {
    let page = geometry.page_size() as usize;
    let at = |number: usize| geometry.address(0, number) as *mut c_void;
    let all = ProtFlags::READ | ProtFlags::WRITE | ProtFlags::EXEC;
    let everything = MprotectFlags::READ | MprotectFlags::WRITE | MprotectFlags::EXEC;
    let flags = flags | MapFlags::FIXED | MapFlags::NORESERVE;
    // SAFETY: pages of a lane, which is reserved for mappings; no reference into it is ever made, and
    // no page of the file is touched.
    unsafe {
        let map = |number: usize, prot| {
            let offset = ((3 + number) * page) as u64;
            mmap(at(number), 2 * page, prot, flags, file, offset).map(drop)
        };
        map(0, all).and_then(|()| map(2, ProtFlags::READ)).map_err(NoOddFile::Map)?;
        mprotect(at(2), page, MprotectFlags::WRITE).map_err(NoOddFile::Map)?;
        mprotect(at(2), 2 * page, everything).map_err(NoOddFile::Map)?;
    }
    let maps = std::fs::read("/proc/self/maps").map_err(|e| NoOddFile::Make(e.to_string()))?;
    let mut lines = maps.split(|&byte| byte == b'\n');
    let first = format!("{:x}-", geometry.address(0, 0));
    let line = lines.find(|line| line.starts_with(first.as_bytes())).unwrap_or_default();
    Ok(line.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{Answer, Arena, MapsFile, MapsRead, Mm, QueryFlags};
    use crate::model::{Observation, Op, Page, Place, Prot, Span};

    fn arena() -> Option<Arena> {
        let mut arena = Arena::reserve(2, 16).unwrap();
        match arena.add_odd_file() {
            Ok(()) => Some(arena),
            // What the folder for temporary files lies on is not the test's affair.
            Err(NoOddFile::FileSystem(_) | NoOddFile::Map(_) | NoOddFile::Long) => None,
            Err(why) => panic!("{why}"),
        }
    }

    #[test]
    fn its_mappings_show_as_they_are_printed_in_maps_and_in_answers() {
        let Some(arena) = arena() else { return };
        let (geometry, identities) = (*arena.geometry(), arena.identities());
        assert_eq!(arena.file_count(), 3);
        let mut file = MapsFile::own().unwrap();
        for (shared, pgoff) in [(false, 0), (true, 77), (false, MAX_PGOFF)] {
            let at = Place { lane: 1, span: Span::new(4, 9) };
            let page = Page::file(Prot::READ, shared, 2, pgoff);
            arena.carry_out(&Op::Map { at, page }).unwrap();
            let (start, end) = (geometry.address(1, 4), geometry.address(1, 9));
            let seen = Observation { start, end, page: page.visible() };
            let mut printed = Vec::new();
            identities.print(&seen, &mut printed);
            assert!(printed.len() <= identities.longest_line());
            let maps = std::fs::read("/proc/self/maps").unwrap();
            let mut lines = maps.split_inclusive(|&byte| byte == b'\n');
            assert!(lines.any(|line| line == printed), "{}", String::from_utf8_lossy(&printed));
            let line = parse(printed.strip_suffix(b"\n").unwrap()).unwrap();
            assert_eq!(identities.sight(&line), seen);
            let mut answer = Answer::default();
            match file.query(start, QueryFlags::Covering, &mut answer) {
                Ok(answered) => assert_eq!(identities.sight(&answered.unwrap()), seen),
                // Before Linux 6.11.
                Err(errno) => assert_eq!(errno, Errno::NOTTY),
            }
        }
    }

    #[test]
    fn it_leaves_nothing_behind() {
        let Some(arena) = arena() else { return };
        let name = &arena.identities().files()[2].name;
        let folder = name.strip_suffix(SHOWN).unwrap();
        assert!(folder.ends_with(b"/") && !Path::new(OsStr::from_bytes(folder)).exists());
    }
}
