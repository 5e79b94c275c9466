//! Where a kernel image comes from, and for which machine it is.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use tempfile::TempDir;

/// An image that can't be booted.
#[derive(Debug, thiserror::Error)]
#[error("{}: {why}", path.display())]
pub struct ImageError {
    path: PathBuf,
    why: Why,
}

#[derive(Debug, thiserror::Error)]
enum Why {
    #[error("{0}")]
    Read(#[from] io::Error),
    #[error(
        "is no kernel image; give a bzImage (arch/x86/boot/bzImage, /boot/vmlinuz-*) or an arm64 \
         Image (arch/arm64/boot/Image), or a package with --kernel-of"
    )]
    Unknown,
    #[error(
        "is a vmlinux, which is for debuggers; give the bzImage or Image of the same build (in its \
         tree arch/x86/boot/bzImage or arch/arm64/boot/Image), and this one with --vmlinux"
    )]
    Vmlinux,
    #[error("is a compressed EFI image; give the Image of the same build (arch/arm64/boot/Image)")]
    Zboot,
    #[error("is a 32-bit kernel; mapstorm needs a 64-bit one")]
    Bits,
    #[error(
        "is a folder without arch/x86/boot/bzImage and arch/arm64/boot/Image; build the kernel there (make bzImage), or name the image itself"
    )]
    NotBuilt,
    #[error(
        "holds no boot/vmlinuz-*; the package with the image is often called linux-image-*-unsigned or linux-binary-*"
    )]
    NoImage,
    #[error(
        "can't be unpacked by dpkg-deb: {0}; install dpkg, or unpack the package and name the image in it"
    )]
    Unpack(String),
}

/// A kernel image.
#[derive(Clone, Debug)]
pub struct Image {
    /// Where it is.
    pub path: PathBuf,
    /// How it was named.
    pub given: PathBuf,
    /// Whether it was named as a package.
    pub of_package: bool,
    /// A short name for tables.
    pub name: String,
    /// Which machine it is for, in uname's word.
    pub arch: &'static str,
    /// The vmlinux beside it, where one is.
    pub vmlinux: Option<PathBuf>,
    /// What was unpacked stays for as long.
    _unpacked: Option<Arc<TempDir>>,
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// Where the image lies in a build tree.
const IN_TREE: [&str; 2] = ["arch/x86/boot/bzImage", "arch/arm64/boot/Image"];
/// Bytes from the image's start that tell what it is.
const HEAD: usize = 4096;

impl Image {
    /// An image, or a build tree that has one.
    ///
    /// # Errors
    /// Where there is none.
    pub fn at(given: &Path) -> Result<Image, ImageError> {
        let failed = |why: Why| ImageError { path: given.to_owned(), why };
        let about = fs::metadata(given).map_err(|error| failed(error.into()))?;
        let path = match about.is_dir() {
            false => given.to_owned(),
            true => {
                let mut built = IN_TREE.iter().map(|place| given.join(place));
                built.find(|path| path.exists()).ok_or_else(|| failed(Why::NotBuilt))?
            }
        };
        let arch = arch_of(&path).map_err(failed)?;
        let beside = match about.is_dir() {
            true => given.join("vmlinux"),
            false => PathBuf::from(format!("{}.vmlinux", given.display())),
        };
        Ok(Image {
            name: name_of(given),
            path,
            given: given.to_owned(),
            of_package: false,
            arch,
            vmlinux: beside.exists().then_some(beside),
            _unpacked: None,
        })
    }

    /// The image in a Debian package.
    ///
    /// # Errors
    /// Where there is none, or the package can't be unpacked.
    pub fn of_package(package: &Path) -> Result<Image, ImageError> {
        let failed = |why: Why| ImageError { path: package.to_owned(), why };
        fs::metadata(package).map_err(|error| failed(error.into()))?;
        let folder = TempDir::with_prefix("mapstorm-").map_err(|error| failed(error.into()))?;
        let unpacked = Command::new("dpkg-deb").arg("-x").arg(package).arg(folder.path()).output();
        match unpacked {
            Ok(output) if output.status.success() => {}
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
                return Err(failed(Why::Unpack(said)));
            }
            Err(error) => return Err(failed(Why::Unpack(error.to_string()))),
        }
        let path = find_image(folder.path()).ok_or_else(|| failed(Why::NoImage))?;
        let arch = arch_of(&path).map_err(failed)?;
        Ok(Image {
            name: name_in_package(&path),
            path,
            given: package.to_owned(),
            of_package: true,
            arch,
            vmlinux: None,
            _unpacked: Some(Arc::new(folder)),
        })
    }
}

