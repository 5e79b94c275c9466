//! QEMU's gdb stub, as far as stopping a machine takes it: breakpoints and going on.

use super::monitor::connect;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// A connection to it. While there is none the machine stays as it is.
pub struct Stub(UnixStream);

impl Stub {
    /// Connects. QEMU stops the machine.
    ///
    /// # Errors
    /// Where QEMU does not answer.
    pub fn open(path: &Path) -> io::Result<Stub> {
        let mut stub = Stub(connect(path)?);
        // It sends the threads' names only to those that ask.
        stub.ask("qSupported:multiprocess+")?;
        stub.ask("vCont?")?;
        Ok(stub)
    }

    fn send(&mut self, packet: &str) -> io::Result<()> {
        let sum = packet.bytes().fold(0u8, u8::wrapping_add);
        self.0.write_all(format!("${packet}#{sum:02x}").as_bytes())
    }

    /// The next packet. Acknowledgements are left out.
    fn receive(&mut self) -> io::Result<String> {
        let mut byte = [0];
        let mut packet = Vec::new();
        loop {
            self.0.read_exact(&mut byte)?;
            if byte == *b"$" {
                break;
            }
        }
        loop {
            self.0.read_exact(&mut byte)?;
            if byte == *b"#" {
                break;
            }
            packet.push(byte[0]);
        }
        let mut sum = [0; 2];
        self.0.read_exact(&mut sum)?;
        self.0.write_all(b"+")?;
        Ok(String::from_utf8_lossy(&packet).into_owned())
    }

    fn ask(&mut self, packet: &str) -> io::Result<String> {
        self.send(packet)?;
        self.receive()
    }

    fn expect(&mut self, packet: &str, answer: &str) -> io::Result<()> {
        let said = self.ask(packet)?;
        match said == answer {
            true => Ok(()),
            false => Err(io::Error::other(format!("gdb stub: {packet} gave {said:?}"))),
        }
    }

    /// Stops every CPU that comes to this address, in whatever process.
    ///
    /// # Errors
    /// What QEMU says.
    pub fn stop_at(&mut self, address: u64) -> io::Result<()> {
        self.expect(&format!("Z0,{address:x},1"), "OK")
    }

    /// No longer stops there.
    ///
    /// # Errors
    /// What QEMU says.
    pub fn forget(&mut self, address: u64) -> io::Result<()> {
        self.expect(&format!("z0,{address:x},1"), "OK")
    }

    /// Lets the machine go on.
    ///
    /// # Errors
    /// What writing gave.
    pub fn go_on(&mut self) -> io::Result<()> {
        self.send("c")
    }

    /// Whether it has stopped; waits so long for it.
    ///
    /// # Errors
    /// Where QEMU ended.
    pub fn has_stopped(&mut self, wait: Duration) -> io::Result<bool> {
        self.0.set_read_timeout(Some(wait))?;
        let got = self.receive();
        self.0.set_read_timeout(None)?;
        match got {
            Ok(packet) if packet.starts_with(['T', 'S']) => Ok(true),
            Ok(packet) => Err(io::Error::other(format!("gdb stub: {packet:?}"))),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }
}
