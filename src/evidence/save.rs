//! Saving violations while the storm goes on.

use super::examine::Shown;
use super::incident::SavedIncident;
use super::prove::Proof;
use super::provenance::Origins;
use super::rescue::Rescue;
use super::target::{OwnFolder, Target};
use super::tear::Tear;
use crate::engine::{Findings, Found, Incident, Signature, Witness};
use rustix::fs::RenameFlags;
use rustix::io::Errno;
use serde::Serialize;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What the second checker says of an incident.
pub(super) fn checked(saved: &SavedIncident) -> Checked {
    match saved.examine() {
        Ok(Shown::Mismatch(_)) => Checked::Proved,
        Ok(Shown::Stall | Shown::Splat) => Checked::Witnessed,
        Ok(Shown::Doubtful(_)) => Checked::Undecided,
        Ok(Shown::Other { said, is }) => Checked::Disagrees(format!("not {said}, but {is}")),
        Ok(Shown::Alike) => Checked::Disagrees("it finds nothing wrong".into()),
        Err(flaw) => Checked::Disagrees(format!("the evidence {flaw}")),
    }
}

/// The directory can't be used.
#[derive(Debug, thiserror::Error)]
#[error("--out {}: {source}; tears can only be kept in a directory that can be written", dir.display())]
pub struct OutError {
    dir: PathBuf,
    source: io::Error,
}

/// What the second checker said of a violation before it was announced.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Checked {
    /// That it proves a violation.
    Proved,
    /// That the account is consistent; a stall can't be proved.
    Witnessed,
    /// That the evidence does not suffice; so it was for all examples of the signature.
    Undecided,
    /// Something else than the first: one of the two is wrong.
    Disagrees(String),
}

/// A violation that was dealt with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Kept {
    /// Its signature.
    pub signature: Signature,
    /// What the second checker said.
    pub checked: Checked,
    /// Where it was saved; `None` when it was not, or when it is no longer there.
    pub path: Option<PathBuf>,
    /// Bytes written there.
    pub size: u64,
    /// Why it could not be saved, or is not there any more.
    pub trouble: Option<String>,
}

/// The most examples that the second checker may fail to decide before the signature is taken as
/// it is: each costs the storm a moment's rest.
const MOST_UNDECIDED: usize = 32;
/// Bytes of violations that are held in memory because they could not be saved.
const MOST_HELD: usize = 64 << 20;
/// Bytes that the buffer starts with; a large tear takes some hundred thousand.
const BUFFER: usize = 1 << 20;

/// Takes the examples of new signatures, has the second checker judge them, and saves them.
///
/// Works while the storm's threads rest: the second checker allocates, and a file system takes
/// its time.
pub struct Saver {
    origins: Origins,
    out: Option<Out>,
    kept: Vec<Kept>,
    undecided: usize,
    buffer: Vec<u8>,
    /// What could not be saved, to be tried again in the end: the number in `kept`, what the file
    /// is called after, its content.
    held: Vec<(usize, String, Vec<u8>)>,
    /// What saves a stall before it comes here.
    rescue: Option<Arc<Rescue>>,
}

/// A folder that evidence is saved in.
pub(super) struct Out {
    /// Nothing before a folder of the run's own is made.
    open: Option<(PathBuf, File)>,
    own: Option<Arc<OwnFolder>>,
}

impl Saver {
    /// A keeper that saves where it is told to, or only judges.
    ///
    /// # Errors
    /// When the directory that was given can't be made or written.
    pub fn new(origins: Origins, target: &Target) -> Result<Saver, OutError> {
        Ok(Saver {
            origins,
            out: target.out()?,
            kept: Vec::new(),
            undecided: 0,
            buffer: Vec::with_capacity(BUFFER),
            held: Vec::new(),
            rescue: None,
        })
    }

    /// The same, to which a stall comes when `rescue` has saved it.
    #[must_use]
    pub fn with_rescue(mut self, rescue: Arc<Rescue>) -> Saver {
        self.rescue = Some(rescue);
        self
    }

    /// Deals with all examples that are new, and gives what became of them. To be called while
    /// no reader is at work.
    pub fn keep(&mut self, findings: &Findings) -> &[Kept] {
        let before = self.kept.len();
        findings.look(|found, example| self.take(found, example));
        findings.take_mishaps(|incident| self.take_incident(&incident));
        &self.kept[before..]
    }

    /// Tries again to save what could not be saved, and then looks whether all that was saved is
    /// there. To be called when the storm is over.
    pub fn finish(&mut self) {
        let Some(out) = &mut self.out else { return };
        for (number, named, content) in self.held.drain(..) {
            put(&mut self.kept, number, out.save(&named, &content));
        }
        for kept in &mut self.kept {
            kept.look();
        }
    }

    /// All tears dealt with.
    pub fn kept(&self) -> &[Kept] {
        &self.kept
    }

