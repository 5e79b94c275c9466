//! Ctrl-C and the like: the first stops and reports, the second kills.

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::flag;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// The first signal that arrived, if one did.
pub struct Signals(Arc<AtomicUsize>);

impl Signals {
    /// Catches SIGINT, SIGTERM and SIGHUP from now on; and SIGXFSZ, so that a file that may grow no
    /// further (ulimit -f) is an error of the write, and not the end of everything that is not yet
    /// told.
    ///
    /// The first of them asks for an end with a report. The second SIGINT or SIGTERM kills. SIGHUP
    /// does not count: where a session is dropped it comes more than once (from the shell, from the
    /// kernel when the shell ends, and beside systemd's SIGTERM, in any order when two threads take
    /// them), and the report would be lost in the very case that it is caught for. It stays ignored
    /// where it was ignored from the start, as nohup(1) does.
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
            note_first(signal, &number)?;
        }
        if !is_ignored(SIGHUP) {
            note_first(SIGHUP, &number)?;
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

/// Has `signal` put its number where none is yet.
fn note_first(signal: i32, number: &Arc<AtomicUsize>) -> std::io::Result<()> {
    let number = Arc::clone(number);
    let note = move || {
        // Relaxed: nothing else is published with it.
        let _ = number.compare_exchange(0, signal as usize, Ordering::Relaxed, Ordering::Relaxed);
    };
    // SAFETY: what runs in the handler is one atomic instruction.
    unsafe { signal_hook::low_level::register(signal, note) }.map(drop)
}

/// Whether the program was started with `signal` ignored.
fn is_ignored(signal: i32) -> bool {
    // SAFETY: all zeroes is a sigaction: its fields are integers, a set of bits, and a pointer that
    // may be null.
    let mut now: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: a null pointer asks without a change, and `now` is there to be written.
    let asked = unsafe { libc::sigaction(signal, std::ptr::null(), &raw mut now) };
    asked == 0 && now.sa_sigaction == libc::SIG_IGN
}
