//! What a guest's console says of how it fared.

use std::borrow::Cow;

/// Lines that are shown of it.
const LAST: usize = 12;

/// What stands on a console, without what moves a terminal's cursor.
pub fn plain(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let stripped = anstream::adapter::strip_str(&text).to_string();
    stripped.chars().filter(|c| *c == '\n' || *c == '\t' || !c.is_control()).collect()
}

/// The last lines.
pub fn last_lines(console: &str) -> Vec<String> {
    let lines: Vec<&str> = console.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(LAST)..].iter().map(|&line| line.to_owned()).collect()
}

/// The first line that has one of these.
fn line<'a>(console: &'a str, words: &[&str]) -> Option<&'a str> {
    let mut lines = console.lines();
    let found = lines.find(|line| words.iter().any(|word| line.contains(word)))?;
    // The kernel's own time before it is of no use here.
    Some(found.split_once("] ").map_or(found, |(_, rest)| rest).trim())
}

/// The kernel's own words where it gave up.
pub fn panic(console: &str) -> Option<&str> {
    line(console, &["Kernel panic - not syncing"])
}

/// The kernel's own words where CPUs or tasks no longer get anywhere (kernel/watchdog.c,
/// kernel/rcu/tree_stall.h, kernel/hung_task.c).
pub fn hang(console: &str) -> Option<&str> {
    let words = [
        "soft lockup",
        "detected stalls on",
        "self-detected stall",
        "hard LOCKUP",
        "blocked for more than",
    ];
    line(console, &words)
}

/// Whether a console as it came has such words.
pub fn hangs(bytes: &[u8]) -> bool {
    hang(&plain(bytes)).is_some()
}

/// Why a guest in which process 1 never spoke did not, with what to do. `said` is what QEMU wrote
/// on stderr.
pub fn never_began(console: &str, said: &str) -> String {
    let rows: [(&[&str], &str); 9] = [
        (
            &["cannot set up guest memory", "Cannot allocate memory"],
            "the host has no memory for the guest; make --memory or --jobs smaller",
        ),
        (
            &[
                "deadlocked on memory",
                "Out of memory",
                "Initramfs unpacking failed: write error",
                "not enough memory",
                "initrd is too large",
                "exceeds ram",
                "Memory hotplug",
            ],
            "the guest has too little memory; make --memory larger",
        ),
        (
            &["Failed to execute /init (error -8)"],
            "the kernel can't run the program; it takes CONFIG_BINFMT_ELF, and --guest a program for its machine",
        ),
        (
            &["Failed to execute /init (error -2)"],
            "the kernel did not find the program's loader; give one that is linked statically with --guest",
        ),
        (
            &[
                "Unable to mount root fs",
                "Cannot open root device",
                "No working init found",
                "Initramfs unpacking failed",
                "junk within compressed archive",
            ],
            "the kernel did not take the initramfs; it needs CONFIG_BLK_DEV_INITRD",
        ),
        (
            &["/dev/ttyS"],
            "the guest has no second serial port; the kernel needs CONFIG_SERIAL_8250 built in, for two \
          ports (CONFIG_SERIAL_8250_RUNTIME_UARTS=2), on arm64 CONFIG_SERIAL_8250_PCI",
        ),
        (
            &[
                "invalid kernel header",
                "could not load kernel",
                "unsupported PVH",
                "Error loading uncompressed kernel",
            ],
            "QEMU does not take the kernel image; give the bzImage or Image of the build",
        ),
        (
            &[
                "not supported by this emulator",
                "invalid accelerator",
                "is not supported",
                "Invalid CPU",
                "invalid SMP",
                "Invalid SMP",
                "parameter",
                "Parameter",
                "invalid option",
            ],
            "QEMU does not take its arguments; see --cpus and --memory, or take a QEMU from 7.2 on with --qemu",
        ),
        (
            &["Attempted to kill init"],
            "the program could not go on as process 1; the console's last lines tell why",
        ),
    ];
    let text = format!("{said}\n{console}");
    let found = rows.iter().find_map(|(words, remedy)| Some((line(&text, words)?, *remedy)));
    match (found, panic(console)) {
        (Some((line, remedy)), _) => format!("{remedy} (\"{line}\")"),
        (None, Some(line)) => format!("the kernel gave up while it booted (\"{line}\")"),
        (None, None) if !said.trim().is_empty() => {
            let said: Cow<'_, str> = said.trim().lines().next_back().unwrap_or_default().into();
            format!("QEMU ended: {said}")
        }
        (None, None) if console.trim().is_empty() => {
            "nothing came over the serial ports; the kernel needs CONFIG_SERIAL_8250_CONSOLE (arm64: \
             CONFIG_SERIAL_AMBA_PL011_CONSOLE), and on a busy host more time: --timeout"
                .to_owned()
        }
        (None, None) => "the kernel did not come to process 1; it needs CONFIG_BLK_DEV_INITRD, and on a \
                         busy host more time: --timeout"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_console_is_told_without_its_controls_and_by_its_end() {
        let text = plain(b"\x1bc\x1b[2JSeaBIOS\r\n\r\n[    0.1] one\r\n");
        assert_eq!(text, "SeaBIOS\n\n[    0.1] one\n");
        assert_eq!(last_lines(&text), ["SeaBIOS", "[    0.1] one"]);
        let long: String = (0..100).map(|line| format!("{line}\n")).collect();
        assert_eq!(last_lines(&long).first().map(String::as_str), Some("88"));
    }

    #[test]
    fn each_trouble_has_its_remedy() {
        for (console, said, remedy) in [
            (
                "",
                "qemu: cannot set up guest memory 'pc.ram': Cannot allocate memory",
                "--memory or --jobs smaller",
            ),
            (
                "[ 1.0] Kernel panic - not syncing: System is deadlocked on memory",
                "",
                "--memory larger",
            ),
            (
                "[ 1.0] VFS: Unable to mount root fs on unknown-block(0,0)",
                "",
                "CONFIG_BLK_DEV_INITRD",
            ),
            ("mapstorm in the guest: /dev/ttyS1: No such file", "", "second serial port"),
            ("", "", "CONFIG_SERIAL_8250_CONSOLE"),
            ("[ 0.1] Linux version 7.3", "", "--timeout"),
            (
                "[ 0.1] Kernel panic - not syncing: odd",
                "",
                "while it booted (\"Kernel panic - not syncing: odd\")",
            ),
            ("", "qemu: something new", "QEMU ended: qemu: something new"),
        ] {
            let told = never_began(console, said);
            assert!(told.contains(remedy), "{told}");
        }
    }

    #[test]
    fn the_kernels_own_words_are_found() {
        let console =
            "[ 5.0] a\n[   35.1] rcu: INFO: rcu_sched self-detected stall on CPU\n[ 36] b";
        assert_eq!(hang(console), Some("rcu: INFO: rcu_sched self-detected stall on CPU"));
        assert_eq!(panic(console), None);
    }
}
