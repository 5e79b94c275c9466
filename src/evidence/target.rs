//! Where evidence goes: nowhere, to a folder that was asked for, or to one that is made for it.

use super::save::{Out, OutError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// Where evidence goes.
#[derive(Clone, Debug)]
pub enum Target {
    /// Nowhere; it is only judged.
    Nowhere,
    /// To this folder, which is made and tried before the run.
    Given(PathBuf),
    /// To a folder of the run's own, made when there is something to put in it.
    Own(Arc<OwnFolder>),
}

/// A folder that is made at the first violation. All that save in one run share it.
#[derive(Debug)]
pub struct OwnFolder {
    name: String,
    within: Vec<PathBuf>,
    made: OnceLock<PathBuf>,
}

/// Folders of one name at most: runs of the same seed in the same place.
const MOST_OF_A_NAME: usize = 1000;

impl Target {
    /// A folder of the run's own: `mapstorm-SEED` in the current folder, or where that can't be
    /// written, in the one for temporary files.
    pub fn own(seed: u64) -> Target {
        Target::within(vec![PathBuf::new(), std::env::temp_dir()], seed)
    }

    fn within(within: Vec<PathBuf>, seed: u64) -> Target {
        let name = format!("mapstorm-{seed:x}");
        Target::Own(Arc::new(OwnFolder { name, within, made: OnceLock::new() }))
    }

    /// What saves there.
    pub(super) fn out(&self) -> Result<Option<Out>, OutError> {
        match self {
            Target::Nowhere => Ok(None),
            Target::Given(dir) => Out::at(dir).map(Some),
            Target::Own(folder) => Ok(Some(Out::later(Arc::clone(folder)))),
        }
    }
}

impl OwnFolder {
    /// The folder, made by the first that asks. Nobody waits here for another: whoever saves a stall
    /// can't.
    pub(super) fn make(&self) -> io::Result<&Path> {
        if let Some(made) = self.made.get() {
            return Ok(made);
        }
        let mut refused = io::Error::from(io::ErrorKind::NotFound);
        for within in &self.within {
            match self.make_in(within) {
                Ok(path) => {
                    if self.made.set(path.clone()).is_err() {
                        // Another was first. Nothing is in it yet; where it stays, it is empty.
                        let _ = std::fs::remove_dir(&path);
                    }
                    return Ok(self.made.get().expect("set by one of the two"));
                }
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }

    /// Makes it under the first name that is free: what another run saved is not mixed with it.
    fn make_in(&self, within: &Path) -> io::Result<PathBuf> {
        let name = |number| match number {
            1 => within.join(&self.name),
            _ => within.join(format!("{}-{number}", self.name)),
        };
        for path in (1..=MOST_OF_A_NAME).map(name) {
            match std::fs::create_dir(&path) {
                Ok(()) => return Ok(path),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(within: Vec<PathBuf>) -> Arc<OwnFolder> {
        match Target::within(within, 0x7) {
            Target::Own(folder) => folder,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_folder_is_made_once_and_never_one_that_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let within = || vec![dir.path().to_owned()];
        let (first, second) = (folder(within()), folder(within()));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "made before it is needed");
        assert_eq!(first.make().unwrap(), dir.path().join("mapstorm-7"));
        assert_eq!(first.make().unwrap(), dir.path().join("mapstorm-7"));
        assert_eq!(second.make().unwrap(), dir.path().join("mapstorm-7-2"));
    }

    #[test]
    fn where_nothing_can_be_made_the_next_place_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let nowhere = PathBuf::from("/proc/self");
        let made = folder(vec![nowhere.clone(), dir.path().to_owned()]);
        assert_eq!(made.make().unwrap(), dir.path().join("mapstorm-7"));
        assert!(folder(vec![nowhere]).make().is_err());
    }
}
