//! One guest from its start to its end.

use super::console;
use super::qemu::{Files, Machine, Qemu};
use super::wire::{Frame, Frames};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How often the host looks at what the guest says.
const EVERY: Duration = Duration::from_millis(20);
/// How long a machine may take to turn itself off, once it has nothing left to say.
const GRACE: Duration = Duration::from_secs(5);
/// How long an exact guest goes on after it hangs, so that what was saved can still come.
const HUNG: Duration = Duration::from_secs(20);
/// How long a guest under KVM may take to come to process 1: where KVM runs guests, it takes one or
/// two.
const TRIAL: Duration = Duration::from_secs(20);

/// How a guest ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ended {
    /// The program did, with this exit code.
    Program(i32),
    /// The kernel gave up; its own words.
    Panic(String),
    /// The kernel said that CPUs or tasks no longer get anywhere, and the time was over; its words.
    Hang(String),
    /// The time was over.
    Timeout,
    /// It never came to process 1: why, with what to do.
    NeverBegan(String),
    /// QEMU ended though the program had not; what it said.
    Died(String),
    /// A signal ended the host's side.
    Signal(i32),
}

/// A guest that ended.
#[derive(Clone, Debug)]
pub struct Guest {
    /// How.
    pub ended: Ended,
    /// All that came over the second port.
    pub port: Vec<u8>,
    /// What stood on the console.
    pub console: String,
    /// When process 1 spoke first, since the start.
    pub began: Option<Duration>,
    /// How long all of it took.
    pub took: Duration,
}

/// How long a guest may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// In all.
    pub timeout: Duration,
    /// To come to process 1, where the accelerator is on trial.
    pub trial: Option<Duration>,
    /// To go on once the kernel has said that CPUs or tasks no longer get anywhere.
    pub hung: Option<Duration>,
}

impl Limits {
    /// So long in all.
    pub const fn of(timeout: Duration) -> Limits {
        Limits { timeout, trial: None, hung: None }
    }

    /// The same for a guest whose accelerator may run nothing.
    #[must_use]
    pub const fn on_trial(self) -> Limits {
        Limits { trial: Some(TRIAL), ..self }
    }

    /// The same for an exact guest, in whose time the host's load does not show: what the kernel
    /// says of a hang is true there.
    #[must_use]
    pub const fn exact(self) -> Limits {
        Limits { hung: Some(HUNG), ..self }
    }
}

/// A child that does not outlive its owner.
pub struct Running(Child);

impl Running {
    /// Starts QEMU with these arguments. What it says goes to `said`.
    ///
    /// # Errors
    /// What starting it gave.
    pub fn start(qemu: &Qemu, arguments: &[String], said: &Path) -> io::Result<Running> {
        let said = File::create(said)?;
        let mut command = Command::new(&qemu.program);
        command.args(arguments).stdin(Stdio::null());
        command.stdout(said.try_clone()?).stderr(said);
        Ok(Running(command.spawn()?))
    }

