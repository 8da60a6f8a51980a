//! Folders with what is above and in them.

use std::io;
use std::path::Path;

use super::{Disk, Entry, Links};

/// The folder a name is in.
pub fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
        Some(folder) => folder,
        // The root, which is in itself.
        None => path,
    }
}

/// Makes a folder and those above it as far as they are not there, and takes their names to the disk.
pub fn create_folders(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    let above = folder_of(path);
    if path == above {
        return Ok(());
    }
    if disk.entry(path, Links::Followed)? == Some(Entry::Folder) {
        // One that is empty may have been made by a process that was killed before it could do this.
        return if disk.list(path)?.is_empty() { disk.sync_folder(above) } else { Ok(()) };
    }
    create_folders(disk, above)?;
    match disk.create_folder(path) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => match disk.entry(path, Links::Followed)? {
            // Another made it meanwhile.
            Some(Entry::Folder) => {}
            _ => return Err(io::ErrorKind::NotADirectory.into()),
        },
        made => made?,
    }
    disk.sync_folder(above)
}

/// Removes a file or folder with all that is in it; that there is none is fine.
pub fn remove_tree(disk: &dyn Disk, path: &Path) -> io::Result<()> {
    match disk.entry(path, Links::Themselves)? {
        None => Ok(()),
        Some(Entry::Folder) => {
            for name in disk.list(path)? {
                remove_tree(disk, &path.join(name))?;
            }
            disk.remove_folder(path)
        }
        Some(_) => disk.remove_file(path),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::RealDisk;
    use super::*;

    #[test]
    fn links_are_removed_and_not_what_they_lead_to() {
        let root = tempfile::tempdir().unwrap();
        let (kept, gone) = (root.path().join("kept"), root.path().join("a/b/c"));
        fs::create_dir(&kept).unwrap();
        fs::write(kept.join("file"), "x").unwrap();
        create_folders(&RealDisk, &gone).unwrap();
        create_folders(&RealDisk, &gone).unwrap();
        std::os::unix::fs::symlink(&kept, gone.join("link")).unwrap();
        fs::write(gone.join("file"), "x").unwrap();
        remove_tree(&RealDisk, &root.path().join("a")).unwrap();
        remove_tree(&RealDisk, &root.path().join("a")).unwrap();
        assert_eq!(RealDisk.list(root.path()).unwrap(), ["kept"]);
        assert_eq!(fs::read(kept.join("file")).unwrap(), b"x");
        let error = create_folders(&RealDisk, &kept.join("file/x")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotADirectory);
    }
}
