//! QEMU: which one, and with which arguments.

use super::digest::Digest;
use super::record::Record;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// QEMU can't be used.
#[derive(Debug, thiserror::Error)]
pub enum QemuError {
    /// There is none.
    #[error(
        "{program} is not there ({source}); install it (Debian: apt install {package}; Fedora: dnf install {program}), or name one with --qemu"
    )]
    Missing {
        /// The program.
        program: String,
        /// Debian's package.
        package: &'static str,
        /// Why.
        source: io::Error,
    },
    /// It does not say what it is.
    #[error("{program} --version failed: {said}")]
    Broken {
        /// The program.
        program: String,
        /// What it said.
        said: String,
    },
}

/// A QEMU for one kind of machine.
#[derive(Clone, Debug)]
pub struct Qemu {
    /// How it is called.
    pub program: PathBuf,
    /// What it says of its version.
    pub version: String,
    /// Of the program and the firmware that it puts into the machine.
    pub digest: Digest,
}

/// What runs the guest's instructions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Accel {
    /// The host's CPUs.
    Kvm,
    /// QEMU's translator, a thread for each CPU of the guest.
    Tcg,
    /// The same in one thread, with the instructions counted.
    Exact,
}

impl Accel {
    /// Its word in reports.
    pub const fn word(self) -> &'static str {
        match self {
            Accel::Kvm => "kvm",
            Accel::Tcg => "tcg",
            Accel::Exact => "exact",
        }
    }
}

/// Files that QEMU loads into a machine by itself.
const FIRMWARE: [&str; 4] = ["bios-256k.bin", "kvmvapic.bin", "linuxboot_dma.bin", "linuxboot.bin"];
const SHARE: [&str; 2] = ["share/qemu", "share/seabios"];

impl Qemu {
    /// The one that was named, or that for `arch` from $PATH.
    ///
    /// # Errors
    /// Where there is none.
    pub fn find(arch: &str, named: Option<&Path>) -> Result<Qemu, QemuError> {
        let usual = PathBuf::from(format!("qemu-system-{arch}"));
        let program = named.map_or(usual, Path::to_owned);
        let name = program.display().to_string();
        let package = if arch == "aarch64" { "qemu-system-arm" } else { "qemu-system-x86" };
        let asked = Command::new(&program).arg("--version").stdin(Stdio::null()).output();
        let output = asked.map_err(|source| QemuError::Missing {
            program: name.clone(),
            package,
            source,
        })?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let version = said.lines().next().unwrap_or_default().trim().to_owned();
        if !output.status.success() || version.is_empty() {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(QemuError::Broken { program: name, said });
        }
        let mut files = Vec::new();
        if let Some(path) = on_path(&program) {
            let prefix = path.parent().and_then(Path::parent).map(Path::to_owned);
            files.push(path);
            let folders = prefix.iter().flat_map(|prefix| SHARE.map(|share| prefix.join(share)));
            for folder in folders {
                files.extend(FIRMWARE.map(|name| folder.join(name)));
            }
        }
        let digest = Digest::of_files(files.iter().map(PathBuf::as_path));
        Ok(Qemu { program, version, digest })
    }
}

/// Where $PATH has the program.
fn on_path(program: &Path) -> Option<PathBuf> {
    if program.components().count() > 1 {
        return std::fs::canonicalize(program).ok();
    }
    let path = std::env::var_os("PATH")?;
    let mut places = std::env::split_paths(&path).map(|folder| folder.join(program));
    places.find(|place| place.is_file()).and_then(|place| std::fs::canonicalize(place).ok())
}

/// A machine.
#[derive(Clone, Debug)]
pub struct Machine {
    /// uname's word.
    pub arch: &'static str,
    /// How many CPUs.
    pub cpus: u16,
    /// As QEMU's -m has it.
    pub memory: String,
    /// What to add to the kernel's command line.
    pub append: String,
    /// What runs it.
    pub accel: Accel,
    /// The seed of the machine's own randomness.
    pub seed: u64,
    /// Where its log goes, of an exact machine of one CPU.
    pub record: Option<Record>,
}

/// Where a machine's files lie.
#[derive(Clone, Debug)]
pub struct Files {
    /// The kernel image.
    pub kernel: PathBuf,
    /// The initramfs.
    pub initramfs: PathBuf,
    /// What the first serial port says.
    pub console: PathBuf,
    /// What the second does.
    pub port: PathBuf,
}

/// Nanoseconds of the guest's time for an instruction, as a power of two: 500 instructions in a
/// microsecond.
const SHIFT: u32 = 1;

