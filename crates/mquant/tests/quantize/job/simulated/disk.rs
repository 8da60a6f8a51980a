//! The operations of a disk, on the simulated state.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Cursor, Read, Write};
use std::path::{Path, PathBuf};

use mquant::disk::{Disk, DiskFile, DiskLock, Entry, Links, Lock};

use super::{Change, Content, Does, Simulated};

#[derive(Debug)]
struct SimulatedFile {
    disk: Simulated,
    inode: u64,
    path: PathBuf,
}

impl Write for SimulatedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.disk.state();
        let begun = state.begin(Does::Grow);
        let is_off = state.is_off;
        let content = state.files.get_mut(&self.inode).unwrap();
        match begun {
            Ok(()) => content.seen.extend_from_slice(bytes),
            // The system may have taken a part before it failed.
            Err(e) => {
                if !is_off {
                    content.seen.extend_from_slice(&bytes[..bytes.len() / 2]);
                }
                return Err(e);
            }
        }
        state.end(Does::Grow);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl DiskFile for SimulatedFile {
    fn sync(&mut self) -> io::Result<()> {
        let mut state = self.disk.state();
        let begun = state.begin(Does::Change);
        let is_off = state.is_off;
        let believed = begun.is_ok() && state.sync(&self.path);
        let content = state.files.get_mut(&self.inode).unwrap();
        let unsynced = content.synced.len()..content.seen.len();
        if let Err(e) = begun {
            // The pages count as clean from now on.
            if !is_off {
                content.lost.push(unsynced);
            }
            return Err(e);
        }
        if believed {
            content.synced = content.seen.clone();
            for lost in &content.lost {
                content.synced[lost.clone()].fill(0);
            }
        }
        state.end(Does::Change);
        Ok(())
    }
}

#[derive(Debug)]
struct SimulatedLock {
    disk: Simulated,
    inode: u64,
}

impl DiskLock for SimulatedLock {}

impl Drop for SimulatedLock {
    fn drop(&mut self) {
        self.disk.state().locked.remove(&self.inode);
    }
}

impl Disk for Simulated {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.call(Does::Grow, |state| {
            let inode = state.make(path)?;
            state.files.insert(inode, Content::default());
            Ok(Box::new(SimulatedFile { disk: self.clone(), inode, path: path.to_owned() }) as Box<dyn DiskFile>)
        })
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn Read + Send>> {
        self.call(Does::Look, |state| {
            let content = state.files.get(&state.there(path)?).ok_or(io::ErrorKind::IsADirectory)?;
            Ok(Box::new(Cursor::new(content.seen.clone())) as Box<dyn Read + Send>)
        })
    }

    fn entry(&self, path: &Path, _: Links) -> io::Result<Option<Entry>> {
        self.call(Does::Look, |state| {
            let found = state.find(path)?;
            Ok(found.map(|inode| match state.files.get(&inode) {
                Some(content) => Entry::File { bytes: content.seen.len() as u64 },
                None => Entry::Folder,
            }))
        })
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<OsString>> {
        self.call(Does::Look, |state| Ok(state.seen[&state.folder(folder)?].keys().cloned().collect()))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call(Does::Change, |state| state.rename(from, to))
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call(Does::Change, |state| match state.find(to)? {
            Some(_) => Err(io::ErrorKind::AlreadyExists.into()),
            None => state.rename(from, to),
        })
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        self.call(Does::Grow, |state| {
            let inode = state.make(path)?;
            state.seen.insert(inode, BTreeMap::new());
            state.synced.insert(inode, BTreeMap::new());
            Ok(())
        })
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.call(Does::Change, |state| {
            let (inode, (folder, name)) = (state.there(path)?, state.place(path)?);
            if !state.files.contains_key(&inode) {
                return Err(io::ErrorKind::IsADirectory.into());
            }
            state.change(vec![(folder, name.to_owned(), None)]);
            Ok(())
        })
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        self.call(Does::Change, |state| {
            let (inode, (folder, name)) = (state.folder(path)?, state.place(path)?);
            if !state.seen[&inode].is_empty() {
                return Err(io::ErrorKind::DirectoryNotEmpty.into());
            }
            state.change(vec![(folder, name.to_owned(), None)]);
            Ok(())
        })
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        self.call(Does::Change, |state| {
            let inode = state.folder(path)?;
            if state.sync(path) {
                let touched = |change: &Change| change.set.iter().any(|(folder, ..)| *folder == inode);
                state.log.iter_mut().filter(|change| touched(change)).for_each(|change| change.lasts = true);
            }
            Ok(())
        })
    }

    fn lock(&self, path: &Path, holder: &str) -> io::Result<Lock> {
        self.call(Does::Grow, |state| {
            let inode = match state.find(path)? {
                Some(inode) => inode,
                None => state.make(path)?,
            };
            if !state.locked.insert(inode) {
                let by = String::from_utf8_lossy(&state.files[&inode].seen).into_owned();
                return Ok(Lock::Held { by });
            }
            state.files.insert(inode, Content { seen: holder.as_bytes().to_vec(), ..Content::default() });
            Ok(Lock::Taken(Box::new(SimulatedLock { disk: self.clone(), inode })))
        })
    }

    fn free_bytes(&self, _: &Path) -> io::Result<u64> {
        self.call(Does::Look, |_| Ok(1 << 30))
    }
}
