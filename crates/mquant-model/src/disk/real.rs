//! The operating system's files.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{CWD, FlockOperation, OFlags, RenameFlags, flock, renameat_with, statvfs};
use rustix::io::Errno;

use super::{Disk, DiskFile, DiskLock, Entry, Links, Lock};

/// Most bytes of a lock file that are read.
const HOLDER_BYTES: u64 = 100;
/// How often a lock is tried whose file is removed in between.
const LOCK_ATTEMPTS: usize = 100;

/// The operating system's files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RealDisk;

impl RealDisk {
    /// To be handed to writers.
    pub fn shared() -> super::SharedDisk {
        std::sync::Arc::new(Self)
    }
}

#[derive(Debug)]
struct RealFile(File);

impl Write for RealFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl DiskFile for RealFile {
    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_all()
    }
}

/// A file whose lock goes when it is closed.
#[derive(Debug)]
struct RealLock(#[expect(dead_code, reason = "held to keep the lock")] File);

impl DiskLock for RealLock {}

/// Never waits, as opening a pipe would; never follows a link.
fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.custom_flags((OFlags::NONBLOCK | OFlags::NOFOLLOW).bits() as i32);
    options
}

fn regular(file: File) -> io::Result<File> {
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is no regular file")) }
}

impl Disk for RealDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(RealFile(File::create_new(path)?)))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(regular(options().read(true).open(path)?)?))
    }

    fn entry(&self, path: &Path, links: Links) -> io::Result<Option<Entry>> {
        let found = match links {
            Links::Themselves => path.symlink_metadata(),
            Links::Followed => path.metadata(),
        };
        match found {
            Ok(found) if found.is_file() => Ok(Some(Entry::File { bytes: found.len() })),
            Ok(found) if found.is_dir() => Ok(Some(Entry::Folder)),
            Ok(found) if found.is_symlink() => Ok(Some(Entry::Link)),
            Ok(_) => Ok(Some(Entry::Other)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<OsString>> {
        let names = fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>();
        names.map(|mut names| {
            names.sort();
            names
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
            // A file system that cannot promise it: then what is there is looked for just before.
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => match self.entry(to, Links::Themselves)? {
                Some(_) => Err(io::ErrorKind::AlreadyExists.into()),
                None => fs::rename(from, to),
            },
            done => Ok(done?),
        }
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        fs::create_dir(path)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn lock(&self, path: &Path, holder: &str) -> io::Result<Lock> {
        for _ in 0..LOCK_ATTEMPTS {
            let file = regular(options().read(true).write(true).create(true).truncate(false).open(path)?)?;
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(Errno::WOULDBLOCK) => {
                    let mut by = Vec::new();
                    file.take(HOLDER_BYTES).read_to_end(&mut by)?;
                    return Ok(Lock::Held { by: String::from_utf8_lossy(&by).into_owned() });
                }
                Err(e) => return Err(e.into()),
            }
            // Its last holder may have removed the file between opening and locking; then others lock a new one.
            let ours = file.metadata()?;
            match path.symlink_metadata() {
                Ok(there) if (there.dev(), there.ino()) == (ours.dev(), ours.ino()) => {}
                Ok(_) => continue,
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                Err(e) => return Err(e),
            }
            file.set_len(0)?;
            (&file).write_all(holder.as_bytes())?;
            return Ok(Lock::Taken(Box::new(RealLock(file))));
        }
        Ok(Lock::Held { by: String::new() })
    }

    fn free_bytes(&self, folder: &Path) -> io::Result<u64> {
        let found = statvfs(folder)?;
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind<T>(result: io::Result<T>) -> io::ErrorKind {
        result.err().expect("an error").kind()
    }

    #[test]
    fn the_promised_kinds_of_errors() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        let disk = RealDisk;
        disk.create(&at("a")).unwrap().write_all(b"a").unwrap();
        disk.create_folder(&at("f")).unwrap();
        disk.create(&at("f/x")).unwrap();
        assert_eq!(kind(disk.create(&at("a"))), io::ErrorKind::AlreadyExists);
        assert_eq!(kind(disk.create_folder(&at("a"))), io::ErrorKind::AlreadyExists);
        for taken in ["a", "f"] {
            assert_eq!(kind(disk.rename_new(&at("f"), &at(taken))), io::ErrorKind::AlreadyExists, "{taken}");
        }
        fs::create_dir(at("empty")).unwrap();
        assert_eq!(kind(disk.rename_new(&at("f"), &at("empty"))), io::ErrorKind::AlreadyExists);
        assert_eq!(kind(disk.remove_folder(&at("f"))), io::ErrorKind::DirectoryNotEmpty);
        for gone in [kind(disk.open(&at("b"))), kind(disk.list(&at("b"))), kind(disk.remove_file(&at("b")))] {
            assert_eq!(gone, io::ErrorKind::NotFound);
        }
        assert!(disk.open(&at("f")).is_err(), "a folder is no file");
        assert_eq!(disk.list(root.path()).unwrap(), ["a", "empty", "f"]);
        assert_eq!(disk.entry(&at("a"), Links::Themselves).unwrap(), Some(Entry::File { bytes: 1 }));
        std::os::unix::fs::symlink("nowhere", at("l")).unwrap();
        assert_eq!(disk.entry(&at("l"), Links::Themselves).unwrap(), Some(Entry::Link));
        assert_eq!(disk.entry(&at("l"), Links::Followed).unwrap(), None);
        assert!(disk.open(&at("l")).is_err() && disk.lock(&at("l"), "").is_err(), "links are not followed");
        assert!(disk.free_bytes(root.path()).unwrap() > 0);
    }

    #[test]
    fn a_lock_has_one_holder_until_it_is_dropped() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("lock");
        let Lock::Taken(first) = RealDisk.lock(&path, "the first holder").unwrap() else { panic!("nobody has it") };
        let Lock::Held { by } = RealDisk.lock(&path, "x").unwrap() else { panic!("there are two") };
        assert_eq!(by, "the first holder");
        drop(first);
        let Lock::Taken(_second) = RealDisk.lock(&path, "2nd").unwrap() else { panic!("it was freed") };
        assert_eq!(fs::read(&path).unwrap(), b"2nd");
        fs::remove_file(&path).unwrap();
        assert!(matches!(RealDisk.lock(&path, "").unwrap(), Lock::Taken(_)), "a removed file locks nothing");
    }
}