impl Machine {
    /// The device of the second serial port in the guest.
    pub const fn port(arch: &str) -> &'static str {
        // On arm64 the console is ttyAMA0, so the only 8250 is the first.
        match arch.as_bytes() {
            b"aarch64" => "/dev/ttyS0",
            _ => "/dev/ttyS1",
        }
    }

    /// The kernel's command line.
    fn kernel_words(&self) -> String {
        let console = if self.arch == "aarch64" { "ttyAMA0" } else { "ttyS0" };
        // A panic ends the machine at once. The addresses are the same in each boot of an image, so
        // that a debugger finds what it looks for.
        let mut words = format!("console={console} panic=-1 loglevel=5 nokaslr 8250.nr_uarts=4");
        if self.accel == Accel::Exact {
            // The host's load does not show in its time, so what takes as long as this hangs.
            words += " rcupdate.rcu_cpu_stall_timeout=4 watchdog_thresh=4";
        }
        if !self.append.is_empty() {
            words = format!("{words} {}", self.append);
        }
        words
    }

    /// QEMU's arguments.
    pub fn arguments(&self, files: &Files) -> Vec<String> {
        let folder = self.record.as_ref().map_or_else(PathBuf::new, |log| log.folder().to_owned());
        self.with_log(files, "record", &folder)
    }

    /// The same with the log in this folder, to be written (`record`) or to be read (`replay`).
    pub fn with_log(&self, files: &Files, mode: &str, folder: &Path) -> Vec<String> {
        let (more, drive) =
            self.record.as_ref().map(|log| log.arguments(mode, folder)).unwrap_or_default();
        let mut args: Vec<String> = Vec::new();
        let mut add = |words: &[&str]| args.extend(words.iter().map(|&word| word.to_owned()));
        let arm = self.arch == "aarch64";
        if arm {
            add(&["-machine", "virt"]);
        }
        match self.accel {
            Accel::Kvm => add(&["-accel", "kvm", "-cpu", "host"]),
            Accel::Tcg => add(&["-accel", "tcg,thread=multi", "-cpu", cpu(arm, false)]),
            Accel::Exact => {
                add(&["-accel", "tcg,thread=single", "-cpu", cpu(arm, true)]);
                add(&["-icount", &format!("shift={SHIFT},sleep=off{more}")]);
                // No clock and no random numbers from outside.
                add(&["-seed", &self.seed.to_string()]);
                add(&["-rtc", "base=2026-01-01T00:00:00,clock=vm"]);
            }
        }
        add(&["-smp", &self.cpus.to_string(), "-m", &self.memory]);
        add(&["-display", "none", "-monitor", "none", "-nodefaults", "-no-reboot"]);
        let console = files.console.display().to_string();
        let port = files.port.display().to_string();
        // Files, not pipes: a pipe that is full would hold the guest up, at a moment that the host
        // decides.
        add(&["-serial", &format!("file:{}", escaped(&console))]);
        match arm {
            false => add(&["-serial", &format!("file:{}", escaped(&port))]),
            true => {
                add(&["-chardev", &format!("file,id=port,path={}", escaped(&port))]);
                add(&["-device", "pci-serial,chardev=port"]);
            }
        }
        add(&["-kernel", &files.kernel.display().to_string()]);
        add(&["-initrd", &files.initramfs.display().to_string()]);
        add(&["-append", &self.kernel_words()]);
        args.extend(drive);
        args
    }
}

/// A comma begins the next option in QEMU, two stand for one.
fn escaped(path: &str) -> String {
    path.replace(',', ",,")
}

const fn cpu(arm: bool, exact: bool) -> &'static str {
    match (arm, exact) {
        // The architecture's own pointer authentication takes more time to emulate than all else.
        (true, _) => "max,pauth-impdef=on",
        (false, true) => "max,-rdrand,-rdseed",
        (false, false) => "max",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(accel: Accel) -> Machine {
        Machine {
            arch: "x86_64",
            cpus: 2,
            memory: "1G".into(),
            append: "quiet".into(),
            accel,
            seed: 7,
            record: None,
        }
    }

    fn files() -> Files {
        Files { kernel: "k".into(), initramfs: "i".into(), console: "a,b".into(), port: "p".into() }
    }

    #[test]
    fn only_an_exact_machine_counts_instructions_and_only_it_has_a_seed() {
        let words = |accel| machine(accel).arguments(&files()).join(" ");
        let exact = words(Accel::Exact);
        for word in ["-icount shift=1,sleep=off", "-seed 7", "clock=vm", "-rdrand", "thread=single"]
        {
            assert!(exact.contains(word), "{word}: {exact}");
            assert!(!words(Accel::Tcg).contains(word), "{word}");
        }
        assert!(exact.contains("nokaslr 8250.nr_uarts=4 rcupdate") && exact.contains("file:a,,b"));
    }

    #[test]
    fn a_qemu_that_is_not_there_is_an_error_with_the_package() {
        let none = Qemu::find("x86_64", Some(Path::new("/no/such/qemu"))).unwrap_err();
        assert!(none.to_string().contains("apt install qemu-system-x86"), "{none}");
        let broken = Qemu::find("x86_64", Some(Path::new("/bin/false"))).unwrap_err();
        assert!(matches!(broken, QemuError::Broken { .. }));
    }
}
