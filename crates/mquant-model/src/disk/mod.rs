//! Every file operation by which something is written, behind one trait, so that tests can pull the plug at each of them.
//!
//! Enters: paths and bytes. Leaves: files that are there whole, as far as the caller keeps the order *write, sync the file,
//! rename, sync the folder*. [`RealDisk`] is the operating system's; all code that writes takes a [`SharedDisk`].
//!
//! Invariants: an operation that failed did not half succeed, except that a failed write may have written a part, and a
//! failed sync may have lost anything since the last one that succeeded: nobody may sync again and believe the answer.

mod real;
mod tree;

use std::ffi::OsString;
use std::fmt::Debug;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;

pub use real::RealDisk;
pub use tree::{create_folders, folder_of, remove_tree};

/// A disk that several writers use.
pub type SharedDisk = Arc<dyn Disk>;

/// The operations of a file system that writing needs. All errors are the system's; the kinds named below are promised.
pub trait Disk: Debug + Send + Sync {
    /// Makes an empty file to be written.
    ///
    /// # Errors
    /// `AlreadyExists` if the name is taken.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Opens a regular file to be read from its beginning.
    ///
    /// # Errors
    /// `NotFound` if there is none.
    fn open(&self, path: &Path) -> io::Result<Box<dyn Read + Send>>;

    /// What a name stands for; `None` if there is no such name.
    ///
    /// # Errors
    /// The system cannot tell.
    fn entry(&self, path: &Path, links: Links) -> io::Result<Option<Entry>>;

    /// Names in a folder, sorted.
    ///
    /// # Errors
    /// `NotFound` if there is none.
    fn list(&self, folder: &Path) -> io::Result<Vec<OsString>>;

    /// Gives a file another name, in place of any file that has it.
    ///
    /// # Errors
    /// `NotFound` if there is no such file.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Gives a file or folder a name that nothing has yet.
    ///
    /// # Errors
    /// `AlreadyExists` if the name is taken.
    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Makes a folder in one that exists.
    ///
    /// # Errors
    /// `AlreadyExists` if the name is taken.
    fn create_folder(&self, path: &Path) -> io::Result<()>;

    /// Removes a file or link.
    ///
    /// # Errors
    /// `NotFound` if there is none.
    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Removes an empty folder.
    ///
    /// # Errors
    /// `NotFound` if there is none, `DirectoryNotEmpty`.
    fn remove_folder(&self, path: &Path) -> io::Result<()>;

    /// Takes the names of a folder to the disk.
    ///
    /// # Errors
    /// Names given since the last sync that succeeded may be lost.
    fn sync_folder(&self, path: &Path) -> io::Result<()>;

    /// Takes the lock of a file, which is made if it is not there, and writes into it who has it. The system frees it when
    /// the holder ends, however it ends.
    ///
    /// # Errors
    /// `NotFound` if the folder is gone. That another has it is no error.
    fn lock(&self, path: &Path, holder: &str) -> io::Result<Lock>;

    /// Bytes that can still be written into a folder.
    ///
    /// # Errors
    /// The system cannot tell.
    fn free_bytes(&self, folder: &Path) -> io::Result<u64>;
}

/// A file being written.
pub trait DiskFile: Debug + Send + Write {
    /// Takes its content to the disk.
    ///
    /// # Errors
    /// Whatever was written since the last sync that succeeded may be lost, even if a later sync succeeds.
    fn sync(&mut self) -> io::Result<()>;
}

/// A lock, until it is dropped.
pub trait DiskLock: Debug + Send + Sync {}

/// Who has a lock.
#[derive(Debug)]
pub enum Lock {
    /// We have, until this is dropped.
    Taken(Box<dyn DiskLock>),
    /// Another, who wrote this about itself; empty if it has not come to that.
    Held {
        /// The content of the file, at most 100 bytes.
        by: String,
    },
}

/// Whether a link stands for itself or for what it leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Links {
    /// For itself.
    Themselves,
    /// For what it leads to; one that leads nowhere is no entry.
    Followed,
}

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A regular file.
    File {
        /// Its length.
        bytes: u64,
    },
    /// A folder.
    Folder,
    /// A symbolic link.
    Link,
    /// A device, pipe or socket.
    Other,
}

/// Bytes of a whole file, none if it is longer than `most`.
///
/// # Errors
/// It cannot be read.
pub fn read_at_most(disk: &dyn Disk, path: &Path, most: u64) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    disk.open(path)?.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= most).then_some(bytes))
}
