//! The guest's process 1: mounts what a program expects, runs it, and hands all it says and saves to
//! the host before it powers off.
//!
//! Process 1 only forwards. It looks at nothing of the program that takes the program's mmap_lock,
//! so a program that hangs in the kernel does not take it along.

use super::job::{FOLDER, Job, PLACE};
use super::wire::Frame;
use crate::engine::mark;
use crate::exit::Exit;
use parking_lot::Mutex;
use rustix::mount::{MountFlags, mount};
use rustix::system::{RebootCommand, reboot};
use rustix::termios::{OptionalActions, tcdrain, tcgetattr, tcsetattr};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

/// Whether the program runs in a guest, whose files go with it: what is to be kept is named by --out.
pub fn is_one() -> bool {
    std::env::var_os(HAND_OVER).is_some()
}

/// Where the program leaves what process 1 forwards, in its environment.
const HAND_OVER: &str = "MAPSTORM_HAND_OVER";
/// The folder that it names.
const HANDED: &str = "/handed";
/// How often process 1 looks for new files.
const EVERY: Duration = Duration::from_millis(50);
/// How long a program that said how it ends may take to end. One with a thread stuck in the kernel
/// never does.
const GRACE: Duration = Duration::from_secs(2);

/// The job, where this is process 1 of a guest.
pub fn job() -> Option<Job> {
    if std::process::id() != 1 {
        return None;
    }
    serde_json::from_slice(&fs::read(PLACE).ok()?).ok()
}

/// Does the job and powers the machine off.
pub fn init(job: &Job) -> ! {
    if let Err(error) = work(job) {
        // The console is all that is left; the host shows its last lines.
        crate::console::to_stderr(format!("mapstorm in the guest: {error}\n").as_bytes());
    }
    rustix::fs::sync();
    let _ = reboot(RebootCommand::PowerOff);
    // Without ACPI the machine can't be turned off from inside: the host does it.
    loop {
        thread::sleep(Duration::from_secs(3600));
    }
}

/// Leaves the result for process 1 as JSON. Does nothing elsewhere.
pub fn hand_over(report: &impl Serialize) {
    let Some(folder) = std::env::var_os(HAND_OVER) else { return };
    let written = serde_json::to_vec(report).map_err(io::Error::from);
    leave(&PathBuf::from(folder), "report", written);
}

/// Leaves for process 1 where the program's marks lie. Does nothing elsewhere.
pub fn arrived() {
    let Some(folder) = std::env::var_os(HAND_OVER) else { return };
    let words = mark::addresses().map(|address| format!("{address:x}"));
    leave(&PathBuf::from(folder), "marks", Ok(words.join(" ").into_bytes()));
}

/// Tells process 1 how the program ends, just before it does: it may never be done with it. Does
/// nothing elsewhere.
pub fn leaving(exit: Exit) {
    let Some(folder) = std::env::var_os(HAND_OVER) else { return };
    leave(&PathBuf::from(folder), "exit", Ok(exit.code().to_string().into_bytes()));
}

/// Written aside and renamed: what bears the name is whole.
fn leave(folder: &Path, name: &str, content: io::Result<Vec<u8>>) {
    let (aside, place) = (folder.join(format!(".{name}")), folder.join(name));
    let left = content.and_then(|content| fs::write(&aside, content));
    if let Err(error) = left.and_then(|()| fs::rename(&aside, &place)) {
        crate::console::note(format_args!("{}: {error}", place.display()));
    }
}

/// The second serial port.
struct Port(Mutex<File>);

impl Port {
    fn open(path: &str) -> io::Result<Port> {
        let file = OpenOptions::new().write(true).open(path)?;
        // Bytes as they are: a terminal would put a carriage return before each newline.
        let mut terminal = tcgetattr(&file)?;
        terminal.make_raw();
        tcsetattr(&file, OptionalActions::Now, &terminal)?;
        Ok(Port(Mutex::new(file)))
    }

    /// Sends a frame. There is nobody to tell that it can't be sent; the host misses it.
    fn send(&self, frame: &Frame) {
        let _ = frame.write(&mut *self.0.lock());
    }

    fn trouble(&self, what: &str, why: &io::Error) {
        self.send(&Frame::Trouble(format!("{what}: {why}")));
    }

    /// Waits until all is sent.
    fn drain(&self) {
        let _ = tcdrain(&*self.0.lock());
    }
}

fn work(job: &Job) -> io::Result<()> {
    let mounted = mount_all();
    let port = Port::open(&job.port)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", job.port)))?;
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    port.send(&Frame::Begun(release));
    for (what, why) in &mounted {
        port.trouble(what, why);
    }
    let code = run(job, &port).unwrap_or_else(|error| {
        port.trouble("the program could not be run", &error);
        Exit::Internal.code()
    });
    port.send(&Frame::Ended(code));
    port.drain();
    Ok(())
}

/// Mounts; gives what could not be. A kernel without sysfs can still be stormed.
fn mount_all() -> Vec<(&'static str, io::Error)> {
    let rows = [
        ("proc", "/proc"),
        ("sysfs", "/sys"),
        ("devtmpfs", "/dev"),
        ("tmpfs", "/tmp"),
        ("tmpfs", FOLDER),
        ("tmpfs", HANDED),
    ];
    let mut failed = Vec::new();
    for (kind, place) in rows {
        let made = fs::create_dir_all(place);
        // The working folder may hold what the host put there.
        let holds = fs::read_dir(place).is_ok_and(|mut entries| entries.next().is_some());
        if holds && kind == "tmpfs" {
            continue;
        }
        let mounted = made.and_then(|()| Ok(mount(kind, place, kind, MountFlags::empty(), None)?));
        if let Err(error) = mounted {
            failed.push((place, error));
        }
    }
    failed
}

