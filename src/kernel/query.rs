//! PROCMAP_QUERY, the binary interface beside the text (Linux 6.11, fs/proc/task_mmu.c,
//! `do_procmap_query`).

use super::line::Line;
use rustix::fd::BorrowedFd;
use rustix::io::Errno;
use rustix::ioctl;

/// What to ask for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum QueryFlags {
    /// Only a VMA that covers the address.
    Covering,
    /// `PROCMAP_QUERY_COVERING_OR_NEXT_VMA`: that, or the next one above.
    CoveringOrNext,
}

const COVERING_OR_NEXT: u64 = 0x10;

/// `struct procmap_query` of include/uapi/linux/fs.h: 104 bytes.
#[repr(C)]
#[derive(Default)]
struct Query {
    size: u64,
    query_flags: u64,
    query_addr: u64,
    vma_start: u64,
    vma_end: u64,
    vma_flags: u64,
    vma_page_size: u64,
    vma_offset: u64,
    inode: u64,
    dev_major: u32,
    dev_minor: u32,
    vma_name_size: u32,
    build_id_size: u32,
    vma_name_addr: u64,
    build_id_addr: u64,
}

const _: () = assert!(size_of::<Query>() == 104);

/// `_IOWR(PROCFS_IOCTL_MAGIC, 17, struct procmap_query)`.
const PROCMAP_QUERY: ioctl::Opcode = ioctl::opcode::read_write::<Query>(b'f', 17);

/// A newline in a name, as maps prints it and no answer does (fs/proc/task_mmu.c: `get_vma_name` escapes
/// it, `do_procmap_query` does not).
const NEWLINE: &[u8] = b"\\012";

/// The name as maps would print it. Allocates nothing where `printed` has room.
pub fn as_printed<'n>(name: &'n [u8], printed: &'n mut Vec<u8>) -> &'n [u8] {
    if memchr::memchr(b'\n', name).is_none() {
        return name;
    }
    printed.clear();
    for &byte in name {
        match byte {
            b'\n' => printed.extend_from_slice(NEWLINE),
            byte => printed.push(byte),
        }
    }
    printed
}

/// Room for one answer, reused from call to call; the name lies in it.
pub struct Answer {
    query: Query,
    name: Box<[u8]>,
    /// The name as maps would print it, where that is another one.
    printed: Vec<u8>,
}

impl Default for Answer {
    fn default() -> Answer {
        Answer {
            query: Query::default(),
            name: [0; Answer::NAME].into(),
            printed: Vec::with_capacity(NEWLINE.len() * Answer::NAME),
        }
    }
}

impl Answer {
    /// Room for a name and its terminating zero.
    const NAME: usize = 256;

    /// One that asks for no name, and gives an empty one. The kernel refuses a question for a name
    /// that has no room, and whatever the room one of more than PATH_MAX (4096) bytes
    /// (fs/proc/task_mmu.c, `do_procmap_query`); this one is always answered.
    pub fn nameless() -> Answer {
        Answer { query: Query::default(), name: [].into(), printed: Vec::new() }
    }

    /// Asks `fd` for the VMA at `address`.
    ///
    /// # Errors
    /// What ioctl(2) gave, ENOENT apart: that is `None`. ENAMETOOLONG for a name above 255 bytes,
    /// unless none is asked for.
    pub(super) fn ask(
        &mut self,
        fd: BorrowedFd<'_>,
        address: u64,
        flags: QueryFlags,
    ) -> Result<Option<Line<'_>>, Errno> {
        self.query = Query {
            size: size_of::<Query>() as u64,
            query_flags: match flags {
                QueryFlags::Covering => 0,
                QueryFlags::CoveringOrNext => COVERING_OR_NEXT,
            },
            query_addr: address,
            vma_name_size: self.name.len() as u32,
            // Where a size is given there has to be an address, and where not, none (EINVAL).
            vma_name_addr: match self.name.is_empty() {
                true => 0,
                false => self.name.as_mut_ptr() as u64,
            },
            ..Query::default()
        };
        // SAFETY: the opcode is PROCMAP_QUERY and the struct is laid out as the kernel's (size
        // asserted above, and sent in the first field). The kernel writes the struct and up to
        // `vma_name_size` bytes at `vma_name_addr`: both live in `self`, borrowed for the call.
        let asked = unsafe {
            let updater = ioctl::Updater::<PROCMAP_QUERY, Query>::new(&mut self.query);
            ioctl::ioctl(fd, updater)
        };
        match asked {
            Ok(()) => {}
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(errno),
        }
        // The size counts the terminating zero; 0 means no name.
        let name = (self.query.vma_name_size as usize).saturating_sub(1).min(self.name.len());
        Ok(Some(Line {
            start: self.query.vma_start,
            end: self.query.vma_end,
            perms: (self.query.vma_flags & 0xf) as u8,
            offset: self.query.vma_offset,
            dev_major: self.query.dev_major,
            dev_minor: self.query.dev_minor,
            inode: self.query.inode,
            name: as_printed(&self.name[..name], &mut self.printed),
        }))
    }
}
