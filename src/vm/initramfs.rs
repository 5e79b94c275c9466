//! The initramfs: mapstorm as the only program in it, with the files that it is linked to.

use super::elf;
use super::job::{FOLDER, Job, PLACE};
use cpio::newc;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write};
use std::path::{Component, Path, PathBuf};

/// A program that can't be put in.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// A file can't be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is for another kind of machine.
    #[error("{}: is a program for {is}, and the kernel is for {kernel}; give one with --guest: a mapstorm that is linked statically for {kernel}", path.display())]
    Machine {
        /// The program.
        path: PathBuf,
        /// What it is for.
        is: String,
        /// What the kernel is for.
        kernel: &'static str,
    },
    /// It is linked to libraries that are not known.
    #[error("{}: is linked to libraries; --guest takes a program that is linked statically (a musl target), or leave it out to take this one", path.display())]
    Linked {
        /// The program.
        path: PathBuf,
    },
}

/// The program and the files that it needs, by their places in the guest.
#[derive(Clone, Debug)]
pub struct Program {
    files: BTreeMap<PathBuf, Vec<u8>>,
}

fn read(path: &Path) -> Result<Vec<u8>, ProgramError> {
    fs::read(path).map_err(|source| ProgramError::Read { path: path.to_owned(), source })
}

impl Program {
    /// This program: its own file, and of all files that it has mapped those that are programs or
    /// libraries.
    ///
    /// # Errors
    /// Where one can't be read, or this is no program for `arch`.
    pub fn own(arch: &'static str) -> Result<Program, ProgramError> {
        let exe = Path::new("/proc/self/exe");
        let itself = read(exe)?;
        let real = fs::read_link(exe).unwrap_or_else(|_| exe.to_owned());
        of_machine(&real, &itself, arch)?;
        let mut files = BTreeMap::new();
        let maps = read(Path::new("/proc/self/maps"))?;
        for path in mapped(&String::from_utf8_lossy(&maps)) {
            if path == real {
                continue;
            }
            let content = read(&path)?;
            if elf::machine(&content).is_some() {
                files.insert(path, content);
            }
        }
        // The kernel loads the loader from the path that the program names, which may be a link to
        // where it is mapped from.
        if let Some(loader) = elf::interpreter(&itself) {
            let loader = PathBuf::from(loader);
            let content = read(&loader)?;
            files.insert(loader, content);
        }
        files.insert("/init".into(), itself);
        Ok(Program { files })
    }

    /// Another program, linked statically.
    ///
    /// # Errors
    /// Where it can't be read, is linked otherwise, or is no program for `arch`.
    pub fn other(path: &Path, arch: &'static str) -> Result<Program, ProgramError> {
        let itself = read(path)?;
        of_machine(path, &itself, arch)?;
        if elf::interpreter(&itself).is_some() {
            return Err(ProgramError::Linked { path: path.to_owned() });
        }
        Ok(Program { files: BTreeMap::from([("/init".into(), itself)]) })
    }

    /// Its files, by their places.
    pub fn files(&self) -> impl Iterator<Item = (&Path, &[u8])> {
        self.files.iter().map(|(path, content)| (path.as_path(), content.as_slice()))
    }
}

fn of_machine(path: &Path, content: &[u8], kernel: &'static str) -> Result<(), ProgramError> {
    match elf::machine(content) {
        Some(machine) if machine == kernel => Ok(()),
        machine => Err(ProgramError::Machine {
            path: path.to_owned(),
            is: machine.unwrap_or("no known machine").to_owned(),
            kernel,
        }),
    }
}

/// The files in the text of maps.
fn mapped(maps: &str) -> BTreeSet<PathBuf> {
    let names = maps.lines().filter_map(|line| Some(&line[line.find('/')?..]));
    names.filter(|name| !name.ends_with(" (deleted)")).map(PathBuf::from).collect()
}

/// Where in the guest a file of the host lies that the arguments name.
pub fn place(path: &Path) -> PathBuf {
    let below = |path: &Path| -> PathBuf {
        path.components().filter(|part| matches!(part, Component::Normal(_))).collect()
    };
    match path.is_absolute() {
        true => path.to_owned(),
        false => Path::new(FOLDER).join(below(path)),
    }
}

