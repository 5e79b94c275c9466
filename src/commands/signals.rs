//! Ctrl-C: the first stops and reports, the second kills.

use mapstorm::exit::Exit;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// The first signal that arrived, if one did.
pub struct Signals {
    number: Arc<AtomicUsize>,
    raised: Arc<AtomicBool>,
}

impl Signals {
    /// Catches SIGINT and SIGTERM from now on.
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
        Ok(Signals { number, raised })
    }

    /// Whether one has arrived.
    pub fn raised(&self) -> &AtomicBool {
        &self.raised
    }

    /// The exit code for a command that a signal ended, once one has.
    pub fn exit(&self) -> Option<Exit> {
        match self.arrived()? {
            SIGTERM => Some(Exit::Terminated),
            _ => Some(Exit::Interrupted),
        }
    }

    /// The signal's number, 0 until one arrives.
    pub fn flag(&self) -> &AtomicUsize {
        &self.number
    }

    /// The number of the signal that arrived.
    pub fn arrived(&self) -> Option<i32> {
        // Relaxed: nothing else is published with it.
        match self.number.load(Ordering::Relaxed) {
            0 => None,
            number => Some(number as i32),
        }
    }
}
