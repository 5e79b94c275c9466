//! Stopping an exact machine where the evidence of a signature is complete, or some instructions
//! before, from outside: up to there it is the run that it is without a stop.
//!
//! A machine that was stopped and goes on is no longer the same run: QEMU begins its turns of the CPUs
//! anew, and may jump to the next timer (softmmu/icount.c, `icount_start_warp_timer`). So a machine is
//! stopped once and looked at. At a mark that is a breakpoint in the program. Before it, another
//! machine is made slow without being stopped, one instruction in a block of translated code, and
//! stopped when its count of instructions is close enough.

mod monitor;
mod script;
mod stub;

pub use script::commands;

use super::boot::Running;
use super::fleet::Prepared;
use super::qemu::Qemu;
use monitor::Monitor;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use stub::Stub;

/// How far before its goal a machine is made slow, in instructions.
const SLOW: u64 = 20_000_000;
/// Machines that are tried where the host looked too late.
const TRIES: u32 = 4;
/// How long the host sleeps between two looks.
const EVERY: Duration = Duration::from_millis(50);

/// Where to stop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// At the mark that lies at this address.
    Mark(u64),
    /// Once the kernel says that it hangs.
    Hang,
}

/// A machine could not be stopped there.
#[derive(Debug, thiserror::Error)]
pub enum StopError {
    /// QEMU.
    #[error("QEMU: {0}")]
    Qemu(#[from] io::Error),
    /// It ended before.
    #[error("the machine ended before it came there; it is not the run that was looked at")]
    Ended,
    /// The time was over.
    #[error("the machine did not come there in time; give it more with --timeout")]
    Late,
    /// A signal.
    #[error("ended by signal {0}")]
    Signal(i32),
}

/// A machine that stands still.
pub struct Stopped {
    running: Running,
    /// Instructions executed by then.
    pub instructions: u64,
    /// Where gdb finds it.
    pub stub: PathBuf,
}

impl Stopped {
    /// Whether QEMU has ended.
    ///
    /// # Errors
    /// What wait(2) gave.
    pub fn is_over(&mut self) -> io::Result<bool> {
        self.running.is_over()
    }
}

/// Starts machines to be stopped.
pub struct Stopper<'a, S> {
    /// The QEMU.
    pub qemu: &'a Qemu,
    /// How long a machine may take.
    pub timeout: Duration,
    /// The signal that ends it all, if one came.
    pub signal: S,
    /// Whether the kernel says on its console that it hangs.
    pub hangs: fn(&[u8]) -> bool,
}

/// One machine on its way.
struct Machine {
    running: Running,
    monitor: Monitor,
    stub: PathBuf,
    start: Instant,
}

impl<S: Fn() -> Option<i32>> Stopper<'_, S> {
    /// Stops the machine at the place.
    ///
    /// # Errors
    /// Where it does not come there.
    pub fn at(&self, prepared: &Prepared, place: Place) -> Result<Stopped, StopError> {
        let mut machine = self.start(prepared)?;
        match place {
            Place::Mark(address) => {
                let mut stub = Stub::open(&machine.stub)?;
                stub.stop_at(address)?;
                stub.go_on()?;
                while !stub.has_stopped(EVERY).map_err(|_| StopError::Ended)? {
                    self.check(&mut machine)?;
                }
                stub.forget(address)?;
            }
            Place::Hang => {
                machine.monitor.go_on()?;
                while !(self.hangs)(&std::fs::read(&prepared.files.console)?) {
                    self.check(&mut machine)?;
                    std::thread::sleep(EVERY);
                }
                machine.monitor.stop()?;
            }
        }
        machine.stopped()
    }

    /// Stops a machine once it has executed so many instructions, or some thousands more: as many as
    /// it does while the host looks. Where that is more than `slack`, another one is tried.
    ///
    /// # Errors
    /// Where it does not come there.
    pub fn after(
        &self,
        prepared: &Prepared,
        instructions: u64,
        slack: u64,
    ) -> Result<Stopped, StopError> {
        let mut stopped = self.near(prepared, instructions)?;
        for _ in 1..TRIES {
            if stopped.instructions <= instructions + slack {
                break;
            }
            // The machine before goes first: both would have their sockets in the same place.
            drop(stopped);
            stopped = self.near(prepared, instructions)?;
        }
        Ok(stopped)
    }

    fn near(&self, prepared: &Prepared, instructions: u64) -> Result<Stopped, StopError> {
        let mut machine = self.start(prepared)?;
        machine.monitor.go_on()?;
        let mut slow = false;
        loop {
            let now = machine.monitor.instructions()?;
            if now >= instructions {
                break;
            }
            self.check(&mut machine)?;
            let left = instructions - now;
            if left < SLOW && !slow {
                machine.monitor.slow_down()?;
                slow = true;
            }
            // From far away there is time to sleep: a host executes less than 500 in a microsecond.
            let far = Duration::from_micros(left.saturating_sub(SLOW) / 1000);
            if far > EVERY {
                std::thread::sleep(EVERY);
            }
        }
        machine.monitor.stop()?;
        machine.stopped()
    }

    /// A machine that has not begun.
    fn start(&self, prepared: &Prepared) -> Result<Machine, StopError> {
        let folder = prepared.folder();
        for name in ["console", "port", "monitor", "gdb"] {
            // Of the machine before, in the same folder.
            let _ = std::fs::remove_file(folder.join(name));
        }
        let mut arguments = prepared.machine.arguments(&prepared.files);
        let socket =
            |name: &str| format!("unix:{},server=on,wait=off", folder.join(name).display());
        arguments
            .extend(["-S", "-qmp", &socket("monitor"), "-gdb", &socket("gdb")].map(str::to_owned));
        std::fs::write(folder.join("console"), [])?;
        let running = Running::start(self.qemu, &arguments, &folder.join("said"))?;
        let monitor = Monitor::open(&folder.join("monitor"))?;
        Ok(Machine { running, monitor, stub: folder.join("gdb"), start: Instant::now() })
    }

    fn check(&self, machine: &mut Machine) -> Result<(), StopError> {
        if let Some(number) = (self.signal)() {
            return Err(StopError::Signal(number));
        }
        if machine.running.is_over()? {
            return Err(StopError::Ended);
        }
        match machine.start.elapsed() > self.timeout {
            true => Err(StopError::Late),
            false => Ok(()),
        }
    }
}

impl Machine {
    fn stopped(mut self) -> Result<Stopped, StopError> {
        let instructions = self.monitor.instructions()?;
        Ok(Stopped { running: self.running, instructions, stub: self.stub })
    }
}

/// What to type to look at it.
pub fn invocation(vmlinux: Option<&Path>, script: &Path) -> String {
    let vmlinux = vmlinux.map_or_else(|| "vmlinux".to_owned(), |path| path.display().to_string());
    format!(
        "gdb {} -x {}",
        crate::command_line::quoted(&vmlinux),
        crate::command_line::quoted(&script.display().to_string())
    )
}