    fn take(&mut self, found: &Found, example: &Witness) -> Option<usize> {
        let mut tear = Tear::new(&found.signature, example, &self.origins);
        let checked = match tear.prove() {
            Ok(Proof::Violation(_)) => Checked::Proved,
            // The reader remembered more of the walk than the piece that proves it, and named it
            // after that. The violation is the same, and the file has its own name for it.
            Ok(Proof::Renamed { is, .. }) => {
                tear.signature = is;
                Checked::Proved
            }
            // With a part of the walk gone the rest may tell another story, or none.
            Ok(proof) if proof == Proof::Undecided || !example.whole => {
                if self.undecided < MOST_UNDECIDED {
                    self.undecided += 1;
                    return None;
                }
                Checked::Undecided
            }
            Ok(Proof::Other { said, is }) => Checked::Disagrees(format!("not {said}, but {is}")),
            Ok(_) => Checked::Disagrees("it finds nothing wrong".into()),
            Err(flaw) => Checked::Disagrees(format!("the evidence {flaw}")),
        };
        self.save(found.signature, &tear.signature, checked, &tear);
        Some(self.kept.len() - 1)
    }

    fn take_incident(&mut self, incident: &Incident) {
        let saved = self.rescue.as_ref().and_then(|rescue| rescue.saved());
        if let (Incident::Stall(_), Some(kept)) = (incident, saved) {
            // Whoever found it has saved it.
            self.kept.push(kept.clone());
            return;
        }
        let (saved, signature) = SavedIncident::new(incident, &self.origins);
        if matches!(incident, Incident::Mismatch(mismatch) if !mismatch.text.whole) {
            let trouble = "the arena had longer lines than there was room for".into();
            let (checked, trouble) = (Checked::Undecided, Some(trouble));
            self.kept.push(Kept { signature, checked, path: None, size: 0, trouble });
            return;
        }
        self.save(signature, &saved.signature, checked(&saved), &saved);
    }

    /// Saves what was dealt with, where anything is saved.
    fn save(
        &mut self,
        signature: Signature,
        named: &str,
        checked: Checked,
        content: &impl Serialize,
    ) {
        let number = self.kept.len();
        self.kept.push(Kept { signature, checked, path: None, size: 0, trouble: None });
        let Some(out) = &mut self.out else { return };
        self.buffer.clear();
        serde_json::to_writer_pretty(&mut self.buffer, content).expect("plain data into memory");
        self.buffer.push(b'\n');
        self.kept[number].size = self.buffer.len() as u64;
        let saved = out.save(named, &self.buffer);
        let held: usize = self.held.iter().map(|(.., content)| content.len()).sum();
        if saved.is_err() && held + self.buffer.len() <= MOST_HELD {
            self.held.push((number, named.to_owned(), self.buffer.clone()));
        }
        put(&mut self.kept, number, saved);
    }
}

/// Notes what became of saving `kept[number]`.
fn put(kept: &mut [Kept], number: usize, saved: io::Result<PathBuf>) {
    match saved {
        Ok(path) => {
            // A name is only given when it is free: what had it before went with its folder.
            let before = kept.iter_mut().filter(|kept| kept.path.as_ref() == Some(&path));
            before.for_each(|kept| kept.is_gone("a later one has its name"));
            (kept[number].path, kept[number].trouble) = (Some(path), None);
        }
        Err(error) => kept[number].trouble = Some(error.to_string()),
    }
}

impl Kept {
    /// Whether the file is there as it was written; if not, it is not told as kept.
    fn look(&mut self) {
        let Some(path) = &self.path else { return };
        match std::fs::metadata(path) {
            Ok(there) if there.is_file() && there.len() == self.size => {}
            Ok(_) => {
                let trouble = "its file was changed after it was saved";
                (self.path, self.trouble) = (None, Some(trouble.into()));
            }
            Err(error) => self.is_gone(&error.to_string()),
        }
    }

    fn is_gone(&mut self, why: &str) {
        let trouble = format!("its file was saved, and is no longer there: {why}");
        (self.path, self.trouble) = (None, Some(trouble));
    }
}

impl Out {
    /// The directory, made and tried.
    pub(super) fn at(dir: &Path) -> Result<Out, OutError> {
        Out::open(dir).map_err(|source| OutError { dir: dir.to_owned(), source })
    }

    /// A folder that is made when something is saved.
    pub(super) fn later(own: Arc<OwnFolder>) -> Out {
        Out { open: None, own: Some(own) }
    }

    /// Makes the directory and tries it.
    fn open(dir: &Path) -> io::Result<Out> {
        std::fs::create_dir_all(dir)?;
        let out = Out { open: Some((dir.to_owned(), File::open(dir)?)), own: None };
        let (file, path) = Out::aside(dir, "try")?;
        drop(file);
        std::fs::remove_file(path)?;
        Ok(out)
    }

