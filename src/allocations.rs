//! The program's allocator: the system's, which proves that nothing allocates in mid-storm by counting,
//! and a reserve for the time when it can't be used.
//!
//! malloc and free mean brk, mmap and munmap, and a thread that hangs in the kernel may have mmap_lock for
//! ever. What is said and saved of a hang comes out of a block that was made before, where it was locked
//! and touched: no lock, no system call, no page fault.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering};

static ARMED: AtomicBool = AtomicBool::new(false);
static COUNT: AtomicU64 = AtomicU64::new(0);

/// The reserve: where it begins, how long it is, and how much of it is taken.
static RESERVE: AtomicPtr<u8> = AtomicPtr::new(std::ptr::null_mut());
static RESERVED: AtomicUsize = AtomicUsize::new(0);
static TAKEN: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// Whether the thread takes its memory from the reserve. Without a destructor, so that asking
    /// allocates nothing.
    static FROM_RESERVE: Cell<bool> = const { Cell::new(false) };
}

/// The system's allocator, counting calls while it is [armed](arm). Threads that have asked for it take
/// from the reserve.
pub struct Counting;

// SAFETY: memory comes from the system's allocator, which is handed each call unchanged, or from the
// reserve, which never gives the same bytes twice. What is of the reserve is known by its address and
// never handed to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if let Some(taken) = take(layout) {
            return taken;
        }
        tick();
        // SAFETY: the caller keeps GlobalAlloc's contract, which is System's, too.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // A thread on the reserve frees nothing: that, too, may take mmap_lock.
        if is_reserve(ptr) || on_reserve() {
            return;
        }
        tick();
        // SAFETY: as above; the memory is System's.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // The reserve is given once, so it is still zeroed.
        if let Some(taken) = take(layout) {
            return taken;
        }
        tick();
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        if is_reserve(ptr) || on_reserve() {
            // SAFETY: the caller gives a size that makes a layout with this alignment.
            let new = unsafe { Layout::from_size_align_unchecked(new_size, layout.align()) };
            // SAFETY: the new size is not 0, as the caller has it.
            let moved = unsafe { self.alloc(new) };
            if !moved.is_null() {
                // SAFETY: both are at least that long, and the new one was just made.
                unsafe { ptr.copy_to_nonoverlapping(moved, layout.size().min(new_size)) };
            }
            return moved;
        }
        tick();
        // SAFETY: as above; the memory is System's.
        unsafe { System.realloc(ptr, layout, new_size) }
    }
}

#[inline]
fn tick() {
    // Relaxed: a count, read when the threads that could add to it rest.
    if ARMED.load(Ordering::Relaxed) {
        COUNT.fetch_add(1, Ordering::Relaxed);
    }
}

#[inline]
fn on_reserve() -> bool {
    FROM_RESERVE.get()
}

/// Whether this memory is of the reserve.
#[inline]
fn is_reserve(ptr: *mut u8) -> bool {
    // Relaxed: who holds such memory has got it from `take`, after both were stored.
    let start = RESERVE.load(Ordering::Relaxed) as usize;
    (ptr as usize).wrapping_sub(start) < RESERVED.load(Ordering::Relaxed)
}

/// Memory of the reserve, for a thread that takes it from there, as long as there is some.
#[inline]
fn take(layout: Layout) -> Option<*mut u8> {
    if !on_reserve() {
        return None;
    }
    // Acquire: pairs with the release in `reserve`, which comes after the length.
    let start = RESERVE.load(Ordering::Acquire);
    let (most, align) = (RESERVED.load(Ordering::Relaxed), layout.align());
    // Relaxed: the read-modify-write alone keeps takers apart.
    let at = TAKEN.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| {
        let from = (start as usize + taken).next_multiple_of(align) - start as usize;
        from.checked_add(layout.size()).filter(|&to| to <= most)
    });
    let from = (start as usize + at.ok()?).next_multiple_of(align) - start as usize;
    // SAFETY: from there on so many bytes lie in the block, by the check above.
    Some(unsafe { start.add(from) })
}

/// Makes this block the reserve. It is zeroed, and stays for ever. Only the first counts.
pub fn reserve(block: &'static mut [u8]) {
    if RESERVED.compare_exchange(0, block.len(), Ordering::Relaxed, Ordering::Relaxed).is_ok() {
        // Release: see `take`.
        RESERVE.store(block.as_mut_ptr(), Ordering::Release);
    }
}

/// From now on the calling thread takes its memory from the reserve, if there is one, and frees nothing.
pub fn live_on_reserve() {
    // Acquire: as in `take`.
    FROM_RESERVE.set(!RESERVE.load(Ordering::Acquire).is_null());
}

/// Begins or ends counting. A free counts like an allocation: it, too, may call munmap or brk.
pub fn arm(on: bool) {
    ARMED.store(on, Ordering::Relaxed);
}

/// Calls counted so far.
pub fn count() -> u64 {
    COUNT.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_lives_on_the_reserve_until_it_is_used_up() {
        let layout = |size, align| Layout::from_size_align(size, align).unwrap();
        let start = reserve_of(4096);
        std::thread::spawn(move || {
            live_on_reserve();
            // SAFETY: these layouts are not empty, and what is freed or grown was given before.
            unsafe {
                let one = Counting.alloc(layout(3, 1));
                let two = Counting.alloc_zeroed(layout(64, 64));
                assert!(is_reserve(one) && is_reserve(two) && (two as usize).is_multiple_of(64));
                one.copy_from_nonoverlapping(b"abc".as_ptr(), 3);
                let grown = Counting.realloc(one, layout(3, 1), 100);
                assert!(is_reserve(grown) && grown != one);
                assert_eq!(std::slice::from_raw_parts(grown, 3), b"abc");
                Counting.dealloc(grown, layout(100, 1));
                // What does not fit comes from the system, and is not freed.
                let large = Counting.alloc(layout(8192, 8));
                assert!(!large.is_null() && !is_reserve(large));
                Counting.dealloc(large, layout(8192, 8));
            }
        })
        .join()
        .unwrap();
        assert!(TAKEN.load(Ordering::Relaxed) >= 64 && is_reserve(start));
        assert!(!on_reserve(), "each thread asks for itself");
    }

    fn reserve_of(bytes: usize) -> *mut u8 {
        let block = Box::leak(vec![0; bytes].into_boxed_slice());
        let start = block.as_mut_ptr();
        reserve(block);
        start
    }
}
