//! The atomic words of the history and the clock, so that a model checker can put in its own.
//!
//! Only these two are built on them: they are all that mutators and readers share without a lock.

pub(super) use std::sync::atomic::{AtomicU64, Ordering};

/// An atomic word, as [`AtomicU64`] is one; at first it is 0.
pub trait Word: Default {
    /// Its value.
    fn load(&self, order: Ordering) -> u64;
    /// Sets its value.
    fn store(&self, value: u64, order: Ordering);
    /// Adds to it, and gives the value before.
    fn fetch_add(&self, value: u64, order: Ordering) -> u64;
    /// Orders what this thread does with words before and after.
    fn fence(order: Ordering);
}

/// Makes an atomic a word by its functions of the same names, and the fence that belongs to it.
macro_rules! word {
    ($atomic:ty, $fence:expr) => {
        impl $crate::oracle::word::Word for $atomic {
            #[inline(always)]
            fn load(&self, order: Ordering) -> u64 {
                self.load(order)
            }

            #[inline(always)]
            fn store(&self, value: u64, order: Ordering) {
                self.store(value, order)
            }

            #[inline(always)]
            fn fetch_add(&self, value: u64, order: Ordering) -> u64 {
                self.fetch_add(value, order)
            }

            #[inline(always)]
            fn fence(order: Ordering) {
                $fence(order)
            }
        }
    };
}
#[cfg(all(test, any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(super) use word;

word!(AtomicU64, std::sync::atomic::fence);
