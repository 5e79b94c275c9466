//! Memory of this process that is there whatever happens: locked, and touched before it is needed.

use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mlock, mmap_anonymous};

/// A block of zeroed memory that stays for ever and that no use of it makes the kernel look for: all its
/// pages are there. Whether it could be locked, too.
///
/// # Errors
/// What mmap(2) gave.
pub fn resident(bytes: usize) -> Result<(&'static mut [u8], Result<(), Errno>), Errno> {
    let flags = MapFlags::PRIVATE | MapFlags::POPULATE;
    // SAFETY: a new mapping, where the kernel puts it.
    let start = unsafe {
        mmap_anonymous(std::ptr::null_mut(), bytes, ProtFlags::READ | ProtFlags::WRITE, flags)
    }?;
    // SAFETY: the mapping is this function's alone, of that length, and never unmapped.
    let block = unsafe { std::slice::from_raw_parts_mut(start.cast::<u8>(), bytes) };
    // SAFETY: locking changes nothing that a program sees.
    let locked = unsafe { mlock(start, bytes) };
    Ok((block, locked))
}

/// Locks the program and its libraries in memory: code, constants and variables.
///
/// # Errors
/// The first that mlock(2) gave; what comes after it is tried all the same.
pub fn lock_program() -> Result<(), Errno> {
    unsafe extern "C" fn lock(
        object: *mut libc::dl_phdr_info,
        _: usize,
        first: *mut libc::c_void,
    ) -> libc::c_int {
        // SAFETY: the loader gives an object, and its headers are there as long as it is.
        let (base, headers) = unsafe {
            let object = &*object;
            let headers = match object.dlpi_phdr.is_null() {
                true => &[],
                false => std::slice::from_raw_parts(object.dlpi_phdr, object.dlpi_phnum.into()),
            };
            (object.dlpi_addr as usize, headers)
        };
        for header in headers.iter().filter(|header| header.p_type == libc::PT_LOAD) {
            let start = base + header.p_vaddr as usize;
            // SAFETY: locking changes nothing that a program sees.
            if let Err(errno) = unsafe { mlock(start as *mut _, header.p_memsz as usize) } {
                // SAFETY: `lock_program` gives this pointer, and waits.
                let first = unsafe { &mut *first.cast::<Result<(), Errno>>() };
                *first = first.and(Err(errno));
            }
        }
        0
    }
    let mut first: Result<(), Errno> = Ok(());
    // SAFETY: `lock` takes what the loader and this call give it.
    unsafe { libc::dl_iterate_phdr(Some(lock), (&raw mut first).cast()) };
    first
}

/// Touches and locks so much of the calling thread's stack, from here on downwards.
///
/// # Errors
/// What mlock(2) gave; touched it is in any case.
#[inline(never)]
pub fn lock_stack<const BYTES: usize>() -> Result<(), Errno> {
    let mut room = [0u8; BYTES];
    let room = std::hint::black_box(&mut room);
    // SAFETY: locking changes nothing that a program sees.
    unsafe { mlock(room.as_mut_ptr().cast(), BYTES) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_there_before_it_is_used() {
        let (block, _) = resident(1 << 20).unwrap();
        let mut there = vec![0u8; block.len() / rustix::param::page_size()];
        // SAFETY: the vector has a byte for each page.
        let asked =
            unsafe { libc::mincore(block.as_mut_ptr().cast(), block.len(), there.as_mut_ptr()) };
        assert_eq!(asked, 0);
        assert!(there.iter().all(|page| page & 1 == 1));
        assert!(block.iter().all(|&byte| byte == 0));
    }

    #[test]
    fn what_may_not_be_locked_is_told() {
        // Root may lock all; others as much as `ulimit -l` says.
        let locked = lock_program().and_then(|()| lock_stack::<4096>());
        assert!(matches!(locked, Ok(()) | Err(Errno::NOMEM | Errno::PERM | Errno::AGAIN)));
    }
}