/// The archive. The same program, job and inputs make the same bytes.
///
/// # Errors
/// Where a file is too large for the format.
pub fn pack(
    program: &Program,
    job: &Job,
    inputs: &BTreeMap<PathBuf, Vec<u8>>,
) -> io::Result<Vec<u8>> {
    let job = serde_json::to_vec(job)?;
    let mut files: BTreeMap<&Path, (&[u8], u32)> = BTreeMap::new();
    files.extend(program.files().map(|(path, content)| (path, (content, 0o755))));
    files
        .extend(inputs.iter().map(|(path, content)| (path.as_path(), (content.as_slice(), 0o644))));
    files.insert(Path::new(PLACE), (&job, 0o644));
    let mut folders = BTreeSet::from([PathBuf::from(FOLDER), "/proc".into(), "/dev".into()]);
    for path in files.keys() {
        folders.extend(path.ancestors().skip(1).map(Path::to_owned));
    }
    folders.remove(Path::new("/"));
    let mut archive = Vec::new();
    let mut number = 1;
    let mut add = |archive: &mut Vec<u8>, path: &Path, content: &[u8], mode: u32| {
        let name = path.strip_prefix("/").unwrap_or(path).display().to_string();
        let size = u32::try_from(content.len()).map_err(|_| {
            io::Error::new(io::ErrorKind::FileTooLarge, format!("{name}: 4 GiB or more"))
        })?;
        let mut entry = newc::Builder::new(&name).ino(number).mode(mode).write(archive, size);
        number += 1;
        entry.write_all(content)?;
        entry.finish().map(drop)
    };
    // A folder comes before what is in it: their order is that of their names.
    for folder in &folders {
        add(&mut archive, folder, &[], 0o040_755)?;
    }
    for (path, (content, mode)) in &files {
        add(&mut archive, path, content, 0o100_000 | mode)?;
    }
    newc::trailer(&mut archive)?;
    Ok(archive)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_holds_everything_below_folders_that_come_first() {
        let program = Program::own(std::env::consts::ARCH).unwrap();
        let job = Job { port: "/dev/ttyS1".into(), arguments: vec!["probe".into()] };
        let inputs = BTreeMap::from([(place(Path::new("a/b.json")), b"{}".to_vec())]);
        let archive = pack(&program, &job, &inputs).unwrap();
        assert_eq!(archive, pack(&program, &job, &inputs).unwrap());
        let (mut names, mut rest) = (Vec::new(), archive.as_slice());
        loop {
            let reader = newc::Reader::new(rest).unwrap();
            if reader.entry().is_trailer() {
                break;
            }
            names.push(reader.entry().name().to_owned());
            if names.last().unwrap() == "mapstorm-job.json" {
                let mut content = Vec::new();
                rest = reader.to_writer(&mut content).unwrap();
                assert_eq!(serde_json::from_slice::<Job>(&content).unwrap(), job);
            } else {
                rest = reader.finish().unwrap();
            }
        }
        let at =
            |name: &str| names.iter().position(|n| n == name).unwrap_or_else(|| panic!("{name}"));
        assert!(at("work") < at("work/a") && at("work/a") < at("work/a/b.json"));
        let exe = fs::read("/proc/self/exe").unwrap();
        if let Some(loader) = elf::interpreter(&exe) {
            at(loader.trim_start_matches('/'));
        }
        at("init");
    }

    #[test]
    fn mapped_files_are_named_once_and_without_those_that_are_gone() {
        let maps = "1-2 r--p 0 00:01 7 /lib/libc.so.6\n2-3 r-xp 1 00:01 7 /lib/libc.so.6\n\
                    3-4 rw-p 0 00:00 0\n4-5 rw-s 0 00:01 9 /memfd:m (deleted)\n5-6 r--p 0 0:0 0 [vdso]\n";
        assert_eq!(mapped(maps), BTreeSet::from(["/lib/libc.so.6".into()]));
    }

    #[test]
    fn inputs_lie_where_the_arguments_name_them() {
        assert_eq!(place(Path::new("/tmp/t.json")), Path::new("/tmp/t.json"));
        assert_eq!(place(Path::new("./t.json")), Path::new("/work/t.json"));
    }
}
