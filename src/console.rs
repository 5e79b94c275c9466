//! The one place that writes to stdout and stderr.
//!
//! Results go to stdout, whole. A result that can't be written there goes to stderr, and
//! [`lost`] tells `main`, so that the exit code says it. Everything else goes to stderr and is
//! dropped where that can't be written: it is about the work, and the work is not to end for it.
//!
//! The standard library's `println!` and `eprintln!` panic instead, on a full disk and on a closed
//! pipe, so clippy refuses them (and the functions that they stand on) everywhere else.

use arrayvec::ArrayString;
use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::BorrowedFd;
use rustix::io::Errno;
use std::fmt::{self, Write};
use std::io::{self, IsTerminal};
use std::sync::atomic::{AtomicBool, Ordering};

/// What became of stdout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stdout {
    /// All was written.
    Fine,
    /// The pipe has no reader any more, so nothing more has to be written.
    Closed,
    /// The terminal hung up. stderr may still be a file.
    HungUp,
    /// It can't be written.
    Lost(Errno),
}

static STDOUT: Mutex<Stdout> = Mutex::new(Stdout::Fine);
/// Whether a line that will be written over stands on the terminal.
static LIVE: AtomicBool = AtomicBool::new(false);
/// Whether stderr had no room for the last note.
static STUCK: AtomicBool = AtomicBool::new(false);
/// Whether stdout was closed when the program started.
static CLOSED: AtomicBool = AtomicBool::new(false);

/// Asked before the runtime starts: it opens /dev/null where a stream is closed, and what is
/// written there is gone without a word.
extern "C" fn ask_whether_closed() {
    // SAFETY: F_GETFD takes a number, open or not, and touches no memory.
    let flags = unsafe { libc::fcntl(libc::STDOUT_FILENO, libc::F_GETFD) };
    // Relaxed: there are no other threads before main.
    CLOSED.store(flags == -1, Ordering::Relaxed);
}

// SAFETY: the section holds pointers to functions that the C library calls before main, with
// arguments that a function without parameters may ignore. This one needs nothing of the runtime.
#[used]
#[unsafe(link_section = ".init_array")]
static AT_START: extern "C" fn() = ask_whether_closed;

#[allow(clippy::disallowed_methods, reason = "this is the one place")]
fn stdout() -> BorrowedFd<'static> {
    rustix::stdio::stdout()
}

#[allow(clippy::disallowed_methods, reason = "this is the one place")]
fn stderr() -> BorrowedFd<'static> {
    rustix::stdio::stderr()
}

/// `text` as the stream takes it: without colours where they are not wanted.
#[allow(clippy::disallowed_methods, reason = "this is the one place")]
fn coloured(text: &[u8], to_stdout: bool) -> Vec<u8> {
    let choice = match to_stdout {
        true => anstream::AutoStream::choice(&io::stdout()),
        false => anstream::AutoStream::choice(&io::stderr()),
    };
    match choice {
        anstream::ColorChoice::Never => anstream::adapter::strip_bytes(text).into_vec(),
        _ => text.to_vec(),
    }
}

