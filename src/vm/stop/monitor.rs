//! QEMU's monitor, as far as stopping a machine takes it: commands as JSON over a socket.

use serde_json::{Value, json};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long QEMU may take to open its sockets.
const OPENING: Duration = Duration::from_secs(20);

/// Connects to a socket that QEMU is about to open.
///
/// # Errors
/// Where it does not.
pub fn connect(path: &Path) -> io::Result<UnixStream> {
    let start = Instant::now();
    loop {
        match UnixStream::connect(path) {
            Err(_) if start.elapsed() < OPENING => std::thread::sleep(Duration::from_millis(20)),
            other => return other,
        }
    }
}

/// A connection to it.
pub struct Monitor {
    from: BufReader<UnixStream>,
    to: UnixStream,
}

impl Monitor {
    /// Connects.
    ///
    /// # Errors
    /// Where QEMU does not answer.
    pub fn open(path: &Path) -> io::Result<Monitor> {
        let to = connect(path)?;
        let mut monitor = Monitor { from: BufReader::new(to.try_clone()?), to };
        // Its greeting, which is no answer.
        monitor.line()?;
        monitor.ask("qmp_capabilities")?;
        Ok(monitor)
    }

    fn line(&mut self) -> io::Result<Value> {
        let mut line = String::new();
        if self.from.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(serde_json::from_str(&line)?)
    }

    /// A command, and its answer. Events in between are left out.
    fn ask(&mut self, command: &str) -> io::Result<Value> {
        self.ask_with(command, json!({}))
    }

    fn ask_with(&mut self, command: &str, arguments: Value) -> io::Result<Value> {
        writeln!(self.to, "{}", json!({ "execute": command, "arguments": arguments }))?;
        loop {
            let mut answer = self.line()?;
            if let Some(error) = answer.get("error") {
                return Err(io::Error::other(format!("{command}: {error}")));
            }
            if let Some(value) = answer.get_mut("return") {
                return Ok(value.take());
            }
        }
    }

    /// Lets the machine go on.
    ///
    /// # Errors
    /// What QEMU says.
    pub fn go_on(&mut self) -> io::Result<()> {
        self.ask("cont").map(drop)
    }

    /// Stops the machine where it is.
    ///
    /// # Errors
    /// What QEMU says.
    pub fn stop(&mut self) -> io::Result<()> {
        self.ask("stop").map(drop)
    }

    /// Makes the machine slow while it runs: one instruction in each block of translated code.
    ///
    /// # Errors
    /// What QEMU says, or that it has no such command.
    pub fn slow_down(&mut self) -> io::Result<()> {
        // The name from QEMU 8.1 on, and that before.
        for command in ["one-insn-per-tb on", "singlestep on"] {
            let line = json!({ "command-line": command });
            let said = self.ask_with("human-monitor-command", line)?;
            if said.as_str().is_some_and(str::is_empty) {
                return Ok(());
            }
        }
        Err(io::Error::other("the monitor knows neither one-insn-per-tb nor singlestep"))
    }

    /// How many instructions have been executed.
    ///
    /// # Errors
    /// What QEMU says.
    pub fn instructions(&mut self) -> io::Result<u64> {
        let answer = self.ask("query-replay")?;
        answer["icount"].as_u64().ok_or_else(|| io::Error::other("query-replay: no icount"))
    }
}
