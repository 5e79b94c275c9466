//! Drives a storm on a terminal: its one line fits, whatever the width is and becomes.

mod common;

use common::{mapstorm, testable};
use rustix::fd::OwnedFd;
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use std::fs::File;
use std::io::Read;
use std::process::{Child, Stdio};

const ROWS: u16 = 24;

/// A storm whose stderr is a terminal.
struct Shown {
    storm: Child,
    /// The terminal's other end.
    master: File,
    screen: vt100::Parser,
    /// What was read and ends no line of progress yet.
    rest: Vec<u8>,
}

fn size(columns: u16) -> Winsize {
    Winsize { ws_row: ROWS, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}

fn terminal(columns: u16) -> (OwnedFd, File) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    // A storm that holds it itself never sees the terminal hang up.
    rustix::io::fcntl_setfd(&master, rustix::io::FdFlags::CLOEXEC).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    tcsetwinsize(&master, size(columns)).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    let mut open = File::options();
    // The terminal of the tests must not become that of this process.
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut open, libc::O_NOCTTY);
    let slave = open.read(true).write(true).open(name.to_str().unwrap()).unwrap();
    (master, slave)
}

impl Shown {
    fn new(columns: u16) -> Shown {
        let (master, slave) = terminal(columns);
        let storm =
            mapstorm(["--seconds", "600", "--threads", "2", "--lanes", "24", "--read", "walk"])
                .args(["--inject", "hole", "--no-out"])
                .stdout(Stdio::null())
                .stderr(slave)
                .spawn()
                .expect("the binary runs");
        let screen = vt100::Parser::new(ROWS, columns, 0);
        Shown { storm, master: master.into(), screen, rest: Vec::new() }
    }

    fn resize(&mut self, columns: u16) {
        tcsetwinsize(&self.master, size(columns)).unwrap();
        self.screen.screen_mut().set_size(ROWS, columns);
    }

    fn rows(&self) -> Vec<String> {
        let columns = self.screen.screen().size().1;
        self.screen.screen().rows(0, columns).filter(|row| !row.trim().is_empty()).collect()
    }

    /// Waits for the next line of progress, and gives it as it stands on the screen.
    fn next(&mut self) -> String {
        let end = b"\x1b[K";
        loop {
            if let Some(at) = self.rest.windows(end.len()).position(|three| three == end) {
                let line: Vec<u8> = self.rest.drain(..at + end.len()).collect();
                // What was told before the storm began stands above.
                let from = line.iter().rposition(|&byte| byte == b'\r').unwrap_or(0);
                self.screen.process(&line[from..]);
                let rows = self.rows();
                if let [row] = &rows[..] {
                    return row.clone();
                }
                assert!(rows.is_empty(), "one line takes several rows: {rows:#?}");
                continue;
            }
            let mut more = [0; 4096];
            let read = self.master.read(&mut more).expect("the storm goes on");
            self.rest.extend_from_slice(&more[..read]);
        }
    }

    /// Ends the storm, and gives what is left on the screen.
    fn end(mut self) -> Vec<String> {
        kill_process(Pid::from_child(&self.storm), Signal::INT).unwrap();
        let mut rest = std::mem::take(&mut self.rest);
        // EIO: the last one that had the terminal open is gone.
        let _ = self.master.read_to_end(&mut rest);
        self.screen.process(&rest);
        assert_eq!(self.storm.wait().unwrap().code(), Some(130));
        self.rows()
    }
}

#[test]
fn the_line_fits_any_width_and_begins_with_the_violations() {
    if !testable() {
        return;
    }
    for columns in [40, 80, 120, 200] {
        let mut shown = Shown::new(columns);
        // A fault is planted in one of 64 reads, so the count comes, and grows wider.
        let line = loop {
            let line = shown.next();
            if !line.contains("no violation") {
                break line;
            }
        };
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!((words[1], words[2], words[4]), ("s", "violations", "hole"), "{line:?}");
        assert!(line.len() < columns as usize, "{columns}: {line:?}");
        assert!(columns < 200 || line.ends_with("MiB"), "there is room for all: {line:?}");
        for _ in 0..2 {
            shown.next();
        }
        assert_eq!(shown.end(), [""; 0], "{columns}: something is left on the terminal");
    }
}

#[test]
fn the_line_follows_a_resize() {
    if !testable() {
        return;
    }
    let mut shown = Shown::new(120);
    assert!(shown.next().len() > 50);
    for columns in [50, 100, 50] {
        shown.resize(columns);
        // One may have been on its way. It is cleared here, so that only new ones count.
        shown.next();
        shown.screen = vt100::Parser::new(ROWS, columns, 0);
        for _ in 0..2 {
            let line = shown.next();
            assert!(line.len() < columns as usize, "{columns}: {line:?}");
            assert_eq!(line.len() > 50, columns == 100, "{columns}: {line:?}");
        }
    }
    shown.end();
}