    /// Whether it has ended.
    ///
    /// # Errors
    /// What wait(2) gave.
    pub fn is_over(&mut self) -> io::Result<bool> {
        Ok(self.0.try_wait()?.is_some())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A file that grows.
struct Growing(File);

impl Growing {
    fn open(path: &Path) -> io::Result<Growing> {
        File::options().create(true).append(true).open(path)?;
        Ok(Growing(File::open(path)?))
    }

    /// What was added since.
    fn more(&mut self) -> io::Result<Vec<u8>> {
        let mut more = Vec::new();
        self.0.read_to_end(&mut more)?;
        Ok(more)
    }
}

/// Boots the machine and waits for its end, handing on what it says as it comes.
///
/// # Errors
/// Where QEMU can't be started, or its files can't be read.
pub fn boot(
    qemu: &Qemu,
    machine: &Machine,
    files: &Files,
    limits: Limits,
    signal: impl Fn() -> Option<i32>,
    mut on: impl FnMut(Frame),
) -> io::Result<Guest> {
    let said = files.port.with_extension("qemu");
    let (mut port, mut screen) = (Growing::open(&files.port)?, Growing::open(&files.console)?);
    let start = Instant::now();
    let mut running = Running::start(qemu, &machine.arguments(files), &said)?;
    let mut watch = Watch {
        start,
        began: None,
        code: None,
        since: None,
        hung: None,
        frames: Frames::default(),
        console: Vec::new(),
    };
    let stopped = loop {
        // Asked before what it wrote last is read.
        let over = running.is_over()?;
        watch.hear(&screen.more()?);
        watch.frames.add(&port.more()?);
        let garbled = watch.take(&mut on);
        if let Some(number) = signal() {
            break Some(Ended::Signal(number));
        }
        if let Err(error) = garbled {
            break Some(Ended::Died(error.to_string()));
        }
        if over || watch.is_through() {
            break None;
        }
        if watch.is_late(limits) || tripped(&said) {
            break Some(Ended::Timeout);
        }
        thread::sleep(EVERY);
    };
    drop(running);
    let said = std::fs::read_to_string(&said).unwrap_or_default();
    Ok(watch.ended(stopped, &said))
}

/// KVM that can't run the guest stops it and leaves QEMU waiting.
fn tripped(said: &Path) -> bool {
    std::fs::read_to_string(said).is_ok_and(|said| said.contains("KVM internal error"))
}

/// What was seen of a guest so far.
struct Watch {
    start: Instant,
    began: Option<Duration>,
    code: Option<i32>,
    /// Since when nothing more is to come.
    since: Option<Instant>,
    /// Since when the kernel says that it hangs.
    hung: Option<Instant>,
    frames: Frames,
    console: Vec<u8>,
}

impl Watch {
    fn take(&mut self, on: &mut impl FnMut(Frame)) -> Result<(), super::wire::Garbled> {
        while let Some(frame) = self.frames.next()? {
            match &frame {
                Frame::Begun(_) => self.began = Some(self.start.elapsed()),
                Frame::Ended(code) => self.code = Some(*code),
                _ => {}
            }
            on(frame);
        }
        Ok(())
    }

    fn hear(&mut self, more: &[u8]) {
        self.console.extend_from_slice(more);
        // A panic ends the machine; what comes after it is about nothing else.
        if more.is_empty() {
            return;
        }
        let text = console::plain(&self.console);
        if console::panic(&text).is_some() {
            self.since.get_or_insert_with(Instant::now);
        }
        if console::hang(&text).is_some() {
            self.hung.get_or_insert_with(Instant::now);
        }
    }

    /// Whether all was said that there is to say, and the machine does not turn itself off.
    fn is_through(&mut self) -> bool {
        if self.code.is_some() {
            self.since.get_or_insert_with(Instant::now);
        }
        self.since.is_some_and(|since| since.elapsed() > GRACE)
    }

    fn is_late(&self, limits: Limits) -> bool {
        let took = self.start.elapsed();
        let past = |since: Option<Instant>, limit: Option<Duration>| {
            since.zip(limit).is_some_and(|(since, limit)| since.elapsed() > limit)
        };
        took > limits.timeout
            || past(self.hung, limits.hung)
            || self.began.is_none() && limits.trial.is_some_and(|trial| took > trial)
    }

    fn ended(self, stopped: Option<Ended>, said: &str) -> Guest {
        let text = console::plain(&self.console);
        let ended = match (self.code, stopped) {
            (Some(code), _) => Ended::Program(code),
            (None, Some(signal @ Ended::Signal(_))) => signal,
            (None, _) if self.began.is_none() => {
                Ended::NeverBegan(console::never_began(&text, said))
            }
            (None, stopped) => match (console::panic(&text), console::hang(&text), stopped) {
                (Some(words), ..) => Ended::Panic(words.to_owned()),
                (None, Some(words), Some(_)) => Ended::Hang(words.to_owned()),
                (None, _, Some(ended)) => ended,
                (None, _, None) => Ended::Died(said.trim().to_owned()),
            },
        };
        Guest {
            ended,
            port: self.frames.bytes().to_vec(),
            console: text,
            began: self.began,
            took: self.start.elapsed(),
        }
    }
}