    /// A new file under a name that no saved tear has.
    fn aside(dir: &Path, name: &str) -> io::Result<(File, PathBuf)> {
        let process = std::process::id();
        for attempt in 0.. {
            let path = dir.join(format!(".{name}.{process}-{attempt}.tmp"));
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                other => return other.map(|file| (file, path)),
            }
        }
        unreachable!("the attempts do not end")
    }

    /// Writes aside, syncs, then renames: a file that has its name is whole, now and after a crash.
    fn save(&mut self, signature: &str, content: &[u8]) -> io::Result<PathBuf> {
        self.put(signature, content, |file| file.sync_all())
    }

    /// Writes aside and renames. It is safe from a crash once it is [synced](Out::sync).
    pub(super) fn save_unsynced(&mut self, signature: &str, content: &[u8]) -> io::Result<PathBuf> {
        self.put(signature, content, |_| Ok(()))
    }

    /// Makes the names in the folder safe.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.open.as_ref().map_or(Ok(()), |(_, handle)| handle.sync_all())
    }

    /// The directory; one of the run's own is made here.
    fn dir(&mut self) -> io::Result<PathBuf> {
        match (&self.open, &self.own) {
            (Some((dir, _)), _) => Ok(dir.clone()),
            (None, Some(own)) => {
                let dir = own.make()?.to_owned();
                let handle = File::open(&dir)?;
                self.open = Some((dir.clone(), handle));
                Ok(dir)
            }
            (None, None) => unreachable!("one that was given is open"),
        }
    }

    fn put(
        &mut self,
        signature: &str,
        content: &[u8],
        sync: impl Fn(&File) -> io::Result<()>,
    ) -> io::Result<PathBuf> {
        let stem = signature.replace('/', ".");
        let dir = self.dir()?;
        let (mut file, aside) = match Out::aside(&dir, &stem) {
            // The directory went away in mid-run (what cleans up /tmp does that); it is asked for
            // still.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                std::fs::create_dir_all(&dir)?;
                self.open = Some((dir.clone(), File::open(&dir)?));
                Out::aside(&dir, &stem)
            }
            other => other,
        }?;
        let written = file.write_all(content).and_then(|()| sync(&file));
        let named = written.and_then(|()| Out::name(&dir, &aside, &stem));
        let (_, handle) = self.open.as_ref().expect("the directory was asked for above");
        let named = named.and_then(|path| sync(handle).map(|()| path));
        if named.is_err() {
            // A full disk is no reason to leave half a file behind.
            let _ = std::fs::remove_file(&aside);
        }
        named
    }

    /// Moves a file to the first free name for its signature. Never over another file: two runs
    /// may share the directory.
    fn name(dir: &Path, aside: &Path, stem: &str) -> io::Result<PathBuf> {
        for number in 1.. {
            let path = dir.join(format!("{stem}-{number}.json"));
            match move_to_free(aside, &path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
                Ok(()) => return Ok(path),
            }
        }
        unreachable!("the numbers do not end")
    }
}

/// Renames, and fails when the name is taken.
fn move_to_free(from: &Path, to: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, renameat_with};
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // Not every file system can: claim the name with an empty file, and replace that.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
            OpenOptions::new().write(true).create_new(true).open(to)?;
            std::fs::rename(from, to)
        }
        other => Ok(other?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_never_taken_twice() {
        let dir = std::env::temp_dir().join(format!("mapstorm-keep-{}", std::process::id()));
        Out::open(&dir).unwrap();
        let mut names = Vec::new();
        for _ in 0..3 {
            let (_, aside) = Out::aside(&dir, "hole").unwrap();
            names.push(Out::name(&dir, &aside, "hole").unwrap());
        }
        names.dedup();
        assert_eq!((names.len(), std::fs::read_dir(&dir).unwrap().count()), (3, 3));
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[test]
    fn a_name_that_is_given_again_tells_that_the_first_file_is_gone() {
        let signature = Signature::bare(crate::oracle::Class::Stall);
        let one = Kept { signature, checked: Checked::Proved, path: None, size: 0, trouble: None };
        let mut kept = [one.clone(), one.clone(), one];
        for (number, name) in ["a", "b", "a"].into_iter().enumerate() {
            put(&mut kept, number, Ok(name.into()));
        }
        let there: Vec<bool> = kept.iter().map(|kept| kept.path.is_some()).collect();
        assert_eq!(there, [false, true, true]);
        assert!(kept[0].trouble.as_ref().unwrap().contains("no longer there"));
        put(&mut kept, 0, Ok("a".into()));
        assert!(kept[0].path.is_some() && kept[0].trouble.is_none() && kept[2].path.is_none());
    }

    #[test]
    fn a_directory_that_cannot_be_is_named_with_its_flag() {
        let error = Out::open(Path::new("/proc/self/none"))
            .map_err(|source| OutError { dir: "/proc/self/none".into(), source });
        assert!(error.err().unwrap().to_string().starts_with("--out /proc/self/none"));
    }
}
