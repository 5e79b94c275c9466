//! What a guest saves, as files of the host.

use super::recipe::Recipe;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Component, Path, PathBuf};

/// The folder of one guest, made when the first file comes.
#[derive(Debug)]
pub struct Keep {
    folder: PathBuf,
    /// Under which path each of the guest's files lies here.
    paths: BTreeMap<String, PathBuf>,
}

impl Keep {
    /// Files go below `folder`.
    pub fn new(folder: PathBuf) -> Keep {
        Keep { folder, paths: BTreeMap::new() }
    }

    /// Saves a file that the guest had under `name`. A later version of it replaces the first, and
    /// nothing else is ever replaced: another name is taken.
    ///
    /// # Errors
    /// What writing gave.
    pub fn file(&mut self, name: &str, content: &[u8], recipe: &Recipe) -> io::Result<&Path> {
        let content = with_recipe(content, recipe);
        if let Some(path) = self.paths.get(name) {
            fs::write(path, &content)?;
        } else {
            let path = self.claim(name, &content)?;
            self.paths.insert(name.to_owned(), path);
        }
        Ok(&self.paths[name])
    }

    /// Writes the file under the first name like `name` that is free.
    fn claim(&self, name: &str, content: &[u8]) -> io::Result<PathBuf> {
        let wanted = self.folder.join(below(name));
        fs::create_dir_all(wanted.parent().unwrap_or(&self.folder))?;
        for number in 0.. {
            let path = numbered(&wanted, number);
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
                Ok(mut file) => return file.write_all(content).map(|()| path),
            }
        }
        unreachable!("the numbers do not end")
    }

    /// All that was saved.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.paths.values().map(PathBuf::as_path)
    }
}

/// The path without what would lead out of the folder: a guest may write any name.
fn below(name: &str) -> PathBuf {
    let parts = Path::new(name).components();
    let path: PathBuf = parts.filter(|part| matches!(part, Component::Normal(_))).collect();
    if path.as_os_str().is_empty() { "file".into() } else { path }
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    if number == 0 {
        return path.to_owned();
    }
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let extension = path.extension().map(|extension| extension.to_string_lossy());
    let extension = extension.map_or(String::new(), |extension| format!(".{extension}"));
    path.with_file_name(format!("{stem}.{number}{extension}"))
}

/// A saved violation with how to run its machine again; anything else as it is.
fn with_recipe(content: &[u8], recipe: &Recipe) -> Vec<u8> {
    let Ok(Value::Object(mut fields)) = serde_json::from_slice(content) else {
        return content.to_vec();
    };
    let kind = fields.get("kind").and_then(Value::as_str);
    if !kind.is_some_and(|kind| ["tear", "incident"].contains(&kind)) {
        return content.to_vec();
    }
    fields.insert("vm".into(), serde_json::to_value(recipe).expect("plain data"));
    let mut whole = serde_json::to_vec_pretty(&fields).expect("plain data");
    whole.push(b'\n');
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe() -> Recipe {
        Recipe {
            command: "mapstorm vm k".into(),
            image: "k".into(),
            qemu: "QEMU".into(),
            accel: "tcg".into(),
            parts: None,
        }
    }

    #[test]
    fn nothing_is_replaced_but_an_earlier_version_and_nothing_leads_out() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a.json"), "theirs").unwrap();
        let mut keep = Keep::new(dir.path().to_owned());
        let save = |keep: &mut Keep, name: &str, content: &str| {
            keep.file(name, content.as_bytes(), &recipe()).unwrap().to_owned()
        };
        assert_eq!(save(&mut keep, "a.json", "1"), dir.path().join("a.1.json"));
        assert_eq!(save(&mut keep, "a.json", "2"), dir.path().join("a.1.json"));
        assert_eq!(save(&mut keep, "../../etc/b", "3"), dir.path().join("etc/b"));
        assert_eq!(save(&mut keep, "/", "4"), dir.path().join("file"));
        let read = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
        assert_eq!((read("a.json"), read("a.1.json")), ("theirs".into(), "2".into()));
        assert_eq!(keep.paths().count(), 3);
    }

    #[test]
    fn a_saved_violation_says_how_to_run_its_machine_again() {
        let told = with_recipe(br#"{"kind": "tear", "seed": "0x1"}"#, &recipe());
        let told: Value = serde_json::from_slice(&told).unwrap();
        assert_eq!(told["vm"]["command"], "mapstorm vm k");
        for other in [&br#"{"name": "a scenario"}"#[..], b"no JSON", b"[1]"] {
            assert_eq!(with_recipe(other, &recipe()), other);
        }
    }
}
