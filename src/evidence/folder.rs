//! Folders of saved violations.

use crate::oracle::Class;
use std::io;
use std::path::{Path, PathBuf};

/// A folder that holds nothing to look at.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// It can't be listed.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It can, and no file in it is named as a saved violation is.
    #[error("{}: no saved violation in this folder; their names are like hole.replaced-in-flight.remap.walk-1.json", path.display())]
    Empty {
        /// The folder.
        path: PathBuf,
    },
}

/// The files meant by paths: a folder means the violations saved in it, by name. What else lies in
/// it, such as a report or a scenario, is not meant.
///
/// # Errors
/// When a folder can't be listed, or has none.
pub fn saved_in(paths: &[PathBuf]) -> Result<Vec<PathBuf>, FolderError> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let unreadable = |source| FolderError::Unreadable { path: path.clone(), source };
        let entries: io::Result<Vec<PathBuf>> = std::fs::read_dir(path)
            .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect());
        let mut there = entries.map_err(unreadable)?;
        there.retain(|file| is_named_after_a_violation(file));
        if there.is_empty() {
            return Err(FolderError::Empty { path: path.clone() });
        }
        there.sort();
        files.append(&mut there);
    }
    Ok(files)
}

/// Whether the name is one that a saved violation is given: its class first, `.json` last.
fn is_named_after_a_violation(file: &Path) -> bool {
    let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let class = name.split_once('.').and_then(|(class, _)| class.parse::<Class>().ok());
    class.is_some() && name.ends_with(".json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_means_the_violations_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for name in [
            "torn.-.map.walk-1.json",
            "hole.-.map.walk-2.json",
            ".hole.-.map.walk.1-0.tmp",
            "report.json",
            "hole.txt",
        ] {
            std::fs::write(at(name), "").unwrap();
        }
        let paths = [PathBuf::from("elsewhere.json"), dir.path().to_owned()];
        let saved = [at("hole.-.map.walk-2.json"), at("torn.-.map.walk-1.json")];
        assert_eq!(saved_in(&paths).unwrap(), [&paths[..1], &saved].concat());
    }

    #[test]
    fn a_folder_without_violations_is_told() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("report.json"), "").unwrap();
        let error = saved_in(&[dir.path().to_owned()]).unwrap_err().to_string();
        assert!(error.contains("no saved violation in this folder"), "{error}");
    }
}
