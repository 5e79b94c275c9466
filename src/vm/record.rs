//! A log of a run of one CPU that QEMU replays elsewhere, forwards and backwards.

use super::qemu::{Files, Machine, Qemu};
use crate::command_line::quoted;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where QEMU's log of a run goes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Record {
    /// The folder of all that a replay takes.
    folder: PathBuf,
    /// Whether it has snapshots, without which a debugger goes forwards only.
    snapshots: bool,
}

const LOG: &str = "log";
const SNAPSHOTS: &str = "snapshots.qcow2";
/// The script that replays it.
const SCRIPT: &str = "replay";

impl Record {
    /// Makes the folder, which must not be there or be empty.
    ///
    /// # Errors
    /// Where it can't be made, or holds something.
    pub fn into(folder: &Path) -> io::Result<Record> {
        fs::create_dir_all(folder)?;
        if fs::read_dir(folder)?.next().is_some() {
            let why = "holds something already; take a new folder";
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, why));
        }
        // The file is never written to: it is where QEMU keeps the machine's state while it replays.
        let mut image = Command::new("qemu-img");
        image.args(["create", "-q", "-f", "qcow2"]).arg(folder.join(SNAPSHOTS)).arg("64M");
        let made = image.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
        let snapshots = made.is_ok_and(|status| status.success());
        Ok(Record { folder: folder.to_owned(), snapshots })
    }

    /// What goes behind the value of `-icount`, and what more arguments there are.
    pub fn arguments(&self, mode: &str, folder: &Path) -> (String, Vec<String>) {
        let log = folder.join(LOG).display().to_string();
        let mut words = format!(",rr={mode},rrfile={log}");
        let mut more = Vec::new();
        if self.snapshots {
            words += ",rrsnapshot=init";
            let file = folder.join(SNAPSHOTS).display().to_string();
            more = vec!["-drive".to_owned(), format!("file={file},if=none,id=snapshots")];
        }
        (words, more)
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Copies what a replay takes into the folder, and writes its script.
    ///
    /// # Errors
    /// What writing gave.
    pub fn finish(&self, qemu: &Qemu, machine: &Machine, files: &Files) -> io::Result<PathBuf> {
        fs::copy(&files.kernel, self.folder.join("kernel"))?;
        fs::copy(&files.initramfs, self.folder.join("initramfs"))?;
        let there = Files {
            kernel: "kernel".into(),
            initramfs: "initramfs".into(),
            console: "console".into(),
            port: "port".into(),
        };
        let words: Vec<String> = machine
            .with_log(&there, "replay", Path::new(""))
            .iter()
            .map(|word| quoted(word))
            .collect();
        let text = format!(
            "#!/bin/sh\n# Replays the run with {}. More arguments are added: with -S -gdb tcp::1234 it waits\n\
             # for a debugger{}.\ncd \"$(dirname \"$0\")\" && exec {} {} \"$@\"\n",
            qemu.version,
            if self.snapshots {
                ", which can go backwards, too (reverse-stepi, reverse-continue)"
            } else {
                ""
            },
            quoted(&qemu.program.display().to_string()),
            words.join(" "),
        );
        let script = self.folder.join(SCRIPT);
        fs::write(&script, text)?;
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
        Ok(script)
    }
}