/// Writes all of it, and waits for a stream that another process made non-blocking.
fn write_all(fd: BorrowedFd<'_>, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match rustix::io::write(fd, bytes) {
            Ok(0) => return Err(Errno::NOSPC),
            Ok(written) => bytes = &bytes[written..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => match poll(&mut [PollFd::new(&fd, PollFlags::OUT)], None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            },
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Writes a result, or a part of one, to stdout; where that can't be written, to stderr.
///
/// Never an error by itself: a long run goes on and keeps its evidence. [`lost`] tells in the end.
pub fn result(text: &[u8]) {
    clear();
    let mut state = STDOUT.lock();
    if *state == Stdout::Fine {
        // Relaxed: stored before main.
        let written = match CLOSED.load(Ordering::Relaxed) {
            true => Err(Errno::BADF),
            false => write_all(stdout(), &coloured(text, true)),
        };
        *state = match written {
            Ok(()) => Stdout::Fine,
            Err(Errno::PIPE) => Stdout::Closed,
            Err(Errno::IO) if hung_up() => Stdout::HungUp,
            Err(errno) => Stdout::Lost(errno),
        };
    }
    if matches!(*state, Stdout::HungUp | Stdout::Lost(_)) {
        to_stderr(text);
    }
}

/// [`result`] for what writes piece by piece: never an error. A line is written when it is whole.
pub struct Results(());

impl Results {
    /// It, with the room for a line before it.
    pub fn new() -> io::LineWriter<Results> {
        io::LineWriter::new(Results(()))
    }
}

impl io::Write for Results {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        result(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether stdout is a terminal that hung up: such a one answers EIO to whatever it is asked
/// (drivers/tty/tty_io.c, hung_up_tty_ioctl), a file or a disk with an error ENOTTY.
fn hung_up() -> bool {
    rustix::termios::tcgetattr(stdout()).err() == Some(Errno::IO)
}

/// Why results could not be written to stdout. A pipe without a reader is no error: the exit code
/// still tells.
pub fn lost() -> Option<io::Error> {
    match *STDOUT.lock() {
        Stdout::Lost(errno) => Some(errno.into()),
        Stdout::Fine | Stdout::Closed | Stdout::HungUp => None,
    }
}

/// Writes text to stderr. If it can't be written there is nowhere left to say so, and nothing
/// depends on it: results have gone to stdout, evidence to files.
pub fn to_stderr(text: &[u8]) {
    clear();
    let _ = write_all(stderr(), &coloured(text, false));
}

/// How long a note waits for room on stderr.
const PATIENCE: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// Writes text to stderr that the work is not to wait for: a terminal that was stopped, or a pipe that
/// nobody drains, would hold it up for ever. Left out where there is no room within a second, and then
/// at once until there is.
pub fn aside(text: &[u8]) {
    // Relaxed, here and below: what is known of stderr guards nothing else.
    let patience = if STUCK.load(Ordering::Relaxed) { Timespec::default() } else { PATIENCE };
    let room = has_room(stderr(), &patience);
    STUCK.store(!room, Ordering::Relaxed);
    if room {
        to_stderr(text);
    }
}

/// Whether a write finds room within this time, or an error.
fn has_room(fd: BorrowedFd<'_>, time: &Timespec) -> bool {
    poll(&mut [PollFd::new(&fd, PollFlags::OUT)], Some(time)) != Ok(0)
}

/// What a person may want to know beside the result: each line with a `# ` on stderr; see [`aside`].
pub fn note(text: impl fmt::Display) {
    let text = text.to_string();
    let lines: String = text.lines().map(|line| format!("# {line}\n")).collect();
    aside(lines.as_bytes());
}

/// How progress is shown on stderr.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Progress {
    /// Not at all.
    #[default]
    Quiet,
    /// A `# ` line now and then, for logs.
    Lines,
    /// One line that is written over, for terminals.
    Terminal,
}

/// Room for a line of progress: more than any terminal is wide.
pub type Line = ArrayString<1024>;

impl Progress {
    /// As stderr is one, or `quiet`.
    #[allow(clippy::disallowed_methods, reason = "this is the one place")]
    pub fn here(quiet: bool) -> Progress {
        match (quiet, io::stderr().is_terminal()) {
            (true, _) => Progress::Quiet,
            (false, true) => Progress::Terminal,
            (false, false) => Progress::Lines,
        }
    }

    /// Columns that a line may have. Asked anew each time, so that it follows a resize.
    pub fn columns(self) -> usize {
        match self {
            Progress::Quiet => 0,
            Progress::Lines => Line::new().capacity() - 8,
            Progress::Terminal => terminal_columns(),
        }
    }

    /// Shows `text`, cut to [`columns`](Progress::columns). Does not allocate, and writes once, if there
    /// is room: the next one says as much.
    pub fn show(self, text: &str) {
        let (before, behind) = match self {
            Progress::Quiet => return,
            Progress::Lines => ("# ", "\n"),
            Progress::Terminal => ("\r", "\x1b[K"),
        };
        let mut line = Line::new();
        // What is no ASCII may be wider than one column, or move the cursor.
        let plain = |c: char| if c.is_ascii_graphic() || c == ' ' { c } else { '?' };
        let _ = line.write_str(before);
        text.chars().take(self.columns()).for_each(|c| line.push(plain(c)));
        let _ = line.write_str(behind);
        if !has_room(stderr(), &Timespec::default()) {
            return;
        }
        // Relaxed: only the thread that shows progress and prints results looks at it.
        LIVE.store(self == Progress::Terminal, Ordering::Relaxed);
        // It is followed by another one; see `to_stderr`.
        let _ = write_all(stderr(), line.as_bytes());
    }
}

/// One less than the terminal has: behind the last column terminals differ in where the cursor is.
fn terminal_columns() -> usize {
    let told = rustix::termios::tcgetwinsize(stderr()).map_or(0, |size| size.ws_col);
    // A serial line tells no size.
    let columns = if told == 0 { 80 } else { told as usize };
    (columns - 1).min(Line::new().capacity() - 8)
}

/// Clears the line that [`Progress::show`] left on the terminal, so that what comes next begins
/// there.
pub fn clear() {
    // Relaxed: as where it is stored.
    if LIVE.swap(false, Ordering::Relaxed) && has_room(stderr(), &Timespec::default()) {
        // See `to_stderr`.
        let _ = write_all(stderr(), b"\r\x1b[K");
    }
}
