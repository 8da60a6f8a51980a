//! A model folder as a confined place: names come from untrusted files, and none of them leads outside.
//!
//! A name must be that of an entry of the folder, byte for byte. A symbolic link is followed only when what it finally names
//! lies inside the folder, or inside `blobs` of the same model of a Hub cache, where snapshots are links by design. Only
//! regular files are read; opening never waits, so a pipe cannot hang it. A hard link cannot be told from the file itself.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;

use super::error::CheckpointError;
use crate::excerpt::excerpt;

/// A folder opened once: its true path, and the names in it.
#[derive(Debug)]
pub(crate) struct Folder {
    given: PathBuf,
    root: PathBuf,
    names: BTreeSet<String>,
}

impl Folder {
    /// Lists the folder. The path itself is the user's and may be a link.
    pub(crate) fn open(path: &Path) -> Result<Self, CheckpointError> {
        let no_folder = |e: io::Error| match e.kind() {
            io::ErrorKind::NotFound => CheckpointError::NoFolder { given: excerpt(&path.to_string_lossy()) },
            _ => CheckpointError::io(&excerpt(&path.to_string_lossy()), e),
        };
        let root = path.canonicalize().map_err(no_folder)?;
        if !root.is_dir() {
            return Err(CheckpointError::NotAFolder { given: excerpt(&path.to_string_lossy()) });
        }
        let mut names = BTreeSet::new();
        for entry in root.read_dir().map_err(no_folder)? {
            // A name that is not Unicode cannot be asked for.
            names.extend(entry.map_err(no_folder)?.file_name().into_string().ok());
        }
        Ok(Self { given: path.to_owned(), root, names })
    }

    /// The path that was given.
    pub(crate) fn path(&self) -> &Path {
        &self.given
    }

    /// The true path.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Whether an entry of that very name is there.
    pub(crate) fn contains(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// All names, sorted.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// Opens a regular file of the folder for reading.
    pub(crate) fn open_file(&self, name: &str) -> Result<File, CheckpointError> {
        check_name(name)?;
        if !self.contains(name) {
            return Err(CheckpointError::NoFile { file: excerpt(name) });
        }
        let io_error = |e: io::Error| CheckpointError::io(name, e);
        let file = match open_beneath(&self.root, Path::new(name)) {
            Err(Errno::LOOP | Errno::MLINK) => {
                let target = self.root.join(name).canonicalize().map_err(|e| match e.kind() {
                    io::ErrorKind::NotFound => CheckpointError::NoFile { file: name.to_owned() },
                    _ => io_error(e),
                })?;
                let (base, inside) = self.confine(&target).ok_or_else(|| CheckpointError::PathEscape {
                    name: excerpt(name),
                    reason: "it is a link that leaves the folder",
                })?;
                open_beneath(&base, inside)
            }
            opened => opened,
        };
        let file = file.map_err(|e| io_error(e.into()))?;
        if !file.metadata().map_err(io_error)?.is_file() {
            return Err(CheckpointError::NotRegular { file: name.to_owned() });
        }
        Ok(file)
    }

    /// The whole of a file of at most `most` bytes.
    pub(crate) fn read(&self, name: &str, most: u64) -> Result<Vec<u8>, CheckpointError> {
        let file = self.open_file(name)?;
        let io_error = |e: io::Error| CheckpointError::io(name, e);
        let mut bytes = Vec::new();
        let size = file.metadata().map_err(io_error)?.len();
        // One byte more than allowed, so that a file that grows is noticed.
        file.take(most + 1).read_to_end(&mut bytes).map_err(io_error)?;
        let bytes_found = size.max(bytes.len() as u64);
        if bytes_found > most {
            return Err(CheckpointError::TooLong { file: name.to_owned(), bytes: bytes_found, most });
        }
        Ok(bytes)
    }

    /// The trusted base that a link's final target lies in, and the way from there.
    fn confine<'t>(&self, target: &'t Path) -> Option<(PathBuf, &'t Path)> {
        if let Ok(inside) = target.strip_prefix(&self.root) {
            return Some((self.root.clone(), inside));
        }
        let blobs = cache_model(&self.root)?.join("blobs");
        target.strip_prefix(&blobs).ok().map(|inside| (blobs.clone(), inside))
    }
}

/// The `models--org--name` folder of the Hub cache that `root` is a snapshot of.
fn cache_model(root: &Path) -> Option<&Path> {
    let snapshots = root.parent().filter(|p| p.file_name().is_some_and(|name| name == "snapshots"))?;
    let model = snapshots.parent()?;
    model.file_name()?.to_str()?.starts_with("models--").then_some(model)
}

/// Opens `inside`, relative to `base`, refusing links on every step.
pub(crate) fn open_beneath(base: &Path, inside: &Path) -> Result<File, Errno> {
    let folder = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut at = openat(CWD, base, folder, Mode::empty())?;
    let mut steps = inside.components().peekable();
    while let Some(Component::Normal(step)) = steps.next() {
        if steps.peek().is_none() {
            let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            return openat(&at, step, flags, Mode::empty()).map(File::from);
        }
        at = openat(&at, step, folder | OFlags::NOFOLLOW, Mode::empty())?;
    }
    Err(Errno::INVAL)
}

/// Whether a name is one plain step on every system the folder may have come from.
pub(crate) fn check_name(name: &str) -> Result<(), CheckpointError> {
    let stem = name.split('.').next().unwrap_or("").to_ascii_uppercase();
    let device = matches!(stem.as_str(), "CON" | "PRN" | "AUX" | "NUL")
        || (stem.len() == 4
            && (stem.starts_with("COM") || stem.starts_with("LPT"))
            && stem.as_bytes()[3].is_ascii_digit());
    let reason = if name.is_empty() || name.len() > 255 {
        "expected 1 to 255 bytes"
    } else if name == "." || name == ".." {
        "it names a folder"
    } else if name.contains(['/', '\\']) {
        "expected a file of the folder itself, found a path"
    } else if name.contains(|c: char| c.is_control() || "<>:\"|?*".contains(c)) {
        "it has a character that is not portable in file names"
    } else if name.ends_with(['.', ' ']) || name.starts_with(' ') {
        "it begins with a space or ends with a space or dot"
    } else if device {
        "it is the name of a device"
    } else {
        return Ok(());
    };
    Err(CheckpointError::PathEscape { name: excerpt(name), reason })
}
