//! How a reader lets the operations beside it go on while it waits for them.

use std::sync::atomic::{AtomicBool, Ordering};

/// What goes on beside a reader.
pub trait Settle {
    /// Lets it go on for a while. False when nothing goes on any more.
    fn wait(&self) -> bool;
}

/// A flag that is raised when the storm is over: beside the reader there are threads.
impl Settle for AtomicBool {
    fn wait(&self) -> bool {
        std::thread::yield_now();
        // Relaxed: it says only that waiting is no use.
        !self.load(Ordering::Relaxed)
    }
}