/// The last part of the path, or of the folder's full path where it is `.`.
fn name_of(given: &Path) -> String {
    let full = fs::canonicalize(given);
    let full = full.as_deref().unwrap_or(given);
    let last = given.file_name().or_else(|| full.file_name()).unwrap_or_default();
    last.to_string_lossy().trim_start_matches("vmlinuz-").to_owned()
}

/// The version in `boot/vmlinuz-VERSION` or `modules/VERSION/vmlinuz`.
fn name_in_package(image: &Path) -> String {
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    match (name(image).strip_prefix("vmlinuz-"), image.parent()) {
        (Some(version), _) => version.to_owned(),
        (None, Some(folder)) => name(folder),
        (None, None) => name(image),
    }
}

/// The image in what a package holds: in boot/, or with the modules.
fn find_image(folder: &Path) -> Option<PathBuf> {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).ok()?.flatten() {
            let name = entry.file_name();
            // A folder that can't be looked at is not the image.
            let Ok(about) = entry.file_type() else { continue };
            if about.is_dir() {
                folders.push(entry.path());
            } else if about.is_file() && name.to_string_lossy().starts_with("vmlinuz") {
                return Some(entry.path());
            }
        }
    }
    None
}

fn arch_of(path: &Path) -> Result<&'static str, Why> {
    use std::io::Read;
    let mut head = Vec::with_capacity(HEAD);
    fs::File::open(path)?.take(HEAD as u64).read_to_end(&mut head)?;
    let at = |from: usize, magic: &[u8]| head.get(from..from + magic.len()) == Some(magic);
    // Documentation/arch/x86/boot.rst: "HdrS" at 0x202, xloadflags at 0x236, whose lowest bit says
    // that there is a 64-bit entry.
    if at(0x202, b"HdrS") {
        let flags = head.get(0x236).copied().unwrap_or(0);
        return if flags & 1 == 1 { Ok("x86_64") } else { Err(Why::Bits) };
    }
    // Documentation/arch/arm64/booting.rst: the magic number at 56.
    if at(56, b"ARM\x64") {
        return Ok("aarch64");
    }
    match () {
        // include/linux/pe.h, LINUX_PE_MAGIC of a compressed image.
        () if at(4, b"zimg") => Err(Why::Zboot),
        () if at(0, b"\x7fELF") => Err(Why::Vmlinux),
        () => Err(Why::Unknown),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(content: &[u8]) -> Result<&'static str, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), content).unwrap();
        Image::at(file.path()).map(|image| image.arch).map_err(|error| error.to_string())
    }

    fn with(at: usize, magic: &[u8]) -> Vec<u8> {
        let mut content = vec![0; HEAD];
        content[at..at + magic.len()].copy_from_slice(magic);
        content
    }

    #[test]
    fn images_are_told_by_their_magic_numbers() {
        let mut bz = with(0x202, b"HdrS");
        assert!(told(&bz).unwrap_err().contains("32-bit"));
        bz[0x236] = 1;
        assert_eq!(told(&bz), Ok("x86_64"));
        assert_eq!(told(&with(56, b"ARM\x64")), Ok("aarch64"));
    }

    #[test]
    fn what_is_no_image_says_what_to_give() {
        assert!(told(b"#!/bin/sh").unwrap_err().contains("arch/x86/boot/bzImage"));
        assert!(told(&with(0, b"\x7fELF")).unwrap_err().contains("--vmlinux"));
        assert!(told(&with(4, b"zimg")).unwrap_err().contains("arch/arm64/boot/Image"));
        let folder = TempDir::new().unwrap();
        assert!(Image::at(folder.path()).unwrap_err().to_string().contains("make bzImage"));
        fs::create_dir_all(folder.path().join("arch/x86/boot")).unwrap();
        let mut bz = with(0x202, b"HdrS");
        bz[0x236] = 1;
        fs::write(folder.path().join(IN_TREE[0]), bz).unwrap();
        let image = Image::at(folder.path()).unwrap();
        assert_eq!((image.arch, image.path.ends_with(IN_TREE[0])), ("x86_64", true));
    }

    #[test]
    fn an_image_in_a_package_is_named_by_its_version() {
        let name = |path: &str| name_in_package(Path::new(path));
        assert_eq!(name("x/boot/vmlinuz-6.16.12+deb13-rt-amd64"), "6.16.12+deb13-rt-amd64");
        assert_eq!(name("x/usr/lib/modules/7.3.4+deb13-rt-amd64/vmlinuz"), "7.3.4+deb13-rt-amd64");
    }
}