fn run(job: &Job, port: &Port) -> io::Result<i32> {
    let mut child = Command::new("/proc/self/exe")
        .args(&job.arguments)
        .current_dir(FOLDER)
        .env(HAND_OVER, HANDED)
        .env("HOME", "/")
        .env("TERM", "dumb")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let mut files = Files::new();
    thread::scope(|threads| {
        let out = threads.spawn(|| forward(stdout, |bytes| port.send(&Frame::Stdout(bytes))));
        let err = threads.spawn(|| forward(stderr, |bytes| port.send(&Frame::Stderr(bytes))));
        let (mut marks, mut report) = (false, false);
        let (code, dead) = until_over(&mut child, || {
            files.send(port, false);
            marks = marks || send_marks(port);
            report = report || send_report(port);
        })?;
        if dead {
            let _ = (out.join(), err.join());
        }
        // Nothing grows any more.
        files.send(port, true);
        if !report {
            send_report(port);
        }
        if !dead {
            // Its pipes stay open, and so would this scope. Nothing of the job is left to do.
            port.send(&Frame::Trouble(
                "the program said how it ends, and a thread of its is stuck in the kernel".into(),
            ));
            port.send(&Frame::Ended(code));
            port.drain();
            let _ = reboot(RebootCommand::PowerOff);
        }
        Ok(code)
    })
}

/// Waits for the program. Gives its exit code, and whether it is dead.
fn until_over(child: &mut Child, mut meanwhile: impl FnMut()) -> io::Result<(i32, bool)> {
    let mut said: Option<(i32, Instant)> = None;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok((code_of(status), true));
        }
        if said.is_none() {
            let text = fs::read_to_string(Path::new(HANDED).join("exit")).ok();
            let code = text.and_then(|text| text.trim().parse().ok());
            said = code.map(|code| (code, Instant::now()));
        }
        if let Some((code, since)) = said
            && since.elapsed() > GRACE
        {
            return Ok((code, false));
        }
        meanwhile();
        thread::sleep(EVERY);
    }
}

/// Sends where the program's marks lie, once it has said.
fn send_marks(port: &Port) -> bool {
    let Ok(text) = fs::read_to_string(Path::new(HANDED).join("marks")) else { return false };
    let numbers = text.split(' ').filter_map(|word| u64::from_str_radix(word, 16).ok());
    port.send(&Frame::Marks(numbers.collect()));
    true
}

/// Sends the program's result, once it is there. At once: a program that hangs is never done.
fn send_report(port: &Port) -> bool {
    let Ok(report) = fs::read(Path::new(HANDED).join("report")) else { return false };
    port.send(&Frame::Report(report));
    true
}

/// As shells have it: 128 and the number of the signal.
fn code_of(status: ExitStatus) -> i32 {
    status.code().or_else(|| status.signal().map(|number| 128 + number)).unwrap_or(-1)
}

fn forward(from: Option<impl Read>, send: impl Fn(Vec<u8>)) {
    let Some(mut from) = from else { return };
    let mut buffer = [0; 8192];
    while let Ok(got @ 1..) = from.read(&mut buffer) {
        send(buffer[..got].to_vec());
    }
}

/// What lies below the working folder, and was already sent.
struct Files {
    sent: BTreeMap<PathBuf, Stamp>,
    /// As they were at the last look: what still grows is not sent yet.
    last: BTreeMap<PathBuf, Stamp>,
}

/// What changes when a file does.
type Stamp = (u64, Option<SystemTime>);

impl Files {
    /// Those that the host put there count as sent.
    fn new() -> Files {
        let there = Files::there();
        Files { sent: there.clone(), last: there }
    }

    fn there() -> BTreeMap<PathBuf, Stamp> {
        let mut found = BTreeMap::new();
        let mut folders = vec![PathBuf::from(FOLDER)];
        while let Some(folder) = folders.pop() {
            let Ok(entries) = fs::read_dir(&folder) else { continue };
            for entry in entries.flatten() {
                let Ok(about) = entry.metadata() else { continue };
                let hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
                match about.is_dir() {
                    true => folders.push(entry.path()),
                    // What is being written has such a name.
                    false if hidden => {}
                    false => {
                        found.insert(entry.path(), (about.len(), about.modified().ok()));
                    }
                }
            }
        }
        found
    }

    /// Sends those that are new or have changed, and no longer do; with `all`, however they are.
    fn send(&mut self, port: &Port, all: bool) {
        let there = Files::there();
        for (path, stamp) in &there {
            let still = all || self.last.get(path) == Some(stamp);
            if !still || self.sent.get(path) == Some(stamp) {
                continue;
            }
            let name = path.strip_prefix(FOLDER).unwrap_or(path).display().to_string();
            match fs::read(path) {
                Ok(bytes) => port.send(&Frame::File(name, bytes)),
                Err(error) => port.trouble(&name, &error),
            }
            self.sent.insert(path.clone(), *stamp);
        }
        self.last = there;
    }
}
