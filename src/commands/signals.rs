//! Ctrl-C: the first stops and reports, the second kills.

use signal_hook::consts::{SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::flag;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// The first signal that arrived, if one did.
pub struct Signals(Arc<AtomicUsize>);

impl Signals {
    /// Catches SIGINT and SIGTERM from now on; and SIGXFSZ, so that a file that may grow no further
    /// (ulimit -f) is an error of the write, and not the end of everything that is not yet told.
    ///
    /// # Errors
    /// What sigaction(2) gave.
    pub fn catch() -> std::io::Result<Signals> {
        let number = Arc::new(AtomicUsize::new(0));
        let raised = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            // In this order: the first signal finds `raised` unset, and sets it.
            flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&raised))?;
            flag::register(signal, Arc::clone(&raised))?;
            flag::register_usize(signal, Arc::clone(&number), signal as usize)?;
        }
        flag::register(SIGXFSZ, Arc::default())?;
        Ok(Signals(number))
    }

    /// The signal's number, 0 until one arrives.
    pub fn flag(&self) -> &AtomicUsize {
        &self.0
    }

    /// The number of the signal that arrived.
    pub fn arrived(&self) -> Option<i32> {
        // Relaxed: nothing else is published with it.
        match self.0.load(Ordering::Relaxed) {
            0 => None,
            number => Some(number as i32),
        }
    }
}
